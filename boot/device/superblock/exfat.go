package superblock

import "encoding/binary"

// probeExFAT follows Microsoft's "exFAT file system specification".
func probeExFAT(d *disk) (Superblock, error) {
	le := binary.LittleEndian
	s := d.bytes(0, 512)
	if s == nil || string(s[3:11]) != "EXFAT   " || s[510] != 0x55 || s[511] != 0xaa {
		return Superblock{}, nil
	}
	sb := Superblock{Type: ExFAT, UUID: formatSerial(s[0x64:0x68])}
	sectorShift, clusterShift := s[0x6c], s[0x6d]
	if sectorShift < 9 || sectorShift > 12 || clusterShift > 25-sectorShift {
		return sb, damaged("exfat sectors of 2^%d bytes, clusters of 2^%d sectors", sectorShift, clusterShift)
	}
	sectorSize, clusterSize := int64(1)<<sectorShift, int64(1)<<(sectorShift+clusterShift)
	boot := d.bytes(0, 12*sectorSize)
	if boot == nil || exFATChecksum(boot[:11*sectorSize]) != le.Uint32(boot[11*sectorSize:]) {
		return sb, damaged("the checksum of the exfat boot sectors is wrong")
	}
	fatStart, heapStart := int64(le.Uint32(s[0x50:]))<<sectorShift, int64(le.Uint32(s[0x58:]))<<sectorShift
	cluster := le.Uint32(s[0x60:])
	const entrySize = 32
walk:
	for range 64 { // the label is in the first cluster; the chain may be a loop
		if cluster < 2 {
			break
		}
		at := heapStart + int64(cluster-2)*clusterSize
		for off := int64(0); off < min(clusterSize, 64<<10); off += entrySize {
			e := d.bytes(at+off, entrySize)
			if e == nil || e[0] == 0 { // end of the directory
				break walk
			}
			if e[0] == 0x83 {
				sb.Label = text16(e[2:2+2*min(int(e[1]), 11)], le.Uint16)
				break walk
			}
		}
		next := d.bytes(fatStart+int64(cluster)*4, 4)
		if next == nil {
			break
		}
		cluster = le.Uint32(next)
	}
	return sb, nil
}

// exFATChecksum sums the first eleven sectors, without the fields that change
// while the volume is mounted.
func exFATChecksum(b []byte) uint32 {
	var sum uint32
	for i, c := range b {
		if i == 106 || i == 107 || i == 112 {
			continue
		}
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	return sum
}
