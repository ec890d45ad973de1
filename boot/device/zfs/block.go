package zfs

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

const (
	maxBlock       = 16 << 20 // bytes of a block, with the largest record size that ZFS has
	maxCached      = 16 << 20 // bytes of blocks that are kept
	gangHeader     = 512
	maxGangHeaders = 1 << 15 // of one block
	maxGangDepth   = 16      // of gang blocks in each other
)

var errChecksum = errors.New("a block's checksum does not match")

// block returns what is in the block that bp points to, which is not to be changed. k is
// nil for what is not encrypted.
func (p *Pool) block(bp *blockPointer, k *keys) ([]byte, error) {
	size := bp.size()
	if size > maxBlock || bp.physical() > maxBlock {
		return nil, fmt.Errorf("a block has %d bytes, and more than %d are not read", max(size, bp.physical()), maxBlock)
	}
	if bp.hole() {
		return make([]byte, size), nil
	}
	if bp.embedded() {
		return embedded(bp)
	}
	encrypted := bp.encrypted() && bp.level() == 0 && encryptedKind(bp.kind()) // others only have a MAC
	if encrypted && k == nil {
		return nil, ErrEncrypted
	}
	if b, ok := p.cache.get(bp); ok {
		return b, nil
	}
	if bp.level() > 0 || bp.kind() == typeDnodes {
		if err := p.charge(size); err != nil {
			return nil, err
		}
	}
	if size > 1<<20 { // few blocks are as large, and side by side they would take too much memory
		p.large <- struct{}{}
		defer func() { <-p.large }()
	}
	headers := maxGangHeaders
	b, err := p.physical(bp, &headers, 0)
	if err != nil {
		return nil, err
	}
	if encrypted {
		if b, err = k.decrypt(bp, b); err != nil {
			return nil, err
		}
	}
	if b, err = decompress(bp.compression(), b, size); err != nil {
		return nil, err
	}
	p.cache.put(bp, b)
	return b, nil
}

// embedded returns what is in the pointer itself (blkptr.c).
func embedded(bp *blockPointer) ([]byte, error) {
	const kindData = 0
	if kind := bp.checksum(); kind != kindData { // these bits are the kind of data here
		return nil, fmt.Errorf("alpboot does not know embedded blocks of the type %d", kind)
	}
	var b []byte
	for i, w := range bp.word {
		if i != 6 && i != 10 { // the properties and the birth
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	if n := bp.physical(); n <= len(b) {
		return decompress(bp.compression(), b[:n], bp.size())
	}
	return nil, errors.New("an embedded block is damaged")
}

// physical returns a block as it is stored. headers is how many gang headers may still be read.
func (p *Pool) physical(bp *blockPointer, headers *int, depth int) ([]byte, error) {
	var errs []error
	copies := 3
	if bp.encrypted() {
		copies = 2 // what decrypts it is in the place of the third
	}
	for i := range copies {
		at := bp.dva(i)
		if !at.set {
			continue
		}
		top, ok := p.tops[at.vdev]
		if !ok {
			errs = append(errs, fmt.Errorf("the device number %d of the pool is missing", at.vdev))
			continue
		}
		var b []byte
		var err error
		if at.gang {
			b, err = p.gang(bp, at, top, headers, depth)
		} else {
			b, err = top.read(at.offset, bp.physical(), func(b []byte) error { return bp.verify(b, p.salt) })
		}
		if err == nil {
			return b, nil
		}
		errs = append(errs, err)
	}
	if errs == nil {
		return nil, errors.New("a block has no address")
	}
	return nil, anyOf(errs)
}

// verify verifies the checksum of a block as it is stored.
func (p *blockPointer) verify(b, salt []byte) error {
	kind := p.checksum()
	if kind == checksumOff || kind == checksumNoParity {
		return nil
	}
	got, err := sum(kind, b, salt, p.order())
	if err != nil {
		return err
	}
	want := p.sum()
	if p.encrypted() && p.kind() != typeObjset { // the second half has a MAC instead
		if !isDigest(kind) {
			got = got.folded()
		}
		copy(got[2:], want[2:])
	}
	if got != want {
		return errChecksum
	}
	return nil
}

// gang returns a block that is stored in pieces: a header at the block's address has
// pointers to them (zio.c).
func (p *Pool) gang(bp *blockPointer, at dva, top vdev, headers *int, depth int) ([]byte, error) {
	if *headers--; *headers < 0 || depth > maxGangDepth {
		return nil, errors.New("a gang block has too many pieces")
	}
	first := bp.dva(0)
	place := checksum{first.vdev, first.offset, bp.physicalBirth()}
	var order binary.ByteOrder
	header, err := top.read(at.offset, gangHeader, func(b []byte) error {
		var ok bool
		if order, ok = verifyTrailer(b, place, bp.encrypted() && bp.kind() != typeObjset); !ok {
			return errChecksum
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, bp.physical())
	for i := range 3 {
		piece := parseBlockPointer(header[128*i:][:128], order)
		if piece.hole() {
			continue
		}
		if piece.embedded() || piece.physical() > cap(b)-len(b) {
			return nil, errors.New("a gang block is damaged")
		}
		data, err := p.physical(&piece, headers, depth+1)
		if err != nil {
			return nil, err
		}
		b = append(b, data...)
	}
	if len(b) != cap(b) {
		return nil, errors.New("a gang block is damaged")
	}
	return b, nil
}

// cache keeps the blocks that were used last. It may be used by several goroutines.
type cache struct {
	mu    sync.Mutex
	list  list.List // of *cached, the last one used first
	index map[cacheKey]*list.Element
	bytes int
}

// cacheKey is what distinguishes one block from another.
type cacheKey struct{ a, b, birth, prop uint64 }

type cached struct {
	key  cacheKey
	data []byte
}

func keyOf(bp *blockPointer) cacheKey {
	return cacheKey{bp.word[0], bp.word[1], bp.physicalBirth(), bp.prop()}
}

func (c *cache) get(bp *blockPointer) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.index[keyOf(bp)]
	if !ok {
		return nil, false
	}
	c.list.MoveToFront(e)
	return e.Value.(*cached).data, true
}

func (c *cache) put(bp *blockPointer, data []byte) {
	key := keyOf(bp)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.index[key]; ok {
		return
	}
	if c.index == nil {
		c.index = map[cacheKey]*list.Element{}
	}
	c.index[key] = c.list.PushFront(&cached{key, data})
	c.bytes += len(data)
	for c.bytes > maxCached && c.list.Len() > 1 {
		old := c.list.Remove(c.list.Back()).(*cached)
		delete(c.index, old.key)
		c.bytes -= len(old.data)
	}
}
