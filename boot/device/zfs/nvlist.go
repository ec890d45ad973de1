package zfs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// nvlist is a list of names and values (nvpair.h), with the types of values that
// pools are described by: uint64, string, []uint64, nvlist and []nvlist. A
// boolean without a value is true.
type nvlist map[string]any

const (
	maxNVDepth = 16      // of lists in each other
	maxNVPairs = 1 << 16 // in all of a list
)

func (l nvlist) uint(name string) uint64 { v, _ := l[name].(uint64); return v }
func (l nvlist) text(name string) string { v, _ := l[name].(string); return v }
func (l nvlist) list(name string) nvlist { v, _ := l[name].(nvlist); return v }
func (l nvlist) lists(name string) []nvlist {
	v, _ := l[name].([]nvlist)
	return v
}

var errNVList = errors.New("the list of names and values is damaged")

// parseNVList parses a list in the encoding XDR, which is the only one on disk.
func parseNVList(b []byte) (nvlist, error) {
	if len(b) < 12 || b[0] != 1 {
		return nil, errNVList
	}
	p := nvParser{pairs: maxNVPairs}
	l, _, err := p.list(b[4:], 0)
	return l, err
}

type nvParser struct{ pairs int } // how many may still come

// list parses a list without its header, and returns what follows it.
func (p *nvParser) list(b []byte, depth int) (nvlist, []byte, error) {
	if depth > maxNVDepth {
		return nil, nil, fmt.Errorf("%w: it is nested too deeply", errNVList)
	}
	if len(b) < 8 {
		return nil, nil, errNVList
	}
	l := nvlist{}
	for b = b[8:]; ; { // version and flags
		if len(b) < 8 {
			return nil, nil, errNVList
		}
		size := uint64(binary.BigEndian.Uint32(b))
		if size == 0 {
			return l, b[8:], nil
		}
		if p.pairs--; p.pairs < 0 || size < 20 || size > uint64(len(b)) {
			return nil, nil, errNVList
		}
		name, value, err := p.pair(b[8:size], depth)
		if err != nil {
			return nil, nil, err
		}
		if value != nil {
			l[name] = value
		}
		b = b[size:]
	}
}

// pair parses a name and its value, which is nil for types that nobody asks for.
func (p *nvParser) pair(b []byte, depth int) (string, any, error) {
	const (
		typeBoolean     = 1
		typeUint64      = 8
		typeString      = 9
		typeUint64Array = 16
		typeList        = 19
		typeListArray   = 20
	)
	name, b, ok := xdrString(b)
	if !ok || len(b) < 8 {
		return "", nil, errNVList
	}
	kind, n := binary.BigEndian.Uint32(b), uint64(binary.BigEndian.Uint32(b[4:]))
	b = b[8:]
	switch kind {
	case typeBoolean:
		return name, true, nil
	case typeUint64:
		if len(b) < 8 {
			return "", nil, errNVList
		}
		return name, binary.BigEndian.Uint64(b), nil
	case typeString:
		s, _, ok := xdrString(b)
		if !ok {
			return "", nil, errNVList
		}
		return name, s, nil
	case typeUint64Array:
		if n > uint64(len(b)/8) {
			return "", nil, errNVList
		}
		array := make([]uint64, n)
		for i := range array {
			array[i] = binary.BigEndian.Uint64(b[8*i:])
		}
		return name, array, nil
	case typeList:
		l, _, err := p.list(b, depth+1)
		return name, l, err
	case typeListArray:
		if n > uint64(len(b)/16) { // an empty list has 16 bytes
			return "", nil, errNVList
		}
		array := make([]nvlist, n)
		for i := range array {
			var err error
			if array[i], b, err = p.list(b, depth+1); err != nil {
				return "", nil, err
			}
		}
		return name, array, nil
	}
	return name, nil, nil
}

// xdrString reads a length and so many bytes, padded to four.
func xdrString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	padded := (n + 3) / 4 * 4
	if b = b[4:]; padded > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[padded:], true
}
