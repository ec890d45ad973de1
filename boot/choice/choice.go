// Package choice decides which entry is the default: what is booted when
// nobody chooses.
package choice

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// Wants is what bears on the choice besides the entries.
type Wants struct {
	// Default is the entry that the settings name: an ID, a title, a number from
	// 1 in the order of the list, or [boot.LastBooted]; "" when they name none. A
	// title may be given without regard to case where none matches exactly.
	Default string

	// State is what is remembered, after [remember.State.Opened].
	State remember.State

	// Confirm is how often an entry may be started without reporting that it is up;
	// 0 when that is not counted.
	Confirm int

	// Fingerprints has for entries, by ID, what they start now, as in
	// [remember.Try]; "" where that cannot be read. One that is missing is still
	// being read.
	Fingerprints map[string]string

	// Failed are the entries, by ID, that could not be started since the menu is
	// there. They are not tried again.
	Failed map[string]bool

	// Removable is the setting: whether what is not built in may be the default. With
	// "yes" as anything else, with "no" never, else only where nothing that is built
	// in can be booted, and no disk that is might still have something.
	Removable string
}

// Choice is the answer.
type Choice struct {
	ID string // of the entry; "" when there is none, or none yet

	// Once is set when the entry was asked for at this start only. It may be booted
	// unattended only when State has been saved: it would be booted for ever.
	Once bool

	// State is what to remember as soon as any entry is started: the request
	// for this start is not in it any more.
	State remember.State

	Because   string // why it is this entry, to follow "this one is booted, because"; "" for none
	Wait      string // why there is none yet, as a sentence
	Exhausted bool   // everything has answered, and nothing is left to start

	Held  string   // why the entries that are not built in are not booted unattended, as a sentence; "" when they may be
	Notes []string // what the user should know about it, a sentence each
}

// Default chooses. These come one after the other, each where those before it
// name no entry that can be booted:
//
//  1. what was asked for at this start only: State.Next, systemd-boot's OneShot,
//     what a configuration asks for (Entry.Once), unless that was done already;
//  2. w.Default;
//  3. State.Default;
//  4. systemd-boot's LoaderPreferred, then its LoaderDefault;
//  5. the default of a configuration; of several that of the system booted last;
//  6. other entries of a configuration, then guessed ones; the one booted last,
//     else the first. Snapshots are not among them.
//
// An entry that has failed, or whose boot counter has no starts left, is passed
// over, except by 1, with a note; one that only has not reported being up is tried
// again when there is no other.
//
// Until every device has been read, an entry that is asked for and is not
// there yet is waited for: there is no default then.
//
// What is not built in is not chosen, nor what it asks for done, when something
// that is built in can be booted, or may be: see [Wants.Removable]. Nor is an
// entry of which is known that it may start another system than its own.
func Default(inv boot.Inventory, w Wants) Choice {
	held := holdBack(inv, w.Removable)
	c := decide(held.inv, w)
	return held.explain(c).doubt(inv)
}

// decide is Default for what may start unattended.
func decide(inv boot.Inventory, w Wants) Choice {
	c := &chooser{inv: inv, w: w, choice: Choice{State: w.State}}
	if e, ok := c.once(); ok {
		c.choice.ID, c.choice.Once = e.ID, true
		return c.choice
	}
	wanted, ok := c.pick(func(e boot.Entry) bool { return true }, true)
	best := wanted
	if ok && c.failed(wanted) {
		best, ok = c.pick(func(e boot.Entry) bool { return !c.failed(e) }, false)
		if !ok {
			best, ok = c.pick(func(e boot.Entry) bool { return !w.Failed[e.ID] }, false)
		}
		c.explain(wanted, best)
	}
	if c.wait {
		return Choice{State: w.State}
	}
	if ok {
		c.choice.ID = best.ID
	}
	return c.choice
}

// chooser is one call of Default.
type chooser struct {
	inv    boot.Inventory
	w      Wants
	wait   bool // for an entry that may still turn up
	choice Choice
}

func (c *chooser) note(format string, args ...any) {
	if c.inv.Settled { // before that it may become untrue
		c.choice.Notes = append(c.choice.Notes, fmt.Sprintf(format, args...))
	}
}

// failed reports whether an entry is not to be booted unattended.
func (c *chooser) failed(e boot.Entry) bool {
	return c.w.Failed[e.ID] || c.usedUp(e) || countedOut(e)
}

// usedUp reports whether what e starts was started so often without reporting
// that it is up that it has failed.
func (c *chooser) usedUp(e boot.Entry) bool {
	t, ok := c.w.State.Try(e.ID)
	return ok && t.Left == 0 && t.Of(c.w.Fingerprints[e.ID])
}

// explain notes why best, which may be none, is booted in place of wanted.
func (c *chooser) explain(wanted, best boot.Entry) {
	if c.w.Failed[wanted.ID] {
		c.note("%s could not be started just now: it is passed over.", wanted.Name())
	} else if wanted.ID != best.ID {
		c.note("%s %s: it is passed over.", wanted.Name(), c.why(wanted))
	}
	if best.ID != "" && c.failed(best) {
		c.note("%s %s. There is no other: it is tried again.", best.Name(), c.why(best))
	}
}

// why returns why an entry has failed, as the end of a sentence.
func (c *chooser) why(e boot.Entry) string {
	if !c.usedUp(e) && countedOut(e) {
		return "has no starts left, as the counter in the name of its file shows"
	}
	return "was started before and never reported being up"
}

// once returns the entry that was asked for at this start only, and takes the
// request out of the state to save. Only one request is met at each start.
func (c *chooser) once() (boot.Entry, bool) {
	state := c.w.State
	usable := func(e boot.Entry, found bool, request string) bool {
		switch {
		case !found:
			c.note("%q was to be booted once: there is no such entry.", request)
		case e.Problem != "":
			c.note("%s was to be booted once, and cannot be: %s", e.Name(), e.Problem)
		case c.w.Failed[e.ID]:
			c.note("%s was to be booted once, and could not be started just now.", e.Name())
		default:
			c.note("%s is booted once, as it was asked for.", e.Name())
			return true
		}
		return false
	}
	if state.Next != "" {
		e, found := Find(c.inv.Entries, state.Next)
		c.choice.State.Next = ""
		if c.wait = !found && !c.inv.Settled; c.wait {
			return e, false
		}
		if usable(e, found, state.Next) {
			return e, true
		}
	}
	if state.OneShot != "" {
		e, found := findLoader(c.inv.Entries, state.OneShot, false)
		if c.wait = !found && !c.inv.Settled; c.wait {
			return e, false
		}
		if found { // what only systemd-boot knows is left to it
			c.choice.State.OneShot = ""
			if usable(e, found, state.OneShot) {
				return e, true
			}
		}
	}
	if c.inv.Settled { // what is not asked for any more can be asked for again
		asked := map[string]bool{}
		for _, e := range c.inv.Entries {
			asked[onceKey(e)] = true
		}
		c.choice.State.Used = slices.DeleteFunc(slices.Clone(state.Used), func(key string) bool { return !asked[key] })
	}
	for _, e := range c.inv.Entries {
		key := onceKey(e)
		if e.Once == "" || slices.Contains(state.Used, key) {
			continue
		}
		if !state.Kept {
			c.note("%s is asked for at the next boot only. That is not done: it would be done at every boot, as nothing can be remembered here (setting remember).", e.Name())
			continue
		}
		c.choice.State.Used = append(slices.Clone(c.choice.State.Used), key)
		if usable(e, true, e.Name()) {
			return e, true
		}
	}
	return boot.Entry{}, false
}

// onceKey names what e.Once asks for.
func onceKey(e boot.Entry) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%s", e.Volume.UUID, e.Volume.PartUUID, e.Once)
	return fmt.Sprintf("%016x", h.Sum64())
}

// pick returns the first of Default's 2 to 6 among those that may be taken. With
// loud it notes what of them could not be met.
func (c *chooser) pick(may func(boot.Entry) bool, loud bool) (boot.Entry, bool) {
	for _, asked := range []struct{ what, id string }{
		{"The default", c.w.Default},
		{"The remembered default", c.w.State.Default},
	} {
		if asked.id == boot.LastBooted {
			asked.id = c.w.State.Last
		}
		if asked.id == "" {
			continue
		}
		e, ok := Find(c.inv.Entries, asked.id)
		switch {
		case ok && e.Problem == "" && may(e):
			return e, true
		case !ok && !c.inv.Settled:
			c.wait = true // nothing else is to be booted in its place
			return boot.Entry{}, false
		case !loud:
		case !ok:
			c.note("%s %q is none of the entries.", asked.what, asked.id)
		case e.Problem != "":
			c.note("%s %q cannot be booted: %s", asked.what, asked.id, e.Problem)
		}
	}
	for _, want := range []struct {
		pattern string
		skipBad bool
	}{{c.w.State.LoaderPreferred, true}, {c.w.State.LoaderDefault, false}} {
		if e, ok := findLoader(c.inv.Entries, want.pattern, want.skipBad); ok && e.Problem == "" && may(e) {
			return e, true
		}
	}
	var last boot.Entry
	if c.w.State.Last != "" {
		last, _ = Find(c.inv.Entries, c.w.State.Last)
	}
	var best boot.Entry
	most := 0
	for _, e := range c.inv.Entries {
		if e.Problem != "" || e.Snapshot || e.Previous || !may(e) {
			continue
		}
		if r := rank(e, last); r > most {
			best, most = e, r
		}
	}
	return best, most > 0
}

// rank is higher for what is rather booted; last is the entry booted last, or
// none.
func rank(e, last boot.Entry) int {
	r := 4
	switch {
	case e.Guessed:
	case !e.Default:
		r = 8
	default:
		r = 12
	}
	switch {
	case last.ID == "":
	case e.ID == last.ID:
		r += 2
	case e.Volume == last.Volume:
		r++
	}
	return r
}

// Find returns the entry that want names: by ID, else title, else number; one that
// is built in, if it is one of them.
func Find(entries []boot.Entry, want string) (boot.Entry, bool) {
	number, err := strconv.Atoi(want)
	if err != nil {
		number = 0
	}
	for _, removable := range []bool{false, true} {
		for _, matches := range []func(i int, e boot.Entry) bool{
			func(_ int, e boot.Entry) bool { return e.ID == want },
			func(_ int, e boot.Entry) bool { return e.Name() == want },
			func(_ int, e boot.Entry) bool { return e.Title == want },
			func(_ int, e boot.Entry) bool {
				return strings.EqualFold(e.Name(), want) || strings.EqualFold(e.Title, want)
			},
			func(i int, _ boot.Entry) bool { return i+1 == number },
		} {
			for i, e := range entries {
				if e.Removable == removable && matches(i, e) {
					return e, true
				}
			}
		}
	}
	return boot.Entry{}, false
}

// findLoader returns the first entry that systemd-boot may know and that pattern
// names: by its file without a boot counter, with or without the ending, in
// whatever case; one that is built in, if there is any. With skipBad it is none
// whose counter has no tries left.
func findLoader(entries []boot.Entry, pattern string, skipBad bool) (boot.Entry, bool) {
	// The list begins with what is built in.
	pattern = strings.ReplaceAll(strings.ToLower(pattern), "[!", "[^")
	for _, e := range entries {
		if e.Format != "bls" && e.Format != "uki" || skipBad && countedOut(e) {
			continue
		}
		name := path.Base(e.Source.File)
		if c, ok := boot.ParseCounter(name); ok {
			name = c.Plain()
		}
		name = strings.ToLower(name)
		for _, id := range []string{name, strings.TrimSuffix(name, path.Ext(name))} {
			if ok, _ := path.Match(pattern, id); ok {
				return e, true
			}
		}
	}
	return boot.Entry{}, false
}

// countedOut reports whether the boot counter in the name of an entry's file has
// no starts left.
func countedOut(e boot.Entry) bool {
	c, _, ok := e.Counter()
	return ok && c.Left == 0
}
