// Package efi reads and assembles EFI programs: PE32+ files as the
// UEFI specification has firmware load them. It adds sections to one, which is
// how a unified kernel image is made of a stub, and signs and checks programs
// as Secure Boot does (Windows Authenticode Portable Executable Signature
// Format; UEFI specification, chapter 32.2.4).
//
// Only what those need is understood: no imports, no resources, no symbols.
// Programs for 32-bit processors are refused.
package efi

import (
	"bytes"
	"cmp"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Program is an EFI program. It does not change: what changes one returns another.
type Program struct {
	raw      []byte
	header   int // offset of the optional header
	table    int // offset of the section table
	sections []pe.SectionHeader
	arch     string
}

// Section is a section to be added, or one that is there.
type Section struct {
	Name string // at most 8 bytes
	Data []byte
	Code bool // holds instructions
}

// ErrNotProgram means that a file is no EFI program at all.
var ErrNotProgram = errors.New("not an EFI program")

// Offsets in the optional header of PE32+.
const (
	offInitializedData  = 8
	offSectionAlignment = 32
	offFileAlignment    = 36
	offSizeOfImage      = 56
	offSizeOfHeaders    = 60
	offCheckSum         = 64
	offDirectories      = 112
	offSecurity         = offDirectories + 8*pe.IMAGE_DIRECTORY_ENTRY_SECURITY
	offDebug            = offDirectories + 8*pe.IMAGE_DIRECTORY_ENTRY_DEBUG
	optionalSize        = offDirectories + 8*16 // at most

	coffSize          = 24 // with the signature before it
	sectionHeaderSize = 40
	page              = 4096
)

var le = binary.LittleEndian

// Parse reads the headers of a program and checks that all of it is there. The
// error is [ErrNotProgram], possibly wrapped, when b is something else.
func Parse(b []byte) (*Program, error) {
	if len(b) < 0x40 || string(b[:2]) != "MZ" {
		return nil, ErrNotProgram
	}
	at := int64(le.Uint32(b[0x3c:]))
	if at > int64(len(b)-coffSize) || string(b[at:at+4]) != "PE\x00\x00" {
		return nil, ErrNotProgram
	}
	// Its symbols, if it has any, are of no interest and may be damaged.
	head := bytes.Clone(b[:min(len(b), int(at)+coffSize+optionalSize+sectionHeaderSize*maxSections)])
	clear(head[at+12 : at+20])
	for h := head[min(len(head), int(at)+coffSize+int(le.Uint16(b[at+20:]))):]; len(h) >= sectionHeaderSize; h = h[sectionHeaderSize:] {
		if h[0] == '/' { // stands for a longer name among the symbols
			h[0] = '?'
		}
		clear(h[24:36]) // relocations, which are for object files
	}
	f, err := pe.NewFile(bytes.NewReader(head))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProgram, err)
	}
	o, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, fmt.Errorf("%w for a 64-bit processor", ErrNotProgram)
	}
	p := &Program{raw: b, header: int(at) + coffSize, arch: machines[f.Machine]}
	p.table = p.header + int(f.SizeOfOptionalHeader)
	switch {
	case o.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY || int(f.SizeOfOptionalHeader) < offDirectories+8*int(o.NumberOfRvaAndSizes):
		return nil, errors.New("its header has no place for signatures")
	case f.NumberOfSections > maxSections:
		return nil, fmt.Errorf("it has %d sections, more than the %d that are read", f.NumberOfSections, maxSections)
	case !powerOfTwo(o.FileAlignment) || !powerOfTwo(o.SectionAlignment):
		return nil, fmt.Errorf("its sections are aligned to %d and %d bytes", o.FileAlignment, o.SectionAlignment)
	case int64(o.SizeOfHeaders) > int64(len(b)) || int(o.SizeOfHeaders) < p.table+sectionHeaderSize*int(f.NumberOfSections):
		return nil, fmt.Errorf("its headers would take %d bytes", o.SizeOfHeaders)
	}
	for _, s := range f.Sections {
		if end := int64(s.Offset) + int64(s.Size); s.Size > 0 && (end > int64(len(b)) || s.Offset < o.SizeOfHeaders) {
			return nil, fmt.Errorf("its section %s is at bytes %d to %d of %d: the file is truncated or damaged", s.Name, s.Offset, end, len(b))
		}
		if s.Size == 0 {
			s.Offset = 0 // it may be anything
		}
		p.sections = append(p.sections, s.SectionHeader)
	}
	if _, err := p.certificates(); err != nil {
		return nil, err
	}
	return p, nil
}

const maxSections = 96 // what Windows takes; unified kernel images have about twenty

// powerOfTwo reports whether n is one that a section may be aligned to.
func powerOfTwo(n uint32) bool { return n != 0 && n&(n-1) == 0 && n <= 1<<20 }

var machines = map[uint16]string{
	pe.IMAGE_FILE_MACHINE_AMD64:   "amd64",
	pe.IMAGE_FILE_MACHINE_ARM64:   "arm64",
	pe.IMAGE_FILE_MACHINE_RISCV64: "riscv64",
}

// Bytes returns the program as the content of a file. It must not be changed.
func (p *Program) Bytes() []byte { return p.raw }

// Arch returns the processor it is for, as GOARCH spells it; "" when unknown.
func (p *Program) Arch() string { return p.arch }

// Sections returns the sections in the order of the table, as long as they are in
// the file or, if that is shorter, in memory.
func (p *Program) Sections() []Section {
	var list []Section
	for _, s := range p.sections {
		n := min(s.Size, s.VirtualSize)
		list = append(list, Section{
			Name: s.Name,
			Data: p.raw[s.Offset : s.Offset+n],
			Code: s.Characteristics&pe.IMAGE_SCN_CNT_CODE != 0,
		})
	}
	return list
}

// Misplaced returns what is wrong with where the sections go in memory: firmware
// refuses a program with one that ends behind its SizeOfImage, and loads one
// over the other where they overlap. It is "" when all is well.
func (p *Program) Misplaced() string {
	size := uint64(le.Uint32(p.raw[p.header+offSizeOfImage:]))
	sections := slices.Clone(p.sections)
	slices.SortStableFunc(sections, func(a, b pe.SectionHeader) int { return cmp.Compare(a.VirtualAddress, b.VirtualAddress) })
	end, before := uint64(0), ""
	for _, s := range sections {
		n := uint64(s.VirtualSize)
		if n == 0 {
			n = uint64(s.Size)
		}
		switch {
		case n == 0:
			continue
		case uint64(s.VirtualAddress) < end:
			return fmt.Sprintf("its sections %s and %s overlap in memory: one overwrites the other", before, s.Name)
		}
		if end, before = uint64(s.VirtualAddress)+n, s.Name; end > size {
			return fmt.Sprintf("its section %s ends at byte %d of memory, and its header states that %d are needed", s.Name, end, size)
		}
	}
	return ""
}

// Replace returns the program with other data in a section that it has. It must fit
// into what the section takes in the file, and a signature would be void.
func (p *Program) Replace(name string, data []byte) (*Program, error) {
	signatures, err := p.Signatures()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.sections, func(s pe.SectionHeader) bool { return s.Name == name })
	switch {
	case len(signatures) > 0:
		return nil, errors.New("it is signed")
	case i < 0:
		return nil, fmt.Errorf("it has no section %s", name)
	case len(data) > int(p.sections[i].Size):
		return nil, fmt.Errorf("its section %s has room for %d bytes, not %d", name, p.sections[i].Size, len(data))
	}
	out, at := bytes.Clone(p.raw), p.sections[i]
	copy(out[at.Offset:at.Offset+at.Size], append(bytes.Clone(data), make([]byte, int(at.Size)-len(data))...))
	le.PutUint32(out[p.table+sectionHeaderSize*i+8:], uint32(len(data))) // VirtualSize
	setCheckSum(out, p.header+offCheckSum)
	return Parse(out)
}

// Append returns the program with further sections after those it has, in memory
// as in the file, each at the start of a page, or of what its header asks for
// when that is more. Signatures, symbols, and what
// was behind the sections in the file are left out. The result is the same for
// the same input.
func (p *Program) Append(add ...Section) (*Program, error) {
	total := len(p.sections) + len(add)
	if total > maxSections {
		return nil, fmt.Errorf("%d sections are more than a program may have", total)
	}
	have := p.Sections()
	for i, s := range add {
		if len(s.Name) > 8 || s.Name == "" || len(s.Data) == 0 || len(s.Data) > 1<<30 {
			return nil, fmt.Errorf("section %q of %d bytes: a name has 1 to 8 bytes, and a section at least one", s.Name, len(s.Data))
		}
		if has(have, s.Name) || has(add[:i], s.Name) {
			return nil, fmt.Errorf("there is a section %s already", s.Name)
		}
	}
	o := p.raw[p.header:]
	fileAlign, sectionAlign := le.Uint32(o[offFileAlignment:]), le.Uint32(o[offSectionAlignment:])
	headers := max(alignUp(uint32(p.table+sectionHeaderSize*total), fileAlign), le.Uint32(o[offSizeOfHeaders:]))
	end := uint64(headers) // in memory
	for _, s := range p.sections {
		if s.VirtualAddress < headers {
			return nil, fmt.Errorf("there is no room for the headers of %d sections: section %s is in the way", len(add), s.Name)
		}
		end = max(end, uint64(s.VirtualAddress)+uint64(max(s.VirtualSize, s.Size)))
	}

	out := make([]byte, headers)
	copy(out, p.raw[:p.table+sectionHeaderSize*len(p.sections)])
	le.PutUint16(out[p.header-coffSize+6:], uint16(total))
	clear(out[p.header-coffSize+12 : p.header-coffSize+20]) // symbols
	clear(out[p.header+offSecurity : p.header+offSecurity+8])
	// The data of all sections follow the headers without a gap: what is in
	// a gap is not signed the same way by all.
	var moved []move
	for i, s := range p.sections {
		h := out[p.table+sectionHeaderSize*i:]
		clear(h[24:36]) // relocations and line numbers, which are not for images
		if s.Size == 0 {
			continue
		}
		at := uint32(len(out))
		le.PutUint32(h[20:], at)
		out = append(out, p.raw[s.Offset:s.Offset+s.Size]...)
		out = append(out, make([]byte, alignUp(s.Size, fileAlign)-s.Size)...)
		le.PutUint32(h[16:], uint32(len(out))-at)
		moved = append(moved, move{s.VirtualAddress, s.Offset, s.Size, at})
	}
	p.moveDebug(out, moved)
	initialized := le.Uint32(out[p.header+offInitializedData:])
	align := uint64(max(page, sectionAlign))
	for i, s := range add {
		end = (end + align - 1) &^ (align - 1)
		if end+uint64(len(s.Data)) > 1<<31 {
			return nil, errors.New("a program cannot have more than 2 GiB")
		}
		size := alignUp(uint32(len(s.Data)), fileAlign)
		h := out[p.table+sectionHeaderSize*(len(p.sections)+i):][:sectionHeaderSize]
		copy(h[:8], s.Name)
		le.PutUint32(h[8:], uint32(len(s.Data)))
		le.PutUint32(h[12:], uint32(end))
		le.PutUint32(h[16:], size)
		le.PutUint32(h[20:], uint32(len(out)))
		kind := uint32(pe.IMAGE_SCN_CNT_INITIALIZED_DATA)
		if s.Code {
			kind = pe.IMAGE_SCN_CNT_CODE
		} else {
			initialized += size
		}
		le.PutUint32(h[36:], kind|pe.IMAGE_SCN_MEM_READ)
		end += uint64(len(s.Data))
		out = append(out, s.Data...)
		out = append(out, make([]byte, int(size)-len(s.Data))...)
	}
	o = out[p.header:]
	le.PutUint32(o[offInitializedData:], initialized)
	le.PutUint32(o[offSizeOfHeaders:], headers)
	le.PutUint32(o[offSizeOfImage:], alignUp(uint32(end), sectionAlign))
	setCheckSum(out, p.header+offCheckSum)
	return Parse(out)
}

// move is that of a section's data to another place in the file.
type move struct{ section, from, size, to uint32 }

// moveDebug corrects where in the file the debug directory has its data.
func (p *Program) moveDebug(out []byte, moved []move) {
	const entrySize = 28
	if le.Uint32(out[p.header+offDirectories-4:]) <= pe.IMAGE_DIRECTORY_ENTRY_DEBUG {
		return
	}
	at, size := le.Uint32(out[p.header+offDebug:]), le.Uint32(out[p.header+offDebug+4:])
	for _, dir := range moved {
		first := uint64(at) - uint64(dir.section) // huge when it is before
		if first+uint64(size) > uint64(dir.size) || first > uint64(dir.size) {
			continue
		}
		for entries := out[uint64(dir.to)+first:][:size]; len(entries) >= entrySize; entries = entries[entrySize:] {
			data := le.Uint32(entries[24:])
			for _, m := range moved {
				if data >= m.from && data-m.from < m.size {
					le.PutUint32(entries[24:], data-m.from+m.to)
					break
				}
			}
		}
		return
	}
}

func has(list []Section, name string) bool {
	return slices.ContainsFunc(list, func(s Section) bool { return s.Name == name })
}

func alignUp(n, to uint32) uint32 { return (n + to - 1) &^ (to - 1) }
