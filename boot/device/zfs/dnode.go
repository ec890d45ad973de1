package zfs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of objects that matter here (dmu.h).
const (
	typeNone      = 0
	typeDnodes    = 10
	typeObjset    = 11
	typeZnode     = 17 // as a type of bonus: attributes of a file as old pools have them
	typeFile      = 19
	typeDirectory = 20
	typeSA        = 44 // as a type of bonus: attributes of a file
)

const (
	dnodeSize   = 512
	maxLevels   = 7 // of indirect blocks, and the data below them
	flagSpill   = 4
	pointerSize = 128
)

// dnode is an object: its blocks, and what is kept beside them (dnode.h).
type dnode struct {
	kind      uint8
	bonusKind uint8
	levels    int
	indirect  uint // bytes of an indirect block, as a power of two
	blockSize int
	last      uint64 // the number of its last block
	pointers  []blockPointer
	bonus     []byte
	spill     *blockPointer // what the bonus has no room for
	order     binary.ByteOrder
	keys      *keys // that its blocks are decrypted by
}

var errDnode = errors.New("an object's dnode is damaged")

// parseDnode parses the dnode at the start of b.
func parseDnode(b []byte, order binary.ByteOrder) (*dnode, error) {
	if len(b) < dnodeSize {
		return nil, errDnode
	}
	size := dnodeSize * (1 + int(b[12]))
	d := &dnode{
		kind: b[0], indirect: uint(b[1]), levels: int(b[2]), bonusKind: b[4],
		blockSize: int(order.Uint16(b[8:])) << 9, last: order.Uint64(b[16:]), order: order,
	}
	count, flags, bonus := int(b[3]), b[7], int(order.Uint16(b[10:]))
	if d.kind == typeNone {
		return nil, errors.New("there is no such object")
	}
	if size > len(b) || d.levels < 1 || d.levels > maxLevels || count < 1 || count > 3 ||
		d.levels > 1 && (d.indirect < 10 || d.indirect > 17) || d.blockSize == 0 || d.blockSize > maxBlock {
		return nil, errDnode
	}
	b = b[:size]
	if flags&flagSpill != 0 {
		spill := parseBlockPointer(b[size-pointerSize:], order)
		d.spill, b = &spill, b[:size-pointerSize]
	}
	at := 64 + count*pointerSize
	if at+bonus > len(b) {
		return nil, errDnode
	}
	for i := range count {
		d.pointers = append(d.pointers, parseBlockPointer(b[64+i*pointerSize:][:pointerSize], order))
	}
	d.bonus = b[at : at+bonus]
	return d, nil
}

// read returns a block of an object, and the byte order that it was written in. It is not
// to be changed.
func (p *Pool) read(d *dnode, id uint64) ([]byte, binary.ByteOrder, error) {
	b, order, err := p.find(d, id)
	if b == nil && err == nil {
		b = make([]byte, d.blockSize)
	}
	return b, order, err
}

// find is read, but returns nil for a block of zeros that is not stored.
func (p *Pool) find(d *dnode, id uint64) ([]byte, binary.ByteOrder, error) {
	shift := d.indirect - 7 // of pointers in an indirect block
	top := id
	for range d.levels - 1 {
		top >>= shift
	}
	if id > d.last || top >= uint64(len(d.pointers)) {
		return nil, nil, fmt.Errorf("an object has no block %d", id)
	}
	bp := d.pointers[top]
	for level := d.levels - 1; ; level-- {
		if bp.hole() {
			return nil, d.order, nil
		}
		if bp.level() != level {
			return nil, nil, errors.New("a block is on the wrong level")
		}
		b, err := p.block(&bp, d.keys)
		if err != nil {
			return nil, nil, err
		}
		if level == 0 {
			if len(b) != d.blockSize {
				return nil, nil, errors.New("a block has the wrong size")
			}
			return b, bp.order(), nil
		}
		if len(b) != 1<<d.indirect {
			return nil, nil, errors.New("an indirect block has the wrong size")
		}
		at := id >> (uint(level-1) * shift) & (1<<shift - 1)
		bp = parseBlockPointer(b[at*pointerSize:][:pointerSize], bp.order())
	}
}

// readAt fills b with what is at off of an object. What is beyond its last block is zero.
func (p *Pool) readAt(d *dnode, b []byte, off uint64) error {
	for len(b) > 0 {
		id, in := off/uint64(d.blockSize), int(off%uint64(d.blockSize))
		n := min(len(b), d.blockSize-in)
		if id > d.last {
			clear(b[:n])
		} else {
			data, _, err := p.find(d, id)
			if err != nil {
				return err
			}
			if data == nil {
				clear(b[:n])
			} else {
				copy(b[:n], data[in:])
			}
		}
		b, off = b[n:], off+uint64(n)
	}
	return nil
}

// objset is a set of objects: those that a pool keeps for itself, or a dataset
// (dmu_objset.h).
type objset struct {
	pool *Pool
	meta *dnode // the object whose contents are the dnodes
	kind uint64
}

const (
	objsetMeta  = 1
	objsetFiles = 2
)

// objset reads the set of objects that bp points to.
func (p *Pool) objset(bp *blockPointer, k *keys) (*objset, error) {
	const kindAt = 704
	if bp.hole() || bp.level() != 0 {
		return nil, errors.New("it has no objects")
	}
	b, err := p.block(bp, k)
	if err != nil {
		return nil, err
	}
	if len(b) < 1024 {
		return nil, errors.New("its set of objects is damaged")
	}
	meta, err := parseDnode(b[:dnodeSize], bp.order())
	if err != nil {
		return nil, err
	}
	meta.keys = k
	return &objset{p, meta, bp.order().Uint64(b[kindAt:])}, nil
}

// object returns an object by its number.
func (s *objset) object(n uint64) (*dnode, error) {
	const maxDnodes = 128 << 10 // bytes of a block of them: ZFS has 16 kB
	size := uint64(s.meta.blockSize)
	if size > maxDnodes {
		return nil, errDnode
	}
	if n == 0 || n >= 1<<48 {
		return nil, fmt.Errorf("there is no object %d", n)
	}
	b, order, err := s.pool.read(s.meta, n*dnodeSize/size)
	if err != nil {
		return nil, fmt.Errorf("reading the object %d: %w", n, err)
	}
	d, err := parseDnode(b[n*dnodeSize%size:], order)
	if err != nil {
		return nil, fmt.Errorf("reading the object %d: %w", n, err)
	}
	d.keys = s.meta.keys
	return d, nil
}
