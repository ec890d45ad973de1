package boottest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
)

// File returns a regular file with that text.
func File(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// Link returns a symlink to target.
func Link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
}

// Notes returns the notes of a listing, one a line.
func Notes(l boot.Listing) string {
	var b strings.Builder
	for _, n := range l.Notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// AllNotes returns the notes of the entries of a listing and its own, one a line.
func AllNotes(l boot.Listing) string {
	var b strings.Builder
	for _, e := range l.Entries {
		for _, n := range e.Notes {
			fmt.Fprintln(&b, n)
		}
	}
	return b.String() + Notes(l)
}

// Path returns the title of an entry with those of the submenus that it is in
// before it.
func Path(e boot.Entry) string {
	return strings.Join(append(slices.Clone(e.Submenu), e.Title), " / ")
}

// Check fails the test unless l, with err what a format has returned, is fit to be
// used whatever was on the volume: paths stay on the volume, texts have no
// control characters, an entry has a title, and a kernel or a problem, at most
// one of a file is the default, and there are entries or an error but not both.
func Check(t *testing.T, l boot.Listing, err error) {
	t.Helper()
	printable := func(texts ...string) {
		for _, s := range texts {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("control character in %q", s)
			}
		}
	}
	defaults := map[string]int{}
	for _, e := range l.Entries {
		for _, p := range append([]string{e.Kernel}, e.Initrds...) {
			// Names on a disk need not be UTF-8.
			if p != "" && !fs.ValidPath(strings.ToValidUTF8(p, "_")) || p == "." {
				t.Errorf("path %q", p)
			}
		}
		printable(slices.Concat([]string{e.Title, e.Cmdline, e.Problem}, e.Submenu, e.Notes)...)
		if e.Title == "" || slices.Contains(e.Submenu, "") {
			t.Errorf("no title: %s", EntryText(e))
		}
		if e.Kernel == "" && e.Problem == "" {
			t.Errorf("no kernel and no problem: %s", EntryText(e))
		}
		if e.Default && !e.IsOwn() {
			defaults[e.Source.File]++
		}
	}
	for file, n := range defaults {
		if n > 1 {
			t.Errorf("%d defaults in %s", n, file)
		}
	}
	for _, n := range l.Notes {
		printable(n.Text)
	}
	if err != nil && len(l.Entries) > 0 {
		t.Errorf("entries and the error %v", err)
	}
}

// Seeds calls add for every file in the trees testdata/*.txtar, and in the layouts
// of cmds/lsboot, whose name matches one of the patterns of
// [path/filepath.Match], as seeds for fuzzing.
func Seeds(f *testing.F, add func(name, text string), patterns ...string) {
	f.Helper()
	trees, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(trees) == 0 {
		f.Fatal("no trees", err)
	}
	layouts, err := filepath.Glob("../../../cmds/lsboot/testdata/layouts/*.txtar")
	if err != nil || len(layouts) == 0 {
		f.Fatal("no layouts", err)
	}
	trees = append(trees, layouts...)
	found := false
	for _, tree := range trees {
		for _, v := range Load(f, tree).Volumes {
			for name, file := range v.FS {
				base := filepath.Base(name)
				matches := func(pattern string) bool { ok, _ := filepath.Match(pattern, base); return ok }
				if file.Mode.IsRegular() && slices.ContainsFunc(patterns, matches) {
					add(base, string(file.Data))
					found = true
				}
			}
		}
	}
	if !found {
		f.Fatalf("no tree has a file like %q", patterns)
	}
}
