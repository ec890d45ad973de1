package zfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// zapEntry is an entry of a ZAP object, which has values by name (zap_impl.h).
type zapEntry struct {
	name  string
	width int    // bytes of each integer of the value
	value []byte // integers, the highest byte first
}

// uint returns the first integer of a value.
func (e zapEntry) uint() (v uint64) {
	for _, c := range e.value[:min(e.width, len(e.value))] {
		v = v<<8 | uint64(c)
	}
	return v
}

// text returns a value that is text.
func (e zapEntry) text() string {
	s, _, _ := bytes.Cut(e.value, []byte{0})
	return string(s)
}

const (
	maxEntries   = 1 << 17  // of a ZAP object
	maxZapBlocks = 1 << 15  // of a ZAP object
	maxZapBytes  = 64 << 20 // of a ZAP object
)

var (
	errZAP  = errors.New("a ZAP object is damaged")
	errFull = fmt.Errorf("a ZAP object is too large: more than %d entries or %d bytes", maxEntries, maxZapBytes)
)

// zap calls f for each entry of the ZAP object n, until it returns false.
func (s *objset) zap(n uint64, f func(zapEntry) bool) error {
	const (
		micro = 1<<63 + 3
		fat   = 1<<63 + 1
		leaf  = 1 << 63
	)
	d, err := s.object(n)
	if err != nil {
		return err
	}
	b, order, err := s.pool.read(d, 0)
	if err == nil {
		err = s.pool.charge(len(b))
	}
	if err != nil {
		return err
	}
	switch order.Uint64(b) { // a block has 512 bytes at least
	case micro:
		microZAP(b, order, f)
		return nil
	case fat:
	default:
		return errZAP
	}
	leaves, err := fatZAP(b, order)
	if err != nil {
		return err
	}
	left, total := maxEntries, 0
	for id := uint64(1); leaves > 0 && id <= d.last; id++ {
		if id > maxZapBlocks {
			return errFull
		}
		b, order, err := s.pool.read(d, id)
		if err == nil {
			err = s.pool.charge(len(b))
		}
		if err != nil {
			return err
		}
		if total += len(b); total > maxZapBytes {
			return errFull
		}
		if order.Uint64(b) != leaf { // a table of pointers to the leaves, which is not needed here
			continue
		}
		leaves--
		more, err := zapLeaf(b, order, &left, f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// lookup returns an entry of the ZAP object n by its name.
func (s *objset) lookup(n uint64, name string) (e zapEntry, ok bool, err error) {
	err = s.zap(n, func(it zapEntry) bool {
		if it.name == name {
			e, ok = it, true
		}
		return !ok
	})
	return e, ok, err
}

// microZAP reads a ZAP object of one block: entries of a value of eight bytes, six
// bytes that do not matter here, and a name of up to 50 bytes.
func microZAP(b []byte, order binary.ByteOrder, f func(zapEntry) bool) {
	const size, nameAt = 64, 14
	for b = b[size:]; len(b) >= size; b = b[size:] {
		name, _, _ := bytes.Cut(b[nameAt:size], []byte{0})
		if len(name) == 0 {
			continue
		}
		value := binary.BigEndian.AppendUint64(nil, order.Uint64(b))
		if !f(zapEntry{string(name), 8, value}) {
			return
		}
	}
}

// fatZAP returns how many leaves a ZAP object of several blocks has.
func fatZAP(b []byte, order binary.ByteOrder) (uint64, error) {
	const magic, magicAt, leavesAt = 0x2f52ab2ab, 8, 64
	if order.Uint64(b[magicAt:]) != magic {
		return 0, errZAP
	}
	return order.Uint64(b[leavesAt:]), nil
}

// zapLeaf reads a leaf: a header, a table of hashes, and chunks of 24 bytes, which are
// entries and the bytes of names and values (zap_leaf.h). left is how many entries
// there may still be.
func zapLeaf(b []byte, order binary.ByteOrder, left *int, f func(zapEntry) bool) (more bool, err error) {
	const (
		header     = 48
		magic      = 0x2ab1eaf
		magicAt    = 24
		chunkSize  = 24
		entryChunk = 252
		arrayChunk = 251
		arrayBytes = 21
	)
	chunks := header + len(b)/32*2 // where they are
	if len(b) < 1024 || order.Uint32(b[magicAt:]) != magic {
		return false, errZAP
	}
	chunk := func(i int) []byte {
		at := chunks + i*chunkSize
		if at+chunkSize > len(b) {
			return nil
		}
		return b[at : at+chunkSize]
	}
	array := func(first, n int) ([]byte, bool) {
		if n > len(b) { // no more fits in
			return nil, false
		}
		out := make([]byte, 0, n)
		for i := first; len(out) < n; { // each turn adds to it, so a circle of chunks ends
			c := chunk(i)
			if c == nil || c[0] != arrayChunk {
				return nil, false
			}
			out = append(out, c[1:1+min(arrayBytes, n-len(out))]...)
			i = int(order.Uint16(c[1+arrayBytes:]))
		}
		return out, true
	}
	for i := 0; chunk(i) != nil; i++ {
		c := chunk(i)
		if c[0] != entryChunk {
			continue
		}
		if *left--; *left < 0 {
			return false, errFull
		}
		width := int(c[1])
		name, ok := array(int(order.Uint16(c[4:])), int(order.Uint16(c[6:])))
		if !ok {
			return false, errZAP
		}
		value, ok := array(int(order.Uint16(c[8:])), int(order.Uint16(c[10:]))*width)
		if !ok || width != 1 && width != 2 && width != 4 && width != 8 {
			return false, errZAP
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		if !f(zapEntry{string(name), width, value}) {
			return false, nil
		}
	}
	return true, nil
}
