package discover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

// TestKeep asserts what is kept of one volume.
func TestKeep(t *testing.T) {
	short := boot.Entry{Title: "short"}
	for _, tt := range []struct {
		name          string
		entry         boot.Entry
		times         int
		kept, dropped int
		cmdline       int
		problem       string
	}{
		{name: "few", entry: short, times: 3, kept: 3},
		{name: "many", entry: short, times: maxEntries + 5, kept: maxEntries, dropped: 5},
		{name: "much text", entry: boot.Entry{Title: strings.Repeat("x", maxText/4)}, times: 6, kept: 4, dropped: 2},
		{name: "a long command line", entry: boot.Entry{Cmdline: strings.Repeat("x", 60_000)}, times: 1, kept: 1, cmdline: maxCmdline, problem: "has 60000 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r parsed
			for range tt.times {
				r.keep(tt.entry)
			}
			r.finish()
			if len(r.entries) != tt.kept || r.dropped != tt.dropped {
				t.Errorf("%d kept and %d dropped", len(r.entries), r.dropped)
			}
			if e := r.entries[0]; len(e.Cmdline) != tt.cmdline || !strings.Contains(e.Problem, tt.problem) {
				t.Errorf("a command line of %d bytes, problem %q", len(e.Cmdline), e.Problem)
			}
			if noted := len(r.notes) == 1 && strings.Contains(r.notes[0].Text, "entries are left out"); noted != (tt.dropped > 0) {
				t.Errorf("notes %v", r.notes)
			}
		})
	}
}

// TestFit asserts that volumes do not add up to more than is kept of all.
func TestFit(t *testing.T) {
	st := &state{vols: map[string]*volume{}}
	entries, text := 0, 0
	for i := range 12 {
		v := &volume{parsed: &parsed{}}
		v.block.Path = fmt.Sprint("/dev/vd", i)
		st.vols[v.block.Path] = v
		for range maxEntries {
			v.parsed.keep(boot.Entry{Title: strings.Repeat("x", 1000*(i%2)+1)})
		}
		st.fit(v)
		entries, text = entries+len(v.parsed.entries), text+v.parsed.text
		if full := len(v.parsed.entries) < maxEntries; full != strings.Contains(fmt.Sprint(v.parsed.notes), "left out: of all volumes") {
			t.Errorf("%s: %d entries, notes %v", v.block.Path, len(v.parsed.entries), v.parsed.notes)
		}
	}
	if entries != maxAllEntries || text > maxAllText {
		t.Errorf("%d entries with %d bytes are kept", entries, text)
	}
}

// TestFinishCutsNotes asserts that notes are cut to what is kept.
func TestFinishCutsNotes(t *testing.T) {
	var r parsed
	for range 10 {
		r.notes = append(r.notes, boot.Note{Text: strings.Repeat("x", maxNoteText/4)})
	}
	r.finish()
	if len(r.notes) != 5 || r.notes[4].Text != "6 more notes are left out." {
		t.Errorf("%d notes, the last one %.60q", len(r.notes), r.notes[len(r.notes)-1].Text)
	}
}
