package zfs

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The compressions of zio_compress.h, as a block pointer names them.
const (
	compressOff   = 2
	compressLZJB  = 3
	compressEmpty = 4
	compressGzip1 = 5
	compressGzip9 = 13
	compressZLE   = 14
	compressLZ4   = 15
	compressZstd  = 16
)

var errCompressed = errors.New("the compressed data is damaged")

// decompress returns the size bytes that src was made of.
func decompress(kind uint8, src []byte, size int) ([]byte, error) {
	switch {
	case kind == compressOff:
		if len(src) < size {
			return nil, errCompressed
		}
		return src[:size], nil
	case kind == compressEmpty:
		return make([]byte, size), nil
	case kind == compressLZJB:
		return lzjb(src, size)
	case kind >= compressGzip1 && kind <= compressGzip9:
		r, err := zlib.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, errCompressed
		}
		dst := make([]byte, size)
		if _, err := io.ReadFull(r, dst); err != nil {
			return nil, errCompressed
		}
		return dst, nil
	case kind == compressZLE:
		return zle(src, size)
	case kind == compressLZ4:
		if len(src) < 4 {
			return nil, errCompressed
		}
		n := binary.BigEndian.Uint32(src)
		if src = src[4:]; uint64(n) > uint64(len(src)) {
			return nil, errCompressed
		}
		return lz4(src[:n], size)
	case kind == compressZstd:
		return unzstd(src, size)
	}
	return nil, fmt.Errorf("alpboot does not know the compression number %d", kind)
}

// unzstd decompresses a frame that has a length and a level before it, instead of
// zstd's magic number (zstd/zfs_zstd.h).
func unzstd(src []byte, size int) ([]byte, error) {
	const header = 8
	if len(src) < header {
		return nil, errCompressed
	}
	n := binary.BigEndian.Uint32(src)
	if uint64(n) > uint64(len(src)-header) {
		return nil, errCompressed
	}
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, src[header:header+int(n)]...)
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max(size, 1<<20))))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	dst, err := d.DecodeAll(frame, make([]byte, 0, size))
	if err != nil || len(dst) != size {
		return nil, errCompressed
	}
	return dst, nil
}

// lz4 decompresses a block of LZ4 (the LZ4 block format).
func lz4(src []byte, size int) ([]byte, error) {
	dst := make([]byte, size)
	at := 0
	length := func(n int) (int, bool) {
		if n < 15 {
			return n, true
		}
		for len(src) > 0 {
			c := src[0]
			src = src[1:]
			if n += int(c); c != 255 {
				return n, true
			}
			if n > size {
				break
			}
		}
		return 0, false
	}
	for len(src) > 0 {
		token := int(src[0])
		src = src[1:]
		n, ok := length(token >> 4)
		if !ok || n > len(src) || n > size-at {
			return nil, errCompressed
		}
		copy(dst[at:], src[:n])
		src, at = src[n:], at+n
		if len(src) == 0 { // the last one has no match
			break
		}
		if len(src) < 2 {
			return nil, errCompressed
		}
		back := int(binary.LittleEndian.Uint16(src))
		src = src[2:]
		n, ok = length(token & 15)
		n += 4
		if !ok || back == 0 || back > at || n > size-at {
			return nil, errCompressed
		}
		for n > 0 { // a match may overlap what it makes
			m := copy(dst[at:at+n], dst[at-back:at])
			at, n = at+m, n-m
		}
	}
	if at != size {
		return nil, errCompressed
	}
	return dst, nil
}

// lzjb decompresses what lzjb.c compresses: a byte of flags for eight items, each
// a byte or a match of two bytes, six bits of length less three, ten of distance.
func lzjb(src []byte, size int) ([]byte, error) {
	dst := make([]byte, size)
	flags, bit := byte(0), 8
	for at := 0; at < size; bit++ {
		if bit == 8 {
			if len(src) == 0 {
				return nil, errCompressed
			}
			flags, bit, src = src[0], 0, src[1:]
		}
		if flags>>bit&1 == 0 {
			if len(src) == 0 {
				return nil, errCompressed
			}
			dst[at], src = src[0], src[1:]
			at++
			continue
		}
		if len(src) < 2 {
			return nil, errCompressed
		}
		n, back := int(src[0]>>2)+3, int(src[0]&3)<<8|int(src[1])
		src = src[2:]
		if back == 0 || back > at {
			return nil, errCompressed
		}
		for ; n > 0 && at < size; n-- {
			dst[at] = dst[at-back]
			at++
		}
	}
	return dst, nil
}

// zle decompresses what zle.c compresses: a byte of length less one, below 64 for
// bytes that follow, and from there on for zeros.
func zle(src []byte, size int) ([]byte, error) {
	const level = 64
	dst := make([]byte, size)
	at := 0
	for len(src) > 0 && at < size {
		n := int(src[0]) + 1
		src = src[1:]
		if n > level {
			at += n - level
			continue
		}
		if n > len(src) || n > size-at {
			return nil, errCompressed
		}
		at += copy(dst[at:], src[:n])
		src = src[n:]
	}
	if at != size {
		return nil, errCompressed
	}
	return dst, nil
}
