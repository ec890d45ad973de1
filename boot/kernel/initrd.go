package kernel

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// gunzipHead returns the first n bytes of what the gzip file r holds. Few of
// those are read: a file may go on for gigabytes without any content.
func gunzipHead(r io.Reader, n int) ([]byte, error) {
	const most = 128 << 10 // a header can take half of it
	z, err := gzip.NewReader(io.LimitReader(r, most))
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(z, b)
	return b, err
}

// initrdMagics are the beginnings that lib/decompress.c and init/initramfs.c
// of the kernel know.
var initrdMagics = [...]struct{ magic, name string }{
	{"070701", "cpio"},
	{"070702", "cpio"},
	{"\x1f\x8b", "gzip"},
	{"\x1f\x9e", "gzip"},
	{"BZh", "bzip2"},
	{"\x5d\x00\x00", "lzma"},
	{"\xfd7zXZ\x00", "xz"},
	{"\x89LZO", "lzo"},
	{"\x02\x21\x4c\x18", "lz4"},
	{"\x28\xb5\x2f\xfd", "zstd"},
}

// uBootHeader is the size of the header that mkimage puts before a ramdisk or a
// kernel (U-Boot's include/image.h), and uImage what it begins with.
const (
	uBootHeader = 64
	uImage      = "\x27\x05\x19\x56"
)

// InitrdStart returns where the initrd r of size bytes begins: behind the header
// of U-Boot where there is one, else 0.
func InitrdStart(r io.ReaderAt, size int64) int64 {
	const ramdisk = 3 // IH_TYPE_RAMDISK
	h := make([]byte, uBootHeader+8)
	n, _ := r.ReadAt(h, 0)
	h = h[:n]
	if size > uBootHeader && at(h, 0, uImage) && len(h) > uBootHeader && (h[30] == ramdisk || h[30] == 0 && packed(h[uBootHeader:]) != "") {
		return uBootHeader
	}
	return 0
}

// packed returns how an initrd is packed, by its beginning; "" when no kernel could
// unpack it.
func packed(h []byte) string {
	for _, m := range initrdMagics {
		if at(h, 0, m.magic) {
			return m.name
		}
	}
	return ""
}

// IdentifyInitrd reports how the initrd r of size bytes is packed: cpio for an
// uncompressed one (microcode is), else the name of the compression. The error
// is why no kernel could unpack it.
func IdentifyInitrd(r io.ReaderAt, size int64) (string, error) {
	if size == 0 {
		return "", errors.New("the file is empty")
	}
	start := InitrdStart(r, size)
	h := make([]byte, min(8, size-start))
	if _, err := r.ReadAt(h, start); err != nil && err != io.EOF {
		return "", err
	}
	if name := packed(h); name != "" {
		return name, nil
	}
	if len(bytes.Trim(h, "\x00")) == 0 {
		return "", fmt.Errorf("the file begins with %d zero bytes, as after a crash while it was written", len(h))
	}
	return "", errors.New("the file is neither a cpio archive nor compressed in a way that kernels unpack")
}
