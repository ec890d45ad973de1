// Package table reads partition tables, for image files: for a disk, the
// kernel does it.
package table

import "io"

// Partition is one partition of a disk.
type Partition struct {
	Number int    // as in the name that the kernel gives it, from 1; logical partitions from 5
	Start  int64  // bytes from the start of the disk
	Size   int64  // bytes
	Type   string // GPT: the type's GUID in upper case; MBR: its number in hexadecimal, as in "83"
}

// Read gives the partitions of the disk r of size bytes, GPT or MBR, in the
// order of their numbers. A disk without a table gives none and no error.
func Read(r io.ReaderAt, size int64) ([]Partition, error) {
	return nil, nil
}
