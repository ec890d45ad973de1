package remember

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// directory returns a store in a directory, and how often it was written to.
func directory(t testing.TB) (f *File, dir string, writes *int) {
	t.Helper()
	dir = t.TempDir()
	writes = new(int)
	return &File{
		Path: "alpboot.state", Volume: "/dev/sda1", FS: os.DirFS(dir),
		Write: func(do func(*os.Root) error) error {
			*writes++
			root, err := os.OpenRoot(dir)
			if err != nil {
				return err
			}
			defer root.Close()
			return do(root)
		},
	}, dir, writes
}

func save(t testing.TB, s Store, state State) {
	t.Helper()
	if err := s.Save(state); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, s Store, want State) {
	t.Helper()
	want.Kept = true
	got, err := s.Load()
	if d := diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

var (
	first  = State{Default: "lts-1", Kept: true}
	second = State{Default: "virt-22", Next: "lts-1", Last: "x", Trying: "x", Attempt: Attempt{Time: 1795855000, Try: 1, Of: 3, Release: "6.12.5-0-lts", Title: "Linux lts"},
		Tries: []Try{{"a", "", 0}, {"x", "00112233445566778899aabbccddeeff", 2}}, Rounds: 2, Used: []string{"0011223344556677"}, Kept: true}
	third = State{Last: "edge-333333333333333333333333333333", Kept: true}
)

func TestFile(t *testing.T) {
	f, dir, writes := directory(t)
	expect(t, f, State{})
	for i, s := range []State{first, second, third, {}, first} {
		save(t, f, s)
		save(t, f, s) // what is there already is not written again
		expect(t, f, s)
		if *writes != i+1 {
			t.Fatalf("%d writes after %d changes", *writes, i+1)
		}
	}
	for _, ending := range slots {
		if st, err := os.Stat(filepath.Join(dir, "alpboot.state"+ending)); err != nil || st.Size() != slotSize {
			t.Errorf("%s: %v", ending, err)
		}
	}
	if got := f.Where(); got != "/alpboot.state on /dev/sda1" {
		t.Errorf("where: %s", got)
	}
}

// TestPowerLoss lets the power fail at every byte of a write, in several ways.
// What is loaded then is the state before or the state after, and saving works.
func TestPowerLoss(t *testing.T) {
	read := func(dir string) [2]string {
		var out [2]string
		for i, ending := range slots {
			b, _ := os.ReadFile(filepath.Join(dir, "alpboot.state"+ending))
			out[i] = string(b)
		}
		return out
	}
	histories := []struct {
		name     string
		old, new State
		before   []State // saved before old
	}{
		{name: "the first ever", new: first},
		{name: "the second", old: first, new: second},
		{name: "over an older one", old: second, new: third, before: []State{first}},
		{name: "over an older one that is longer", old: third, new: first, before: []State{first, second}},
	}
	// How a slot looks when its writing stopped after n bytes.
	damages := []struct {
		name string
		make func(before, after string, n int) string
	}{
		{"in order", func(before, after string, n int) string { return after[:n] + before[min(n, len(before)):] }},
		{"from the end", func(before, after string, n int) string {
			return before[:min(len(after)-n, len(before))] + strings.Repeat("\x00", max(0, len(after)-n-len(before))) + after[len(after)-n:]
		}},
		{"one byte wrong", func(_, after string, n int) string {
			b := []byte(after)
			b[min(n, len(b)-1)] ^= 0x21
			return string(b)
		}},
		{"one sector missing", func(before, after string, n int) string {
			b := []byte(after)
			at := n / 512 * 512
			copy(b[min(at, len(b)):min(at+512, len(b))], before[min(at, len(before)):min(at+512, len(before))])
			return string(b)
		}},
		{"zeros from there", func(_, after string, n int) string { return after[:n] + strings.Repeat("\x00", len(after)-n) }},
	}
	for _, h := range histories {
		for _, d := range damages {
			t.Run(h.name+"/"+d.name, func(t *testing.T) {
				f, dir, _ := directory(t)
				for _, s := range append(h.before, h.old) {
					save(t, f, s)
				}
				before := read(dir)
				save(t, f, h.new)
				after := read(dir)
				written := 0
				if before[0] == after[0] {
					written = 1
				}
				if before[1-written] != after[1-written] || before[written] == after[written] {
					t.Fatal("a write changes both files, or none")
				}
				sawOld, sawNew := false, false
				for n := range slotSize + 1 {
					now := after
					now[written] = d.make(before[written], after[written], n)
					got, err := (&File{Path: f.Path, FS: tree(f.Path, now)}).Load()
					isOld, isNew := got.Equal(kept(h.old)), got.Equal(kept(h.new))
					sawOld, sawNew = sawOld || isOld, sawNew || isNew
					if !isOld && !isNew || err != nil && !isOld {
						t.Fatalf("after %d bytes there is %+v, %v", n, got, err)
					}
					if n%1000 == 77 { // life goes on
						for i, ending := range slots {
							os.WriteFile(filepath.Join(dir, f.Path+ending), []byte(now[i]), 0o644)
						}
						next := second
						next.Next = fmt.Sprint("n-", n)
						save(t, f, next)
						expect(t, f, next)
					}
				}
				if !sawNew {
					t.Error("no damage let the new state through: the test damages too much")
				}
				if !sawOld && d.name != "one sector missing" {
					t.Error("no damage brought the old state back: the test damages nothing")
				}
			})
		}
	}
}

// tree is a volume that holds two slots; an empty one is not there.
func tree(name string, content [2]string) fs.FS {
	files := fstest.MapFS{}
	for i, ending := range slots {
		if content[i] != "" {
			files[name+ending] = &fstest.MapFile{Data: []byte(content[i]), Mode: 0o644}
		}
	}
	return files
}

func kept(s State) State {
	s.Kept = true
	return s
}

func TestFileNeverHarmsOthers(t *testing.T) {
	f, dir, _ := directory(t)
	victim := filepath.Join(dir, "grub.cfg")
	os.WriteFile(victim, []byte("menuentry"), 0o644)
	slot := filepath.Join(dir, "alpboot.state.0")
	for name, prepare := range map[string]func() error{
		"a link":      func() error { return os.Symlink("grub.cfg", slot) },
		"a FIFO":      func() error { return unix.Mkfifo(slot, 0o644) },
		"a directory": func() error { return os.Mkdir(slot, 0o755) },
		"a backup":    func() error { return os.WriteFile(slot, make([]byte, slotSize+1), 0o644) },
	} {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		if err := f.Save(first); err == nil {
			t.Errorf("%s was written to", name)
		}
		os.Remove(slot)
	}
	if b, _ := os.ReadFile(victim); string(b) != "menuentry" {
		t.Errorf("another file was changed: %q", b)
	}
}

func TestFileErrors(t *testing.T) {
	f, _, _ := directory(t)
	why := errors.New("read-only file system")
	f.Write = func(func(*os.Root) error) error { return why }
	if err := f.Save(first); !errors.Is(err, why) || !strings.Contains(err.Error(), "/alpboot.state on /dev/sda1") {
		t.Errorf("got %v", err)
	}
}

func TestEncodeFits(t *testing.T) {
	long := strings.Repeat("x", maxID)
	many := make([]string, 50)
	var tries []Try
	for i := range many {
		many[i] = long
		tries = append(tries, Try{ID: fmt.Sprintf("%*d", maxID, i), Fingerprint: long, Left: 1 << 40})
		tries[i].ID = strings.ReplaceAll(tries[i].ID, " ", "x")
	}
	most := State{Default: long, Next: long, Last: long, Trying: long, Tries: tries, Used: many, Rounds: 1 << 40,
		Attempt: Attempt{Time: 1<<63 - 1, Try: 1 << 40, Of: 1 << 40, Release: strings.Repeat(long, 9), Title: strings.Repeat("\u00e4", 500)}}
	b := encode(most, 1<<62)
	if len(b) != slotSize {
		t.Errorf("%d bytes", len(b))
	}
	s, seq, err := decode(b)
	if err != nil || seq != 1<<62 || len(s.Tries) < 5 || s.Tries[len(s.Tries)-1].ID != tries[49].ID || s.Default != long || len(s.Attempt.Title) < maxText-2 {
		t.Errorf("%v %d %+v", err, seq, s)
	}
	for _, f := range most.fields() { // so does an EFI variable
		if n := len(f.text()); n > maxTries {
			t.Errorf("%s has %d bytes", f.name, n)
		}
	}
	// What cannot be kept is left out, and does not become something else.
	b = encode(State{Default: "a b", Next: "a\nlast evil", Last: long + "x", Tries: []Try{{"", "f", 1}, {"\x7f", "f", 1}, {"a", "f:b", 1}, {"b", "f g", 1}, {"ok", "f", -1}},
		Attempt: Attempt{Release: "a b", Title: "c\nlast evil"}}, 1)
	if s, _, err = decode(b); err != nil || diff(State{Tries: []Try{{"ok", "f", 0}}, Attempt: Attempt{Release: "ab", Title: "c last evil"}}, s) != "" {
		t.Errorf("%v %+v", err, s)
	}
}

// TestEarlierVersions reads what earlier versions wrote, which counted no tries.
func TestEarlierVersions(t *testing.T) {
	line := func(s string) []byte {
		return []byte(fmt.Sprintf("%s%scrc32 %08x\n", header, s, crc32.ChecksumIEEE([]byte(header+s))))
	}
	s, _, err := decode(line("seq 3\nlast a\ntrying a\nfailed b a c\n"))
	want := State{Last: "a", Trying: "a", Tries: []Try{{"b", "", 0}, {"a", "", 0}, {"c", "", 0}}}
	if d := diff(want, s); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	// Both, where a version was put back.
	s, _, err = decode(line("seq 3\nfailed b a\ntries 2:f:a\n"))
	if d := diff(State{Tries: []Try{{"a", "f", 2}}}, s); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	// What is written now is a file to them: a header, names they know, and a sum.
	if text := string(encode(second, 7)); !strings.HasPrefix(text, "alpboot state 1\nseq 7\n") || !strings.Contains(text, "\ntrying x\n") {
		t.Errorf("got %q", text)
	}
}

// What is written counts even after the largest number that a file can have: an
// entry that is to be booted once would be booted for ever.
func TestFileAfterLargestNumber(t *testing.T) {
	for _, seq := range []uint64{1<<63 - 2, 1<<63 - 1, 1<<64 - 2, 1<<64 - 1} {
		f, dir, _ := directory(t)
		os.WriteFile(filepath.Join(dir, f.Path+slots[0]), encode(State{Next: "again"}, seq), 0o644)
		expect(t, f, State{Next: "again"})
		for _, s := range []State{{Last: "a"}, {Last: "b"}, {Last: "c"}} {
			save(t, f, s)
			expect(t, f, s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(second, 7))
	f.Add([]byte("alpboot state 1\nseq 1\ndefault a\ncrc32 00000000\n"))
	f.Add([]byte(header + "\ncrc32 "))
	f.Add([]byte("alpboot state 1\nseq 3\nlast a\ntrying a\nfailed b a c\ntries 2:f:a\nattempt 1 2 3 - x\ncrc32 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, seq, err := decode(b)
		if err != nil {
			if d := diff(State{}, s); d != "" {
				t.Errorf("an error and a state: %s", d)
			}
			return
		}
		again, seq2, err := decode(encode(s, seq))
		if d := diff(s, again); d != "" || seq != seq2 || err != nil {
			t.Errorf("%v, %d and %d, %s", err, seq, seq2, d)
		}
	})
}

// A state that cannot be read is not one that is kept: nobody is to replace it by
// nothing. A damaged one may be replaced.
func TestFileThatCannotBeRead(t *testing.T) {
	for name, tt := range map[string]struct {
		fsys fs.FS
		kept bool
	}{
		"no files":   {fstest.MapFS{}, true},
		"damaged":    {fstest.MapFS{"state.0": {Data: []byte("alpboot")}}, true},
		"unreadable": {fstest.MapFS{"state.0": {Mode: fs.ModeDir}}, false},
	} {
		if s, _ := (&File{Path: "state", FS: tt.fsys}).Load(); s.Kept != tt.kept {
			t.Errorf("%s: kept %t, want %t", name, s.Kept, tt.kept)
		}
	}
}

// TestPrepare asserts that the files which somebody has made are found, filled in
// place, and removed without a trace.
func TestPrepare(t *testing.T) {
	f, dir, _ := directory(t)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	inode := func() string {
		var list []string
		for _, ending := range slots {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, f.Path+ending), &st); err != nil || st.Size != slotSize {
				t.Fatalf("%v, %d bytes", err, st.Size)
			}
			list = append(list, fmt.Sprint(st.Ino))
		}
		return strings.Join(list, " ")
	}
	if Prepared(f.FS, f.Path) {
		t.Error("prepared before it is")
	}
	if err := Prepare(root, f.Path); err != nil || !Prepared(f.FS, f.Path) {
		t.Fatal(err)
	}
	expect(t, f, State{})
	before := inode()
	for _, s := range []State{first, second, third} {
		save(t, f, s)
		expect(t, f, s)
	}
	if err := Prepare(root, f.Path); err != nil {
		t.Fatal(err)
	}
	expect(t, f, third) // which is not replaced by nothing
	if after := inode(); after != before {
		t.Errorf("the files were %s and are %s", before, after)
	}

	// A half that the power has cut off is still alpboot's; one that is missing, or
	// both damaged, are not.
	half := filepath.Join(dir, f.Path+slots[1])
	os.WriteFile(half, make([]byte, slotSize), 0o644)
	if !Prepared(f.FS, f.Path) {
		t.Error("not prepared with one whole half")
	}
	if err := Prepare(root, f.Path); err != nil {
		t.Fatal(err)
	}
	expect(t, f, second)
	if err := Discard(root, f.Path); err != nil {
		t.Error(err)
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("%v is left", list)
	}
	os.WriteFile(half, []byte("mine"), 0o644)
	if Prepared(f.FS, f.Path) {
		t.Error("prepared with one file of somebody else")
	}
	if err := Discard(root, f.Path); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(half); string(b) != "mine" {
		t.Errorf("%q is left, %v", b, err)
	}
}
