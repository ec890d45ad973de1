// Package raidtest writes the metadata of md arrays for tests, where neither
// root rights nor the md driver are at hand (include/uapi/linux/raid/md_p.h).
package raidtest

import "encoding/binary"

// Change alters a superblock before its checksum is made: numbers by their
// offset.
type Change map[int]any

// Version1 returns a superblock of version 1.x that is at offset at of a device
// of 16 MiB, the first of the two members of an array alpine:boot.
func Version1(at int64, level uint32, changes ...Change) []byte {
	dataOffset, dataSize := uint64(2048), uint64(30720)
	if at > 4096 {
		dataOffset, dataSize = 0, uint64(at/512)
	}
	le := binary.LittleEndian
	b := make([]byte, 256+2*4)
	copy(b[16:], "0123456789abcdef")
	copy(b[32:], "alpine:boot")
	copy(b[168:], "fedcba9876543210")
	alter(b, le, Change{
		0: uint32(0xa92b4efc), 4: uint32(1),
		64: uint64(1700000000), 72: level, 80: uint64(28672), 88: uint32(128), 92: uint32(2),
		128: dataOffset, 136: dataSize, 144: uint64(at / 512),
		192: uint64(1700000000), 200: uint64(17), 208: ^uint64(0), 220: uint32(4),
		256: uint32(1 << 16), 260: ^uint32(0),
	})
	if level == 0 {
		clear(b[80:88]) // all that each member has
	}
	for _, c := range changes {
		alter(b, le, c)
	}
	count := min(int(le.Uint32(b[220:])), 4)
	var sum uint64
	for i := 0; i < 256+2*count; i += 2 {
		sum += uint64(le.Uint16(b[i:])) << (8 * (i % 4))
	}
	le.PutUint32(b[216:], uint32(sum)+uint32(sum>>32))
	return b
}

// Version0 returns one of version 0.90, as setup-disk of Alpine makes for /boot,
// for a member of 14 MiB.
func Version0(order binary.ByteOrder, level uint32, changes ...Change) []byte {
	b := make([]byte, 4096)
	for word, v := range map[int]uint32{
		0: 0xa92b4efc, 2: 90, 5: 0x01234567, 6: 1700000000, 7: level, 8: 14336, 9: 2, 10: 2, 11: 7,
		13: 0x89abcdef, 14: 0xfedcba98, 15: 0x76543210,
		32: 1700000000, 33: 1, 34: 2, 35: 2, 65: 65536,
		128: 0, 131: 0, 132: 6, 160: 1, 163: 1, 164: 6,
		992: 0, 995: 0, 996: 6,
	} {
		order.PutUint32(b[4*word:], v)
	}
	order.PutUint64(b[4*39:], 17)
	for _, c := range changes {
		alter(b, order, c)
	}
	var sum uint64
	for i := 0; i < len(b); i += 4 {
		sum += uint64(order.Uint32(b[i:]))
	}
	order.PutUint32(b[4*38:], uint32(sum)+uint32(sum>>32))
	return b
}

func alter(b []byte, order binary.ByteOrder, c Change) {
	for at, v := range c {
		switch v := v.(type) {
		case byte:
			b[at] = v
		case uint16:
			order.PutUint16(b[at:], v)
		case uint32:
			order.PutUint32(b[at:], v)
		case uint64:
			order.PutUint64(b[at:], v)
		}
	}
}
