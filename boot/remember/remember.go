// Package remember keeps what was chosen in the menu from one start to the
// next: which entry is the default, which one is booted only once, what was
// booted last, and whether it came up.
//
// It is kept in EFI variables ([Firmware]), in a small file on a volume ([File]),
// or nowhere ([Nowhere]). What systemd-boot keeps in EFI variables of its own is
// read as well ([SystemdBoot]). Package choice decides what follows from it.
package remember

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// State is all that is remembered. Entries stand in it by their IDs.
type State struct {
	Default string // what the user made the default; "" for nothing
	Next    string // what is booted at the next start only; "" for nothing
	Last    string // what was started last; "" when that is not remembered

	// Trying is what was started last and has not reported that it is up: only with
	// the setting confirm. Failed are those that never did, the oldest first.
	Trying string
	Failed []string

	// Used marks what configurations ask for at the next boot only and has been
	// done, in the words of package choice, the oldest first: their files are not
	// written.
	Used []string

	// What systemd-boot remembers: file names of entries, or patterns of such.
	// Of these only OneShot can be saved, as "".
	OneShot       string
	LoaderDefault string

	// LoaderPreferred comes before LoaderDefault, but for entries that systemd-boot
	// has counted out.
	LoaderPreferred string

	// Kept is set when all this outlasts the menu. Stores set it.
	Kept bool
}

const (
	maxID   = 128 // bytes; a longer one is not remembered
	maxList = 8   // entries of Failed and Used: the oldest go first
)

// Equal reports whether s and o are the same to a [Store].
func (s State) Equal(o State) bool {
	return slices.EqualFunc(s.fields(), o.fields(), func(a, b field) bool { return a.text() == b.text() }) &&
		s.OneShot == o.OneShot && s.LoaderDefault == o.LoaderDefault && s.LoaderPreferred == o.LoaderPreferred && s.Kept == o.Kept
}

// field is a part of the state that is ours, as it is written down. One of the
// two is set.
type field struct {
	name string
	one  *string
	list *[]string
}

func (s *State) fields() []field {
	return []field{
		{name: "default", one: &s.Default},
		{name: "next", one: &s.Next},
		{name: "last", one: &s.Last},
		{name: "trying", one: &s.Trying},
		{name: "failed", list: &s.Failed},
		{name: "used", list: &s.Used},
	}
}

// text returns the words of the field with spaces between them.
func (f field) text() string {
	if f.one != nil {
		return trim([]string{*f.one}, 1)
	}
	return trim(*f.list, maxList)
}

// set takes what text returned. It passes over what text would not return.
func (f field) set(text string) {
	if f.one != nil {
		*f.one = trim(strings.Fields(text), 1)
		return
	}
	*f.list = nil
	if text = trim(strings.Fields(text), maxList); text != "" {
		*f.list = strings.Split(text, " ")
	}
}

// trim returns the last words of list, not more than most, with spaces between.
func trim(list []string, most int) string {
	var words []string
	for _, w := range list {
		if w != "" && len(w) <= maxID && utf8.ValidString(w) && !strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 }) {
			words = append(words, w)
		}
	}
	return strings.Join(words[max(0, len(words)-most):], " ")
}

// Store is a place where a State is kept.
type Store interface {
	// Load returns what was saved last. With an error there is what could be read.
	Load() (State, error)
	// Save keeps s. It writes nothing where that is what is kept already.
	Save(s State) error
	// Where is where that is, to follow "remembered in" on the screen, or why
	// it is nowhere.
	Where() string
}

// Nowhere keeps a State no longer than the menu is there.
type Nowhere struct {
	Why   string // a few words without a full stop; "" when that is as it was asked for
	state State
}

// Load implements [Store].
func (n *Nowhere) Load() (State, error) { return n.state, nil }

// Save implements [Store].
func (n *Nowhere) Save(s State) error {
	n.state, n.state.Kept = s, false
	return nil
}

// Where implements [Store].
func (n *Nowhere) Where() string {
	if n.Why == "" {
		return "memory only"
	}
	return "memory only: " + n.Why
}

// Opened returns what the state means to a menu that starts. With confirm, what
// was started last and has not reported that it is up has failed, and what has
// reported it has failed no more; without it nothing is known to have failed.
func (s State) Opened(confirm bool) State {
	if !confirm {
		s.Trying, s.Failed = "", nil
		return s
	}
	if s.Trying != "" {
		s.Failed = append(without(s.Failed, s.Trying), s.Trying)
		s.Trying = ""
		return s
	}
	s.Failed = without(s.Failed, s.Last)
	return s
}

// Booting returns the state to save before the entry id is started: with last it
// has what was booted last, with confirm that it has not come up yet.
func (s State) Booting(id string, last, confirm bool) State {
	if last || confirm {
		s.Last = id
	}
	if confirm {
		s.Trying = id
	}
	return s
}

// Confirmed returns the state to save when what was started last is up. A system
// without alpboot's tools removes the EFI variable AlpbootTrying instead.
func (s State) Confirmed() State {
	s.Failed = without(s.Failed, s.Trying)
	s.Trying = ""
	return s
}

func without(list []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == id })
}
