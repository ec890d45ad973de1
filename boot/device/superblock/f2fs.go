package superblock

import "encoding/binary"

// probeF2FS follows struct f2fs_super_block in include/linux/f2fs_fs.h.
func probeF2FS(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	s := d.bytes(1024, 124+1024)
	if s == nil || le.Uint32(s) != 0xf2f52010 {
		return Superblock{}, nil
	}
	sb := Superblock{Type: F2FS, UUID: formatUUID(s[108:124]), Label: text16(s[124:], le.Uint16)}
	shift := le.Uint32(s[16:])
	if shift < 12 || shift > 16 {
		return sb, damaged("f2fs blocks of 2^%d bytes", shift)
	}
	return sb, d.checkSize(le.Uint64(s[36:]), 1<<shift)
}
