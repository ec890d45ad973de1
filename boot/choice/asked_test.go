package choice

import (
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// Only what somebody has asked for by a name that stays, and what can be booted, is
// booted before all disks that may come are there.
func TestAsked(t *testing.T) {
	lts := boot.Entry{ID: "lts-1", Title: "Linux lts", Default: true}
	virt := boot.Entry{ID: "virt-2", Title: "Linux virt"}
	bad := boot.Entry{ID: "bad-3", Title: "Broken", Problem: "Its kernel is missing."}
	stick := boot.Entry{ID: "stick-4", Title: "On a stick", Removable: true}
	copied := boot.Entry{ID: "copy-5", Title: "Copy", Suspect: "2 volumes have the UUID u1."}
	counted := boot.Entry{ID: "bls-6", Title: "Counted", Format: "bls", Source: boot.Source{File: "loader/entries/a+0-3.conf"}}
	bls := boot.Entry{ID: "bls-7", Title: "BLS", Format: "bls", Source: boot.Source{File: "loader/entries/b.conf"}}
	once := boot.Entry{ID: "once-8", Title: "Once", Once: "grubenv 1 new"}
	all := []boot.Entry{lts, virt, bad, stick, copied, counted, bls, once}
	state := func(s remember.State) remember.State { s.Kept, s.Used = true, []string{onceKey(once)}; return s }
	for _, tt := range []struct {
		name  string
		wants Wants
		want  bool
	}{
		{"nobody asked", Wants{State: state(remember.State{})}, false},
		{"by ID", Wants{Default: "virt-2", State: state(remember.State{})}, true},
		{"by title", Wants{Default: "linux virt", State: state(remember.State{})}, true},
		{"by number", Wants{Default: "2", State: state(remember.State{})}, false},
		{"in the menu", Wants{State: state(remember.State{Default: "virt-2"})}, true},
		{"the one booted last", Wants{Default: boot.LastBooted, State: state(remember.State{Last: "virt-2"})}, true},
		{"booted last, and nobody asked for that", Wants{State: state(remember.State{Last: "virt-2"})}, false},
		{"for this start", Wants{State: state(remember.State{Next: "virt-2"})}, true},
		{"for this start, of systemd-boot", Wants{State: state(remember.State{OneShot: "b.conf"})}, true},
		{"systemd-boot's default, which may be a pattern", Wants{State: state(remember.State{LoaderDefault: "b.conf"})}, false},
		{"for the next start of GRUB", Wants{Default: "virt-2", State: remember.State{Kept: true}}, false},
		{"not there yet", Wants{Default: "gone", State: state(remember.State{Default: "virt-2"})}, false},
		{"its kernel is not there yet", Wants{Default: "bad-3", State: state(remember.State{Default: "virt-2"})}, false},
		{"for this start, and its kernel is not there yet", Wants{Default: "virt-2", State: state(remember.State{Next: "bad-3"})}, false},
		{"it could not be started", Wants{Default: "virt-2", Failed: map[string]bool{"virt-2": true}, State: state(remember.State{Default: "lts-1"})}, false},
		{"it never came up", Wants{Default: "virt-2", Confirm: 1, State: state(remember.State{Tries: []remember.Try{{ID: "virt-2"}}})}, false},
		{"it has no starts left", Wants{Default: "bls-6", State: state(remember.State{})}, false},
		{"it is plugged in", Wants{Default: "stick-4", State: state(remember.State{})}, false},
		{"it is plugged in, and may be booted", Wants{Default: "stick-4", Removable: always, State: state(remember.State{})}, true},
		{"there is a copy", Wants{Default: "copy-5", State: state(remember.State{})}, false},
	} {
		if c := Default(boot.Inventory{Entries: all}, tt.wants); c.Asked != tt.want || c.Asked && c.ID == "" {
			t.Errorf("%s: %q, asked for: %v, want %v", tt.name, c.ID, c.Asked, tt.want)
		}
	}
	// Alone, what is plugged in is the default, but what is built in may still come.
	if c := Default(boot.Inventory{Entries: []boot.Entry{stick}}, Wants{Default: "stick-4"}); c.Asked {
		t.Error("a stick alone counts as asked for")
	}
	// It is tried again where there is no other, and there may be.
	if c := Default(boot.Inventory{Entries: []boot.Entry{counted}}, Wants{Default: "bls-6"}); c.Asked {
		t.Error("one without starts left counts as asked for")
	}
}
