package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// item is a row of the list that can be selected: an entry, a fold that hides
// entries, or a volume that a passphrase unlocks.
type item struct {
	id     string // what the selection is kept by
	depth  int    // of the folds that it is in
	volume boot.Volume
	number int // of an entry: its place in the inventory, from 1
	entry  *boot.Entry

	fold  bool
	title string // of a fold
	count int    // entries in a fold
	open  bool

	locked bool
}

const textLocked = "encrypted"

// The IDs of items that are not entries begin with a byte that the ID of an
// entry cannot have, and so cannot be taken for one.
const (
	foldID     = "\x00"
	snapshotID = "\x01"
	lockedID   = "\x02"
)

// items returns what the list shows, from top to bottom: the entries of one
// volume after those of another, in folds where they are in some, and then the
// volumes that are locked. With a filter there are no folds.
func (m Model) items() []item {
	groups, devices := map[string][]int{}, []string(nil)
	shown := matcher(m.list.filter)
	for i := range m.inventory.Entries {
		e := &m.inventory.Entries[i]
		if !shown(e.Title, e.Version, flavour(*e), e.Format, e.Volume.Device, e.Volume.Label, e.Volume.Type) {
			continue
		}
		dev := e.Volume.Device
		if _, ok := groups[dev]; !ok {
			devices = append(devices, dev)
		}
		groups[dev] = append(groups[dev], i)
	}
	var items []item
	for _, dev := range devices {
		if m.list.filter != "" {
			for _, i := range groups[dev] {
				items = append(items, m.entryItem(i, 0))
			}
			continue
		}
		items = m.group(items, dev, groups[dev])
	}
	for i := range m.inventory.Volumes {
		v := &m.inventory.Volumes[i]
		if v.Locked && shown(v.Volume.Device, v.Volume.Label, v.Volume.Type, textLocked) {
			items = append(items, item{id: lockedID + v.Volume.Device, volume: v.Volume, locked: true})
		}
	}
	return items
}

// several reports whether the entries are on more than one volume.
func (m Model) several() bool {
	return slices.ContainsFunc(m.inventory.Entries, func(e boot.Entry) bool {
		return e.Volume.Device != m.inventory.Entries[0].Volume.Device
	})
}

func (m Model) entryItem(i, depth int) item {
	e := &m.inventory.Entries[i]
	return item{id: e.ID, volume: e.Volume, entry: e, number: i + 1, depth: depth}
}

// group appends the entries of one volume, its snapshots last.
func (m Model) group(items []item, dev string, entries []int) []item {
	isSnapshot := func(i int) bool { return m.inventory.Entries[i].Snapshot }
	var snapshots, others []int
	for _, i := range entries {
		if isSnapshot(i) {
			snapshots = append(snapshots, i)
		} else {
			others = append(others, i)
		}
	}
	items = m.submenu(items, others, foldID+dev, 0)
	if len(snapshots) == 0 {
		return items
	}
	id := snapshotID + dev
	items = append(items, item{id: id, volume: m.inventory.Entries[snapshots[0]].Volume, fold: true, title: "Snapshots", count: len(snapshots), open: m.list.open[id]})
	if m.list.open[id] {
		for _, i := range snapshots {
			items = append(items, m.entryItem(i, 1))
		}
	}
	return items
}

// submenu appends entries, which all are in the submenu path at the given depth
// or deeper. A submenu stands where its first entry does.
func (m Model) submenu(items []item, entries []int, path string, depth int) []item {
	done := map[string]bool{}
	for k, i := range entries {
		sub := m.inventory.Entries[i].Submenu
		if len(sub) <= depth {
			items = append(items, m.entryItem(i, depth))
			continue
		}
		name := sub[depth]
		if done[name] {
			continue
		}
		done[name] = true
		var inside []int
		for _, j := range entries[k:] {
			if s := m.inventory.Entries[j].Submenu; len(s) > depth && s[depth] == name {
				inside = append(inside, j)
			}
		}
		id := path + foldID + name
		items = append(items, item{id: id, volume: m.inventory.Entries[i].Volume, fold: true, title: name, count: len(inside), open: m.list.open[id], depth: depth})
		if m.list.open[id] {
			items = m.submenu(items, inside, id, depth+1)
		}
	}
	return items
}

// folds returns the IDs of the folds that e is in, outermost first.
func folds(e boot.Entry) []string {
	if e.Snapshot {
		return []string{snapshotID + e.Volume.Device}
	}
	var ids []string
	id := foldID + e.Volume.Device
	for _, name := range e.Submenu {
		id += foldID + name
		ids = append(ids, id)
	}
	return ids
}

// setOpen opens or closes a fold.
func (m Model) setOpen(open bool, id string) Model {
	m.list.open = with(m.list.open, id, open)
	return m
}

// reveal opens the folds that the entry with that ID is in. What the user has
// closed stays closed unless asked.
func (m Model) reveal(id string, always bool) Model {
	e, ok := m.entry(id)
	if !ok {
		return m
	}
	for _, f := range folds(e) {
		if open, known := m.list.open[f]; !open && (always || !known) {
			m = m.setOpen(true, f)
		}
	}
	return m
}

// around returns the fold that it is or is in and that is open; "" for none.
func (m Model) around(it item) string {
	if it.fold && it.open {
		return it.id
	}
	switch {
	case m.list.filter != "":
	case it.entry != nil:
		if fs := folds(*it.entry); len(fs) > 0 {
			return fs[len(fs)-1]
		}
	case it.fold && it.depth > 0:
		return it.id[:strings.LastIndex(it.id, foldID)]
	}
	return ""
}

// name is what an item is called in a sentence.
func (it item) name() string {
	switch {
	case it.entry != nil:
		return title(*it.entry)
	case it.locked:
		return device(it.volume)
	}
	return fmt.Sprintf("%s (%d)", it.title, it.count)
}

// title is what an entry is called where neither its version nor its volume is
// shown, "" never.
func title(e boot.Entry) string {
	if strings.TrimSpace(e.Title) == "" {
		return plainTitle(e)
	}
	return strings.TrimSpace(e.Name())
}

// plainTitle is what an entry is called beside these, "" never.
func plainTitle(e boot.Entry) string {
	if s := strings.TrimSpace(e.Title); s != "" {
		return s
	}
	if e.Kernel != "" {
		return "/" + e.Kernel
	}
	return "(no title)"
}

// flavour is the part of the name of the kernel file that distinguishes it, such
// as lts; "" when there is none.
func flavour(e boot.Entry) string {
	name := e.Kernel[strings.LastIndexByte(e.Kernel, '/')+1:]
	for _, p := range []string{"vmlinuz-", "vmlinux-", "linux-", "kernel-", "Image-"} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			return rest
		}
	}
	return ""
}

// release is what the list shows behind a title: the version, and the flavour
// where neither of them contains it.
func release(e boot.Entry) string {
	f := flavour(e)
	if f == "" || strings.Contains(e.Version, f) || strings.Contains(strings.ToLower(e.Title), strings.ToLower(f)) {
		return e.Version
	}
	return strings.TrimSpace(e.Version + " " + f)
}
