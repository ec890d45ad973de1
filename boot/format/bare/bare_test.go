package bare_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/bare"
)

const alpine = "ID=alpine\nPRETTY_NAME=Alpine\n"

// system returns a root filesystem with one kernel and the given files.
func system(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{
		"boot/vmlinuz-lts":   boottest.File("kernel"),
		"boot/initramfs-lts": boottest.File("initramfs"),
		"etc/os-release":     boottest.File(alpine),
	}
	for name, data := range files {
		fsys[name] = boottest.File(data)
	}
	return fsys
}

// TestCmdline asserts which command line the kernel of a root filesystem has.
func TestCmdline(t *testing.T) {
	ext4 := boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", UUID: "u-1", Label: "root", Type: "ext4"}
	const synth = " modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4"
	tests := []struct {
		name  string
		vol   boot.Volume
		files map[string]string
		want  string // "" when there can be none
		note  string // contained in a note other than the one on the source
	}{
		{"fstab by UUID", ext4, map[string]string{"etc/fstab": "UUID=u-1 / ext4 rw 0 1\n"}, "root=UUID=u-1" + synth, ""},
		{"fstab by quoted UUID", ext4, map[string]string{"etc/fstab": "UUID=\"u-1\" / ext4\n"}, "root=UUID=u-1" + synth, ""},
		{"fstab by UUID in another case", ext4, map[string]string{"etc/fstab": "UUID=U-1 / ext4 rw 0 1\n"}, "root=UUID=U-1" + synth, ""},
		{"fstab by another UUID", ext4, map[string]string{"etc/fstab": "UUID=u-2 / ext4 rw 0 1\n"}, "root=UUID=u-1" + synth, "copy of another disk"},
		{"fstab by label", ext4, map[string]string{"etc/fstab": "LABEL=root / ext4 rw 0 1\n"}, "root=LABEL=root" + synth, ""},
		{"fstab by device", ext4, map[string]string{"etc/fstab": "/dev/hda1 / ext3 rw 0 1\n"}, "root=UUID=u-1" + synth, ""},
		{"fstab by partition", ext4, map[string]string{"etc/fstab": "PARTUUID=p-1 / ext4 rw 0 1\n"}, "root=UUID=u-1" + synth, ""},
		{"fstab by link", ext4, map[string]string{"etc/fstab": "/dev/disk/by-uuid/u-1 / ext4 rw 0 1\n"}, "root=UUID=u-1" + synth, ""},
		{"fstab by LVM name", ext4, map[string]string{"etc/fstab": "/dev/mapper/vg0-lv_root / ext4 rw 0 1\n"}, "root=/dev/mapper/vg0-lv_root" + synth, ""},
		{"no fstab", ext4, nil, "root=UUID=u-1" + synth, ""},
		{"fstab without root", ext4, map[string]string{"etc/fstab": "# nothing\nbroken\ntmpfs /tmp tmpfs\n"}, "root=UUID=u-1" + synth, ""},
		{"volume without UUID", boot.Volume{Device: "/dev/sda1", Label: "r", Type: "ext4"}, nil, "root=LABEL=r" + synth, ""},
		{"volume without anything", boot.Volume{Device: "/dev/sda1", Type: "ext4"}, nil, "", ""},
		{"directory", boot.Volume{Device: "/mnt"}, map[string]string{"etc/fstab": "/dev/sda3 / ext4 rw 0 1\n"}, "root=/dev/sda3" + synth, ""},
		{"directory of unknown type", boot.Volume{Device: "/mnt"}, map[string]string{"etc/fstab": "UUID=u-3 / auto rw 0 1\n"}, "root=UUID=u-3 modules=sd-mod,usb-storage quiet", ""},
		{"escapes in fstab", boot.Volume{Device: "/mnt"}, map[string]string{"etc/fstab": "LABEL=a\\055b / ext4 rw 0 1\n"}, "root=LABEL=a-b" + synth, ""},
		{"label with a space", ext4, map[string]string{"etc/fstab": "LABEL=a\\040b / ext4 rw 0 1\n"}, "root=UUID=u-1" + synth, ""},
		{"label with a space and no UUID", boot.Volume{Device: "/mnt"}, map[string]string{"etc/fstab": "LABEL=a\\040b / ext4 rw 0 1\n"}, "", ""},
		{"subvolume", boot.Volume{UUID: "u-1", Type: "btrfs"}, map[string]string{"etc/fstab": "UUID=u-1 / btrfs subvol=/@,compress 0 1\n"}, "root=UUID=u-1 modules=sd-mod,usb-storage,btrfs quiet rootfstype=btrfs rootflags=subvol=/@", ""},
		{"subvolume by number", boot.Volume{UUID: "u-1", Type: "btrfs"}, map[string]string{"etc/fstab": "UUID=u-1 / btrfs subvolid=256 0 1\n"}, "root=UUID=u-1 modules=sd-mod,usb-storage,btrfs quiet rootfstype=btrfs rootflags=subvolid=256", ""},
		{"control character in an option", ext4, map[string]string{"etc/fstab": "UUID=u-1 / ext4 subvol=\x7f 0 1\n"}, "root=UUID=u-1" + synth, "subvolume"},
		{"control character in the type", boot.Volume{Device: "/mnt"}, map[string]string{"etc/fstab": "UUID=u-1 / e\x7fx 0 1\n"}, "root=UUID=u-1 modules=sd-mod,usb-storage,e x quiet rootfstype=e x", ""},
		{"features", ext4, map[string]string{"etc/mkinitfs/mkinitfs.conf": "features=\"ata \\\n nvme raid\" # all\n"}, "root=UUID=u-1 modules=sd-mod,usb-storage,ext4,raid1,raid456,nvme quiet rootfstype=ext4", ""},
		{"opened LUKS", boot.Volume{Device: "/dev/mapper/root", UUID: "u-1", Type: "ext4"}, map[string]string{"etc/mkinitfs/mkinitfs.conf": "features='base cryptsetup'\n"}, "root=UUID=u-1" + synth, "cryptroot"},

		{"update-extlinux", ext4, map[string]string{"etc/update-extlinux.conf": "root=UUID=x\nmodules=a,b\ndefault_kernel_opts='quiet rootfstype=ext4'\n", "etc/default/grub": "GRUB_CMDLINE_LINUX=wrong\n"}, "root=UUID=x modules=a,b quiet rootfstype=ext4", ""},
		{"update-extlinux without root", ext4, map[string]string{"etc/update-extlinux.conf": "root=\nmodules=a,ext4\ndefault_kernel_opts=quiet\n"}, "root=UUID=u-1 modules=a,ext4 quiet rootfstype=ext4", ""},
		{"LUKS unlocked by the menu", boot.Volume{Device: "/dev/mapper/luks-l-1", UUID: "u-1", Type: "ext4", Crypt: "l-1"}, nil,
			"root=UUID=u-1" + synth + " cryptroot=UUID=l-1 cryptdm=root", ""},
		{"and named by its mapping", boot.Volume{Device: "/dev/mapper/luks-l-1", UUID: "u-1", Type: "ext4", Crypt: "l-1"}, map[string]string{"etc/fstab": "/dev/mapper/crypt / ext4 rw 0 1\n"},
			"root=/dev/mapper/crypt" + synth + " cryptroot=UUID=l-1 cryptdm=crypt", ""},
		{"LVM in it", boot.Volume{Device: "/dev/mapper/vg0-lv_root", UUID: "u-1", Type: "ext4", Crypt: "l-1"}, map[string]string{"etc/fstab": "/dev/mapper/vg0-lv_root / ext4 rw 0 1\n"},
			"root=/dev/mapper/vg0-lv_root" + synth + " cryptroot=UUID=l-1 cryptdm=root", ""},
		{"update-extlinux as shipped beside grub", ext4, map[string]string{"etc/update-extlinux.conf": "root=\nmodules=a\ndefault_kernel_opts=quiet\n", "etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT='modules=c cryptroot=UUID=l'\n"}, "root=UUID=u-1 ro modules=c cryptroot=UUID=l rootfstype=ext4", ""},
		{"grub", ext4, map[string]string{"etc/default/grub": "A=1\nGRUB_CMDLINE_LINUX=\"x=$A y\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet ${A}\"\n"}, "root=UUID=u-1 modules=sd-mod,usb-storage,ext4 ro x=1 y quiet 1 rootfstype=ext4", ""},
		{"grub with own rootflags", ext4, map[string]string{"etc/fstab": "UUID=u-1 / ext4 subvol=a 0 0\n", "etc/default/grub": "GRUB_CMDLINE_LINUX='modules=m rootfstype=t rootflags=f'\n"}, "root=UUID=u-1 ro modules=m rootfstype=t rootflags=f", ""},
		{"grub that would have to be run", ext4, map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX=\"$(rm -rf /)\"\nGRUB_CMDLINE_LINUX_DEFAULT=`x`\n"}, "root=UUID=u-1" + synth, ""},
		{"ukify", ext4, map[string]string{"etc/kernel-hooks.d/ukify.conf": "cmdline='root=UUID=k modules=m initrd=x rootfstype=ext4'\n"}, "root=UUID=k modules=m rootfstype=ext4", ""},
		{"kernel/cmdline", ext4, map[string]string{"etc/kernel/cmdline": "# mine\nquiet\nmodules=m\n"}, "root=UUID=u-1 quiet modules=m rootfstype=ext4", ""},
		{"a file of another path", ext4, map[string]string{"etc/kernel-hooks.d/secureboot.conf": "cmdline=/../../etc/my\n", "etc/my": "root=UUID=k modules=m rootfstype=r"}, "root=UUID=k modules=m rootfstype=r", ""},
		{"another distribution", ext4, map[string]string{"etc/os-release": "ID=gentoo\n", "etc/update-extlinux.conf": "root=UUID=x\n"}, "root=UUID=u-1 ro", ""},
		{"huge file", ext4, map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX=x\n#" + strings.Repeat("x", 1<<20)}, "root=UUID=u-1" + synth, ""},
		{"huge variable", ext4, map[string]string{"etc/default/grub": "A=xxxxxxxx\n" + strings.Repeat("A=$A$A\n", 64) + "GRUB_CMDLINE_LINUX=$A\n"}, "root=UUID=u-1" + synth, ""},
		{"control characters", ext4, map[string]string{"etc/default/grub": "GRUB_CMDLINE_LINUX='modules=m\x1b[2J\nroot'\n"}, "root=UUID=u-1 ro modules=m [2J root rootfstype=ext4", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := bare.Parse(system(tt.files), tt.vol)
			if err != nil || len(l.Entries) != 1 {
				t.Fatalf("got %s", boottest.Text(l, err))
			}
			e := l.Entries[0]
			if e.Cmdline != tt.want {
				t.Errorf("got  %s\nwant %s", e.Cmdline, tt.want)
			}
			if !e.Guessed || (e.Problem == "") != (tt.want != "") {
				t.Errorf("guessed %t, problem %q", e.Guessed, e.Problem)
			}
			if tt.want == "" {
				return
			}
			if rest := strings.Join(e.Notes[1:], "\n"); !strings.Contains(rest, tt.note) || (rest == "") != (tt.note == "") {
				t.Errorf("notes %q, want one with %q", rest, tt.note)
			}
		})
	}
}

// TestPairs asserts which files of a directory are kernels, and what they load.
func TestPairs(t *testing.T) {
	tests := []struct {
		name  string
		files string // with spaces between
		want  string // kernel:initrd,initrd with spaces between; ! for a kernel with a Problem of its own
	}{
		{"Alpine", "vmlinuz-lts initramfs-lts vmlinuz-virt initramfs-virt", "vmlinuz-lts:initramfs-lts vmlinuz-virt:initramfs-virt"},
		{"plain", "vmlinuz initramfs-vanilla", "vmlinuz:initramfs-vanilla"},
		{"plain with Debian's name", "vmlinuz initrd.img", "vmlinuz:initrd.img"},
		{"SUSE", "vmlinuz-6.4.0-default initrd-6.4.0-default", "vmlinuz-6.4.0-default:initrd-6.4.0-default"},
		{"Gentoo", "vmlinuz-6.6.1-gentoo initramfs-6.6.1-gentoo.img", "vmlinuz-6.6.1-gentoo:initramfs-6.6.1-gentoo.img"},
		{"microcode first", "amd-ucode.img initramfs-lts intel-ucode.img vmlinuz-lts", "vmlinuz-lts:intel-ucode.img,amd-ucode.img,initramfs-lts"},
		{"no initramfs", "vmlinuz-lts initramfs-virt intel-ucode.img", "!vmlinuz-lts:intel-ucode.img"},
		{"newest version first", "vmlinuz-6.9.0 initramfs-6.9.0 vmlinuz-6.10.0 initramfs-6.10.0 vmlinuz-6.010.1 initramfs-6.010.1 vmlinuz-lts initramfs-lts", "vmlinuz-lts:initramfs-lts vmlinuz-6.010.1:initramfs-6.010.1 vmlinuz-6.10.0:initramfs-6.10.0 vmlinuz-6.9.0:initramfs-6.9.0"},
		{"put aside", "vmlinuz-lts.old vmlinuz-lts.bak vmlinuz-lts.apk-new vmlinuz-lts.new vmlinuz-lts~ vmlinuz-lts.apk.1f2e vmlinuz-lts.sig .vmlinuz-lts vmlinuz.old", ""},
		{"legacy", "grsec grsec.gz lts readme readme.gz", "grsec:grsec.gz"},
		{"Gentoo's own kernel", "kernel-6.6.62-gentoo-dist initramfs-6.6.62-gentoo-dist.img kernel-config", "kernel-6.6.62-gentoo-dist:initramfs-6.6.62-gentoo-dist.img"},
		{"genkernel", "kernel-genkernel-x86_64-6.1.5-gentoo initramfs-genkernel-x86_64-6.1.5-gentoo kernel-6.2 initramfs-genkernel-6.2", "kernel-genkernel-x86_64-6.1.5-gentoo:initramfs-genkernel-x86_64-6.1.5-gentoo kernel-6.2:initramfs-genkernel-6.2"},
		{"one level below boot", "boot/a/vmlinuz-6.1 boot/a/initrd.img-6.1 boot/a/b/vmlinuz-6.2", "boot/a/vmlinuz-6.1:boot/a/initrd.img-6.1"},
		{"no kernels", "config-lts System.map-lts vmlinux bzImage lts.gz", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"vmlinuz-directory/x": boottest.File("x")}
			for f := range strings.FieldsSeq(tt.files) {
				fsys[f] = boottest.File("data")
				if strings.HasPrefix(f, "kernel-6") || strings.HasPrefix(f, "kernel-gen") {
					fsys[f] = &fstest.MapFile{Data: boottest.BzImage("6.1")}
				}
			}
			l, err := bare.Parse(fsys, boot.Volume{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range l.Entries {
				s := e.Kernel + ":" + strings.Join(e.Initrds, ",")
				if strings.Contains(e.Problem, "without an initramfs") {
					s = "!" + s
				}
				got = append(got, s)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestManyKernels(t *testing.T) {
	fsys := fstest.MapFS{}
	for i := range 300 {
		fsys[fmt.Sprintf("vmlinuz-%d", i)] = boottest.File("kernel")
	}
	l, err := bare.Parse(fsys, boot.Volume{})
	if err != nil || len(l.Entries) != 100 || len(l.Notes) != 1 || !strings.Contains(l.Notes[0].Text, "300 kernels") {
		t.Errorf("%d entries, notes %v, error %v", len(l.Entries), l.Notes, err)
	}
}

// failing cannot read one directory.
type failing struct {
	fstest.MapFS
	dir string
}

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == f.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("input/output error")}
	}
	return f.MapFS.ReadDir(name)
}

func TestUnreadableDirectory(t *testing.T) {
	fsys := system(nil)
	if _, err := bare.Parse(failing{fsys, "."}, boot.Volume{}); err == nil {
		t.Error("no error for a root that cannot be read")
	}
	l, err := bare.Parse(failing{fsys, "boot"}, boot.Volume{})
	if err != nil || len(l.Notes) != 1 || !strings.Contains(l.Notes[0].String(), "/boot: The directory cannot be read") {
		t.Errorf("got %s", boottest.Text(l, err))
	}
}

// TestComplete asserts which root a kernel on /dev/sda1 gets.
func TestComplete(t *testing.T) {
	vol := func(name, disk, uuid string) boot.Volume {
		return boot.Volume{Device: "/dev/" + name, Disk: disk, UUID: uuid, Type: "ext4"}
	}
	root := func(v boot.Volume, bootOn, modules string) bare.Root {
		fsys := fstest.MapFS{
			"etc/os-release":             boottest.File(alpine),
			"lib/modules/" + modules:     {Mode: fs.ModeDir},
			"etc/mkinitfs/mkinitfs.conf": boottest.File("features=base\n"),
		}
		if bootOn != "" {
			fsys["etc/fstab"] = boottest.File(bootOn + " /boot ext4 rw 0 2\n")
		}
		r, ok := firstRoot(fsys, v)
		if !ok {
			t.Fatal("no root found")
		}
		return r
	}
	locked := func(name, disk, uuid string) bare.Root {
		r, ok := firstRoot(nil, boot.Volume{Device: "/dev/" + name, Disk: disk, UUID: uuid, Type: "crypto_LUKS"})
		if !ok {
			t.Fatal("a LUKS volume is not a root")
		}
		return r
	}
	sda2, sda3, sdb2 := vol("sda2", "/dev/sda", "u-2"), vol("sda3", "/dev/sda", "u-3"), vol("sdb2", "/dev/sdb", "u-b")
	lv := boot.Volume{Device: "/dev/mapper/vg0-lv_root", UUID: "u-l", Type: "ext4"}
	tests := []struct {
		name    string
		version string
		roots   []bare.Root
		want    string // contained in the command line
		problem string // contained in Problem
	}{
		{name: "none", problem: "No root filesystem"},
		{name: "fstab names it", roots: []bare.Root{root(sda2, "", "1-lts"), root(sda3, "UUID=U-BOOT", "")}, want: "root=UUID=u-3 "},
		{name: "fstab names it by device", roots: []bare.Root{root(sda3, "/dev/sda1", "")}, want: "root=UUID=u-3 "},
		{name: "fstab names it by link", roots: []bare.Root{root(sda3, "/dev/disk/by-uuid/u-boot", "")}, want: "root=UUID=u-3 "},
		{name: "fstab on another disk names it", roots: []bare.Root{root(sdb2, "UUID=u-boot", "")}, want: "root=UUID=u-b "},
		{name: "copies of a disk", roots: []bare.Root{root(sdb2, "UUID=u-boot", ""), root(sda3, "UUID=u-boot", "")}, want: "root=UUID=u-3 "},
		{name: "two on one disk", roots: []bare.Root{root(sda2, "UUID=u-boot", ""), root(sda3, "UUID=u-boot", "")}, problem: "/dev/sda2; /dev/sda3"},
		{name: "fstab names another", roots: []bare.Root{root(sda3, "UUID=u-other", "6.1-lts")}, problem: "No root filesystem"},
		{name: "flavour", roots: []bare.Root{root(sda2, "", "6.1-0-virt"), root(sda3, "", "6.1-0-lts")}, want: "root=UUID=u-3 "},
		{name: "flavour beside an unknown fstab line", roots: []bare.Root{root(sda3, "PARTUUID=p", "6.1-0-lts")}, want: "root=UUID=u-3 "},
		{name: "version", version: "6.2-0-lts", roots: []bare.Root{root(sda2, "", "6.1-0-lts"), root(sda3, "", "6.2-0-lts")}, want: "root=UUID=u-3 "},
		{name: "other version", version: "6.3-0-lts", roots: []bare.Root{root(sda3, "", "6.2-0-lts")}, problem: "No root filesystem"},
		{name: "flavour on another disk", roots: []bare.Root{root(sdb2, "", "6.1-0-lts")}, problem: "No root filesystem"},
		{name: "flavour on LVM", roots: []bare.Root{root(lv, "", "6.1-0-lts")}, want: "root=UUID=u-l "},
		{name: "LUKS", roots: []bare.Root{locked("sda2", "/dev/sda", "l-2")}, want: "cryptroot=UUID=l-2 cryptdm=root"},
		{name: "LUKS on another disk", roots: []bare.Root{locked("sdb2", "/dev/sdb", "l-2")}, problem: "No root filesystem"},
		{name: "LUKS without UUID", roots: []bare.Root{locked("sda2", "/dev/sda", "")}, problem: "No root filesystem"},
		{name: "two LUKS", roots: []bare.Root{locked("sda2", "/dev/sda", "l-2"), locked("sda3", "/dev/sda", "l-3")}, problem: "/dev/sda2; /dev/sda3"},
		{name: "an open root before LUKS", roots: []bare.Root{locked("sda2", "/dev/sda", "l-2"), root(sda3, "UUID=u-boot", "")}, want: "root=UUID=u-3 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bootVol := vol("sda1", "/dev/sda", "u-boot")
			l, err := bare.Parse(fstest.MapFS{"vmlinuz-lts": boottest.File("kernel"), "initramfs-lts": boottest.File("i")}, bootVol)
			if err != nil {
				t.Fatal(err)
			}
			open := l.Entries[0]
			open.Volume, open.Version = bootVol, tt.version
			got := bare.Complete(open, tt.roots)
			if !strings.Contains(got.Problem, tt.problem) || (got.Problem == "") != (tt.problem == "") {
				t.Errorf("problem %q, want %q", got.Problem, tt.problem)
			}
			if !strings.Contains(got.Cmdline+" ", tt.want) || (got.Cmdline == "") != (tt.want == "") {
				t.Errorf("cmdline %q, want one with %q", got.Cmdline, tt.want)
			}
			if len(open.Notes) != 0 || open.Cmdline != "" {
				t.Error("Complete has changed its argument")
			}
		})
	}
}

// TestCompleteLeavesAlone asserts that only what waits for a root is changed.
func TestCompleteLeavesAlone(t *testing.T) {
	r, _ := firstRoot(system(nil), boot.Volume{Device: "/dev/sda3", UUID: "u", Type: "ext4"})
	for _, e := range []boot.Entry{
		{Format: "extlinux", Kernel: "vmlinuz-lts"},
		{Format: "bare", Kernel: "vmlinuz-lts", Cmdline: "x"},
		{Format: "bare", Kernel: "vmlinuz-lts", Problem: "The kernel is damaged."},
	} {
		if got := bare.Complete(e, []bare.Root{r}); boottest.EntryText(got) != boottest.EntryText(e) {
			t.Errorf("%s has become %s", boottest.EntryText(e), boottest.EntryText(got))
		}
	}
}

func TestFindRootSubvolume(t *testing.T) {
	fsys := fstest.MapFS{"snap/etc/os-release": boottest.File("ID=old\n"), "@/etc/os-release": boottest.File(alpine)}
	r, ok := firstRoot(fsys, boot.Volume{Device: "/dev/sda1", UUID: "u", Type: "btrfs"})
	if !ok || r.Dir != "@" || !strings.Contains(r.Cmdline, "rootflags=subvol=@") {
		t.Errorf("got %+v, %t", r, ok)
	}
	if _, ok := firstRoot(fsys, boot.Volume{Type: "ext4"}); ok {
		t.Error("subvolumes on ext4")
	}
}

// TestIsSystem asserts that a system in a directory that is called like a
// snapshot is one where its volume lists it, as openSUSE's does.
func TestIsSystem(t *testing.T) {
	roots := []bare.Root{{Volume: boot.Volume{UUID: "u1"}, Dir: "@/.snapshots/82/snapshot"}, {Volume: boot.Volume{UUID: "u2"}, Dir: "."}}
	for _, tt := range []struct {
		cmdline string
		want    bool
	}{
		{"root=UUID=u1 rootflags=subvol=@/.snapshots/82/snapshot", true},
		{"root=UUID=U1 rootflags=compress,subvol=/@/.snapshots/82/snapshot", true},
		{"root=UUID=u1 rootflags=subvol=@/.snapshots/81/snapshot", false},
		{"root=UUID=u2 rootflags=subvol=@/.snapshots/82/snapshot", false},
		{"root=UUID=u2", false},
		{"", false},
	} {
		if got := bare.IsSystem(boot.Entry{Cmdline: tt.cmdline}, roots); got != tt.want {
			t.Errorf("%q: got %t", tt.cmdline, got)
		}
	}
}

// firstRoot returns the first of [bare.FindRoots], if there is one.
func firstRoot(fsys fs.FS, vol boot.Volume) (bare.Root, bool) {
	if roots := bare.FindRoots(fsys, vol); len(roots) > 0 {
		return roots[0], true
	}
	return bare.Root{}, false
}

// Kernels in one directory: the newest comes first.
func TestOrder(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name  string
		files map[string]time.Time
		want  string
	}{
		{"by age", map[string]time.Time{"edge": day(2), "lts": day(3), "virt": day(1)}, "lts edge virt"},
		{"of one age, by name", map[string]time.Time{"virt": day(1), "lts": day(1)}, "lts virt"},
		{"versions, whatever their age", map[string]time.Time{"6.6.9-0": day(2), "6.6.10-0": day(1)}, "6.6.10-0 6.6.9-0"},
		{"flavours before versions", map[string]time.Time{"6.6.9-0": day(2), "lts": day(1)}, "lts 6.6.9-0"},
	} {
		root := fstest.MapFS{}
		for flavour, changed := range tt.files {
			root["boot/vmlinuz-"+flavour] = &fstest.MapFile{ModTime: changed}
		}
		l, err := bare.Parse(root, boot.Volume{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range l.Entries {
			got = append(got, strings.TrimPrefix(e.Kernel, "boot/vmlinuz-"))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
