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
	"github.com/alpboot/alpboot/boot/version"
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

	// Asked is set when somebody has asked for it, by the settings, in the menu or for
	// this start, so that no disk that may still come has a better one.
	Asked bool

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
// After each comes the kernel before it, where that was kept (Entry.Previous).
//
// An entry that has failed is passed over, except by 1, with a note: one that
// could not be started, and one that has no tries left (State.Tries) and starts
// still what it started then. So is one whose boot counter has no starts left,
// while there is another. Where none is left the choice is Exhausted: but not where
// a passphrase is waited for, and no entry is there without it.
//
// Until every device has been read, an entry that is asked for and is not
// there yet is waited for: there is no default then.
//
// What is not built in is not chosen, nor what it asks for done, when something
// that is built in can be booted, or may be: see [Wants.Removable]. Nor is an
// entry of which is known that it may start another system than its own.
//
// Nor is alpboot itself, by which another boot loader starts this menu: it would
// start itself for ever.
func Default(inv boot.Inventory, w Wants) Choice {
	inv = withoutOwn(inv)
	held := holdBack(inv, w.Removable)
	c := decide(held.inv, w)
	if e, ok := Find(inv.Entries, c.ID); ok && e.Removable && w.Removable != always {
		c.Asked = false // what is built in may still come
	}
	return held.explain(c).doubt(inv)
}

// withoutOwn returns an inventory in which alpboot itself cannot be booted.
func withoutOwn(inv boot.Inventory) boot.Inventory {
	inv.Entries = slices.Clone(inv.Entries)
	for i, e := range inv.Entries {
		if e.IsOwn() && e.Problem == "" {
			inv.Entries[i].Problem = "It is alpboot itself, which would start itself for ever."
		}
	}
	return inv
}

// decide is Default for what may start unattended.
func decide(inv boot.Inventory, w Wants) Choice {
	c := &chooser{inv: inv, w: w, choice: Choice{State: w.State}}
	if e, ok := c.once(); ok {
		c.choice.ID, c.choice.Once, c.choice.Because = e.ID, true, "it was asked for at this start only"
		return c.choice
	}
	if c.wait != "" {
		return Choice{State: w.State, Wait: c.wait}
	}
	c.choose()
	if c.wait != "" {
		return Choice{State: w.State, Wait: c.wait}
	}
	return c.choice
}

// chooser is one call of Default.
type chooser struct {
	inv    boot.Inventory
	w      Wants
	wait   string // what for, as a sentence: an entry that may still turn up, or what one starts
	missed bool   // something was asked for that cannot be booted, or not yet
	choice Choice
}

const waitForDisks = "Not all disks have answered yet."

func (c *chooser) note(format string, args ...any) {
	if c.inv.Settled { // before that it may become untrue
		c.choice.Notes = append(c.choice.Notes, fmt.Sprintf(format, args...))
	}
}

// choose takes the first of Default's 2 to 6 that has not failed.
func (c *chooser) choose() {
	var first, last *candidate // of all; of those that are tried when there is no other
	for one := range c.candidates {
		if first == nil {
			first = &one
		}
		switch c.verdict(one.entry) {
		case failed:
			continue
		case countedOut:
			if last == nil {
				last = &one
			}
			continue
		case unknown:
			c.wait = fmt.Sprintf("%s has failed; whether it starts something else by now is being read.", one.entry.Name())
			return
		}
		c.take(*first, one)
		c.choice.Asked = one.asked && first.entry.ID == one.entry.ID
		return
	}
	switch {
	case c.wait != "":
	case last != nil:
		c.take(*first, *last)
	case !c.inv.Settled:
		c.choice.Wait = waitForDisks
	case first != nil:
		c.explain(first.entry)
		c.choice.Exhausted, c.choice.Wait = true, "Every entry has failed."
	case slices.ContainsFunc(c.inv.Volumes, func(v boot.VolumeStatus) bool { return v.Locked }):
		c.choice.Wait = "Nothing can be booted before a passphrase unlocks a volume."
	default:
		c.choice.Exhausted, c.choice.Wait = true, "Nothing was found that can be booted."
	}
}

// take chooses one, in place of first where that has failed.
func (c *chooser) take(first, one candidate) {
	e := one.entry
	c.choice.ID, c.choice.Because = e.ID, one.because
	if first.entry.ID != e.ID {
		c.explain(first.entry)
		c.choice.Because = fmt.Sprintf("%s has failed, and %s", first.entry.Name(), one.because)
	}
	t, tried := c.try(e)
	switch {
	case tried && !t.Of(c.w.Fingerprints[e.ID]):
		c.note("%s starts something else than what was started before and never reported being up.", e.Name())
	case tried && t.Left < c.w.Confirm:
		c.note("%s was started before and never reported being up: this is try %d of %d.", e.Name(), c.w.Confirm-t.Left+1, c.w.Confirm)
	case c.verdict(e) == countedOut:
		c.note("%s %s. There is no other: it is tried again.", e.Name(), noStartsLeft)
	}
}

const noStartsLeft = "has no starts left, as the counter in the name of its file shows"

// explain notes why an entry is passed over.
func (c *chooser) explain(e boot.Entry) {
	why := "was started before and never reported being up"
	switch {
	case c.w.Failed[e.ID]:
		why = "could not be started just now"
	case c.verdict(e) == countedOut:
		why = noStartsLeft
	}
	c.note("%s %s: it is passed over.", e.Name(), why)
}

// verdict is what is known of an entry.
type verdict int

const (
	fine       verdict = iota
	failed             // it could not be started, or has no tries left
	countedOut         // the boot counter in the name of its file has no starts left
	unknown            // it has no tries left, unless it starts something else by now
)

func (c *chooser) verdict(e boot.Entry) verdict {
	t, tried := c.try(e)
	current, known := c.w.Fingerprints[e.ID]
	switch usedUp := tried && t.Left == 0; {
	case c.w.Failed[e.ID], usedUp && t.Fingerprint == "", usedUp && known && t.Of(current):
		return failed
	case usedUp && !known:
		return unknown
	case noneLeft(e):
		return countedOut
	}
	return fine
}

// try returns what is remembered of starts of e that never reported being up.
func (c *chooser) try(e boot.Entry) (remember.Try, bool) {
	if c.w.Confirm == 0 {
		return remember.Try{}, false
	}
	return c.w.State.Try(e.ID)
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
		if !found && !c.inv.Settled {
			c.wait = waitForDisks
			return e, false
		}
		if usable(e, found, state.Next) {
			c.choice.Asked = !isNumber(state.Next)
			return e, true
		}
		c.missed = true
	}
	if state.OneShot != "" {
		e, found := findLoader(c.inv.Entries, state.OneShot, false)
		if !found && !c.inv.Settled {
			c.wait = waitForDisks
			return e, false
		}
		if found { // what only systemd-boot knows is left to it
			c.choice.State.OneShot = ""
			if usable(e, found, state.OneShot) {
				c.choice.Asked = !c.missed
				return e, true
			}
			c.missed = true
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

// candidate is an entry that may be booted unattended.
type candidate struct {
	entry   boot.Entry
	because string // that is so, to follow "because"
	asked   bool   // by the settings or in the menu, and nothing before it
}

// candidates yields Default's 2 to 6 that can be booted, the best first, and notes
// what was asked for and is not among them. It sets c.wait and ends where it
// cannot be known yet what comes next.
func (c *chooser) candidates(yield func(candidate) bool) {
	seen := map[string]bool{}
	more := func(e boot.Entry, because string, asked bool) bool {
		if seen[e.ID] {
			return true
		}
		seen[e.ID] = true
		if e.Problem == "" && !yield(candidate{e, because, asked}) {
			return false
		}
		for _, p := range c.inv.Entries {
			if !e.Previous && !seen[p.ID] && p.Problem == "" && c.replaced(p, e) {
				seen[p.ID] = true
				if !yield(candidate{p, fmt.Sprintf("it is the kernel before that of %s", e.Name()), false}) {
					return false
				}
			}
		}
		return true
	}
	met := false
	for _, asked := range []struct{ what, id, because string }{
		{"The default", c.w.Default, "the settings name it"},
		{"The remembered default", c.w.State.Default, "it was made the default in the menu"},
	} {
		if asked.id == boot.LastBooted {
			asked.id, asked.because = c.w.State.Last, "it was booted last"
		}
		if asked.id == "" {
			continue
		}
		e, ok := Find(c.inv.Entries, asked.id)
		switch {
		case !ok && !c.inv.Settled:
			c.wait = waitForDisks // nothing else is to be booted in its place
			return
		case met:
		case !ok:
			c.note("%s %q is none of the entries.", asked.what, asked.id)
		case e.Problem != "":
			c.note("%s %q cannot be booted: %s", asked.what, asked.id, e.Problem)
		default:
			met = true // notes are about what comes before it
		}
		if ok && !more(e, asked.because, !c.missed && !isNumber(asked.id)) {
			return
		}
		c.missed = true
	}
	for _, want := range []struct {
		pattern string
		skipBad bool
	}{{c.w.State.LoaderPreferred, true}, {c.w.State.LoaderDefault, false}} {
		if e, ok := findLoader(c.inv.Entries, want.pattern, want.skipBad); ok && !more(e, "systemd-boot's variables name it", false) {
			return
		}
	}
	for _, e := range c.ranked() {
		because := "it comes first in the list"
		switch {
		case e.Default:
			because = "its configuration names it"
		case e.Previous:
			because = "it was kept when its kernel was replaced"
		case e.Guessed:
			because = "no configuration has another one"
		}
		if !more(e, because, false) {
			return
		}
	}
}

// ranked returns the entries of Default's 5 and 6, those that cannot be booted
// among them, the best first.
func (c *chooser) ranked() []boot.Entry {
	var last boot.Entry
	if c.w.State.Last != "" {
		last, _ = Find(c.inv.Entries, c.w.State.Last)
	}
	list := slices.DeleteFunc(slices.Clone(c.inv.Entries), func(e boot.Entry) bool {
		return e.Snapshot || e.Previous && slices.ContainsFunc(c.inv.Entries, func(of boot.Entry) bool { return c.replaced(e, of) })
	})
	slices.SortStableFunc(list, func(a, b boot.Entry) int { return rank(b, last) - rank(a, last) })
	return list
}

// replaced reports whether p is the kernel before that of e: on the same volume,
// or, where the flavour has no entry there, on the same disk.
func (c *chooser) replaced(p, e boot.Entry) bool {
	of := func(e boot.Entry, same bool) bool {
		return p.Previous && !e.Previous && !e.Snapshot && same && OfFlavour(e, p.Version)
	}
	if e.Volume == p.Volume {
		return of(e, true)
	}
	return of(e, e.Volume.OnDisk() == p.Volume.OnDisk()) &&
		!slices.ContainsFunc(c.inv.Entries, func(e boot.Entry) bool { return of(e, e.Volume == p.Volume) })
}

// HasFailed reports whether an entry is passed over, as it could not be started or
// was started as often as it may be without reporting that it is up.
func (w Wants) HasFailed(e boot.Entry) bool { return (&chooser{w: w}).verdict(e) == failed }

// OfFlavour reports whether e boots a kernel of the flavour of a release.
func OfFlavour(e boot.Entry, release string) bool {
	f := version.Flavour(release)
	return f != "" && (e.Version != "" && version.Flavour(e.Version) == f || strings.HasSuffix(path.Base(e.Kernel), "-"+f))
}

// rank is higher for what is rather booted; last is the entry booted last, or
// none.
func rank(e, last boot.Entry) int {
	r := 4
	switch {
	case e.Guessed:
	case e.Previous:
		r = 5
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
	number, _ := strconv.Atoi(want)
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

// isNumber reports whether an entry is asked for by its place in the list, which is
// another one's when further disks have come.
func isNumber(want string) bool {
	_, err := strconv.Atoi(want)
	return err == nil
}

// findLoader returns the first entry that systemd-boot may know and that pattern
// names: by its file without a boot counter, with or without the ending, in
// whatever case; one that is built in, if there is any. With skipBad it is none
// whose counter has no tries left.
func findLoader(entries []boot.Entry, pattern string, skipBad bool) (boot.Entry, bool) {
	// The list begins with what is built in.
	pattern = strings.ReplaceAll(strings.ToLower(pattern), "[!", "[^")
	for _, e := range entries {
		if e.Format != "bls" && e.Format != "uki" || skipBad && noneLeft(e) {
			continue
		}
		for _, file := range []string{e.Source.File, e.Conf} {
			name := path.Base(file)
			if c, ok := boot.ParseCounter(name); ok {
				name = c.Plain()
			}
			name = strings.ToLower(name)
			ids := []string{name, strings.TrimSuffix(name, path.Ext(name))}
			if e.Profile > 0 && file != e.Conf {
				ids = []string{fmt.Sprintf("%s@%d", name, e.Profile)}
			}
			for _, id := range ids {
				if ok, _ := path.Match(pattern, id); ok && file != "" {
					return e, true
				}
			}
		}
	}
	return boot.Entry{}, false
}

// noneLeft reports whether the boot counter in the name of an entry's file has no
// starts left.
func noneLeft(e boot.Entry) bool {
	c, _, ok := e.Counter()
	return ok && c.Left == 0
}
