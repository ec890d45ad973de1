package superblock

import (
	"encoding/binary"
	"hash/crc32"
)

// probeLVM looks for the label of an LVM2 physical volume in the first four
// sectors (struct label_header in LVM2's lib/label/label.h).
func probeLVM(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	for sector := range int64(4) {
		s := d.bytes(sector*512, 512)
		if s == nil {
			break
		}
		if string(s[:8]) != "LABELONE" || string(s[24:32]) != "LVM2 001" || le.Uint64(s[8:]) != uint64(sector) {
			continue
		}
		sb := Superblock{Type: LVMMember}
		if ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, s[20:]) != le.Uint32(s[16:]) {
			return sb, damaged("the checksum of the LVM2 label is wrong")
		}
		id := text(s[32:64])
		if len(id) == 32 {
			sb.UUID = id[:6] + "-" + id[6:10] + "-" + id[10:14] + "-" + id[14:18] + "-" + id[18:22] + "-" + id[22:26] + "-" + id[26:]
		}
		return sb, nil
	}
	return Superblock{}, nil
}
