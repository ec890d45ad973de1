package remember

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
)

func expectLog(t *testing.T, m *boottest.Variables, want ...string) {
	t.Helper()
	if !slices.Equal(m.Log, want) {
		t.Errorf("done to the variables: %q, want %q", m.Log, want)
	}
	m.Log = nil
}

func utf16le(s string) string { return string(efivar.AppendText(nil, s)) }

func TestEFI(t *testing.T) {
	m := &boottest.Variables{Values: map[string]string{}}
	e := EFI{m}
	expect(t, e, State{})
	save(t, e, first)
	expectLog(t, m, "set AlpbootDefault")
	save(t, e, first)
	expectLog(t, m)
	expect(t, e, first)
	save(t, e, second)
	expect(t, e, second)
	expectLog(t, m, "set AlpbootDefault", "set AlpbootNext", "set AlpbootTrying", "set AlpbootTries", "set AlpbootAttempt", "set AlpbootLast", "set AlpbootRounds", "set AlpbootUsed")
	changed := second
	changed.Next, changed.Last = "", "y"
	save(t, e, changed)
	expectLog(t, m, "delete AlpbootNext", "set AlpbootLast")
	expect(t, e, changed)

	// As a running system may write it.
	m.Values["AlpbootNext"] = "lts-1\n\x00"
	changed.Next = "lts-1"
	expect(t, e, changed)
	// What another hand has spoilt does no harm.
	m.Values["AlpbootNext"] = "\x1b[2J " + strings.Repeat("x", 1000)
	changed.Next = ""
	expect(t, e, changed)
}

// The list of failed entries of earlier versions counts until it is written in
// another variable.
func TestEFIOfEarlierVersions(t *testing.T) {
	m := &boottest.Variables{Values: map[string]string{"AlpbootLast": "b", "AlpbootFailed": "a c"}}
	e := EFI{m}
	was := State{Last: "b", Tries: []Try{{"a", "", 0}, {"c", "", 0}}, Kept: true}
	expect(t, e, was)
	save(t, e, was)
	expect(t, e, was)
	if m.Values["AlpbootTries"] != "0:-:a 0:-:c" || m.Values["AlpbootFailed"] != "" {
		t.Errorf("got %q", m.Values)
	}
	m.Log = nil
	save(t, e, was)
	expectLog(t, m)
	save(t, e, State{Last: "b", Kept: true})
	expect(t, e, State{Last: "b"})
}

func TestEFIFails(t *testing.T) {
	full := errors.New("full")
	if err := (EFI{&boottest.Variables{Fail: full}}).Save(first); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestSystemdBoot(t *testing.T) {
	vars := func(pairs ...string) *boottest.Variables {
		m := &boottest.Variables{Values: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			m.Values[pairs[i]] = pairs[i+1]
		}
		return m
	}
	t.Run("read", func(t *testing.T) {
		l := SystemdBoot{Store: EFI{vars()}, Vars: vars("LoaderEntryOneShot", utf16le("alpine-lts.conf"), "LoaderEntryDefault", utf16le("alpine-*"))}
		expect(t, l, State{OneShot: "alpine-lts.conf", LoaderDefault: "alpine-*"})
	})
	t.Run("saved", func(t *testing.T) {
		l := SystemdBoot{Store: EFI{vars()}, Vars: vars("LoaderEntryDefault", utf16le("@saved"), "LoaderEntryLastBooted", utf16le("b.conf"))}
		expect(t, l, State{LoaderDefault: "b.conf"})
	})
	t.Run("preferred", func(t *testing.T) {
		l := SystemdBoot{Store: EFI{vars()}, Vars: vars("LoaderEntryPreferred", utf16le("a-*"), "LoaderEntryDefault", utf16le("b.conf"))}
		expect(t, l, State{LoaderPreferred: "a-*", LoaderDefault: "b.conf"})
		l.Vars = vars("LoaderEntryPreferred", utf16le("@saved"), "LoaderEntryLastBooted", utf16le("c.conf"))
		expect(t, l, State{LoaderPreferred: "c.conf"})
	})
	t.Run("rubbish", func(t *testing.T) {
		l := SystemdBoot{Store: EFI{vars()}, Vars: vars("LoaderEntryDefault", "\x1b\x00[\x00", "LoaderEntryOneShot", utf16le("../x"))}
		expect(t, l, State{})
		l.Vars = vars("LoaderEntryDefault", "a", "LoaderEntryOneShot", "a\x00b\x00\x00\xd8")
		expect(t, l, State{})
		l.Vars = vars("LoaderEntryDefault", utf16le("@current"))
		expect(t, l, State{})
	})
	t.Run("one shot is deleted when it is used, and only then", func(t *testing.T) {
		m := vars("LoaderEntryOneShot", utf16le("a.conf"), "LoaderEntryDefault", utf16le("b.conf"))
		l := SystemdBoot{Store: EFI{m}, Vars: m}
		s, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		s.Last = "a-1"
		save(t, l, s)
		expectLog(t, m, "set AlpbootLast")
		s.OneShot = ""
		save(t, l, s)
		expectLog(t, m, "delete LoaderEntryOneShot")
		save(t, l, s)
		expectLog(t, m)
		expect(t, l, State{Last: "a-1", LoaderDefault: "b.conf"})
	})
	t.Run("nothing is written where nothing shall be", func(t *testing.T) {
		m := vars("LoaderEntryOneShot", utf16le("a.conf"), "LoaderEntryDefault", utf16le("b.conf"))
		l := SystemdBoot{Store: &Nowhere{}, Vars: m, ReadOnly: true}
		s, err := l.Load()
		if d := diff(State{LoaderDefault: "b.conf"}, s); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
		save(t, l, State{Default: "x"})
		expectLog(t, m)
	})
	t.Run("beside a file", func(t *testing.T) {
		f, _, writes := directory(t)
		m := vars("LoaderEntryOneShot", utf16le("a.conf"))
		l := SystemdBoot{Store: f, Vars: m}
		save(t, l, State{Kept: true})
		expectLog(t, m, "delete LoaderEntryOneShot")
		if *writes != 0 {
			t.Error("the file was written as well")
		}
	})
}

func TestFirmwareWithoutVariables(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		s := Firmware(dir)
		if got := s.Where(); got != "memory only: this machine has no EFI variables" {
			t.Errorf("where: %s", got)
		}
		save(t, s, State{Default: "a", OneShot: "x"})
		if got, err := s.Load(); err != nil || got.Kept || got.Default != "a" {
			t.Errorf("%+v %v", got, err)
		}
		if list, _ := os.ReadDir(dir); len(list) > 0 {
			t.Errorf("something was written: %v", list)
		}
	}
}
