// Package superblock tells what lies on a block device from its first and last
// bytes: which filesystem, encrypted container, or member of an array or volume
// group, with its UUID and label.
//
// Types, UUIDs and labels are those that blkid prints (util-linux 2.38), since
// they are what configuration files name volumes by. It covers what an Alpine
// system is booted from, and what a user wants to be told of instead; blkid
// knows many more.
//
// Everything on a device is taken for hostile: reads are bounded, and no field
// is believed before it is checked.
package superblock

import (
	"errors"
	"io"
)

// Superblock is what identifies the contents of a device.
type Superblock struct {
	Type  string // as blkid's TYPE: ext4, vfat, crypto_LUKS, linux_raid_member, ...
	UUID  string // as blkid's UUID; "" when there is none
	Label string // as blkid's LABEL; "" when there is none
}

// ErrUnknown says that nothing known was found.
var ErrUnknown = errors.New("no known filesystem")

// Probe tells what the size bytes of r hold. It gives [ErrUnknown] when nothing
// is recognised. Another error together with a Type means "it is that, but
// broken"; one without a Type, that it could not be read or that it is not
// plain what it is. All are sentences that go after the name of a device.
func Probe(r io.ReaderAt, size int64) (Superblock, error) {
	return Superblock{}, ErrUnknown
}

// ProbeMember tells what a member of a RAID1 array holds when it is read as if
// there were no array, as can be done where the array's metadata lie at the end
// of its members (0.90 and 1.0). Anything else gives [ErrUnknown].
func ProbeMember(r io.ReaderAt, size int64) (Superblock, error) {
	return Superblock{}, ErrUnknown
}
