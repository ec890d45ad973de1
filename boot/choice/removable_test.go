package choice

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// TestPluggedIn has a row for each set-up in which a stick beside an installed
// system decided what was booted, and for what is meant to be so.
func TestPluggedIn(t *testing.T) {
	inside := boot.Volume{Device: "/dev/vda1", Disk: "/dev/vda", UUID: "inside"}
	outside := boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", UUID: "outside", Removable: true}
	in := func(id string, change ...func(*boot.Entry)) boot.Entry {
		e := boot.Entry{ID: id, Title: strings.ToUpper(id), Volume: inside, Format: "extlinux"}
		for _, c := range change {
			c(&e)
		}
		return e
	}
	out := func(id string, change ...func(*boot.Entry)) boot.Entry {
		e := in(id, change...)
		e.Volume, e.Removable = outside, true
		return e
	}
	isDefault := func(e *boot.Entry) { e.Default = true }
	guessed := func(e *boot.Entry) { e.Guessed, e.Format = true, "bare" }
	called := func(title string) func(*boot.Entry) { return func(e *boot.Entry) { e.Title = title } }
	file := func(format, name string) func(*boot.Entry) {
		return func(e *boot.Entry) { e.Format, e.Source.File = format, name }
	}
	once := func(e *boot.Entry) { e.Once = "grubenv" }
	broken := func(e *boot.Entry) { e.Problem = "Its kernel is missing." }
	suspected := func(e *boot.Entry) { e.Suspect = "2 volumes have the UUID u1." }
	slow := boot.VolumeStatus{Volume: inside, Overdue: true, Problem: "/dev/vda1 has not answered."}
	locked := boot.VolumeStatus{Volume: inside, Locked: true}
	kept := remember.State{Kept: true}

	const held = "What is plugged in (/dev/sda) is not booted by itself"
	tests := []struct {
		name      string
		entries   []boot.Entry // as they are listed
		volumes   []boot.VolumeStatus
		wants     Wants
		id        string
		note      string // what one of the notes contains; "" when there is none
		wait      string
		exhausted bool // the machine is restarted after a pause, to try again
	}{
		{name: "1: its default beside a system by the Boot Loader Specification", entries: []boot.Entry{in("bls", file("bls", "loader/entries/a.conf")), out("stick", isDefault)}, id: "bls", note: held},
		{name: "2: beside a unified kernel image", entries: []boot.Entry{in("uki", file("uki", "EFI/Linux/a.efi")), out("stick", isDefault)}, id: "uki", note: held},
		{name: "3: beside a guessed system", entries: []boot.Entry{in("guess", guessed), out("stick", isDefault)}, id: "guess", note: held + ": GUESS is built in (setting removable)."},
		{name: "4: two defaults, and the stick's device comes first", entries: []boot.Entry{out("stick", isDefault), in("grub", isDefault)}, id: "grub", note: held},
		{name: "5: the stick was booted last", entries: []boot.Entry{in("lts", isDefault), out("stick", isDefault)}, wants: Wants{State: remember.State{Last: "stick", Kept: true}}, id: "lts", note: held},
		{name: "6: next_entry in its grubenv", entries: []boot.Entry{in("lts"), out("stick", once)}, wants: Wants{Default: "lts", State: kept}, id: "lts", note: held},
		{name: "7: an array of which a member is plugged in", entries: []boot.Entry{in("lts"), out("array", isDefault, func(e *boot.Entry) { e.Volume.Device = "/dev/mapper/md-0" })}, id: "lts", note: held},
		{name: "8: a kernel inside by a configuration on a stick", entries: []boot.Entry{in("lts"), in("evil", isDefault, func(e *boot.Entry) { e.Removable = true })}, id: "lts"},
		{name: "9: a copy with the same UUIDs", entries: []boot.Entry{in("lts"), out("lts-2", isDefault)}, wants: Wants{Default: "lts"}, id: "lts", note: held},
		{name: "10: a title like a number", entries: []boot.Entry{in("lts"), in("virt", isDefault), out("stick", called("1"))}, wants: Wants{Default: "1"}, id: "lts", note: held},
		{name: "11: a disk that has not answered", entries: []boot.Entry{out("stick", isDefault)}, volumes: []boot.VolumeStatus{slow}, note: held, exhausted: true, wait: "/dev/vda1 has not answered: what is plugged in is not booted by itself."},
		{name: "12: a title that both have", entries: []boot.Entry{out("stick", called("Linux")), in("lts", called("linux")), in("virt", isDefault)}, wants: Wants{Default: "Linux"}, id: "lts", note: held},
		{name: "13: a file's name that both have", entries: []boot.Entry{in("lts", file("bls", "loader/entries/a.conf")), in("virt", isDefault), out("stick", file("bls", "loader/entries/a.conf"))},
			wants: Wants{State: remember.State{LoaderDefault: "a.conf"}}, id: "lts", note: held},
		{name: "14: what is remembered is only on the stick", entries: []boot.Entry{in("lts"), out("stick")}, wants: Wants{State: remember.State{Default: "stick"}}, id: "lts", note: `The remembered default "stick" cannot be booted: It is plugged in`},

		{name: "the default by name is only on the stick", entries: []boot.Entry{in("lts"), out("stick")}, wants: Wants{Default: "stick"}, id: "lts", note: `The default "stick" cannot be booted: It is plugged in`},
		{name: "asked for once, on the stick", entries: []boot.Entry{in("lts"), out("stick")}, wants: Wants{State: remember.State{Next: "stick", Kept: true}}, id: "lts", note: "STICK was to be booted once, and cannot be: It is plugged in"},
		{name: "an encrypted disk", entries: []boot.Entry{out("stick", isDefault)}, volumes: []boot.VolumeStatus{locked}, note: held, wait: "/dev/vda1 is encrypted: what is plugged in is not"},
		{name: "what is built in has failed", entries: []boot.Entry{in("lts"), out("stick")}, wants: Wants{Failed: map[string]bool{"lts": true}}, note: held},
		{name: "a slow stick beside a stick", entries: []boot.Entry{out("stick")}, volumes: []boot.VolumeStatus{{Volume: outside, Overdue: true}}, id: "stick"},
		{name: "nothing else", entries: []boot.Entry{out("stick", isDefault)}, id: "stick"},
		{name: "nothing else that can be booted", entries: []boot.Entry{in("lts", broken), out("stick", isDefault)}, id: "stick"},
		{name: "nothing else, and once", entries: []boot.Entry{out("a"), out("b", once)}, wants: Wants{State: kept}, id: "b", note: "B is booted once"},
		{name: "yes", entries: []boot.Entry{in("lts"), out("stick", isDefault)}, wants: Wants{Removable: "yes"}, id: "stick"},
		{name: "yes, and both have a default", entries: []boot.Entry{in("lts", isDefault), out("stick", isDefault)}, wants: Wants{Removable: "yes"}, id: "lts"},
		{name: "yes, beside a slow disk", entries: []boot.Entry{out("stick")}, volumes: []boot.VolumeStatus{slow}, wants: Wants{Removable: "yes"}, id: "stick"},
		{name: "no", entries: []boot.Entry{out("stick", isDefault)}, wants: Wants{Removable: "no"}, note: held, exhausted: true, wait: "removable = no: what is plugged in is not"},
		{name: "no, beside what is built in", entries: []boot.Entry{in("lts", guessed), out("stick", isDefault)}, wants: Wants{Removable: "no"}, id: "lts", note: held},

		{name: "what may start the wrong system", entries: []boot.Entry{in("lts", suspected), in("other", guessed)}, note: "LTS is not booted by itself: 2 volumes have the UUID u1", wait: "LTS is not booted by itself: 2 volumes have the UUID u1."},
		{name: "what may, and is asked for", entries: []boot.Entry{in("lts", suspected), in("other")}, wants: Wants{Default: "lts"}, note: "LTS is not booted by itself", wait: "LTS is not booted by itself"},
		{name: "what may, once", entries: []boot.Entry{in("lts", suspected), in("other")}, wants: Wants{State: remember.State{Next: "lts", Kept: true}}, note: "LTS is not booted by itself", wait: "LTS is not booted by itself"},
		{name: "what may is not the default", entries: []boot.Entry{in("lts"), in("other", suspected)}, id: "lts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Default(boot.Inventory{Entries: tt.entries, Volumes: tt.volumes, Settled: true}, tt.wants)
			if c.ID != tt.id || tt.wait != "" && c.Exhausted != tt.exhausted {
				t.Errorf("got %q, exhausted %v, want %q", c.ID, c.Exhausted, tt.id)
			}
			if notes := strings.Join(c.Notes, "\n"); (notes == "") != (tt.note == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("notes: got %q, want one with %q", c.Notes, tt.note)
			}
			if tt.wait != "" && !strings.HasPrefix(c.Wait, tt.wait) {
				t.Errorf("it waits because %q, want %q", c.Wait, tt.wait)
			}
			if looking := Default(boot.Inventory{Entries: tt.entries, Volumes: tt.volumes}, tt.wants); len(looking.Notes) > 0 && tt.id != "" {
				t.Errorf("before everything has answered: %q", looking.Notes)
			}
		})
	}
}
