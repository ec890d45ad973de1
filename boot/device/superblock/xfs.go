package superblock

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
)

// probeXFS follows struct xfs_dsb in fs/xfs/libxfs/xfs_format.h.
func probeXFS(d *disk) (Superblock, error) {
	be := binary.BigEndian
	s := d.bytes(0, 512)
	if s == nil || string(s[:4]) != "XFSB" {
		return Superblock{}, nil
	}
	sb := Superblock{Type: XFS, UUID: formatUUID(s[32:48]), Label: text(s[108:120])}
	blockSize, sectorSize := be.Uint32(s[4:]), be.Uint16(s[102:])
	if blockSize < 512 || blockSize > 64<<10 || bits.OnesCount32(blockSize) != 1 {
		return sb, damaged("xfs blocks of %d bytes", blockSize)
	}
	if sectorSize < 512 || sectorSize > 32<<10 || bits.OnesCount16(sectorSize) != 1 {
		return sb, damaged("xfs sectors of %d bytes", sectorSize)
	}
	if version := be.Uint16(s[100:]) & 0xf; version == 5 {
		const at = 224
		whole := slices.Clone(d.bytes(0, int64(sectorSize)))
		if whole == nil {
			return sb, damaged("the xfs superblock cannot be read")
		}
		want := binary.LittleEndian.Uint32(whole[at:])
		clear(whole[at : at+4])
		if crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) != want {
			return sb, damaged("the checksum of the xfs superblock is wrong")
		}
	}
	return sb, d.checkSize(be.Uint64(s[8:]), uint64(blockSize))
}
