package refind_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/refind"
)

func parse(t *testing.T, fsys fs.FS, vol boot.Volume) boot.Listing {
	t.Helper()
	l, err := refind.Parse(fsys, vol, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPlaces asserts in which directories the file is found, and under which names.
func TestPlaces(t *testing.T) {
	const none = ""
	for name, kernel := range map[string]string{
		"refind_linux.conf":               "vmlinuz",
		"REFIND_LINUX.CONF":               "vmlinuz",
		"refind-linux.conf":               "vmlinuz",
		"boot/refind_linux.conf":          "boot/vmlinuz",
		"boot/alpine/refind_linux.conf":   "boot/alpine/vmlinuz",
		"EFI/Alpine/refind_linux.conf":    "EFI/Alpine/vmlinuz",
		"efi/refind_linux.conf":           "efi/vmlinuz",
		"@/refind_linux.conf":             "@/vmlinuz",
		"@/boot/refind_linux.conf":        "@/boot/vmlinuz",
		"root/boot/lts/refind_linux.conf": "root/boot/lts/vmlinuz",
		"boot/a/b/refind_linux.conf":      none,
		"a/b/refind_linux.conf":           none,
		"refind_linux.conf.bak":           none,
		"boot/linux.conf":                 none,
	} {
		fsys := fstest.MapFS{name: boottest.File(`"a" "b"`), filepath.Dir(name) + "/vmlinuz": boottest.File("kernel")}
		if !strings.Contains(name, "/") {
			fsys["vmlinuz"] = boottest.File("kernel")
			delete(fsys, "./vmlinuz")
		}
		l := parse(t, fsys, boot.Volume{Type: "btrfs"})
		got := none
		if len(l.Entries) == 1 {
			got = l.Entries[0].Kernel
		}
		if got != kernel {
			t.Errorf("%s: got %s", name, boottest.Text(l, nil))
		}
		if l = parse(t, fsys, boot.Volume{Type: "ext4"}); strings.HasPrefix(name, "@") && len(l.Entries) != 0 {
			t.Errorf("%s, not on btrfs: got %s", name, boottest.Text(l, nil))
		}
	}
}

func TestFirstName(t *testing.T) {
	l := parse(t, fstest.MapFS{"refind-linux.conf": boottest.File("no no"), "refind_linux.conf": boottest.File("a b"), "vmlinuz": boottest.File("")}, boot.Volume{})
	if len(l.Entries) != 1 || l.Entries[0].Source.File != "refind_linux.conf" {
		t.Errorf("got %s", boottest.Text(l, nil))
	}
}

// TestLine asserts what a line turns into, for the kernel vmlinuz-6.12.3-1-lts
// with its initrd.
func TestLine(t *testing.T) {
	const none = "(no entry)"
	const kernel = " (vmlinuz-6.12.3-1-lts)"
	const own = "boot/initramfs-6.12.3-1-lts.img"
	tests := []struct {
		name    string
		text    string
		title   string // of the first entry; none for no entry at all
		initrds string // with spaces between
		cmdline string
		problem string // what it contains
		note    string // what a note contains
	}{
		{name: "quoted", text: `"A label" "root=/dev/sda2 quiet"`, title: "A label" + kernel, initrds: own, cmdline: "root=/dev/sda2 quiet"},
		{name: "not quoted", text: `label quiet`, title: "label" + kernel, initrds: own, cmdline: "quiet"},
		{name: "all separators", text: "\t\"A\" =,\t\"quiet\"\t", title: "A" + kernel, initrds: own, cmdline: "quiet"},
		{name: "nothing between", text: `"A""B" "q"`, title: `A"B` + kernel, initrds: own, cmdline: "q"},
		{name: "quotes inside", text: `"""A""" "a=""x y"" b"`, title: `"A"` + kernel, initrds: own, cmdline: `a="x y" b`},
		{name: "comments", text: "# \"no\" \"no\"\n\n  # no\n\"A\" \"x#y\" # no\n", title: "A" + kernel, initrds: own, cmdline: "x#y"},
		{name: "CRLF", text: "\"A\" \"q\"\r\n", title: "A" + kernel, initrds: own, cmdline: "q"},
		{name: "byte order mark", text: "\ufeff\"A\" \"q\"\n", title: "A" + kernel, initrds: own, cmdline: "q"},
		{name: "UTF-16", text: "\xff\xfe\"\x00A\x00\"\x00 \x00q\x00\n\x00", title: "A" + kernel, initrds: own, cmdline: "q"},
		{name: "half of UTF-16", text: "\xff\xfea", title: none, note: "holds no options"},
		{name: "open quote", text: `"A" "root=x quiet`, title: "A" + kernel, initrds: own, cmdline: "root=x quiet"},
		{name: "empty label", text: `"" "q"`, title: "vmlinuz-6.12.3-1-lts", initrds: own, cmdline: "q"},
		{name: "empty options", text: `"A" ""`, title: "A" + kernel, initrds: own},
		{name: "hostile label", text: "\"\x1b[2JA\u202e\" \"a\x1bb\"", title: "[2JA" + kernel, initrds: own, cmdline: "a b"},
		{name: "BOOT_IMAGE", text: `"A" "BOOT_IMAGE=/x  ro"`, title: "A" + kernel, initrds: own, cmdline: "ro"},

		{name: "own initrds", text: `"A" "initrd=\boot\u quiet initrd=i initrd=/boot\x"`, title: "A" + kernel, initrds: "boot/u i boot/x", cmdline: "quiet"},
		{name: "no way out", text: `"A" "initrd=..\..\etc\i"`, title: "A" + kernel, initrds: "etc/i"},
		{name: "initrd without a file", text: `"A" "initrd= quiet"`, title: "A" + kernel, cmdline: "quiet"},
		{name: "another word with initrd", text: `"A" "noinitrd=1"`, title: "A" + kernel, cmdline: "noinitrd=1"},
		{name: "version", text: `"A" "initrd=\boot\initramfs-%v.img v=%v"`, title: "A" + kernel, initrds: "boot/initramfs-6.12.3-1.img", cmdline: "v=6.12.3-1"},
		{name: "too many initrds", text: `"A" "` + strings.Repeat("initrd=i ", 40) + `"`, title: "A" + kernel, initrds: strings.TrimSpace(strings.Repeat("i ", 32)), problem: "40 initrds"},

		{name: "label alone", text: "\"A\"\n\"B\" \"q\"\n", title: none, note: `"A" has no options`},
		{name: "options that are not quoted", text: `"A" root=/dev/sda2 quiet`, title: "A" + kernel, initrds: own, cmdline: "root", note: `"/dev/sda2" is not in quotes`},
		{name: "empty", text: "# nothing\n", title: none, note: "holds no options"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parse(t, fstest.MapFS{
				"boot/refind_linux.conf":    boottest.File(tt.text),
				"boot/vmlinuz-6.12.3-1-lts": boottest.File("kernel"),
				own:                         boottest.File("initrd"),
			}, boot.Volume{})
			all := boottest.Notes(l)
			if !strings.Contains(all, tt.note) || (all == "") != (tt.note == "") {
				t.Errorf("notes %q, want %q among them", all, tt.note)
			}
			if tt.title == none {
				if len(l.Entries) != 0 {
					t.Errorf("got an entry:\n%s", boottest.Text(l, nil))
				}
				return
			}
			if len(l.Entries) == 0 {
				t.Fatalf("no entry; notes: %s", all)
			}
			e := l.Entries[0]
			got := [...]string{e.Title, strings.Join(e.Initrds, " "), e.Cmdline}
			if want := [...]string{tt.title, tt.initrds, tt.cmdline}; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if !strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
				t.Errorf("problem %q, want one with %q", e.Problem, tt.problem)
			}
			if !e.Default {
				t.Error("it is not the default")
			}
		})
	}
}

// TestKernels asserts which files are kernels, and their order.
func TestKernels(t *testing.T) {
	young := &fstest.MapFile{Data: []byte("kernel"), ModTime: time.Unix(2000000000, 0)}
	old := &fstest.MapFile{Data: []byte("kernel"), ModTime: time.Unix(1000000000, 0)}
	tests := []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"names", fstest.MapFS{"vmlinuz": old, "bzImage": old, "kernel-x.efi": old, "Image": old, "VMLINUZ-A": old, "linux": old, "xvmlinuz": old, "initrd": old}, "Image VMLINUZ-A bzImage kernel-x.efi vmlinuz"},
		{"put aside", fstest.MapFS{"vmlinuz.old": old, "vmlinuz-lts.bak": old, "vmlinuz-lts.apk-new": old, "vmlinuz-lts~": old, "vmlinuz-lts": old}, "vmlinuz-lts"},
		{"no files", fstest.MapFS{"vmlinuz/x": old, "vmlinuz-x": {Mode: fs.ModeSymlink, Data: []byte("vmlinuz")}}, ""},
		{"newest first", fstest.MapFS{"vmlinuz-lts": old, "vmlinuz-stable": young, "vmlinuz-9.9": old}, "vmlinuz-stable vmlinuz-lts vmlinuz-9.9"},
		{"versions", fstest.MapFS{"vmlinuz-6.1.9": old, "vmlinuz-6.1.10": old, "vmlinuz-6.01.010-1": old, "vmlinuz-5.15": old, "kernel-5": old}, "vmlinuz-6.01.010-1 vmlinuz-6.1.10 vmlinuz-6.1.9 vmlinuz-5.15 kernel-5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fsys["refind_linux.conf"] = boottest.File("a b\nc d\n")
			l := parse(t, tt.fsys, boot.Volume{})
			var got []string
			for i, e := range l.Entries {
				if i != 1 { // the second line of the first kernel
					got = append(got, e.Kernel)
				}
				if e.Default != (i == 0) {
					t.Errorf("default %v of %s", e.Default, e.Title)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
			if noted := strings.Contains(boottest.Notes(l), "no kernel in its directory"); noted != (tt.want == "") {
				t.Errorf("notes %s", boottest.Notes(l))
			}
		})
	}
}

// TestInitrd asserts which initrd goes with a kernel.
func TestInitrd(t *testing.T) {
	for _, tt := range []struct{ kernel, beside, want string }{
		{"vmlinuz-3.3.0", "initramfs-3.3.0.img initramfs-3.3.0-rc7.img initramfs-13.3.0.img", "initramfs-3.3.0.img"},
		{"vmlinuz-3.3.0-fc1.x86_64", "initramfs-3.3.0-fc1.x86_64.img initramfs-3.3.0-fc1.x86_64kdump.img", "initramfs-3.3.0-fc1.x86_64.img"},
		{"vmlinuz-4.14-x86_64", "initramfs-4.14-x86_64-fallback.img initramfs-4.14-x86_64.img", "initramfs-4.14-x86_64.img"},
		{"vmlinuz-6.1.0-amd64", "initrd.img-6.1.0-amd64", "initrd.img-6.1.0-amd64"},
		{"vmlinuz-6.1.0", "booster-6.1.0.img", "booster-6.1.0.img"},
		{"vmlinuz-6.1.0", "initramfs.img ramdisk-6.1.0.img", ""},
		{"vmlinuz-lts", "initramfs-lts initramfs-virt", "initramfs-lts"},
		{"vmlinuz-virt", "initramfs-lts initramfs-virt", "initramfs-virt"},
		{"vmlinuz-virt", "initramfs-lts", ""},
		{"vmlinuz-lts", "initramfs initramfs-lts initramfs-stable", "initramfs-lts"},
		{"vmlinuz-lts", "initramfs.img", "initramfs.img"},
		{"vmlinuz-linux", "initramfs-linux-fallback.img initramfs-linux.img", "initramfs-linux.img"},
		{"vmlinuz-lts.efi", "initramfs-lts.img initramfs-x", "initramfs-lts.img"},
		{"vmlinuz", "initramfs-lts initramfs-stable", "initramfs-lts"},
		{"vmlinuz", "initrd", "initrd"},
		{"vmlinuz", "initrd-1.2", ""},
	} {
		fsys := fstest.MapFS{"refind_linux.conf": boottest.File("a b"), tt.kernel: boottest.File("kernel"), "init/x": boottest.File("")}
		for name := range strings.FieldsSeq(tt.beside) {
			fsys[name] = boottest.File("initrd")
		}
		l := parse(t, fsys, boot.Volume{})
		if len(l.Entries) != 1 {
			t.Fatalf("%s: got %s", tt.kernel, boottest.Text(l, nil))
		}
		if got := strings.Join(l.Entries[0].Initrds, " "); got != tt.want {
			t.Errorf("%s beside %s: got %q, want %q", tt.kernel, tt.beside, got, tt.want)
		}
	}
}

// failing returns an error for the root.
type failing struct{ fstest.MapFS }

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("input/output error")}
}

// TestBroken asserts that what cannot be read leaves a sentence that names it,
// and does not take the rest along.
func TestBroken(t *testing.T) {
	huge := boottest.File(strings.Repeat("a b\n", 1<<20))
	many := fstest.MapFS{"refind_linux.conf": boottest.File(strings.Repeat("a b\n", 1000))}
	wide := fstest.MapFS{}
	for i := range 500 {
		many[fmt.Sprintf("vmlinuz-%d", i)] = boottest.File("kernel")
		wide[fmt.Sprintf("boot/%d/vmlinuz", i)] = boottest.File("kernel")
		wide[fmt.Sprintf("boot/%d/refind_linux.conf", i)] = boottest.File(strings.Repeat("a b\n", 60))
	}
	boottest.RunHostile(t, func(fsys fs.FS) (boot.Listing, error) { return refind.Parse(fsys, boot.Volume{}, nil) }, []boottest.Hostile{
		{Name: "huge", FS: fstest.MapFS{"refind_linux.conf": huge, "vmlinuz": boottest.File("")}, Err: boot.ErrTooLarge},
		{Name: "huge beside a good one", FS: fstest.MapFS{"refind_linux.conf": huge, "boot/vmlinuz": boottest.File(""), "boot/refind_linux.conf": boottest.File("a b")}, Entries: 1, Notes: []string{"/refind_linux.conf cannot be used: "}},
		{Name: "many lines and kernels", FS: many, Entries: 64 + 63, Notes: []string{"500 kernels"}},
		{Name: "many directories", FS: wide, Entries: 1000, Notes: []string{"more than 1000 entries"}},
		{Name: "many stanzas", FS: fstest.MapFS{"EFI/refind/refind.conf": boottest.File(strings.Repeat("menuentry a {\nloader k\nvolume x\n}\n", 3000))}, Entries: 500, Notes: []string{"more than 500 stanzas", "has not been found"}},
		{Name: "nothing is closed", FS: fstest.MapFS{"EFI/refind/refind.conf": boottest.File(strings.Repeat("menuentry a {\nsubmenuentry b {\n", 3000))}, Entries: 2, Notes: []string{"names no kernel"}},
		{Name: "garbage", FS: fstest.MapFS{"vmlinuz": boottest.File(""), "refind_linux.conf": boottest.File("a b c\n" + strings.Repeat("\x00\xff=\"\" x y\n", 9000))}, Entries: 64, Notes: []string{"more notes"}},
	})
	if _, err := refind.Parse(failing{}, boot.Volume{}, nil); err == nil {
		t.Error("no error from a volume that cannot be read")
	}
}

// FuzzParse asserts what holds for any file and any name of a kernel: no panic,
// paths that stay on the volume, and text that is fit to be printed.
func FuzzParse(f *testing.F) {
	boottest.Seeds(f, func(_, text string) { f.Add([]byte(text), "vmlinuz-lts", "initramfs-lts") }, "refind_linux.conf", "refind.conf", "more.conf")
	f.Add([]byte("\xff\xfe\"\x00A\x00\"\x00 \x00q\x00"), "vmlinuz-6.1.0-1", "initrd.img-6.1.0-1")
	f.Add([]byte(`""" #=,"" ""initrd=..\%v initrd=%v`), "bzImage1", "booster1")
	f.Fuzz(func(t *testing.T, text []byte, kernel, initrd string) {
		fsys := fstest.MapFS{"boot/refind_linux.conf": {Data: text}, "EFI/refind/refind.conf": {Data: text}}
		for _, name := range []string{kernel, initrd} {
			if fs.ValidPath(name) && !strings.Contains(name, "/") && name != "." && name != "refind_linux.conf" {
				fsys["boot/"+name] = boottest.File("kernel")
			}
		}
		l, err := refind.Parse(fsys, boot.Volume{}, nil)
		boottest.Check(t, l, err)
	})
}
