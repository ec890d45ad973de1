package choice

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// TestComesBack is the table of what an unattended machine survives, as far as the
// choice decides it: one row a case. Each row is what is known at the start of the
// menu, and ends in an entry to boot, or in why there is none.
func TestComesBack(t *testing.T) {
	sda := boot.Volume{Device: "/dev/sda1", Disk: "/dev/sda", UUID: "a"}
	other := boot.Volume{Device: "/dev/sda2", Disk: "/dev/sda", UUID: "b"}
	lts := boot.Entry{ID: "lts", Title: "Linux lts", Version: "6.12.9-0-lts", Volume: sda, Default: true}
	virt := boot.Entry{ID: "virt", Title: "Linux virt", Version: "6.12.9-0-virt", Volume: sda}
	kept := boot.Entry{ID: "lts-old", Title: "Linux lts, previous", Version: "6.12.5-0-lts", Volume: sda, Previous: true}
	keptVirt := boot.Entry{ID: "virt-old", Title: "Linux virt, previous", Version: "6.12.5-0-virt", Volume: sda, Previous: true}
	guess := boot.Entry{ID: "guess", Title: "vmlinuz", Volume: other, Guessed: true}
	snapshot := boot.Entry{ID: "snap", Title: "Yesterday", Volume: sda, Snapshot: true}
	missing := lts
	missing.Version, missing.Kernel, missing.Problem = "", "boot/vmlinuz-lts", "Its kernel is missing."
	counted := boot.Entry{ID: "bls", Title: "Arch", Format: "bls", Volume: sda, Default: true, Source: boot.Source{File: "loader/entries/arch+0-3.conf"}}

	all := []boot.Entry{lts, virt, kept, guess, snapshot}
	used := func(ids ...string) (list []remember.Try) {
		for _, id := range ids {
			list = append(list, remember.Try{ID: id, Fingerprint: "f-" + id})
		}
		return list
	}
	same := map[string]string{"lts": "f-lts", "virt": "f-virt", "lts-old": "f-lts-old", "virt-old": "f-virt-old", "guess": "f-guess", "bls": "f-bls"}
	with := func(id, fingerprint string) map[string]string {
		m := map[string]string{}
		for k, v := range same {
			m[k] = v
		}
		if m[id] = fingerprint; fingerprint == "unread" {
			delete(m, id)
		}
		return m
	}
	locked := []boot.VolumeStatus{{Volume: other, Locked: true}}
	tests := []struct {
		name    string
		entries []boot.Entry
		volumes []boot.VolumeStatus
		looking bool
		w       Wants
		id      string // "" for none
		because string // part of it
		wait    string // part of it
		end     bool   // nothing is left
		note    string // part of one
	}{
		{name: "nothing has happened yet", entries: all, id: "lts", because: "its configuration names it"},
		{name: "a power cut, or the first try of a bad kernel", entries: all, w: Wants{State: remember.State{Tries: []remember.Try{{ID: "lts", Fingerprint: "f-lts", Left: 2}}}},
			id: "lts", note: "this is try 2 of 3"},
		{name: "the last try", entries: all, w: Wants{State: remember.State{Tries: []remember.Try{{ID: "lts", Fingerprint: "f-lts", Left: 1}}}}, id: "lts", note: "this is try 3 of 3"},
		{name: "no tries left: the previous kernel", entries: all, w: Wants{State: remember.State{Tries: used("lts")}},
			id: "lts-old", because: "Linux lts has failed, and it is the kernel before that of Linux lts", note: "Linux lts was started before and never reported being up: it is passed over."},
		{name: "then another entry of the configuration", entries: all, w: Wants{State: remember.State{Tries: used("lts", "lts-old")}}, id: "virt"},
		{name: "and its previous kernel", entries: append(all[:3:3], keptVirt, guess), w: Wants{State: remember.State{Tries: used("lts", "lts-old", "virt")}}, id: "virt-old"},
		{name: "then a guessed one", entries: all, w: Wants{State: remember.State{Tries: used("lts", "lts-old", "virt")}}, id: "guess", because: "no configuration"},
		{name: "never a snapshot", entries: all, w: Wants{State: remember.State{Tries: used("lts", "lts-old", "virt", "guess")}}, end: true, wait: "Every entry has failed."},
		{name: "but one that is asked for", entries: all, w: Wants{Default: "snap", State: remember.State{Tries: used("lts")}}, id: "snap"},
		{name: "a default of the settings that has failed: its previous kernel, not the remembered one", entries: all, w: Wants{Default: "lts", State: remember.State{Default: "virt", Tries: used("lts")}}, id: "lts-old"},
		{name: "and then the remembered one", entries: all, w: Wants{Default: "lts", State: remember.State{Default: "virt", Tries: used("lts", "lts-old")}}, id: "virt", because: "made the default in the menu"},
		{name: "the kernel is gone after a broken upgrade", entries: []boot.Entry{missing, virt, kept}, id: "lts-old"},
		{name: "a previous kernel without another one", entries: []boot.Entry{kept, guess}, id: "lts-old"},
		{name: "a previous kernel never comes first", entries: []boot.Entry{kept, lts}, id: "lts"},
		{name: "not the previous kernel of another system", entries: []boot.Entry{lts, virt, {ID: "x", Title: "other", Version: "6.1-0-lts", Volume: other, Previous: true}, {ID: "y", Title: "its own", Version: "6.2-0-lts", Volume: other}},
			w: Wants{State: remember.State{Tries: used("lts")}}, id: "virt"},

		{name: "replaced since: it is tried again", entries: all, w: Wants{State: remember.State{Tries: used("lts")}, Fingerprints: with("lts", "new")}, id: "lts", note: "Linux lts starts something else"},
		{name: "whether it was replaced is being read", entries: all, w: Wants{State: remember.State{Tries: used("lts")}, Fingerprints: with("lts", "unread")}, wait: "is being read"},
		{name: "that of another one bears on nothing", entries: all, w: Wants{State: remember.State{Tries: used("virt")}, Fingerprints: with("virt", "unread")}, id: "lts"},
		{name: "what cannot be read was not replaced", entries: all, w: Wants{State: remember.State{Tries: used("lts")}, Fingerprints: with("lts", "")}, id: "lts-old"},
		{name: "the verdict of an earlier version", entries: all, w: Wants{State: remember.State{Tries: []remember.Try{{ID: "lts"}}}, Fingerprints: with("lts", "new")}, id: "lts-old"},
		{name: "without confirm nothing is assumed", entries: all, w: Wants{Confirm: -1, State: remember.State{Tries: used("lts")}}, id: "lts"},

		{name: "a disk with read errors", entries: all, w: Wants{Failed: map[string]bool{"lts": true}}, id: "lts-old", note: "Linux lts could not be started just now"},
		{name: "all disks with read errors", entries: []boot.Entry{lts, virt}, w: Wants{Failed: map[string]bool{"lts": true, "virt": true}}, end: true, wait: "Every entry has failed."},
		{name: "no disk has answered", end: true, wait: "Nothing was found that can be booted."},
		{name: "no disk has answered yet", looking: true, wait: "Not all disks have answered yet."},
		{name: "an entry that is asked for has not turned up yet", entries: all, looking: true, w: Wants{Default: "gone"}, wait: "Not all disks"},
		{name: "a passphrase is waited for", volumes: locked, wait: "passphrase"},
		{name: "that of another disk is not", entries: []boot.Entry{lts}, volumes: locked, w: Wants{State: remember.State{Tries: used("lts")}}, end: true, wait: "Every entry"},

		{name: "after a round each has one try", entries: all, w: Wants{State: remember.State{Tries: used("lts", "lts-old", "virt", "guess")}.NextRound()}, id: "lts", note: "this is try 3 of 3"},
		{name: "asked for once, and failed before", entries: all, w: Wants{State: remember.State{Next: "virt", Tries: used("virt"), Kept: true}}, id: "virt", because: "at this start only"},
		{name: "no starts left by its own counter", entries: []boot.Entry{counted, virt}, id: "virt", note: "has no starts left"},
		{name: "not even then a standstill", entries: []boot.Entry{counted}, id: "bls", note: "There is no other"},
		{name: "counted out, and the others have failed", entries: []boot.Entry{counted, virt}, w: Wants{State: remember.State{Tries: used("virt")}}, id: "bls", note: "There is no other"},
		{name: "counted out, and failed", entries: []boot.Entry{counted}, w: Wants{State: remember.State{Tries: used("bls")}}, end: true, wait: "Every entry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			switch tt.w.Confirm {
			case 0:
				tt.w.Confirm = 3
			case -1:
				tt.w.Confirm = 0
			}
			if tt.w.Fingerprints == nil {
				tt.w.Fingerprints = same
			}
			c := Default(boot.Inventory{Entries: tt.entries, Volumes: tt.volumes, Settled: !tt.looking}, tt.w)
			if c.ID != tt.id || c.Exhausted != tt.end {
				t.Errorf("got %q, exhausted %t, want %q, %t", c.ID, c.Exhausted, tt.id, tt.end)
			}
			if (c.ID == "") != (c.Wait != "") || (c.ID != "") != (c.Because != "") {
				t.Errorf("%q is not explained: because %q, wait %q", c.ID, c.Because, c.Wait)
			}
			if !strings.Contains(c.Because, tt.because) || !strings.Contains(c.Wait, tt.wait) || !strings.Contains(strings.Join(c.Notes, "\n"), tt.note) {
				t.Errorf("because %q, wait %q, notes %q", c.Because, c.Wait, c.Notes)
			}
		})
	}
}

// TestEveryTryIsSpent has nothing ever come up: every entry is started as often as
// it may be, the best first, then each once more in every round, for ever.
func TestEveryTryIsSpent(t *testing.T) {
	inv := boot.Inventory{Settled: true, Entries: []boot.Entry{{ID: "a", Title: "a", Default: true}, {ID: "b", Title: "b"}, {ID: "c", Title: "c", Guessed: true}}}
	prints := map[string]string{"a": "1", "b": "2", "c": "3"}
	var s remember.State
	var got strings.Builder
	for range 20 {
		s = s.Opened(2)
		c := Default(inv, Wants{State: s, Confirm: 2, Fingerprints: prints})
		if c.Exhausted {
			got.WriteByte('|')
			s = s.NextRound()
			continue
		}
		got.WriteString(c.ID)
		s = c.State.Booting(c.ID, prints[c.ID], false, 2, remember.Attempt{})
	}
	if want := "aabbcc|abc|abc|abc|a"; got.String() != want || s.Rounds != 4 {
		t.Errorf("started %s in %d rounds, want %s", got.String(), s.Rounds, want)
	}
}
