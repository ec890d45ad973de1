package kexec

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// arm64Header makes the header of an Image.
func arm64Header(textOffset, size uint64) []byte {
	h := make([]byte, imageHeader)
	binary.LittleEndian.PutUint64(h[8:], textOffset)
	binary.LittleEndian.PutUint64(h[16:], size)
	copy(h[0x38:], "ARM\x64")
	return h
}

func TestLayoutImage(t *testing.T) {
	const base, gib = 0x40000000, 1 << 30
	virt := ranges{{base, base + 512*mib}}
	tree := treeOf(nil, "{\nchosen {\n}\n}")
	tests := []struct {
		name    string
		free    ranges
		header  []byte
		file    int
		initrds []int
		tree    []byte
		err     string
		at      uint64 // of the kernel
		last    uint64 // the end of the last initrd's segment
	}{
		{name: "plain", free: virt, header: arm64Header(0, 34*mib), file: 33 * mib, initrds: []int{5*mib + 1}, at: base, last: base + 512*mib},
		{name: "text offset", free: virt, header: arm64Header(0x80000, 20*mib), file: 19 * mib, at: base + 0x80000},
		{name: "several initrds", free: virt, header: arm64Header(0, 20*mib), file: 19 * mib, initrds: []int{100, 70000, mib}, at: base, last: base + 512*mib},
		{name: "memory that begins at an odd place", free: ranges{{base + 0x1234, base + 512*mib}}, header: arm64Header(0, 20*mib), file: mib, at: base + 2*mib},
		{name: "the first hole is too small", free: ranges{{base, base + 8*mib}, {base + 64*mib, base + 256*mib}}, header: arm64Header(0, 20*mib), file: mib, at: base + 64*mib},
		{name: "initrd in the kernel's window", free: ranges{{base, base + 512*mib}, {100 * gib, 164 * gib}}, header: arm64Header(0, 20*mib), file: mib, initrds: []int{mib}, at: base, last: base + 512*mib},
		{name: "no memory", header: arm64Header(0, 20*mib), file: mib, err: "kernel needs"},
		{name: "kernel too large", free: virt, header: arm64Header(0, 600*mib), file: mib, err: "601 MiB that the kernel needs"},
		{name: "initrd too large", free: virt, header: arm64Header(0, 20*mib), file: mib, initrds: []int{500 * mib}, err: "initrd needs"},
		{name: "very old kernel", free: virt, header: arm64Header(0x80000, 0), file: mib, err: "3.17"},
		{name: "damaged header", free: virt, header: arm64Header(12345, 20*mib), file: mib, err: "damaged"},
		{name: "damaged tree", free: virt, header: arm64Header(0, 20*mib), file: mib, tree: []byte("x"), err: "device tree"},
		{name: "no room for the tree", free: ranges{{base, base + 20*mib}}, header: arm64Header(0, 20*mib), file: mib, err: "device tree"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var initrds [][]byte
			for _, n := range tt.initrds {
				initrds = append(initrds, make([]byte, n))
			}
			if tt.tree == nil {
				tt.tree = tree
			}
			entry, segs, err := layoutImage(tt.free, tt.tree, tt.header, make([]byte, tt.file), initrds, "quiet", make([]byte, seedSize))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			var total uint64
			free := tt.free
			for i, s := range segs {
				if s.Phys%imageUnit != 0 || s.Size%imageUnit != 0 || uint64(len(s.Data)) > s.Size {
					t.Errorf("segment %d: %#x bytes in %#x at %#x", i, len(s.Data), s.Size, s.Phys)
				}
				before := size(free)
				if free = free.without(s.Phys, s.Size); before-size(free) != s.Size {
					t.Errorf("segment %d at %#x is not free, or in another's place", i, s.Phys)
				}
			}
			n := len(segs)
			k, jump, dtb := segs[n-1], segs[n-2], segs[n-3]
			if k.Phys != tt.at || len(k.Data) != tt.file {
				t.Errorf("the kernel lies at %#x, want %#x", k.Phys, tt.at)
			}
			room := binary.LittleEndian.Uint64(tt.header[16:])
			for i, s := range segs[:n-1] {
				if s.Phys < k.Phys+room && k.Phys < s.Phys+s.Size {
					t.Errorf("segment %d at %#x lies in what the kernel fills", i, s.Phys)
				}
			}
			if dtb.Phys/(2*mib) != (dtb.Phys+uint64(len(dtb.Data))-1)/(2*mib) {
				t.Errorf("the tree lies across a boundary, at %#x", dtb.Phys)
			}
			le := binary.LittleEndian
			if entry != jump.Phys || le.Uint64(jump.Data[24:]) != dtb.Phys || le.Uint64(jump.Data[32:]) != k.Phys {
				t.Errorf("entered at %#x with the tree %#x and the kernel %#x", entry, le.Uint64(jump.Data[24:]), le.Uint64(jump.Data[32:]))
			}
			for i, n := range tt.initrds {
				total = alignUp(total, imageUnit) + uint64(n)
				if i > 0 && segs[i].Phys != segs[i-1].Phys+segs[i-1].Size {
					t.Errorf("initrd %d at %#x does not follow the one before", i, segs[i].Phys)
				}
			}
			if len(tt.initrds) > 0 {
				if end := segs[len(tt.initrds)-1]; end.Phys+end.Size != tt.last {
					t.Errorf("the initrds end at %#x, want %#x", end.Phys+end.Size, tt.last)
				}
				text := showTree(t, dtb.Data)
				from, to := "", ""
				for l := range strings.Lines(text) {
					if v, ok := strings.CutPrefix(l, "linux,initrd-start="); ok {
						from = v
					}
					if v, ok := strings.CutPrefix(l, "linux,initrd-end="); ok {
						to = v
					}
				}
				if want := line(segs[0].Phys); from != want || to != line(segs[0].Phys+total) {
					t.Errorf("the tree has %s to %s, want %s to %s", from, to, want, line(segs[0].Phys+total))
				}
			}
		})
	}
}

// line is how showTree ends a line with an address.
func line(v uint64) string { return fmt.Sprintf("%#x\n", v) }

func size(r ranges) (n uint64) {
	for _, x := range r {
		n += x.to - x.from
	}
	return n
}

func FuzzLayoutImage(f *testing.F) {
	f.Add(arm64Header(0, 20*mib), treeOf(nil, "{\n}"), 4096, uint64(0x40000000), uint64(0x60000000))
	f.Fuzz(func(t *testing.T, header, tree []byte, file int, from, to uint64) {
		if len(header) < imageHeader || file < 0 || file > mib {
			return
		}
		free := ranges{{from, to}}
		entry, segs, err := layoutImage(free, tree, header, make([]byte, file), [][]byte{make([]byte, 100)}, "quiet", make([]byte, seedSize))
		if err == nil {
			checkPlaces(t, entry, segs, free, imageUnit)
		}
	})
}

// checkPlaces asserts that segments are of whole pages, have room for their
// data, are in free memory and not one over the other, and that the entry is in
// one of them.
func checkPlaces(t *testing.T, entry uint64, segs []Segment, free ranges, page uint64) {
	t.Helper()
	entered := false
	for i, s := range segs {
		end := s.Phys + s.Size
		if s.Phys%page != 0 || s.Size%page != 0 || end < s.Phys || uint64(len(s.Data)) > s.Size {
			t.Errorf("segment %d: %#x + %#x with %#x bytes", i, s.Phys, s.Size, len(s.Data))
		}
		if !slices.ContainsFunc(free, func(f span) bool { return s.Phys >= f.from && end <= f.to }) {
			t.Errorf("segment %d: %#x to %#x is not free", i, s.Phys, end)
		}
		for j, o := range segs[:i] {
			if s.Phys < o.Phys+o.Size && o.Phys < end {
				t.Errorf("segments %d and %d overlap", i, j)
			}
		}
		entered = entered || entry >= s.Phys && entry < s.Phys+uint64(len(s.Data))
	}
	if !entered {
		t.Errorf("the entry %#x is in no segment", entry)
	}
}
