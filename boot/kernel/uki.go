package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// UKI is a unified kernel image: an EFI program whose sections are a kernel
// and what it needs (uapi-group.org, Unified Kernel Image). Of an image with
// several profiles it is the base profile, which is what stands before the
// first .profile section. Signatures are not checked.
type UKI struct {
	Info // Format is [UnifiedImage], Arch that of the kernel inside, Version from .uname, else from the kernel

	Linux   *io.SectionReader   // .linux
	Initrds []*io.SectionReader // .ucode, then .initrd: the order in which the kernel shall unpack them

	Cmdline   string // .cmdline in one line: control characters have become spaces
	OSRelease string // .osrel, in the format of os-release(5)
	Uname     string // .uname

	Profiles   int  // how many profiles there are besides the base one
	DeviceTree bool // it brings device trees, which systemd-stub would pass on
}

// ErrNotUKI means that a file is not a unified kernel image, but for instance
// a kernel, or an EFI program without a kernel in it.
var ErrNotUKI = errors.New("not a unified kernel image")

const (
	maxSections = 1024    // of a PE file; the format has room for 65535
	maxText     = 1 << 16 // bytes of a section that is text
)

// OpenUKI reads the section table and the text sections of the unified kernel
// image r of size bytes. The error is [ErrNotUKI], possibly wrapped, when r is
// something else; any other error says what is wrong with the image.
func OpenUKI(r io.ReaderAt, size int64) (*UKI, error) {
	u, err := openUKI(r, size)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// openUKI is OpenUKI, except that with an error it may give a UKI, with
// nothing but Format and Arch set: the file is one, but cannot be used.
func openUKI(r io.ReaderAt, size int64) (*UKI, error) {
	sections, arch, err := peSections(r, size)
	if err != nil {
		return nil, err
	}
	u := &UKI{Info: Info{Format: UnifiedImage, Arch: arch}}
	damaged := &UKI{Info: u.Info}
	base := map[string]section{}
	for _, s := range sections {
		switch {
		case s.name == ".profile":
			u.Profiles++
		case u.Profiles > 0 || s.size == 0: // of another profile, or empty
		case s.name == ".dtb" || s.name == ".dtbauto":
			u.DeviceTree = true
		default:
			if _, twice := base[s.name]; !twice {
				base[s.name] = s
			}
		}
	}
	if _, ok := base[".linux"]; !ok {
		return nil, ErrNotUKI
	}
	for _, name := range []string{".linux", ".ucode", ".initrd", ".cmdline", ".osrel", ".uname"} {
		if s := base[name]; s.offset > size-s.size {
			return damaged, fmt.Errorf("its section %s does not end in the file: %w", name, truncated(size, s.offset+s.size))
		}
	}
	for _, text := range []struct {
		name string
		to   *string
	}{{".cmdline", &u.Cmdline}, {".osrel", &u.OSRelease}, {".uname", &u.Uname}} {
		s := base[text.name]
		if s.size > maxText {
			return damaged, fmt.Errorf("its section %s has %d bytes, more than the %d that alpboot reads", text.name, s.size, maxText)
		}
		b := make([]byte, s.size)
		if _, err := r.ReadAt(b, s.offset); err != nil && err != io.EOF {
			return damaged, err
		}
		until, _, _ := strings.Cut(string(b), "\x00")
		*text.to = strings.TrimSpace(until)
	}
	u.Cmdline = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, u.Cmdline)

	open := func(s section) *io.SectionReader { return io.NewSectionReader(r, s.offset, s.size) }
	u.Linux = open(base[".linux"])
	for _, name := range []string{".ucode", ".initrd"} {
		if s, ok := base[name]; ok {
			u.Initrds = append(u.Initrds, open(s))
		}
	}
	// Not Identify: an image may be made to hold itself.
	in, err := identify(u.Linux, u.Linux.Size())
	if err == nil && in.Format == PE {
		err = fmt.Errorf("%w, but another EFI program", ErrNotKernel)
	}
	if err != nil {
		return damaged, fmt.Errorf("its section .linux: %w", err)
	}
	if in.Arch != "" { // a 64-bit kernel may come with a stub for firmware of 32 bits
		u.Arch = in.Arch
	}
	if u.Version = firstWord([]byte(u.Uname)); u.Version == "" {
		u.Version = in.Version
	}
	return u, nil
}

// Notes gives what else there is to know about the image when it is booted
// here, a sentence each.
func (u *UKI) Notes() []string {
	var notes []string
	if u.Profiles > 0 {
		notes = append(notes, fmt.Sprintf("The image holds profiles (%d): alpboot boots what is common to all.", u.Profiles))
	}
	if u.DeviceTree {
		notes = append(notes, "The device tree in the image is not passed on: the kernel gets the one that this machine runs with.")
	}
	return notes
}

// Describe identifies the kernel image in the file name of fsys, as [Identify]
// does. Of a unified kernel image it also gives what that says of itself, with
// Linux and Initrds nil; u is nil for anything else. Files of fsys must be
// [io.ReaderAt].
func Describe(fsys fs.FS, name string) (in Info, u *UKI, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return Info{}, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Info{}, nil, err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !st.Mode().IsRegular() {
		return Info{}, nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if in, err = Identify(r, st.Size()); err != nil || in.Format != UnifiedImage {
		return in, nil, err
	}
	if u, err = OpenUKI(r, st.Size()); err != nil {
		return in, nil, err
	}
	u.Linux, u.Initrds = nil, nil
	return in, u, nil
}

// section is a section of a PE file, as far as it is in the file.
type section struct {
	name         string
	offset, size int64
}

// peSections gives the sections of a PE file in the order of its table, and
// the processor it is for. Offsets and sizes are below 4 GiB, but may lie
// outside of the file. The error is ErrNotUKI when r is no PE file.
func peSections(r io.ReaderAt, size int64) (sections []section, arch string, err error) {
	read := func(off, n int64) ([]byte, error) {
		if off > size-n {
			return nil, truncated(size, off+n)
		}
		b := make([]byte, n)
		_, err := r.ReadAt(b, off)
		if err == io.EOF {
			err = nil
		}
		return b, err
	}
	const dosHeader, coffHeader, sectionHeader = 0x40, 24, 40 // bytes; the COFF header with the signature before it
	if size < dosHeader+coffHeader {
		return nil, "", ErrNotUKI
	}
	h, err := read(0, dosHeader)
	if err != nil {
		return nil, "", err
	}
	pe := u32(h, 0x3c)
	if !at(h, 0, "MZ") || pe > size-coffHeader {
		return nil, "", ErrNotUKI
	}
	if h, err = read(pe, coffHeader); err != nil {
		return nil, "", err
	}
	if !at(h, 0, "PE\x00\x00") {
		return nil, "", ErrNotUKI
	}
	n, optional := u16(h, 6), u16(h, 20)
	if n > maxSections {
		return nil, "", fmt.Errorf("it has %d sections, more than the %d that alpboot reads", n, maxSections)
	}
	table, err := read(pe+coffHeader+optional, n*sectionHeader)
	if err != nil {
		return nil, "", err
	}
	for ; len(table) > 0; table = table[sectionHeader:] {
		name, _, _ := strings.Cut(string(table[:8]), "\x00")
		sections = append(sections, section{
			name:   name,
			offset: u32(table, 20),
			// In the file it is rounded up (SizeOfRawData), in memory there
			// may be more of it (VirtualSize).
			size: min(u32(table, 8), u32(table, 16)),
		})
	}
	return sections, machine(binary.LittleEndian.Uint16(h[4:])), nil
}
