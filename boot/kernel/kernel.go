// Package kernel identifies kernels and initrds by their contents, and
// never by its name: the image format, the processor it is for, its version,
// and whether the file is whole.
//
// It reads headers and a few bytes more: a compressed payload is not unpacked,
// so the version is known only where the image header carries it (x86). For
// arm64 package unpack reads it, which takes longer.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The formats that [Identify] knows.
const (
	BzImage = "bzImage"  // Documentation/arch/x86/boot.rst
	Zboot   = "zboot"    // drivers/firmware/efi/libstub/zboot-header.S
	Image   = "Image"    // Documentation/arch/arm64/booting.rst
	ImageGz = "Image.gz" // an Image inside a gzip file
	PE      = "PE"       // some other EFI program, such as a boot loader

	UnifiedImage = "UKI" // a kernel inside an EFI program: see [UKI]
)

// Info is what the header of a kernel image states.
type Info struct {
	Format  string // one of the constants above
	Arch    string // as GOARCH spells it; "" when unknown
	Version string // kernel release such as 6.12.1-0-lts; "" when the header has none
}

// ErrNotKernel means that a file is not a kernel image of any known format.
var ErrNotKernel = errors.New("not a kernel image")

// headerSize is how much of a file is read: the x86 setup header ends
// below 0x280, and its version string is in the first 32 KiB.
const headerSize = 0x280

// Identify reads the header of the kernel image r of size bytes. The error is
// [ErrNotKernel], possibly wrapped, when r is something else; any other error
// is what is wrong with the image.
func Identify(r io.ReaderAt, size int64) (Info, error) {
	in, err := identify(r, size)
	if err != nil || in.Format != PE {
		return in, err
	}
	u, err := openProfile(r, size, 0)
	if u != nil {
		in = u.Info
	}
	if errors.Is(err, ErrNotUKI) {
		err = nil
	}
	return in, err
}

// identify is Identify without a look into EFI programs.
func identify(r io.ReaderAt, size int64) (Info, error) {
	if size == 0 {
		return Info{}, errors.New("the file is empty")
	}
	h := make([]byte, min(headerSize, size))
	if _, err := r.ReadAt(h, 0); err != nil && err != io.EOF {
		return Info{}, err
	}
	switch {
	case at(h, 0x1fe, "\x55\xaa") && at(h, 0x202, "HdrS"):
		return bzImage(r, size, h)
	case at(h, 0, "MZ") && at(h, 4, "zimg"):
		return zboot(size, h)
	case at(h, 0x38, "ARM\x64"):
		return arm64Image(r, size, h)
	case at(h, 0, "\x1f\x8b"):
		return gzipped(r, size)
	case at(h, 0, "MZ"):
		if arch, ok := peArch(h); ok {
			return Info{Format: PE, Arch: arch}, nil
		}
	case at(h, 0, "\xd0\x0d\xfe\xed"):
		return Info{}, fmt.Errorf("%w, but a FIT image of U-Boot or a device tree, which alpboot does not take apart", ErrNotKernel)
	case at(h, 0, uImage):
		return Info{}, fmt.Errorf("%w, but one that mkimage has packed for U-Boot (uImage), which alpboot does not unpack", ErrNotKernel)
	case len(bytes.Trim(h, "\x00")) == 0:
		return Info{}, fmt.Errorf("%w: the file begins with %d zero bytes, as after a crash while it was written", ErrNotKernel, len(h))
	}
	return Info{}, ErrNotKernel
}

func at(b []byte, off int, want string) bool {
	return len(b) >= off+len(want) && string(b[off:off+len(want)]) == want
}

func u16(b []byte, off int) int64 { return int64(binary.LittleEndian.Uint16(b[off:])) }
func u32(b []byte, off int) int64 { return int64(binary.LittleEndian.Uint32(b[off:])) }

// truncated returns the error for a file that is shorter than its header states.
func truncated(size, want int64) error {
	return fmt.Errorf("the file is truncated: it has %d bytes and its header states %d", size, want)
}

// Setup header offsets, from Documentation/arch/x86/boot.rst.
const (
	offSetupSects    = 0x1f1
	offSyssize       = 0x1f4
	offProtocol      = 0x206
	offCmdlineSize   = 0x238
	offPayload       = 0x248 // from the end of the setup; its length follows
	offInitSize      = 0x260
	offKernelVersion = 0x20e
	offXLoadFlags    = 0x236

	xlfKernel64 = 1 << 0
)

func bzImage(r io.ReaderAt, size int64, h []byte) (Info, error) {
	in := Info{Format: BzImage, Arch: "386"}
	if len(h) < headerSize {
		return in, truncated(size, headerSize)
	}
	setup := SetupSize(h)
	if want := setup + u32(h, offSyssize)*16; size < want-15 { // syssize is rounded up to 16 bytes
		return in, truncated(size, want)
	}
	if _, err := wholeSections(r, size); err != nil { // exact where syssize is not
		return in, err
	}
	if err := wholePayload(r, setup, h); err != nil {
		return in, err
	}
	if u16(h, offProtocol) >= 0x20c && u16(h, offXLoadFlags)&xlfKernel64 != 0 {
		in.Arch = "amd64"
	}
	p := u16(h, offKernelVersion)
	if p == 0 { // Linux has its release there; memtest86+ borrows the header alone
		return Info{}, fmt.Errorf("%w, but another program in the form of one, as a memory test is", ErrNotKernel)
	}
	if p+0x200 < setup {
		v := make([]byte, min(128, setup-p-0x200))
		if _, err := r.ReadAt(v, p+0x200); err == nil {
			in.Version = firstWord(v)
		}
	}
	return in, nil
}

// wholePayload examines both ends of the compressed kernel in a bzImage: after a
// crash while it was written, a file may have its size and end in zeros.
func wholePayload(r io.ReaderAt, setup int64, h []byte) error {
	off, n := setup+u32(h, offPayload), u32(h, offPayload+4)
	if u16(h, offProtocol) < 0x208 || n < 8 {
		return nil
	}
	var b [4]byte
	for _, at := range []int64{off, off + n - 4} { // its magic; its size when unpacked
		if _, err := r.ReadAt(b[:], at); err != nil && err != io.EOF {
			return err
		}
		if b == [4]byte{} {
			return fmt.Errorf("the file is half-written: where its compressed kernel should be, at byte %d, it holds zeros", at)
		}
	}
	return nil
}

// Limits are those that the header of a kernel states.
type Limits struct {
	Cmdline int    // characters of its command line
	Memory  uint64 // bytes that it fills while it starts, from where it is loaded; 0 when unknown
}

// LimitsOf reads the limits of a kernel image of a format from its beginning,
// of which 0x280 bytes do. Where the header states none, Cmdline is what all
// kernels of the processor take.
func LimitsOf(h []byte, format string) Limits {
	l := Limits{Cmdline: 2047} // COMMAND_LINE_SIZE of x86 and arm64, less the final NUL
	switch {
	case format == BzImage && len(h) >= headerSize:
		if u16(h, offProtocol) >= 0x206 {
			if n := u32(h, offCmdlineSize); n > 0 && n < 1<<20 {
				l.Cmdline = int(n)
			}
		}
		if u16(h, offProtocol) >= 0x20a {
			l.Memory = uint64(u32(h, offInitSize))
		}
	case format == Image && len(h) >= 0x18:
		l.Memory = binary.LittleEndian.Uint64(h[16:])
	}
	return l
}

// SetupSize returns the size in bytes of the real-mode part of a bzImage, boot
// sector included: the protected-mode kernel begins there. h is the beginning
// of the file, at least 0x200 bytes.
func SetupSize(h []byte) int64 {
	n := int64(h[offSetupSects])
	if n == 0 { // "for backwards compatibility"
		n = 4
	}
	return (n + 1) * 512
}

// firstWord returns the printable text up to the first white space or NUL.
func firstWord(b []byte) string {
	for i, c := range b {
		if c <= ' ' || c > '~' {
			return string(b[:i])
		}
	}
	return string(b)
}

func zboot(size int64, h []byte) (Info, error) {
	in := Info{Format: Zboot}
	if len(h) < 0x40 {
		return in, truncated(size, 0x40)
	}
	in.Arch, _ = peArch(h)
	if want := u32(h, 8) + u32(h, 12); size < want {
		return in, truncated(size, want)
	}
	return in, nil
}

func arm64Image(r io.ReaderAt, size int64, h []byte) (Info, error) {
	in := Info{Format: Image, Arch: "arm64"}
	if len(h) < 0x40 {
		return in, truncated(size, 0x40)
	}
	if efi, err := wholeSections(r, size); efi {
		return in, err
	}
	// image_size counts .bss too, which is a small part of a kernel.
	if want := binary.LittleEndian.Uint64(h[16:]); uint64(size) < want/2 {
		return in, fmt.Errorf("the file is truncated: it has %d bytes, and the kernel takes %d in memory", size, want)
	}
	return in, nil
}

// wholeSections reports whether a file is an EFI program, and returns an error
// where it ends before one of its sections does.
func wholeSections(r io.ReaderAt, size int64) (efi bool, err error) {
	sections, _, err := peSections(r, size)
	if err != nil {
		return false, nil
	}
	for _, s := range sections {
		if s.offset > size-s.size {
			return true, truncated(size, s.offset+s.size)
		}
	}
	return true, nil
}

func gzipped(r io.ReaderAt, size int64) (Info, error) {
	// Anything may be gzipped: only what is inside makes it a kernel.
	h, err := gunzipHead(io.NewSectionReader(r, 0, size), 0x40)
	if err != nil || !at(h, 0x38, "ARM\x64") {
		return Info{}, ErrNotKernel
	}
	return Info{Format: ImageGz, Arch: "arm64"}, nil
}

// peArch reads the machine field of the COFF header that the DOS header names.
func peArch(h []byte) (arch string, ok bool) {
	if len(h) < 0x40 {
		return "", false
	}
	pe := u32(h, 0x3c)
	if pe > int64(len(h)-6) || !at(h, int(pe), "PE\x00\x00") {
		return "", false
	}
	return machine(binary.LittleEndian.Uint16(h[pe+4:])), true
}

// machine returns the processor that a COFF header names; "" when it is unknown.
func machine(m uint16) (arch string) {
	return map[uint16]string{0x8664: "amd64", 0xaa64: "arm64", 0x014c: "386", 0x5064: "riscv64", 0x6264: "loong64", 0x01c2: "arm"}[m]
}
