package discover

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
)

// countingFS counts what is asked of the filesystem below.
type countingFS struct {
	fstest.MapFS
	asked []string
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.asked = append(c.asked, name)
	return c.MapFS.Open(name)
}

func (c *countingFS) Stat(name string) (fs.FileInfo, error) {
	c.asked = append(c.asked, name)
	return c.MapFS.Stat(name)
}

func (c *countingFS) Lstat(name string) (fs.FileInfo, error) {
	c.asked = append(c.asked, name)
	return c.MapFS.Lstat(name)
}

func (c *countingFS) ReadDir(name string) ([]fs.DirEntry, error) {
	c.asked = append(c.asked, name)
	return c.MapFS.ReadDir(name)
}

// TestViewAsksOnce asserts what of a volume is looked up and what a view knows:
// of a name that may be there in another spelling it knows nothing.
func TestViewAsksOnce(t *testing.T) {
	below := &countingFS{MapFS: fstest.MapFS{
		"boot/Grub/grub.cfg": boottest.File("cfg"),
		"boot/long name.txt": boottest.File(""),
		"boot/link":          boottest.Link("Grub"),
		"boot/file":          boottest.File(""),
		"bücher/a":           boottest.File(""),
		"never/listed":       boottest.File(""),
	}}
	v := newView(below)
	for _, dir := range []string{"boot", "boot/Grub"} {
		for range 2 {
			if list, err := fs.ReadDir(v, dir); err != nil || len(list) == 0 {
				t.Fatalf("%s: %v, %v", dir, list, err)
			}
		}
	}
	for range 2 {
		if list, err := fs.ReadDir(v, "bücher"); err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
	}
	if want := []string{"boot", "boot/Grub", "bücher"}; !slices.Equal(below.asked, want) {
		t.Errorf("listed %q, want %q", below.asked, want)
	}
	below.asked = nil
	for range 2 {
		for _, ask := range []func(fs.FS, string) (fs.FileInfo, error){fs.Stat, fs.Lstat} {
			if st, err := ask(v, "boot/file"); err != nil || st.Name() != "file" {
				t.Fatalf("%v, %v", st, err)
			}
		}
	}
	if len(below.asked) != 2 {
		t.Errorf("asked %q, want one Stat and one Lstat", below.asked)
	}
	list, _ := fs.ReadDir(v, "boot")
	list[0] = nil // a caller may sort or change what it got
	if list, _ := fs.ReadDir(v, "boot"); list[0] == nil {
		t.Error("a caller's change is seen by the next")
	}

	lookUp(t, v, below, "boot/vmlinuz", true) // the root has not been listed
	fs.ReadDir(v, ".")
	lookUp(t, v, below, "boot/vmlinuz", true) // it has a name beyond ASCII
	lookUp(t, v, below, "boot", true)

	delete(below.MapFS, "bücher/a")
	v = newView(below)
	for _, dir := range []string{".", "boot", "boot/Grub"} {
		fs.ReadDir(v, dir)
	}
	for _, tt := range []struct {
		name  string
		asked bool
	}{
		{name: "boot", asked: true},
		{name: "BOOT", asked: true},
		{name: "efi"},
		{name: "efi/boot/bootx64.efi"},
		{name: "boot/vmlinuz"},
		{name: "boot/FILE", asked: true},
		{name: "boot/file.", asked: true},        // FAT: the same as boot/file
		{name: "boot/longna~1.txt", asked: true}, // FAT: the short name of boot/long name.txt
		{name: "boot/käse", asked: true},
		{name: "boot/link/grub.cfg", asked: true},
		{name: "boot/link/nothing", asked: true},
		{name: "boot/file/nothing", asked: true}, // ENOTDIR
		{name: "boot/Grub/grub.cfg", asked: true},
		{name: "boot/Grub/user.cfg"},
		{name: "boot/grub/user.cfg", asked: true}, // whether that is the same directory the view cannot know
		{name: "never/listed", asked: true},
		{name: "never/heard", asked: true},
		{name: "../etc/passwd", asked: true},
		{name: ".", asked: true},
	} {
		lookUp(t, v, below, tt.name, tt.asked)
	}
}

// lookUp looks for a file in three ways and asserts that the answer is the one
// of the filesystem below, which is asked only where it allows it.
func lookUp(t *testing.T, v *view, below *countingFS, name string, asked bool) {
	t.Helper()
	for what, do := range map[string]func(fs.FS) error{
		"open":  func(fsys fs.FS) error { _, err := fsys.Open(name); return err },
		"stat":  func(fsys fs.FS) error { _, err := fs.Stat(fsys, name); return err },
		"lstat": func(fsys fs.FS) error { _, err := fs.Lstat(fsys, name); return err },
	} {
		below.asked = nil
		got := do(v)
		if (len(below.asked) > 0) != asked {
			t.Errorf("%s %s: asked the volume for %q, want a question: %v", what, name, below.asked, asked)
		}
		if want := do(below.MapFS); (got == nil) != (want == nil) || errors.Is(got, fs.ErrNotExist) != errors.Is(want, fs.ErrNotExist) {
			t.Errorf("%s %s: error %v, want %v", what, name, got, want)
		}
	}
}

// TestViewKeepsLittle asserts that a directory of too many names is not kept.
func TestViewKeepsLittle(t *testing.T) {
	below := &countingFS{MapFS: fstest.MapFS{}}
	for i := range keptNames {
		below.MapFS[fmt.Sprintf("many/%d", i)] = boottest.File("")
	}
	v := newView(below)
	for range 2 {
		for dir, want := range map[string]int{".": 1, "many": keptNames} {
			if list, err := fs.ReadDir(v, dir); err != nil || len(list) != want {
				t.Fatalf("%s: %d names, %v", dir, len(list), err)
			}
		}
	}
	slices.Sort(below.asked)
	if want := []string{".", "many", "many"}; !slices.Equal(below.asked, want) {
		t.Errorf("listed %q, want %q", below.asked, want)
	}
}
