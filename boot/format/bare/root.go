package bare

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/fstab"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// Root is what is known of one root filesystem that could belong to a kernel
// on another volume.
type Root struct {
	Volume  boot.Volume
	Dir     string // the root's directory on the volume: "." or a btrfs subvolume
	Name    string // PRETTY_NAME of os-release; "" when unknown
	Host    string // etc/hostname; "" when unknown
	Alpine  bool
	Cmdline string   // the command line for its kernels; "" when nothing names one
	Notes   []string // where Cmdline comes from, and what is doubtful about it

	// Boot is what its fstab mounts at /boot, /boot/efi and /efi, as the first
	// field of the line: UUID=, LABEL=, a device, ...
	Boot []string

	// Releases are the kernels that it has modules for (directories of lib/modules).
	Releases []string

	// Locked is true for a LUKS volume that is not unlocked: there may be a
	// root filesystem in it. Volume and Locked are all that is set then.
	Locked bool

	at   subvolume.Root
	boot fstab.Mount // what its fstab mounts at /boot
}

// FindRoots returns the root filesystems on the volume whose root is fsys: on
// btrfs there may be one in each subvolume, of which @ comes before others;
// snapshots do not count. A LUKS volume (Type crypto_LUKS) always counts as
// one, which is Locked; fsys is not used then and may be nil.
func FindRoots(fsys fs.FS, vol boot.Volume) []Root {
	if vol.Type == superblock.LUKS {
		return []Root{{Volume: vol, Locked: true}}
	}
	var found []Root
	roots, _ := subvolume.Roots(fsys, vol)
	for _, at := range roots {
		if at.Snapshot {
			continue
		}
		if r, ok := findRoot(fsys, vol, at); ok {
			found = append(found, r)
		}
	}
	return found
}

// IsSystem reports whether e boots one of roots, none of which is a snapshot: its
// root= names the volume, and its rootflags= the subvolume. openSUSE's system is
// in a directory that is called like a snapshot, and is the default subvolume.
func IsSystem(e boot.Entry, roots []Root) bool {
	dir := subvolume.Flag(e.Cmdline)
	source, _ := cmdline.Parse(e.Cmdline).Get("root")
	return dir != "" && slices.ContainsFunc(roots, func(r Root) bool { return r.Dir == dir && names(source, r.Volume) == yes })
}

// findRoot examines one directory.
func findRoot(fsys fs.FS, vol boot.Volume, at subvolume.Root) (Root, bool) {
	sys := system{fsys: fsys, vol: vol, dir: at.Dir}
	release := ""
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		if release = sys.read(name); release != "" {
			break
		}
	}
	if release == "" {
		return Root{}, false
	}
	id := assignments(release)
	r := Root{Volume: vol, Dir: at.Dir, Name: boot.Clean(id["PRETTY_NAME"]), at: at}
	if r.Name == "" {
		r.Name = boot.Clean(id["NAME"])
	}
	r.Host = hostName(sys.read("etc/hostname"))
	r.Alpine = id["ID"] == "alpine" || slices.Contains(strings.Fields(id["ID_LIKE"]), "alpine")
	sys.alpine = r.Alpine
	sys.fstab = fstab.Parse(sys.read("etc/fstab"))
	for _, target := range []string{"/boot", "/boot/efi", "/efi"} {
		if m, ok := fstab.Find(sys.fstab, target); ok {
			r.Boot = append(r.Boot, m.Source)
			if target == "/boot" {
				r.boot = m
			}
		}
	}
	for _, d := range []string{"lib/modules", "usr/lib/modules"} {
		modules, _ := fs.ReadDir(fsys, path.Join(at.Dir, d)) // there may be none
		for _, m := range modules {
			r.Releases = append(r.Releases, m.Name())
		}
		if len(modules) > 0 {
			break // often the two are one directory
		}
	}
	r.Cmdline, r.Notes = sys.cmdline()
	if at.Snapshot && at.ReadOnly && r.Alpine && r.Cmdline != "" {
		r.Notes = append(r.Notes, "The snapshot is read-only: with overlaytmpfs=yes on the command line Alpine keeps what it changes in memory.")
	}
	return r, true
}

// hostName returns the name in a file of hostname(5): its first line that is not a
// comment.
func hostName(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && len(line) <= 64 && boot.Clean(line) == line {
			return line
		}
	}
	return ""
}

// System returns the system that e boots: the root that its root= names, or the one
// whose fstab mounts its volume for kernels, or the one on its volume. It is empty
// where several could be it.
func System(e boot.Entry, roots []Root) boot.System {
	source, _ := cmdline.Parse(e.Cmdline).Get("root")
	for _, tier := range []func(Root) bool{
		func(r Root) bool { return isNamed(source, r.Volume) },
		func(r Root) bool { return r.Volume == e.Volume },
		func(r Root) bool { return r.mounts(e.Volume) == yes },
	} {
		var found []boot.System
		for _, r := range roots {
			if s := (boot.System{Name: r.Name, Host: r.Host}); !r.Locked && tier(r) && !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0]
		default:
			return boot.System{}
		}
	}
	return boot.System{}
}

// isNamed reports whether a value of root= means the volume, also by what the table
// of partitions has.
func isNamed(source string, vol boot.Volume) bool {
	tag, value, _ := strings.Cut(source, "=")
	switch tag {
	case "PARTUUID":
		return value != "" && strings.EqualFold(value, vol.PartUUID)
	case "PARTLABEL":
		return value != "" && value == vol.PartLabel
	}
	return names(source, vol) == yes
}

// shadows reports whether the root's fstab mounts something else over the directory
// dir on its volume, which is its /boot.
func (r Root) shadows(dir string) bool {
	sub := strings.Trim(r.boot.Option("subvol"), "/")
	return r.boot.Source != "" && (names(r.boot.Source, r.Volume) == no || sub != "" && sub != dir)
}

// complete returns e with the name and command line of this root.
func (r Root) complete(e boot.Entry) boot.Entry {
	name := r.Name
	if name == "" {
		name = "Linux"
	}
	e.Title = title(name, path.Base(e.Kernel))
	if r.at.Snapshot {
		e.Title += ", " + r.snapshotName()
	}
	e.Cmdline = r.Cmdline
	e.Notes = append(slices.Clone(e.Notes), r.Notes...)
	switch {
	case e.Problem == noRoot && r.Cmdline == "":
		e.Problem = fmt.Sprintf("It is not known how the root filesystem on %s is to be found at boot.", r.where())
	case e.Problem == noRoot:
		e.Problem = ""
	}
	return e
}

// snapshotName returns what distinguishes a snapshot from others: its number, its date, or
// the name of its subvolume.
func (r Root) snapshotName() string {
	dir := r.Dir
	if base := path.Base(dir); base == "snapshot" || base == "@" {
		dir = path.Dir(dir)
	}
	return "snapshot " + boot.Clean(path.Base(dir))
}

// where names the root for a sentence.
func (r Root) where() string {
	if r.Dir != "." && r.Dir != "" {
		return r.Volume.Device + ", subvolume " + r.Dir
	}
	return r.Volume.Device
}

// answer is what an fstab can state about a volume.
type answer int

const (
	no answer = iota
	unknown
	yes
)

// names reports whether the first field of an fstab line means the volume.
func names(source string, vol boot.Volume) answer {
	is := func(s, t string) answer {
		switch {
		case t == "":
			return unknown
		case strings.EqualFold(s, t):
			return yes
		}
		return no
	}
	tag, value, tagged := strings.Cut(source, "=")
	switch {
	case source == "":
		return unknown
	case tagged && tag == "UUID":
		return is(value, vol.UUID)
	case tagged && tag == "LABEL":
		return is(value, vol.Label)
	case strings.HasPrefix(source, "/dev/disk/by-uuid/"):
		return is(path.Base(source), vol.UUID)
	case source == vol.Device:
		return yes
	}
	return unknown // PARTUUID=, or a device name that may have changed
}

// Complete returns e, an entry of Parse with its Volume set, a command line if
// one of roots is the root filesystem of its kernel. In this order:
//
//   - the root whose fstab mounts the entry's volume at /boot, /boot/efi or /efi;
//   - a root on the same disk that has modules for the kernel, if its fstab
//     does not have its kernels elsewhere;
//   - for a kernel with Alpine's name, a LUKS volume on the same disk, in the
//     form of setup-disk: mapped as root, without LVM. That is a guess to be
//     checked in the editor, and the entry has a note on that.
//
// If there are several, or none, Problem is that. Other entries, those that
// have a command line or another Problem, are returned as they are. A later
// root can change the answer: call it again with the entry of Parse, not with
// what an earlier call returned.
func Complete(e boot.Entry, roots []Root) boot.Entry {
	if e.Format != formatName || e.Cmdline != "" || e.Problem != noRoot {
		return e
	}
	for _, tier := range []func(Root) bool{
		func(r Root) bool { return !r.Locked && r.mounts(e.Volume) == yes },
		func(r Root) bool {
			return !r.Locked && sameDisk(r.Volume, e.Volume) && r.mounts(e.Volume) != no && r.hasModules(e)
		},
		func(r Root) bool { return r.Locked && sameDisk(r.Volume, e.Volume) && isAlpine(e) },
	} {
		fit := slices.DeleteFunc(slices.Clone(roots), func(r Root) bool { return !tier(r) })
		if near := slices.DeleteFunc(slices.Clone(fit), func(r Root) bool { return !sameDisk(r.Volume, e.Volume) }); len(near) > 0 {
			fit = near // of copies of a disk, each has its own
		}
		switch {
		case len(fit) == 1 && fit[0].Locked:
			return fit[0].unlock(e)
		case len(fit) == 1:
			r := fit[0]
			if e = r.complete(e); hasDrivers(path.Base(e.Kernel)) && len(e.Initrds) == 0 && e.Problem == "" {
				e.Cmdline = cmdline.Parse(e.Cmdline).Set("root", rootOfKernel(r.Volume)).String()
			}
			return e
		case len(fit) > 1:
			var where []string
			for _, r := range fit {
				where = append(where, r.where())
			}
			e.Problem = fmt.Sprintf("Several root filesystems could belong to this kernel, and it is not known which: %s.", strings.Join(where, "; "))
			return e
		}
	}
	return e
}

// mounts reports whether the root's fstab mounts the volume as a boot volume. A
// root that mounts none has its kernels in its own /boot, or the line is
// missing.
func (r Root) mounts(vol boot.Volume) answer {
	best := no
	if len(r.Boot) == 0 {
		best = unknown
	}
	for _, b := range r.Boot {
		best = max(best, names(b, vol))
	}
	return best
}

// hasModules reports whether the root has modules for the kernel of e: for its
// version, or if that is not known, for its flavour.
func (r Root) hasModules(e boot.Entry) bool {
	f := flavour(path.Base(e.Kernel))
	return slices.ContainsFunc(r.Releases, func(release string) bool {
		if e.Version != "" {
			return release == e.Version
		}
		return f != "" && (release == f || strings.HasSuffix(release, "-"+f))
	})
}

// sameDisk reports whether two volumes are on one disk. Of LVM, LUKS and md
// volumes that is not known, and they may.
func sameDisk(a, b boot.Volume) bool {
	if isMapped(a.Device) && a.Disk == "" || isMapped(b.Device) && b.Disk == "" {
		return true
	}
	return a.OnDisk() == b.OnDisk()
}

// isAlpine reports whether the files of e have names that only Alpine uses.
func isAlpine(e boot.Entry) bool {
	f := flavour(path.Base(e.Kernel))
	return f != "" && !isVersion(f) && len(e.Initrds) > 0 &&
		path.Base(e.Initrds[len(e.Initrds)-1]) == "initramfs-"+f
}

// unlock returns e the command line for a root in this LUKS volume.
func (r Root) unlock(e boot.Entry) boot.Entry {
	if r.Volume.UUID == "" {
		return e
	}
	// What filesystem is inside nobody knows: with its module loaded, and
	// without rootfstype=, Alpine's mount finds out.
	e.Cmdline = "root=/dev/mapper/root modules=sd-mod,usb-storage,ext4,xfs,btrfs cryptroot=UUID=" + r.Volume.UUID + " cryptdm=root quiet"
	e.Problem = ""
	e.Title = title("Alpine Linux", path.Base(e.Kernel))
	e.Notes = append(slices.Clone(e.Notes), fmt.Sprintf(
		"The root filesystem is guessed to be in the LUKS volume %s, without LVM: check the command line before you boot this.", r.Volume.Device))
	return e
}
