package keymap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// layout returns a map with the tables plain, Shift and AltGr; its key 16 is q.
func layout(q uint16) *Map {
	m := &Map{}
	for i, t := range []int{0, 1, 2} {
		m[t] = new([Keys]uint16)
		for k := range m[t] {
			m[t][k] = 0x0200 // K_HOLE
		}
		m[t][16] = q + uint16(i)
	}
	return m
}

// write makes a file of m as kbd's loadkeys --bkeymap does.
func write(m *Map) []byte {
	b := []byte(magic)
	for _, t := range m {
		b = append(b, map[bool]byte{true: 1}[t != nil])
	}
	for _, t := range m {
		if t != nil {
			for _, v := range t {
				b = binary.LittleEndian.AppendUint16(b, v)
			}
		}
	}
	return b
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func TestParse(t *testing.T) {
	good := write(layout('q'))
	noPlain := layout('q')
	noPlain[0] = nil
	all := layout('q')
	for i := range all {
		all[i] = all[0]
	}
	tests := []struct {
		name string
		file []byte
		want *Map
		err  string
	}{
		{name: "as it is", file: good, want: layout('q')},
		{name: "compressed", file: zip(good), want: layout('q')},
		{name: "more than is needed", file: append(bytes.Clone(good), "x"...), want: layout('q')},
		{name: "every table", file: zip(write(all)), want: all},
		{name: "empty", err: "not a keyboard layout"},
		{name: "a text", file: []byte("keymaps 0-127\n"), err: "not a keyboard layout"},
		{name: "cut in the flags", file: good[:100], err: "unexpected EOF"},
		{name: "cut in a table", file: good[:len(good)-1], err: "unexpected EOF"},
		{name: "cut in the archive", file: zip(good)[:50], err: "unexpected EOF"},
		{name: "no archive after all", file: []byte{0x1f, 0x8b, 0}, err: "EOF"},
		{name: "no plain keys", file: write(noPlain), err: "without modifiers"},
		{name: "a bomb", file: zip(make([]byte, 64<<20)), err: "not a keyboard layout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.file)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}

func TestFindAndNames(t *testing.T) {
	file := func(q uint16) *fstest.MapFile { return &fstest.MapFile{Data: zip(write(layout(q)))} }
	tree := fstest.MapFS{
		"usr/share/bkeymaps/de/de.bmap.gz":            file(1),
		"usr/share/bkeymaps/de/de-nodeadkeys.bmap.gz": file(2),
		"usr/share/bkeymaps/ch/de_CH.bmap.gz":         file(3),
		"usr/share/bkeymaps/ca/fr.bmap.gz":            file(4),
		"usr/share/bkeymaps/fr/fr.bmap.gz":            file(5),
		"usr/share/bkeymaps/fr/README":                {Data: []byte("x")},
		"usr/share/bkeymaps/xx/bad.bmap.gz":           {Data: []byte("x")},
		"etc/keymap/no.bmap.gz":                       file(6),
		"etc/keymap/mine.bmap":                        {Data: write(layout(7))},
		"etc/keymap/de.bmap.gz":                       file(1),
		"etc/passwd":                                  {Data: []byte("x")},
	}
	want := []string{"bad", "ca/fr", "de", "de-nodeadkeys", "de_CH", "fr/fr", "mine", "no"}
	if d := cmp.Diff(want, Names(tree)); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	for _, name := range want {
		if _, err := Find(tree, name); (err != nil) != (name == "bad") {
			t.Errorf("%s is listed: %v", name, err)
		}
	}
	for name, q := range map[string]uint16{
		"de": 1, "de-nodeadkeys": 2, "de/de-nodeadkeys": 2, "de_CH": 3, "fr": 5, "ca/fr": 4, "no": 6, "mine": 7,
	} {
		m, err := Find(tree, name)
		if err != nil || m[0][16] != q {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"xy", "", ".", "../passwd", "/etc/keymap/no", "de/no"} {
		if _, err := Find(tree, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Find(fstest.MapFS{}, "de"); !errors.Is(err, ErrNotFound) || Names(fstest.MapFS{}) != nil {
		t.Errorf("an empty image: %v", err)
	}
	// In an image whose directories cannot be listed what is named in full is found.
	if m, err := Find(filesOnly{tree}, "de-nodeadkeys"); err != nil || m[0][16] != 2 {
		t.Errorf("without listing: %v", err)
	}
}

// filesOnly is a filesystem that lists no directory.
type filesOnly struct{ fs.FS }

func (f filesOnly) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err == nil {
		if st, _ := file.Stat(); st.IsDir() {
			return nil, fs.ErrPermission
		}
	}
	return file, err
}

// table is a kernel's table, in memory, that behaves as vt_kdskbent in
// drivers/tty/vt/keyboard.c does.
type table struct {
	m   Map
	err error  // for all calls
	max uint16 // value that is still taken; 0 for any
}

func (k *table) Entry(t, key uint8) (uint16, error) {
	switch {
	case k.err != nil:
		return 0, k.err
	case k.m[t] != nil:
		return k.m[t][key], nil
	case key == 0:
		return noSuchMap, nil
	}
	return 0x0200, nil
}

func (k *table) SetEntry(t, key uint8, v uint16) error {
	switch {
	case k.err != nil:
		return k.err
	case key == 0 && v == noSuchMap:
		if t > 0 {
			k.m[t] = nil
		}
		return nil
	case k.max > 0 && v > k.max:
		return unix.EINVAL
	}
	if k.m[t] == nil {
		k.m[t] = new([Keys]uint16)
	}
	k.m[t][key] = v
	return nil
}

func TestLoad(t *testing.T) {
	k := &table{m: *layout('a')}
	k.m[8] = new([Keys]uint16) // Alt, which the new layout does not have
	before, err := Read(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := layout('q').Load(k); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*layout('q'), k.m); d != "" {
		t.Errorf("loaded (-want +got):\n%s", d)
	}
	if err := before.Load(k); err != nil || k.m[8] == nil || k.m[0][16] != 'a' {
		t.Errorf("the layout before does not come back: %v", err)
	}

	k = &table{max: 1}
	if err := layout('q').Load(k); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a kernel that takes nothing: %v", err)
	}
	k.max = 0x0200
	if err := layout('q').Load(k); err != nil || k.m[1][16] != 'q'+1 {
		t.Errorf("got %v", err)
	}
	one := layout('q')
	one[1][3] = 0xf041
	if err := one.Load(k); err != nil || k.m[1][16] != 'q'+1 || k.m[1][3] != 0x0200 {
		t.Errorf("a value that the kernel does not take: %v", err)
	}
	k.err = unix.EPERM
	if err := layout('q').Load(k); !errors.Is(err, unix.EPERM) {
		t.Errorf("without the right: %v", err)
	}
	if _, err := Read(k); !errors.Is(err, unix.EPERM) {
		t.Errorf("without the right: %v", err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open("/dev/no-such-tty"); err == nil || !strings.Contains(err.Error(), "no screen and keyboard") {
		t.Errorf("got %v", err)
	}
	c, err := Open("/dev/null") // no console: all calls fail
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Read(c); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v", err)
	}
	if err := layout('q').Load(c); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(write(layout('q')))
	f.Add(zip(write(layout('q'))))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(write(m))
		if d := cmp.Diff(m, again); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	})
}
