package superblock

import "encoding/binary"

// probeLUKS follows the LUKS1 and LUKS2 on-disk format specifications of
// cryptsetup. The type is the same for both versions, as blkid's is.
func probeLUKS(d *disk) (Superblock, error) {
	s := d.bytes(0, 512)
	if s == nil || string(s[:6]) != "LUKS\xba\xbe" {
		return Superblock{}, nil
	}
	sb := Superblock{Type: LUKS, UUID: text(s[168:208])}
	switch version := binary.BigEndian.Uint16(s[6:]); version {
	case 1:
	case 2:
		sb.Label = text(s[24:72])
	default:
		return sb, damaged("LUKS of unknown version %d", version)
	}
	return sb, nil
}
