// Package boot holds the words that the rest of alpboot speaks: volumes, the
// entries found on them, and the formats in which entries are written down.
//
// It imports nothing else of alpboot. docs/architecture.md shows who fills
// these values in and who reads them.
package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Volume is one filesystem: on a partition, a whole disk, an md array, an LVM
// volume, an unlocked LUKS container or an image file. A plain directory that is
// taken as the root of a filesystem is a Volume too, with only Device set.
type Volume struct {
	Device string `json:"device"` // path of the block device, image file or directory
	Disk   string `json:"-"`      // path of the whole disk that Device is on; "" when it is one itself or is unknown
	UUID   string `json:"uuid"`   // as blkid prints it
	Label  string `json:"label"`  // label of the filesystem, not of the partition
	Type   string `json:"type"`   // as blkid prints it: ext4, vfat, crypto_LUKS, ...

	Crypt string `json:"-"` // UUID of the LUKS volume that it is in; "" when it is not encrypted

	// Removable is set when it is on a disk that is not built into the machine, or
	// assembled from such a one among others. What is plugged in does not decide
	// what is booted.
	Removable bool `json:"-"`

	// For a volume on a partition: its number and what is in the partition table.
	Partition int    `json:"-"`
	PartUUID  string `json:"-"` // as in root=PARTUUID=
	PartLabel string `json:"-"` // name of a GPT partition
}

// VolumeRef names a volume in the way of a configuration file. All fields that
// are set must match, UUIDs without regard to case.
type VolumeRef struct {
	UUID, Label         string // of the filesystem
	PartUUID, PartLabel string // of the partition
	Disk                string // Device of the whole disk that the volume is on, or is
	Partition           int    // its number, from 1
	File                string // a path that must exist on the volume, without a leading slash
}

// MountedVolume is a volume and its root.
type MountedVolume struct {
	Volume Volume
	FS     fs.FS
}

// Volumes are the mounted volumes of a machine, for a configuration that names
// kernels or further files on other volumes than its own.
type Volumes []MountedVolume

// Find returns the volumes that ref names: those on the disk of near, the volume
// of the configuration, then others that are built in, then those that are not,
// each in the order of vs. A copy of a disk has the same UUIDs. None may mean that
// the volume has not turned up yet: see [Listing.Unresolved].
func (vs Volumes) Find(ref VolumeRef, near Volume) []MountedVolume {
	var same, builtIn, other []MountedVolume
	for _, v := range vs {
		switch {
		case !ref.names(v):
		case v.Volume.OnDisk() == near.OnDisk():
			same = append(same, v)
		case !v.Volume.Removable:
			builtIn = append(builtIn, v)
		default:
			other = append(other, v)
		}
	}
	return slices.Concat(same, builtIn, other)
}

func (ref VolumeRef) names(v MountedVolume) bool {
	return (ref.UUID == "" || strings.EqualFold(ref.UUID, v.Volume.UUID)) &&
		(ref.Label == "" || ref.Label == v.Volume.Label) &&
		(ref.PartUUID == "" || strings.EqualFold(ref.PartUUID, v.Volume.PartUUID)) &&
		(ref.PartLabel == "" || ref.PartLabel == v.Volume.PartLabel) &&
		(ref.Disk == "" || ref.Disk == v.Volume.OnDisk()) &&
		(ref.Partition == 0 || ref.Partition == v.Volume.Partition) &&
		(ref.File == "" || exists(v.FS, ref.File)) &&
		ref != VolumeRef{}
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// IsDirectory reports whether v is a plain directory, of which nothing else is
// known: what a configuration names by UUID or label may be it.
func (v Volume) IsDirectory() bool { return v.UUID == "" && v.Type == "" }

// OnDisk returns the device of the whole disk that v is on, or is.
func (v Volume) OnDisk() string {
	if v.Disk != "" {
		return v.Disk
	}
	return v.Device
}

// Source is the place in a configuration file that an entry or note comes from.
type Source struct {
	File string // slash path from the volume's root, without a leading slash
	Line int    // from 1; 0 when the whole file is meant
}

// String returns file:line, or the file alone; "" when there is no file.
func (s Source) String() string {
	switch {
	case s.File == "":
		return ""
	case s.Line == 0:
		return "/" + s.File
	}
	return fmt.Sprintf("/%s:%d", s.File, s.Line)
}

// LastBooted names the entry that was booted last, where a default is named.
const LastBooted = "@last"

// Entry is one thing that can be booted. A format fills in what its
// configuration has; package discover adds Volume, ID, Version, Apart and, where a
// file is missing or unusable, Problem.
//
// Paths are slash paths from the volume's root as [fs.FS] takes them, with no
// leading slash.
type Entry struct {
	ID      string // stable over reboots, without white space
	Title   string // what the user sees in the list
	Apart   string // what tells it apart from others of its title: see [Entry.Name]
	Version string // kernel release, read from the kernel image; "" when unknown
	Format  string // name of the format that listed it
	Source  Source // on the volume that was parsed
	Volume  Volume // where kernel and initrds are; a format sets it when that is another volume
	Conf    string // the file on Volume that describes it by the Boot Loader Specification; "" for others
	Kernel  string
	Initrds []string // in the order in which the kernel shall unpack them
	Cmdline string
	UKI     bool // kernel and initrds are sections of the file Kernel, a unified kernel image
	Profile int  // of the unified kernel image: the number of the profile that is booted
	Default bool // its own configuration names it as the default

	// Removable is set when its configuration, its files or its root filesystem are
	// on a volume that is not built in. Nothing of the kind is booted unattended
	// unless there is nothing else.
	Removable bool

	// Once is set when its configuration asks for it at the next boot only, as
	// GRUB's next_entry does. The same text is the same request: one that has been
	// met must not be met again, though the configuration still has it.
	Once string

	// Submenu is where its configuration lists it: the titles of the submenus
	// that it is in, outermost first; empty for the top of the list.
	Submenu []string

	// Snapshot is set when it boots a read-only or older copy of a system on the
	// same filesystem: it is listed apart, and only when asked for.
	Snapshot bool

	// Previous is set for a kernel that was kept when an upgrade replaced it: the
	// release before that of the other entries of its flavour. It comes directly
	// after them, and is booted unattended only in their place.
	Previous bool

	// Timeout is how long the entry's own configuration waits before it is
	// booted unattended; nil when it has no such setting, negative to wait forever.
	Timeout *time.Duration

	Lock *Lock // passwords that its own configuration asks for; nil for none

	Guessed bool     // no configuration file set the command line: it was synthesised
	Suspect string   // why it may start another system than its own, or none, as a sentence: it is not booted unattended
	Problem string   // why it cannot be booted, as a sentence; "" when it can
	Notes   []string // what else there is to know about it, a sentence each
}

// OwnTitle is the title of the entry that alpboot install adds to the
// configuration of another boot loader.
const OwnTitle = "alpboot"

// IsOwn reports whether e starts alpboot itself, by the name of its kernel
// (CONFIG_LOCALVERSION) or by its title. A format marks such an entry as the
// default where that is so, and besides it the one that is the default otherwise.
func (e Entry) IsOwn() bool {
	return strings.HasSuffix(e.Version, "-alpboot") || e.Title == OwnTitle
}

// Name returns what an entry is called where nothing else is shown of it: its
// title and, where others have the same, the version of its kernel or the volume
// that it is on.
func (e Entry) Name() string {
	if e.Apart == "" {
		return e.Title
	}
	return e.Title + " (" + e.Apart + ")"
}

// Note is a sentence about a file or a volume that concerns no single entry,
// such as a line that could not be understood.
type Note struct {
	Source Source
	Text   string
}

func (n Note) String() string {
	if n.Source.File == "" {
		return n.Text
	}
	return n.Source.String() + ": " + n.Text
}

// Listing is what one format found on one volume.
type Listing struct {
	Entries []Entry // in the order of the configuration
	Notes   []Note

	// Unresolved is set when a volume which the configuration names was not
	// there: it is parsed again when another one has turned up.
	Unresolved bool
}

// Format is one way in which entries are written down.
type Format struct {
	Name string

	// Parse reads the configuration on a volume whose root is fsys. A volume
	// that holds nothing of this format returns an empty Listing and no error.
	// An unreadable line costs that line's entry and leaves a Note; an error
	// means that the format is there and nothing of it could be used. Others
	// are all volumes that are mounted so far, the one being parsed among them.
	Parse func(fsys fs.FS, vol Volume, others Volumes) (Listing, error)
}

// Inventory is all that discovery knows at one moment.
type Inventory struct {
	Entries []Entry        // in the order in which they are listed
	Volumes []VolumeStatus // in the order of their device names

	// Settled is true when every device has answered or has been given up, and
	// no new one has come for a while: from then on a default may be booted.
	Settled bool

	// SettledBy is why no disk is waited for any more, as part of a sentence.
	SettledBy string

	// Answered is true when every device that is there has answered or has been
	// given up: another one may still come.
	Answered bool
}

// System is what is installed on a volume, as its files have it.
type System struct {
	Name string // PRETTY_NAME of os-release; "" when it is not known
	Host string // the host name; "" when it is not known
}

// VolumeStatus is what discovery knows about one volume besides its entries.
type VolumeStatus struct {
	Volume  Volume
	Busy    bool          // still being read
	Locked  bool          // encrypted: a passphrase unlocks it
	Overdue bool          // it has not answered in time, and still may
	Took    time.Duration // how long reading it took from its turn on; 0 until then
	Problem string        // why nothing of it could be used, as a sentence that names the device
	Notes   []Note

	// Tokens are what a TPM may unlock it by: see package luks.
	Tokens []map[string]any

	System System // that its entries boot, where that is known to be one
	Size   int64  // in bytes; 0 when it is not known
	Model  string // of its disk; "" when it is not known
}

// ErrTooLarge is returned for a file that is larger than anything that the
// format writes, such as a configuration file of many megabytes.
var ErrTooLarge = errors.New("file is too large")

// ReadFile reads the file name from fsys, at most limit bytes of it; a larger
// one returns [ErrTooLarge], and anything but a regular file an error, without
// reading from it.
func ReadFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if st.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, st.Size(), limit)}
	}
	// The size may lie (procfs) or change: the reader is limited all the same.
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)}
	}
	return b, nil
}
