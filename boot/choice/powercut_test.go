package choice

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/remember"
)

// life is what a machine saves, one state after the other, while about everything
// happens to it that the memory knows of.
func life() []remember.State {
	const tries = 2
	s := remember.State{Kept: true}
	all := []remember.State{s}
	save := func(next remember.State) {
		s = next
		all = append(all, s)
	}
	start := func(id string, times int) {
		for range times {
			opened := s.Opened(tries)
			opened.Next = ""
			save(opened.Booting(id, "f-"+id, true, tries, remember.Attempt{Time: int64(len(all)), Release: "6.12", Title: id}))
		}
	}
	start("lts", 1)
	save(s.Confirmed())
	start("lts", tries)
	start("old", 1)
	save(s.Confirmed())
	withDefault := s
	withDefault.Default = "virt"
	save(withDefault)
	start("virt", tries)
	start("old", tries)
	start("guess", tries)
	save(s.Opened(tries).NextRound())
	start("virt", 1)
	start("old", 1)
	save(s.Confirmed())
	once := s
	once.Next = "lts"
	save(once)
	spent := s.Opened(tries)
	spent.Next, spent.Used = "", []string{"0011223344556677"}
	save(spent)
	start("lts", 1)
	start("guess", 1)
	save(s.Confirmed())
	start("virt", 1) // by hand: it has failed
	return all
}

// survivor checks what a menu does with what was left by a power cut between two
// states.
type survivor struct {
	t        *testing.T
	inv      boot.Inventory
	prints   map[string]string
	old, new remember.State
}

func newSurvivor(t *testing.T) *survivor {
	v := boot.Volume{Device: "/dev/sda1", UUID: "u"}
	s := &survivor{t: t, prints: map[string]string{}, inv: boot.Inventory{Settled: true, Entries: []boot.Entry{
		{ID: "lts", Title: "lts", Version: "6.12-0-lts", Volume: v, Default: true}, {ID: "virt", Title: "virt", Version: "6.12-0-virt", Volume: v},
		{ID: "old", Title: "old", Version: "6.11-0-lts", Volume: v, Previous: true}, {ID: "guess", Title: "guess", Volume: v, Guessed: true},
	}}}
	for _, e := range s.inv.Entries {
		s.prints[e.ID] = "f-" + e.ID
	}
	return s
}

// boots asserts that something is booted, or that it is said why not. In order
// are those writes done that come first, and none of the others: then no entry has
// failed that had not before and has not after, and the other way round.
func (v *survivor) boots(what string, got remember.State, err error, inOrder bool) {
	v.t.Helper()
	fail := func(format string, args ...any) {
		v.t.Helper()
		v.t.Fatalf("%s, between\n%+v and\n%+v:\n%s; it has\n%+v", what, v.old, v.new, fmt.Sprintf(format, args...), got)
	}
	if err != nil {
		fail("%v", err)
	}
	opened := got.Opened(2)
	c := Default(v.inv, Wants{State: opened, Confirm: 2, Fingerprints: v.prints})
	if c.ID == "" && (!c.Exhausted || c.Wait == "") {
		fail("nothing is booted, and nothing says why")
	}
	if c.Exhausted {
		if again := Default(v.inv, Wants{State: opened.NextRound().Opened(2), Confirm: 2, Fingerprints: v.prints}); again.ID == "" {
			fail("nothing is booted in the next round either")
		}
	}
	if !inOrder {
		return
	}
	for _, e := range v.inv.Entries {
		failed := func(s remember.State) bool {
			try, tried := s.Opened(2).Try(e.ID)
			return tried && try.Left == 0
		}
		if is, before, after := failed(got), failed(v.old), failed(v.new); is != before && is != after {
			fail("%s has failed: %t, before %t, afterwards %t", e.ID, is, before, after)
		}
	}
	if got.Rounds != v.old.Rounds && got.Rounds != v.new.Rounds {
		fail("rounds")
	}
}

// TestPowerCutFile lets the power fail in every write of a file, at each byte and
// with any sectors of it written.
func TestPowerCutFile(t *testing.T) {
	dir := t.TempDir()
	store := &remember.File{Path: "state", FS: os.DirFS(dir), Write: func(do func(*os.Root) error) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return do(root)
	}}
	read := func() map[string]string {
		m := map[string]string{}
		for _, name := range []string{"state.0", "state.1"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				m[name] = string(b)
			}
		}
		return m
	}
	v := newSurvivor(t)
	cut := func(what string, files map[string]string, name, content string) {
		t.Helper()
		tree := fstest.MapFS{}
		for n, text := range files {
			tree[n] = &fstest.MapFile{Data: []byte(text)}
		}
		tree[name] = &fstest.MapFile{Data: []byte(content)}
		got, err := (&remember.File{Path: "state", FS: fs.FS(tree)}).Load()
		if len(files) == 0 && err != nil && strings.Contains(err.Error(), "damaged") {
			err = nil // the first ever: nothing was known before
		}
		v.boots(what, got, err, true)
	}
	n := 0
	for i, s := range life() {
		before := read()
		if err := store.Save(s); err != nil {
			t.Fatal(err)
		}
		v.old, v.new = v.new, s
		for name, after := range read() {
			old := before[name]
			if i == 0 || after == old {
				continue
			}
			n++
			last := "nothing"
			for at := range len(after) + 1 {
				if content := after[:at] + old[min(at, len(old)):]; content != last {
					cut(fmt.Sprintf("%s cut at byte %d", name, at), before, name, content)
					last = content
				}
			}
			const sector = 512
			for written := range 1 << (len(after) / sector) {
				b := []byte(old)
				b = append(b, make([]byte, len(after)-len(b))...)
				for k := range len(after) / sector {
					if written&(1<<k) != 0 {
						copy(b[k*sector:], after[k*sector:(k+1)*sector])
					}
				}
				cut(fmt.Sprintf("%s with the sectors %b", name, written), before, name, string(b))
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d writes", n)
	}
}

// TestPowerCutEFI lets it fail between any writes of EFI variables: with those
// that come first done, and with any of them.
func TestPowerCutEFI(t *testing.T) {
	m := &boottest.Variables{Values: map[string]string{}}
	store := remember.EFI{Vars: m}
	load := func(values map[string]string) (remember.State, error) {
		return remember.EFI{Vars: &boottest.Variables{Values: values}}.Load()
	}
	v := newSurvivor(t)
	most := 0
	for _, s := range life() {
		before := maps.Clone(m.Values)
		m.Log = nil
		if err := store.Save(s); err != nil {
			t.Fatal(err)
		}
		v.old, v.new = v.new, s
		most = max(most, len(m.Log))
		write := func(values map[string]string, line string) {
			what, name, _ := strings.Cut(line, " ")
			if what == "delete" {
				delete(values, name)
			} else {
				values[name] = m.Values[name]
			}
		}
		for done := range 1 << len(m.Log) {
			values := maps.Clone(before)
			for k, line := range m.Log {
				if done&(1<<k) != 0 {
					write(values, line)
				}
			}
			got, err := load(values)
			v.boots(fmt.Sprintf("of %q those are written that %b has", m.Log, done), got, err, done&(done+1) == 0)
		}
	}
	if most < 4 {
		t.Errorf("only %d variables are written at once", most)
	}
}
