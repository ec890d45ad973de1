// Package lvm reads the metadata of LVM2 from its physical volumes and works out
// how logical volumes are on them, so that they can be mapped without LVM's
// tools. It follows lib/format_text of LVM2.
//
// Volumes are linear, striped, raid0, or mirrors (mirror and raid1), of which
// one image is read; for others there is a sentence with what they are. Which of
// a raid1's images is up to date is taken from the metadata alone: a device that
// fell out of a running volume, unnoticed by LVM, may be read as it was then.
//
// Limits, as the bytes may be hostile: metadata of 2 MiB, 256 physical and 4096
// logical volumes, 10,000 segments, 128 stripes, volumes in volumes 8 deep.
// Reading one takes some 32 MiB of memory at the very most.
package lvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// PV is a physical volume: a device that belongs to LVM.
type PV struct {
	UUID string // as LVM prints it: 6-4-4-4-4-4-6 characters
	Size int64  // bytes, as it was when the device was made a physical volume
	VG   *VG    // of which it is a part; nil when this device does not record it
}

// The errors of Read.
var (
	// ErrNone: the device is not a physical volume.
	ErrNone = errors.New("no LVM2 physical volume")

	// ErrDamaged: it is one, and what it states cannot be.
	ErrDamaged = errors.New("damaged LVM2 metadata")
)

const (
	sector    = 512
	maxText   = 2 << 20
	mdaHeader = 512
	mdaMagic  = " LVM2 x[5A%r0N*>"
)

// Read reads the label and the metadata of the device r of size bytes. It
// returns [ErrNone] when there is no label. When all metadata are damaged, an
// error that wraps [ErrDamaged] comes beside the UUID. Errors are sentences
// that go after the name of a device.
func Read(r io.ReaderAt, size int64) (PV, error) {
	label, err := findLabel(r, size)
	if err != nil {
		return PV{}, err
	}
	le := binary.LittleEndian
	// struct pv_header in lib/format_text/layout.h, from where the label points.
	header := label[32:]
	if from := le.Uint32(label[20:]); from >= 32 && from < sector-40 {
		header = label[from:]
	}
	id, ok := uuid(string(header[:32]))
	if !ok {
		return PV{}, damaged("its UUID is not readable")
	}
	pv := PV{UUID: id}
	pv.Size = int64(min(le.Uint64(header[32:]), 1<<62))

	areas := header[40:]
	next := func() (offset, size uint64, ok bool) {
		if len(areas) < 16 {
			return 0, 0, false
		}
		offset, size = le.Uint64(areas), le.Uint64(areas[8:])
		areas = areas[16:]
		return offset, size, offset != 0
	}
	for { // where the data are; the metadata have that, too
		if _, _, ok := next(); !ok {
			break
		}
	}
	var failed error
	for {
		offset, length, ok := next()
		if !ok {
			break
		}
		vg, err := readArea(r, size, offset, length)
		if err != nil {
			failed = err
		} else if vg != nil && (pv.VG == nil || vg.Seqno > pv.VG.Seqno) {
			pv.VG = vg
		}
	}
	if pv.VG == nil && failed != nil {
		return pv, failed
	}
	return pv, nil
}

// findLabel returns the sector of the label (lib/label/label.h).
func findLabel(r io.ReaderAt, size int64) ([]byte, error) {
	b, err := readAt(r, size, 0, min(4*sector, max(size, 0)/sector*sector))
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	for i := 0; i+sector <= len(b); i += sector {
		s := b[i:][:sector]
		if string(s[:8]) != "LABELONE" || string(s[24:32]) != "LVM2 001" || le.Uint64(s[8:]) != uint64(i/sector) {
			continue
		}
		if checksum(s[20:]) != le.Uint32(s[16:]) {
			return nil, damaged("the checksum of the label is wrong")
		}
		return s, nil
	}
	return nil, ErrNone
}

// readArea reads the metadata of one metadata area; nil when there are none,
// or when LVM shall not use them.
func readArea(r io.ReaderAt, size int64, offset, length uint64) (*VG, error) {
	if length < 2*mdaHeader || offset > uint64(size) || length > uint64(size)-offset {
		return nil, damaged("a metadata area is outside its device")
	}
	le := binary.LittleEndian
	h, err := readAt(r, size, int64(offset), mdaHeader)
	if err != nil {
		return nil, err
	}
	switch { // struct mda_header in lib/format_text/layout.h
	case string(h[4:20]) != mdaMagic || le.Uint32(h[20:]) != 1 || le.Uint64(h[24:]) != offset:
		return nil, damaged("a metadata area has no header")
	case checksum(h[4:]) != le.Uint32(h):
		return nil, damaged("the checksum of a metadata area is wrong")
	}
	length = min(length, le.Uint64(h[32:]))
	const ignored = 1
	from, n, sum, flags := le.Uint64(h[40:]), le.Uint64(h[48:]), le.Uint32(h[56:]), le.Uint32(h[60:])
	if from == 0 || flags&ignored != 0 {
		return nil, nil
	}
	switch {
	case n > maxText:
		return nil, damaged("the metadata are %d bytes long, more than %d", n, maxText)
	case from < mdaHeader || from >= length || n == 0 || n > length-mdaHeader:
		return nil, damaged("the metadata are outside their area")
	}
	// The area is a ring behind its header.
	first := min(n, length-from)
	text, err := readAt(r, size, int64(offset+from), int64(first))
	if err == nil && first < n {
		var rest []byte
		rest, err = readAt(r, size, int64(offset+mdaHeader), int64(n-first))
		text = append(text, rest...)
	}
	if err != nil {
		return nil, err
	}
	if checksum(text) != sum {
		return nil, damaged("the checksum of the metadata is wrong")
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	vg, err := readVG(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return vg, nil
}

// checksum is calc_crc of lib/misc/crc.c, begun with INITIAL_CRC.
func checksum(b []byte) uint32 {
	const initial = 0xf597a6cf
	return ^crc32.Update(^uint32(initial), crc32.IEEETable, b)
}

func readAt(r io.ReaderAt, size, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > size-n {
		return nil, damaged("the metadata are outside their device")
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading it failed: %w", err)
	}
	return b, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
