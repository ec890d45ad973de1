package superblock

import (
	"encoding/binary"

	"github.com/alpboot/alpboot/boot/device/table"
)

// raid is what the metadata of an md array say.
type raid struct {
	level int32
	atEnd bool // the metadata lie after the data, which begin with the device
	uuid  string
	label string
}

func probeRAID(d *disk) (Superblock, error) {
	array, ok := findRAID(d)
	if !ok {
		return Superblock{}, nil
	}
	return Superblock{Type: "linux_raid_member", UUID: array.uuid, Label: array.label}, nil
}

// findRAID looks for the metadata of an md array, versions 1.1, 1.2, 1.0 and
// 0.90 (include/uapi/linux/raid/md_p.h).
func findRAID(d *disk) (raid, bool) {
	for _, at := range []int64{0, 4096} {
		if array, ok := raid1x(d, at); ok {
			return array, true
		}
	}
	// The last sectors of a burnt disc often cannot be read, and a drive takes
	// its time to say so.
	if isISO9660(d) {
		return raid{}, false
	}
	if array, ok := raid1x(d, d.size&^0xfff-8192); ok {
		array.atEnd = true
		return array, true
	}
	at := d.size&^0xffff - 0x10000
	array, ok := raid090(d, at)
	if !ok || insidePartition(d, at) {
		return raid{}, false
	}
	return array, true
}

const raidMagic = 0xa92b4efc

func raid1x(d *disk, at int64) (raid, bool) {
	le := binary.LittleEndian
	s := d.bytes(at, 256)
	// The superblock tells where it lies: a copy seen through a whole disk, or
	// in an image, is not meant.
	if s == nil || le.Uint32(s) != raidMagic || le.Uint32(s[4:]) != 1 || le.Uint64(s[144:]) != uint64(at/512) {
		return raid{}, false
	}
	return raid{level: int32(le.Uint32(s[72:])), uuid: formatUUID(s[16:32]), label: text(s[32:64])}, true
}

func raid090(d *disk, at int64) (raid, bool) {
	s := d.bytes(at, 128)
	if s == nil {
		return raid{}, false
	}
	// Written in the byte order of the machine; the UUID is four numbers.
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(s) != raidMagic {
		order = binary.BigEndian
	}
	if order.Uint32(s) != raidMagic || order.Uint32(s[4:]) != 0 {
		return raid{}, false
	}
	var uuid []byte
	for _, field := range []int{20, 52, 56, 60} {
		uuid = binary.BigEndian.AppendUint32(uuid, order.Uint32(s[field:]))
	}
	return raid{level: int32(order.Uint32(s[28:])), atEnd: true, uuid: formatUUID(uuid)}, true
}

// insidePartition tells whether the byte at off lies in a partition. The end of
// the last partition and that of the disk often are the same place to metadata
// of version 0.90, which do not say to which of them they belong.
func insidePartition(d *disk, off int64) bool {
	partitions, _ := table.Read(d.r, d.size)
	for _, p := range partitions {
		if p.Start <= off && off < p.Start+p.Size {
			return true
		}
	}
	return false
}
