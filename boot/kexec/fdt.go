package kexec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// This file changes the node /chosen of a flattened device tree (Devicetree
// Specification 0.4, chapter 5), as of_kexec_alloc_and_setup_fdt of the kernel
// does for kexec_file_load. The rest of a tree is copied as it is.

const (
	fdtMagic  = 0xd00dfeed
	fdtHeader = 40 // bytes of version 17

	fdtBeginNode = 1
	fdtEndNode   = 2
	fdtProp      = 3
	fdtNop       = 4
	fdtEnd       = 9

	seedSize = 8 + 128 // bytes for kaslr-seed and rng-seed
)

var errTree = errors.New("it is damaged")

// property is what a tree holds under a name.
type property struct {
	name  string
	value []byte
}

// targetTree returns tree with what a target shall find in it: its command line,
// the place of its initrd (from, up to but without to; none when they are the
// same), new random numbers where there are seedSize of them. What was there about the initrd and the crash kernel
// of the running kernel goes.
func targetTree(tree []byte, cmdline string, from, to uint64, seed []byte) ([]byte, error) {
	be := binary.BigEndian
	u64 := func(v uint64) []byte { return be.AppendUint64(nil, v) }
	set := []property{{"bootargs", append([]byte(cmdline), 0)}}
	if from < to {
		set = append(set, property{"linux,initrd-start", u64(from)}, property{"linux,initrd-end", u64(to)})
	}
	if len(seed) == seedSize {
		set = append(set, property{"kaslr-seed", seed[:8]}, property{"rng-seed", seed[8:]})
	}
	set = append(set, property{"linux,booted-from-kexec", nil})
	drop := []string{"kaslr-seed", "rng-seed", "linux,initrd-start", "linux,initrd-end", "linux,elfcorehdr", "linux,usable-memory-range"}

	if len(tree) < fdtHeader || be.Uint32(tree) != fdtMagic {
		return nil, errors.New("it is none")
	}
	size, version := be.Uint32(tree[4:]), be.Uint32(tree[20:])
	if uint64(size) > uint64(len(tree)) || size < fdtHeader || version < 17 {
		return nil, errTree
	}
	tree = tree[:size]
	block := func(off, n uint32) ([]byte, error) {
		if uint64(off)+uint64(n) > uint64(size) {
			return nil, errTree
		}
		return tree[off : off+n], nil
	}
	strings, err := block(be.Uint32(tree[12:]), be.Uint32(tree[32:]))
	if err != nil {
		return nil, err
	}
	structure, err := block(be.Uint32(tree[8:]), be.Uint32(tree[36:]))
	if err != nil {
		return nil, err
	}
	reserved, err := block(be.Uint32(tree[16:]), size-min(size, be.Uint32(tree[16:])))
	if err != nil {
		return nil, err
	}

	structure, strings, old, err := setChosen(structure, strings, set, drop)
	if err != nil {
		return nil, err
	}
	out := make([]byte, fdtHeader)
	copy(out, tree[:fdtHeader])
	be.PutUint32(out[16:], uint32(len(out)))
	for ; ; reserved = reserved[16:] {
		if len(reserved) < 16 {
			return nil, errTree
		}
		at, n := be.Uint64(reserved), be.Uint64(reserved[8:])
		if at == 0 && n == 0 {
			break
		}
		if old.from < old.to && at == old.from && n >= old.to-old.from {
			continue // held the initrd of the running kernel
		}
		out = append(out, reserved[:16]...)
	}
	if from < to {
		out = append(append(out, u64(from)...), u64(to-from)...)
	}
	out = append(out, make([]byte, 16)...)
	be.PutUint32(out[8:], uint32(len(out)))
	be.PutUint32(out[36:], uint32(len(structure)))
	out = append(out, structure...)
	be.PutUint32(out[12:], uint32(len(out)))
	be.PutUint32(out[32:], uint32(len(strings)))
	out = append(out, strings...)
	out = append(out, make([]byte, -len(out)&7)...)
	be.PutUint32(out[4:], uint32(len(out)))
	return out, nil
}

// setChosen returns a structure block and its strings block with properties of
// /chosen set and dropped, and where the initrd was by the old ones.
func setChosen(b, names []byte, set []property, drop []string) (structure, strings []byte, old span, err error) {
	tokens, err := fdtTokens(b, names)
	if err != nil {
		return nil, nil, old, err
	}
	const root = 0
	chosen := slices.IndexFunc(tokens, func(t fdtToken) bool {
		return t.kind == fdtBeginNode && t.node == root && t.name == "chosen"
	})
	be := binary.BigEndian
	names = bytes.Clone(names)
	var out []byte
	setAll := func() {
		for _, p := range set {
			at := bytes.Index(names, append([]byte(p.name), 0))
			if at < 0 { // the end of a longer name would do as well
				at = len(names)
				names = append(append(names, p.name...), 0)
			}
			out = be.AppendUint32(out, fdtProp)
			out = be.AppendUint32(out, uint32(len(p.value)))
			out = be.AppendUint32(out, uint32(at))
			out = append(out, p.value...)
			out = append(out, make([]byte, -len(out)&3)...)
		}
	}
	for i, t := range tokens {
		if chosen < 0 && t.kind == fdtEndNode && t.node == root {
			out = append(be.AppendUint32(out, fdtBeginNode), "chosen\x00\x00"...)
			setAll()
			out = be.AppendUint32(out, fdtEndNode)
		}
		if t.kind == fdtProp && t.node == chosen {
			switch t.name {
			case "linux,initrd-start":
				old.from = t.number()
			case "linux,initrd-end":
				old.to = t.number()
			}
			if slices.Contains(drop, t.name) || slices.ContainsFunc(set, func(p property) bool { return p.name == t.name }) {
				continue
			}
		}
		out = append(out, t.raw...)
		if i == chosen {
			setAll()
		}
	}
	return out, names, old, nil
}

// fdtToken is a token of a structure block.
type fdtToken struct {
	kind uint32
	raw  []byte
	name string // of a node or property
	node int    // index of the token that begins the node it belongs to; of that token itself, of the node around it
}

// number returns the value of a property of one or two cells.
func (t fdtToken) number() uint64 {
	switch v := t.raw[12:]; len(v) {
	case 4:
		return uint64(binary.BigEndian.Uint32(v))
	case 8:
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// fdtTokens takes a structure block apart. The first token begins the root, the
// last one ends the block, and every node ends.
func fdtTokens(b, names []byte) (tokens []fdtToken, err error) {
	be := binary.BigEndian
	var open []int // the nodes that have begun
	text := func(b []byte) (string, bool) {
		end := bytes.IndexByte(b, 0)
		return string(b[:max(end, 0)]), end >= 0
	}
	for len(b) >= 4 {
		t, n, ok := fdtToken{kind: be.Uint32(b), node: -1}, 4, true
		if len(open) > 0 {
			t.node = open[len(open)-1]
		}
		switch t.kind {
		case fdtBeginNode:
			t.name, ok = text(b[4:])
			n += len(t.name) + 1
			ok = ok && (len(open) > 0 || len(tokens) == 0)
			open = append(open, len(tokens))
		case fdtProp:
			if len(b) < 12 || len(open) == 0 || uint64(be.Uint32(b[4:])) > uint64(len(b)) || uint64(be.Uint32(b[8:])) > uint64(len(names)) {
				return nil, errTree
			}
			t.name, ok = text(names[be.Uint32(b[8:]):])
			n = 12 + int(be.Uint32(b[4:]))
		case fdtEndNode:
			if len(open) == 0 {
				return nil, errTree
			}
			open = open[:len(open)-1]
		case fdtNop:
			b = b[4:]
			continue
		case fdtEnd:
			if len(open) > 0 || len(tokens) == 0 {
				return nil, errTree
			}
			return append(tokens, fdtToken{kind: fdtEnd, raw: b[:4], node: -1}), nil
		default:
			return nil, errTree
		}
		if n = alignUp(n, 4); !ok || n > len(b) {
			return nil, errTree
		}
		t.raw, b = b[:n], b[n:]
		tokens = append(tokens, t)
	}
	return nil, errTree
}
