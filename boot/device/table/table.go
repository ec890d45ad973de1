// Package table reads partition tables, GPT and MBR, for image files, and for the
// UUIDs of partitions: what else there is on a disk the kernel reads itself.
//
// Of the MBR's relatives it knows none (BSD disklabels, Minix subpartitions);
// sectors of an MBR are taken for 512 bytes, those of a GPT are found out.
// A reader may be hostile: reads are bounded and chains end.
package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Partition is one partition of a disk.
type Partition struct {
	Number int    // as in the kernel's name for it, from 1; logical partitions from 5
	Start  int64  // bytes from the start of the disk
	Size   int64  // bytes
	Type   string // GPT: the type's GUID in upper case; MBR: its number in hexadecimal, without leading zeros
	UUID   string // as in root=PARTUUID=; "" where the table has none
}

// Read returns the partitions of the disk r of size bytes in the order of their
// numbers; extended partitions, which only hold others, are left out. A disk
// without a table returns none and no error. A partition that is outside the
// disk costs an error and not the others, so both results may be set.
//
// A FAT boot sector ends like an MBR. Look for a filesystem on the whole disk
// first, and here only where there is none.
func Read(r io.ReaderAt, size int64) ([]Partition, error) { return read(r, size, 0) }

// UUID returns the UUID of the partition of that number, as in PARTUUID=, and "" where
// there is none. Of a large GPT it takes much less than [Read].
func UUID(r io.ReaderAt, size int64, number int) (string, error) {
	partitions, err := read(r, size, number)
	for _, p := range partitions {
		if p.Number == number {
			return p.UUID, nil
		}
	}
	return "", err
}

// read is Read; of a GPT it returns only the partition of that number, 0 for all.
func read(r io.ReaderAt, size int64, only int) ([]Partition, error) {
	mbr, err := readAt(r, size, 0, sector)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	if mbr == nil || mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nil, nil
	}
	primary, ok := mbrEntries(mbr)
	if !ok {
		return nil, nil
	}
	for _, e := range primary {
		if e.kind == protective {
			return readGPT(r, size, only)
		}
	}
	return readMBR(r, size, primary, binary.LittleEndian.Uint32(mbr[440:]))
}

// readAt reads n bytes at off; nil where they are outside the disk.
func readAt(r io.ReaderAt, size, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > size-n {
		return nil, nil
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// partition makes a Partition of what a table has in sectors, if it is on
// the disk.
func partition(number int, start, sectors uint64, sectorSize, size int64, kind, uuid string) (Partition, error) {
	disk := uint64(size / sectorSize)
	if start > disk || sectors > disk-start {
		return Partition{}, fmt.Errorf("partition %d is beyond the end of the disk", number)
	}
	return Partition{Number: number, Start: int64(start) * sectorSize, Size: int64(sectors) * sectorSize, Type: kind, UUID: uuid}, nil
}
