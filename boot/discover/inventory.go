package discover

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/bare"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/version"
)

// makeInventory returns what is known of all volumes.
func (st *state) makeInventory() boot.Inventory {
	var inv boot.Inventory
	for _, err := range st.listErrs {
		inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: fmt.Sprintf("A device is left out: %v.", err)})
	}
	// A filesystem on several devices is shown by the one that could be mounted.
	several := map[string]*volume{} // by UUID
	removable := map[string]bool{}  // by UUID: one of its devices is not built in
	for _, v := range st.all() {
		if v.devices > 1 && v.status.Volume.Removable {
			removable[v.status.Volume.UUID] = true
		}
		if v.devices > 1 && (several[v.status.Volume.UUID] == nil || several[v.status.Volume.UUID].view == nil && v.view != nil) {
			several[v.status.Volume.UUID] = v
		}
	}
	var shown []*volume
	for _, v := range st.all() {
		if v.shownBy(st.vols[v.block.Disk]) {
			continue
		}
		if first := several[v.status.Volume.UUID]; v.devices > 1 && first != v && first.view != nil {
			continue
		}
		shown = append(shown, v)
		status := st.status(v)
		status.Volume.Removable = status.Volume.Removable || removable[status.Volume.UUID]
		inv.Volumes = append(inv.Volumes, status)
	}
	inv.Entries = entries(shown)
	nameSystems(&inv, shown)
	for i := range inv.Entries {
		e := &inv.Entries[i]
		e.Removable = e.Removable || removable[e.Volume.UUID]
		st.checkVolume(e)
	}
	warnOfTwins(&inv, several)
	warnOfNames(&inv, several)
	if st.eventsErr != nil {
		inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: sentence("Devices that are plugged in later are not noticed: %v", st.eventsErr)})
	}
	return inv
}

// nameSystems sets the system of each volume whose entries all boot the same one.
func nameSystems(inv *boot.Inventory, vols []*volume) {
	var roots []bare.Root
	for _, v := range vols {
		roots = append(roots, v.roots...)
	}
	systems := map[string]boot.System{} // by device
	for _, e := range inv.Entries {
		s := bare.System(e, roots)
		if old, known := systems[e.Volume.Device]; known && old != s {
			s = boot.System{}
		}
		systems[e.Volume.Device] = s
	}
	for i := range inv.Volumes {
		inv.Volumes[i].System = systems[inv.Volumes[i].Volume.Device]
	}
}

// checkVolume sets the problem of an entry whose files cannot be opened at all.
func (st *state) checkVolume(e *boot.Entry) {
	v := st.vols[e.Volume.Device]
	switch {
	case e.Problem != "" || v != nil && v.usable() && v.status.Volume.UUID == e.Volume.UUID:
	case v != nil && (v.phase == failed || v.late()):
		e.Problem = st.status(v).Problem
	default:
		e.Problem = sentence("Its volume %s is gone", e.Volume.Device)
	}
}

// status returns what is known of v besides its entries.
func (st *state) status(v *volume) boot.VolumeStatus {
	status := v.status
	status.Size, status.Model, status.Took = v.block.Size, v.block.Model, v.took
	status.Busy = v.busy()
	if m := v.member; m != nil && status.Problem == "" && st.problems[m.Path] != "" {
		status.Problem = sentence("%s", st.problems[m.Path])
	}
	if status.Locked && slices.ContainsFunc(st.made, func(m *volume) bool { return m.from[0] == v }) { // it is unlocked
		status.Locked, status.Problem = false, ""
	}
	if v.parsed != nil {
		if v.phase != failed {
			status.Problem = v.parsed.problem
		}
		status.Notes = append(slices.Clone(status.Notes), v.parsed.notes...)
	}
	for _, a := range v.assemblies {
		switch {
		case !a.done && a.problem == "":
			status.Busy = true
		case a.problem != "" && a.image != "": // the filesystem that it is on can be used
			status.Notes = append(slices.Clone(status.Notes), boot.Note{Text: a.problem})
		case a.problem != "":
			status.Problem, status.Overdue = a.problem, !a.done
		}
	}
	if v.late() {
		status.Busy, status.Overdue = false, true
		status.Problem = notAnswering(v.block.Path, st.scanner.Limit)
	}
	return status
}

func notAnswering(path string, limit time.Duration) string {
	return fmt.Sprintf("%s has not answered for %d seconds. Check its cable and power; r scans again.", path, int(limit.Seconds()))
}

// shownBy reports whether v is a partition that holds the very filesystem which
// its whole disk holds as well, as on a stick with a hybrid ISO image.
func (v *volume) shownBy(disk *volume) bool {
	if disk == nil || disk.view == nil {
		return false
	}
	own, whole := v.status.Volume, disk.status.Volume
	return own.UUID != "" && own.UUID == whole.UUID && own.Type == whole.Type
}

// warnOfTwins notes which volumes have one UUID, such as a disk and its copy: what
// is booted from one may find the other. A group of them has one note, on its
// first volume. The devices of one filesystem, which several holds by UUID, are no
// twins.
func warnOfTwins(inv *boot.Inventory, several map[string]*volume) {
	const named = 4            // devices of a group
	with := map[string][]int{} // the volumes that have a UUID
	for i, v := range inv.Volumes {
		if id := v.Volume.UUID; id != "" && v.Volume.Type != superblock.RAIDMember && several[id] == nil {
			with[id] = append(with[id], i)
		}
	}
	maps.DeleteFunc(with, func(_ string, vols []int) bool { return len(vols) == 1 })
	if len(with) == 0 {
		return
	}
	for _, vols := range with {
		var devices []string
		for _, i := range vols[:min(len(vols), named)] {
			devices = append(devices, inv.Volumes[i].Volume.Device)
		}
		last := devices[len(devices)-1]
		if more := len(vols) - named; more > 0 {
			devices, last = append(devices, last), fmt.Sprintf("%d more", more)
		}
		first := &inv.Volumes[vols[0]]
		first.Notes = append(slices.Clone(first.Notes), boot.Note{Text: sentence("%s and %s have the same UUID, as a disk and its copy have",
			strings.Join(devices[:len(devices)-1], ", "), last)})
	}
	notInUUID := func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}
	for i, e := range inv.Entries {
		for id := range strings.FieldsFuncSeq(e.Cmdline, notInUUID) {
			if twins := with[id]; twins != nil {
				suspect(&inv.Entries[i], len(twins), "UUID", id)
				break
			}
		}
	}
}

// warnOfNames notes which entries name a volume by a label, or by what the table
// of partitions has, that several volumes share.
func warnOfNames(inv *boot.Inventory, several map[string]*volume) {
	count := map[string]int{} // by name, as in root=
	for _, v := range inv.Volumes {
		if v := v.Volume; v.Type != superblock.RAIDMember && several[v.UUID] == nil {
			for kind, name := range map[string]string{"LABEL": v.Label, "PARTUUID": strings.ToLower(v.PartUUID), "PARTLABEL": v.PartLabel} {
				if name != "" {
					count[kind+"="+name]++
				}
			}
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n == 1 })
	if len(count) == 0 {
		return
	}
	for i, e := range inv.Entries {
		if e.Suspect != "" {
			continue
		}
		for _, word := range cmdline.Parse(e.Cmdline) {
			_, value, _ := cmdline.Cut(word)
			kind, name, _ := strings.Cut(value, "=")
			if kind == "PARTUUID" {
				value, name = kind+"="+strings.ToLower(name), strings.ToLower(name)
			}
			if n := count[value]; n > 1 {
				suspect(&inv.Entries[i], n, kind, name)
				break
			}
		}
	}
}

// suspect notes that an entry may start another system than its own.
func suspect(e *boot.Entry, volumes int, kind, name string) {
	e.Suspect = sentence("%d volumes have the %s %s that its command line names, and the system may take another one than this for its own", volumes, kind, name)
	e.Notes = append(slices.Clone(e.Notes), e.Suspect)
}

// entries merges the entries of all volumes into the list that a user sees.
func entries(vols []*volume) []boot.Entry {
	// What is built in comes first: it keeps its IDs, and its place in the list,
	// whatever is plugged in.
	vols = slices.Clone(vols)
	slices.SortStableFunc(vols, func(a, b *volume) int {
		return last(a.status.Volume.Removable) - last(b.status.Volume.Removable)
	})
	var roots []bare.Root
	for _, v := range vols {
		roots = append(roots, v.roots...)
	}
	roots = slices.DeleteFunc(roots, func(r bare.Root) bool {
		return r.Locked && slices.ContainsFunc(roots, func(in bare.Root) bool { return in.Volume.Crypt == r.Volume.UUID })
	})
	builtIn := slices.DeleteFunc(slices.Clone(roots), func(r bare.Root) bool { return r.Volume.Removable })
	n := 0
	for _, v := range vols {
		if v.parsed != nil {
			n += len(v.parsed.entries)
		}
	}
	type kernel struct{ device, name string }
	booting := map[kernel][]int{}   // places in list, of entries that boot a kernel
	configured := map[kernel]bool{} // kernels that a configuration boots: they need no guess
	seen := make(map[string]int, n)
	list := make([]boot.Entry, 0, n)
	for _, v := range vols {
		if v.parsed == nil {
			continue
		}
		for _, e := range v.parsed.entries {
			k := kernel{e.Volume.Device, e.Kernel}
			known := booting[k]
			if i := slices.IndexFunc(known, func(i int) bool {
				return same(&list[i], &e) && (list[i].Format != e.Format || sameTitle(&list[i], &e)) || sameConf(&list[i], &e)
			}); i >= 0 {
				first := &list[known[i]]
				if e.Removable && !first.Removable {
					continue // a stick that names our kernel makes it no default
				}
				if merge(first, &e); first.Format == e.Format && e.Volume == v.status.Volume {
					first.Source, first.ID = e.Source, e.ID // the stub is on another volume
				}
				continue
			}
			if len(known) < maxAlike {
				booting[k] = append(known, len(list))
			}
			if !incomplete(&e) && e.Problem == "" && e.Removable == e.Volume.Removable {
				configured[k] = true
			}
			e = complete(e, builtIn, roots)
			e.Snapshot = e.Snapshot && !bare.IsSystem(e, roots)
			// Two entries alike to the hash are distinguished by their order.
			seen[e.ID]++
			if n := seen[e.ID]; n > 1 {
				e.ID = fmt.Sprintf("%s-%d", e.ID, n)
			}
			list = append(list, e)
		}
	}
	list = slices.DeleteFunc(list, func(e boot.Entry) bool { return incomplete(&e) && configured[kernel{e.Volume.Device, e.Kernel}] })
	list = inOrder(list)
	tellApart(list)
	return list
}

// incomplete reports whether e needs a configuration to boot its kernel as it is meant:
// its command line is guessed, or it has none and is an image that another entry may
// start with one.
func incomplete(e *boot.Entry) bool {
	return e.Guessed || e.Format == "uki" && e.Cmdline == "" && !e.Default
}

// complete completes e with the one of roots that it belongs to: with one that is
// built in, unless e is not or none of them fits.
func complete(e boot.Entry, builtIn, roots []bare.Root) boot.Entry {
	if with := bare.Complete(e, builtIn); !e.Removable && with.Problem != e.Problem {
		return with
	}
	with := bare.Complete(e, roots)
	with.Removable = e.Removable || with.Problem != e.Problem
	return with
}

// tellApart sets Apart of entries that have one title in one submenu: their
// versions, where these differ, and if that is not enough their volumes.
func tellApart(list []boot.Entry) {
	for _, mark := range []func(boot.Entry) string{
		func(e boot.Entry) string { return boot.Clean(e.Version) },
		func(e boot.Entry) string { return "on " + cmp.Or(boot.Clean(e.Volume.Label), e.Volume.Device) },
		func(e boot.Entry) string { return "on " + e.Volume.Device }, // of one label
	} {
		named := map[string][]int{} // places in list
		for i, e := range list {
			key := strings.Join(append([]string{e.Name()}, e.Submenu...), "\x00")
			named[key] = append(named[key], i)
		}
		for _, places := range named {
			first := mark(list[places[0]])
			if !slices.ContainsFunc(places, func(i int) bool { return mark(list[i]) != first }) {
				continue
			}
			for _, i := range places {
				if m := mark(list[i]); m != "" && !strings.Contains(list[i].Title, m) {
					list[i].Apart = strings.TrimPrefix(list[i].Apart+", "+m, ", ")
				}
			}
		}
	}
}

// sameTitle reports whether two entries are listed alike: a stub of GRUB on the EFI
// system partition and the configuration that it goes on with list the same.
func sameTitle(a, b *boot.Entry) bool {
	return a.Title == b.Title && slices.Equal(a.Submenu, b.Submenu)
}

// sameConf reports whether two entries were read from one file of the Boot Loader
// Specification: by the format bls, and by that of a grub.cfg which includes it.
func sameConf(a, b *boot.Entry) bool {
	return a.Conf != "" && a.Conf == b.Conf && a.Volume == b.Volume
}

// merge adds to first what another configuration asks for that boots the same:
// that it is the default, or that of the next boot. How long to wait goes with
// it. So do its passwords. GRUB knows the variables in a file of the Boot Loader
// Specification.
func merge(first, other *boot.Entry) {
	if sameConf(first, other) && first.Format == "bls" {
		first.Cmdline, first.Initrds, first.Problem, first.Notes = other.Cmdline, other.Initrds, other.Problem, other.Notes
	}
	if other.Timeout != nil && (other.Default && !first.Default || other.Once != "" && first.Once == "") {
		first.Timeout = other.Timeout
	}
	if first.Format == "uki" && first.Conf == "" {
		first.Conf = other.Conf // by which systemd-boot calls it
	}
	first.Default = first.Default || other.Default
	if first.Lock == nil || first.Removable && !other.Removable {
		first.Lock = other.Lock
	}
	if first.Once == "" {
		first.Once = other.Once
	}
}

// last returns what sorts true behind false.
func last(behind bool) int {
	if behind {
		return 1
	}
	return 0
}

// inOrder sorts entries as a menu shows them: one volume after another, those
// that are not built in last, of each kind those on which all is guessed last; on
// each what is configured before what is guessed, and snapshots at the end. Of
// guessed ones in one directory the newest release is first. A previous kernel comes
// behind what has replaced it.
func inOrder(list []boot.Entry) []boot.Entry {
	volumes := map[string]int{} // places of volumes in the list
	dirs := map[string]int{}    // those of directories with kernels
	dir := func(e boot.Entry) string { return e.Volume.Device + ":" + path.Dir(e.Kernel) }
	configured := map[string]bool{}
	for _, e := range list {
		if _, ok := volumes[e.Volume.Device]; !ok {
			volumes[e.Volume.Device] = len(volumes)
		}
		if _, ok := dirs[dir(e)]; !ok && e.Guessed {
			dirs[dir(e)] = len(dirs)
		}
		configured[e.Volume.Device] = configured[e.Volume.Device] || !e.Guessed && !e.Previous
	}
	slices.SortStableFunc(list, func(a, b boot.Entry) int {
		if order := cmp.Or(
			last(a.Removable)-last(b.Removable),
			last(!configured[a.Volume.Device])-last(!configured[b.Volume.Device]),
			volumes[a.Volume.Device]-volumes[b.Volume.Device],
			last(a.Snapshot)-last(b.Snapshot),
			last(a.Guessed)-last(b.Guessed)); order != 0 || !a.Guessed {
			return order
		}
		return cmp.Or(
			dirs[dir(a)]-dirs[dir(b)],
			last(a.Version == "")-last(b.Version == ""),
			version.Compare(release(b), release(a)))
	})
	// A previous kernel comes behind the entries of what has replaced it.
	var previous []boot.Entry
	for _, e := range list {
		if e.Previous {
			previous = append(previous, e)
		}
	}
	list = slices.DeleteFunc(list, func(e boot.Entry) bool { return e.Previous })
	for _, e := range previous {
		at := len(list)
		for i, o := range list {
			if o.Volume.Device == e.Volume.Device && !o.Snapshot && o.Kernel == kept.Replaced(e) {
				at = i + 1
			}
		}
		list = slices.Insert(list, at, e)
	}
	return list
}

// release returns the version of the kernel of e without its flavour: lts and virt of
// one release are equal.
func release(e boot.Entry) string {
	return strings.TrimSuffix(e.Version, "-"+version.Flavour(e.Version))
}

// same reports whether two entries boot the same kernel in the same way, as those
// of two configurations do of which one was made for another boot loader.
func same(a, b *boot.Entry) bool {
	return a.Kernel != "" && a.Kernel == b.Kernel && a.Volume == b.Volume && slices.Equal(a.Initrds, b.Initrds) &&
		slices.Equal(cmdline.Parse(a.Cmdline), cmdline.Parse(b.Cmdline))
}

// sentence makes an error the end of a sentence: with one full stop.
func sentence(format string, args ...any) string {
	return strings.TrimRight(fmt.Sprintf(format, args...), ".\n ") + "."
}
