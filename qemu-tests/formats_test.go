package qemutests

import (
	"os"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A user who names one of the entries of an ESP, each written down for another
// boot loader, sees that one boot, with the command line and all the initrds
// that its configuration names. GRUB's and unified kernel images are among the
// disks of TestBootFromEveryKindOfDisk.
func TestFormats(t *testing.T) {
	needQEMU(t)
	t.Parallel()
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
		{Size: 64, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "1A2B3C4D", Files: []disk.File{
			{Path: "vmlinuz-lts", Data: image},
			{Path: "initramfs-lts", Data: main},
			{Path: "intel-ucode.img", Data: first},
			{Path: "limine/limine.conf", Data: []byte("timeout: 1\n\n/Alpine by limine\n    protocol: linux\n    kernel_path: boot():/vmlinuz-lts\n" +
				"    module_path: boot():/intel-ucode.img\n    module_path: boot():/initramfs-lts\n    kernel_cmdline: quiet no_timer_check via=limine\n")},
			{Path: "loader/entries/alpine.conf", Data: []byte("title Alpine by entry\nlinux /vmlinuz-lts\ninitrd /intel-ucode.img\ninitrd /initramfs-lts\noptions quiet no_timer_check\noptions via=bls\n")},
		}}},
	}}
	for _, tt := range []struct {
		format, title, cmdline string
		again                  bool // other tests have its meaning, but for a detail
	}{
		{"bls", "Alpine by entry", "quiet no_timer_check via=bls", true},
		{"limine", "Alpine by limine", "quiet no_timer_check via=limine", false},
	} {
		if tt.again && !everything() {
			continue
		}
		t.Run(tt.format, func(t *testing.T) {
			t.Parallel()
			m := start(t, anyKernel, `alpboot.timeout=1 "alpboot.default=`+tt.title+`"`, vm.Drive{File: write(t, layout)})
			m.target(want{k, tt.cmdline, map[string]string{"first": "yes", "main": "yes"}})
		})
	}
}
