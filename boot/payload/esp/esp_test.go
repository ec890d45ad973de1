package esp

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// program makes an EFI program whose section .osrel holds text.
func program(text string) []byte {
	const at, optional, headers = 0x40, 112 + 16*8, 0x200
	le := binary.LittleEndian
	b := make([]byte, headers+0x200)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], at)
	copy(b[at:], "PE\x00\x00\x64\x86\x01")
	le.PutUint16(b[at+20:], optional)
	o := b[at+24:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[32:], 0x200)
	le.PutUint32(o[36:], 0x200)
	le.PutUint32(o[60:], headers)
	le.PutUint32(o[108:], 16)
	s := o[optional:]
	copy(s, ".osrel")
	le.PutUint32(s[8:], uint32(len(text)))
	le.PutUint32(s[12:], 0x1000)
	le.PutUint32(s[16:], 0x200)
	le.PutUint32(s[20:], headers)
	copy(b[headers:], text)
	return b
}

func version(n int) []byte { return program(fmt.Sprintf("ID=alpboot\nVERSION_ID=%d\n", n)) }

var theirs = program("ID=other\n")

const (
	bootx64  = "EFI/BOOT/BOOTX64.EFI"
	bootaa64 = "EFI/BOOT/BOOTAA64.EFI"
	kept     = Directory + "/replaced-bootx64.efi"
	oldKept  = Directory + "/replaced.efi" // as older versions called it
)

// names says what files there are and what they hold, for messages.
func (m *fatModel) names() string {
	var list []string
	for name, chain := range m.memory.entries {
		what := "damaged"
		for n := range 9 {
			if string(m.memory.data[chain]) == string(version(n)) {
				what = fmt.Sprint("v", n)
			}
		}
		if string(m.memory.data[chain]) == string(theirs) {
			what = "theirs"
		}
		list = append(list, name+"="+what)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestInstall(t *testing.T) {
	for _, tt := range []struct {
		name      string
		removable bool
		before    map[string][]byte
		want      string // afterwards
		uninstall string // and after uninstalling, forced
		refused   string // why it is not uninstalled otherwise; "" if it is
	}{
		{
			name: "first", want: Current + "=v5", refused: "nothing else",
		},
		{
			name: "update", before: map[string][]byte{Current: version(4), Previous: version(3), "EFI/other/grubx64.efi": theirs},
			want:      Current + "=v5 " + Previous + "=v4 EFI/other/grubx64.efi=theirs",
			uninstall: "EFI/other/grubx64.efi=theirs",
		},
		{
			name: "damaged before", before: map[string][]byte{Current: []byte("junk"), Previous: version(3)},
			want: Current + "=v5 " + Previous + "=v3", refused: "nothing else",
		},
		{
			name: "left behind", before: map[string][]byte{Current: version(4), Directory + "/new0.efi": version(2), Directory + "/new1.efi": version(4)},
			want:      Current + "=v5 " + Previous + "=v4 " + Directory + "/new1.efi=v4",
			uninstall: Current + "=v5 " + Previous + "=v4 " + Directory + "/new1.efi=v4", refused: "may be a second name",
		},
		{
			name: "removable, first", removable: true, want: bootx64 + "=v5", refused: "nothing else",
		},
		{
			name: "removable, another's loader", removable: true, before: map[string][]byte{bootx64: theirs},
			want: bootx64 + "=v5 " + kept + "=theirs", uninstall: bootx64 + "=theirs",
		},
		{
			name: "removable, update", removable: true, before: map[string][]byte{bootx64: version(4), Previous: version(3), oldKept: theirs},
			want: bootx64 + "=v5 " + Previous + "=v4 " + oldKept + "=theirs", uninstall: bootx64 + "=theirs",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFAT()
			for name, b := range tt.before {
				m.put(name, b)
			}
			target := Target{Files: m, Arch: "amd64", Removable: tt.removable}
			r, err := Install(target, version(5))
			if err != nil || r.Same {
				t.Fatalf("%+v, %v", r, err)
			}
			if got := m.names(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(tt.want, "/new") != (r.Notes != nil) {
				t.Errorf("notes %q", r.Notes)
			}
			steps := m.step
			if r, err := Install(target, version(5)); err != nil || !r.Same || m.step != steps {
				t.Errorf("again: %+v, %v, %d operations", r, err, m.step-steps)
			}
			_, err = Uninstall(target, false)
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("uninstalling: %v, want %q", err, tt.refused)
			}
			if err != nil {
				if m.names() != tt.want {
					t.Errorf("a refusal left %s", m.names())
				}
				if _, err := Uninstall(target, true); (err == nil) != (tt.refused == "nothing else") {
					t.Errorf("forced: %v", err)
				}
			}
			if got := m.names(); got != tt.uninstall {
				t.Errorf("uninstalled: got  %s\nwant %s", got, tt.uninstall)
			}
		})
	}
}

// A plain install and its undoing leave alone what was kept of the removable path.
func TestKeptThroughPlainInstall(t *testing.T) {
	m := newFAT()
	m.put(bootx64, theirs)
	for _, removable := range []bool{true, false} {
		if _, err := Install(Target{Files: m, Arch: "amd64", Removable: removable}, version(5)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Uninstall(Target{Files: m}, true); err != nil || r.PutBack || !slices.Equal(r.Removed, []string{Current}) || len(r.Left) != 1 {
		t.Errorf("plain: %+v, %v, left %s", r, err, m.names())
	}
	if r, err := Uninstall(Target{Files: m, Arch: "amd64", Removable: true}, false); err != nil || !r.PutBack || r.Left != nil || m.names() != bootx64+"=theirs" {
		t.Errorf("removable: %+v, %v, left %s", r, err, m.names())
	}
	if r, err := Uninstall(Target{Files: m}, false); err != nil || r.Removed != nil {
		t.Errorf("again: %+v, %v", r, err)
	}
}

func TestInstallRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(m *fatModel)
		program []byte
		want    string
	}{
		{name: "old kernel", prepare: func(m *fatModel) { m.old = true }, want: "Linux 6.0"},
		{name: "no room", prepare: func(m *fatModel) { m.freeBytes = 100 }, want: "too few"},
		{name: "not ours", program: theirs, want: "ID=alpboot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFAT()
			m.put(bootx64, version(1))
			before := m.names()
			if tt.prepare != nil {
				tt.prepare(m)
			}
			if tt.program == nil {
				tt.program = version(2)
			}
			if _, err := Install(Target{Files: m, Arch: "amd64", Removable: true}, tt.program); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if m.names() != before {
				t.Errorf("left %s", m.names())
			}
		})
	}
	// A small partition has room for two: the previous one goes.
	m := newFAT()
	m.put(Current, version(2))
	m.put(Previous, version(1))
	m.freeBytes = 64<<10 + 100
	if r, err := Install(Target{Files: m, Arch: "amd64"}, version(3)); err != nil || m.names() != Current+"=v3 "+Previous+"=v2" {
		t.Errorf("%+v, %v: %s", r, err, m.names())
	}
}

// run does f, and reports whether power went.
func run(f func() error) (cut bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(powerCut{}) {
				panic(p)
			}
			cut = true
		}
	}()
	return false, f()
}

// Whichever operation fails, and whenever power goes, with whatever of the last
// writes on the disk: there is a whole file where firmware looks, which is the
// old one or the new one. So it is if the same happens again on what was left.
func TestPowerCutsAndFailures(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, tt := range []struct {
		name      string
		removable bool
		before    map[string][]byte
		uninstall bool
		paths     []string // where firmware looks, in order
	}{
		{name: "update", before: map[string][]byte{Current: version(4), Previous: version(3)}, paths: []string{Current}},
		{name: "update without a previous one", before: map[string][]byte{Current: version(4)}, paths: []string{Current}},
		{name: "removable update", removable: true, before: map[string][]byte{bootx64: version(4), Previous: version(3), kept: theirs}, paths: []string{bootx64}},
		{name: "removable, another's loader", removable: true, before: map[string][]byte{bootx64: theirs}, paths: []string{bootx64}},
		{name: "removable, uninstalling", removable: true, before: map[string][]byte{bootx64: version(4), Previous: version(3), kept: theirs}, uninstall: true, paths: []string{bootx64}},
		{name: "beside another", before: map[string][]byte{bootx64: theirs}, paths: []string{Current, bootx64}},
		{name: "uninstalling beside another", before: map[string][]byte{bootx64: theirs, Current: version(4), Previous: version(3)}, uninstall: true, paths: []string{Current, bootx64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			known := map[string]bool{string(theirs): true}
			for n := range 9 {
				known[string(version(n))] = true
			}
			// Each round works on what the one before left.
			var attempt func(m *fatModel, round int, story string)
			tried := 0
			attempt = func(m *fatModel, round int, story string) {
				for at := 1; at < 100; at++ {
					ended := true
					for _, mode := range []string{"power cut", "failure"} {
						again := 1
						if mode == "power cut" {
							again = []int{24, 6, 3}[round]
						}
						for range again {
							after := &fatModel{disk: m.disk.clone(), memory: m.memory.clone(), pending: map[string][]func(*fatState){}, freeBytes: m.freeBytes}
							if mode == "failure" {
								after.failAt = at
							} else {
								after.cutAt = at
							}
							target := Target{Files: after, Arch: "amd64", Removable: tt.removable}
							cut, err := run(func() error {
								if tt.uninstall {
									_, err := Uninstall(target, false)
									return err
								}
								_, err := Install(target, version(5+round))
								return err
							})
							happened := after.step >= at
							if cut {
								after = after.cut(rng)
							} else {
								after = after.cut(rand.New(zeroSource{})) // nothing more reaches the disk
							}
							tried++
							when := fmt.Sprintf("%s, %s in operation %d (%v)", story, mode, at, err)
							if what := after.starts(tt.paths...); !known[what] {
								t.Fatalf("%s: firmware finds nothing to start; there are %s", when, after.names())
							}
							if happened {
								ended = false
								if round < 2 && at%(1+2*round) == 0 && (again == 1 || rng.Intn(4) == 0) {
									attempt(after, round+1, when+"; then")
								}
							}
						}
					}
					if ended {
						return
					}
				}
				t.Fatal("it does not end")
			}
			m := newFAT()
			for name, b := range tt.before {
				m.put(name, b)
			}
			attempt(m, 0, "first")
			t.Logf("%d ways", tried)
		})
	}
}

// zeroSource makes everything that is pending get lost.
type zeroSource struct{}

func (zeroSource) Int63() int64 { return 0 }
func (zeroSource) Seed(int64)   {}
