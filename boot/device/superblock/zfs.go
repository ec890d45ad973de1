package superblock

import (
	"encoding/binary"
	"strconv"
)

// probeZFS examines the first two of the four labels of a ZFS vdev ("ZFS
// On-Disk Specification", chapter 1). As blkid does, it wants several
// uberblocks before it believes them: mkfs leaves some of them behind.
func probeZFS(d *disk) (Superblock, error) {
	const (
		labelSize   = 256 << 10
		pairs       = 16 << 10 // the nvlist, up to the uberblocks
		uberblocks  = 128 << 10
		magic       = 0x00bab10c
		wanted      = 4
		labelsTried = 2
	)
	for label := int64(0); label < labelsTried*labelSize; label += labelSize {
		if !d.has(label+pairs+4, "\x00\x00\x00\x00\x00\x00\x00\x01") { // version and flags of the nvlist
			continue
		}
		found := 0
		for at := label + uberblocks; at < label+labelSize; at += 1024 {
			s := d.bytes(at, 8)
			if s == nil {
				break
			}
			if binary.LittleEndian.Uint64(s) == magic || binary.BigEndian.Uint64(s) == magic {
				found++
			}
		}
		if found >= wanted {
			sb := Superblock{Type: ZFSMember}
			sb.Label, sb.UUID = zfsPool(d.bytes(label+pairs, uberblocks-pairs))
			return sb, nil
		}
	}
	return Superblock{}, nil
}

// zfsPool reads the pool's name and GUID from an nvlist in XDR encoding: a
// header of twelve bytes, then pairs of encoded size, decoded size, name, type,
// number of elements, value.
func zfsPool(b []byte) (name, guid string) {
	const typeUint64, typeString = 8, 9
	be := binary.BigEndian
	if len(b) < 12 || b[0] != 1 {
		return "", ""
	}
	for b = b[12:]; len(b) >= 12; {
		size, keyLen := uint64(be.Uint32(b)), uint64(be.Uint32(b[8:]))
		if size < 12 || size > uint64(len(b)) {
			break
		}
		pair := b[12:size]
		b = b[size:]
		value := (keyLen + 3) / 4 * 4
		if value+8 > uint64(len(pair)) {
			break
		}
		key, kind, data := string(pair[:keyLen]), be.Uint32(pair[value:]), pair[value+8:]
		switch {
		case key == "name" && kind == typeString && len(data) >= 4:
			n := min(uint64(be.Uint32(data)), uint64(len(data)-4))
			name = text(data[4 : 4+n])
		case key == "pool_guid" && kind == typeUint64 && len(data) >= 8:
			guid = strconv.FormatUint(be.Uint64(data), 10)
		}
	}
	return name, guid
}
