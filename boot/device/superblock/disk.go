package superblock

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
)

// disk is a reader that keeps what it read, since the probers read the same
// few places, and that remembers the first failure. It reads little more than it
// is asked for: what is near is in the kernel's memory by then, and copying is
// what takes time where a processor is emulated.
type disk struct {
	r    io.ReaderAt
	size int64
	head []byte           // the beginning; nil when it cannot be read at once
	kept map[int64][]byte // sectors elsewhere

	err      error // first failure to read
	total    int64 // bytes asked for
	reads    int
	failures int
}

const (
	headSize  = 8 << 10 // holds most superblocks
	sector    = 512
	longest   = 1 << 20 // of what is asked for at once
	maxTotal  = 16 << 20
	maxReads  = 512
	maxFailed = 8 // a failing disk takes seconds for each
)

func newDisk(r io.ReaderAt, size int64) *disk {
	return &disk{r: r, size: size, kept: make(map[int64][]byte)}
}

// bytes returns the n bytes at offset off. It returns nil when they are outside
// the device, cannot be read, or when enough was read already.
func (d *disk) bytes(off, n int64) []byte {
	if off < 0 || n <= 0 || n > longest || off > d.size-n {
		return nil
	}
	if off+n <= headSize {
		if d.reads == 0 {
			d.head = d.read(0, min(headSize, d.size))
		}
		if d.head != nil {
			return d.head[off:][:n:n]
		}
	}
	if first := off / sector * sector; off+n <= first+sector {
		b, ok := d.kept[first]
		if !ok {
			b = d.read(first, min(sector, d.size-first))
			d.kept[first] = b
		}
		if b != nil {
			return b[off-first:][:n:n]
		}
	}
	// A bad sector nearby shall not hide these.
	return d.read(off, n)
}

func (d *disk) read(off, n int64) []byte {
	if d.reads == maxReads || d.failures == maxFailed || n > maxTotal-d.total {
		return nil
	}
	d.reads++
	d.total += n
	b := make([]byte, n)
	if got, err := d.r.ReadAt(b, off); int64(got) < n {
		d.failures++
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if d.err == nil {
			d.err = err
		}
		return nil
	}
	return b
}

// has reports whether the bytes of magic are at off.
func (d *disk) has(off int64, magic string) bool {
	return string(d.bytes(off, int64(len(magic)))) == magic
}

// damaged is the error for a superblock of a certain type that cannot be used.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// checkSize returns an error when a filesystem is larger than its device, as after an
// image was cut off while being copied. It is for filesystems whose drivers do
// not mount such a thing; of FAT there are many that work.
func (d *disk) checkSize(blocks, blockSize uint64) error {
	if blockSize == 0 || blocks > uint64(d.size)/blockSize {
		return damaged("the filesystem has %d blocks of %d bytes, which is more than the %d bytes of its device", blocks, blockSize, d.size)
	}
	return nil
}

// formatUUID prints 16 bytes in the order in which they are on disk; "" when
// all are zero.
func formatUUID(b []byte) string {
	if isZero(b) {
		return ""
	}
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// formatSerial prints the serial number of a FAT volume.
func formatSerial(b []byte) string {
	if isZero(b) {
		return ""
	}
	return fmt.Sprintf("%02X%02X-%02X%02X", b[3], b[2], b[1], b[0])
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// text reads a label: up to the first NUL, without white space at its end. What
// could upset a terminal becomes a question mark.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	s := strings.ToValidUTF8(string(b), "?")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return strings.TrimRight(s, " ")
}

// text16 reads a label in UTF-16, whose units get reads.
func text16(b []byte, get func([]byte) uint16) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := get(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return text([]byte(string(utf16.Decode(units))))
}
