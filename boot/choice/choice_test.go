package choice

import (
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

func TestDefault(t *testing.T) {
	disk := func(name string) boot.Volume { return boot.Volume{Device: name, UUID: name} }
	lts := boot.Entry{ID: "lts-1", Title: "Linux lts", Volume: disk("/dev/sda1")}
	virt := boot.Entry{ID: "virt-2", Title: "Linux virt", Volume: disk("/dev/sda1"), Default: true}
	bare := boot.Entry{ID: "bare-3", Title: "Alpine (edge)", Volume: disk("/dev/sda1"), Guessed: true}
	bad := boot.Entry{ID: "bad-4", Title: "Broken", Default: true, Problem: "Its kernel is missing."}
	other := boot.Entry{ID: "other-5", Title: "Debian", Volume: disk("/dev/sdb1"), Default: true}
	older := boot.Entry{ID: "older-6", Title: "Debian, older", Volume: disk("/dev/sdb1")}
	snapshot := boot.Entry{ID: "snap-7", Title: "Yesterday", Volume: disk("/dev/sda1"), Default: true, Snapshot: true}
	bls := boot.Entry{ID: "bls-8", Title: "Alpine BLS", Format: "bls", Source: boot.Source{File: "loader/entries/Alpine-lts+3-1.conf"}}
	counted := boot.Entry{ID: "bls-11", Title: "Alpine BLS", Format: "bls", Source: boot.Source{File: "loader/entries/alpine-lts+0-3.conf"}}
	uki := boot.Entry{ID: "uki-9", Title: "Alpine UKI", Format: "uki", Source: boot.Source{File: "EFI/Linux/alpine.efi"}, Default: true}
	profile := boot.Entry{ID: "uki-p", Title: "Alpine UKI, factory reset", Format: "uki", Source: boot.Source{File: "EFI/Linux/alpine.efi"}, Profile: 1, Conf: "loader/entries/factory.conf"}
	once := boot.Entry{ID: "once-10", Title: "New kernel", Volume: disk("/dev/sda1"), Once: "grubenv 1 new"}

	kept := func(s remember.State) remember.State { s.Kept = true; return s }
	failed := func(ids ...string) map[string]bool {
		m := map[string]bool{}
		for _, id := range ids {
			m[id] = true
		}
		return m
	}
	tests := []struct {
		name    string
		entries []boot.Entry
		looking bool
		want    string
		state   remember.State
		failed  map[string]bool
		id      string
		once    bool
		note    string // what the only note contains; "" for none
	}{
		{name: "nothing found"},
		{name: "the configuration's own default", entries: []boot.Entry{lts, virt, bare}, id: "virt-2"},
		{name: "the first configured one where none is marked", entries: []boot.Entry{bare, lts}, id: "lts-1"},
		{name: "a guessed one only where there is no other", entries: []boot.Entry{bare}, id: "bare-3"},
		{name: "never one that cannot be booted", entries: []boot.Entry{bad, lts}, id: "lts-1"},
		{name: "nothing that can be booted", entries: []boot.Entry{bad}},
		{name: "no snapshot", entries: []boot.Entry{snapshot, bare}, id: "bare-3"},
		{name: "not even the only one", entries: []boot.Entry{snapshot}},

		{name: "by ID", entries: []boot.Entry{lts, virt}, want: "lts-1", id: "lts-1"},
		{name: "by title", entries: []boot.Entry{virt, lts}, want: "Linux lts", id: "lts-1"},
		{name: "by title in other case", entries: []boot.Entry{virt, lts}, want: "linux LTS", id: "lts-1"},
		{name: "by title and what tells it apart", entries: []boot.Entry{virt, {ID: "virt-12", Title: "Linux virt", Apart: "6.1"}}, want: "Linux virt (6.1)", id: "virt-12"},
		{name: "by number", entries: []boot.Entry{virt, lts}, want: "2", id: "lts-1"},
		{name: "a snapshot that is asked for", entries: []boot.Entry{virt, snapshot}, want: "snap-7", id: "snap-7"},
		{name: "a default that may still turn up", entries: []boot.Entry{virt}, looking: true, want: "lts-1"},
		{name: "a default that did not turn up", entries: []boot.Entry{virt}, want: "lts-1", id: "virt-2", note: `The default "lts-1" is none`},
		{name: "a default that cannot be booted", entries: []boot.Entry{bad, virt}, want: "bad-4", id: "virt-2", note: "kernel is missing"},
		{name: "a number out of range", entries: []boot.Entry{virt}, want: "7", id: "virt-2", note: `"7"`},

		{name: "remembered", entries: []boot.Entry{lts, virt}, state: remember.State{Default: "lts-1"}, id: "lts-1"},
		{name: "settings count more than what is remembered", entries: []boot.Entry{lts, virt, bare}, want: "bare-3", state: remember.State{Default: "lts-1"}, id: "bare-3"},
		{name: "remembered and gone", entries: []boot.Entry{lts, virt}, state: remember.State{Default: "gone"}, id: "virt-2", note: `The remembered default "gone" is none`},
		{name: "remembered and not there yet", entries: []boot.Entry{lts, virt}, looking: true, state: remember.State{Default: "gone"}},
		{name: "both gone: what is remembered counts next", entries: []boot.Entry{lts, virt, bad}, want: "bad-4", state: remember.State{Default: "lts-1"}, id: "lts-1", note: "kernel is missing"},
		{name: "the one booted last", entries: []boot.Entry{lts, virt, bare}, want: boot.LastBooted, state: remember.State{Last: "bare-3"}, id: "bare-3"},
		{name: "the one booted last at the first boot", entries: []boot.Entry{lts, virt, bare}, want: boot.LastBooted, id: "virt-2"},

		{name: "several systems: the one booted last", entries: []boot.Entry{virt, lts, other, older}, state: remember.State{Last: "other-5"}, id: "other-5"},
		{name: "its own default, though another kernel of it was booted", entries: []boot.Entry{virt, lts, other, older}, state: remember.State{Last: "older-6"}, id: "other-5"},
		{name: "no default anywhere: the one booted last", entries: []boot.Entry{lts, older}, state: remember.State{Last: "older-6"}, id: "older-6"},
		{name: "a guessed one stays behind though it was booted last", entries: []boot.Entry{bare, lts}, state: remember.State{Last: "bare-3"}, id: "lts-1"},

		{name: "systemd-boot's default by file", entries: []boot.Entry{uki, bls}, state: remember.State{LoaderDefault: "alpine-lts.conf"}, id: "bls-8"},
		{name: "by pattern", entries: []boot.Entry{uki, bls}, state: remember.State{LoaderDefault: "alpine-*"}, id: "bls-8"},
		{name: "as before systemd 246", entries: []boot.Entry{bls, uki}, state: remember.State{LoaderDefault: "alpine"}, id: "uki-9"},
		{name: "systemd-boot's preferred comes before its default", entries: []boot.Entry{uki, bls}, state: remember.State{LoaderPreferred: "alpine-lts*", LoaderDefault: "alpine.efi"}, id: "bls-8"},
		{name: "a profile by its number", entries: []boot.Entry{uki, profile}, state: remember.State{LoaderDefault: "alpine.efi@1"}, id: "uki-p"},
		{name: "an image by the file that names it", entries: []boot.Entry{uki, profile}, state: remember.State{LoaderDefault: "factory.conf"}, id: "uki-p"},
		{name: "not when it has been counted out", entries: []boot.Entry{uki, counted}, state: remember.State{LoaderPreferred: "alpine-lts*", LoaderDefault: "alpine.efi"}, id: "uki-9"},
		{name: "nor is the default", entries: []boot.Entry{uki, counted}, state: remember.State{LoaderDefault: "alpine-lts*"}, id: "uki-9", note: "Alpine BLS has no starts left, as the counter in the name of its file shows: it is passed over."},
		{name: "nor what the settings name", entries: []boot.Entry{counted, bare}, want: "bls-11", id: "bare-3", note: "it is passed over"},
		{name: "nor what is the only one of a configuration", entries: []boot.Entry{counted, bare}, id: "bare-3", note: "it is passed over"},
		{name: "unless there is no other that can be booted", entries: []boot.Entry{counted, bad}, id: "bls-11", note: "Alpine BLS has no starts left, as the counter in the name of its file shows. There is no other: it is tried again."},
		{name: "counted out and asked for once", entries: []boot.Entry{uki, counted}, state: kept(remember.State{Next: "bls-11"}), id: "bls-11", once: true, note: "is booted once"},
		{name: "not for formats that systemd-boot cannot read", entries: []boot.Entry{virt, lts}, state: remember.State{LoaderDefault: "*"}, id: "virt-2"},
		{name: "systemd-boot's default is gone", entries: []boot.Entry{uki, bls}, state: remember.State{LoaderDefault: "x.conf"}, id: "uki-9"},

		{name: "once", entries: []boot.Entry{lts, virt}, want: "virt-2", state: kept(remember.State{Next: "lts-1"}), id: "lts-1", once: true, note: "Linux lts is booted once"},
		{name: "once, for one that has failed before", entries: []boot.Entry{lts, virt}, state: kept(remember.State{Next: "lts-1", Tries: []remember.Try{{ID: "lts-1"}}}), id: "lts-1", once: true, note: "Linux lts is booted once"},
		{name: "once, not there yet", entries: []boot.Entry{lts, virt}, looking: true, state: kept(remember.State{Next: "gone"})},
		{name: "once, and gone", entries: []boot.Entry{lts, virt}, state: kept(remember.State{Next: "gone"}), id: "virt-2", note: "no such entry"},
		{name: "once, and broken", entries: []boot.Entry{bad, virt}, state: kept(remember.State{Next: "bad-4"}), id: "virt-2", note: "kernel is missing"},
		{name: "once, and it could not be started", entries: []boot.Entry{lts, virt}, state: kept(remember.State{Next: "lts-1"}), failed: failed("lts-1"), id: "virt-2", note: "could not be started just now"},
		{name: "systemd-boot's one shot", entries: []boot.Entry{uki, bls}, state: kept(remember.State{OneShot: "alpine-lts.conf"}), id: "bls-8", once: true, note: "Alpine BLS is booted once"},
		{name: "a one shot for what only systemd-boot knows", entries: []boot.Entry{uki, bls}, state: kept(remember.State{OneShot: "auto-windows"}), id: "uki-9"},
		{name: "ours before systemd-boot's", entries: []boot.Entry{lts, bls}, state: kept(remember.State{OneShot: "alpine-lts.conf", Next: "lts-1"}), id: "lts-1", once: true, note: "Linux lts"},
		{name: "GRUB's", entries: []boot.Entry{virt, once}, state: kept(remember.State{}), id: "once-10", once: true, note: "New kernel is booted once"},
		{name: "GRUB's a second time", entries: []boot.Entry{virt, once}, state: kept(remember.State{Used: []string{onceKey(once)}}), id: "virt-2"},
		{name: "GRUB's where nothing is remembered", entries: []boot.Entry{virt, once}, id: "virt-2", note: "it would be done at every boot"},

		{name: "not what could not be started just now", entries: []boot.Entry{virt, lts}, failed: failed("virt-2"), id: "lts-1", note: "Linux virt could not be started just now"},
		{name: "nor any other way", entries: []boot.Entry{virt}, failed: failed("virt-2"), note: "Linux virt could not"},
		{name: "not what never came up", entries: []boot.Entry{virt, lts}, state: kept(remember.State{Tries: []remember.Try{{ID: "virt-2"}}}), id: "lts-1", note: "Linux virt was started before and never reported being up: it is passed over."},
		{name: "though the settings name it", entries: []boot.Entry{lts, virt}, want: "lts-1", state: kept(remember.State{Tries: []remember.Try{{ID: "lts-1"}}}), id: "virt-2", note: "Linux lts was started before"},
		{name: "nor where there is no other", entries: []boot.Entry{virt, bad}, state: kept(remember.State{Tries: []remember.Try{{ID: "virt-2"}}}), note: "Linux virt was started before and never reported being up: it is passed over."},
		{name: "failures of others are nobody's concern", entries: []boot.Entry{virt, lts}, state: kept(remember.State{Tries: []remember.Try{{ID: "lts-1"}}}), failed: failed("lts-1"), id: "virt-2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Default(boot.Inventory{Entries: tt.entries, Settled: !tt.looking}, Wants{Default: tt.want, State: tt.state, Confirm: 1, Failed: tt.failed})
			if c.ID != tt.id || c.Once != tt.once {
				t.Errorf("got %q, once %v, want %q, %v", c.ID, c.Once, tt.id, tt.once)
			}
			if notes := strings.Join(c.Notes, "\n"); (notes == "") != (tt.note == "") || len(c.Notes) > 1 || !strings.Contains(notes, tt.note) {
				t.Errorf("notes: got %q, want one with %q", c.Notes, tt.note)
			}
			if c.Once {
				again := Default(boot.Inventory{Entries: tt.entries, Settled: true}, Wants{Default: tt.want, State: c.State, Confirm: 1, Failed: tt.failed})
				if again.ID == c.ID && again.Once {
					t.Errorf("with what is remembered then, %s is booted once more", again.ID)
				}
			}
		})
	}
}

// TestRequestsAreSpent asserts which requests for one start are left after it.
func TestRequestsAreSpent(t *testing.T) {
	lts := boot.Entry{ID: "lts-1", Title: "Linux lts", Default: true, Once: "1 lts"}
	virt := boot.Entry{ID: "virt-2", Title: "Linux virt", Once: "2 virt"}
	inv := boot.Inventory{Entries: []boot.Entry{lts, virt}, Settled: true}
	state := remember.State{Default: "lts-1", Next: "virt-2", OneShot: "auto-windows", Kept: true}
	var got []string
	for range 4 {
		c := Default(inv, Wants{State: state})
		got = append(got, c.ID)
		if c.State.Default != "lts-1" || c.State.OneShot != "auto-windows" {
			t.Errorf("%+v", c.State)
		}
		state = c.State
	}
	// Ours, then that of one configuration and that of the other, then none.
	if want := []string{"virt-2", "lts-1", "virt-2", "lts-1"}; !slices.Equal(got, want) {
		t.Errorf("booted %q, want %q", got, want)
	}
	if len(state.Used) != 2 {
		t.Errorf("used: %q", state.Used)
	}
	// What is asked for no more is forgotten, and can be asked for again.
	inv.Entries[1].Once = ""
	if state = Default(inv, Wants{State: state}).State; len(state.Used) != 1 {
		t.Errorf("used: %q", state.Used)
	}
	inv.Entries[1].Once = "2 virt"
	if c := Default(inv, Wants{State: state}); c.ID != "virt-2" || !c.Once {
		t.Errorf("got %+v", c)
	}
	// While devices are looked for nothing is spent.
	state.Next = "gone"
	if c := Default(boot.Inventory{Entries: inv.Entries}, Wants{State: state}); c.ID != "" || !c.State.Equal(state) {
		t.Errorf("got %+v", c)
	}
}
