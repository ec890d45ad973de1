package choice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// What is plugged in does not decide what is booted, and what may start another
// system than its own is not booted unattended: rules on top of the choice among
// entries.

// Values of [Wants.Removable].
const (
	always = "yes"
	never  = "no"
)

// held is an inventory as the choice of the default is to see it.
type held struct {
	inv     boot.Inventory
	why     string // why nothing that is not built in is booted, as a sentence; "" when nothing is held back
	wait    string // the same in short
	builtIn bool   // something that is built in can be booted
	locked  bool   // a built-in volume has to be unlocked first
}

// holdBack returns inv with a problem at each entry that is not built in, as long
// as these are left to the user.
func holdBack(inv boot.Inventory, setting string) held {
	h := held{inv: inv}
	reason := ""
	for _, e := range inv.Entries {
		if !e.Removable && !e.Snapshot && e.Problem == "" {
			reason, h.builtIn = fmt.Sprintf("%s is built in", e.Title), true
			break
		}
	}
	for _, v := range inv.Volumes {
		switch {
		case v.Volume.Removable || reason != "":
		case v.Overdue:
			reason = fmt.Sprintf("%s has not answered", v.Volume.Device)
		case v.Locked:
			reason, h.locked = fmt.Sprintf("%s is encrypted", v.Volume.Device), true
		}
	}
	switch setting {
	case always:
		return h
	case never:
		reason = "removable = no"
	}
	if reason == "" {
		return h
	}
	h.inv.Entries = slices.Clone(inv.Entries)
	var disks []string
	for i := range h.inv.Entries {
		e := &h.inv.Entries[i]
		if !e.Removable {
			continue
		}
		e.Once = "" // what a stick asks for is not done, and not spent either
		if e.Problem != "" {
			continue
		}
		e.Problem = "It is plugged in, or named by what is, and not booted by itself."
		if disk := e.Volume.OnDisk(); e.Volume.Removable && !slices.Contains(disks, disk) {
			disks = append(disks, disk)
		}
	}
	if len(disks) > 0 {
		h.why = fmt.Sprintf("What is plugged in (%s) is not booted by itself: %s (setting removable).", strings.Join(disks, ", "), reason)
		h.wait = fmt.Sprintf("%s: what is plugged in is not booted by itself.", reason)
	}
	return h
}

// explain adds why nothing that is not built in has been chosen. Where nothing
// else is there, it is exhausted, unless somebody has to unlock what is built in.
func (h held) explain(c Choice) Choice {
	if h.why == "" || !h.inv.Settled {
		return c
	}
	c.Notes, c.Held = append(c.Notes, h.why), h.why
	if c.ID == "" && !h.builtIn {
		c.Wait, c.Exhausted = h.wait, c.Exhausted && !h.locked
	}
	return c
}

// doubt takes back a choice that may start the wrong system.
func (c Choice) doubt(inv boot.Inventory) Choice {
	i := slices.IndexFunc(inv.Entries, func(e boot.Entry) bool { return e.ID == c.ID })
	if i < 0 || inv.Entries[i].Suspect == "" {
		return c
	}
	if inv.Settled {
		c.Wait = fmt.Sprintf("%s is not booted by itself: %s", inv.Entries[i].Title, inv.Entries[i].Suspect)
		c.Notes = append(c.Notes, c.Wait)
	}
	c.ID, c.Once, c.Asked, c.Because = "", false, false, ""
	return c
}
