// Package cbfs reads coreboot ROMs: the files in CBFS, coreboot's filesystem,
// and the segments of a payload. It writes nothing: cbfstool does, and what it
// wrote is checked by reading it here.
//
// The formats are those of coreboot's commonlib/bsd/cbfs_serialized.h and
// fmap_serialized.h, with CBFS in the area COREBOOT of a flash map or, in older
// ROMs, where the master header points.
package cbfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ROM is a coreboot ROM.
type ROM struct {
	Offset, Size int64  // bytes: where CBFS is in it
	Files        []File // in order, free space among them
}

// File is a file in CBFS.
type File struct {
	Name   string
	Type   Type
	Offset int64 // of its header, from the start of CBFS
	Data   []byte
}

// Type is the type of a file.
type Type uint32

// Types of files, as far as they matter here.
const (
	Deleted Type = 0
	Stage   Type = 0x11
	Payload Type = 0x20 // what cbfstool calls "simple elf"
	Raw     Type = 0x50
	Null    Type = 0xffffffff // free space
)

// FallbackPayload is the name of the file that coreboot starts.
const FallbackPayload = "fallback/payload"

// Segment is a part of a payload.
type Segment struct {
	Type        uint32 // one of the constants below
	Compression uint32 // 0 for none
	Load        uint64 // address in memory
	Data        []byte // as it is in the ROM
}

// Types of segments, as far as they matter here.
const (
	Code  = 0x434f4445
	BSS   = 0x42535320
	Entry = 0x454e5452
)

// ErrNotROM means that a file is not a coreboot ROM.
var ErrNotROM = errors.New("not a coreboot ROM")

const (
	fileMagic  = "LARCHIVE"
	fileHeader = 24
	alignment  = 64

	mapMagic  = "__FMAP__"
	mapHeader = 56
	mapArea   = 42

	masterMagic = 0x4f524243

	maxFiles = 4096
)

var be = binary.BigEndian

// Parse reads the directory of a ROM.
func Parse(b []byte) (*ROM, error) {
	area, offset, err := find(b)
	if err != nil {
		return nil, err
	}
	rom := &ROM{Offset: offset, Size: int64(len(area))}
	for at := int64(0); at+fileHeader <= int64(len(area)); {
		h := area[at:]
		if string(h[:8]) != fileMagic {
			// What is left is filled up; files lie only where one follows another.
			break
		}
		size, start := int64(be.Uint32(h[8:])), int64(be.Uint32(h[20:]))
		if start < fileHeader || at+start+size > int64(len(area)) {
			return nil, fmt.Errorf("the file at %#x of CBFS does not lie inside it: the ROM is damaged", at)
		}
		name, _, _ := bytes.Cut(h[fileHeader:start], []byte{0})
		if attributes := int64(be.Uint32(h[16:])); attributes >= fileHeader && attributes < start {
			name, _, _ = bytes.Cut(h[fileHeader:attributes], []byte{0})
		}
		rom.Files = append(rom.Files, File{Name: string(name), Type: Type(be.Uint32(h[12:])), Offset: at, Data: h[start : start+size]})
		if len(rom.Files) > maxFiles {
			return nil, fmt.Errorf("it has more than %d files", maxFiles)
		}
		at = (at + start + size + alignment - 1) &^ (alignment - 1)
	}
	if len(rom.Files) == 0 {
		return nil, fmt.Errorf("%w: there is no file where CBFS should be", ErrNotROM)
	}
	return rom, nil
}

// find returns the part of a ROM that is CBFS.
func find(b []byte) (area []byte, offset int64, err error) {
	le := binary.LittleEndian
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(mapMagic))
		if i < 0 || at+i+mapHeader > len(b) {
			break
		}
		at += i
		m := b[at:]
		for n, a := int(le.Uint16(m[54:])), m[mapHeader:]; n > 0 && len(a) >= mapArea; n, a = n-1, a[mapArea:] {
			name, _, _ := bytes.Cut(a[8:40], []byte{0})
			off, size := int64(le.Uint32(a)), int64(le.Uint32(a[4:]))
			if string(name) == "COREBOOT" && off+size <= int64(len(b)) {
				return b[off : off+size], off, nil
			}
		}
		at += len(mapMagic) // the name alone, in the code that looks for it
	}
	// The last word is where the master header is, from the end of the ROM.
	if len(b) < 32 {
		return nil, 0, ErrNotROM
	}
	at := int64(len(b)) + int64(int32(le.Uint32(b[len(b)-4:])))
	if at < 0 || at > int64(len(b)-32) || be.Uint32(b[at:]) != masterMagic {
		return nil, 0, ErrNotROM
	}
	size, off := int64(be.Uint32(b[at+8:])), int64(be.Uint32(b[at+20:]))
	if size > int64(len(b)) || off > size {
		return nil, 0, errors.New("its master header is damaged")
	}
	return b[off:size], off, nil
}

// Find returns the first file with a name, nil when there is none.
func (r *ROM) Find(name string) *File {
	for i, f := range r.Files {
		if f.Name == name && f.Type != Null && f.Type != Deleted {
			return &r.Files[i]
		}
	}
	return nil
}

// Room returns the size in bytes of the largest free space that there would be
// without the file called name, headers included.
func (r *ROM) Room(name string) int64 {
	var largest, start int64
	inside := false
	for i, f := range r.Files {
		end := r.Size
		if i+1 < len(r.Files) {
			end = r.Files[i+1].Offset
		}
		if f.Type == Null || f.Type == Deleted || f.Name == name {
			if !inside {
				start, inside = f.Offset, true
			}
			if i+1 == len(r.Files) { // its own header has its end
				end = min(end, f.Offset+fileHeader+int64(len(f.Data))+alignment)
			}
			largest = max(largest, end-start)
		} else {
			inside = false
		}
	}
	return largest
}

// Segments returns the parts of a payload, up to and including its entry.
func (f *File) Segments() ([]Segment, error) {
	const header = 28
	if f.Type != Payload {
		return nil, fmt.Errorf("%s is not a payload", f.Name)
	}
	var list []Segment
	for b := f.Data; len(b) >= header; b = b[header:] {
		s := Segment{Type: be.Uint32(b), Compression: be.Uint32(b[4:]), Load: be.Uint64(b[12:])}
		off, size := int64(be.Uint32(b[8:])), int64(be.Uint32(b[20:]))
		switch s.Type {
		case Entry:
			return append(list, s), nil
		case BSS:
		default:
			if off+size > int64(len(f.Data)) {
				return nil, fmt.Errorf("a segment of %s does not end in it: it is damaged", f.Name)
			}
			s.Data = f.Data[off : off+size]
		}
		list = append(list, s)
	}
	return nil, fmt.Errorf("%s has no entry: it is damaged", f.Name)
}
