// Package subvolume finds the subvolumes of a btrfs volume in which a system may
// are, and distinguishes its snapshots from the system itself.
//
// The volume is taken to be mounted with subvolid=5, so that a subvolume is a
// directory. Snapshots are recognised by where the usual tools put them (snapper,
// timeshift, btrbk), by their names, and by being read-only. The default
// subvolume is none: openSUSE's system runs from a snapshot that is.
package subvolume

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/version"
)

// What is read of one volume, so that none can keep the menu waiting.
const (
	maxRoots     = 100
	maxDirs      = 400 // that are listed
	maxDepth     = 3   // as pool/alpine/@
	maxSnapshots = 64
)

// Root is a directory of a volume that may be the root of a system, or what a
// system mounts at /boot.
type Root struct {
	Dir      string // "." for the volume's own root
	Snapshot bool   // an older copy of a system
	ReadOnly bool   // the subvolume has the flag; false where that cannot be asked

	isSystem  bool // there are the directories of one in it
	isDefault bool // it is mounted when no subvolume is named
}

// Roots returns the directories of a volume that may be the root of a system: its own
// root, which is all there is but on btrfs, the subvolume @, the others by
// their names, and the snapshots. Of these it returns the 64 newest, going by
// their names in each of the places where they are; older is how many more
// there are.
//
// A subvolume is recognised by its inode number, 256. A fsys that does not report
// [syscall.Stat_t] does not show it: any directory at the top counts then, and those
// below it that look like a system.
func Roots(fsys fs.FS, vol boot.Volume) (roots []Root, older int) {
	w := &walk{fsys: fsys, dirsLeft: maxDirs}
	top, _ := w.list(".") // its error is for those who look for something there
	own := Root{Dir: ".", isSystem: isSystem(top)}
	if vol.Type != superblock.Btrfs {
		return []Root{own}, 0
	}
	w.directory(own, top, 1)
	w.keepDefault()
	slices.SortStableFunc(w.roots, func(a, b Root) int {
		switch {
		case a.Dir == "@" && b.Dir != "@":
			return -1
		case b.Dir == "@" && a.Dir != "@":
			return 1
		}
		return strings.Compare(a.Dir, b.Dir)
	})
	w.roots = append([]Root{own}, w.roots...)
	// A system whose only subvolume is read-only is not a snapshot.
	hasSystem := slices.ContainsFunc(w.roots, func(r Root) bool { return r.isSystem && !r.ReadOnly && !r.Snapshot })
	for i := range w.roots {
		r := &w.roots[i]
		r.Snapshot = !r.isDefault && (r.Snapshot || hasSystem && r.ReadOnly)
	}
	for _, r := range w.roots {
		if !r.Snapshot {
			roots = append(roots, r)
		}
	}
	for _, r := range w.roots {
		if r.Snapshot {
			w.snapshots = append(w.snapshots, r)
		}
	}
	if len(w.snapshots) > maxSnapshots {
		older = len(w.snapshots) - maxSnapshots
		w.snapshots = w.snapshots[:maxSnapshots]
	}
	return append(roots, w.snapshots...), w.older + older
}

// walk is one call of Roots.
type walk struct {
	fsys      fs.FS
	dirsLeft  int
	roots     []Root
	snapshots []Root
	older     int // snapshots that were not read
}

// keepDefault sees to it that the default subvolume is among the roots, and not
// among the snapshots.
func (w *walk) keepDefault() {
	dir := w.defaultSubvolume()
	if dir == "" {
		return
	}
	w.snapshots = slices.DeleteFunc(w.snapshots, func(r Root) bool { return r.Dir == dir })
	i := slices.IndexFunc(w.roots, func(r Root) bool { return r.Dir == dir })
	if i < 0 {
		i = len(w.roots)
		w.roots = append(w.roots, Root{Dir: dir, ReadOnly: w.isReadOnly(dir), isSystem: true})
	}
	w.roots[i].isDefault = true
}

// list returns the directories in dir; ok is false when they cannot be listed.
func (w *walk) list(dir string) (dirs []fs.DirEntry, ok bool) {
	if w.dirsLeft--; w.dirsLeft < 0 {
		return nil, false
	}
	list, err := fs.ReadDir(w.fsys, dir)
	for _, d := range list {
		if d.IsDir() {
			dirs = append(dirs, d)
		}
	}
	return dirs, err == nil || len(list) > 0
}

// directory examines the directories in root, subvolumes before others: of these there
// may be too many.
func (w *walk) directory(root Root, list []fs.DirEntry, depth int) {
	plain := make(map[string]bool, len(list))
	var first, others []fs.DirEntry
	for _, d := range list {
		if is, known := isSubvolume(d); known && !is {
			plain[d.Name()] = true
			others = append(others, d)
		} else {
			first = append(first, d)
		}
	}
	for _, d := range append(first, others...) {
		name := d.Name()
		dir := path.Join(root.Dir, name)
		is, known := isSubvolume(d)
		switch {
		case name == "timeshift-btrfs":
			w.container(path.Join(dir, "snapshots"))
			continue
		case isContainer(name):
			w.container(dir)
			continue
		case root.isSystem && root.Dir != ".":
			continue // what is in a system is its own affair
		case len(w.roots) == maxRoots:
			return
		case known && !is && (root.isSystem || depth == maxDepth):
			continue
		}
		sub, ok := w.list(dir)
		if !ok {
			continue
		}
		r := Root{Dir: dir, Snapshot: IsSnapshot(name), isSystem: isSystem(sub)}
		if is || !known && (depth == 1 || r.isSystem) {
			r.ReadOnly = known && w.isReadOnly(dir)
			w.roots = append(w.roots, r)
		}
		if depth < maxDepth || r.isSystem { // of which only the snapshots are read
			w.directory(r, sub, depth+1)
		}
	}
}

// container examines the snapshots in dir. snapper makes N/snapshot there and
// timeshift DATE/@; with others each directory is one.
func (w *walk) container(dir string) {
	list, _ := w.list(dir)
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return version.Compare(b.Name(), a.Name()) })
	for _, d := range list {
		if len(w.snapshots) >= maxSnapshots {
			w.older++
			continue
		}
		for _, in := range []string{"snapshot", "@", ""} {
			dir := path.Join(dir, d.Name(), in)
			st, err := fs.Lstat(w.fsys, dir)
			if err != nil || !st.IsDir() {
				continue
			}
			if is, known := isSubvolume(fs.FileInfoToDirEntry(st)); is || !known {
				w.snapshots = append(w.snapshots, Root{Dir: dir, Snapshot: true, ReadOnly: known && w.isReadOnly(dir)})
				break
			}
		}
	}
}

// isSubvolume reports whether a directory is a subvolume, if that is known.
func isSubvolume(d fs.DirEntry) (is, known bool) {
	const firstInode = 256 // BTRFS_FIRST_FREE_OBJECTID: the root of each subvolume
	st, err := d.Info()
	if err != nil {
		return false, true // it is gone, or broken
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Ino == firstInode, ok
}

// isSystem reports whether these directories are those of a system's root.
func isSystem(list []fs.DirEntry) bool {
	return slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == "etc" || d.Name() == "boot" })
}

// isContainer reports whether a directory of that name holds snapshots.
func isContainer(name string) bool {
	switch strings.TrimLeft(strings.ToLower(name), "@._-") {
	case "snapshot", "snapshots", "btrbk_snapshots", "btrbk-snapshots", "snap", "snaps":
		return true
	}
	return false
}

// IsSnapshot reports whether a subvolume of that path is a snapshot, going by its
// name: one of a tool for snapshots, or with a date in it.
func IsSnapshot(dir string) bool {
	for name := range strings.SplitSeq(strings.ToLower(dir), "/") {
		for _, word := range []string{"snap", "timeshift", "backup"} {
			if strings.Contains(name, word) {
				return true
			}
		}
		if hasDate(name) {
			return true
		}
	}
	return false
}

// hasDate reports whether a name holds a date such as 20240131 or 2024-01-31.
func hasDate(name string) bool {
	for i := range len(name) {
		for _, form := range []string{"20dddddd", "20dd-dd-dd", "20dd_dd_dd", "20dd.dd.dd"} {
			if matches(name[i:], form) {
				return true
			}
		}
	}
	return false
}

// matches reports whether s begins with form, in which d is a digit.
func matches(s, form string) bool {
	if len(s) < len(form) {
		return false
	}
	for i := range len(form) {
		isDigit := '0' <= s[i] && s[i] <= '9'
		if form[i] == 'd' && !isDigit || form[i] != 'd' && s[i] != form[i] {
			return false
		}
	}
	return true
}

// Mark sets Snapshot for those entries of a configuration on vol whose root
// filesystem is a snapshot by its name: that in rootflags=subvol=, or where
// there is none, when the kernel is in one and the configuration is not.
// What a configuration names as its default is the system, whatever its name.
func Mark(entries []boot.Entry, vol boot.Volume) {
	for i := range entries {
		e := &entries[i]
		if e.Default {
			continue
		}
		if dir := Flag(e.Cmdline); dir != "" {
			e.Snapshot = IsSnapshot(dir)
			continue
		}
		at := vol
		if e.Volume != (boot.Volume{}) {
			at = e.Volume
		}
		e.Snapshot = at.Type == superblock.Btrfs && IsSnapshot(path.Dir(e.Kernel)) && !IsSnapshot(path.Dir(e.Source.File))
	}
}

// Flag returns the subvolume that the rootflags= of a command line name, without
// a leading slash; "" when there is none.
func Flag(line string) string {
	flags, _ := cmdline.Parse(line).Get("rootflags")
	dir := ""
	for f := range strings.SplitSeq(flags, ",") {
		if name, ok := strings.CutPrefix(f, "subvol="); ok {
			dir = strings.Trim(name, "/")
		}
	}
	return dir
}
