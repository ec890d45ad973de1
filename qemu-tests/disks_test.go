package qemutests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// kind is a kind of disk with one system on it.
type kind struct {
	name   string
	title  string        // of its entry in the menu
	root   string        // on its command line
	bus    vm.Bus        //
	drives []disk.Layout // more than one for an array
	secret string        // its passphrase
	boots  bool          // it has a whole kernel, so that it can be booted
	again  bool          // what boots it has the others' meaning, but for a detail
	needs  string        // filesystem that must be mounted to make it
}

// secret opens the encrypted disks.
const secret = "correct horse"

// system is what a disk has for one entry: a kernel and two initrds.
type system struct {
	kernel []byte
	main   []byte
	first  []byte
}

// in returns the files of s in a directory.
func (s system) in(dir string, more ...disk.File) []disk.File {
	return append([]disk.File{
		{Path: dir + "vmlinuz-lts", Data: s.kernel},
		{Path: dir + "initramfs-lts", Data: s.main},
		{Path: dir + "intel-ucode.img", Data: s.first},
	}, more...)
}

// extlinux is a configuration with the one entry title.
func extlinux(title, options string) []byte {
	return fmt.Appendf(nil, "DEFAULT menu.c32\nTIMEOUT 10\nLABEL lts\n  MENU DEFAULT\n  MENU LABEL %s\n  LINUX vmlinuz-lts\n  INITRD intel-ucode.img,initramfs-lts\n  APPEND %s\n", title, options)
}

// grubCfg is a menu entry as grub-mkconfig writes it on Alpine, on btrfs.
const grubCfg = `set default="0"
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
set timeout=1
menuentry 'GRUB on btrfs' --class gnu-linux --class os $menuentry_id_option 'gnulinux-lts-advanced-%[1]s' {
	insmod btrfs
	set root='hd0,gpt2'
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2 --hint-baremetal=ahci0,gpt2  %[1]s
	else
	  search --no-floppy --fs-uuid --set=root %[1]s
	fi
	linux	/@/boot/vmlinuz-lts root=UUID=%[1]s ro rootflags=subvol=@  quiet no_timer_check
	initrd	/@/boot/intel-ucode.img /@/boot/initramfs-lts
}
`

const isoGrub = "set timeout=1\n\nmenuentry \"%s\" {\nlinux\t/boot/vmlinuz-lts %s \ninitrd\t/boot/intel-ucode.img /boot/initramfs-lts\n}\n"

// kinds are disks of every kind. whole is a system that can be booted, small
// one whose kernel is only a header.
func kinds(t *testing.T, whole, small system) []kind {
	t.Helper()
	uuid := func(n int) string { return fmt.Sprintf("00000000-1111-4222-8333-%012d", n) }
	guessed := func(n int) string { return "root=UUID=" + uuid(n) + " quiet" }
	root := func(n int) string { return guessed(n) + " no_timer_check" } // see targetOptions
	ext4 := func(n int, files []disk.File, in ...disk.Volume) disk.FS {
		return disk.FS{Type: "ext4", UUID: uuid(n), Files: files, In: in}
	}
	one := func(table disk.Table, size int, fs disk.FS) []disk.Layout {
		return []disk.Layout{{Table: table, Partitions: []disk.Partition{{Size: size, FS: fs}}}}
	}
	withConf := func(s system, title, options string) []disk.File {
		return s.in("", disk.File{Path: "extlinux.conf", Data: extlinux(title, options)})
	}
	isoFiles := func(s system, title, options string) []disk.File {
		return s.in("boot/", disk.File{Path: ".alpine-release", Data: []byte("alpine-std-3.23.0 260601\n")},
			disk.File{Path: "boot/grub/grub.cfg", Data: fmt.Appendf(nil, isoGrub, title, options)})
	}
	isoFile := filepath.Join(t.TempDir(), "alpine.iso")
	if err := (disk.Layout{Partitions: []disk.Partition{{FS: disk.FS{Type: "iso9660", Label: "alpine-std 3.23.0 x86_64",
		Files: isoFiles(whole, "ISO in a file", "modules=loop,squashfs quiet no_timer_check")}}}}).Write(isoFile); err != nil {
		t.Fatal(err)
	}
	mirror := func(version string, n int, title string) []disk.Layout {
		var l []disk.Layout
		for role := range 2 {
			l = append(l, one(disk.MBR, 64, ext4(n, withConf(whole, title, root(n)), disk.RAID1(version, role)))[0])
		}
		return l
	}
	return []kind{
		{name: "MBR with extlinux", title: "MBR and extlinux", bus: vm.SATA, root: root(1),
			drives: one(disk.MBR, 16, ext4(1, withConf(small, "MBR and extlinux", root(1))))},
		{name: "GRUB on btrfs", title: "GRUB on btrfs", bus: vm.Virtio, boots: true, needs: "btrfs",
			root: "root=UUID=" + uuid(2) + " ro rootflags=subvol=@ quiet no_timer_check",
			drives: one(disk.GPT, 160, disk.FS{Type: "btrfs", UUID: uuid(2), Subvolumes: []string{"@"}, Files: whole.in("@/boot/",
				disk.File{Path: "@/etc/fstab", Data: []byte("UUID=" + uuid(2) + "\t/\tbtrfs\trw,subvol=@\t0 0\n")},
				disk.File{Path: "@/boot/grub/grub.cfg", Data: fmt.Appendf(nil, grubCfg, uuid(2))})})},
		{name: "LUKS2", title: "Inside of LUKS2", bus: vm.Virtio, secret: secret, root: root(3),
			drives: one(disk.GPT, 32, ext4(3, withConf(small, "Inside of LUKS2", root(3)), disk.LUKS2(secret)))},
		{name: "LVM on LUKS", title: "LVM on LUKS", bus: vm.Virtio, secret: secret, boots: true, again: true, root: root(4),
			drives: one(disk.GPT, 84, ext4(4, withConf(whole, "LVM on LUKS", root(4)), disk.LVM("vg0", "lv_root"), disk.LUKS2(secret)))},
		{name: "RAID1 0.90", title: "Mirror 0.90", bus: vm.Virtio, boots: true, again: true, root: root(5), drives: mirror("0.90", 5, "Mirror 0.90")},
		{name: "RAID1 1.2", title: "Mirror 1.2", bus: vm.Virtio, boots: true, again: true, root: root(6), drives: mirror("1.2", 6, "Mirror 1.2")},
		{name: "UKI on an ESP", title: "One image", bus: vm.NVMe, boots: true, root: root(7),
			drives: []disk.Layout{{Table: disk.GPT, Partitions: []disk.Partition{{Size: 80, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "0000AB07", Files: small.in("",
				disk.File{Path: "loader/entries/alpine.conf", Data: []byte("title Entry file\nlinux /vmlinuz-lts\ninitrd /intel-ucode.img\ninitrd /initramfs-lts\noptions quiet bls\n")},
				disk.File{Path: "EFI/Linux/alpine.efi", Data: ukitest.Image(
					ukitest.Section{Name: ".osrel", Data: []byte("PRETTY_NAME=\"One image\"\nID=alpine\n")},
					ukitest.Section{Name: ".cmdline", Data: []byte(root(7))},
					ukitest.Section{Name: ".ucode", Data: whole.first},
					ukitest.Section{Name: ".initrd", Data: whole.main},
					ukitest.Section{Name: ".linux", Data: whole.kernel})})}}}}}},
		{name: "ext4 on the whole disk", title: "Whole disk", bus: vm.USB, root: "root=LABEL=/ quiet",
			drives: []disk.Layout{{Partitions: []disk.Partition{{Size: 16, FS: disk.FS{Type: "ext4", Label: "/", UUID: uuid(8), Files: withConf(small, "Whole disk", "root=LABEL=/ quiet")}}}}}},
		{name: "ISO in a file", title: "ISO in a file", bus: vm.Virtio, boots: true, root: "modules=loop,squashfs quiet no_timer_check",
			drives: one(disk.MBR, 96, disk.FS{Type: "vfat", UUID: "0000AB09", Files: []disk.File{{Path: "iso/alpine.iso", From: isoFile}}})},
		{name: "ISO on a CD", title: "ISO on a disc", bus: vm.CD, root: "modules=loop,squashfs,sd-mod quiet",
			drives: []disk.Layout{{Partitions: []disk.Partition{{FS: disk.FS{Type: "iso9660", Label: "alpine-ext 3.23.0 x86_64",
				Files: isoFiles(small, "ISO on a disc", "modules=loop,squashfs,sd-mod quiet")}}}}}},
		{name: "limine on FAT", title: "By limine", bus: vm.Virtio, root: root(11),
			drives: one(disk.GPT, 40, disk.FS{Type: "vfat", UUID: "0000AB11", Files: small.in("", disk.File{Path: "limine/limine.conf",
				Data: fmt.Appendf(nil, "timeout: 1\n\n/By limine\n    protocol: linux\n    kernel_path: boot():/vmlinuz-lts\n    module_path: boot():/intel-ucode.img\n    module_path: boot():/initramfs-lts\n    kernel_cmdline: %s\n", root(11))})})},
		{name: "no configuration", title: "No config Linux", bus: vm.Virtio, root: guessed(12),
			drives: one(disk.MBR, 16, ext4(12, small.in("boot/",
				disk.File{Path: "etc/fstab", Data: []byte("UUID=" + uuid(12) + "\t/\text4\trw,relatime\t0 1\n")},
				disk.File{Path: "etc/os-release", Data: []byte("ID=alpine\nPRETTY_NAME=\"No config Linux\"\n")})))},
		{name: "dirty XFS", title: "Dirty XFS", bus: vm.Virtio, root: root(14), needs: "xfs",
			drives: one(disk.GPT, 320, disk.FS{Type: "xfs", UUID: uuid(14), Files: withConf(small, "Dirty XFS", root(14)), In: []disk.Volume{disk.Crashed()}})},
		{name: "dirty ext4", title: "Dirty ext4", bus: vm.Virtio, root: root(13),
			drives: one(disk.MBR, 32, disk.FS{Type: "ext4", UUID: uuid(13), Files: withConf(small, "Dirty ext4", root(13)),
				Options: []string{"-O", "^metadata_csum"},
				// s_feature_incompat: the journal wants to be replayed.
				Patches: []disk.Patch{{Offset: 1024 + 0x60, Data: []byte{0xc6}}}})},
	}
}

// allKinds makes the disks once for all tests that use them.
type allKinds struct {
	once   sync.Once
	kinds  []kind
	drives map[string][]vm.Drive // by name of the kind
	kernel debian.Kernel
	files  map[string]string
}

var disks allKinds

func (a *allKinds) make(t *testing.T) {
	t.Helper()
	a.once.Do(func() {
		a.kernel = kernelOf(t, debian.Older)
		a.files = map[string]string{"first": "yes", "main": "yes"}
		image, err := os.ReadFile(a.kernel.Image)
		if err != nil {
			t.Fatal(err)
		}
		first, err := target.Initramfs(target.Image{Files: map[string]string{"first": "yes"}})
		if err != nil {
			t.Fatal(err)
		}
		whole := system{kernel: image, main: initramfs(t, target.Gzip, map[string]string{"main": "yes"}), first: first}
		small := system{kernel: boottest.BzImage("6.12.1-0-lts"), main: first, first: first}
		a.drives = map[string][]vm.Drive{}
		kinds := kinds(t, whole, small)
		if os.Getenv("CI") == "" {
			kinds = slices.DeleteFunc(kinds, func(k kind) bool {
				if k.needs == "" || disk.CanMount(k.needs) {
					return false
				}
				t.Logf("%s is left out: this needs root rights and a kernel with %s", k.name, k.needs)
				return true
			})
		}
		for i, k := range kinds {
			for j, l := range k.drives {
				file := made.Path("qemu-tests", "disks", fmt.Sprintf("%02d-%d.img", i, j))
				if err := l.Write(file); err != nil {
					t.Fatalf("%s: %v", k.name, err)
				}
				a.drives[k.name] = append(a.drives[k.name], vm.Drive{File: file, Bus: k.bus, Shared: true})
			}
		}
		a.kinds = kinds
	})
	if a.kinds == nil {
		t.Fatal("the disks could not be made")
	}
}

// unlock opens the first encrypted volume in the list.
func (m machine) unlock() {
	m.t.Helper()
	m.filter("encrypted")
	m.Type(vm.Enter, vm.Home)
	m.selected("is encrypted")
	m.Type(vm.Enter)
	m.text(drawLimit, "Passphrase of")
	m.typed(secret)
	m.Type(vm.Enter)
	m.text(drawLimit, "is unlocked")
	m.all()
}

// typed types a text.
func (m machine) typed(text string) {
	for _, c := range text {
		m.Type(vm.Key(c))
	}
}

// clear is Ctrl-U. Esc would do as well, were it not that a key close behind it
// makes another key of both.
const clear = vm.Key("\x15")

// filter leaves those rows of the list that hold text, and keeps asking; all
// shows all of them again.
func (m machine) filter(text string) {
	m.t.Helper()
	m.Type("/", clear)
	m.typed(text)
	m.text(drawLimit, "Filter: "+text)
}

func (m machine) all() { m.Type("/", clear, vm.Enter) }

// pick selects the entry with a title.
func (m machine) pick(title string) {
	m.t.Helper()
	m.filter(title)
	m.Type(vm.Enter)
	m.selected(title)
}

// A user with disks of every kind sees the entry of each, those of encrypted
// disks once their passphrase is typed, and not a byte of any disk changes. A
// stick that is plugged in adds its entry, and takes it away again.
func TestEveryKindOfDisk(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	disks.make(t)
	t.Parallel()
	var drives []vm.Drive
	sums := map[string]string{}
	for _, k := range disks.kinds {
		for _, d := range disks.drives[k.name] {
			if d.Bus != vm.CD {
				d.Access = vm.Writeable // were anything written, it would reach the file
			}
			sums[d.File] = sum(t, d.File)
			drives = append(drives, d)
		}
	}
	stick := write(t, disk.Layout{Partitions: []disk.Partition{{Size: 16, FS: disk.FS{Type: "ext4", UUID: "00000000-1111-4222-8333-999999999999", Files: system{
		kernel: boottest.BzImage("6.12.1-0-lts"), main: []byte("\x1f\x8b\x08"), first: []byte("070701")}.in("", disk.File{Path: "extlinux.conf", Data: extlinux("On the stick", "quiet")})}}}})
	m := startWith(t, "alpboot.timeout=-1", func(o *vm.Options) {
		o.Extra = []string{"-drive", "if=none,id=stick,format=raw,snapshot=on,file=" + stick, "-device", "qemu-xhci,id=plug"}
	}, drives...)
	m.row(menuLimit, "MBR and extlinux")
	for _, k := range disks.kinds {
		if k.secret == "" {
			m.find(k.title)
		}
	}
	for _, k := range disks.kinds {
		if k.secret != "" {
			m.unlock()
			m.find(k.title)
		}
	}

	if err := m.QMP("device_add", map[string]any{"driver": "usb-storage", "id": "stick0", "drive": "stick", "bus": "plug.0"}, nil); err != nil {
		t.Fatal(err)
	}
	m.find("On the stick")
	if err := m.QMP("device_del", map[string]any{"id": "stick0"}, nil); err != nil {
		t.Fatal(err)
	}
	m.filter("On the stick")
	m.text(drawLimit, "No entry matches")
	m.Stop()
	for file, before := range sums {
		if after := sum(t, file); after != before {
			t.Errorf("%s has changed", file)
		}
	}
}

// find waits until the list shows an entry with that title.
func (m machine) find(title string) {
	m.t.Helper()
	m.filter(title)
	m.Await(drawLimit, vm.ScreenIs(fmt.Sprintf("the entry %q", title), func(s vm.Screen) bool {
		for y, line := range s.Lines() {
			if y > 1 && strings.Contains(line, title) && !strings.Contains(line, "No entry matches") {
				return true
			}
		}
		return false
	}))
	m.Type(clear, vm.Enter)
}

// Each of these systems boots with the command line and both initrds that its
// configuration names.
func TestBootFromEveryKindOfDisk(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	disks.make(t)
	for _, k := range disks.kinds {
		if !k.boots || k.again && !everything() {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m := start(t, anyKernel, "alpboot.timeout=-1", disks.drives[k.name]...)
			if k.secret != "" {
				m.text(menuLimit, "is encrypted")
				m.unlock()
			}
			m.row(menuLimit, k.title)
			m.pick(k.title)
			m.Type(vm.Enter)
			m.target(want{disks.kernel, k.root, disks.files})
		})
	}
}
