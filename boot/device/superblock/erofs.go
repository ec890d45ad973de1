package superblock

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// probeEROFS follows struct erofs_super_block in fs/erofs/erofs_fs.h.
func probeEROFS(d *disk) (Superblock, error) {
	const at, featureChecksum = 1024, 0x1
	le := binary.LittleEndian
	s := d.bytes(at, 128)
	if s == nil || le.Uint32(s) != 0xe0f5e1e2 {
		return Superblock{}, nil
	}
	sb := Superblock{Type: EROFS, UUID: formatUUID(s[48:64]), Label: text(s[64:80])}
	shift := s[12]
	if shift < 9 || shift > 16 {
		return sb, damaged("erofs blocks of 2^%d bytes", shift)
	}
	if le.Uint32(s[8:])&featureChecksum != 0 {
		// The rest of the superblock's own block, or one block of 4 KiB or less.
		length := int64(1)<<shift - at
		if length <= 0 {
			length = 1 << shift
		}
		whole := slices.Clone(d.bytes(at, length))
		if whole == nil {
			return sb, damaged("the erofs superblock cannot be read")
		}
		clear(whole[4:8])
		if ^crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) != le.Uint32(s[4:]) {
			return sb, damaged("the checksum of the erofs superblock is wrong")
		}
	}
	return sb, d.checkSize(uint64(le.Uint32(s[36:])), 1<<shift)
}
