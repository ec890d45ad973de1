package superblock

import "encoding/binary"

// probeSquashfs follows struct squashfs_super_block in fs/squashfs/squashfs_fs.h.
func probeSquashfs(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	s := d.bytes(0, 96)
	if s == nil || string(s[:4]) != "hsqs" {
		return Superblock{}, nil
	}
	sb := Superblock{Type: Squashfs}
	if le.Uint16(s[28:]) < 4 {
		sb.Type = "squashfs3"
		return sb, nil
	}
	return sb, d.checkSize(le.Uint64(s[40:]), 1)
}
