package initramfs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/alpboot/alpboot/boot/payload"
)

// maxUnpacked bounds an unpacked initramfs.
const maxUnpacked = 1 << 30

// endings maps compressions, as [kernel.IdentifyInitrd] has them, to file name
// endings, for those that are unpacked.
var endings = map[string]string{"gzip": ".gz", "xz": ".xz", "zstd": ".zst"}

// Unpackable reports whether [Unpack] knows a compression.
func Unpackable(kind string) bool { return endings[kind] != "" }

// ErrFilter means that an initramfs is packed by xz with a filter for machine code, as
// our own are, and that no program is here which undoes it: neither the library
// does, nor the xz of busybox. Its end is there.
var ErrFilter = errors.New("it is packed by xz with a filter for machine code, which only the program xz undoes")

// Unpack unpacks an initramfs with the compression kind. The library for xz does
// not know its filters for machine code; the program does.
func Unpack(kind string, b []byte) ([]byte, error) {
	ending, ok := endings[kind]
	if !ok {
		return nil, fmt.Errorf("it is packed with %s, which mkpayload does not unpack", kind)
	}
	raw, err := decompress(bytes.NewReader(b), ending, maxUnpacked)
	if err == nil || kind != "xz" {
		return raw, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command("xz", "-dc")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(b), &stderr
	pipe, pipeErr := cmd.StdoutPipe()
	if pipeErr != nil {
		return nil, err
	}
	if cmd.Start() != nil {
		if filtered(b) {
			err = ErrFilter
		}
		return nil, err
	}
	raw, readErr := io.ReadAll(io.LimitReader(pipe, maxUnpacked))
	pipe.Close() // ends one that has more to write
	if waitErr := cmd.Wait(); waitErr != nil {
		if exe, err := filepath.EvalSymlinks(cmd.Path); err == nil && filepath.Base(exe) == "busybox" && filtered(b) {
			return nil, ErrFilter
		}
		return nil, payload.Explain(waitErr, "xz", stderr.Bytes())
	}
	return raw, readErr
}

// filtered reports whether b is xz with a further filter than LZMA2, and ends as xz
// does (The .xz File Format, 2.1.2.4 and 3.1.2).
func filtered(b []byte) bool {
	const blockFlags = 12 + 1 // the size of the first block's header is before them
	b = bytes.TrimRight(b, "\x00")
	return len(b) > blockFlags && b[blockFlags]&3 != 0 && bytes.HasSuffix(b, []byte("YZ"))
}

// decompress reads all of r, by the ending of its name, up to a limit.
func decompress(r io.Reader, ending string, limit int64) ([]byte, error) {
	var err error
	switch ending {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	case ".zst":
		var z *zstd.Decoder
		z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("unpacks to more than %d bytes, which is more than it should", limit)
	}
	return b, nil
}
