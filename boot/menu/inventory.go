package menu

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// setInventory takes what is known of disks and entries now. The selection stays
// where the user has put it.
func (m Model) setInventory(msg InventoryMsg) Model {
	before, had := m.selectedItem()
	known := m.inventory.Entries
	m.inventory = msg.Inventory
	if had && m.typed {
		m = m.keep(before)
	}
	m.busySince = m.waiting()
	m.choice, m.wait, m.added, m.passed, m.exhausted = msg.Notes, msg.Wait, msg.Added, msg.PassedOver, msg.Exhausted
	m.defaultID, m.lastID, m.memory, m.places = msg.Default, msg.Last, msg.Memory, msg.MemoryPlaces
	m = m.reveal(m.defaultID, false).reveal(m.list.wanted, true)
	if m.message.brief {
		m.message = message{}
	}
	if !m.typed {
		if e, ok := m.entry(m.defaultID); ok {
			m.list.wanted = e.ID
		}
		return m
	}
	if _, ok := m.page().(unlock); ok && !m.prompt.busy && !m.isLocked(m.prompt.volume.Device) {
		m = m.leavePrompt()
	}
	if m.awaited != "" && !m.isLocked(m.awaited) {
		if e, ok := m.newcomer(known); ok {
			m = m.reveal(e.ID, true)
			m.list.wanted, m.list.moved = e.ID, true
			m = m.say("%s is unlocked: %s is selected.", strings.TrimPrefix(m.awaited, "/dev/"), title(e))
			m.awaited = ""
			return m
		}
		if had && before.locked && before.volume.Device == m.awaited {
			m.list.moved = true
			return m // its entries are still to come
		}
	}
	after, ok := m.selectedItem()
	if had && ok && before.id == m.list.wanted && after.id != m.list.wanted {
		m.list.moved = true
		m = m.warn(textGone, before.name(), after.name())
	}
	return m
}

// keep leaves the selected entry in the list, as one that cannot be booted,
// when it has gone: the user sees that its disk was pulled out, and the cursor
// does not slip to another one. It goes once the cursor has left it.
func (m Model) keep(selected item) Model {
	if selected.entry == nil || selected.id != m.list.wanted || m.entryIndex(selected.id) >= 0 {
		return m
	}
	gone := *selected.entry
	gone.Problem = fmt.Sprintf("%s is gone. Plug it in again, or choose another entry.", device(gone.Volume))
	gone.Default = false
	at := min(selected.number-1, len(m.inventory.Entries))
	m.inventory.Entries = slices.Insert(slices.Clone(m.inventory.Entries), at, gone)
	return m
}

// isLocked reports whether a passphrase unlocks the volume on dev.
func (m Model) isLocked(dev string) bool {
	return slices.ContainsFunc(m.inventory.Volumes, func(s boot.VolumeStatus) bool { return s.Locked && s.Volume.Device == dev })
}

// newcomer returns the first entry that can be booted and is not among known.
func (m Model) newcomer(known []boot.Entry) (boot.Entry, bool) {
	i := slices.IndexFunc(m.inventory.Entries, func(e boot.Entry) bool {
		return e.Problem == "" && !slices.ContainsFunc(known, func(k boot.Entry) bool { return k.ID == e.ID })
	})
	if i < 0 {
		return boot.Entry{}, false
	}
	return m.inventory.Entries[i], true
}

// waiting returns since when each busy device has been so.
func (m Model) waiting() map[string]time.Time {
	since := map[string]time.Time{}
	for _, v := range m.inventory.Volumes {
		if !v.Busy || m.countdown.now.IsZero() {
			continue
		}
		since[v.Volume.Device] = m.countdown.now
		if t, ok := m.busySince[v.Volume.Device]; ok {
			since[v.Volume.Device] = t
		}
	}
	return since
}

// busyText is that a volume has not answered yet and, once that is long, for
// how long.
func (m Model) busyText(v boot.Volume) string {
	const long = 3 * time.Second
	if since, ok := m.busySince[v.Device]; ok {
		if d := m.countdown.now.Sub(since); d >= long {
			return fmt.Sprintf("%s: still being read for %d s ...", device(v), int(d/time.Second))
		}
	}
	return fmt.Sprintf("%s: still being read ...", device(v))
}

// notes are the sentences that are worth a look but concern no single entry.
func (m Model) notes() []string {
	notes := slices.Concat(m.notices, m.choice)
	for _, v := range m.inventory.Volumes {
		if v.Problem != "" {
			notes = append(notes, v.Problem)
		}
		for _, n := range v.Notes {
			notes = append(notes, n.String())
		}
	}
	return notes
}

// entryIndex returns the place of the entry with that ID in the inventory, -1
// when there is none.
func (m Model) entryIndex(id string) int {
	if id == "" {
		return -1
	}
	return slices.IndexFunc(m.inventory.Entries, func(e boot.Entry) bool { return e.ID == id })
}

func (m Model) entry(id string) (boot.Entry, bool) {
	if i := m.entryIndex(id); i >= 0 {
		return m.inventory.Entries[i], true
	}
	return boot.Entry{}, false
}

// device is what a volume's device is called on the screen.
func device(v boot.Volume) string { return strings.TrimPrefix(v.Device, "/dev/") }

// describe names a volume in one line, such as: sda2 "root" ext4.
func describe(v boot.Volume, cs Charset) string {
	s := device(v)
	if v.Label != "" {
		s += ` "` + v.Label + `"`
	}
	if v.Type != "" {
		s += " " + v.Type
	}
	if s = strings.TrimSpace(s); s == "" {
		return "found on an unnamed volume"
	}
	return clean(s, cs)
}

// about returns what is known of a volume.
func (m Model) about(v boot.Volume) boot.VolumeStatus {
	if i := slices.IndexFunc(m.inventory.Volumes, func(s boot.VolumeStatus) bool { return s.Volume.Device == v.Device }); i >= 0 {
		return m.inventory.Volumes[i]
	}
	return boot.VolumeStatus{Volume: v}
}

// place names the volume of entries with all that a person may know it by, the most
// telling first: Alpine Linux v3.23 (web1) on sda2 "root" ext4, 20 GB, QEMU HARDDISK.
func (m Model) place(v boot.Volume, cs Charset) string {
	s := m.about(v)
	text := describe(v, cs)
	if name := systemName(s.System); name != "" {
		text = clean(name, cs) + " on " + text
	}
	if s.Size > 0 {
		text += ", " + bytesText(s.Size)
	}
	if s.Model != "" {
		text += ", " + clean(s.Model, cs)
	}
	return text
}

// systemName is what a system is called: Alpine Linux v3.23 (web1).
func systemName(s boot.System) string {
	switch {
	case s.Host == "":
		return s.Name
	case s.Name == "":
		return s.Host
	}
	return s.Name + " (" + s.Host + ")"
}

// volumeNames counts volumes and names the first of them.
func volumeNames(vs []boot.VolumeStatus) string {
	const most = 8
	var s []string
	for _, v := range vs {
		name := device(v.Volume)
		if v.Volume.Type != "" {
			name += " (" + v.Volume.Type + ")"
		}
		s = append(s, name)
	}
	if n := len(s); n > most {
		s = append(s[:most], fmt.Sprintf("and %d more", n-most))
	}
	return boot.Counted(len(vs), "volume", "volumes") + ": " + strings.Join(s, ", ")
}
