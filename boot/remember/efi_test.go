package remember

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
)

// memory are variables that write down what is done to them. Those in fail
// give an error when they are changed.
type memory struct {
	vars map[string]string // by NAME-GUID
	log  []string
	fail map[string]error
}

func (m *memory) Get(name, vendor string) ([]byte, error) {
	v, ok := m.vars[name+"-"+vendor]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(v), nil
}

func (m *memory) Set(name, vendor string, value []byte) error {
	if err := m.fail[name]; err != nil {
		return err
	}
	m.log = append(m.log, "set "+name)
	m.vars[name+"-"+vendor] = string(value)
	return nil
}

func (m *memory) Delete(name, vendor string) error {
	if err := m.fail[name]; err != nil {
		return err
	}
	m.log = append(m.log, "delete "+name)
	delete(m.vars, name+"-"+vendor)
	return nil
}

func (m *memory) expectLog(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(m.log, want) {
		t.Errorf("done to the variables: %q, want %q", m.log, want)
	}
	m.log = nil
}

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

func TestEFI(t *testing.T) {
	m := &memory{vars: map[string]string{}}
	e := EFI{m}
	expect(t, e, State{})
	save(t, e, first)
	m.expectLog(t, "set AlpbootDefault")
	save(t, e, first)
	m.expectLog(t)
	expect(t, e, first)
	save(t, e, second)
	expect(t, e, second)
	m.expectLog(t, "set AlpbootDefault", "set AlpbootNext", "set AlpbootLast", "set AlpbootTrying", "set AlpbootFailed", "set AlpbootUsed")
	changed := second
	changed.Next, changed.Last = "", "y"
	save(t, e, changed)
	m.expectLog(t, "delete AlpbootNext", "set AlpbootLast")
	expect(t, e, changed)

	// As a running system may write it.
	m.vars["AlpbootNext-"+Vendor] = "lts-1\n\x00"
	changed.Next = "lts-1"
	expect(t, e, changed)
	// What another hand has spoilt does no harm.
	m.vars["AlpbootNext-"+Vendor] = "\x1b[2J " + strings.Repeat("x", 1000)
	changed.Next = ""
	expect(t, e, changed)
}

func TestEFIFull(t *testing.T) {
	m := &memory{vars: map[string]string{}, fail: map[string]error{"AlpbootDefault": &fs.PathError{Op: "write", Path: "AlpbootDefault", Err: unix.ENOSPC}}}
	err := EFI{m}.Save(first)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "AlpbootDefault: the firmware has no room") {
		t.Errorf("got %v", err)
	}
}

func TestSystemdBoot(t *testing.T) {
	vars := func(pairs ...string) *memory {
		m := &memory{vars: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			m.vars[pairs[i]+"-"+loaderVendor] = pairs[i+1]
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
		m.expectLog(t, "set AlpbootLast")
		s.OneShot = ""
		save(t, l, s)
		m.expectLog(t, "delete LoaderEntryOneShot")
		save(t, l, s)
		m.expectLog(t)
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
		m.expectLog(t)
	})
	t.Run("beside a file", func(t *testing.T) {
		f, _, writes := folder(t)
		m := vars("LoaderEntryOneShot", utf16le("a.conf"))
		l := SystemdBoot{Store: f, Vars: m}
		save(t, l, State{Kept: true})
		m.expectLog(t, "delete LoaderEntryOneShot")
		if *writes != 0 {
			t.Error("the file was written as well")
		}
	})
}

// TestEfivarfs goes through the files of a folder that stands for efivarfs,
// with the immutable flag where the filesystem below it has one.
func TestEfivarfs(t *testing.T) {
	dir := t.TempDir()
	e := Efivarfs{Dir: dir}
	file := filepath.Join(dir, "AlpbootDefault-"+Vendor)
	if _, err := e.Get("AlpbootDefault", Vendor); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if err := e.Delete("AlpbootDefault", Vendor); err != nil {
		t.Fatalf("deleting what is not there: %v", err)
	}
	if err := e.Set("AlpbootDefault", Vendor, []byte("lts-1")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "\x07\x00\x00\x00lts-1" {
		t.Errorf("file: %q", b)
	}
	if b, err := e.Get("AlpbootDefault", Vendor); string(b) != "lts-1" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	os.WriteFile(filepath.Join(dir, "AlpbootNext-"+Vendor), nil, 0o644)
	if _, err := e.Get("AlpbootNext", Vendor); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file: %v", err)
	}
	os.WriteFile(filepath.Join(dir, "AlpbootLast-"+Vendor), make([]byte, 1<<20), 0o644)
	if _, err := e.Get("AlpbootLast", Vendor); err == nil {
		t.Error("a megabyte is no variable of ours")
	}

	t.Run("immutable", func(t *testing.T) {
		boottest.NeedRoot(t)
		if changed, err := setImmutable(file, true); err != nil || !changed {
			boottest.Skip(t, "files have no immutable flag here: ", err)
		}
		t.Cleanup(func() { setImmutable(file, false) })
		if err := os.WriteFile(file, nil, 0o644); err == nil {
			t.Fatal("the flag does nothing here")
		}
		if err := e.Set("AlpbootDefault", Vendor, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err == nil {
			t.Error("the flag was not put back")
		}
		if err := e.Delete("AlpbootDefault", Vendor); err != nil {
			t.Error(err)
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
