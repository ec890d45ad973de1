package uki_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// TestTrees reads trees in which the contents of an EFI program are written
// out as sections, for [ukitest.FromText].
func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", func(t *testing.T, tree boottest.Tree) string {
		for _, v := range tree.Volumes {
			for _, f := range v.FS {
				if bytes.HasPrefix(f.Data, []byte(".")) {
					b, err := ukitest.FromText(string(f.Data))
					if err != nil {
						t.Fatal(err)
					}
					f.Data = b
				}
			}
		}
		return boottest.Format(uki.Format())(t, tree)
	})
}

func image(t testing.TB, text string) *fstest.MapFile {
	t.Helper()
	b, err := ukitest.FromText(text)
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b}
}

// TestPlaces asserts where images are found, in which case, and that none is
// listed twice.
func TestPlaces(t *testing.T) {
	img := image(t, ".linux 6.1\n")
	tests := map[string]bool{
		"EFI/Linux/a.efi": true, "efi/linux/A.EFI": true, "boot/efi/EFI/Linux/a.efi": true, "boot/EFI/Linux/a.efi": true, "efi/EFI/LINUX/a.efi": true,
		"EFI/Alpine/a.efi": true, "EFI/alpine/a.efi": true, "Alpine/a.efi": true, "boot/efi/Alpine/a.efi": true, "boot/Alpine/a.efi": true,
		"a.efi": true, "boot/a.efi": true, "boot/efi/a.efi": true, "EFI/Linux/a.efi.bak": true, "EFI/Linux/a.EFI.BAK": true,
		"EFI/BOOT/BOOTX64.EFI": true, "EFI/other/a.efi": true, "EFI/Linux/a": false, "EFI/Linux/a.img": false, "EFI/Linux/.a.efi": false, "EFI/Linux/.efi": false,
		"EFI/Linux/a.efi.old": false, "EFI/Linux/x/a.efi": false, "home/a.efi": false, "@/boot/a.efi": false,
	}
	for name, found := range tests {
		l, err := uki.Parse(fstest.MapFS{name: img, "boot/boot": {Data: []byte("."), Mode: fs.ModeSymlink}}, boot.Volume{Type: "vfat"})
		if want := map[bool]int{true: 1}[found]; err != nil || len(l.Entries) != want || len(l.Notes) != 0 {
			t.Errorf("%s: %v, got %s", name, err, boottest.Text(l, err))
		}
		for _, e := range l.Entries {
			if e.Kernel != name || !e.UKI || e.Source.File != name || e.Problem != "" {
				t.Errorf("%s: got %s", name, boottest.EntryText(e))
			}
		}
	}
	if l, _ := uki.Parse(fstest.MapFS{"@/boot/a.efi": img}, boot.Volume{Type: "btrfs"}); len(l.Entries) != 1 {
		t.Errorf("in a subvolume: %s", boottest.Text(l, nil))
	}
}

// TestTitle asserts what is made of os-release.
func TestTitle(t *testing.T) {
	tests := []struct{ name, release, want string }{
		{"double quotes", `NAME=N\nPRETTY_NAME="A \"B\" \\ C"\n`, `A "B" \ C`},
		{"single quotes", `PRETTY_NAME='A B'\n`, "A B"},
		{"no quotes", `PRETTY_NAME=A\n`, "A"},
		{"comment", `#PRETTY_NAME=A\nNAME=N\n`, "N"},
		{"one quote", `PRETTY_NAME="\n`, `"`},
		{"blanks", `  PRETTY_NAME=A  \n`, "A"},
		{"empty", `PRETTY_NAME=\nNAME=\n`, "a-6.1"},
		{"hostile", "PRETTY_NAME=\"\x1b[2JA\xff\"", "[2JA"},
		{"nothing", `no release`, "a-6.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := uki.Parse(fstest.MapFS{"EFI/Linux/a-6.1+3.efi": image(t, ".osrel "+tt.release+"\n.linux 6.1\n")}, boot.Volume{})
			if err != nil || len(l.Entries) != 1 || l.Entries[0].Title != tt.want {
				t.Errorf("%v, got %s", err, boottest.Text(l, err))
			}
		})
	}
}

// TestDamaged asserts that an image which cannot be used is listed or noted,
// and that what is not an image is not even mentioned.
func TestDamaged(t *testing.T) {
	whole := image(t, ".osrel PRETTY_NAME=A\n.linux 6.1\n").Data
	l, err := uki.Parse(fstest.MapFS{
		"EFI/Linux/cut.efi":     {Data: whole[:len(whole)-512]},
		"EFI/Linux/empty.efi":   {},
		"EFI/Linux/zeros.efi":   {Data: make([]byte, 4096)},
		"EFI/Linux/pipe.efi":    {Mode: fs.ModeNamedPipe},
		"EFI/Linux/kernel.efi":  {Data: boottest.BzImage("6.1")},
		"EFI/Linux/text.efi":    {Data: []byte("hello")},
		"EFI/Linux/grubx64.efi": image(t, ".text code\n.sbat x\n"),
	}, boot.Volume{})
	got := boottest.Text(l, err)
	want := `entry cut
  format   uki
  source   /EFI/Linux/cut.efi
  kernel   EFI/Linux/cut.efi
  uki
note /EFI/Linux/empty.efi: The file cannot be used: the file is empty.
note /EFI/Linux/pipe.efi: The file cannot be used: not a regular file.
note /EFI/Linux/zeros.efi: The file cannot be used: not a kernel image: the file begins with 640 zero bytes, as after a crash while it was written.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestLimits asserts that not every file of a huge directory is looked into.
func TestLimits(t *testing.T) {
	img := image(t, ".linux 6.1\n")
	fsys := fstest.MapFS{}
	for i := range 250 {
		fsys[fmt.Sprintf("EFI/Linux/%03d.efi", i)] = img
	}
	l, err := uki.Parse(fsys, boot.Volume{})
	if err != nil || len(l.Entries) != 200 || len(l.Notes) != 1 || !strings.Contains(l.Notes[0].Text, "more than 200") {
		t.Errorf("%v: %d entries, notes %v", err, len(l.Entries), l.Notes)
	}

	long := image(t, ".cmdline "+strings.Repeat("c", 60_000)+"\n.osrel PRETTY_NAME="+strings.Repeat("t", 60_000)+"\n.linux 6.1\n")
	for name := range fsys {
		fsys[name] = long
	}
	l, err = uki.Parse(fsys, boot.Volume{})
	if n := len(l.Entries); err != nil || n < 10 || n > 40 || len(l.Notes) == 0 || !strings.Contains(l.Notes[len(l.Notes)-1].Text, "more than 4 MiB") {
		t.Errorf("long texts: %v: %d entries, notes %v", err, n, l.Notes)
	}
}

// FuzzParse asserts that the texts in an image cannot make it panic or disturb
// a terminal. What the sections themselves may do is for the tests of package
// kernel.
func FuzzParse(f *testing.F) {
	f.Add("NAME=N\nPRETTY_NAME=\"A \\\"B\\\"\"\nID='alpine'\nIMAGE_ID=x\\", "root=x quiet\n", "6.12.1-0-lts", "a+3-1")
	f.Add("=\n'\n\"\"\nPRETTY_NAME=", "\x1b[2J", "\xff", "b")
	f.Fuzz(func(t *testing.T, release, cmdline, uname, name string) {
		if name = "EFI/Linux/" + name + ".efi"; !fs.ValidPath(name) || path.Dir(name) != "EFI/Linux" {
			return
		}
		b := ukitest.Image(
			ukitest.Section{Name: ".osrel", Data: []byte(release)}, ukitest.Section{Name: ".cmdline", Data: []byte(cmdline)},
			ukitest.Section{Name: ".uname", Data: []byte(uname)}, ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.1")},
		)
		l, err := uki.Parse(fstest.MapFS{name: {Data: b}, "EFI/Linux/z.efi": {Data: b}}, boot.Volume{})
		if err != nil || len(l.Entries) == 0 {
			t.Fatalf("%v: %d entries", err, len(l.Entries))
		}
		boottest.Check(t, l, err)
	})
}

// alpboot's own image, copied to where systems lie, is not a system.
func TestOwnImageIsLeftOut(t *testing.T) {
	for id, want := range map[string]int{"alpboot": 0, "alpine": 1} {
		img := &fstest.MapFile{Data: ukitest.Image(
			ukitest.Section{Name: ".osrel", Data: []byte("NAME=x\nID=" + id + "\n")},
			ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.12.1")})}
		l, err := uki.Parse(fstest.MapFS{"EFI/Linux/a.efi": img}, boot.Volume{Type: "vfat"})
		if err != nil || len(l.Entries) != want {
			t.Errorf("ID=%s: %v, got %s", id, err, boottest.Text(l, err))
		}
	}
}
