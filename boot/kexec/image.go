package kexec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// This file lays an arm64 Image out in memory for kexec_load(2), by
// Documentation/arch/arm64/booting.rst. It is plain arithmetic, and compiled for
// every processor so that it can be tested there; what reads the machine is in
// image_arm64.go.

const (
	imageHeader = 0x40 // bytes of the header of an Image

	// imageUnit is what places are multiples of: the largest page that a
	// running kernel may have.
	imageUnit = 64 << 10

	imageAlign  = 2 << 20
	initrdReach = 1 << 30 // kernel and initrd are in one window of 32 GiB: near each other they do
	treeLimit   = 2 << 20 // of a device tree
)

// layoutImage places an Image whose first bytes are header, and the initrds, in
// free memory, with a copy of the device tree made for it. Image and initrds are
// not read; only their sizes count.
func layoutImage(free ranges, tree, header, image []byte, initrds [][]byte, cmdline string, seed []byte) (entry uint64, segs []Segment, err error) {
	le := binary.LittleEndian
	textOffset, size := le.Uint64(header[8:]), le.Uint64(header[16:])
	if size == 0 {
		return 0, nil, errors.New("the kernel is older than Linux 3.17 and does not state how much memory it needs")
	}
	if textOffset >= imageAlign || textOffset%imageUnit != 0 || size > 1<<32 {
		return 0, nil, errors.New("the header of the kernel is damaged")
	}
	up := func(n int) uint64 { return alignUp(uint64(n), imageUnit) }
	mem := free.wholePages(imageUnit, 0)
	room := max(alignUp(size, imageUnit), up(len(image)))
	at, ok := mem.lowest(0, room, imageAlign, textOffset)
	if !ok {
		return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the kernel needs", room/mib+1)
	}
	mem = mem.without(at, room)

	// One after the other: between two archives the kernel skips zeros.
	var initrdSize, total uint64
	for _, in := range initrds {
		initrdSize = total + uint64(len(in))
		total += up(len(in))
	}
	window := (at &^ (initrdReach - 1)) + 32*initrdReach
	var initrdAt uint64
	if total > 0 {
		if initrdAt, ok = mem.highest(window, total, imageUnit); !ok || initrdAt < at&^(initrdReach-1) {
			return 0, nil, fmt.Errorf("no free piece of memory has the %d MiB that the initrd needs", total/mib+1)
		}
		mem = mem.without(initrdAt, total)
		next := initrdAt
		for _, in := range initrds {
			segs = append(segs, Segment{in, next, up(len(in))})
			next += up(len(in))
		}
	}

	tree, err = targetTree(tree, cmdline, initrdAt, initrdAt+initrdSize, seed)
	if err != nil {
		return 0, nil, fmt.Errorf("the device tree of this machine: %w", err)
	}
	if len(tree) > treeLimit {
		return 0, nil, fmt.Errorf("the device tree of this machine has %d bytes, more than a kernel takes", len(tree))
	}
	// It may not be across a boundary of 2 MiB.
	treeAt, ok := mem.highest(window, treeLimit, treeLimit)
	if !ok {
		return 0, nil, errors.New("no free memory for the device tree")
	}
	mem = mem.without(treeAt, up(len(tree)))
	jumpAt, ok := mem.highest(window, imageUnit, imageUnit)
	if !ok {
		return 0, nil, errors.New("no free memory for the code that enters the kernel")
	}
	return jumpAt, append(segs,
		Segment{tree, treeAt, up(len(tree))},
		Segment{jumpARM64(at, treeAt), jumpAt, imageUnit},
		Segment{image, at, up(len(image))}), nil
}

// jumpARM64 returns the code that enters an Image as its boot protocol wants it:
// x0 = device tree, x1 to x3 = 0. The kernel that kexecs does so only for
// kexec_file_load.
func jumpARM64(entry, tree uint64) []byte {
	le := binary.LittleEndian
	var b []byte
	for _, op := range []uint32{
		0x580000c0, // ldr x0, tree (24 bytes on)
		0xaa1f03e1, // mov x1, xzr
		0xaa1f03e2, // mov x2, xzr
		0xaa1f03e3, // mov x3, xzr
		0x58000090, // ldr x16, entry (16 bytes on)
		0xd61f0200, // br x16
	} {
		b = le.AppendUint32(b, op)
	}
	return le.AppendUint64(le.AppendUint64(b, tree), entry)
}
