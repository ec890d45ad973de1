// Package choice decides which entry is the default.
package choice

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// Default gives the ID of the entry to boot when nobody chooses, "" when there
// is none. want is what the user asked for: an ID, a title, or a number from 1
// in the order of the list; "" when nothing was asked. A title may be given
// without regard to case where no title matches exactly.
//
// Without a wish the default of a configuration file comes before other
// configured entries, and these before guessed ones. An entry that cannot be
// booted is never the default. note says, once everything has been looked at,
// why a wish could not be met; it is "" otherwise.
func Default(inv boot.Inventory, want string) (id, note string) {
	if want != "" {
		e, ok := Find(inv.Entries, want)
		switch {
		case ok && e.Problem == "":
			return e.ID, ""
		case !inv.Settled:
			return "", "" // it may still turn up: nothing else is to be booted in its place
		case ok:
			note = fmt.Sprintf("The default %q cannot be booted: %s", want, e.Problem)
		default:
			note = fmt.Sprintf("No entry matches the default %q.", want)
		}
	}
	best, rank := "", 0
	for _, e := range inv.Entries {
		if r := rankOf(e); r > rank {
			best, rank = e.ID, r
		}
	}
	return best, note
}

func rankOf(e boot.Entry) int {
	switch {
	case e.Problem != "":
		return 0
	case e.Guessed:
		return 1
	case !e.Default:
		return 2
	}
	return 3
}

// Find gives the entry that want names: by ID, else title, else number.
func Find(entries []boot.Entry, want string) (boot.Entry, bool) {
	for _, matches := range []func(e boot.Entry) bool{
		func(e boot.Entry) bool { return e.ID == want },
		func(e boot.Entry) bool { return e.Title == want },
		func(e boot.Entry) bool { return strings.EqualFold(e.Title, want) },
	} {
		for _, e := range entries {
			if matches(e) {
				return e, true
			}
		}
	}
	if n, err := strconv.Atoi(want); err == nil && n >= 1 && n <= len(entries) {
		return entries[n-1], true
	}
	return boot.Entry{}, false
}
