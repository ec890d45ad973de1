package boot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Notes collects the notes on the files of one volume, each once and no more
// than a reader would read: a hostile file makes one a line.
// The zero value is ready to use.
type Notes struct {
	// Limit is how many are kept; 0 means 20. Those about lines count apart, so
	// that they cannot crowd out those about whole files.
	Limit int

	kept    []Note
	given   []Note // as they were before their texts were made fit
	lines   int    // of kept
	dropped int
}

// Add keeps a note. Its text is made fit to be printed, as by [Clean] but for
// its length.
func (n *Notes) Add(at Source, text string) {
	limit := cmp.Or(n.Limit, 20)
	given := Note{Source: at, Text: text}
	isLine := at.Line > 0
	switch {
	case slices.Contains(n.given, given): // a file may be read again and again: it costs nothing
		return
	case isLine && n.lines >= limit, !isLine && len(n.kept)-n.lines >= limit:
		n.dropped++
		return
	}
	note := Note{Source: at, Text: singleLine(text)}
	if slices.Contains(n.kept, note) {
		return
	}
	n.kept, n.given = append(n.kept, note), append(n.given, given)
	if isLine {
		n.lines++
	}
}

// Len returns how many notes there have been, those over the limit among them.
func (n *Notes) Len() int { return len(n.kept) + n.dropped }

// All returns the notes, and a last one with how many are left out.
func (n *Notes) All() []Note {
	if n.dropped == 0 {
		return n.kept
	}
	return append(slices.Clip(n.kept), Note{Text: fmt.Sprintf("%d more notes about these files are left out.", n.dropped)})
}

// Listing returns what the Parse of a [Format] has found: entries, the notes, and
// errs about what could not be read. With entries these become notes; without
// any they are the error.
func (n *Notes) Listing(entries []Entry, errs ...error) (Listing, error) {
	if len(entries) > 0 {
		for _, err := range errs {
			if err != nil {
				n.Add(Source{}, strings.TrimSuffix(err.Error(), ".")+".")
			}
		}
		errs = nil
	}
	return Listing{Entries: entries, Notes: n.All()}, errors.Join(errs...)
}

// Unique returns entries without those for which key returns the same as for an
// earlier one. That takes over their Default and Once.
func Unique(entries []Entry, key func(Entry) string) []Entry {
	var list []Entry
	at := map[string]int{} // key -> place in list
	for _, e := range entries {
		k := key(e)
		if i, dup := at[k]; dup {
			list[i].Default = list[i].Default || e.Default
			list[i].Once = cmp.Or(list[i].Once, e.Once)
			continue
		}
		at[k] = len(list)
		list = append(list, e)
	}
	return list
}

// Key returns a text that is the same for entries which list the same: of one
// title in one submenu, with the same kernel, initrds and command line.
func (e Entry) Key() string {
	return strings.Join(slices.Concat([]string{e.Volume.Device, e.Kernel, e.Cmdline, e.Title}, e.Submenu, []string{""}, e.Initrds), "\x00")
}

// Within returns the Submenu of what is in the submenu title inside of outer.
// What is deeper than 16 is returned as if it were there.
func Within(outer []string, title string) []string {
	const most = 16
	if title = Clean(title); title == "" || len(outer) >= most {
		return outer
	}
	return append(slices.Clip(outer), title)
}
