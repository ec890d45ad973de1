package remember

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func diff(want, got State) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(State{}), cmpopts.EquateEmpty())
}

func TestOpened(t *testing.T) {
	begun := Attempt{Time: 7, Try: 1, Of: 3}
	tests := []struct {
		name        string
		state, want State
		confirm     int
	}{
		{name: "nothing known", confirm: 3},
		{name: "what never reported being up has its tries", confirm: 3,
			state: State{Last: "a", Trying: "a", Attempt: begun, Tries: []Try{{"b", "", 0}, {"a", "f", 2}}, Rounds: 2},
			want:  State{Last: "a", Trying: "a", Attempt: begun, Tries: []Try{{"b", "", 0}, {"a", "f", 2}}, Rounds: 2}},
		{name: "what has reported it has failed no more", confirm: 3,
			state: State{Last: "a", Attempt: begun, Tries: []Try{{"a", "f", 0}, {"b", "", 0}}, Rounds: 2},
			want:  State{Last: "a", Tries: []Try{{"b", "", 0}}}},
		{name: "where nothing was started, nothing has ended", confirm: 3,
			state: State{Last: "a", Tries: []Try{{"b", "", 0}}, Rounds: 2},
			want:  State{Last: "a", Tries: []Try{{"b", "", 0}}, Rounds: 2}},
		{name: "nobody reports anything without the setting",
			state: State{Default: "d", Last: "a", Trying: "a", Attempt: begun, Tries: []Try{{"b", "", 0}}, Rounds: 1}, want: State{Default: "d", Last: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.state.Opened(tt.confirm)
			if d := diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := diff(got, got.Opened(tt.confirm)); d != "" {
				t.Errorf("opened twice it differs:\n%s", d)
			}
		})
	}
}

// TestTries goes through starts of a machine with two entries, b the good one.
func TestTries(t *testing.T) {
	const n = 3
	var s State
	start := func(id, fingerprint string, up bool) {
		t.Helper()
		s = s.Opened(n).Booting(id, fingerprint, false, n, Attempt{})
		if up {
			s = s.Confirmed()
		}
	}
	tries := func(want string) {
		t.Helper()
		s := s.Opened(n)
		if got := s.triesText(); got != want {
			t.Errorf("tries: %q, want %q", got, want)
		}
	}
	start("a", "old", false)
	tries("2:old:a")
	start("a", "old", false)
	if s.Attempt.Try != 2 || s.Attempt.Of != n {
		t.Errorf("try %d of %d", s.Attempt.Try, s.Attempt.Of)
	}
	start("a", "old", false)
	tries("0:old:a")
	start("b", "good", true)
	tries("0:old:a")
	start("a", "old", false) // by hand: it counts, and is never refused
	tries("0:old:a")
	s = s.NextRound()
	tries("1:old:a")
	if s.Rounds != 1 || s.Trying != "a" {
		t.Errorf("got %+v", s)
	}
	start("a", "old", false)
	tries("0:old:a")
	start("a", "new", false) // replaced
	tries("2:new:a")
	start("a", "new", true) // repaired
	tries("")
	if s.Rounds != 0 {
		t.Errorf("the round has not ended: %+v", s)
	}
	s.Rounds = 2
	start("b", "good", false)
	s.Trying = "" // by removing the EFI variable
	tries("")
	if s = s.Opened(n); s.Rounds != 0 {
		t.Errorf("the round has not ended: %+v", s)
	}
	start("c", "", false) // what does not differ in its contents
	tries("2:-:c")
	if s = s.Booting("c", "f", false, 0, Attempt{}); s.Last != "c" || s.Trying != "c" {
		t.Errorf("got %+v", s)
	}
	s = State{Last: "b"}
	if s = s.Booting("c", "f", false, 0, Attempt{}); s.Last != "b" {
		t.Errorf("%q was remembered as started last, unasked", s.Last)
	}
	if s = s.Booting("c", "f", true, 0, Attempt{}); s.Last != "c" || s.Trying != "" {
		t.Errorf("got %+v", s)
	}
	// With fewer tries than before.
	s = State{Tries: []Try{{"a", "f", 8}}}
	if s = s.Booting("a", "f", false, 2, Attempt{}); s.Tries[0].Left != 1 {
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
