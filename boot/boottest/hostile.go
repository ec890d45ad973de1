package boottest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Hostile is a volume that was made, or has become, hard to read.
type Hostile struct {
	Name    string
	FS      fs.FS
	Entries int      // how many there are all the same
	Notes   []string // each contained in some note or problem
	Err     error    // nil, or what the error is
}

// RunHostile parses each volume in a subtest. Besides the contents of the volume it
// asserts that the listing is sound, as by [Check], that there are no more notes
// than anybody would read, and that it takes no longer than anybody would wait.
func RunHostile(t *testing.T, parse func(fs.FS) (boot.Listing, error), volumes []Hostile) {
	t.Helper()
	const mostNotes = 25 // 20, and a few that sum up the rest
	for _, v := range volumes {
		t.Run(v.Name, func(t *testing.T) {
			began := time.Now()
			l, err := parse(v.FS)
			took := time.Since(began)
			Check(t, l, err)
			if !errors.Is(err, v.Err) {
				t.Errorf("error %v, want %v", err, v.Err)
			}
			if len(l.Entries) != v.Entries {
				t.Errorf("%d entries, want %d", len(l.Entries), v.Entries)
			}
			all := AllNotes(l)
			for _, e := range l.Entries {
				all += e.Problem + "\n"
			}
			for _, n := range v.Notes {
				if !strings.Contains(all, n) {
					t.Errorf("no note with %q in\n%s", n, all)
				}
			}
			if len(l.Notes) > mostNotes {
				t.Errorf("%d notes", len(l.Notes))
			}
			if took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
