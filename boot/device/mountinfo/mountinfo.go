// Package mountinfo reads /proc/self/mountinfo, the list of what is mounted
// where.
package mountinfo

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/device/superblock"
)

// Path is the list, from the root of a system.
const Path = "proc/self/mountinfo"

// Mount is a line of the list, as proc_pid_mountinfo(5) has it.
type Mount struct {
	Device  string // major:minor of the filesystem; btrfs and the like make them up
	Root    string // the directory of the filesystem that is seen at Point
	Point   string
	Options []string // of the mount: rw, nosuid, ...
	Type    string
	Source  string
	Super   []string // options of the filesystem
}

// Read returns the mounts of the system whose files fsys has, none where the list
// cannot be read.
func Read(fsys fs.FS) []Mount {
	b, _ := fs.ReadFile(fsys, Path)
	return Parse(string(b))
}

// Parse returns the mounts in their order, and leaves out lines that are none.
func Parse(text string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		mounts = append(mounts, Mount{
			Device: l[2], Root: unescape(l[3]), Point: unescape(l[4]), Options: strings.Split(l[5], ","),
			Type: r[0], Source: unescape(r[1]), Super: strings.Split(r[2], ","),
		})
	}
	return mounts
}

// unescape undoes how the kernel writes white space and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\043`, "#", `\134`, `\`).Replace(s)
}

// OnDisk reports whether the filesystem keeps its data on a disk of this machine.
func (m Mount) OnDisk() bool {
	return strings.HasPrefix(m.Source, "/dev/") || slices.Contains([]string{superblock.Btrfs, "zfs", "bcachefs"}, m.Type)
}

// OnNetwork reports whether the filesystem is gone when the network is.
func (m Mount) OnNetwork() bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs", "afs"}, m.Type) ||
		strings.HasPrefix(m.Type, "fuse.")
}

// ReadOnly reports whether nothing is written to the filesystem any more,
// through this mount or another.
func (m Mount) ReadOnly() bool { return slices.Contains(m.Super, "ro") }
