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

// FuzzResolve asserts that whatever links say, a path stays on the volume and
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
