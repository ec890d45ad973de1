package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// bzImageFile makes a bzImage of one setup sector and a payload, as far as
// Identify examines one.
func bzImageFile(version string, xloadflags uint16, payload int) []byte {
	b := make([]byte, 2*512+1024+payload)
	b[0x1f1] = 3
	le := binary.LittleEndian
	le.PutUint32(b[0x1f4:], uint32(payload/16))
	copy(b[0x1fe:], "\x55\xaa")
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint16(b[0x20e:], 0x300)
	copy(b[0x500:], version)
	le.PutUint16(b[0x236:], xloadflags)
	return b
}

func zbootFile(machine uint16, payload int) []byte {
	b := make([]byte, 0x200+payload)
	copy(b, "MZ\x00\x00zimg")
	le := binary.LittleEndian
	le.PutUint32(b[8:], 0x200)
	le.PutUint32(b[12:], uint32(payload))
	copy(b[24:], "gzip")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], machine)
	return b
}

// A gzip file can be long and hold nothing: reading ends soon.
func TestIdentifyEndlessGzip(t *testing.T) {
	r := &counting{Reader: bytes.NewReader(bytes.Repeat(gzipFile(nil), 1<<16))}
	if _, err := Identify(r, r.Size()); !errors.Is(err, ErrNotKernel) {
		t.Errorf("got %v", err)
	}
	if r.n > 256<<10 {
		t.Errorf("read %d bytes of %d", r.n, r.Size())
	}
}

// counting counts the bytes that are read.
type counting struct {
	*bytes.Reader
	n int
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(b, off)
	c.n += n
	return n, err
}

func arm64File() []byte {
	b := make([]byte, 4096)
	copy(b[0x38:], "ARM\x64")
	return b
}

// arm64EFIFile is an Image with an EFI stub: a PE file whose only section ends
// with the file.
func arm64EFIFile(size int) []byte {
	b := make([]byte, size)
	copy(b, "MZ")
	copy(b[0x38:], "ARM\x64")
	le := binary.LittleEndian
	le.PutUint64(b[16:], uint64(size)+1<<20)
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00\x64\xaa\x01\x00")
	section := b[0x40+24:]
	copy(section, ".text")
	for off, v := range map[int]uint32{8: uint32(size) - 512, 16: uint32(size) - 512, 20: 512} {
		le.PutUint32(section[off:], v)
	}
	return b
}

// bzImageEFIFile is a bzImage with an EFI stub.
func bzImageEFIFile() []byte {
	b := bzImageFile("6.1\x00", 1, 8192)
	copy(b, arm64EFIFile(len(b))[:0x38])
	copy(b[0x3c:0x80], arm64EFIFile(len(b))[0x3c:])
	return b
}

// payloadFile is a bzImage whose header has where its compressed kernel lies.
func payloadFile(payload string) []byte {
	b := bzImageFile("6.1\x00", 1, 8192)
	le := binary.LittleEndian
	setup := SetupSize(b)
	le.PutUint32(b[0x248:], 512)
	le.PutUint32(b[0x24c:], uint32(len(payload)))
	copy(b[setup+512:], payload)
	return b
}

func gzipFile(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

// TestIdentifyMemtest asserts that a program which borrows the header of a kernel
// is not one: memtest86+ does, so that boot loaders start it.
func TestIdentifyMemtest(t *testing.T) {
	b := bzImageFile("", 1, 1024)
	binary.LittleEndian.PutUint16(b[0x20e:], 0)
	if in, err := Identify(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNotKernel) || in.Format != "" {
		t.Errorf("got %+v, %v", in, err)
	}
}

func TestIdentify(t *testing.T) {
	whole := bzImageFile("6.12.1-0-lts (build@host) #1 SMP\x00", 1, 8192)
	pe := zbootFile(0x8664, 0)
	copy(pe[4:8], "\x00\x00\x00\x00")
	truncatedImage := arm64File()
	binary.LittleEndian.PutUint64(truncatedImage[16:], 3*4096)

	tests := []struct {
		name string
		file []byte
		want Info
		err  string // what the error must contain; "" for none
		not  bool   // the error is ErrNotKernel
	}{
		{name: "bzImage", file: whole, want: Info{BzImage, "amd64", "6.12.1-0-lts"}},
		{name: "bzImage with a signature behind it", file: append(bytes.Clone(whole), 1, 2, 3), want: Info{BzImage, "amd64", "6.12.1-0-lts"}},
		{name: "bzImage of 32 bits", file: bzImageFile("6.1.0\x00", 0, 64), want: Info{BzImage, "386", "6.1.0"}},
		{name: "control characters end the version", file: bzImageFile("6.1\x1b[2J", 1, 64), want: Info{BzImage, "amd64", "6.1"}},
		{name: "truncated bzImage", file: whole[:len(whole)-4096], want: Info{BzImage, "amd64", ""}, err: "truncated"},
		{name: "bzImage with an EFI stub", file: bzImageEFIFile(), want: Info{BzImage, "amd64", "6.1"}},
		{name: "bzImage with an EFI stub that lacks one byte", file: bzImageEFIFile()[:len(bzImageEFIFile())-1], want: Info{BzImage, "amd64", ""}, err: "truncated"},
		{name: "bzImage cut in its header", file: whole[:0x210], want: Info{BzImage, "amd64", ""}, err: "truncated"},
		{name: "zboot for arm64", file: zbootFile(0xaa64, 100), want: Info{Zboot, "arm64", ""}},
		{name: "truncated zboot", file: zbootFile(0xaa64, 100)[:0x210], want: Info{Zboot, "arm64", ""}, err: "truncated"},
		{name: "arm64 Image", file: arm64File(), want: Info{Image, "arm64", ""}},
		{name: "arm64 Image, gzipped", file: gzipFile(arm64File()), want: Info{ImageGz, "arm64", ""}},
		{name: "arm64 Image with an EFI stub", file: arm64EFIFile(8192), want: Info{Image, "arm64", ""}},
		{name: "truncated Image with an EFI stub", file: arm64EFIFile(8192)[:8000], want: Info{Image, "arm64", ""}, err: "truncated"},
		{name: "truncated Image without", file: truncatedImage, err: "truncated"},
		{name: "Image cut in its header", file: arm64File()[:0x3c], err: "truncated"},
		{name: "bzImage with its compressed kernel", file: payloadFile("\x1f\x8b" + strings.Repeat("x", 5000)), want: Info{BzImage, "amd64", "6.1"}},
		{name: "half-written bzImage", file: payloadFile("\x1f\x8b" + strings.Repeat("x", 2000) + strings.Repeat("\x00", 3000)), err: "half-written"},
		{name: "bzImage of its header alone", file: payloadFile(strings.Repeat("\x00", 5000)), err: "half-written"},
		{name: "another EFI program", file: pe, want: Info{PE, "amd64", ""}},
		{name: "something else that is gzipped", file: gzipFile([]byte("hello")), not: true},
		{name: "text", file: []byte("#!/bin/sh\n"), not: true},
		{name: "FIT image", file: []byte("\xd0\x0d\xfe\xed\x00\x00\x10\x00"), not: true, err: "FIT image"},
		{name: "uImage", file: append([]byte("\x27\x05\x19\x56"), make([]byte, 100)...), not: true, err: "uImage"},
		{name: "zeros", file: make([]byte, 8192), not: true, err: "zero bytes"},
		{name: "empty", err: "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Identify(bytes.NewReader(tt.file), int64(len(tt.file)))
			if (err != nil) != (tt.not || tt.err != "") || errors.Is(err, ErrNotKernel) != tt.not || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error: got %v, want %q, ErrNotKernel %v", err, tt.err, tt.not)
			}
			if err == nil && got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if err != nil && got.Version != "" {
				t.Errorf("a broken file has the version %q", got.Version)
			}
		})
	}
}

func TestLimitsOf(t *testing.T) {
	whole, old := bzImageFile("6.1\x00", 1, 8192), bzImageFile("2.6.20\x00", 0, 8192)
	binary.LittleEndian.PutUint32(whole[0x238:], 4095)
	binary.LittleEndian.PutUint32(whole[0x260:], 50<<20)
	binary.LittleEndian.PutUint16(old[0x206:], 0x205)
	for _, tt := range []struct {
		name, format string
		file         []byte
		want         Limits
	}{
		{"bzImage", BzImage, whole, Limits{4095, 50 << 20}},
		{"bzImage without any", BzImage, old, Limits{2047, 0}},
		{"Image", Image, arm64EFIFile(8192), Limits{2047, 8192 + 1<<20}},
		{"something else", Zboot, whole, Limits{2047, 0}},
		{"nothing", BzImage, nil, Limits{2047, 0}},
	} {
		if got := LimitsOf(tt.file, tt.format); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// uBootRamdisk is the header that mkimage puts before a ramdisk.
var uBootRamdisk = "\x27\x05\x19\x56" + strings.Repeat("\x00", 26) + "\x03" + strings.Repeat("\x00", 33)

func TestIdentifyInitrd(t *testing.T) {
	tests := []struct {
		name, file, want string
		err              string
	}{
		{name: "microcode", file: "070701000000", want: "cpio"},
		{name: "gzip", file: "\x1f\x8b\x08\x00\x00\x00\x00\x00", want: "gzip"},
		{name: "zstd", file: "\x28\xb5\x2f\xfd\x00", want: "zstd"},
		{name: "xz", file: "\xfd7zXZ\x00\x00", want: "xz"},
		{name: "empty", err: "empty"},
		{name: "zeros", file: "\x00\x00\x00\x00\x00\x00\x00\x00\x00", err: "zero bytes"},
		{name: "text", file: "hello world", err: "cpio"},
		{name: "one byte", file: "\x1f", err: "cpio"},
		{name: "U-Boot's header", file: uBootRamdisk + "\x1f\x8b\x08\x00", want: "gzip"},
		{name: "U-Boot's header without a type", file: "\x27\x05\x19\x56" + strings.Repeat("\x00", 60) + "070701", want: "cpio"},
		{name: "U-Boot's header alone", file: uBootRamdisk, err: "cpio"},
		{name: "U-Boot's header of a kernel", file: "\x27\x05\x19\x56" + strings.Repeat("\x00", 26) + "\x02" + strings.Repeat("\x00", 33) + "\x1f\x8b", err: "cpio"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := IdentifyInitrd(strings.NewReader(tt.file), int64(len(tt.file)))
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func FuzzIdentify(f *testing.F) {
	for _, seed := range [][]byte{
		bzImageFile("6.1\x00", 1, 64), zbootFile(0xaa64, 4), arm64File(), arm64EFIFile(1024), payloadFile("\x1f\x8bx"), gzipFile(arm64File()), []byte("MZ"), nil,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Identify(bytes.NewReader(b), int64(len(b)))
		if err == nil && in.Format == "" {
			t.Error("neither a format nor an error")
		}
		if name, err := IdentifyInitrd(bytes.NewReader(b), int64(len(b))); (name == "") != (err != nil) {
			t.Errorf("as an initrd: %q, %v", name, err)
		}
	})
}
