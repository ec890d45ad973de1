package superblock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/alpboot/alpboot/boot/device/table"
)

// RAID is what a member of a Linux software RAID (md) states about itself and its
// array, as far as reading it needs (include/uapi/linux/raid/md_p.h).
type RAID struct {
	Version string // of the metadata: 0.90, 1.0, 1.1 or 1.2
	UUID    string // of the array, as blkid prints it
	// Name is that of the array, mostly HOST:NAME; for version 0.90, which has
	// none, the number of its device node.
	Name  string
	Level RAIDLevel

	Devices int    // members that the whole array has
	Role    int    // which of them this is, from 0; -1 for none of them
	Events  uint64 // changes of the array's state so far: the newest member has most

	DataOffset int64 // where the data of this member begin, in bytes
	DataSize   int64 // room for data on this member, in bytes
	Used       int64 // what the array uses of it, in bytes; 0 for levels that use all
	Chunk      int64 // bytes; 0 when the level has no chunks

	// Unusable is why the data of this member cannot be read, in words that go
	// after "it": "is a spare"; "" when they can.
	Unusable string

	BadBlocks bool // some of its blocks are known to be unreadable
}

// RAIDLevel is the level of an array: 0, 1, 4, 5, 6, 10, or a negative number
// for what is no RAID proper.
type RAIDLevel int32

// LevelLinear is the level of an array of devices one after the other.
const LevelLinear RAIDLevel = -1

func (l RAIDLevel) String() string {
	switch {
	case l == LevelLinear:
		return "linear RAID"
	case l == -4:
		return "multipath RAID"
	case l == -5:
		return "faulty RAID"
	case l < 0:
		return "RAID of unknown level " + strconv.Itoa(int(l))
	}
	return "RAID" + strconv.Itoa(int(l))
}

// ReadRAID reads what the device r of size bytes states as a member of an md
// array. It returns [ErrUnknown] when the device is none, and an error that wraps
// [ErrDamaged], beside UUID and Name, when its metadata cannot be believed.
// Errors are sentences that go after the name of a device.
func ReadRAID(r io.ReaderAt, size int64) (RAID, error) {
	d := newDisk(r, size)
	array, err := findRAID(d)
	if errors.Is(err, ErrUnknown) && d.err != nil {
		return RAID{}, fmt.Errorf("reading it failed: %w", d.err)
	}
	return array, err
}

func probeRAID(d *disk) (Superblock, error) {
	array, err := findRAID(d)
	if errors.Is(err, ErrUnknown) {
		return Superblock{}, nil
	}
	sb := Superblock{Type: RAIDMember, UUID: array.UUID, Label: array.Name}
	if array.Version == "0.90" {
		sb.Label = ""
	}
	return sb, err
}

// findRAID looks for the metadata of an md array, versions 1.1, 1.2, 1.0 and
// 0.90. It returns ErrUnknown where there are none.
func findRAID(d *disk) (RAID, error) {
	for i, at := range []int64{0, 4096} {
		if s := raid1x(d, at); s != nil {
			return readRAID1(d, s, at, "1."+strconv.Itoa(i+1))
		}
	}
	// The last sectors of a burnt disc often cannot be read, and a drive takes
	// its time to find that out.
	if isISO9660(d) {
		return RAID{}, ErrUnknown
	}
	at := d.size&^0xfff - 8192
	if s := raid1x(d, at); s != nil {
		return readRAID1(d, s, at, "1.0")
	}
	at = d.size&^0xffff - 0x10000
	if s, order := raid090(d, at); s != nil && !insidePartition(d, at) {
		return readRAID0(s, at, order)
	}
	return RAID{}, ErrUnknown
}

const raidMagic = 0xa92b4efc

// raid1x returns the sector of metadata of version 1.x at offset at, with what
// may follow it; nil when there are none.
func raid1x(d *disk, at int64) []byte {
	le := binary.LittleEndian
	s := d.bytes(at, 256)
	// The superblock states where it lies: a copy seen through a whole disk, or
	// in an image, is not meant.
	if s == nil || le.Uint32(s) != raidMagic || le.Uint32(s[4:]) != 1 || le.Uint64(s[144:]) != uint64(at/512) {
		return nil
	}
	if whole := d.bytes(at, 4096); whole != nil {
		return whole
	}
	return s
}

// Feature bits of metadata of version 1.x.
const (
	recoveryOffset = 1 << 1
	reshapeActive  = 1 << 2
	badBlocks      = 1 << 3
	replacement    = 1 << 4
	allFeatures    = 1<<13 - 1
)

// Values of a member's role in version 1.x that are not places.
const (
	roleMax     = 0xff00
	roleJournal = 0xfffd
	roleFaulty  = 0xfffe
)

// maxBytes bounds sizes and offsets, so that their sums do not overflow.
const maxBytes = 1 << 60

// readRAID1 reads struct mdp_superblock_1, that is at offset at, as
// super_1_load and super_1_validate in drivers/md/md.c do.
func readRAID1(d *disk, s []byte, at int64, version string) (RAID, error) {
	le := binary.LittleEndian
	array := RAID{
		Version: version,
		UUID:    formatUUID(s[16:32]),
		Name:    text(s[32:64]),
		Level:   RAIDLevel(le.Uint32(s[72:])),
		Devices: int(le.Uint32(s[92:])),
		Role:    -1,
		Events:  le.Uint64(s[200:]),
	}
	count := le.Uint32(s[220:]) // max_dev
	if count > (4096-256)/2 || len(s) < 256+2*int(count) {
		return array, damaged("the md superblock has %d roles", count)
	}
	if sum1(s[:256+2*count]) != le.Uint32(s[216:]) {
		return array, damaged("the checksum of the md superblock is wrong")
	}
	var ok [4]bool
	array.DataOffset, ok[0] = sectors(le.Uint64(s[128:]))
	array.DataSize, ok[1] = sectors(le.Uint64(s[136:]))
	array.Used, ok[2] = sectors(le.Uint64(s[80:]))
	array.Chunk, ok[3] = sectors(uint64(le.Uint32(s[88:])))
	end := d.size
	if version == "1.0" {
		end = at
	}
	if ok != [4]bool{true, true, true, true} || array.DataSize > end-array.DataOffset {
		return array, damaged("the md superblock has data beyond the end of its device")
	}
	features := le.Uint32(s[8:])
	array.BadBlocks = features&badBlocks != 0

	number, role := le.Uint32(s[160:]), uint16(0xffff) // a spare
	if number < count {
		role = le.Uint16(s[256+2*number:])
	}
	needed := array.Used
	if needed == 0 {
		needed = array.DataSize
	}
	switch {
	case features&^allFeatures != 0:
		array.Unusable = "uses features that alpboot does not know"
	case role == roleFaulty:
		array.Unusable = "has failed"
	case role == roleJournal:
		array.Unusable = "is a journal"
	case role >= roleMax:
		array.Unusable = "is a spare"
	case features&replacement != 0:
		array.Unusable = "is there to replace another member"
	case features&recoveryOffset != 0 && le.Uint64(s[152:]) < uint64(needed/512):
		array.Unusable = "was still being filled with the array's data"
	case features&reshapeActive != 0:
		array.Unusable = "was being reshaped"
	}
	if role < roleMax {
		array.Role = int(role)
	}
	return array.checked()
}

// sectors turns a number of sectors into bytes, if they are not too many.
func sectors(n uint64) (int64, bool) {
	if n > maxBytes/512 {
		return 0, false
	}
	return int64(n) * 512, true
}

// sum1 is calc_sb_1_csum of drivers/md/md.c.
func sum1(s []byte) uint32 {
	le := binary.LittleEndian
	sum := -uint64(le.Uint32(s[216:])) // itself counts as 0
	for ; len(s) >= 4; s = s[4:] {
		sum += uint64(le.Uint32(s))
	}
	if len(s) == 2 {
		sum += uint64(le.Uint16(s))
	}
	return uint32(sum) + uint32(sum>>32)
}

// raid090 returns the metadata of version 0.90 at offset at and their byte order,
// which is that of the machine that wrote them; nil when there are none.
func raid090(d *disk, at int64) ([]byte, binary.ByteOrder) {
	s := d.bytes(at, 8)
	if s == nil {
		return nil, nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(s) == raidMagic && order.Uint32(s[4:]) == 0 {
			return d.bytes(at, 4096), order
		}
	}
	return nil, nil
}

// State bits of a member in version 0.90.
const (
	diskFaulty = 1 << 0
	diskActive = 1 << 1
	diskSync   = 1 << 2
)

// readRAID0 reads mdp_super_t, that is at offset at, as super_90_load and
// super_90_validate in drivers/md/md.c do.
func readRAID0(s []byte, at int64, order binary.ByteOrder) (RAID, error) {
	word := func(n int) uint32 { return order.Uint32(s[4*n:]) }
	var uuid []byte // is four numbers
	for _, n := range []int{5, 13, 14, 15} {
		uuid = binary.BigEndian.AppendUint32(uuid, word(n))
	}
	array := RAID{
		Version:  "0.90",
		UUID:     formatUUID(uuid),
		Name:     strconv.FormatUint(uint64(word(11)), 10),
		Level:    RAIDLevel(word(7)),
		Devices:  int(word(10)),
		Role:     -1,
		Events:   order.Uint64(s[4*39:]), // its halves are in the order of the machine, too
		DataSize: at,
		Chunk:    int64(word(65)),
	}
	var sum uint64
	for n := range 1024 {
		if n != 38 {
			sum += uint64(word(n))
		}
	}
	if uint32(sum)+uint32(sum>>32) != word(38) {
		return array, damaged("the checksum of the md superblock is wrong")
	}
	if array.Level >= 1 {
		array.Used = int64(word(8)) << 10
	}
	const disks, this, perDisk, most = 128, 992, 32, 27
	number := word(this)
	if number >= most {
		array.Unusable = "is a spare"
		return array.checked()
	}
	disk := disks + perDisk*int(number)
	switch role, state := word(disk+3), word(disk+4); {
	case state&diskFaulty != 0:
		array.Unusable = "has failed"
	case state&diskSync != 0:
		array.Role = int(min(role, roleMax))
	case state&diskActive != 0:
		array.Unusable = "was still being filled with the array's data"
	default:
		array.Unusable = "is a spare"
	}
	if array.Unusable == "" && word(2) > 90 { // minor_version
		array.Unusable = "was being reshaped"
	}
	return array.checked()
}

// checked refuses numbers that cannot be.
func (a RAID) checked() (RAID, error) {
	switch {
	case a.Devices < 1 || a.Devices > roleMax:
		return a, damaged("the md superblock states %d devices", a.Devices)
	case a.Used > a.DataSize:
		return a, damaged("the md superblock states more data than there is room for")
	case a.Role >= a.Devices && a.Unusable == "":
		return a, damaged("the md superblock states that it is member %d of %d", a.Role+1, a.Devices)
	}
	return a, nil
}

// insidePartition reports whether the byte at off is in a partition. The end of
// the last partition and that of the disk often are the same place to metadata
// of version 0.90, which do not state to which of them they belong.
func insidePartition(d *disk, off int64) bool {
	partitions, _ := table.Read(d.r, d.size)
	for _, p := range partitions {
		if p.Start <= off && off < p.Start+p.Size {
			return true
		}
	}
	return false
}
