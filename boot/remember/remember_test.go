package remember

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func diff(want, got State) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(State{}), cmpopts.EquateEmpty())
}

func TestOpened(t *testing.T) {
	tests := []struct {
		name        string
		state, want State
		confirm     bool
	}{
		{name: "nothing known", confirm: true},
		{name: "what never reported being up has failed", confirm: true,
			state: State{Last: "a", Trying: "a", Failed: []string{"b"}}, want: State{Last: "a", Failed: []string{"b", "a"}}},
		{name: "and stays so once", confirm: true,
			state: State{Last: "a", Trying: "a", Failed: []string{"a", "b"}}, want: State{Last: "a", Failed: []string{"b", "a"}}},
		{name: "what has said so has failed no more", confirm: true,
			state: State{Last: "a", Failed: []string{"a", "b"}}, want: State{Last: "a", Failed: []string{"b"}}},
		{name: "nobody says anything without the setting",
			state: State{Default: "d", Last: "a", Trying: "a", Failed: []string{"b"}}, want: State{Default: "d", Last: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.state.Opened(tt.confirm)
			if d := diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := diff(got, got.Opened(tt.confirm && got.Last == "")); tt.confirm && got.Last == "" && d != "" {
				t.Errorf("opened twice it differs:\n%s", d)
			}
		})
	}
}

// TestAttempts goes through starts of a machine with two entries, b the good one.
func TestAttempts(t *testing.T) {
	var s State
	start := func(id string, up bool) {
		t.Helper()
		s = s.Opened(true).Booting(id, false, true)
		if up {
			s = s.Confirmed()
		}
	}
	failed := func(want string) {
		t.Helper()
		if got := strings.Join(s.Opened(true).Failed, " "); got != want {
			t.Errorf("failed: %q, want %q", got, want)
		}
	}
	start("a", false)
	failed("a")
	start("b", true)
	failed("a")
	start("a", false) // by hand: still bad
	failed("a")
	start("a", true) // mended
	failed("")
	start("b", false)
	s.Trying = "" // by removing the EFI variable
	failed("")
	if s = s.Booting("c", false, false); s.Last != "b" {
		t.Errorf("%q was remembered as started last, unasked", s.Last)
	}
	if s = s.Booting("c", true, false); s.Last != "c" || s.Trying != "" {
		t.Errorf("got %+v", s)
	}
}

func TestNowhere(t *testing.T) {
	n := &Nowhere{Why: "this machine has no EFI variables"}
	if err := n.Save(State{Default: "a", Kept: true}); err != nil {
		t.Fatal(err)
	}
	got, err := n.Load()
	if d := diff(State{Default: "a"}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if got := n.Where(); got != "memory only: this machine has no EFI variables" {
		t.Errorf("where: %s", got)
	}
}
