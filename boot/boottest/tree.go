// Package boottest helps to test what reads boot configurations: whole file
// trees as one text file each, and what was found in them as readable text in
// that same file.
//
// A tree is a txtar archive (golang.org/x/tools/txtar). Its comment describes in
// plain words what the layout is, and may hold these directives, one a line:
//
//	volume: device=/dev/sda1 uuid=1A2B-3C4D type=vfat
//	volume esp: device=/dev/sda1 disk=/dev/sda label="EFI SYSTEM"
//	symlink: boot/boot -> .
//	directory: boot/empty
//
// With a name, a volume is the directory of that name and there can be several;
// without one, the whole tree is the volume. The file called want holds what
// is expected and belongs to no volume. Tests run with -update write it.
package boottest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what is expected of the test data again")

// Update reports whether the tests were run with -update: whatever test data a
// test can make is to be written again instead of compared.
func Update() bool { return *update }

// wantFile is the name of the section that holds what is expected.
const wantFile = "want"

// Volume is one volume of a [Tree] and the files on it.
type Volume struct {
	boot.Volume
	Name string // of its directory in the archive
	FS   fstest.MapFS
}

// Tree is one layout of a disk.
type Tree struct {
	Volumes []Volume // in the order in which the comment names them
	file    string
	archive *txtar.Archive
}

// Run runs test for every tree that the glob pattern matches, each as a
// subtest with the file's name, and compares the text that test returns with the
// tree's want section. It fails when there is no such tree.
func Run(t *testing.T, pattern string, test func(t *testing.T, tree Tree) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no tree matches %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			tree := Load(t, file)
			tree.check(t, test(t, tree))
		})
	}
}

// Format is a test for [Run]: it parses every volume of the tree as f.
func Format(f boot.Format) func(*testing.T, Tree) string {
	return func(t *testing.T, tree Tree) string {
		var b strings.Builder
		for _, v := range tree.Volumes {
			if len(tree.Volumes) > 1 {
				fmt.Fprintf(&b, "volume %s\n", v.Device)
			}
			l, err := f.Parse(v.FS, v.Volume, tree.All())
			b.WriteString(Text(l, err))
		}
		return b.String()
	}
}

// Comment returns the lines of the tree's comment that are not directives of this
// package: what the layout is in plain words, and directives of the test's own.
func (tree Tree) Comment() []string {
	var lines []string
	for line := range strings.Lines(string(tree.archive.Comment)) {
		line = strings.TrimSpace(line)
		word, _, ok := strings.Cut(line, ":")
		word, _, _ = strings.Cut(word, " ")
		if !ok || word != "volume" && word != "symlink" && word != "directory" {
			lines = append(lines, line)
		}
	}
	return lines
}

// All returns the volumes of the tree as those of one machine.
func (tree Tree) All() boot.Volumes {
	var all boot.Volumes
	for _, v := range tree.Volumes {
		all = append(all, boot.MountedVolume{Volume: v.Volume, FS: v.FS})
	}
	return all
}

// Load reads the tree in file.
func Load(t testing.TB, file string) Tree {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := newTree(a)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	tree.file = file
	return tree
}

func newTree(a *txtar.Archive) (Tree, error) {
	tree := Tree{archive: a}
	all := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name == wantFile {
			continue
		}
		if !fs.ValidPath(f.Name) {
			return tree, fmt.Errorf("%q is not a path", f.Name)
		}
		all[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	names := []string{}
	for line := range strings.Lines(string(a.Comment)) {
		word, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		switch word, name, _ := strings.Cut(word, " "); word {
		case "volume":
			v, err := volume(rest)
			if err != nil {
				return tree, err
			}
			tree.Volumes = append(tree.Volumes, Volume{Volume: v, Name: name})
			names = append(names, name)
		case "symlink":
			link, target, ok := strings.Cut(rest, " -> ")
			if !ok {
				return tree, fmt.Errorf("symlink: want NAME -> TARGET, have %q", rest)
			}
			all[link] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		case "directory":
			all[rest] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		}
	}
	if len(names) == 0 {
		tree.Volumes, names = []Volume{{}}, []string{""}
	}
	used := 0
	for i, name := range names {
		sub := fstest.MapFS{}
		for file, f := range all {
			if name == "" {
				sub[file] = f
			} else if rest, ok := strings.CutPrefix(file, name+"/"); ok {
				sub[rest] = f
			}
		}
		tree.Volumes[i].FS = sub
		used += len(sub)
	}
	if used != len(all) {
		return tree, fmt.Errorf("%d of %d files are on no volume or on two", len(all)-used, len(all))
	}
	return tree, nil
}

// volume reads words of the form key=value, where value may be in double quotes.
func volume(s string) (boot.Volume, error) {
	var v boot.Volume
	var partition string
	fields := map[string]*string{
		"device": &v.Device, "disk": &v.Disk, "uuid": &v.UUID, "label": &v.Label, "type": &v.Type,
		"partuuid": &v.PartUUID, "partlabel": &v.PartLabel, "partition": &partition,
	}
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		f := fields[key]
		if !ok || f == nil {
			return v, fmt.Errorf("volume: cannot read %q", s)
		}
		if q, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
			*f, rest, _ = strings.Cut(q, `"`)
			s = strings.TrimSpace(rest)
			continue
		}
		*f, s, _ = strings.Cut(rest, " ")
	}
	if partition != "" {
		var err error
		if v.Partition, err = strconv.Atoi(partition); err != nil {
			return v, fmt.Errorf("volume: partition %q is not a number", partition)
		}
	}
	return v, nil
}

// check compares got with the want section, or writes it there.
func (tree Tree) check(t *testing.T, got string) {
	t.Helper()
	var want *txtar.File
	for i := range tree.archive.Files {
		if tree.archive.Files[i].Name == wantFile {
			want = &tree.archive.Files[i]
		}
	}
	if *update {
		if want == nil {
			tree.archive.Files = append(tree.archive.Files, txtar.File{Name: wantFile})
			want = &tree.archive.Files[len(tree.archive.Files)-1]
		}
		want.Data = []byte(got)
		if err := os.WriteFile(tree.file, txtar.Format(tree.archive), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want == nil {
		t.Fatalf("%s has no want section; run with -update, and read what that wrote", tree.file)
	}
	if d := cmp.Diff(string(want.Data), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", tree.file, d)
	}
}
