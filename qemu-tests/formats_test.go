package qemutests

import (
	"fmt"
	"os"
	"testing"

	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// grubCfg is a menu entry as grub-mkconfig writes it on Alpine.
const grubCfg = `set default="0"
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
set timeout=1
menuentry 'Alpine Linux v3.23, with Linux lts' --class gnu-linux --class os $menuentry_id_option 'gnulinux-lts-advanced-%[1]s' {
	insmod ext2
	set root='hd0,gpt2'
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint-baremetal=ahci0,gpt2  %[1]s
	else
	  search --no-floppy --fs-uuid --set=root %[1]s
	fi
	linux	/boot/vmlinuz-lts root=UUID=%[1]s ro  modules=sd-mod quiet via=grub
	initrd	/boot/intel-ucode.img /boot/initramfs-lts
}
`

// A user who names one of the entries of an ESP and of a root filesystem, each
// written down for another boot loader, sees that one boot, with the command
// line and all the initrds that its configuration names.
func TestFormats(t *testing.T) {
	needQEMU(t)
	k := kernelOf(t, debian.Older)
	image, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	main := initramfs(t, target.Gzip, map[string]string{"main": "yes"})
	first, err := target.Initramfs(target.Image{Files: map[string]string{"first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	layout := disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 96, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "1A2B3C4D", Files: []disk.File{
			{Path: "vmlinuz-lts", Data: image},
			{Path: "initramfs-lts", Data: main},
			{Path: "intel-ucode.img", Data: first},
			{Path: "limine/limine.conf", Data: []byte("timeout: 1\n\n/Alpine by limine\n    protocol: linux\n    kernel_path: boot():/vmlinuz-lts\n" +
				"    module_path: boot():/intel-ucode.img\n    module_path: boot():/initramfs-lts\n    kernel_cmdline: quiet via=limine\n")},
			{Path: "loader/entries/alpine.conf", Data: []byte("title Alpine by entry\nlinux /vmlinuz-lts\ninitrd /intel-ucode.img\ninitrd /initramfs-lts\noptions quiet\noptions via=bls\n")},
			{Path: "EFI/Linux/alpine.efi", Data: ukitest.Image(
				ukitest.Section{Name: ".osrel", Data: []byte("PRETTY_NAME=\"Alpine in one image\"\nID=alpine\n")},
				ukitest.Section{Name: ".cmdline", Data: []byte("quiet via=uki")},
				ukitest.Section{Name: ".ucode", Data: first},
				ukitest.Section{Name: ".initrd", Data: main},
				ukitest.Section{Name: ".linux", Data: image})},
		}}},
		{Size: 48, FS: disk.FS{Type: "ext4", UUID: disk.RootUUID, Files: []disk.File{
			{Path: "boot/vmlinuz-lts", Data: image},
			{Path: "boot/initramfs-lts", Data: main},
			{Path: "boot/intel-ucode.img", Data: first},
			{Path: "boot/grub/grub.cfg", Data: fmt.Appendf(nil, grubCfg, disk.RootUUID)},
		}}},
	}}
	for _, tt := range []struct{ format, title, cmdline string }{
		{"grub", "Alpine Linux v3.23, with Linux lts", "root=UUID=" + disk.RootUUID + " ro modules=sd-mod quiet via=grub"},
		{"bls", "Alpine by entry", "quiet via=bls"},
		{"uki", "Alpine in one image", "quiet via=uki"},
		{"limine", "Alpine by limine", "quiet via=limine"},
	} {
		t.Run(tt.format, func(t *testing.T) {
			t.Parallel()
			m := start(t, ownKernel, `alpboot.timeout=1 "alpboot.default=`+tt.title+`"`, vm.Drive{File: write(t, layout)})
			m.target(want{k, tt.cmdline, map[string]string{"first": "yes", "main": "yes"}})
		})
	}
}
