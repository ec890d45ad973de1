package zfs

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
)

// FuzzNVList puts bytes where a label has its list of names and values.
func FuzzNVList(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x20\x00\x00\x00\x20\x00\x00\x00\x03txg\x00\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05" +
		"\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseNVList(b)
		if (l == nil) != (err != nil) {
			t.Errorf("%v, %v", l, err)
		}
	})
}

// FuzzDecompress asserts that each compression makes the bytes that were asked for, or
// an error.
func FuzzDecompress(f *testing.F) {
	f.Add(uint8(compressLZ4), []byte("\x00\x00\x00\x0b\x1fa\x01\x00\x10\x50aaaaa"), uint16(40))
	f.Add(uint8(compressLZJB), []byte("\x02a\xfc\x01"), uint16(60))
	f.Add(uint8(compressZLE), []byte("\x02abc\x50"), uint16(20))
	f.Add(uint8(compressZstd), []byte("\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00"), uint16(20))
	f.Add(uint8(compressGzip1), []byte("x\x9c\x03\x00\x00\x00\x00\x01"), uint16(20))
	f.Fuzz(func(t *testing.T, kind uint8, src []byte, size uint16) {
		b, err := decompress(kind, src, int(size))
		if err == nil && len(b) != int(size) {
			t.Errorf("%d bytes instead of %d", len(b), size)
		}
	})
}

// FuzzZAP puts bytes where a leaf or a small ZAP object is.
func FuzzZAP(f *testing.F) {
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(make([]byte, 0, 1024+len(b)), b...)[:1024] // the input itself must not change
		binary.LittleEndian.PutUint32(b[24:], 0x2ab1eaf)
		left := 100
		more, err := zapLeaf(b, binary.LittleEndian, &left, func(e zapEntry) bool {
			e.uint()
			e.text()
			return true
		})
		if more == (err != nil) {
			t.Errorf("%v, %v", more, err)
		}
		microZAP(b, binary.BigEndian, func(e zapEntry) bool { return e.name != "" })
	})
}

// FuzzDnode puts bytes where a dnode is, and reads the object.
func FuzzDnode(f *testing.F) {
	f.Add(make([]byte, dnodeSize), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, id uint64) {
		d, err := parseDnode(b, binary.LittleEndian)
		if err != nil {
			return
		}
		p := &Pool{tops: map[uint64]vdev{0: missing{errDnode}}, large: make(chan struct{}, 1), budget: new(atomic.Int64)}
		if data, _, err := p.read(d, id); err == nil && len(data) != d.blockSize {
			t.Errorf("%d bytes instead of %d", len(data), d.blockSize)
		}
	})
}

// FuzzAttributes puts bytes where a file has its attributes.
func FuzzAttributes(f *testing.F) {
	f.Add([]byte("\x5a\x50\x2f\x00\x02\x04\x00\x00aaaaaaaabbbbbbbb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := &FS{
			attributes: map[string]uint16{"ZPL_MODE": 5, "ZPL_SIZE": 6, "ZPL_SYMLINK": 17},
			lengths:    map[uint16]int{5: 8, 6: 8, 17: 0}, layouts: map[uint16][]uint16{2: {5, 6, 17}},
		}
		n := &node{dnode: &dnode{bonus: b, order: binary.LittleEndian}}
		if err := fsys.system(n); err == nil && len(n.target) > maxTarget {
			t.Errorf("a target of %d bytes", len(n.target))
		}
	})
}

// fuzzed is a device of one pool whose bytes are all the same.
type fuzzed []byte

func (v fuzzed) read(off uint64, size int, valid func([]byte) error) ([]byte, error) {
	b := make([]byte, size)
	copy(b, v)
	if valid != nil {
		return b, valid(b)
	}
	return b, nil
}

// FuzzBlock puts bytes where a block pointer is, and reads the block.
func FuzzBlock(f *testing.F) {
	f.Add(make([]byte, pointerSize), []byte("data"))
	f.Fuzz(func(t *testing.T, pointer, data []byte) {
		b := make([]byte, pointerSize)
		copy(b, pointer)
		bp := parseBlockPointer(b, binary.LittleEndian)
		p := &Pool{tops: map[uint64]vdev{0: fuzzed(data)}, large: make(chan struct{}, 1), budget: new(atomic.Int64)}
		if b, err := p.block(&bp, nil); err == nil && len(b) != bp.size() {
			t.Errorf("%d bytes instead of %d", len(b), bp.size())
		}
	})
}

// TestVersion asserts that a pool of a version that does not exist yet is refused.
func TestVersion(t *testing.T) {
	for version, want := range map[uint64]string{
		29: "its version 29 is one that alpboot does not know", 999: "its version 999 is one that alpboot does not know",
		28: "it has no objects", 5000: "it has no objects", // as there is no block
	} {
		if err := (&Pool{version: version}).roots(&uberblock{}); err == nil || err.Error() != want {
			t.Errorf("%d: %v", version, err)
		}
	}
}

// TestFeatures asserts that an active feature that is not known is named.
func TestFeatures(t *testing.T) {
	if err := checkFeatures([]string{"org.open-zfs:large_blocks", "com.example:new"}); err == nil || err.Error() != "its feature com.example:new is active, which alpboot does not know" {
		t.Error(err)
	}
}
