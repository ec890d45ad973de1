package bare

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/subvolume"
	"github.com/google/go-cmp/cmp"
)

func TestAssignments(t *testing.T) {
	tests := []struct {
		name, in string
		want     map[string]string
	}{
		{"plain", "a=b\n", map[string]string{"a": "b"}},
		{"empty", "a=\nb=''\n", map[string]string{"a": "", "b": ""}},
		{"quotes", `a="x y"'z $a'\ w`, map[string]string{"a": "x yz $a w"}},
		{"escapes", `a="\"\$\x\\" b=\"`, map[string]string{"a": `"$\x\`, "b": `"`}},
		{"comments", "#a=1\n b=2 #c=3\nd=x#y\n", map[string]string{"b": "2", "d": "x#y"}},
		{"several on a line", "a=1;b=2 c=3\n", map[string]string{"a": "1", "b": "2", "c": "3"}},
		{"export", "export a=1\n", map[string]string{"a": "1"}},
		{"more", "a=1\na+=2\nb+=3\n", map[string]string{"a": "12", "b": "3"}},
		{"variables", "a=1\nb=$a-${a}-$c$ \n", map[string]string{"a": "1", "b": "1-1-$"}},
		{"over lines", "a=\"x\ny\"\nb=x\\\ny\n", map[string]string{"a": "x\ny", "b": "xy"}},
		{"CRLF", "a=1\r\nb=2\r\n", map[string]string{"a": "1", "b": "2"}},
		{"to be run", "a=1\na=`x`\nb=$(x)\nc=${x:-1}\nd=(1 2)\n", map[string]string{}},
		{"open quote", "a=1\nb=\"x\nc=2\n", map[string]string{"a": "1"}},
		{"commands", "if [ \"$x\" = \"a=1\" ]; then\nb=2\nfi\necho 'c=3'\n1=2\n", map[string]string{"b": "2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, assignments(tt.in)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// FuzzAssignments asserts that any file is read to its end without a panic, and
// that no value outgrows its limit.
func FuzzAssignments(f *testing.F) {
	f.Add("GRUB_CMDLINE_LINUX=\"quiet $A ${B} \\\n x\"'y' # z\nexport C+=`d`\nE=$(f)\n")
	f.Add("A=xxxxxxxx\nA=$A$A\nA=$A$A\n;&|=\"")
	f.Fuzz(func(t *testing.T, in string) {
		for name, value := range assignments(in) {
			if len(value) > maxValue || name == "" || nameLen(name) != len(name) {
				t.Errorf("%q has %d bytes", name, len(value))
			}
		}
	})
}

// FuzzRoot asserts that no fstab and no configuration can make a command line
// that is not one line, or an entry that could be booted without a root.
func FuzzRoot(f *testing.F) {
	f.Add("UUID=1 / ext4 subvol=@ 0 1\n/dev/md0 /boot ext4\n", "ID=alpine\nPRETTY_NAME='Alpine Linux'\n", "root=UUID=1\nmodules=a\ndefault_kernel_opts=quiet\n", "# c\nroot=x\n")
	f.Add("rpool/ROOT / zfs\nLABEL=\\040 /efi vfat\n", "ID=debian\n", "GRUB_CMDLINE_LINUX=\"a\"", "")
	f.Fuzz(func(t *testing.T, fstab, release, conf, cmdline string) {
		file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
		fsys := fstest.MapFS{
			"vmlinuz-lts":                        file("kernel"),
			"initramfs-lts":                      file("initramfs"),
			".alpine-release":                    file(release),
			"etc/fstab":                          file(fstab),
			"etc/os-release":                     file(release),
			"etc/update-extlinux.conf":           file(conf),
			"etc/default/grub":                   file(conf),
			"etc/mkinitfs/mkinitfs.conf":         file(conf),
			"etc/kernel-hooks.d/secureboot.conf": file(conf),
			"etc/kernel/cmdline":                 file(cmdline),
		}
		parse := func(fsys fstest.MapFS, fstype string) boot.Entry {
			l, err := Parse(fsys, boot.Volume{Device: "/dev/sda1", Type: fstype})
			if err != nil || len(l.Entries) != 1 {
				t.Fatalf("%d entries, error %v", len(l.Entries), err)
			}
			boottest.Check(t, l, err)
			return l.Entries[0]
		}
		if e := parse(fsys, "ext4"); e.Problem == "" && !strings.Contains(e.Cmdline, "root=") {
			t.Errorf("bootable with the command line %q", e.Cmdline)
		}
		const dir = "@/.snapshots/1/snapshot"
		snapshot := fstest.MapFS{}
		for name, f := range fsys {
			snapshot[dir+"/"+name] = f
		}
		e := parse(snapshot, "btrfs")
		if in := subvolume.Flag(e.Cmdline); !e.Snapshot || e.Problem == "" && in != dir {
			t.Errorf("bootable from the subvolume %q: %q", in, e.Cmdline)
		}
	})
}

// FuzzLoaderLine asserts that no configuration of another boot loader makes a
// command line that is not one line, or that names no root.
func FuzzLoaderLine(f *testing.F) {
	f.Add("append=\"quiet\"\ndefault = b\nimage = /boot/a\n root = /dev/sda1\n label = a\n read-only\nimage=b\nother=x\n", "rootdev=UUID=1\nextraargs=a\n")
	f.Fuzz(func(t *testing.T, lilo, armbian string) {
		for _, fsys := range []fstest.MapFS{
			{"etc/lilo.conf": boottest.File(lilo)},
			{"boot/armbianEnv.txt": boottest.File(armbian)},
		} {
			line, from := loaderLine(fsys, ".", "boot", "vmlinuz-a")
			if (line == "") != (from == "") || strings.ContainsAny(line, "\n\r\x00") || line != "" && !strings.Contains(line, "root=") {
				t.Errorf("the command line %q, from %q", line, from)
			}
		}
	})
}
