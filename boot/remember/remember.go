// Package remember keeps what was chosen in the menu from one start to the
// next: which entry is the default, which one is booted only once, what was
// booted last, and whether it came up.
//
// It is kept in EFI variables ([Firmware]), in a small file on a volume ([File]),
// or nowhere ([Nowhere]). What systemd-boot keeps in EFI variables of its own is
// read as well ([SystemdBoot]). Package choice decides what follows from it.
package remember

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// State is all that is remembered. Entries stand in it by their IDs.
type State struct {
	Default string // what the user made the default; "" for nothing
	Next    string // what is booted at the next start only; "" for nothing
	Last    string // what was started last; "" when that is not remembered

	// Only with the setting confirm. Trying is what was started last and has not
	// reported that it is up, and Attempt is about that start. Tries has the entries
	// that were started without reporting it, the oldest first.
	Trying  string
	Attempt Attempt
	Tries   []Try

	// Rounds is how often in a row nothing was left to start and the machine was
	// restarted or powered off for that.
	Rounds int

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

// Try is an entry that was started and has not reported that it is up.
type Try struct {
	ID          string
	Fingerprint string // of what was started; "" for whatever the entry starts
	Left        int    // how often it may still be started unattended; 0 when it has failed
}

// Attempt is a start.
type Attempt struct {
	Time    int64  // in seconds since 1970, by the clock of the machine
	Try, Of int    // which try it was, of how many
	Release string // of the kernel; "" when it is not known
	Title   string // of the entry
}

const (
	maxID       = 128  // bytes; a longer one is not remembered
	maxList     = 8    // words of Used: the oldest go first
	maxTries    = 1600 // bytes of Tries as text: the oldest go first
	maxText     = 80   // bytes of Release and of Title; longer ones are cut
	maxLeft     = 99
	maxRounds   = 9999
	anyContents = "-" // how an empty fingerprint is written
	nothing     = "-" // how an empty release is
)

// Equal reports whether s and o are the same to a [Store].
func (s State) Equal(o State) bool {
	return slices.EqualFunc(s.fields(), o.fields(), func(a, b field) bool { return a.text() == b.text() }) &&
		s.OneShot == o.OneShot && s.LoaderDefault == o.LoaderDefault && s.LoaderPreferred == o.LoaderPreferred && s.Kept == o.Kept
}

// field is a part of the state that is ours, as it is written down.
type field struct {
	name string
	text func() string // words with spaces between them, of at most a few hundred bytes
	set  func(string)  // takes what text returned, and passes over what it would not return
	old  bool          // only earlier versions write it
}

// fields returns the fields in the order in which they are written where each is
// written by itself. Trying comes before Last: what is in Last and not in Trying
// has reported that it is up.
func (s *State) fields() []field {
	return []field{
		word("default", &s.Default),
		word("next", &s.Next),
		word("trying", &s.Trying),
		{name: "tries", text: s.triesText, set: s.setTries},
		{name: "failed", text: func() string { return "" }, set: s.setFailed, old: true},
		{name: "attempt", text: s.Attempt.text, set: s.Attempt.set},
		word("last", &s.Last),
		{name: "rounds", text: func() string { return number(s.Rounds) }, set: func(text string) { s.Rounds = atoi(text, maxRounds) }},
		{name: "used", text: func() string { return trim(s.Used, maxList) }, set: func(text string) {
			s.Used = nil
			if text = trim(strings.Fields(text), maxList); text != "" {
				s.Used = strings.Split(text, " ")
			}
		}},
	}
}

// word returns the field for a single ID.
func word(name string, of *string) field {
	return field{name: name, text: func() string { return trim([]string{*of}, 1) }, set: func(text string) { *of = trim(strings.Fields(text), 1) }}
}

// trim returns the last words of list, not more than most, with spaces between.
func trim(list []string, most int) string {
	var words []string
	for _, w := range list {
		if isWord(w) {
			words = append(words, w)
		}
	}
	return strings.Join(words[max(0, len(words)-most):], " ")
}

func isWord(w string) bool {
	return w != "" && len(w) <= maxID && utf8.ValidString(w) && !strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 })
}

func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(min(n, maxRounds))
}

// atoi returns the number that text is, within 0 and most; 0 for what is none.
func atoi(text string, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return min(max(n, 0), most)
}

// triesText returns a word LEFT:FINGERPRINT:ID for each entry, of the newest as
// many as there is room for.
func (s *State) triesText() string {
	text := ""
	for _, t := range slices.Backward(s.Tries) {
		fingerprint := cmp.Or(t.Fingerprint, anyContents)
		if !isWord(t.ID) || !isWord(fingerprint) || strings.Contains(fingerprint, ":") {
			continue
		}
		w := strconv.Itoa(min(max(t.Left, 0), maxLeft)) + ":" + fingerprint + ":" + t.ID
		if len(w)+len(text) >= maxTries {
			break
		}
		text = strings.TrimSuffix(w+" "+text, " ")
	}
	return text
}

func (s *State) setTries(text string) {
	s.Tries = nil
	for w := range strings.FieldsSeq(text) {
		left, rest, _ := strings.Cut(w, ":")
		fingerprint, id, _ := strings.Cut(rest, ":")
		n, err := strconv.Atoi(left)
		if err != nil || n < 0 || !isWord(id) || !isWord(fingerprint) {
			continue
		}
		if fingerprint == anyContents {
			fingerprint = ""
		}
		s.Tries = append(s.WithoutTry(id).Tries, Try{ID: id, Fingerprint: fingerprint, Left: min(n, maxLeft)})
	}
}

// setFailed takes the list of earlier versions: of entries that have failed,
// whatever is started by them.
func (s *State) setFailed(text string) {
	for _, id := range slices.Backward(strings.Fields(trim(strings.Fields(text), maxList))) {
		if _, ok := s.Try(id); !ok {
			s.Tries = slices.Insert(s.Tries, 0, Try{ID: id})
		}
	}
}

func (a *Attempt) text() string {
	if *a == (Attempt{}) {
		return ""
	}
	numbers := []string{strconv.FormatInt(max(a.Time, 0), 10), strconv.Itoa(max(a.Try, 0)), strconv.Itoa(max(a.Of, 0))}
	release := cmp.Or(strings.ReplaceAll(short(a.Release), " ", ""), nothing)
	return strings.TrimSpace(strings.Join(numbers, " ") + " " + release + " " + short(a.Title))
}

func (a *Attempt) set(text string) {
	*a = Attempt{}
	words := strings.Fields(text)
	if len(words) < 4 {
		return
	}
	at, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil || at < 0 {
		return
	}
	*a = Attempt{Time: at, Try: atoi(words[1], maxRounds), Of: atoi(words[2], maxRounds), Release: short(words[3]), Title: short(strings.Join(words[4:], " "))}
	if a.Release == nothing {
		a.Release = ""
	}
}

// short returns text fit for a line of a file, in at most maxText bytes.
func short(text string) string {
	text = strings.Join(strings.Fields(boot.Clean(text)), " ")
	if len(text) > maxText {
		text = strings.TrimSpace(strings.ToValidUTF8(text[:maxText], ""))
	}
	return text
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

// Opened returns what the state means to a menu that starts. With confirm, which
// is how often an entry may be started without reporting that it is up, what was
// started last and has reported it has failed no more; without it, 0, nothing is
// known to have failed.
func (s State) Opened(confirm int) State {
	switch {
	case confirm == 0:
		s.Trying, s.Attempt, s.Tries, s.Rounds = "", Attempt{}, nil, 0
	case s.Trying == "":
		s = s.WithoutTry(s.Last).ended()
	}
	return s
}

// ended has the start that Attempt is about end well. That there was none ends no
// round.
func (s State) ended() State {
	if s.Attempt != (Attempt{}) {
		s.Attempt, s.Rounds = Attempt{}, 0
	}
	return s
}

// Booting returns the state to save before an entry is started. With last it
// has what was booted last. With confirm, as for [State.Opened], it has also that
// the entry has not come up yet, and may be started once less without that: a.Try
// and a.Of are set here.
func (s State) Booting(id, fingerprint string, last bool, confirm int, a Attempt) State {
	if last || confirm > 0 {
		s.Last = id
	}
	if confirm == 0 {
		return s
	}
	left := confirm
	if t, ok := s.Try(id); ok && t.Of(fingerprint) {
		left = min(t.Left, confirm)
	}
	left = max(left-1, 0)
	s.Tries = append(s.WithoutTry(id).Tries, Try{ID: id, Fingerprint: fingerprint, Left: left})
	a.Try, a.Of = confirm-left, confirm
	s.Trying, s.Attempt = id, a
	return s
}

// Confirmed returns the state to save when what was started last is up. A system
// without alpboot's tools removes the EFI variable AlpbootTrying instead.
func (s State) Confirmed() State {
	s = s.WithoutTry(s.Trying)
	s.Trying = ""
	return s.ended()
}

// NextRound returns the state to save before the machine is restarted or powered
// off because nothing is left to start: each entry may be started once more.
func (s State) NextRound() State {
	s.Rounds++
	s.Tries = slices.Clone(s.Tries)
	for i := range s.Tries {
		s.Tries[i].Left = max(s.Tries[i].Left, 1)
	}
	return s
}

// Try returns what is known of an entry that has not reported that it is up.
func (s State) Try(id string) (Try, bool) {
	i := slices.IndexFunc(s.Tries, func(t Try) bool { return t.ID == id })
	if i < 0 {
		return Try{}, false
	}
	return s.Tries[i], true
}

// WithoutTry returns s without what is known of an entry that has not reported that
// it is up.
func (s State) WithoutTry(id string) State {
	s.Tries = slices.DeleteFunc(slices.Clone(s.Tries), func(t Try) bool { return t.ID == id })
	return s
}

// Of reports whether t is about what has the fingerprint. One that could not be
// read is not another one.
func (t Try) Of(fingerprint string) bool {
	return t.Fingerprint == "" || fingerprint == "" || t.Fingerprint == fingerprint
}
