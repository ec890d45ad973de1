package grub

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// GRUB's names of devices mean nothing here: hd0 is what the firmware counts
// first. While a script runs, a volume that a search has found is called
// volume/N, N being its place in volumes; the names that a script brings along
// are resolved as well as they can be.
const (
	volumePrefix  = "volume/"
	missingPrefix = "missing/" // what a search did not find: missing/KIND/NAME
)

func volumeName(n int) string { return volumePrefix + strconv.Itoa(n) }

// place is a file, as far as a configuration names it.
type place struct {
	volume int
	path   string // from the volume's root, as [fs.FS] takes it
	why    string // where it should be, if that cannot be reached: "the volume ..., which is not there"
}

// device returns the volume that GRUB's name of a device means, or why there is none.
func (m *machine) device(name string) (volume int, why string) {
	name = strings.TrimSuffix(name, "/")
	if n, ok := strings.CutPrefix(name, volumePrefix); ok {
		if i, err := strconv.Atoi(n); err == nil && i < len(m.volumes) {
			return i, ""
		}
	}
	if missing, ok := strings.CutPrefix(name, missingPrefix); ok {
		m.unresolved = true
		kind, what, _ := strings.Cut(missing, "/")
		return 0, fmt.Sprintf("the volume with %s %s, which is not there", kind, boot.Clean(what))
	}
	if image := m.env.get(loopVar(name)); image != "" {
		i := slices.IndexFunc(m.volumes, func(v boot.MountedVolume) bool { return v.Volume.Device == image })
		if i >= 0 {
			return i, ""
		}
		m.unresolved = true
		return 0, fmt.Sprintf("the image file %s, which is not open", boot.Clean(image))
	}
	kind, _, _ := strings.Cut(name, "/")
	switch kind, _, _ := strings.Cut(kind, ","); kind {
	case "tftp", "http", "https", "pxe", "nfs":
		return 0, "the network, which alpboot does not use"
	case "memdisk", "proc", "host", "cbfsdisk", "procfs":
		return 0, fmt.Sprintf("the device (%s), which only GRUB has", boot.Clean(name))
	case "cd", "cd0":
		if m.volumes[0].Volume.Partition == 0 {
			return 0, ""
		}
	}
	// LVM volumes and md arrays keep their names.
	for _, names := range [...][2]string{{"lvm/", "/dev/mapper/"}, {"md/", "/dev/md"}, {"md/", "/dev/md/"}} {
		if rest, ok := strings.CutPrefix(name, names[0]); ok {
			i := slices.IndexFunc(m.volumes, func(v boot.MountedVolume) bool { return v.Volume.Device == names[1]+rest })
			if i >= 0 {
				return i, ""
			}
		}
	}
	if volume, ok := m.onDisk(name); ok {
		return volume, ""
	}
	m.unresolved = true
	return 0, fmt.Sprintf("the device (%s), which is not there", boot.Clean(name))
}

func loopVar(name string) string { return "loopback\x00" + name }

// disk returns the whole disk that a volume is on, or is itself.
func disk(v boot.Volume) string {
	if v.Disk != "" {
		return v.Disk
	}
	return v.Device
}

// cutDisk cuts a name such as hd0,gpt2 into the disk hd0 and the partition 2,
// which is 0 for a whole disk.
func cutDisk(name string) (disk string, partition int, ok bool) {
	disk, rest, parted := strings.Cut(name, ",")
	letters := strings.TrimRight(disk, "0123456789")
	if letters == "" || letters == disk || !isName(letters) {
		return "", 0, false
	}
	if !parted {
		return disk, 0, true
	}
	rest, _, _ = strings.Cut(rest, ",") // a BSD slice is inside the partition
	partition, err := strconv.Atoi(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))
	return disk, partition, err == nil && partition > 0
}

// onDisk resolves a name such as hd0,gpt2. The number of a disk is known from
// a search whose hint it was; else the first one that a configuration uses is
// taken for its own disk, and any other one only where it can mean no other disk.
func (m *machine) onDisk(name string) (volume int, ok bool) {
	number, partition, ok := cutDisk(name)
	if !ok {
		return 0, false
	}
	own := m.volumes[0].Volume
	of := func(d string) []int {
		var found []int
		for i, v := range m.volumes {
			if (d == "" && disk(v.Volume) != disk(own) || d != "" && disk(v.Volume) == d) && v.Volume.Partition == partition {
				found = append(found, i)
			}
		}
		return found
	}
	if len(m.disks) == 0 && !isSet(own) {
		m.disks[number] = disk(own)
	}
	d := m.disks[number]
	found := of(d)
	if d == "" { // some other disk, one that is built in rather than a stick
		m.unresolved = true
		if i := slices.IndexFunc(found, m.isBuiltIn); i >= 0 {
			found = slices.DeleteFunc(found[i:], func(v int) bool { return !m.isBuiltIn(v) })
		}
		return first(found), len(found) == 1
	}
	if len(found) == 0 && d == disk(own) && own.Partition == 0 {
		// An image whose own prefix is on a partition, or a directory.
		return 0, true
	}
	return first(found), len(found) > 0
}

// isSet reports whether v is on no disk of its own: an LVM volume or md array.
func isSet(v boot.Volume) bool {
	return v.Disk == "" && (strings.HasPrefix(v.Device, "/dev/mapper/") || strings.HasPrefix(v.Device, "/dev/md") || strings.HasPrefix(v.Device, "/dev/dm-"))
}

func (m *machine) isBuiltIn(volume int) bool { return !m.volumes[volume].Volume.Removable }

func first(list []int) int {
	if len(list) == 0 {
		return 0
	}
	return list[0]
}

// learn notes on which disk a search has found what it was to expect on
// the devices hints.
func (m *machine) learn(hints []string, volume int) {
	for _, h := range hints {
		if number, _, ok := cutDisk(h); ok && m.disks[number] == "" && m.volumes[volume].Volume.Disk != "" {
			m.disks[number] = disk(m.volumes[volume].Volume)
		}
	}
}

// locate returns the place of a file that a configuration calls name.
func (m *machine) locate(name string) place {
	device := m.env.get("root")
	if rest, ok := strings.CutPrefix(name, "("); ok {
		device, name, ok = strings.Cut(rest, ")")
		if !ok {
			return place{why: fmt.Sprintf("%s, which is not a path", boot.Quote("("+rest))}
		}
	}
	var p place
	p.volume, p.why = m.device(device)
	p.path = fspath.Inside(name)
	// A plain directory stands for whatever volume is searched for: it may as well
	// be another one that was named.
	if m.volumes[0].Volume.IsDirectory() && p.why == "" && p.volume == 0 && m.look(p) == nil {
		m.unresolved = true // it may be still to come
		for i, v := range m.volumes[1:] {
			if q := (place{volume: i + 1, path: p.path}); v.Volume.IsDirectory() && m.look(q) != nil {
				return q
			}
		}
	}
	// openSUSE's GRUB counts paths from the subvolume that the configuration is in,
	// or where btrfs_relative_path is set from the default one, with what the system mounts there.
	relative := m.env.get("btrfs_relative_path")
	isRelative := relative != "" && relative != "n" && relative != "no"
	if inSubvolume := m.subvolume.path != "" && p.volume == m.subvolume.volume; p.why != "" || !inSubvolume && !isRelative || m.look(p) != nil {
		return p
	} else if inSubvolume {
		if q := (place{volume: p.volume, path: path.Join(m.subvolume.path, p.path)}); m.look(q) != nil {
			return q
		}
	}
	if isRelative {
		for _, dir := range m.subvolumesOf(p.volume) {
			if q := (place{volume: p.volume, path: path.Join(dir, p.path)}); m.look(q) != nil {
				return q
			}
		}
	}
	return p
}

// subvolumesOf returns the subvolumes of a volume in which systems are.
func (r *reader) subvolumesOf(volume int) []string {
	if dirs, ok := r.subvolumes[volume]; ok {
		return dirs
	}
	var dirs []string
	if v := r.volumes[volume]; v.Volume.Type == superblock.Btrfs {
		roots, _ := subvolume.Roots(v.FS, v.Volume)
		for _, root := range roots {
			if !root.Snapshot && root.Dir != "." {
				dirs = append(dirs, root.Dir)
			}
		}
	}
	r.subvolumes[volume] = dirs
	return dirs
}

// look returns what there is at p, nil for nothing.
func (r *reader) look(p place) fs.FileInfo {
	if p.why != "" || !r.takeLook(1) {
		return nil
	}
	st, err := fs.Stat(r.volumes[p.volume].FS, p.path)
	if err != nil {
		return nil
	}
	return st
}

// stat returns what there is at the place that a configuration calls name.
func (m *machine) stat(name string) fs.FileInfo { return m.look(m.locate(name)) }

// list returns the names of the files in a directory.
func (m *machine) list(name string) []string {
	p := m.locate(name)
	if p.why != "" || !m.takeLook(1) {
		return nil
	}
	entries, _ := fs.ReadDir(m.volumes[p.volume].FS, p.path)
	var names []string
	for _, e := range entries {
		if !m.takeLook(1) {
			break
		}
		names = append(names, e.Name())
	}
	return names
}

// find returns the volume that ref names: the configuration's own if it is one
// of them, then one that the hints name, then one on the configuration's disk.
func (m *machine) find(ref boot.VolumeRef, hints []string) (int, bool) {
	if ref.File != "" && !m.takeLook(len(m.volumes)) {
		return 0, false
	}
	var found []int
	for _, v := range boot.Volumes(m.volumes).Find(ref, m.volumes[0].Volume) {
		if v.Volume.InImage() && v.Volume != m.volumes[0].Volume {
			continue // GRUB sees an image only once loopback has opened it
		}
		found = append(found, slices.IndexFunc(m.volumes, func(o boot.MountedVolume) bool { return o.Volume == v.Volume }))
	}
	if len(found) == 0 || slices.Contains(found, 0) {
		return 0, len(found) > 0
	}
	for _, h := range hints {
		for _, f := range found {
			if number, partition, ok := cutDisk(h); ok && m.disks[number] == disk(m.volumes[f].Volume) && m.volumes[f].Volume.Partition == partition {
				return f, true
			}
		}
	}
	return found[0], true
}

// searchOptions are those of the command search.
var searchOptions = [...]option{
	{name: "file", short: 'f'},
	{name: "label", short: 'l'},
	{name: "fs-uuid", short: 'u'},
	{name: "set", short: 's', value: valueOptional},
	{name: "no-floppy", short: 'n'},
	{name: "efidisk-only"},
	{name: "cryptodisk-only"},
	{name: "root-dev-only", short: 'r'},
	{name: "hint", short: 'h', value: valueNeeded},
	{name: "hint-ieee1275", value: valueNeeded},
	{name: "hint-bios", value: valueNeeded},
	{name: "hint-baremetal", value: valueNeeded},
	{name: "hint-efi", value: valueNeeded},
	{name: "hint-arc", value: valueNeeded},
}

// search runs the command search (grub-core/commands/search_wrap.c).
func (m *machine) search(_ *simple, args []string) int {
	o, rest, ok := parseOptions(searchOptions[:], args, true)
	if !ok {
		return errBadArgument
	}
	for len(rest) > 0 && strings.HasPrefix(rest[0], "--hint-") {
		rest = rest[1:]
	}
	into, id := "", ""
	if set, ok := o["set"]; ok {
		if into = set[len(set)-1]; into == "" {
			into = "root"
		}
		if len(rest) == 0 { // --set stood right before the name
			into, id = "root", set[len(set)-1]
		}
	}
	if len(rest) > 0 {
		id = rest[0]
	}
	kind := ""
	for _, k := range []string{"label", "fs-uuid", "file"} {
		if _, ok := o[k]; ok {
			kind = k
			break
		}
	}
	return m.searchFor(kind, id, into, slices.Concat(o["hint"], o["hint-bios"], o["hint-efi"]))
}

// searchFor looks for a volume and stores its name in the variable into, if
// that is not empty.
func (m *machine) searchFor(kind, id, into string, hints []string) int {
	var ref boot.VolumeRef
	what := ""
	switch kind {
	case "label":
		ref.Label, what = id, "label"
	case "fs-uuid":
		ref.UUID, what = id, "UUID"
	case "file":
		if what = "the file"; id != "" {
			ref.File = fspath.Inside(id)
		}
	}
	if ref == (boot.VolumeRef{}) {
		return errBadArgument
	}
	volume, ok := m.find(ref, hints)
	if !ok && kind != "file" && m.volumes[0].Volume.IsDirectory() {
		// A plain directory stands for whatever volume it was copied from.
		volume, ok = 0, true
	}
	switch {
	case ok:
		if kind == "fs-uuid" {
			m.learn(hints, volume)
		}
		if into != "" {
			m.env.set(into, volumeName(volume))
		}
		return 0
	case into == "root": // what is used from here on is not there
		m.env.set(into, missingPrefix+what+"/"+id)
	}
	m.unresolved = true
	return errFileNotFound
}
