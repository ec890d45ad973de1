package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
)

// UKI is one profile of a unified kernel image: an EFI program whose sections
// are a kernel and what it needs (uapi-group.org, Unified Kernel Image). The
// sections before the first .profile are common to all profiles; those behind a
// .profile are of that profile, in place of the common ones of the same name.
// An image without .profile is one profile. Signatures are not checked.
type UKI struct {
	Info // Format is [UnifiedImage], Arch that of the kernel inside, Version from .uname, else from the kernel

	Linux   *io.SectionReader   // .linux
	Initrds []*io.SectionReader // .ucode, then .initrd: the order in which the kernel shall unpack them

	Cmdline   string // .cmdline in one line: control characters have become spaces
	OSRelease string // .osrel, in the format of os-release(5)
	Uname     string // .uname

	Profiles     int    // how many .profile sections the image has
	ProfileID    string // of the profile: ID in its .profile, "" when it has none
	ProfileTitle string // likewise TITLE
	DeviceTree   bool   // it brings device trees, which systemd-stub would pass on
}

// ErrNotUKI means that a file is not a unified kernel image, but for instance
// a kernel, or an EFI program without a kernel in it.
var ErrNotUKI = errors.New("not a unified kernel image")

const (
	maxSections = 1024    // of a PE file; the format has room for 65535
	maxText     = 1 << 16 // bytes of a section that is text
)

// ErrNoProfile means that a unified kernel image has no profile of that number.
var ErrNoProfile = errors.New("the image has no profile of that number")

// Release returns a field of the image's os-release, without quotes; "" when it has
// none.
func (u *UKI) Release(field string) (value string) {
	for line := range strings.Lines(u.OSRelease) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+"="); ok {
			value = strings.Trim(v, `"'`)
		}
	}
	return value
}

// OpenUKI is [OpenProfile] for profile 0, which systemd-stub starts by default.
func OpenUKI(r io.ReaderAt, size int64) (*UKI, error) { return OpenProfile(r, size, 0) }

// OpenProfile reads the section table and the text sections of the unified kernel
// image r of size bytes, of which it returns the profile of that number, from 0.
// The error is [ErrNotUKI] or [ErrNoProfile], possibly wrapped, when r is
// something else; any other error is what is wrong with the image.
func OpenProfile(r io.ReaderAt, size int64, profile int) (*UKI, error) {
	u, err := openProfile(r, size, profile)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// openProfile is OpenProfile, except that with an error it may return a UKI, with
// nothing but Format and Arch set: the file is one, but cannot be used.
func openProfile(r io.ReaderAt, size int64, profile int) (*UKI, error) {
	sections, arch, err := peSections(r, size)
	if err != nil {
		return nil, err
	}
	u := &UKI{Info: Info{Format: UnifiedImage, Arch: arch}}
	damaged := &UKI{Info: u.Info}
	common, own := map[string]section{}, map[string]section{}
	for _, s := range sections {
		if s.name == ".profile" {
			u.Profiles++
		}
		to := common
		if u.Profiles > 0 {
			to = own
		}
		if _, twice := to[s.name]; !twice && s.size > 0 && (u.Profiles == 0 || u.Profiles == profile+1) {
			to[s.name] = s
		}
	}
	base := common
	maps.Copy(base, own)
	u.DeviceTree = base[".dtb"].size > 0 || base[".dtbauto"].size > 0
	if _, ok := base[".linux"]; !ok {
		return nil, ErrNotUKI
	}
	if profile < 0 || profile > 0 && profile >= u.Profiles {
		return damaged, ErrNoProfile
	}
	for _, name := range []string{".linux", ".ucode", ".initrd", ".cmdline", ".osrel", ".uname", ".profile"} {
		if s := base[name]; s.offset > size-s.size {
			return damaged, fmt.Errorf("its section %s does not end in the file: %w", name, truncated(size, s.offset+s.size))
		}
	}
	var about string
	for _, text := range []struct {
		name string
		to   *string
	}{{".cmdline", &u.Cmdline}, {".osrel", &u.OSRelease}, {".uname", &u.Uname}, {".profile", &about}} {
		if *text.to, err = readText(r, base[text.name]); err != nil {
			return damaged, err
		}
	}
	u.Cmdline = oneLine(u.Cmdline)
	for line := range strings.Lines(about) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "ID":
			u.ProfileID = strings.Trim(value, `"'`)
		case "TITLE":
			u.ProfileTitle = strings.Trim(value, `"'`)
		}
	}

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

// readText returns the contents of a section that is text, up to a zero byte.
func readText(r io.ReaderAt, s section) (string, error) {
	if s.size > maxText {
		return "", fmt.Errorf("its section %s has %d bytes, more than the %d that alpboot reads", s.name, s.size, maxText)
	}
	b := make([]byte, s.size)
	if _, err := r.ReadAt(b, s.offset); err != nil && err != io.EOF {
		return "", err
	}
	until, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimSpace(until), nil
}

// oneLine returns text with spaces in place of control characters.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
}

// Addon is what a PE addon adds to a unified kernel image.
type Addon struct {
	Cmdline string   // .cmdline in one line
	Others  []string // the names of sections that alpboot does not use, such as .initrd
}

// OpenAddon reads the PE addon r of size bytes (uapi-group.org, Unified Kernel
// Image, section PE Addons): an EFI program without a kernel. The error is
// [ErrNotUKI], possibly wrapped, when r is something else.
func OpenAddon(r io.ReaderAt, size int64) (a Addon, err error) {
	sections, _, err := peSections(r, size)
	if err != nil {
		return Addon{}, err
	}
	found := false
	for _, s := range sections {
		switch s.name {
		case ".linux":
			return Addon{}, ErrNotUKI
		case ".cmdline":
			if s.offset > size-s.size {
				return Addon{}, truncated(size, s.offset+s.size)
			}
			if a.Cmdline, err = readText(r, s); err != nil {
				return Addon{}, err
			}
			a.Cmdline, found = oneLine(a.Cmdline), true
		case ".initrd", ".ucode", ".dtb", ".dtbauto", ".efifw", ".hwids":
			a.Others, found = append(a.Others, s.name), true
		}
	}
	if !found {
		return Addon{}, ErrNotUKI
	}
	return a, nil
}

// Notes returns what else there is to know about the image when it is booted
// here, a sentence each.
func (u *UKI) Notes() []string {
	var notes []string
	if u.DeviceTree {
		notes = append(notes, "The device tree in the image is not passed on: the kernel gets the one that this machine runs with.")
	}
	return notes
}

// Describe is [DescribeProfile] for profile 0.
func Describe(fsys fs.FS, name string) (in Info, u *UKI, err error) {
	return DescribeProfile(fsys, name, 0)
}

// DescribeProfile identifies the kernel image in the file name of fsys, as
// [Identify] does. Of a unified kernel image it also returns that profile, with
// Linux and Initrds nil; u is nil for anything else. Files of fsys must be
// [io.ReaderAt].
func DescribeProfile(fsys fs.FS, name string, profile int) (in Info, u *UKI, err error) {
	err = readFile(fsys, name, func(r io.ReaderAt, size int64) error {
		if in, err = Identify(r, size); err != nil || in.Format != UnifiedImage {
			return err
		}
		if u, err = OpenProfile(r, size, profile); err != nil {
			return err
		}
		u.Linux, u.Initrds = nil, nil
		return nil
	})
	return in, u, err
}

// DescribeAddon is [OpenAddon] for the file name of fsys, whose files must be
// [io.ReaderAt].
func DescribeAddon(fsys fs.FS, name string) (a Addon, err error) {
	err = readFile(fsys, name, func(r io.ReaderAt, size int64) error {
		a, err = OpenAddon(r, size)
		return err
	})
	return a, err
}

// readFile calls read with the regular file name.
func readFile(fsys fs.FS, name string, read func(r io.ReaderAt, size int64) error) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	r, ok := f.(io.ReaderAt)
	if !ok || !st.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	return read(r, st.Size())
}

// section is a section of a PE file, as far as it is in the file.
type section struct {
	name         string
	offset, size int64
}

// peSections returns the sections of a PE file in the order of its table, and
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
