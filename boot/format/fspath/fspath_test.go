package fspath_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/fspath"
)

func TestInside(t *testing.T) {
	for in, want := range map[string]string{"": ".", "/": ".", "//a/./b/": "a/b", "../../a": "a", "a/../../b": "b", `a\b`: `a\b`} {
		if got := fspath.Inside(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := fspath.InsideDOS(`\EFI\..\..\x`); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestResolve(t *testing.T) {
	fsys := fstest.MapFS{
		"boot/k":      boottest.File("kernel"),
		"boot/boot":   boottest.Link("."),
		"abs":         boottest.Link("/boot"),
		"out":         boottest.Link("../../../boot/k"),
		"boot/up":     boottest.Link("../boot/./k"),
		"loop":        boottest.Link("pool"),
		"pool":        boottest.Link("loop"),
		"dangling":    boottest.Link("nothing"),
		"boot/chain":  boottest.Link("/abs/boot/up"),
		"boot/empty/": {Mode: fs.ModeDir},
	}
	for _, tt := range []struct {
		name, want string
		err        error
	}{
		{"boot/k", "boot/k", nil},
		{"boot/boot/boot/k", "boot/k", nil},
		{"abs/k", "boot/k", nil},
		{"out", "boot/k", nil},
		{"boot/chain", "boot/k", nil},
		{"../boot/../boot", "boot", nil},
		{".", ".", nil},
		{"loop", "", fs.ErrInvalid},
		{"dangling", "", fs.ErrNotExist},
		{"boot/x", "", fs.ErrNotExist},
	} {
		got, err := fspath.Resolve(fsys, tt.name, func() bool { return true })
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %q, error %v", tt.name, got, err)
		}
	}
	left := 10
	_, err := fspath.Resolve(fsys, "loop", func() bool { left--; return left >= 0 })
	if !errors.Is(err, fspath.ErrTooMany) {
		t.Errorf("over the limit: %v", err)
	}
}

// FuzzResolve asserts that whatever links point to, a path stays on the volume and
// has no symlink left in it.
func FuzzResolve(f *testing.F) {
	f.Add("a/b", "../../x", "/b/..")
	f.Add("b/a", ".", "a/./b//")
	f.Fuzz(func(t *testing.T, name, one, two string) {
		fsys := fstest.MapFS{"a/x": boottest.File(""), "a/b": boottest.Link(one), "b": boottest.Link(two), "x": boottest.File("")}
		left := 1000
		got, err := fspath.Resolve(fsys, name, func() bool { left--; return left >= 0 })
		if err != nil {
			return
		}
		if !fs.ValidPath(got) {
			t.Fatalf("path %q", got)
		}
		for p := got; p != "."; p = p[:max(0, strings.LastIndexByte(p, '/'))] {
			if p == "" {
				break
			}
			if st, err := fs.Lstat(fsys, p); err == nil && st.Mode()&fs.ModeSymlink != 0 {
				t.Errorf("%s of %s is a link", p, got)
			}
		}
	})
}

// TestDirectories asserts that links are followed inside the volume, wherever
// they stand in the path, and that nothing is found twice.
func TestDirectories(t *testing.T) {
	fsys := fstest.MapFS{
		"loader.1/entries/a.conf": boottest.File("a"),
		"loader":                  boottest.Link("loader.1"),
		"LOADER":                  boottest.Link("/loader.1"),
		"out":                     boottest.Link("../../loader.1"),
		"loop":                    boottest.Link("loop"),
		"EFI/fedora/grub.cfg":     boottest.File("f"),
		"EFI/link":                boottest.Link("fedora"),
		"EFI/file":                boottest.File("not a directory"),
		"boot/boot":               boottest.Link("."),
		"boot/A.conf":             boottest.Link("/loader/entries/a.conf"),
	}
	for _, tt := range []struct{ rel, dirs, files string }{
		{"", ".", ""},
		{"loader/entries", "loader.1/entries", ""},
		{"out/entries", "loader.1/entries", ""},
		{"loader/entries/A.CONF", "", "loader.1/entries/a.conf"},
		{"boot/boot/boot", "boot", ""},
		{"boot/a.conf", "", "loader.1/entries/a.conf"},
		{"efi/*/grub.cfg", "", "EFI/fedora/grub.cfg"},
		{"efi/*", "EFI/fedora", "EFI/file"},
		{"loop/x", "", ""},
		{"nothing/at/all", "", ""},
	} {
		if got := strings.Join(fspath.Directories(fsys, ".", tt.rel, nil), " "); got != tt.dirs {
			t.Errorf("directories %s: got %q, want %q", tt.rel, got, tt.dirs)
		}
		if tt.rel == "" {
			continue
		}
		if got := strings.Join(fspath.Files(fsys, ".", tt.rel, nil), " "); got != tt.files {
			t.Errorf("files %s: got %q, want %q", tt.rel, got, tt.files)
		}
	}
	none := func() bool { return false }
	if got := fspath.Directories(fsys, ".", "loader/entries", none); len(got) != 0 {
		t.Errorf("beyond the limit: %q", got)
	}
}
