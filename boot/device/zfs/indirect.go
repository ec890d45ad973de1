package zfs

import (
	"errors"
	"fmt"
	"sort"
)

// indirect is a device that was removed: what was on it is elsewhere in the pool, and
// an object of the pool has where (vdev_indirect_mapping.h).
type indirect struct {
	pool   *Pool
	object uint64
}

const (
	mappingSize   = 24      // of an entry: the place on the removed device, the new address
	maxMapping    = 1 << 24 // entries
	maxIndirect   = 8       // one removed device on another
	maxPieces     = 1 << 12 // of a block
	mappingHeader = 24      // of what is said of the object: the end, the bytes, the entries
)

func (v *indirect) read(off uint64, size int, valid func([]byte) error) ([]byte, error) {
	return v.readDeep(off, size, valid, 0)
}

func (v *indirect) readDeep(off uint64, size int, valid func([]byte) error, depth int) ([]byte, error) {
	if v.pool == nil || v.pool.mos == nil {
		return nil, errors.New("a block is on a device that was removed")
	}
	if depth > maxIndirect {
		return nil, errors.New("too many removed devices refer to each other")
	}
	d, err := v.pool.mos.object(v.object)
	if err != nil {
		return nil, fmt.Errorf("where a removed device's blocks are: %w", err)
	}
	if len(d.bonus) < mappingHeader {
		return nil, errDnode
	}
	count := d.order.Uint64(d.bonus[16:])
	if count > maxMapping {
		return nil, errDnode
	}
	// entry returns the start of a piece on the removed device, and where it is now.
	var failed error
	entry := func(i int) (from uint64, to dva, length uint64) {
		b := make([]byte, mappingSize)
		if err := v.pool.readAt(d, b, uint64(i)*mappingSize); err != nil {
			failed = err
			return 0, dva{}, 0
		}
		o := d.order
		a, c := o.Uint64(b[8:]), o.Uint64(b[16:])
		return o.Uint64(b) << 1 >> 1 << 9, parseDVA(a, c), a & (1<<24 - 1) << 9
	}
	i := sort.Search(int(count), func(i int) bool { from, _, _ := entry(i); return failed == nil && from > off }) - 1
	if failed != nil {
		return nil, failed
	}
	out := make([]byte, 0, size)
	for pieces := 0; len(out) < size; pieces++ {
		if i < 0 || i >= int(count) || pieces > maxPieces {
			return nil, errors.New("a block of a removed device is nowhere")
		}
		from, to, length := entry(i)
		if failed != nil {
			return nil, failed
		}
		if off < from || off-from >= length {
			return nil, errors.New("a block of a removed device is nowhere")
		}
		n := int(min(length-(off-from), uint64(size-len(out))))
		check := valid
		if n < size {
			check = nil // only the whole can be verified
		}
		top, ok := v.pool.tops[to.vdev]
		if !ok {
			return nil, fmt.Errorf("the device number %d of the pool is missing", to.vdev)
		}
		var b []byte
		if again, is := top.(*indirect); is {
			b, err = again.readDeep(to.offset+off-from, n, check, depth+1)
		} else {
			b, err = top.read(to.offset+off-from, n, check)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
		off, i = off+uint64(n), i+1
	}
	if valid != nil {
		if err := valid(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}
