// Package unpack gets the raw kernel out of images that system calls do not
// take: EFI zboot (drivers/firmware/efi/libstub/Makefile.zboot) with a payload
// of gzip, zstd, lzma or xz, and gzipped Images.
//
// It stands apart from package kernel so that programs for processors whose
// kernels unpack themselves do not carry the decompressors.
package unpack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/alpboot/alpboot/boot/kernel"
)

// Limit is the most bytes that an image may unpack to; kernels of distributions
// take 20 to 60 MB.
const Limit = 256 << 20

// window is the largest dictionary that is allocated; the kernel's build packs
// with up to 128 MiB (zstd -22 --ultra).
const window = 128 << 20

// ErrTooLarge means that an image unpacks to more than [Limit].
var ErrTooLarge = fmt.Errorf("the kernel unpacks to more than %d MiB", Limit>>20)

// Image writes the raw kernel in the image r of size bytes to w: what is packed
// is unpacked, anything else is copied. The result is as long as the image states,
// where it does, and its check sum is right, where the format has one: an
// error may come after something was written.
func Image(w io.Writer, r io.ReaderAt, size int64) error {
	return image(w, r, size, Limit)
}

func image(w io.Writer, r io.ReaderAt, size, limit int64) error {
	in, want, closeReader, err := open(r, size)
	if err != nil {
		return err
	}
	defer closeReader()
	n, err := io.CopyN(w, in, limit+1)
	switch {
	case err == nil:
		return ErrTooLarge
	case err != io.EOF:
		return fmt.Errorf("unpacking the kernel: %w", err)
	case want >= 0 && n != want:
		return fmt.Errorf("the kernel unpacks to %d bytes, and its image states %d: it is damaged", n, want)
	}
	return nil
}

// banner is the beginning of linux_banner (init/version-timestamp.c). A digit
// follows: the string alone stands in kernels more than once.
const banner = "Linux version "

// Version reads the release of the kernel in the image r of size bytes from its
// banner, and returns "" when the first limit bytes, unpacked, hold none. That
// takes as long as unpacking them: some milliseconds for a MiB that is
// compressed, so it is not for the way to the first frame.
func Version(r io.ReaderAt, size, limit int64) (string, error) {
	in, _, closeReader, err := open(r, size)
	if err != nil {
		return "", err
	}
	defer closeReader()
	const keep = 128 // enough of a block for a banner that goes on in the next
	buf := make([]byte, keep+64<<10)
	in = io.LimitReader(in, limit)
	for held := 0; ; {
		n, err := io.ReadFull(in, buf[held:])
		b := buf[:held+n]
		for rest := b; ; {
			_, after, ok := bytes.Cut(rest, []byte(banner))
			if !ok {
				break
			}
			release, _, whole := bytes.Cut(after[:min(len(after), keep-len(banner))], []byte(" "))
			if whole && len(release) > 0 && release[0] >= '0' && release[0] <= '9' && printable(release) {
				return string(release), nil
			}
			rest = after
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return "", nil
		case err != nil:
			return "", fmt.Errorf("unpacking the kernel: %w", err)
		}
		held = copy(buf, b[len(b)-keep:])
	}
}

func printable(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' })
}

// open returns what is in an image, and the number of bytes that there should be;
// -1 when it is not stated.
func open(r io.ReaderAt, size int64) (in io.Reader, want int64, closeReader func(), err error) {
	info, err := kernel.Identify(r, size)
	if err != nil {
		return nil, 0, nil, err
	}
	method, packed := "", io.NewSectionReader(r, 0, size)
	want = -1
	switch info.Format {
	case kernel.ImageGz:
		method = "gzip"
	case kernel.Zboot:
		var h [32]byte
		if _, err := r.ReadAt(h[:], 0); err != nil {
			return nil, 0, nil, err
		}
		name, _, _ := strings.Cut(string(h[24:]), "\x00")
		off, n := int64(binary.LittleEndian.Uint32(h[8:])), int64(binary.LittleEndian.Uint32(h[12:]))
		method, packed = name, io.NewSectionReader(r, off, n)
		if want, err = unpackedSize(r, method, off+n); err != nil {
			return nil, 0, nil, fmt.Errorf("reading the size of the unpacked kernel: %w", err)
		}
		if want > Limit {
			return nil, 0, nil, ErrTooLarge
		}
	}
	in, closeReader, err = decompress(method, packed)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("unpacking the kernel: %w", err)
	}
	return in, want, closeReader, nil
}

// unpackedSize reads the number that follows a zboot payload that ends at end;
// that of gzip is part of the format, and checked by its reader.
func unpackedSize(r io.ReaderAt, method string, end int64) (int64, error) {
	if method == "gzip" {
		return -1, nil
	}
	var b [4]byte
	if _, err := r.ReadAt(b[:], end); err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint32(b[:])), nil
}

// decompress returns the reader for a method; that of "" changes nothing.
func decompress(method string, r io.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	b := bufio.NewReaderSize(r, 64<<10)
	r = b
	switch method {
	case "":
		return r, nothing, nil
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		// What follows may be padding.
		z.Multistream(false)
		return z, nothing, nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(Limit))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case "lzma":
		z, err := lzma.ReaderConfig{DictCap: window}.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, nothing, nil
	case "xz":
		if err := checkXZ(b); err != nil {
			return nil, nil, err
		}
		z, err := xz.ReaderConfig{SingleStream: true, DictCap: lzma.MinDictCap}.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, nothing, nil
	}
	return nil, nil, errUnknown(method)
}

func errUnknown(method string) error {
	if printable([]byte(method)) && len(method) < 8 {
		return errors.New("its payload is packed by " + method + ", and alpboot unpacks gzip, zstd, lzma and xz")
	}
	return errors.New("its header names no compression")
}

// checkXZ examines the header of the first block of an xz stream (The .xz File
// Format 1.2, 3.1): the reader of xz would allocate any dictionary that it asks
// for, and does not know the filters that kernels are packed with from Linux
// 6.13 on.
func checkXZ(r *bufio.Reader) error {
	const streamHeader = 12
	b, err := r.Peek(streamHeader + 64) // a longer header has filters that are refused anyway
	if len(b) < streamHeader+8 {
		return err
	}
	flags, b := b[streamHeader+1], b[streamHeader+2:]
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		return v
	}
	for _, size := range []byte{0x40, 0x80} { // of the packed and the unpacked block
		if flags&size != 0 {
			number()
		}
	}
	const lzma2 = 0x21
	switch id, n := number(), number(); {
	case id != lzma2:
		return errors.New("its payload is packed by xz with a filter for machine code, which alpboot does not know")
	case n != 1 || len(b) == 0:
		return errors.New("the header of its xz payload is damaged")
	case b[0] > 30: // (2 | b&1) << (b/2 + 11) bytes
		return fmt.Errorf("its xz payload needs a dictionary of more than %d MiB", window>>20)
	}
	return nil
}
