package efivars_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/efivars"
)

const global = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// variables returns the volume "efivarfs" of a tree, whose files are hex dumps,
// and the volumes beside it.
func variables(t testing.TB, tree boottest.Tree) (fstest.MapFS, boot.Volumes) {
	vars := fstest.MapFS{}
	for name, f := range tree.Volumes[0].FS {
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(f.Data)), ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		vars[name] = &fstest.MapFile{Data: b}
	}
	return vars, tree.All()[1:]
}

func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", func(t *testing.T, tree boottest.Tree) string {
		vars, others := variables(t, tree)
		l, err := efivars.Parse(vars, others)
		text := boottest.Text(l, err)
		if l.Unresolved {
			text += "unresolved\n"
		}
		return text
	})
}

func ucs2(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// onGPT is the node of the partition with the UUID uuid.
func onGPT() []byte {
	b := make([]byte, 42)
	b[0], b[1], b[2], b[4] = 4, 1, 42, 1
	copy(b[24:], "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff")
	b[40], b[41] = 2, 2
	return b
}

const uuid = "33221100-5544-7766-8899-aabbccddeeff"

func fileNode(name string) []byte {
	b := append([]byte{4, 4, 0, 0}, ucs2(name+"\x00")...)
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// variable returns the file of a boot option.
func variable(attributes uint32, description string, path []byte, data string) *fstest.MapFile {
	b := binary.LittleEndian.AppendUint32([]byte{7, 0, 0, 0}, attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = append(b, ucs2(description+"\x00")...)
	b = append(b, path...)
	return &fstest.MapFile{Data: append(b, data...)}
}

func kernelPath(name string) []byte {
	return slices.Concat(onGPT(), fileNode(name), []byte{0x7f, 0xff, 4, 0})
}

// TestOption asserts what one option turns into.
func TestOption(t *testing.T) {
	const none = "(no entry)"
	text := func(s string) string { return string(ucs2(s)) }
	tests := []struct {
		name    string
		title   string // none for no entry
		file    *fstest.MapFile
		kernel  string
		initrds string
		cmdline string
		problem string // what it contains
		note    string // what a note contains
	}{
		{name: "two bytes a character", title: "A", file: variable(1, "A", kernelPath(`\k`), text("quiet")), kernel: "k", cmdline: "quiet"},
		{name: "with a zero at the end", title: "A", file: variable(1, "A", kernelPath(`\k`), text("quiet\x00")), kernel: "k", cmdline: "quiet"},
		{name: "line end", title: "A", file: variable(1, "A", kernelPath(`\k`), text("root=/dev/x\r\n")), kernel: "k", cmdline: "root=/dev/x"},
		{name: "ASCII, even", title: "A", file: variable(1, "A", kernelPath(`\k`), "ro a=b"), kernel: "k", cmdline: "ro a=b"},
		{name: "ASCII, odd", title: "A", file: variable(1, "A", kernelPath(`\k`), "ro a=bc"), kernel: "k", cmdline: "ro a=bc"},
		{name: "initrds", title: "A", file: variable(1, "A", kernelPath(`\EFI\a\k`), text(`initrd=\u initrd=/EFI\a/i initrd=x BOOT_IMAGE=k root=r`)), kernel: "EFI/a/k", initrds: "u EFI/a/i x", cmdline: "root=r"},
		{name: "no way out", title: "A", file: variable(1, "A", kernelPath(`\..\..\etc\k`), text(`initrd=..\..\i`)), kernel: "etc/k", initrds: "i"},
		{name: "hostile description", title: "[2Jx", file: variable(1, "\x1b[2Jx\u202e", kernelPath(`\k`), "quiet"), kernel: "k", cmdline: "quiet"},
		{name: "no description", title: "Boot0000", file: variable(1, "", kernelPath(`\k`), "quiet"), kernel: "k", cmdline: "quiet"},
		{name: "too many initrds", title: "A", file: variable(1, "A", kernelPath(`\k`), strings.Repeat("initrd=i ", 40)), kernel: "k", initrds: strings.TrimSpace(strings.Repeat("i ", 32)), problem: "40 initrds"},
		{name: "no partition", title: "A", file: variable(1, "A", fileNode(`\k`), "quiet"), kernel: "k", cmdline: "quiet", problem: "name the partition"},
		{name: "disk without a signature", title: "A", file: variable(1, "A", slices.Concat(append(onGPT()[:41], 0), fileNode(`\k`)), "quiet"), kernel: "k", cmdline: "quiet", problem: "name the partition"},
		{name: "second path is not read", title: "A", file: variable(1, "A", slices.Concat(kernelPath(`\k`), fileNode(`\other`)), "quiet"), kernel: "k", cmdline: "quiet"},

		{name: "no data", title: none, file: variable(1, "A", kernelPath(`\k`), "")},
		{name: "no file", title: none, file: variable(1, "A", onGPT(), "quiet")},
		{name: "the root as a file", title: none, file: variable(1, "A", kernelPath(`\`), "quiet")},
		{name: "binary data", title: none, file: variable(1, "A", kernelPath(`\k`), "\x01\x02root=r")},
		{name: "a word and nothing else", title: none, file: variable(1, "A", kernelPath(`\k`), "auto")},
		{name: "shim's next stage", title: none, file: variable(1, "A", kernelPath(`\EFI\a\x64.efi`), text(`\EFI\a\grubx64.efi`))},
		{name: "boot loader with words", title: none, file: variable(1, "A", kernelPath(`\EFI\a\GRUBX64.EFI`), "prefix=x")},
		{name: "not active", title: none, file: variable(0, "A", kernelPath(`\k`), "quiet")},
		{name: "hidden", title: none, file: variable(9, "A", kernelPath(`\k`), "quiet")},
		{name: "of another category", title: none, file: variable(0x101, "A", kernelPath(`\k`), "quiet")},

		{name: "empty, as where no variable came of it", title: none, file: &fstest.MapFile{}},
		{name: "attributes alone", title: none, file: &fstest.MapFile{Data: []byte("\x07\x00\x00\x00\x01\x00\x00\x00\x00")}, note: "cut short"},
		{name: "endless description", title: none, file: &fstest.MapFile{Data: []byte("\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00a\x00b")}, note: "cut short"},
		{name: "path longer than the variable", title: none, file: &fstest.MapFile{Data: []byte("\x07\x00\x00\x00\x01\x00\x00\x00\xff\xff\x00\x00quiet")}, note: "cut short"},
		{name: "node of no length", title: none, file: variable(1, "A", []byte{4, 4, 0, 0, 4, 4, 0, 0}, "quiet"), note: "damaged"},
		{name: "node longer than the path", title: none, file: variable(1, "A", []byte{4, 4, 9, 0}, "quiet"), note: "damaged"},
		{name: "partition cut short", title: none, file: variable(1, "A", []byte{4, 1, 8, 0, 1, 0, 0, 0}, "quiet"), note: "cut short"},
		{name: "huge", title: none, file: variable(1, "A", kernelPath(`\k`), strings.Repeat("a=b ", 1<<15)), note: "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			others := boot.Volumes{{Volume: boot.Volume{Device: "/dev/sda1", PartUUID: uuid}, FS: fstest.MapFS{}}}
			l, err := efivars.Parse(fstest.MapFS{"Boot0000" + global: tt.file}, others)
			if err != nil {
				t.Fatal(err)
			}
			notes := fmt.Sprint(l.Notes)
			if !strings.Contains(notes, tt.note) || (len(l.Notes) == 0) != (tt.note == "") {
				t.Errorf("notes %s, want one with %q", notes, tt.note)
			}
			if tt.title == none {
				if len(l.Entries) != 0 {
					t.Errorf("got an entry:\n%s", boottest.Text(l, nil))
				}
				return
			}
			if len(l.Entries) != 1 {
				t.Fatalf("got %s", boottest.Text(l, nil))
			}
			e := l.Entries[0]
			got := [...]string{e.Title, e.Kernel, strings.Join(e.Initrds, " "), e.Cmdline}
			if want := [...]string{tt.title, tt.kernel, tt.initrds, tt.cmdline}; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if !strings.Contains(e.Problem, tt.problem) || (e.Problem == "") != (tt.problem == "") {
				t.Errorf("problem %q, want one with %q", e.Problem, tt.problem)
			}
			if e.Default {
				t.Error("it is a default without a BootOrder")
			}
		})
	}
}

// TestVolume asserts which of several volumes with that UUID is taken.
func TestVolume(t *testing.T) {
	vars := fstest.MapFS{"Boot0000" + global: variable(1, "A", kernelPath(`\k`), "quiet")}
	volume := func(device string, files fstest.MapFS) boot.MountedVolume {
		return boot.MountedVolume{Volume: boot.Volume{Device: device, PartUUID: strings.ToUpper(uuid)}, FS: files}
	}
	tests := []struct {
		name   string
		others boot.Volumes
		want   string
	}{
		{"none", nil, ""},
		{"one", boot.Volumes{volume("a", fstest.MapFS{})}, "a"},
		{"the one with the kernel", boot.Volumes{volume("a", fstest.MapFS{}), volume("b", fstest.MapFS{"k": {}})}, "b"},
		{"the first with the kernel", boot.Volumes{volume("a", fstest.MapFS{"k": {}}), volume("b", fstest.MapFS{"k": {}})}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := efivars.Parse(vars, tt.others)
			if err != nil || len(l.Entries) != 1 {
				t.Fatalf("got %s", boottest.Text(l, err))
			}
			e := l.Entries[0]
			if e.Volume.Device != tt.want || l.Unresolved != (tt.want == "") || (e.Problem == "") != (tt.want != "") {
				t.Errorf("unresolved %v, got %s", l.Unresolved, boottest.EntryText(e))
			}
		})
	}
}

// failing is a directory that cannot be read.
type failing struct{ fstest.MapFS }

func (failing) ReadDir(string) ([]fs.DirEntry, error) { return nil, errors.New("input/output error") }

func TestNoVariables(t *testing.T) {
	for _, vars := range []fs.FS{fstest.MapFS{}, fstest.MapFS{"Timeout" + global: {}}} {
		if l, err := efivars.Parse(vars, nil); err != nil || len(l.Entries)+len(l.Notes) != 0 {
			t.Errorf("got %s", boottest.Text(l, err))
		}
	}
	if _, err := efivars.Parse(failing{}, nil); err == nil {
		t.Error("no error from a directory that cannot be read")
	}
}

func TestManyOptions(t *testing.T) {
	vars := fstest.MapFS{}
	order := []byte{7, 0, 0, 0}
	for n := range 0x1000 {
		vars[fmt.Sprintf("Boot%04X%s", n, global)] = variable(1, "A", kernelPath(`\k`), "quiet")
		order = binary.LittleEndian.AppendUint16(order, uint16(n))
	}
	vars["BootOrder"+global] = &fstest.MapFile{Data: order}
	l, err := efivars.Parse(vars, nil)
	if err != nil || len(l.Entries) != 256 || len(l.Notes) != 1 || !strings.Contains(l.Notes[0].Text, "more than 256") {
		t.Errorf("%d entries, notes %v, error %v", len(l.Entries), l.Notes, err)
	}
	for name := range vars {
		vars[name] = &fstest.MapFile{}
	}
	if l, _ = efivars.Parse(vars, nil); len(l.Notes) > 25 {
		t.Errorf("%d notes", len(l.Notes))
	}
}

// FuzzParse asserts what holds for any variable: no panic, paths that stay on
// the volume, and text that is fit to be printed.
func FuzzParse(f *testing.F) {
	trees, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(trees) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, tree := range trees {
		vars, _ := variables(f, boottest.Load(f, tree))
		for _, v := range vars {
			f.Add(v.Data)
		}
	}
	f.Add(variable(1, "A", kernelPath(`\..\k`), `initrd=\..\i quiet`).Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := efivars.Parse(fstest.MapFS{
			"Boot0000" + global:  {Data: b},
			"BootOrder" + global: {Data: b},
		}, boot.Volumes{{Volume: boot.Volume{Device: "/dev/sda1", PartUUID: uuid}, FS: fstest.MapFS{}}})
		if err != nil {
			t.Fatal(err)
		}
		boottest.Check(t, l, err)
	})
}
