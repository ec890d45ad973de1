// Package settings reads what a user has asked of alpboot. So far that comes
// from one place, the kernel command line of the menu's own kernel, as
// parameters of the form alpboot.NAME=VALUE; docs/reference.md lists them.
package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Settings is what was asked for. A nil or empty field means: not said.
type Settings struct {
	// Timeout is how long to wait for a key before the default is booted: 0
	// boots at once, negative waits for ever.
	Timeout *time.Duration

	// Default names the entry to boot: its ID, its title or its number in the
	// list.
	Default string

	// Notes tell what could not be understood, a sentence each.
	Notes []string
}

const prefix = "alpboot."

// maxTimeout keeps a slip of the finger from overflowing a duration.
const maxTimeout = 24 * 60 * 60

// FromCmdline takes the settings out of a kernel command line. A parameter
// that stands there twice counts as its last one says, as in the kernel.
func FromCmdline(cmdline string) Settings {
	var s Settings
	for _, word := range boot.Words(cmdline) {
		word = strings.ReplaceAll(word, `"`, "")
		name, value, _ := strings.Cut(word, "=")
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		switch name {
		case "timeout":
			n, err := strconv.Atoi(value)
			if err != nil || n > maxTimeout {
				s.Notes = append(s.Notes, fmt.Sprintf("%s is not understood: it takes whole seconds up to %d; 0 boots at once, -1 waits for ever.", word, maxTimeout))
				continue
			}
			d := time.Duration(n) * time.Second
			s.Timeout = &d
		case "default":
			s.Default = value
		default:
			s.Notes = append(s.Notes, fmt.Sprintf("%s%s is not a parameter of alpboot.", prefix, name))
		}
	}
	return s
}

// ForTarget gives a command line that was made for the running kernel as one
// for the next: without what a boot loader added (BOOT_IMAGE=, initrd=), and
// without our own parameters.
func ForTarget(cmdline string) string {
	var keep []string
	for _, word := range boot.Words(cmdline) {
		if strings.HasPrefix(word, "BOOT_IMAGE=") || strings.HasPrefix(word, "initrd=") || strings.HasPrefix(word, prefix) {
			continue
		}
		keep = append(keep, word)
	}
	return strings.Join(keep, " ")
}
