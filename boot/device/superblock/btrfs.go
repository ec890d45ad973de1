package superblock

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// probeBtrfs follows struct btrfs_super_block in include/uapi/linux/btrfs_tree.h.
func probeBtrfs(d *disk) (Superblock, error) {
	const at = 64 << 10
	le := binary.LittleEndian
	if !d.has(at+0x40, "_BHRfS_M") {
		return Superblock{}, nil
	}
	s := d.bytes(at, 4096)
	if s == nil {
		return Superblock{}, nil
	}
	sb := Superblock{Type: Btrfs, UUID: formatUUID(s[0x20:0x30]), Label: text(s[0x12b:0x22b])}
	if n := le.Uint64(s[0x88:]); n > 1 && n < 1<<20 {
		sb.Devices = int(n)
	}
	intact := true
	switch algorithm := le.Uint16(s[0xc4:]); algorithm {
	case 0:
		intact = crc32.Checksum(s[0x20:], crc32.MakeTable(crc32.Castagnoli)) == le.Uint32(s)
	case 2:
		sum := sha256.Sum256(s[0x20:])
		intact = bytes.Equal(sum[:], s[:0x20])
	case 1, 3: // xxhash and blake2: the kernel checks them when it mounts
	default:
		return sb, damaged("btrfs checksums of unknown kind %d", algorithm)
	}
	if !intact {
		return sb, damaged("the checksum of the btrfs superblock is wrong")
	}
	return sb, d.checkSize(le.Uint64(s[0xc9+8:]), 1) // of this device, one of perhaps several
}
