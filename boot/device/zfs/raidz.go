package zfs

import (
	"errors"
	"fmt"
)

// raidz is RAID-Z1 to RAID-Z3 (vdev_raidz.c): each block is a stripe of its own,
// with one to three columns of parity before those of data.
type raidz struct {
	children []vdev
	parity   int
	ashift   uint
}

// column is the part of a block that is on one device.
type column struct {
	child  int
	offset uint64
	size   int
	data   []byte // nil when it has not been read, or cannot be
}

// columns returns where the size bytes at off are.
func (z *raidz) columns(off uint64, size int) []column {
	children, parity := uint64(len(z.children)), uint64(z.parity)
	sectors := (uint64(size) + 1<<z.ashift - 1) >> z.ashift
	start := off >> z.ashift
	first, row := start%children, start/children<<z.ashift
	full := sectors / (children - parity)    // rows that all columns have
	rest := sectors - full*(children-parity) // sectors of data in the last row
	bigger, count := uint64(0), children     // columns with that row as well; columns
	if rest > 0 {
		bigger = rest + parity
	}
	if full == 0 {
		count = bigger
	}
	list := make([]column, count)
	for i := range list {
		c := column{child: int((first + uint64(i)) % children), offset: row, size: int(full << z.ashift)}
		if first+uint64(i) >= children {
			c.offset += 1 << z.ashift
		}
		if uint64(i) < bigger {
			c.size += 1 << z.ashift
		}
		list[i] = c
	}
	if z.parity == 1 && off&(1<<20) != 0 { // so that parity is not always on the same device
		list[0].child, list[1].child = list[1].child, list[0].child
		list[0].offset, list[1].offset = list[1].offset, list[0].offset
	}
	return list
}

// How often a block is reconstructed, with other columns taken for damaged each time.
const (
	maxCombinations = 2000     // of small blocks
	minCombinations = 64       // also of the largest blocks
	combinedBytes   = 64 << 20 // of fewer they are more
)

func (z *raidz) read(off uint64, size int, valid func([]byte) error) ([]byte, error) {
	list := z.columns(off, size)
	if len(list) <= z.parity {
		return nil, errors.New("a block of a RAID-Z has no data")
	}
	var errs []error
	load := func(i int) bool {
		c := &list[i]
		var err error
		if c.data, err = z.children[c.child].read(c.offset, c.size, nil); err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	var bad []int // columns of data that cannot be read
	for i := z.parity; i < len(list); i++ {
		if !load(i) {
			bad = append(bad, i)
		}
	}
	if len(bad) == 0 {
		b := join(list[z.parity:], size)
		if valid == nil {
			return b, nil
		}
		err := valid(b)
		if err == nil {
			return b, nil
		}
		errs = append(errs, err)
	}
	var good []int // columns of parity that can be read
	for i := range z.parity {
		if load(i) {
			good = append(good, i)
		}
	}
	tries := min(minCombinations+combinedBytes/size, maxCombinations)
	// More and more of the columns that could be read are taken for damaged.
	for more := 0; len(bad)+more <= len(good); more++ {
		if len(bad)+more == 0 {
			continue
		}
		var found []byte
		z.choose(list, bad, z.parity, more, func(lost []int) bool {
			// Which columns of parity are whole is not known either.
			return subsets(good, len(lost), func(parity []int) bool {
				if tries--; tries < 0 {
					return true
				}
				b, ok := z.reconstruct(list, lost, parity, size)
				if ok && (valid == nil || valid(b) == nil) {
					found = b
				}
				return found != nil
			})
		})
		if found != nil {
			return found, nil
		}
		if tries < 0 {
			break
		}
	}
	return nil, fmt.Errorf("a block of a RAID-Z cannot be reconstructed: %w", anyOf(errs))
}

// choose calls f with bad and more columns of data from first on, until it returns true.
func (z *raidz) choose(list []column, bad []int, first, more int, f func([]int) bool) bool {
	if more == 0 {
		return f(bad)
	}
	for i := first; i < len(list); i++ {
		if list[i].data == nil {
			continue
		}
		if z.choose(list, append(bad[:len(bad):len(bad)], i), i+1, more-1, f) {
			return true
		}
	}
	return false
}

// subsets calls f with each subset of n elements, until it returns true.
func subsets(list []int, n int, f func([]int) bool) bool {
	var from func(at int, taken []int) bool
	from = func(at int, taken []int) bool {
		if len(taken) == n {
			return f(taken)
		}
		for i := at; i < len(list); i++ {
			if from(i+1, append(taken[:len(taken):len(taken)], list[i])) {
				return true
			}
		}
		return false
	}
	return from(0, nil)
}

func join(list []column, size int) []byte {
	b := make([]byte, 0, size)
	for _, c := range list {
		b = append(b, c.data[:min(len(c.data), size-len(b))]...)
	}
	return b
}

// reconstruct computes the lost columns of data from so many columns of parity. The
// column of parity p is, byte by byte, the sum of the columns of data, each times
// a power of 2**p in GF(2**8) that counts down to 0 for the last one.
func (z *raidz) reconstruct(list []column, lost, parity []int, size int) ([]byte, bool) {
	factor := func(p, column int) byte { return power(p * (len(list) - 1 - column)) }
	n := len(lost)
	matrix := make([][]byte, n)
	for r, p := range parity {
		matrix[r] = make([]byte, n)
		for c, l := range lost {
			matrix[r][c] = factor(p, l)
		}
	}
	inverse, ok := invert(matrix)
	if !ok {
		return nil, false
	}
	isLost := make([]bool, len(list))
	for _, l := range lost {
		isLost[l] = true
	}
	length := list[0].size // no column is longer
	sums := make([][]byte, n)
	for r, p := range parity { // what the lost columns add to the parity
		sums[r] = make([]byte, length)
		copy(sums[r], list[p].data)
		for i := z.parity; i < len(list); i++ {
			if !isLost[i] {
				addTimes(sums[r], list[i].data, factor(p, i))
			}
		}
	}
	whole := append([]column(nil), list...)
	for r, l := range lost {
		data := make([]byte, length)
		for c := range sums {
			addTimes(data, sums[c], inverse[r][c])
		}
		whole[l].data = data[:list[l].size]
	}
	return join(whole[z.parity:], size), true
}

// double multiplies by 2 in the field of RAID-Z, whose polynomial is 0x11d.
func double(x byte) byte {
	if x&0x80 != 0 {
		return x<<1 ^ 0x1d
	}
	return x << 1
}

func times(a, b byte) (product byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		a = double(a)
	}
	return product
}

// power returns 2 to that power.
func power(n int) byte {
	x := byte(1)
	for range n % 255 {
		x = double(x)
	}
	return x
}

// addTimes adds src times factor to dst.
func addTimes(dst, src []byte, factor byte) {
	var table [256]byte
	for i := range table {
		table[i] = times(byte(i), factor)
	}
	for i, x := range src {
		dst[i] ^= table[x]
	}
}

// invert returns the inverse of a square matrix, by Gauss and Jordan.
func invert(m [][]byte) ([][]byte, bool) {
	n := len(m)
	inverse := make([][]byte, n)
	for i := range inverse {
		inverse[i] = make([]byte, n)
		inverse[i][i] = 1
	}
	for c := range n {
		pivot := c
		for pivot < n && m[pivot][c] == 0 {
			pivot++
		}
		if pivot == n {
			return nil, false
		}
		m[c], m[pivot] = m[pivot], m[c]
		inverse[c], inverse[pivot] = inverse[pivot], inverse[c]
		scale := byte(1) // the inverse of m[c][c]: its 254th power
		for range 254 {
			scale = times(scale, m[c][c])
		}
		for i := range n {
			m[c][i], inverse[c][i] = times(m[c][i], scale), times(inverse[c][i], scale)
		}
		for r := range n {
			if f := m[r][c]; r != c && f != 0 {
				for i := range n {
					m[r][i] ^= times(f, m[c][i])
					inverse[r][i] ^= times(f, inverse[c][i])
				}
			}
		}
	}
	return inverse, true
}
