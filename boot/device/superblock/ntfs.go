package superblock

import (
	"encoding/binary"
	"fmt"
)

// probeNTFS recognises the volume of a Windows, so that it can be named. Its
// label, deep in the master file table, is left alone.
func probeNTFS(d *disk) (Superblock, error) {
	s := d.bytes(0, 512)
	if s == nil || string(s[3:11]) != "NTFS    " || s[510] != 0x55 || s[511] != 0xaa {
		return Superblock{}, nil
	}
	return Superblock{Type: NTFS, UUID: fmt.Sprintf("%016X", binary.LittleEndian.Uint64(s[0x48:]))}, nil
}
