package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// readGPT reads the table that follows a protective MBR (UEFI specification,
// chapter 5.3): the first intact one of the header after the MBR and its backup
// at the end of the disk.
func readGPT(r io.ReaderAt, size int64, only int) ([]Partition, error) {
	var why error
	for _, backup := range []bool{false, true} {
		for _, sectorSize := range []int64{512, 4096} {
			lba := int64(1)
			if backup {
				lba = size/sectorSize - 1
			}
			entries, entrySize, err := gptEntries(r, size, lba, sectorSize)
			if err == nil {
				return gptPartitions(entries, entrySize, sectorSize, size, only)
			}
			if why == nil || errors.Is(why, errNoGPT) {
				why = err
			}
		}
	}
	return nil, fmt.Errorf("the GPT and its backup are damaged: %w", why)
}

var errNoGPT = errors.New("no header")

// gptEntries returns the partition entries that the header at lba names.
func gptEntries(r io.ReaderAt, size, lba, sectorSize int64) (entries []byte, entrySize int64, err error) {
	le := binary.LittleEndian
	h, err := readAt(r, size, lba*sectorSize, sectorSize)
	switch {
	case err != nil:
		return nil, 0, err
	case h == nil || string(h[:8]) != "EFI PART":
		return nil, 0, errNoGPT
	}
	length := int64(le.Uint32(h[12:]))
	if length < 92 || length > sectorSize {
		return nil, 0, fmt.Errorf("a header of %d bytes", length)
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	if crc32.ChecksumIEEE(h[:length]) != sum {
		return nil, 0, errors.New("the checksum of the header is wrong")
	}
	if le.Uint64(h[24:]) != uint64(lba) {
		return nil, 0, errors.New("the header belongs elsewhere")
	}
	at, count := le.Uint64(h[72:]), int64(le.Uint32(h[80:]))
	entrySize = int64(le.Uint32(h[84:]))
	const largest = 1 << 20 // 128 entries of 128 bytes are usual
	if entrySize < 128 || entrySize > 4096 || count > largest/entrySize || at > uint64(size/sectorSize) {
		return nil, 0, fmt.Errorf("%d entries of %d bytes in sector %d", count, entrySize, at)
	}
	entries, err = readAt(r, size, int64(at)*sectorSize, count*entrySize)
	switch {
	case err != nil:
		return nil, 0, err
	case entries == nil || crc32.ChecksumIEEE(entries) != le.Uint32(h[88:]):
		return nil, 0, errors.New("the checksum of the entries is wrong")
	}
	return entries, entrySize, nil
}

func gptPartitions(entries []byte, entrySize, sectorSize, size int64, only int) ([]Partition, error) {
	le := binary.LittleEndian
	var partitions []Partition
	var errs []error
	number := 0
	for e := range slices.Chunk(entries, int(entrySize)) {
		number++
		kind := [16]byte(e)
		if kind == [16]byte{} || only != 0 && number != only {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if last < first {
			errs = append(errs, fmt.Errorf("partition %d ends before it starts", number))
			continue
		}
		// last-first+1 may be zero again: then it is beyond any disk.
		uuid := ""
		if id := [16]byte(e[16:]); id != [16]byte{} {
			uuid = strings.ToLower(formatGUID(id))
		}
		p, err := partition(number, first, max(last-first+1, last-first), sectorSize, size, formatGUID(kind), uuid)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		partitions = append(partitions, p)
	}
	return partitions, errors.Join(errs...)
}

// formatGUID prints a GUID, whose first three parts are little-endian numbers.
func formatGUID(g [16]byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", le.Uint32(g[:]), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:])
}
