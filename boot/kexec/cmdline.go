package kexec

import (
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// Consoles says what becomes of the console= parameters of a command line.
type Consoles int

const (
	KeepConsoles    Consoles = iota // they stay as they are
	AddConsoles                     // ours come before them: /dev/console stays what the target says
	ReplaceConsoles                 // ours take their place: the last of ours is /dev/console
)

// Cmdline gives an entry's command line as a target shall get it: without
// BOOT_IMAGE= and initrd=, which tell a loader something and the kernel nothing,
// the rest in its order, with quotes as they are, and single spaces between the
// words. Ours are values of console=, such as ttyS0,115200, for which see
// [Consoles]; a device that the line names already is not added. What follows
// the word -- is for the target's init and stays as it is.
func Cmdline(line string, policy Consoles, ours ...string) string {
	words := boot.Words(line)
	var rest []string
	if i := slices.Index(words, "--"); i >= 0 {
		words, rest = words[:i], words[i:]
	}
	var keep, named []string
	first := -1 // where the first console= stands
	for _, w := range words {
		value, console := strings.CutPrefix(w, "console=")
		switch {
		case strings.HasPrefix(w, "BOOT_IMAGE=") || strings.HasPrefix(w, "initrd="):
			continue
		case console:
			if first < 0 {
				first = len(keep)
			}
			if policy == ReplaceConsoles && len(ours) > 0 {
				continue
			}
			named = append(named, device(value))
		}
		keep = append(keep, w)
	}
	if first < 0 {
		first = len(keep)
	}
	var add []string
	for _, c := range ours {
		if policy != KeepConsoles && !slices.Contains(named, device(c)) {
			add = append(add, "console="+c)
			named = append(named, device(c))
		}
	}
	return strings.Join(append(slices.Insert(keep, first, add...), rest...), " ")
}

// device gives the device of a console: ttyS0 of ttyS0,115200.
func device(console string) string {
	name, _, _ := strings.Cut(console, ",")
	return name
}
