package boottest

import (
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// Text writes out what a format found, one paragraph an entry and only the
// fields that are set, so that a change shows in a diff as what it is.
func Text(l boot.Listing, err error) string {
	var b strings.Builder
	for _, e := range l.Entries {
		b.WriteString(EntryText(e))
	}
	for _, n := range l.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	if err != nil {
		fmt.Fprintf(&b, "error %s\n", err)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// EntryText writes out one entry as [Text] does.
func EntryText(e boot.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "entry %s\n", e.Title)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-8s %s\n", name, value)
		}
	}
	flag := func(name string, set bool) {
		if set {
			fmt.Fprintf(&b, "  %s\n", name)
		}
	}
	field("id", e.ID)
	for _, m := range e.Submenu {
		field("submenu", m)
	}
	field("version", e.Version)
	field("format", e.Format)
	field("source", e.Source.String())
	field("volume", e.Volume.Device)
	field("kernel", e.Kernel)
	for _, i := range e.Initrds {
		field("initrd", i)
	}
	flag("uki", e.UKI)
	field("cmdline", e.Cmdline)
	flag("default", e.Default)
	field("once", e.Once)
	if e.Timeout != nil {
		if *e.Timeout < 0 {
			field("timeout", "never")
		} else {
			field("timeout", e.Timeout.String())
		}
	}
	flag("snapshot", e.Snapshot)
	flag("previous", e.Previous)
	flag("guessed", e.Guessed)
	flag("suspect", e.Suspect != "")
	field("problem", e.Problem)
	for _, n := range e.Notes {
		field("note", n)
	}
	return b.String()
}
