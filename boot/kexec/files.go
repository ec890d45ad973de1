package kexec

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// part is a piece of a file, such as a section of a unified kernel image.
type part struct {
	f         *os.File
	off, size int64
}

func wholeFile(f *os.File) (part, error) {
	st, err := f.Stat()
	if err != nil {
		return part{}, err
	}
	if !st.Mode().IsRegular() {
		return part{}, &os.PathError{Op: "read", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	return part{f, 0, st.Size()}, nil
}

func (p part) name() string              { return p.f.Name() }
func (p part) reader() *io.SectionReader { return io.NewSectionReader(p.f, p.off, p.size) }

// whole reports whether the part is all of its file.
func (p part) whole() bool {
	st, err := p.f.Stat()
	return err == nil && p.off == 0 && p.size == st.Size()
}

// mapped returns the contents without copying them. They are not to be read:
// where the disk cannot be read that would kill the program, whereas a system
// call only fails.
func (p part) mapped() (b []byte, unmap func(), err error) {
	page := int64(os.Getpagesize())
	off := p.off &^ (page - 1)
	m, unmap, err := mapFile(p.f, off, p.off-off+p.size)
	if err != nil {
		return nil, nil, err
	}
	return m[p.off-off:], unmap, nil
}

const (
	progressEvery = 100 * time.Millisecond
	copyStep      = 512 << 10 // what is copied before it is checked whether to go on; a disk reads so much at once
)

func (l *Loader) progress(stage string, done, total int64) {
	if l.Progress != nil {
		l.Progress(stage, done, total)
	}
}

// counter counts what is written to w, reports it, and fails when ctx has ended.
type counter struct {
	ctx         context.Context
	w           io.Writer
	stage       string
	done, total int64
	report      func(stage string, done, total int64)
	reported    time.Time
}

// count returns w as one that counts. The end of the stage is the caller's to report.
func (l *Loader) count(ctx context.Context, w io.Writer, stage string, total int64) *counter {
	l.progress(stage, 0, total)
	return &counter{ctx: ctx, w: w, stage: stage, total: total, report: l.progress, reported: time.Now()}
}

func (c *counter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(b)
	c.done += int64(n)
	if now := time.Now(); now.Sub(c.reported) >= progressEvery {
		c.reported = now
		c.report(c.stage, c.done, c.total)
	}
	return n, err
}

// copyPart copies p to w in small steps.
func copyPart(w io.Writer, p part, buf []byte) error {
	// Without the methods that would make it one large step.
	r := struct{ io.Reader }{p.reader()}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, r, buf)
	if err == nil && n != p.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("reading %s after %d of %d bytes: %w", p.name(), n, p.size, err)
	}
	return nil
}

// prefetch reads all files once, so that the system call finds them in memory:
// that call could neither be interrupted nor report how far it is, nor which file
// it was that could not be read.
func (l *Loader) prefetch(ctx context.Context, p *plan) error {
	c := l.count(ctx, io.Discard, "Reading", p.size())
	buf := make([]byte, copyStep)
	for _, x := range append([]part{p.kernel}, p.initrds...) {
		if err := copyPart(c, x, buf); err != nil {
			return err
		}
	}
	l.progress("Reading", c.total, c.total)
	return nil
}

// wholeFiles returns the kernel and the initrd as files of their own, the initrd
// nil when there is none. What is one already is handed on as it is; the rest
// is copied into memory, which done frees.
func (l *Loader) wholeFiles(ctx context.Context, p *plan) (files [2]*os.File, done func(), err error) {
	var made []*os.File
	done = func() {
		for _, f := range made {
			f.Close()
		}
	}
	for i, parts := range [][]part{{p.kernel}, p.initrds} {
		switch {
		case len(parts) == 0:
		case len(parts) == 1 && parts[0].whole():
			files[i] = parts[0].f
		default:
			f, err := l.join(ctx, parts)
			if err != nil {
				done()
				return files, nil, err
			}
			made = append(made, f)
			files[i] = f
		}
	}
	return files, done, nil
}

// mostInitrds is how many initrds get a segment of their own: kexec_load takes
// 16 segments (KEXEC_SEGMENT_MAX), and the kernel needs some for itself.
const mostInitrds = 12

// fewInitrds returns the initrds of p, joined when they are very many.
func (l *Loader) fewInitrds(ctx context.Context, p *plan) (initrds []part, done func(), err error) {
	if len(p.initrds) <= mostInitrds {
		return p.initrds, func() {}, nil
	}
	f, err := l.join(ctx, p.initrds)
	if err != nil {
		return nil, nil, err
	}
	in, err := wholeFile(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return []part{in}, func() { f.Close() }, nil
}

// join copies parts into one file in memory, each padded to four bytes, where
// the kernel's unpacker expects the next archive.
func (l *Loader) join(ctx context.Context, parts []part) (*os.File, error) {
	var total int64
	for _, p := range parts {
		total += p.size
	}
	f, err := memfile(parts[0].name())
	if err != nil {
		return nil, fmt.Errorf("joining files in memory: %w", err)
	}
	c := l.count(ctx, f, "Reading", total)
	buf := make([]byte, copyStep)
	for i, p := range parts {
		err := copyPart(c, p, buf)
		if pad := -p.size & 3; err == nil && i < len(parts)-1 && pad > 0 {
			_, err = f.Write(make([]byte, pad))
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	l.progress("Reading", total, total)
	return f, nil
}

// MemFile returns a file in memory with what r holds, for a kernel or initrd that
// is only a part of a file. Closing it frees the memory.
func MemFile(name string, r io.Reader) (*os.File, error) {
	f, err := memfile(name)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ErrChanged is what [Loader.Sealed] returns for a file that is not the one that was
// signed.
var ErrChanged = errors.New("it was changed after it was signed")

// Sealed returns a copy of f in memory that nobody can change any more, if it has that
// size and hash, else [ErrChanged]. The hash is that of the copy: a disk that returns
// something else when it is read again gains nothing. Closing the copy frees the memory.
func (l *Loader) Sealed(ctx context.Context, f *os.File, size int64, sum [sha256.Size]byte) (*os.File, error) {
	switch p, err := wholeFile(f); {
	case err != nil:
		return nil, err
	case p.size != size:
		return nil, ErrChanged
	}
	c, err := memfile(f.Name())
	if err != nil {
		return nil, fmt.Errorf("copying %s into memory: %w", f.Name(), err)
	}
	buf := make([]byte, copyStep)
	hash := sha256.New()
	err = copyPart(l.count(ctx, c, "Reading", size), part{f, 0, size}, buf)
	if err == nil {
		err = seal(c)
	}
	if err == nil {
		err = copyPart(l.count(ctx, hash, "Checking", size), part{c, 0, size}, buf)
	}
	if err == nil && [sha256.Size]byte(hash.Sum(nil)) != sum {
		err = ErrChanged
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
