package kexec

import (
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// span is a piece of memory: physical addresses from, up to but without to.
type span struct{ from, to uint64 }

// ranges are pieces of memory that do not overlap.
type ranges []span

// alignUp rounds n up to a multiple of align, a power of two.
func alignUp[T int | uint64](n, align T) T { return (n + align - 1) &^ (align - 1) }

// wholePages returns the whole pages of r at or above from.
func (r ranges) wholePages(page, from uint64) ranges {
	var out ranges
	for _, x := range r {
		x.from, x.to = max(alignUp(x.from, page), from), x.to&^(page-1)
		if x.from < x.to {
			out = append(out, x)
		}
	}
	return out
}

// lowest finds the lowest free place of size bytes at or above from whose
// address is skip more than a multiple of align.
func (r ranges) lowest(from, size, align, skip uint64) (uint64, bool) {
	best, found := uint64(math.MaxUint64), false
	for _, x := range r {
		at := max(x.from, from)
		at = alignUp(at, align) + skip
		if at >= x.from && at < x.to && x.to-at >= size && at < best {
			best, found = at, true
		}
	}
	return best, found
}

// highest finds the highest free place of size bytes that ends at or below top
// and begins at a multiple of align.
func (r ranges) highest(top, size, align uint64) (uint64, bool) {
	best, found := uint64(0), false
	for _, x := range r {
		end := min(x.to, top)
		if end <= x.from || end-x.from < size {
			continue
		}
		if at := (end - size) &^ (align - 1); at >= x.from && (!found || at > best) {
			best, found = at, true
		}
	}
	return best, found
}

// without takes the piece of size bytes at from out.
func (r ranges) without(from, size uint64) ranges {
	var out ranges
	for _, x := range r {
		if from >= x.to || from+size <= x.from {
			out = append(out, x)
			continue
		}
		if x.from < from {
			out = append(out, span{x.from, from})
		}
		if from+size < x.to {
			out = append(out, span{from + size, x.to})
		}
	}
	return out
}

// systemRAM reads /proc/iomem: the RAM of the machine, without what is in it
// that must survive the jump (reserved for the firmware or by the kernel, or
// for a crash kernel). It is nil where addresses are hidden.
func systemRAM(root fs.FS) ranges {
	var ram, taken ranges
	inRAM := false
	for line := range strings.Lines(text(root, "proc/iomem")) {
		addresses, name, ok := strings.Cut(line, " : ")
		child := strings.HasPrefix(addresses, " ")
		first, last, dash := strings.Cut(strings.TrimSpace(addresses), "-")
		from, err1 := strconv.ParseUint(first, 16, 64)
		to, err2 := strconv.ParseUint(last, 16, 64)
		if !ok || !dash || err1 != nil || err2 != nil || to < from || to == math.MaxUint64 {
			continue
		}
		switch name = strings.TrimSpace(name); {
		case !child:
			if inRAM = name == "System RAM"; inRAM {
				ram = append(ram, span{from, to + 1})
			}
		case inRAM && (strings.EqualFold(name, "reserved") || strings.HasPrefix(name, "Crash kernel")):
			taken = append(taken, span{from, to + 1})
		}
	}
	for _, x := range taken {
		ram = ram.without(x.from, x.to-x.from)
	}
	return ram
}
