package readonly

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
)

// iso is an ISO 9660 (ECMA-119) with the names of Rock Ridge (IEEE P1282) or
// Joliet where it has some.
type iso struct {
	r         io.ReaderAt
	size      int64
	block     int64
	joliet    bool
	rockRidge bool
	skip      int // bytes before the system use entries of Rock Ridge
}

func openISO(r io.ReaderAt, size int64) (format, *node, error) {
	const (
		sector      = 2048
		first, most = 16, 16 // descriptors
	)
	f := &iso{r: r, size: size}
	var root, joliet *node
	for i := range int64(most) {
		b := make([]byte, sector)
		if _, err := r.ReadAt(b, (first+i)*sector); err != nil || string(b[1:6]) != "CD001" || b[0] == 255 {
			break
		}
		at := &node{isDir: true}
		f.block = int64(le.Uint16(b[128:]))
		if f.block < 512 || f.block > sector || f.block&(f.block-1) != 0 {
			return nil, nil, errors.New("its descriptor has impossible values")
		}
		at.extents = []piece{f.extent(b[156:])}
		escapes := b[88:120]
		switch {
		case b[0] == 1 && root == nil:
			root = at
		case b[0] == 2 && (bytes.HasPrefix(escapes, []byte("%/@")) || bytes.HasPrefix(escapes, []byte("%/C")) || bytes.HasPrefix(escapes, []byte("%/E"))):
			joliet = at
		}
	}
	if root == nil {
		return nil, nil, errors.New("it has no primary volume descriptor")
	}
	f.findRockRidge(root)
	if joliet != nil && !f.rockRidge {
		f.joliet, root = true, joliet
	}
	return f, root, nil
}

// extent returns where what a directory record is about lies.
func (f *iso) extent(record []byte) piece {
	return piece{(int64(le.Uint32(record[2:])) + int64(record[1])) * f.block, int64(le.Uint32(record[10:]))}
}

// findRockRidge looks for the entry SP in the first record of the root directory.
func (f *iso) findRockRidge(root *node) {
	b := make([]byte, 256)
	n, _ := f.r.ReadAt(b, root.extents[0].start)
	b = b[:n]
	if len(b) < 34 || int(b[0]) > len(b) || b[0] < 34 {
		return
	}
	if use := b[34:b[0]]; len(use) >= 7 && string(use[:2]) == "SP" && use[4] == 0xbe && use[5] == 0xef {
		f.rockRidge, f.skip = true, int(use[6])
	}
}

func (f *iso) pieces(n *node) ([]piece, error) { return n.extents, nil }

func (f *iso) fold(name string) string {
	if f.rockRidge {
		return name
	}
	return strings.ToLower(name)
}

// list reads the records of a directory.
func (f *iso) list(dir *node) ([]*node, error) {
	const isDir, goesOn, hasParent = 0x02, 0x80, 33
	data, err := readAll(f.r, dir.extents)
	var nodes []*node
	var parts []piece // of a file that goes on in the next record
	for at := 0; at < len(data); {
		n := int(data[at])
		if n == 0 { // the rest of the block is empty
			at = (at/int(f.block) + 1) * int(f.block)
			continue
		}
		if n < hasParent || at+n > len(data) {
			break
		}
		record := data[at : at+n]
		at += n
		length := int(record[32])
		if length == 0 || hasParent+length > n {
			continue
		}
		name := record[hasParent : hasParent+length]
		parts = append(parts, f.extent(record))
		if record[25]&goesOn != 0 && len(parts) < maxPieces {
			continue
		}
		e := &node{isDir: record[25]&isDir != 0, extents: parts}
		parts = nil
		for _, p := range e.extents {
			e.size += p.size
		}
		if length == 1 && name[0] <= 1 {
			continue // the directory itself, and its parent
		}
		use := record[min(n, hasParent+length+1-length%2):]
		var ok bool
		if e.name, ok = f.name(name, use); ok {
			nodes = append(nodes, e)
		}
	}
	return nodes, err
}

// name returns what a record is called; not ok for what is neither a file nor a directory.
func (f *iso) name(id, use []byte) (name string, ok bool) {
	switch {
	case f.rockRidge:
		if name, ok := f.rockRidgeName(use); !ok || name != "" {
			return name, ok
		}
	case f.joliet:
		units := make([]uint16, len(id)/2)
		for i := range units {
			units[i] = uint16(id[2*i])<<8 | uint16(id[2*i+1])
		}
		id = []byte(string(utf16.Decode(units)))
	default:
		id = bytes.ToLower(id) // as Linux has it
	}
	name, _, _ = strings.Cut(string(id), ";") // without a version
	return strings.TrimSuffix(name, "."), true
}

// rockRidgeName returns the name in system use entries, "" when there is none there;
// not ok for links and for what has been moved here from elsewhere.
func (f *iso) rockRidgeName(use []byte) (name string, ok bool) {
	use = use[min(f.skip, len(use)):]
	const maxContinued = 8
	for range maxContinued {
		var more piece
		for len(use) >= 4 {
			n := int(use[2])
			if n < 4 || n > len(use) {
				break
			}
			e := use[:n]
			use = use[n:]
			switch tag := string(e[:2]); {
			case tag == "NM" && n > 5 && e[4]&6 == 0: // neither . nor ..
				name += string(e[5:])
			case tag == "SL", tag == "RE", tag == "CL":
				return "", false
			case tag == "CE" && n >= 28:
				more = piece{int64(le.Uint32(e[4:]))*f.block + int64(le.Uint32(e[12:])), int64(le.Uint32(e[20:]))}
			case tag == "ST":
				use = nil
			}
		}
		if more.size == 0 || more.size > f.block {
			break
		}
		use = make([]byte, more.size)
		if _, err := f.r.ReadAt(use, more.start); err != nil {
			break
		}
	}
	return name, true
}
