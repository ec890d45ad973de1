package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const sector = 512

const protective = 0xee // type of the one entry before a GPT

// mbrEntry is one of the four entries of an MBR, in sectors.
type mbrEntry struct {
	kind           byte
	start, sectors uint32
}

func (e mbrEntry) extended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

// mbrEntries reads the entries of a master or extended boot record. It refuses
// a sector whose boot flags are not flags: that is the code of a boot sector.
func mbrEntries(b []byte) (entries [4]mbrEntry, ok bool) {
	le := binary.LittleEndian
	for i := range entries {
		e := b[446+16*i:][:16]
		if e[0]&0x7f != 0 {
			return entries, false
		}
		entries[i] = mbrEntry{kind: e[4], start: le.Uint32(e[8:]), sectors: le.Uint32(e[12:])}
	}
	return entries, true
}

func readMBR(r io.ReaderAt, size int64, primary [4]mbrEntry, signature uint32) ([]Partition, error) {
	var partitions []Partition
	var errs []error
	add := func(number int, start uint64, e mbrEntry) {
		uuid := ""
		if signature != 0 {
			uuid = fmt.Sprintf("%08x-%02x", signature, number)
		}
		p, err := partition(number, start, uint64(e.sectors), sector, size, strconv.FormatUint(uint64(e.kind), 16), uuid)
		if err != nil {
			errs = append(errs, err)
			return
		}
		partitions = append(partitions, p)
	}
	number := 4
	for i, e := range primary {
		if e.sectors != 0 && e.kind != 0 && !e.extended() {
			add(i+1, uint64(e.start), e)
		}
	}
	for _, e := range primary {
		if e.sectors == 0 || !e.extended() {
			continue
		}
		if err := eachLogical(r, size, e, func(start uint64, e mbrEntry) {
			number++
			add(number, start, e)
		}); err != nil {
			errs = append(errs, err)
		}
	}
	return partitions, errors.Join(errs...)
}

// eachLogical walks the chain of extended boot records in the partition ext.
// Each describes one logical partition, relative to itself, and the next
// record, relative to ext.
func eachLogical(r io.ReaderAt, size int64, ext mbrEntry, f func(start uint64, e mbrEntry)) error {
	const most = 256 // block device minors of a disk
	seen := make(map[uint64]bool)
	for at, more := uint64(ext.start), true; more; {
		if seen[at] {
			return errors.New("the chain of logical partitions is a loop")
		}
		if len(seen) == most {
			return fmt.Errorf("more than %d logical partitions", most)
		}
		seen[at] = true
		b, err := readAt(r, size, int64(at)*sector, sector)
		if err != nil {
			return fmt.Errorf("reading the logical partitions: %w", err)
		}
		if b == nil || b[510] != 0x55 || b[511] != 0xaa {
			return fmt.Errorf("the chain of logical partitions breaks off at sector %d", at)
		}
		entries, ok := mbrEntries(b)
		if !ok {
			return fmt.Errorf("the chain of logical partitions breaks off at sector %d", at)
		}
		more = false
		here, data := at, false
		for _, e := range entries[:2] { // the others hold nothing, or garbage
			switch {
			case e.sectors == 0:
			case e.extended() && !more:
				at, more = uint64(ext.start)+uint64(e.start), true
			case !e.extended() && e.kind != 0 && !data:
				f(here+uint64(e.start), e)
				data = true
			}
		}
	}
	return nil
}
