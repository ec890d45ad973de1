package grub_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// machine returns the volumes of one machine: the root filesystem with a
// configuration, a second partition of the same disk, and two other disks.
func machine(config string) boot.Volumes {
	return boot.Volumes{
		{
			Volume: boot.Volume{Device: "/dev/sda2", Disk: "/dev/sda", Partition: 2, UUID: "aaaa-2", Label: "root", Type: "ext4"},
			FS: fstest.MapFS{
				"boot/grub/grub.cfg": boottest.File(config), "boot/vmlinuz": boottest.File("k"), "boot/initrd": boottest.File("i"), "boot/ucode": boottest.File("u"), "boot/empty": boottest.File(""),
				"boot/grub/more.cfg":    boottest.File("menuentry More { linux /boot/vmlinuz more }"),
				"boot/grub/user.cfg":    boottest.File("set default=1"),
				"boot/grub/grubenv":     boottest.File("# GRUB Environment Block\n# a comment=1\nsaved_entry=Two\nescaped=a\\\\b\\\nc\n#####"),
				"boot/grub/notenv":      boottest.File("saved_entry=Two\n"),
				"boot/grub/syntax.cfg":  boottest.File("menuentry Good { linux /boot/vmlinuz good }\nmenuentry Bad { linux &\n}\n"),
				"boot/grub/forever.cfg": boottest.File("source /boot/grub/forever.cfg"),
			},
		},
		{
			Volume: boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", Partition: 1, UUID: "ABCD-0001", Label: "EFI", Type: "vfat", PartUUID: "11111111-1111-4111-8111-111111111111"},
			FS:     fstest.MapFS{"vmlinuz-esp": boottest.File("k"), "EFI/x.efi": boottest.File("x")},
		},
		{
			Volume: boot.Volume{Device: "/dev/sdb1", Disk: "/dev/sdb", Partition: 1, UUID: "bbbb-1", Label: "data", Type: "xfs"},
			FS:     fstest.MapFS{"vmlinuz-b": boottest.File("k"), "both": boottest.File("b"), "grub/next.cfg": boottest.File("set timeout=7\nmenuentry Next { linux /vmlinuz-b }\nmenuentry Second { linux /vmlinuz-b 2 }")},
		},
		{
			Volume: boot.Volume{Device: "/dev/mapper/vg-lv--boot", UUID: "cccc-1", Type: "ext4"},
			FS:     fstest.MapFS{"vmlinuz-c": boottest.File("k"), "both": boottest.File("c")},
		},
	}
}

func parse(t *testing.T, config string) boot.Listing {
	t.Helper()
	vs := machine(config)
	l, err := grub.Parse(vs[0].FS, vs[0].Volume, vs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestImage asserts that loopback reaches an image that is open, but that
// search does not before, and that ParseFile sets its variables.
func TestImage(t *testing.T) {
	vs := machine("menuentry A { loopback loop ($root)/iso/../iso/a.iso; linux (loop)/k }\n" +
		"menuentry B { search --set=root --file /k; linux /k }\n" +
		"menuentry C { loopback loop /iso/gone.iso; linux (loop)/k }")
	vs[0].FS.(fstest.MapFS)["iso/a.iso"] = boottest.File("an image")
	image := boot.Volume{Device: vs[0].Volume.ImageDevice("iso/a.iso"), Type: "iso9660"}
	vs = append(vs, boot.MountedVolume{Volume: image, FS: fstest.MapFS{
		"k":                      boottest.File("kernel"),
		"boot/grub/grub.cfg":     boottest.File("menuentry D { linux /k find=$iso_path }"),
		"boot/grub/loopback.cfg": boottest.File("configfile /boot/grub/grub.cfg"),
	}})
	l, err := grub.Parse(vs[0].FS, vs[0].Volume, vs)
	if err != nil || len(l.Entries) != 3 || !l.Unresolved {
		t.Fatalf("got %s", boottest.Text(l, err))
	}
	if a := l.Entries[0]; a.Problem != "" || a.Volume != image || a.Kernel != "k" {
		t.Errorf("got %s", boottest.EntryText(a))
	}
	for _, e := range l.Entries[1:] {
		if e.Problem == "" {
			t.Errorf("got %s", boottest.EntryText(e))
		}
	}
	own := vs[len(vs)-1]
	l, err = grub.ParseFile(own.FS, own.Volume, vs, "boot/grub/loopback.cfg", map[string]string{"iso_path": "/iso/a.iso"})
	if err != nil || len(l.Entries) != 1 || l.Entries[0].Cmdline != "find=/iso/a.iso" {
		t.Errorf("got %s", boottest.Text(l, err))
	}
}

// TestPlaces asserts that a configuration is found wherever distributions put
// it, in the case that a FAT may have the names in.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ name, fsType string }{
		{"boot/grub/grub.cfg", "ext4"},
		{"boot/grub2/grub.cfg", "ext4"},
		{"grub/grub.cfg", "ext4"},
		{"grub2/grub.cfg", "ext4"},
		{"grub.cfg", "ext4"},
		{"BOOT/GRUB/GRUB.CFG", "vfat"},
		{"EFI/fedora/grub.cfg", "vfat"},
		{"efi/BOOT/grub.cfg", "vfat"},
		{"@/boot/grub/grub.cfg", "btrfs"},
		{"rootvol/boot/grub2/grub.cfg", "btrfs"},
		{"@boot/grub/grub.cfg", "btrfs"},
	} {
		l, err := grub.Parse(fstest.MapFS{tt.name: boottest.File("menuentry a { linux /k }\n")}, boot.Volume{Type: tt.fsType}, nil)
		if err != nil || len(l.Entries) != 1 || l.Entries[0].Source != (boot.Source{File: tt.name, Line: 1}) {
			t.Errorf("%s: got %s", tt.name, boottest.Text(l, err))
		}
	}
	for _, name := range []string{"etc/grub.cfg", "@/boot/grub/grub.cfg", "boot/grub/loopback.cfg", "boot/grub/grub.cfg.new", "boot/grub/grub.cfg/x"} {
		l, err := grub.Parse(fstest.MapFS{name: boottest.File("menuentry a { linux /k }\n")}, boot.Volume{Type: "ext4"}, nil)
		if err != nil || len(l.Entries) != 0 {
			t.Errorf("%s: got %s", name, boottest.Text(l, err))
		}
	}
}

// TestEntry asserts what one entry, or none, turns into.
func TestEntry(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"kernel and initrds", "menuentry A {\n linux /boot/vmlinuz a  b\n initrd /boot/ucode /boot/initrd\n}", `
  kernel   boot/vmlinuz
  initrd   boot/ucode
  initrd   boot/initrd
  cmdline  a b`},
		{"16-bit and EFI commands", "menuentry A { linux16 /boot/vmlinuz; initrd16 /boot/ucode; linuxefi /boot/vmlinuz x; initrdefi /boot/initrd }", `
  kernel   boot/vmlinuz
  initrd   boot/initrd
  cmdline  x`},
		{"the last initrd command counts", "menuentry A { linux /boot/vmlinuz; initrd /boot/ucode; initrd /boot/initrd /boot/initrd }", `
  kernel   boot/vmlinuz
  initrd   boot/initrd`},
		{"initrd needs a kernel", "menuentry A { initrd /boot/ucode; linux /boot/vmlinuz }", `
  kernel   boot/vmlinuz`},
		{"command line", `menuentry A { linux /boot/vmlinuz BOOT_IMAGE=/x initrd=y "" a="b c" 'd"e' f\\g h;}`, `
  kernel   boot/vmlinuz
  cmdline  "a=b c" d\"e f\\g h`},
		{"variables", "set a='b c'; set k=vmlinuz\nmenuentry A { linux /boot/$k $a \"${a}\" }", `
  kernel   boot/vmlinuz
  cmdline  b c "b c"`},
		{"variables as they are at the end", "set a=1\nmenuentry A { linux /boot/vmlinuz $a }\nset a=2", `
  kernel   boot/vmlinuz
  cmdline  2`},
		{"entries do not see each other's variables", "menuentry Z { set a=1; linux /z }\nmenuentry A { linux /boot/vmlinuz [$a] }", `
  kernel   boot/vmlinuz
  cmdline  []`},
		{"arguments", `menuentry A --class x b --id y --unrestricted "c d" { linux /boot/vmlinuz $# "$3" $2 }`, `
  kernel   boot/vmlinuz
  cmdline  3 "c d" b`},
		{"--source", `menuentry A --source 'linux /boot/vmlinuz x'`, `
  kernel   boot/vmlinuz
  cmdline  x`},
		{"options of later versions are arguments", "menuentry A --new=x { linux /boot/vmlinuz $2 }", `
  kernel   boot/vmlinuz
  cmdline  --new=x`},
		{"function", "menuentry A { f x }\nfunction f { linux /boot/vmlinuz $1; }", `
  kernel   boot/vmlinuz
  cmdline  x`},
		{"condition on files", "menuentry A { if [ -f /boot/none -o -d /boot/vmlinuz -o -s /boot/empty ]; then linux /1; elif [ -s /boot/vmlinuz -a -d /boot -a -e /boot ]; then linux /boot/vmlinuz; fi }", `
  kernel   boot/vmlinuz`},
		{"pattern", "for k in /boot/vm*; do menuentry A $k { linux $2 }; done", `
  kernel   boot/vmlinuz`},
		{"paths stay on the volume", "menuentry A { linux /../..//boot/./vmlinuz }", `
  kernel   boot/vmlinuz`},
		{"sourced", "source $prefix/more.cfg\nmenuentry A { linux /a }\n", `
  kernel   a`},
		{"device tree", "menuentry A { linux /boot/vmlinuz; devicetree /x.dtb }", `
  kernel   boot/vmlinuz
  note     Its device tree /x.dtb is not passed on: the kernel gets the one that this machine runs with.`},
		{"saved variables", "load_env\nmenuentry A { linux /boot/vmlinuz $saved_entry $escaped $a }", `
  kernel   boot/vmlinuz
  cmdline  Two a\\b c`},
		{"some saved variables", "load_env --file $prefix/grubenv escaped\nmenuentry A { linux /boot/vmlinuz [$saved_entry] $escaped }", `
  kernel   boot/vmlinuz
  cmdline  [] a\\b c`},
		{"what the platform is", "menuentry A { linux /boot/vmlinuz $grub_platform $feature_menuentry_id $cmdpath; }", `
  kernel   boot/vmlinuz
  cmdline  pc y (volume/0)/boot/grub`},
		{"probe", "probe --set=u -u ($root); probe -s l --label $root; probe --fs --set=f (hd0,1)\nprobe --set p --partmap (hd0,1)\nmenuentry A { linux /boot/vmlinuz $u $l $f $p }", `
  kernel   boot/vmlinuz
  cmdline  aaaa-2 root fat gpt`},
		{"without a menu", "linux /boot/vmlinuz x\ninitrd /boot/initrd\nboot\nmenuentry B { linux /b }", ``},

		{"chainloader", "menuentry A { chainloader --force /EFI/x.efi }", `
  kernel   EFI/x.efi
  problem  It starts the EFI program x.efi through the firmware, which a running Linux cannot do.`},
		{"boot sector", "menuentry A { set root=(hd1,1); chainloader (hd1)+1 }", `
  problem  It starts a boot sector through the firmware, which a running Linux cannot do.`},
		{"multiboot", "menuentry A { multiboot /boot/vmlinuz x; module /y }", `
  kernel   boot/vmlinuz
  cmdline  x
  problem  It is a multiboot kernel, which alpboot cannot start.`},
		{"Xen by multiboot2", "menuentry A { multiboot2 --quirk-modules-after-kernel /boot/xen.gz placeholder x; module2 /y }", `
  kernel   boot/xen.gz
  cmdline  x
  problem  Xen needs a multiboot loader, which kexec is not: choose an entry without Xen.`},
		{"BSD", "menuentry A { kopenbsd /bsd }", `
  problem  It starts OpenBSD, and alpboot can only start Linux.`},
		{"network", "menuentry A { linux (http,example.org)/vmlinuz }", `
  problem  Its kernel /vmlinuz is on the network, which alpboot does not use.`},
		{"image", "menuentry A { loopback loop /x.iso; set root=(loop); linux /vmlinuz }", `
  problem  Its kernel /vmlinuz is on the image file /x.iso, which is not open.`},
		{"configuration in an image", "menuentry A { loopback loop /x.iso; configfile (loop)/boot/grub/loopback.cfg }", `
  problem  Its configuration is on the image file /x.iso, which is not open.`},
		{"memdisk", "menuentry A { linux16 /memdisk iso; initrd16 /x.iso }", `
  kernel   memdisk
  initrd   x.iso
  cmdline  iso
  problem  It starts a disk image through the BIOS (memdisk), which a running Linux cannot do.`},
		{"made initrd", "menuentry A { linux /boot/vmlinuz; initrd newc:x:/y }", `
  kernel   boot/vmlinuz
  problem  GRUB makes an initrd for it from the file newc:x:/y, which alpboot does not.`},
		{"two volumes", "menuentry A { linux /boot/vmlinuz; initrd (hd0,1)/i }", `
  kernel   boot/vmlinuz
  problem  Its kernel and its initrd /i are on different volumes, which alpboot cannot combine.`},
		{"unknown command", "menuentry A { frobnicate }", `
  problem  It runs "frobnicate", which is not a command that alpboot knows.`},
		{"endless", "menuentry A { while true; do true; done; linux /k }", `
  problem  It takes too much to run its commands.`},
		{"kernel without a name", "menuentry A { linux / }", `
  problem  It names a directory as its kernel.`},

		{"firmware", "menuentry A { fwsetup }", ""},
		{"power", "menuentry A { echo bye; halt }\nmenuentry A { reboot }\nmenuentry A { exit }", ""},
		{"memory test", "menuentry A { linux16 /boot/memtest86+.bin }\nmenuentry A { linux /boot/mt86p }", ""},
		{"line", "menuentry '----' { true }", ""},
		{"own menu", "menuentry A { configfile /boot/grub/grub.cfg }", ""},
		{"not here", "if [ $grub_platform = efi ]; then menuentry A { linux /a }; fi", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, tt.config)
			got := ""
			for _, e := range l.Entries {
				if e.Title == "A" {
					text := boottest.EntryText(e)
					for _, field := range []string{"format", "source", "default", "timeout"} {
						for line := range strings.Lines(text) {
							if strings.HasPrefix(line, "  "+field) {
								text = strings.Replace(text, line, "", 1)
							}
						}
					}
					_, got, _ = strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
					got = "\n" + got
				}
			}
			if got != tt.want {
				t.Errorf("%s\ngot %s\nwant %s", tt.config, got, tt.want)
			}
		})
	}
}

// TestVolume asserts on which volume a kernel is found.
func TestVolume(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       string // device and kernel, or the problem
		unresolved bool
	}{
		{"own", "linux /boot/vmlinuz", " boot/vmlinuz", false},
		{"own by UUID", "search --fs-uuid AAAA-2 --set=root; linux /boot/vmlinuz", " boot/vmlinuz", false},
		{"UUID", "search --no-floppy --fs-uuid --set=root --hint-bios=hd1,gpt1 --hint-efi=hd1,gpt1 --hint-baremetal=ahci1,gpt1 BBBB-1; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"UUID first", "search -u bbbb-1 --set; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"--set takes the next word", "search --fs-uuid --set root bbbb-1; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"--set takes the name", "search --fs-uuid --set bbbb-1; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"short options", "search -nus r abcd-0001; linux ($r)/vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"label", "search --label --set=root data; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"label after --", "search --label --set=root -- data; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"file", "search --set=root --file /vmlinuz-c; linux /vmlinuz-c", "/dev/mapper/vg-lv--boot vmlinuz-c", false},
		{"file on the own volume first", "search --set=root --file /boot; linux /boot/vmlinuz", " boot/vmlinuz", false},
		{"file with a hint", "search -u bbbb-1 --hint=hd7,msdos1 --set=x; search --set=root -f /both --hint hd7,msdos1; linux /x", "/dev/sdb1 x", false},
		{"search.fs_uuid", "search.fs_uuid bbbb-1 root hd3,gpt1; linux /vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"search.file", "search.file /vmlinuz-c root; linux /vmlinuz-c", "/dev/mapper/vg-lv--boot vmlinuz-c", false},
		{"search.fs_label", "search.fs_label data r; linux ($r)/vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"other variable", "search --fs-uuid --set=b bbbb-1; linux ($b)/vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"partition of the own disk", "set root='hd0,gpt1'; linux /vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"partition, MBR", "linux (hd0,msdos1)/vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"partition, short", "set root=(hd0,1); linux /vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"partition, native driver", "set root=ahci0,gpt1; linux /vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"first number is the own disk", "linux (hd3,gpt1)/vmlinuz-esp", "/dev/sda1 vmlinuz-esp", false},
		{"another number is the only other disk", "if [ -e (hd0,gpt2)/boot ]; then linux (hd1,gpt1)/vmlinuz-b; fi", "/dev/sdb1 vmlinuz-b", true},
		{"number known from a search", "search -u bbbb-1 --hint-bios=hd0,gpt1 --set=x; linux (hd0,gpt1)/vmlinuz-b", "/dev/sdb1 vmlinuz-b", false},
		{"LVM", "set root='lvm/vg-lv--boot'; linux /vmlinuz-c", "/dev/mapper/vg-lv--boot vmlinuz-c", false},
		{"set root before a search counts for nothing", "set root='hd0,gpt1'; search --fs-uuid --set=root aaaa-2; linux /boot/vmlinuz", " boot/vmlinuz", false},

		{"missing UUID", "set root='hd0,gpt1'; search --fs-uuid --set=root dddd-1; linux /k", "Its kernel /k is on the volume with UUID dddd-1, which is not there.", true},
		{"missing label", "search --label 'no where' --set; linux /k", "Its kernel /k is on the volume with label no where, which is not there.", true},
		{"missing file", "search --file /none --set; linux /k", "Its kernel /k is on the volume with the file /none, which is not there.", true},
		{"missing partition", "linux (hd0,gpt9)/k", "Its kernel /k is on the device (hd0,gpt9), which is not there.", true},
		{"encrypted", "set root='cryptouuid/abc'; linux /k", "Its kernel /k is on the device (cryptouuid/abc), which is not there.", true},
		{"missing disk", "if [ -e (hd0,gpt2)/boot ]; then linux (hd1,gpt5)/k; fi", "Its kernel /k is on the device (hd1,gpt5), which is not there.", true},
		{"no type of search", "search data --set; linux /boot/vmlinuz", " boot/vmlinuz", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, "menuentry A { "+tt.body+" }")
			if len(l.Entries) != 1 {
				t.Fatal(boottest.Text(l, nil))
			}
			e := l.Entries[0]
			got := e.Problem
			if got == "" {
				got = e.Volume.Device + " " + e.Kernel
			}
			if got != tt.want || l.Unresolved != tt.unresolved {
				t.Errorf("got %q, unresolved %v, want %q, %v", got, l.Unresolved, tt.want, tt.unresolved)
			}
			for _, v := range machine("") {
				if v.Volume.Device == e.Volume.Device && v.Volume != e.Volume {
					t.Errorf("volume %+v, want %+v", e.Volume, v.Volume)
				}
			}
		})
	}
}

// TestPlainDirectory asserts that a directory, of which no UUID is known, stands for
// the volume that its configuration names. Another one may turn up that has the files.
func TestPlainDirectory(t *testing.T) {
	fsys := fstest.MapFS{"grub/grub.cfg": boottest.File("menuentry A { set root=hd0,gpt2; search -u dddd-1 --set; linux /vmlinuz }\nmenuentry B { set root=(hd0,2); linux /b }")}
	l, err := grub.Parse(fsys, boot.Volume{Device: "/srv/tree"}, nil)
	if err != nil || len(l.Entries) != 2 || !l.Unresolved || l.Entries[0].Kernel != "vmlinuz" || l.Entries[1].Kernel != "b" {
		t.Error(boottest.Text(l, err))
	}
}

// TestSameUUID asserts that of two copies of a disk each uses its own volumes.
func TestSameUUID(t *testing.T) {
	config := fstest.MapFS{"grub/grub.cfg": boottest.File("menuentry A { search -u boot --set; linux /vmlinuz }")}
	vs := boot.Volumes{}
	for _, d := range []string{"/dev/sda", "/dev/sdb"} {
		vs = append(vs, boot.MountedVolume{Volume: boot.Volume{Device: d + "1", Disk: d, Partition: 1, UUID: "boot", Type: "ext4"}, FS: fstest.MapFS{}},
			boot.MountedVolume{Volume: boot.Volume{Device: d + "2", Disk: d, Partition: 2, UUID: "root", Type: "ext4"}, FS: config})
	}
	for _, i := range []int{1, 3} {
		l, err := grub.Parse(vs[i].FS, vs[i].Volume, vs)
		if err != nil || len(l.Entries) != 1 || l.Entries[0].Volume != vs[i-1].Volume {
			t.Error(boottest.Text(l, err))
		}
	}
}

// TestDefault asserts which entry is the default.
func TestDefault(t *testing.T) {
	const entries = `
menuentry One --id 1st { linux /boot/vmlinuz 1 }
submenu Sub {
  menuentry In { linux /boot/vmlinuz in }
  submenu 'Sub > Sub' --id subsub {
    menuentry In { linux /boot/vmlinuz in in }
    menuentry Deep --id deep { linux /boot/vmlinuz deep }
  }
}
menuentry Two { linux /boot/vmlinuz 2 }
menuentry Firmware { fwsetup }
menuentry Windows { chainloader /x }
menuentry Gone { linux /boot/gone }
menuentry Rescue --id gnulinux-x-recovery-y { linux /boot/vmlinuz rescue }
menuentry Single { linux /boot/vmlinuz single }
menuentry '4 wheels' { linux /boot/vmlinuz 4 }
`
	const two = "Two"
	for _, tt := range []struct{ config, want string }{
		{"", "One"},
		{"set default=0", "One"},
		{"default=2", two},
		{"set default=Two", two},
		{"set default=1st", "One"},
		{"set default=1", "Sub / In"},
		{"set default='1>1'", "Sub / Sub > Sub / In"},
		{"set default='Sub>subsub>deep'", "Sub / Sub > Sub / Deep"},
		{"set default='Sub>Sub >> Sub>1'", "Sub / Sub > Sub / Deep"},
		{"set default='2>5'", two},
		{"set default=99", "One"},
		{"set default=nonsense", "One"},
		{"set default='4 wheels'", "4 wheels"},
		{"load_env; set default=${saved_entry}", two},
		{"set default=3", ""}, // firmware
		{"set default=4", "Windows"},
		{"set default=4; set fallback=2", two},
		{"set default=5", "Gone"},
		{"set default=5; set fallback='4 5 Two 0'", two},
		{"set default=5; set fallback='nonsense'", "Gone"},
		{"set default=2; set fallback=0", two},
		{"set default=6", ""}, // recovery
		{"set default=Single", ""},
		{"source $prefix/user.cfg", "Sub / In"},
		{"uki", ""}, // an image that is not known
		{"uki; set default=Two", two},
		{"uki; set default=2", ""},
		{"submenu S { uki }; set default=1", "One"},
		{"export default=2; set default=2", two},
	} {
		l := parse(t, tt.config+entries)
		got := ""
		for _, e := range l.Entries {
			if e.Default {
				got += boottest.Path(e)
			}
		}
		if got != tt.want {
			t.Errorf("%q: default %q, want %q", tt.config, got, tt.want)
		}
	}
}

func TestTimeout(t *testing.T) {
	const never = time.Duration(-1)
	for _, tt := range []struct {
		config string
		want   *time.Duration
	}{
		{"", nil},
		{"set timeout=5", new(5 * time.Second)},
		{"set timeout=0; set timeout_style=hidden", new(time.Duration(0))},
		{"set timeout=-1", new(never)},
		{"set timeout=", new(never)},
		{"set timeout=x", new(never)},
		{"set timeout=1; set timeout=2", new(2 * time.Second)},
		{"set timeout=99999999999999999999", new((1<<31 - 1) * time.Second)},
		{"set timeout=1; unset timeout", nil},
		{"if sleep --interruptible 3; then set timeout=0; fi", new(time.Duration(0))},
	} {
		l := parse(t, tt.config+"\nsubmenu S { menuentry A { set timeout=9; linux /a } }\n")
		got := l.Entries[0].Timeout
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%q: %v, want %v", tt.config, got, tt.want)
		}
	}
}

// TestGoOn asserts what becomes of configurations that go on with another file.
func TestGoOn(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		want         []string // title and source of each entry; the default has a star
		unresolved   bool
	}{
		{"configfile comes first", "set timeout=1; menuentry A { linux /a }\nconfigfile ${prefix}/more.cfg", []string{"*More /boot/grub/more.cfg:1", "A /boot/grub/grub.cfg:1"}, false},
		{"other volume", "search -u bbbb-1 --set=root\nconfigfile /grub/next.cfg", []string{"*Next /boot/grub/grub.cfg:2", "Second /boot/grub/grub.cfg:2"}, false},
		{"default is not handed on", "set default=1\nconfigfile (hd0,gpt2)/boot/grub/more.cfg", []string{"*More /boot/grub/more.cfg:1"}, false},
		{"exported default is handed on", "set default=1; export default; search -u bbbb-1 --set=root\nconfigfile /grub/next.cfg", []string{"Next /boot/grub/grub.cfg:2", "*Second /boot/grub/grub.cfg:2"}, false},
		{"normal", "normal $prefix/more.cfg", []string{"*More /boot/grub/more.cfg:1"}, false},
		{"entry opens a configuration", "menuentry Other { configfile /boot/grub/more.cfg }\nmenuentry B { linux /b }", []string{"*Other / More /boot/grub/more.cfg:1", "B /boot/grub/grub.cfg:2"}, false},
		{"extract", "submenu Other { extract_entries_source /boot/grub/more.cfg }", []string{"*Other / More /boot/grub/more.cfg:1"}, false},
		{"dot", ". $prefix/more.cfg", []string{"*More /boot/grub/more.cfg:1"}, false},
		{"exit", "menuentry A { linux /a }\nexit\nmenuentry B { linux /b }", []string{"*A /boot/grub/grub.cfg:1"}, false},
		{"missing volume", "search -u dddd-1 --set=root\nconfigfile /grub/grub.cfg", nil, true},
		{"missing volume in a variable", "search -u dddd-1 --set=dev\nset prefix=($dev)/grub\nconfigfile $prefix/grub.cfg", nil, true},
		{"entry of a missing volume", "menuentry A { search -u dddd-1 --set=root; configfile /grub/grub.cfg }", []string{"*A /boot/grub/grub.cfg:1"}, true},
		{"boot without a menu", "linux /boot/vmlinuz x\nboot", []string{"*vmlinuz /boot/grub/grub.cfg:2"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, tt.config)
			var got []string
			for _, e := range l.Entries {
				s := boottest.Path(e) + " " + e.Source.String()
				if e.Default {
					s = "*" + s
				}
				got = append(got, s)
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") || l.Unresolved != tt.unresolved {
				t.Errorf("got %q, unresolved %v, want %q, %v", got, l.Unresolved, tt.want, tt.unresolved)
			}
			if tt.unresolved && len(l.Notes) > 0 {
				t.Errorf("notes about a volume that may yet come:\n%s", boottest.Notes(l))
			}
		})
	}
}

// TestOnce asserts that a file with two names is read once, and an entry that
// is there twice, in and out of a submenu, returned once; one with another title
// on the same level stays.
func TestOnce(t *testing.T) {
	l, err := grub.Parse(fstest.MapFS{
		"boot/grub/grub.cfg": boottest.File("set default='S>B'\nmenuentry A { linux /k a; initrd /i }\nmenuentry D { linux /k a; initrd /i }\n" +
			"submenu S { menuentry B { linux /k a; initrd /i }\nmenuentry C { linux /k a } }\nmenuentry D { linux /k a; initrd /i }"),
		"boot/grub2":          boottest.Link("grub"),
		"boot/boot":           boottest.Link("."),
		"grub":                boottest.Link("/boot/grub"),
		"EFI/alpine/grub.cfg": boottest.File("configfile /boot/boot/grub2/grub.cfg"),
	}, boot.Volume{Type: "ext4"}, nil)
	var got []string
	for _, e := range l.Entries {
		got = append(got, boottest.Path(e))
	}
	if want := []string{"A", "D", "S / C"}; err != nil || !slices.Equal(got, want) || !l.Entries[0].Default {
		t.Errorf("got %q, want %q, the first of them the default:\n%s", got, want, boottest.Text(l, err))
	}
}

// TestNotes asserts what notes there are about what could not be used, and that the
// rest is.
func TestNotes(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"syntax", "menuentry B { linux & }\n", "/boot/grub/grub.cfg:1: GRUB's language does not allow this (& has no meaning in GRUB outside of quotes): the command is skipped.\n"},
		{"syntax on a later line", "menuentry B {\n linux a\n fi\n}\n", "/boot/grub/grub.cfg:3: GRUB's language does not allow this (\"fi\" stands in the wrong place): the command is skipped.\n/boot/grub/grub.cfg:4: GRUB's language does not allow this (} closes nothing): the command is skipped.\n"},
		{"functions of GRUB's scripts that nothing defines", "load_video\nmenuentry A { load_video; savedefault; linux /k }\n", ""},
		{"unknown command, once", "frob a\nfrob b\nfunction f { frob; }\nf\n", "/boot/grub/grub.cfg:1: \"frob\" is not a command that alpboot knows: it is skipped.\n"},
		{"regexp", "regexp --set=1:x a b\nregexp '(a' b\n", "/boot/grub/grub.cfg:2: The pattern \"(a\" cannot be used: it is not an extended regular expression.\n"},
		{"blscfg", "blscfg\n", "/boot/grub/grub.cfg:1: blscfg finds no entries of the Boot Loader Specification.\n"},
		{"password", "set superusers=root; password root x\nmenuentry B --users '' { linux /b }\n", ""},
		{"missing file", "source /none.cfg\n", "/boot/grub/grub.cfg:1: The file \"/none.cfg\" cannot be used: file does not exist.\n"},
		{"syntax in a sourced file", "source $prefix/syntax.cfg\n", "/boot/grub/syntax.cfg:2: GRUB's language does not allow this (& has no meaning in GRUB outside of quotes): the command is skipped.\n/boot/grub/syntax.cfg:3: GRUB's language does not allow this (} closes nothing): the command is skipped.\n"},
		{"source without an end", "source $prefix/forever.cfg\n", "/boot/grub/forever.cfg:1: Files are used more than 32 deep: the command is skipped.\n"},
		{"function without an end", "function f { f; }\nf\n", "/boot/grub/grub.cfg:1: Functions are used more than 32 deep: the command is skipped.\n"},
		{"eval without an end", "x='eval $x'; eval $x\n", "/boot/grub/grub.cfg:1: Commands are used more than 32 deep: the command is skipped.\n"},
		{"loop without an end", "while true; do x=1; done\n", "A configuration runs too many commands, as in a loop without an end: it was stopped.\n"},
		{"text without an end", "x=abc; while true; do x=$x$x; done\n", "A configuration makes texts of more than 64 KiB, or more than 16 MiB of them: it was stopped.\n"},
		{"no title", "menuentry { linux /b }\n", "/boot/grub/grub.cfg:1: A menu entry without a title is left out.\n"},
		{"no block", "menuentry B\n", "/boot/grub/grub.cfg:1: The menu entry \"B\" has no block: it is left out.\n"},
		{"no environment block", "load_env -f $prefix/notenv\n", "/boot/grub/notenv: It is not an environment block of GRUB.\n"},
		{"unclosed quote", "set x='a\n", "/boot/grub/grub.cfg:1: GRUB's language does not allow this (a quote is not closed): the command is skipped.\n"},
		{"known commands", "insmod a; echo b; terminal_output c; sleep 1; export d; play 1; badram 2; setpci 3; serial; save_env e; acpi f\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, "menuentry A { linux /boot/vmlinuz }\n"+tt.config)
			got := strings.ReplaceAll(boottest.Notes(l), "grub.cfg:", "grub.cfg:+")
			want := strings.ReplaceAll(tt.want, "grub.cfg:", "grub.cfg:+")
			for n := 9; n > 0; n-- { // lines are counted from the one after A
				want = strings.ReplaceAll(want, fmt.Sprintf("/grub.cfg:+%d", n), fmt.Sprintf("/grub.cfg:+%d", n+1))
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if len(l.Entries) == 0 || l.Entries[0].Title != "A" || l.Entries[0].Kernel != "boot/vmlinuz" {
				t.Errorf("the good entry: %s", boottest.Text(l, nil))
			}
		})
	}
}

// TestBroken asserts what a file that cannot be used leads to.
func TestBroken(t *testing.T) {
	big := strings.Repeat("# a comment\n", 1<<17)
	l, err := grub.Parse(fstest.MapFS{"boot/grub/grub.cfg": boottest.File(big)}, boot.Volume{}, nil)
	if !errors.Is(err, boot.ErrTooLarge) || len(l.Entries) > 0 {
		t.Error(boottest.Text(l, err))
	}
	l, err = grub.Parse(fstest.MapFS{"boot/grub/grub.cfg": boottest.File(big), "grub/grub.cfg": boottest.File("menuentry A { linux /k }")}, boot.Volume{}, nil)
	if err != nil || len(l.Entries) != 1 || !strings.Contains(boottest.Notes(l), "/boot/grub/grub.cfg cannot be used: file is too large") {
		t.Error(boottest.Text(l, err))
	}
	l, err = grub.Parse(fstest.MapFS{"boot/grub/grub.cfg": boottest.File("set timeout=1\n")}, boot.Volume{}, nil)
	if err != nil || boottest.Notes(l) != "/boot/grub/grub.cfg: The file holds no entry.\n" {
		t.Error(boottest.Text(l, err))
	}
	l, err = grub.Parse(fstest.MapFS{}, boot.Volume{}, nil)
	if err != nil || boottest.Text(l, err) != "nothing\n" {
		t.Error(boottest.Text(l, err))
	}
}

// TestLimits asserts that configurations made to be large end soon, with
// something with the reason.
func TestLimits(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"entries", "while true; do menuentry A { linux /k }; done", "more than 1000 menu entries"},
		{"entries without an end", strings.Repeat("menuentry A { while true; do x=1; done }\n", 900), "too many commands"},
		{"submenus", "function f { submenu A { f }; }\nfunction g { submenu A { g2; } }\nf\n", ""},
		{"nesting", strings.Repeat("if true; then ", 5000) + "true", "holds too much"},
		{"blocks", strings.Repeat("menuentry A { ", 5000), "holds too much"},
		{"elif", "if true; then true; " + strings.Repeat("elif true; then true; ", 5000), "holds too much"},
		{"parentheses", "if test " + strings.Repeat("( ", 5000) + "; then true; fi", ""},
		{"words", strings.Repeat("a b c d e f g h i j k l m n o p q r s t u v w x y z;", 15000), "holds too much"},
		{"variables", "x=1; while true; do x=a$x; eval $x=1; done", "more than 2000 variables"},
		{"empty arguments", "function f { f \"$@\" \"$@\" ''; }\nf", "texts of more than"},
		{"lookups", "while true; do if [ -f /a/b/c ]; then true; fi; done", "look for more than"},
		{"searches", "while true; do search --file /a --set=x; done", "look for more than"},
		{"patterns", "while true; do echo /*/*/*/*; done", "look for more than"},
		{"files", "while true; do source $prefix/user.cfg; done", "more than 256 files"},
		{"configurations", "while true; do configfile $prefix/more.cfg; done", "more than 256 files"},
		{"menus in each other", "menuentry A { eval 'configfile $prefix/loop.cfg' }", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vs := machine(tt.config)
			vs[0].FS.(fstest.MapFS)["boot/grub/loop.cfg"] = boottest.File("submenu B { configfile $prefix/loop.cfg }\nmenuentry C { configfile $prefix/loop.cfg }")
			began := boottest.ProcessorTime(t)
			l, err := grub.Parse(vs[0].FS, vs[0].Volume, vs)
			if err != nil {
				t.Fatal(err)
			}
			if d := boottest.ProcessorTime(t) - began; d > 10*time.Second {
				t.Errorf("it took %v", d)
			}
			if len(l.Entries) > 1000 || len(l.Notes) > 21 || !strings.Contains(boottest.Notes(l), tt.want) {
				t.Errorf("%d entries, notes:\n%s", len(l.Entries), boottest.Notes(l))
			}
		})
	}
}

// FuzzParse asserts what holds for any configuration: it ends without a panic,
// paths stay on the volume, and titles and notes are fit to be printed.
func FuzzParse(f *testing.F) {
	f.Add("set timeout=5\nmenuentry 'A' --id a { linux ($root)/k \"a b\" $x; initrd /u /i }\nsubmenu S { menuentry B { chainloader +1 } }\n", "x=1")
	f.Add("if [ -f /inc.cfg -a ( 1 -lt 2 ) ]; then source /inc.cfg; elif ! true; then configfile /inc.cfg; fi\n", "for i in /* $@ \"$*\"; do menuentry $i { linux $1; boot }; done")
	f.Add("function f { while [ x$1 != x ]; do shift; break 2; done; return 3; }\nf a 'b' \\\n c; eval $\"x $y\"\n", "search --set=root --fs-uuid aaaa-2 --hint hd0,gpt2; set root=(hd1,1); load_env -f /env x; until false; do continue; done")
	f.Add("loopback loop /x.iso; set root=(loop); configfile /boot/grub/loopback.cfg", "loopback loop (loop)$iso_path; search --set=root --file $iso_path; menuentry A { linux (loop)/k iso=$iso_path }")
	boottest.Seeds(f, func(_, text string) { f.Add(text, "") }, "*.conf", "*.cfg")
	f.Fuzz(func(t *testing.T, config, included string) {
		vs := machine(config)
		vs[0].FS.(fstest.MapFS)["inc.cfg"] = boottest.File(included)
		vs[0].FS.(fstest.MapFS)["env"] = boottest.File("# GRUB Environment Block\n" + included)
		vs[0].FS.(fstest.MapFS)["x.iso"] = boottest.File("an image")
		image := boot.MountedVolume{
			Volume: boot.Volume{Device: vs[0].Volume.ImageDevice("x.iso"), Type: "iso9660"},
			FS:     fstest.MapFS{"boot/grub/loopback.cfg": boottest.File(included), "k": boottest.File("k"), "x.iso": boottest.File("an image")},
		}
		vs = append(vs, image)
		l, err := grub.Parse(vs[0].FS, vs[0].Volume, vs)
		boottest.Check(t, l, err)
		l, err = grub.ParseFile(image.FS, image.Volume, vs, "boot/grub/loopback.cfg", map[string]string{"iso_path": "/x.iso"})
		boottest.Check(t, l, err)
	})
}

// TestChainload asserts that a unified kernel image that a menu entry starts
// through the firmware is booted by its own command line, from the ESP too, and
// Windows is not.
func TestChainload(t *testing.T) {
	img, err := ukitest.FromText(".osrel ID=arch\n.cmdline root=/dev/sda2 rw\n.linux 6.11.1\n.initrd 070701\n")
	if err != nil {
		t.Fatal(err)
	}
	esp := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/sda1", UUID: "AAAA-0001", Type: "vfat"},
		FS: fstest.MapFS{"EFI/Linux/arch.efi": {Data: img}, "EFI/Microsoft/Boot/bootmgfw.efi": boottest.File("MZ")}}
	root := boot.Volume{Device: "/dev/sda2", Type: "ext4"}
	fsys := fstest.MapFS{"boot/grub/grub.cfg": boottest.File(`
menuentry Arch { search --set=root --fs-uuid AAAA-0001; chainloader /EFI/Linux/arch.efi }
menuentry Options { search --set=root --fs-uuid AAAA-0001; chainloader /EFI/Linux/arch.efi single }
menuentry Windows { search --set=root --fs-uuid AAAA-0001; chainloader /EFI/Microsoft/Boot/bootmgfw.efi }
`)}
	l, err := grub.Parse(fsys, root, boot.Volumes{{Volume: root, FS: fsys}, esp})
	if err != nil || len(l.Entries) != 3 {
		t.Fatalf("got %s", boottest.Text(l, err))
	}
	for i, want := range []boot.Entry{
		{Cmdline: "root=/dev/sda2 rw", UKI: true},
		{Cmdline: "single", UKI: true},
		{Problem: "It starts Windows through the firmware, which a running Linux cannot do."},
	} {
		if e := l.Entries[i]; e.Cmdline != want.Cmdline || e.UKI != want.UKI || e.Problem != want.Problem || e.Volume != esp.Volume {
			t.Errorf("got %s", boottest.EntryText(e))
		}
	}
}
