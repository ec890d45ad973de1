package superblock

import (
	"encoding/binary"
	"hash/crc32"
)

// Offsets and feature bits: Documentation/filesystems/ext4/super.rst.
const (
	extCompatJournal      = 0x4
	extIncompatJournalDev = 0x8
	extIncompat64bit      = 0x80
	extROCompatChecksum   = 0x400

	// What the drivers named ext2 and ext3 know; blkid calls anything beyond
	// ext4. RECOVER (4) is only known where there is a journal.
	ext2Incompat = 0x2 | 0x10
	ext3Incompat = ext2Incompat | 0x4
	ext2ROCompat = 0x1 | 0x2 | 0x4
)

func probeExt(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	s := d.bytes(1024, 1024)
	if s == nil || le.Uint16(s[0x38:]) != 0xef53 {
		return Superblock{}, nil
	}
	compat, incompat, roCompat := le.Uint32(s[0x5c:]), le.Uint32(s[0x60:]), le.Uint32(s[0x64:])
	sb := Superblock{Type: Ext4, UUID: formatUUID(s[0x68:0x78]), Label: text(s[0x78:0x88])}
	switch {
	case incompat&extIncompatJournalDev != 0:
		sb.Type = "jbd" // an external journal
		return sb, nil
	case roCompat&^ext2ROCompat != 0:
	case compat&extCompatJournal == 0 && incompat&^ext2Incompat == 0:
		sb.Type = Ext2
	case compat&extCompatJournal != 0 && incompat&^ext3Incompat == 0:
		sb.Type = Ext3
	}
	if roCompat&extROCompatChecksum != 0 {
		const at = 0x3fc
		sum := ^crc32.Checksum(s[:at], crc32.MakeTable(crc32.Castagnoli))
		if sum != le.Uint32(s[at:]) {
			return sb, damaged("the checksum of the %s superblock is wrong", sb.Type)
		}
	}
	shift := le.Uint32(s[0x18:])
	if shift > 6 {
		return sb, damaged("%s blocks of 2^%d bytes", sb.Type, uint64(shift)+10)
	}
	blocks := uint64(le.Uint32(s[0x4:]))
	if incompat&extIncompat64bit != 0 {
		blocks |= uint64(le.Uint32(s[0x150:])) << 32
	}
	return sb, d.checkSize(blocks, 1024<<shift)
}
