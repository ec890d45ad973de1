package readonly

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
)

// fat is a FAT12, FAT16 or FAT32 (Microsoft's "FAT32 File System Specification").
type fat struct {
	r                  io.ReaderAt
	size               int64
	bits               int // of an entry of the table
	table              int64
	clusterSize        int64
	data               int64 // where cluster 2 lies
	clusters           uint32
	fixedRoot, endRoot int64 // the root directory but of FAT32
}

// rootCluster stands for the root directory that lies before the clusters.
const rootCluster = 0

var le = binary.LittleEndian

func openFAT(r io.ReaderAt, size int64) (format, *node, error) {
	b := make([]byte, 64)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, nil, err
	}
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables, rootEntries := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	total, tableSectors := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	is32 := tableSectors == 0
	if is32 {
		tableSectors = int64(le.Uint32(b[36:]))
	}
	if sector < 128 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || reserved == 0 || tables == 0 || tableSectors == 0 {
		return nil, nil, errors.New("its boot sector has impossible values")
	}
	rootSectors := (rootEntries*32 + sector - 1) / sector
	firstData := reserved + tables*tableSectors + rootSectors
	if total <= firstData {
		return nil, nil, errors.New("its boot sector has impossible values")
	}
	f := &fat{
		r: r, size: size, table: reserved * sector, clusterSize: perCluster * sector, data: firstData * sector,
		clusters:  uint32(min((total-firstData)/perCluster, 1<<28)),
		fixedRoot: (firstData - rootSectors) * sector, endRoot: firstData * sector,
	}
	root := &node{isDir: true, cluster: rootCluster}
	switch {
	case is32:
		f.bits, root.cluster = 32, le.Uint32(b[44:])
	case f.clusters < 4085:
		f.bits = 12
	default:
		f.bits = 16
	}
	return f, root, nil
}

// next returns the cluster that follows one, and whether there is one.
func (f *fat) next(cluster uint32) (uint32, bool, error) {
	var b [4]byte
	at, n, last := f.table+int64(cluster)*int64(f.bits)/8, 2, uint32(0xfff7)
	if f.bits == 32 {
		n = 4
	}
	if _, err := f.r.ReadAt(b[:n], at); err != nil {
		return 0, false, err
	}
	v := le.Uint32(b[:]) & 0x0fffffff
	switch f.bits {
	case 12:
		v &= 0xffff
		if cluster%2 == 1 {
			v >>= 4
		}
		v, last = v&0xfff, 0xff7
	case 32:
		last = 0x0ffffff7
	}
	return v, v >= 2 && v < last, nil
}

// chain returns where the clusters from first on lie, as far as size bytes reach;
// of a directory, whose size is not known, size is 0.
func (f *fat) chain(first uint32, size int64) ([]piece, error) {
	var pieces []piece
	got, limit := int64(0), size
	if size == 0 {
		limit = maxDirectory + 1
	}
	for c := first; got < limit; {
		if c < 2 || c-2 >= f.clusters {
			return pieces, errors.New("a chain of clusters leads out of the filesystem")
		}
		start := f.data + int64(c-2)*f.clusterSize
		if n := len(pieces); n > 0 && pieces[n-1].start+pieces[n-1].size == start {
			pieces[n-1].size += f.clusterSize
		} else if n == maxPieces {
			return pieces, errors.New("a file is in too many pieces")
		} else {
			pieces = append(pieces, piece{start, f.clusterSize})
		}
		if got += f.clusterSize; got >= limit {
			break
		}
		next, ok, err := f.next(c)
		if err != nil || !ok {
			return pieces, err
		}
		c = next
	}
	return pieces, nil
}

func (f *fat) pieces(n *node) ([]piece, error) {
	if n.size == 0 {
		return nil, nil
	}
	return f.chain(n.cluster, n.size)
}

func (f *fat) fold(name string) string { return strings.ToLower(name) }

// list reads a directory: entries of 32 bytes, long names before short ones.
func (f *fat) list(dir *node) ([]*node, error) {
	pieces := []piece{{f.fixedRoot, f.endRoot - f.fixedRoot}}
	var err error
	if dir.cluster != rootCluster || f.bits == 32 {
		pieces, err = f.chain(dir.cluster, 0)
	}
	b, readErr := readAll(f.r, pieces)
	if readErr != nil {
		err = readErr
	}
	const longName, volumeLabel, isDir = 0x0f, 0x08, 0x10
	var nodes []*node
	var long [20][]uint16 // parts of a long name
	parts := 0
	sum := byte(0)
	for ; len(b) >= 32 && b[0] != 0; b = b[32:] {
		attributes := b[11] & 0x3f
		if b[0] == 0xe5 {
			parts = 0
			continue
		}
		if attributes == longName {
			n := int(b[0] & 0x1f)
			if b[0]&0x40 != 0 {
				parts, sum = n, b[13]
				long = [20][]uint16{}
			}
			if n < 1 || n > len(long) || n > parts || b[13] != sum {
				parts = 0
				continue
			}
			var units []uint16
			for _, run := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
				for i := run[0]; i < run[1]; i += 2 {
					units = append(units, le.Uint16(b[i:]))
				}
			}
			long[n-1] = units
			continue
		}
		name := shortName(b)
		if parts > 0 && parts <= len(long) && checksum(b[:11]) == sum {
			var units []uint16
			for _, part := range long[:parts] {
				units = append(units, part...)
			}
			for i, u := range units {
				if u == 0 {
					units = units[:i]
					break
				}
			}
			if s := string(utf16.Decode(units)); s != "" {
				name = s
			}
		}
		parts = 0
		if attributes&volumeLabel != 0 || name == "." || name == ".." {
			continue
		}
		n := &node{name: name, isDir: attributes&isDir != 0, cluster: uint32(le.Uint16(b[20:]))<<16 | uint32(le.Uint16(b[26:]))}
		if f.bits != 32 {
			n.cluster &= 0xffff
		}
		switch {
		case !n.isDir:
			n.size = int64(le.Uint32(b[28:]))
		case n.cluster < 2:
			continue // only ".." of a directory in the root has none
		}
		nodes = append(nodes, n)
	}
	return nodes, err
}

// shortName returns the name of eight and three characters, in lower case where
// Windows has said so.
func shortName(b []byte) string {
	part := func(b []byte, lower bool) string {
		s := make([]rune, 0, len(b))
		for _, c := range b {
			if c >= 0x80 {
				c = '?' // the code page is not known
			}
			s = append(s, rune(c))
		}
		text := strings.TrimRight(string(s), " ")
		if lower {
			text = strings.ToLower(text)
		}
		return text
	}
	base, ext := part(b[:8], b[12]&0x08 != 0), part(b[8:11], b[12]&0x10 != 0)
	if b[0] == 0x05 { // stands for 0xe5
		base = "?" + base[1:]
	}
	if ext != "" {
		return base + "." + ext
	}
	return base
}

// checksum ties a long name to its short one.
func checksum(short []byte) (sum byte) {
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}
