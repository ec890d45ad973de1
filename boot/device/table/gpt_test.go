package table_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// gptEntry is a sector with one entry.
func gptEntry(first, last uint64) []byte {
	e := make([]byte, 512)
	copy(e, bytes.Repeat([]byte{1}, 16))
	binary.LittleEndian.PutUint64(e[32:], first)
	binary.LittleEndian.PutUint64(e[40:], last)
	return e
}

// gptHeader is the header in sector lba of a table whose entries are in sector
// at, of entrySize bytes each.
func gptHeader(lba, at uint64, entries []byte, entrySize int) []byte {
	le := binary.LittleEndian
	h := make([]byte, 512)
	copy(h, "EFI PART\x00\x00\x01\x00")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], lba)
	le.PutUint64(h[72:], at)
	le.PutUint32(h[80:], uint32(len(entries)/entrySize))
	le.PutUint32(h[84:], uint32(entrySize))
	le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return h
}
