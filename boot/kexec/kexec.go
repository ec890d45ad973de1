// Package kexec loads a target kernel and its initrds into memory and jumps to
// it. It uses kexec_file_load(2), and kexec_load(2) where the running kernel
// lacks or refuses the former (Alpine's own kernels lack it).
//
// Every refusal of the kernel comes back as an error that says what to do.
package kexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/alpboot/alpboot/boot/kernel"
)

// Target is what shall run next.
type Target struct {
	Kernel  *os.File
	Initrds []*os.File // in the order in which they shall be unpacked
	Cmdline string
}

// Method says which system call loads the target.
type Method int

const (
	Auto     Method = iota // kexec_file_load, then kexec_load
	FileLoad               // kexec_file_load only
	Load                   // kexec_load only
)

// Syscalls is the kernel as this package sees it; [System] is the real one.
type Syscalls interface {
	// FileLoad is kexec_file_load(2); initrd is nil when there is none.
	FileLoad(kernel, initrd *os.File, cmdline string) error
	// Load is kexec_load(2): segments are copied when the jump happens, and the
	// new kernel is entered at the physical address entry.
	Load(entry uint64, segments []Segment) error
	// Unload forgets a loaded target.
	Unload() error
	// Reboot jumps to the loaded target and returns only on failure.
	Reboot() error
}

// Segment is a piece of memory that the target expects at a physical address.
type Segment struct {
	Data []byte
	Phys uint64 // page aligned
	Size uint64 // room at Phys, a multiple of the page size; what Data does not fill is zero
}

// Loader loads targets.
type Loader struct {
	Sys    Syscalls
	Method Method
}

// cmdlineLimit is COMMAND_LINE_SIZE of x86 and arm64, less the final NUL.
const cmdlineLimit = 2047

// Load checks t and loads it, replacing what was loaded before. The files are
// read from their beginnings; they may be closed afterwards. ctx ends it
// between two steps; the system call itself cannot be interrupted.
func (l *Loader) Load(ctx context.Context, t Target) error {
	if n := len(t.Cmdline); n > cmdlineLimit {
		return fmt.Errorf("the command line has %d characters and the kernel takes %d: shorten it", n, cmdlineLimit)
	}
	info, err := check(t)
	if err != nil {
		return err
	}
	initrd, done, err := join(ctx, t.Initrds)
	if err != nil {
		return err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return err
	}

	var fileErr error
	if l.Method != Load {
		if fileErr = l.Sys.FileLoad(t.Kernel, initrd, t.Cmdline); fileErr == nil {
			return nil
		}
		if l.Method == FileLoad || !otherCallMayDo(fileErr) {
			return explain("kexec_file_load", fileErr)
		}
	}
	err = l.load(ctx, t, info, initrd)
	switch {
	case err == nil:
		return nil
	case fileErr != nil && !missing(fileErr):
		// The first refusal is the one with the reason: the second call is
		// the older and coarser one.
		return fmt.Errorf("%w (kexec_load was tried too: %v)", explain("kexec_file_load", fileErr), err)
	}
	return explain("kexec_load", err)
}

func (l *Loader) load(ctx context.Context, t Target, info kernel.Info, initrd *os.File) error {
	entry, segments, done, err := segments(t.Kernel, info, initrd, t.Cmdline)
	if err != nil {
		return err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.Sys.Load(entry, segments)
}

// Unload forgets what was loaded.
func (l *Loader) Unload() error { return l.Sys.Unload() }

// Exec jumps to the loaded target. It returns only when that fails; nothing is
// unmounted or stopped: that is the caller's part.
func (l *Loader) Exec() error {
	if err := l.Sys.Reboot(); err != nil {
		return explain("reboot", err)
	}
	return errors.New("the kernel came back from the jump")
}

// check refuses what cannot work, with the file's name in the sentence.
func check(t Target) (kernel.Info, error) {
	st, err := t.Kernel.Stat()
	if err != nil {
		return kernel.Info{}, err
	}
	info, err := kernel.Identify(t.Kernel, st.Size())
	if err != nil {
		return info, fmt.Errorf("kernel %s: %w", t.Kernel.Name(), err)
	}
	if info.Arch != "" && info.Arch != runtime.GOARCH {
		return info, fmt.Errorf("kernel %s is for %s and this machine runs %s", t.Kernel.Name(), info.Arch, runtime.GOARCH)
	}
	for _, f := range t.Initrds {
		st, err := f.Stat()
		if err != nil {
			return info, err
		}
		if _, err := kernel.IdentifyInitrd(f, st.Size()); err != nil {
			return info, fmt.Errorf("initrd %s: %w", f.Name(), err)
		}
	}
	return info, nil
}

// join gives one file with all initrds, or nil when there are none. A single
// one is handed on as it is; several are copied into memory, each padded to
// four bytes, where the kernel's unpacker expects the next archive.
func join(ctx context.Context, initrds []*os.File) (f *os.File, done func(), err error) {
	switch len(initrds) {
	case 0:
		return nil, func() {}, nil
	case 1:
		return initrds[0], func() {}, nil
	}
	f, err = memfile("initrd")
	if err != nil {
		return nil, nil, fmt.Errorf("joining %d initrds: %w", len(initrds), err)
	}
	for _, in := range initrds {
		if err := ctx.Err(); err != nil {
			f.Close()
			return nil, nil, err
		}
		if err := appendPadded(f, in); err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("joining initrd %s: %w", in.Name(), err)
		}
	}
	return f, func() { f.Close() }, nil
}

// MemFile gives a file in memory with what r holds, for a kernel or initrd that
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

func appendPadded(dst, src *os.File) error {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(dst, src)
	if err != nil {
		return err
	}
	if pad := -n & 3; pad > 0 {
		_, err = dst.Write(make([]byte, pad))
	}
	return err
}
