// Package superblock identifies what is on a block device by its first and last
// bytes: which filesystem, encrypted container, or member of an array or volume
// group, with its UUID and label.
//
// Types, UUIDs and labels are those that blkid prints (util-linux 2.38), since
// they are what configuration files name volumes by. It covers what an Alpine
// system is booted from, and what a user wants to see instead; blkid
// knows many more.
//
// Everything on a device is taken for hostile: reads are bounded, and no field
// is believed before it is checked.
package superblock

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Superblock is what identifies the contents of a device.
type Superblock struct {
	Type  string // as blkid's TYPE: [Ext4], [VFAT], [LUKS], [RAIDMember], ...
	UUID  string // as blkid's UUID; "" when there is none
	Label string // as blkid's LABEL, with control characters replaced; "" when there is none

	Devices int // of a filesystem on several devices, how many they are; 0 for one device
}

// Beginning is how many bytes at the beginning of a device hold nearly all that
// Probe reads.
const Beginning = 68 << 10

// What Probe returns besides what it recognised.
var (
	// ErrUnknown: nothing known was found.
	ErrUnknown = errors.New("no known filesystem")

	// ErrDamaged: the Type is as returned, but the superblock holds what cannot be.
	ErrDamaged = errors.New("damaged superblock")

	// ErrAmbiguous: several filesystems left their mark, and only a mount can
	// decide which one is alive. The first that is intact is returned.
	ErrAmbiguous = errors.New("marks of more than one filesystem")
)

// prober recognises one kind of superblock. It returns a zero Superblock when the
// device holds another, and an error that wraps ErrDamaged with a Type when it
// is this one and broken. The Superblock may be set beside an error.
type prober func(d *disk) (Superblock, error)

// members lists what owns a device as a whole. One of them is the answer even
// where a filesystem shows through, which it does in a mirror with its metadata
// at the end.
func members() []prober {
	return []prober{probeRAID, probeLVM, probeLUKS, probeOwners}
}

// filesystems lists the rest, in the order in which an ambiguous result names them.
func filesystems() []prober {
	return []prober{
		probeExt, probeFAT, probeXFS, probeBtrfs, probeISO9660, probeSquashfs,
		probeF2FS, probeEROFS, probeExFAT, probeNTFS, probeZFS, probeSwap,
	}
}

// Probe identifies what the size bytes of r hold. It returns [ErrUnknown] when
// nothing is recognised, as for a disk that has only a partition table. An error
// together with a Type wraps [ErrDamaged] or [ErrAmbiguous]; any other is a
// failure to read. Errors are sentences that go after the name of a device.
func Probe(r io.ReaderAt, size int64) (Superblock, error) {
	d := newDisk(r, size)
	for _, probe := range members() {
		if sb, err := probe(d); sb.Type != "" {
			return sb, err
		}
	}
	return probeFilesystem(d)
}

func probeFilesystem(d *disk) (Superblock, error) {
	var found []Superblock
	var errs []error
	for _, probe := range filesystems() {
		if sb, err := probe(d); sb.Type != "" {
			found, errs = append(found, sb), append(errs, err)
		}
	}
	if len(found) == 0 { // what is only named is read for last
		if sb, err := probeOthers(d); sb.Type != "" {
			return sb, err
		}
	}
	switch len(found) {
	case 0:
		if d.err != nil {
			return Superblock{}, fmt.Errorf("reading it failed: %w", d.err)
		}
		return Superblock{}, ErrUnknown
	case 1:
		return found[0], errs[0]
	}
	best := 0 // an intact superblock is more likely to be the living one
	types := make([]string, len(found))
	for i, sb := range found {
		types[i] = sb.Type
		if errs[best] != nil && errs[i] == nil {
			best = i
		}
	}
	return found[best], fmt.Errorf("%w: %s (wipefs removes the stale ones)", ErrAmbiguous, strings.Join(types, " and "))
}
