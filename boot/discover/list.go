package discover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/bare"
)

// inventory puts together what is known of all volumes.
func (st *state) inventory() boot.Inventory {
	var inv boot.Inventory
	for _, err := range st.listErrs {
		inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: fmt.Sprintf("A device is left out: %v.", err)})
	}
	var shown, several []*volume // several: of a filesystem on several devices
	for _, v := range st.all() {
		if v.found != nil && v.found.shownBy(st.vols[v.block.Disk]) {
			continue
		}
		if v.found != nil && v.found.devices > 1 {
			if slices.ContainsFunc(several, v.found.spans) {
				continue
			}
			several = append(several, v)
		}
		shown = append(shown, v)
		inv.Volumes = append(inv.Volumes, st.status(v))
	}
	inv.Entries = entries(shown)
	warnOfTwins(&inv)
	return inv
}

// status says what is known of v besides its entries.
func (st *state) status(v *volume) boot.VolumeStatus {
	status := boot.VolumeStatus{Volume: volumeOf(v), Busy: true}
	if v.found != nil {
		status = v.found.status
		status.Busy = !v.answered()
		if m := v.found.member; m != nil && status.Problem == "" && st.problems[m.Path] != "" {
			// A sentence about a device names it as the user knows it.
			status.Problem = sentence("%s", strings.ReplaceAll(st.problems[m.Path], m.Path, v.block.Path))
		}
	}
	if st.opened(v) {
		status.Locked, status.Problem = false, ""
	}
	if v.read != nil {
		status.Problem = v.read.problem
		status.Notes = append(slices.Clone(status.Notes), v.read.notes...)
	}
	for _, m := range st.makings {
		switch {
		case m.members[0] != v:
		case !m.done && m.problem == "":
			status.Busy = true
		case m.problem != "" && m.image != "": // the filesystem that it lies on can be used
			status.Notes = append(slices.Clone(status.Notes), boot.Note{Text: m.problem})
		case m.problem != "":
			status.Problem = m.problem
		}
	}
	if v.overdue {
		status.Busy = false
		status.Problem = notAnswering(v.block.Path, st.scanner.Limit)
	}
	return status
}

// opened tells whether v is an encrypted volume that has been opened.
func (st *state) opened(v *volume) bool {
	return v.found != nil && v.found.status.Locked &&
		slices.ContainsFunc(st.made, func(m *volume) bool { return m.from[0] == v })
}

func notAnswering(path string, limit time.Duration) string {
	return fmt.Sprintf("%s has not answered for %d seconds. Check its cable and power; r looks again.", path, int(limit.Seconds()))
}

// shownBy tells whether f is a partition that holds the very filesystem which
// its whole disk holds as well, as on a stick with a hybrid ISO image.
func (f *found) shownBy(disk *volume) bool {
	if disk == nil || disk.found == nil || disk.found.fsys == nil {
		return false
	}
	own, whole := f.status.Volume, disk.found.status.Volume
	return own.UUID != "" && own.UUID == whole.UUID && own.Type == whole.Type
}

// spans tells whether f is another device of the filesystem that v shows: a
// btrfs on several devices.
func (f *found) spans(v *volume) bool {
	return v.found.fsys != nil && v.found.devices == f.devices &&
		v.found.status.Volume.UUID == f.status.Volume.UUID
}

// warnOfTwins tells about volumes with one UUID, such as a disk and its copy:
// what is booted from one may find the other.
func warnOfTwins(inv *boot.Inventory) {
	with := map[string][]int{} // the volumes that have a UUID
	for i, v := range inv.Volumes {
		if id := v.Volume.UUID; id != "" && v.Volume.Type != "linux_raid_member" {
			with[id] = append(with[id], i)
		}
	}
	maps.DeleteFunc(with, func(_ string, vols []int) bool { return len(vols) == 1 })
	if len(with) == 0 {
		return
	}
	for i, v := range inv.Volumes {
		for _, other := range with[v.Volume.UUID] {
			if other != i {
				note := boot.Note{Text: sentence("%s and %s have the same UUID, as a disk and its copy have", v.Volume.Device, inv.Volumes[other].Volume.Device)}
				inv.Volumes[i].Notes = append(slices.Clone(inv.Volumes[i].Notes), note)
			}
		}
	}
	for i, e := range inv.Entries {
		for id, twins := range with {
			if strings.Contains(e.Cmdline, id) {
				inv.Entries[i].Notes = append(slices.Clone(e.Notes), sentence("%d volumes have the UUID %s that its command line names: the system may take another one than this for its own", len(twins), id))
			}
		}
	}
}

// entries merges the entries of all volumes into the list that a user sees.
func entries(vols []*volume) []boot.Entry {
	var roots []bare.Root
	for _, v := range vols {
		if v.found != nil {
			roots = append(roots, v.found.roots...)
		}
	}
	roots = slices.DeleteFunc(roots, func(r bare.Root) bool {
		return r.Locked && slices.ContainsFunc(roots, func(in bare.Root) bool { return in.Volume.Crypt == r.Volume.UUID })
	})
	n := 0
	for _, v := range vols {
		if v.read != nil {
			n += len(v.read.entries)
		}
	}
	type kernel struct{ device, name string }
	booting := map[kernel][]int{} // places in list, of entries that boot a kernel
	seen := make(map[string]int, n)
	list := make([]boot.Entry, 0, n)
	for _, v := range vols {
		if v.read == nil {
			continue
		}
		for _, e := range v.read.entries {
			k := kernel{e.Volume.Device, e.Kernel}
			known := booting[k]
			if i := slices.IndexFunc(known, func(i int) bool { return list[i].Format != e.Format && same(&list[i], &e) }); i >= 0 {
				first := &list[known[i]]
				first.Default = first.Default || e.Default
				continue
			}
			if len(known) < maxAlike {
				booting[k] = append(known, len(list))
			}
			e = bare.Complete(e, roots)
			// Two entries alike to the hash are told apart by their order.
			seen[e.ID]++
			if n := seen[e.ID]; n > 1 {
				e.ID = fmt.Sprintf("%s-%d", e.ID, n)
			}
			list = append(list, e)
		}
	}
	inOrder(list)
	return list
}

// inOrder sorts entries as a menu shows them: one volume after another, those
// on which all is guessed last; on each what is configured before what is
// guessed, and snapshots at the end.
func inOrder(list []boot.Entry) {
	volumes := map[string]int{} // places of volumes in the list
	configured := map[string]bool{}
	for _, e := range list {
		if _, ok := volumes[e.Volume.Device]; !ok {
			volumes[e.Volume.Device] = len(volumes)
		}
		configured[e.Volume.Device] = configured[e.Volume.Device] || !e.Guessed
	}
	last := func(no bool) int {
		if no {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b boot.Entry) int {
		return cmp.Or(
			last(!configured[a.Volume.Device])-last(!configured[b.Volume.Device]),
			volumes[a.Volume.Device]-volumes[b.Volume.Device],
			last(a.Snapshot)-last(b.Snapshot),
			last(a.Guessed)-last(b.Guessed))
	})
}

// same tells whether two entries boot the same kernel in the same way, as those
// of two configurations do of which one was made for another boot loader.
func same(a, b *boot.Entry) bool {
	return a.Kernel != "" && a.Kernel == b.Kernel && a.Volume == b.Volume && slices.Equal(a.Initrds, b.Initrds) &&
		slices.Equal(strings.Fields(a.Cmdline), strings.Fields(b.Cmdline))
}

// sentence makes an error the end of a sentence: with one full stop.
func sentence(format string, args ...any) string {
	return strings.TrimRight(fmt.Sprintf(format, args...), ".\n ") + "."
}
