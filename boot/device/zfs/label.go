package zfs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Device is a device or an image that may be part of a pool.
type Device struct {
	io.ReaderAt
	Name string // what a user calls it
	Size int64  // bytes
}

// Member is what the label of a device has about the pool that the device is part of.
type Member struct {
	Device   Device
	Pool     string
	PoolGUID uint64
	GUID     uint64 // of the device in the pool

	config    nvlist
	txg       uint64
	uberblock []uberblock // the newest one first
}

// ErrNotMember is the error for a device that has no label of ZFS that is whole.
var ErrNotMember = errors.New("it has no label of ZFS that is whole")

// vdev_impl.h: a label, of which a device has two at its start and two at its end.
const (
	labelSize     = 256 << 10
	labelPairs    = 16 << 10 // where the list of names and values is
	labelRing     = 128 << 10
	labelsAtStart = 4 << 20 // two labels, and what is kept free for boot loaders
	maxUberblocks = 1024    // that are kept of a device: four rings of them are fewer
)

// The states of a pool, as a label has them (fs/zfs.h).
const (
	stateActive   = 0
	stateExported = 1
)

// uberblock is the root of a pool at one time.
type uberblock struct {
	txg, time, version uint64
	root               blockPointer
}

// ReadMember reads the labels of a device.
func ReadMember(d Device) (*Member, error) {
	if d.Size < 2*labelsAtStart {
		return nil, fmt.Errorf("%s: %w", d.Name, ErrNotMember)
	}
	end := d.Size / labelSize * labelSize
	m := &Member{Device: d}
	label := make([]byte, labelSize)
	var failed error
	for _, at := range []int64{0, labelSize, end - 2*labelSize, end - labelSize} {
		if _, err := d.ReadAt(label, at); err != nil {
			failed = fmt.Errorf("%s cannot be read: %w", d.Name, err)
			continue
		}
		pairs := label[labelPairs:labelRing]
		if _, ok := verifyTrailer(pairs, checksum{uint64(at) + labelPairs}, false); !ok {
			continue
		}
		config, err := parseNVList(pairs)
		if err != nil {
			continue
		}
		if txg := config.uint("txg"); m.config == nil || txg > m.txg {
			m.config, m.txg = config, txg
		}
		m.ring(label[labelRing:], uint64(at)+labelRing)
	}
	if m.config == nil {
		if failed != nil {
			return nil, failed
		}
		return nil, fmt.Errorf("%s: %w", d.Name, ErrNotMember)
	}
	m.Pool, m.PoolGUID, m.GUID = m.config.text("name"), m.config.uint("pool_guid"), m.config.uint("guid")
	newestFirst(m.uberblock)
	return m, nil
}

func newestFirst(list []uberblock) {
	slices.SortStableFunc(list, func(a, b uberblock) int {
		return cmp.Or(cmp.Compare(b.txg, a.txg), cmp.Compare(b.time, a.time))
	})
}

// ring adds the uberblocks of a ring, which is at that place of the device.
func (m *Member) ring(b []byte, at uint64) {
	const minShift, maxShift = 10, 13
	size := 1 << min(max(m.config.list("vdev_tree").uint("ashift"), minShift), maxShift)
	for i := 0; i < len(b) && len(m.uberblock) < maxUberblocks; i += size {
		if u, ok := parseUberblock(b[i:i+size], at+uint64(i)); ok {
			m.uberblock = append(m.uberblock, u)
		}
	}
}

func parseUberblock(b []byte, at uint64) (uberblock, bool) {
	const magic = 0xbab10c
	order, ok := verifyTrailer(b, checksum{at}, false)
	if !ok || len(b) < 168+trailerSize || order.Uint64(b) != magic {
		return uberblock{}, false
	}
	return uberblock{
		version: order.Uint64(b[8:]), txg: order.Uint64(b[16:]), time: order.Uint64(b[32:]),
		root: parseBlockPointer(b[40:168], order),
	}, true
}

// blockPointer is where a block is, and what it is (spa.h: blkptr_t).
type blockPointer struct {
	word [16]uint64
}

func parseBlockPointer(b []byte, order binary.ByteOrder) (p blockPointer) {
	for i := range p.word {
		p.word[i] = order.Uint64(b[8*i:])
	}
	return p
}

// dva is the address of a block in a pool.
type dva struct {
	vdev   uint64
	offset uint64 // bytes
	gang   bool
	set    bool
}

func parseDVA(a, b uint64) dva {
	return dva{vdev: a >> 32 & (1<<24 - 1), offset: b << 1 >> 1 << 9, gang: b>>63 == 1, set: a != 0 || b != 0}
}

func (p *blockPointer) prop() uint64       { return p.word[6] }
func (p *blockPointer) compression() uint8 { return uint8(p.prop() >> 32 & 127) }
func (p *blockPointer) embedded() bool     { return p.prop()>>39&1 == 1 }
func (p *blockPointer) checksum() uint8    { return uint8(p.prop() >> 40) }
func (p *blockPointer) kind() uint8        { return uint8(p.prop() >> 48) }
func (p *blockPointer) level() int         { return int(p.prop() >> 56 & 31) }
func (p *blockPointer) encrypted() bool    { return p.prop()>>61&1 == 1 }
func (p *blockPointer) dva(i int) dva      { return parseDVA(p.word[2*i], p.word[2*i+1]) }
func (p *blockPointer) sum() checksum      { return checksum(p.word[12:16]) }
func (p *blockPointer) birth() uint64      { return p.word[10] }
func (p *blockPointer) order() binary.ByteOrder {
	if p.prop()>>63 == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// hole reports whether there is no block, only zeros.
func (p *blockPointer) hole() bool { return !p.embedded() && !p.dva(0).set }

// physicalBirth is the transaction group in which the block was written.
func (p *blockPointer) physicalBirth() uint64 {
	if p.word[9] != 0 && !p.embedded() {
		return p.word[9]
	}
	return p.birth()
}

// size returns the length in bytes of what is in the block.
func (p *blockPointer) size() int {
	if p.embedded() {
		return int(p.prop()&(1<<25-1)) + 1
	}
	return int(p.prop()&0xffff+1) << 9
}

// physical returns the length in bytes of the block where it is stored.
func (p *blockPointer) physical() int {
	if p.embedded() {
		return int(p.prop()>>25&127) + 1
	}
	return int(p.prop()>>16&0xffff+1) << 9
}
