package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNotes(t *testing.T) {
	n := Notes{Limit: 3}
	for _, text := range []string{"a", "a", " b\x1b[2J\n c ", strings.Repeat("x", 300), "d", "e"} {
		n.Add(Source{File: "f", Line: 1}, text)
	}
	n.Add(Source{File: "f", Line: 2}, "a")
	n.Add(Source{File: "f"}, "The file is broken.")
	var got []string
	for _, note := range n.All() {
		got = append(got, note.String())
	}
	want := []string{"/f:1: a", "/f:1: b [2J c", "/f:1: " + strings.Repeat("x", 300), "/f: The file is broken.", "3 more notes about these files are left out."}
	if !slices.Equal(got, want) || n.Len() != 7 {
		t.Errorf("%d notes:\n%s", n.Len(), strings.Join(got, "\n"))
	}
	var many Notes
	for i := range 50 {
		many.Add(Source{}, fmt.Sprint(i))
	}
	if l := len(many.All()); l != 21 {
		t.Errorf("without a limit there are %d notes", l)
	}
}

func TestNotesListing(t *testing.T) {
	broken := errors.New("it cannot be read.")
	var n Notes
	if l, err := n.Listing(nil, broken, nil); !errors.Is(err, broken) || len(l.Notes) != 0 {
		t.Errorf("without entries: notes %v, error %v", l.Notes, err)
	}
	l, err := n.Listing([]Entry{{Title: "A"}}, broken, nil)
	if err != nil || len(l.Entries) != 1 || len(l.Notes) != 1 || l.Notes[0].Text != "it cannot be read." {
		t.Errorf("with entries: %+v, error %v", l, err)
	}
}

func TestUnique(t *testing.T) {
	a := Entry{Title: "A", Kernel: "k", Initrds: []string{"i"}, Cmdline: "q"}
	again, inMenu, other := a, a, a
	again.Default, again.Once, again.Format = true, "o", "x"
	inMenu.Submenu = []string{"M"}
	other.Initrds = []string{"j"}
	got := Unique([]Entry{a, inMenu, again, other}, Entry.Key)
	if len(got) != 3 || !got[0].Default || got[0].Once != "o" || got[0].Format != "" || got[1].Submenu == nil || got[2].Initrds[0] != "j" {
		t.Errorf("got %+v", got)
	}
}

func TestWithin(t *testing.T) {
	outer := Within(nil, " A\n")
	b, c := Within(outer, "B"), Within(outer, "C") // of one array, unless they are copied
	if !slices.Equal(b, []string{"A", "B"}) || !slices.Equal(c, []string{"A", "C"}) || len(Within(outer, "")) != 1 {
		t.Errorf("got %q and %q", b, c)
	}
	var deep []string
	for range 1000 {
		deep = Within(deep, "x")
	}
	if len(deep) != 16 {
		t.Errorf("%d deep", len(deep))
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a b\n":                 `"a b\n"`,
		strings.Repeat("x", 41): `"` + strings.Repeat("x", 40) + `"...`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if got := Quote(strings.Repeat("é", 39) + "x"); !utf8.ValidString(got) || strings.Contains(got, `\x`) {
		t.Errorf("a character is cut: %s", got)
	}
	if got := Quote("x" + strings.Repeat("é", 39)); strings.Contains(got, `\x`) {
		t.Errorf("a character is cut: %s", got)
	}
}
