package reboot

import (
	"slices"
	"strings"
)

// mount is a line of /proc/self/mountinfo, as proc_pid_mountinfo(5) has it.
type mount struct {
	device  string // major:minor of the filesystem; btrfs and the like make them up
	root    string // the directory of the filesystem that is seen at point
	point   string
	options []string // of the mount: rw, nosuid, ...
	fstype  string
	source  string
	super   []string // options of the filesystem
}

// parseMountinfo returns the mounts in their order, and leaves out lines that are
// none.
func parseMountinfo(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		mounts = append(mounts, mount{
			device: l[2], root: unescape(l[3]), point: unescape(l[4]), options: strings.Split(l[5], ","),
			fstype: r[0], source: unescape(r[1]), super: strings.Split(r[2], ","),
		})
	}
	return mounts
}

// unescape undoes how the kernel writes white space and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\043`, "#", `\134`, `\`).Replace(s)
}

// onDisk reports whether the filesystem keeps its data on a disk of this machine.
func (m mount) onDisk() bool {
	return strings.HasPrefix(m.source, "/dev/") || slices.Contains([]string{"btrfs", "zfs", "bcachefs"}, m.fstype)
}

// onNetwork reports whether the filesystem is gone when the network is.
func (m mount) onNetwork() bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs", "afs"}, m.fstype) ||
		strings.HasPrefix(m.fstype, "fuse.")
}

// readOnly reports whether nothing is written to the filesystem any more,
// through this mount or another.
func (m mount) readOnly() bool { return slices.Contains(m.super, "ro") }
