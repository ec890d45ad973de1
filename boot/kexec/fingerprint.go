package kexec

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/boot"
)

// Fingerprint returns a word that differs when another kernel of that release,
// other initrds or another command line are started. Of an initrd, which may be
// large, only the size and both ends are read.
func Fingerprint(ctx context.Context, t Target, release string) (string, error) {
	const end = 64 << 10
	all := sha256.New()
	fmt.Fprintf(all, "%q %q %d\n", release, t.Cmdline, t.Profile)
	for i, f := range append(t.Initrds[:len(t.Initrds):len(t.Initrds)], t.Kernel) {
		p, err := wholeFile(f)
		if err != nil {
			return "", err
		}
		pieces := []part{p}
		if i < len(t.Initrds) && p.size > 2*end {
			pieces = []part{{f, 0, end}, {f, p.size - end, end}}
		}
		content := sha256.New()
		for _, piece := range pieces {
			if err := copyUntil(ctx, content, piece.reader()); err != nil {
				return "", fmt.Errorf("reading %s: %w", p.name(), err)
			}
		}
		fmt.Fprintf(all, "%d %x\n", p.size, content.Sum(nil))
	}
	return hex.EncodeToString(all.Sum(nil)[:16]), nil
}

// FingerprintOf returns the fingerprint of what an entry starts, whose files are opened
// as by [Open].
func FingerprintOf(ctx context.Context, e boot.Entry, open func(name string) (*os.File, error)) (string, error) {
	t, done, err := Open(e, open)
	defer done()
	if err != nil {
		return "", err
	}
	return Fingerprint(ctx, t, e.Version)
}

// copyUntil copies r to w until it ends, or ctx does.
func copyUntil(ctx context.Context, w io.Writer, r io.Reader) error {
	for {
		_, err := io.CopyN(w, r, 2*copyStep)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
