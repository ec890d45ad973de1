package choice

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

func TestDefault(t *testing.T) {
	lts := boot.Entry{ID: "lts-1", Title: "Linux lts"}
	virt := boot.Entry{ID: "virt-2", Title: "Linux virt", Default: true}
	bare := boot.Entry{ID: "bare-3", Title: "Alpine (edge)", Guessed: true}
	bad := boot.Entry{ID: "bad-4", Title: "Broken", Default: true, Problem: "Its kernel is missing."}

	tests := []struct {
		name    string
		entries []boot.Entry
		looking bool
		want    string
		id      string
		note    string // what the note must contain; "" for none
	}{
		{name: "nothing found"},
		{name: "the configuration's own default", entries: []boot.Entry{lts, virt, bare}, id: "virt-2"},
		{name: "the first configured one where none is marked", entries: []boot.Entry{bare, lts}, id: "lts-1"},
		{name: "a guessed one only where there is no other", entries: []boot.Entry{bare}, id: "bare-3"},
		{name: "never one that cannot be booted", entries: []boot.Entry{bad, lts}, id: "lts-1"},
		{name: "nothing that can be booted", entries: []boot.Entry{bad}},
		{name: "by ID", entries: []boot.Entry{lts, virt}, want: "lts-1", id: "lts-1"},
		{name: "by title", entries: []boot.Entry{virt, lts}, want: "Linux lts", id: "lts-1"},
		{name: "by title in other case", entries: []boot.Entry{virt, lts}, want: "linux LTS", id: "lts-1"},
		{name: "by number", entries: []boot.Entry{virt, lts}, want: "2", id: "lts-1"},
		{name: "a wish that may still turn up", entries: []boot.Entry{virt}, looking: true, want: "lts-1"},
		{name: "a wish that did not turn up", entries: []boot.Entry{virt}, want: "lts-1", id: "virt-2", note: "lts-1"},
		{name: "a wish for what cannot be booted", entries: []boot.Entry{bad, virt}, want: "bad-4", id: "virt-2", note: "kernel is missing"},
		{name: "a number out of range", entries: []boot.Entry{virt}, want: "7", id: "virt-2", note: `"7"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, note := Default(boot.Inventory{Entries: tt.entries, Settled: !tt.looking}, tt.want)
			if id != tt.id {
				t.Errorf("got %q, want %q", id, tt.id)
			}
			if (note == "") != (tt.note == "") || !strings.Contains(note, tt.note) {
				t.Errorf("note: got %q, want one with %q", note, tt.note)
			}
		})
	}
}
