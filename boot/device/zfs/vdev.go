package zfs

import (
	"errors"
	"fmt"
	"strings"
)

// vdev is a part of a pool that blocks are read from: a device, or several of them.
type vdev interface {
	// read returns the size bytes at off of the space for blocks. What valid
	// refuses is read in another way, until there is none; valid may be nil.
	read(off uint64, size int, valid func([]byte) error) ([]byte, error)
}

const maxChildren = 255 // devices in one vdev

// leaf is one device.
type leaf struct{ Device }

func (l leaf) read(off uint64, size int, valid func([]byte) error) ([]byte, error) {
	if end := uint64(l.Size) - labelsAtStart; off > end || uint64(size) > end-off {
		return nil, fmt.Errorf("%s: a block is beyond the end", l.Name)
	}
	b := make([]byte, size)
	if _, err := l.ReadAt(b, int64(off)+labelsAtStart); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", l.Name, err)
	}
	if valid != nil {
		if err := valid(b); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	return b, nil
}

// missing is a device that is not here, or a part that cannot be read, for a reason.
type missing struct{ err error }

func (m missing) read(uint64, int, func([]byte) error) ([]byte, error) { return nil, m.err }

// mirror is several vdevs with the same contents; so is what is being replaced.
type mirror []vdev

func (m mirror) read(off uint64, size int, valid func([]byte) error) ([]byte, error) {
	var errs []error
	for _, child := range m {
		b, err := child.read(off, size, valid)
		if err == nil {
			return b, nil
		}
		errs = append(errs, err)
	}
	return nil, anyOf(errs)
}

// builder makes vdevs of their description in a label or in the pool's configuration.
type builder struct {
	devices map[uint64]Device // by GUID
	lost    []string          // what is missing, for sentences
	pool    *Pool             // for what has been removed; nil when it cannot be read yet
	left    int               // how many vdevs there may still be
}

func (b *builder) build(config nvlist, ashift uint64, depth int) vdev {
	if b.left--; b.left < 0 || depth > 4 {
		return missing{errors.New("the description of the pool's devices is damaged")}
	}
	kind := config.text("type")
	list := config.lists("children")
	if len(list) > maxChildren {
		return missing{errors.New("the description of the pool's devices is damaged")}
	}
	var children []vdev
	for _, c := range list {
		children = append(children, b.build(c, ashift, depth+1))
	}
	switch kind {
	case "disk", "file":
		if d, ok := b.devices[config.uint("guid")]; ok {
			return leaf{d}
		}
		name := config.text("path")
		if name == "" {
			name = fmt.Sprintf("the device %d", config.uint("guid"))
		}
		b.lost = append(b.lost, name)
		return missing{fmt.Errorf("%s is missing", name)}
	case "mirror", "replacing", "spare":
		return mirror(children)
	case "raidz":
		parity := config.uint("nparity")
		if parity == 0 {
			parity = 1 // of old pools
		}
		if parity > 3 || uint64(len(children)) <= parity || ashift < 9 || ashift > 16 {
			return missing{errors.New("the description of a RAID-Z is damaged")}
		}
		if _, expanded := config["raidz_expanding"]; expanded || config["raidz_expand_txgs"] != nil {
			return missing{errors.New("alpboot cannot read a RAID-Z that was expanded")}
		}
		return &raidz{children: children, parity: int(parity), ashift: uint(ashift)}
	case "indirect":
		return &indirect{pool: b.pool, object: config.uint("com.delphix:indirect_object")}
	case "hole", "missing":
		return missing{errors.New("a block is on a device that was removed")}
	case "draid", "dspare":
		return missing{errors.New("alpboot cannot read dRAID")}
	}
	return missing{fmt.Errorf("alpboot does not know vdevs of the type %q", kind)}
}

// top makes a top-level vdev.
func (b *builder) top(config nvlist) vdev { return b.build(config, config.uint("ashift"), 0) }

// names joins names for a sentence.
func names(list []string) string { return strings.Join(list, ", ") }
