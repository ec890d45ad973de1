// Package kexec loads a target kernel and its initrds into memory and jumps to
// it, by kexec_load(2) or kexec_file_load(2): either may be missing or refuse
// (Alpine's own kernels lack the latter), and then the other one is tried where
// that can help.
//
// Every refusal of the kernel comes back as an error that says what to do. The
// package unmounts and stops nothing, and does not touch consoles: that is the
// caller's part before [Loader.Exec].
package kexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/kernel"
)

// Target is what shall run next.
type Target struct {
	// Kernel is a kernel image, or a unified kernel image: then the initrds in
	// it come before Initrds, and its own command line counts for nothing.
	Kernel  *os.File
	Profile int        // of a unified kernel image: which one
	Initrds []*os.File // in the order in which they shall be unpacked
	Cmdline string     // as the target shall see it
}

// Open opens the files that an entry starts; open opens one of its volume. done
// closes them, also after an error.
func Open(e boot.Entry, open func(name string) (*os.File, error)) (t Target, done func(), err error) {
	var files []*os.File
	done = func() {
		for _, f := range files {
			f.Close()
		}
	}
	t = Target{Cmdline: e.Cmdline, Profile: e.Profile}
	for _, name := range append([]string{e.Kernel}, e.Initrds...) {
		f, err := open(name)
		if err != nil {
			return t, done, err
		}
		files = append(files, f)
	}
	t.Kernel, t.Initrds = files[0], files[1:]
	return t, done, nil
}

// Method is the system call that loads the target.
type Method int

const (
	// Auto tries kexec_load and then kexec_file_load, where this package lays
	// the image out itself and the running kernel is not locked down: the first
	// call needs less memory and far less time, because it takes no digest of
	// all segments, and no room for what the target unpacks itself into. Else
	// it is the other way round.
	Auto     Method = iota
	FileLoad        // kexec_file_load only
	Load            // kexec_load only
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
	Data []byte // may be a mapped file: not to be read by us, a bad disk would kill us
	Phys uint64 // page aligned
	Size uint64 // room at Phys, a multiple of the page size; what Data does not fill is zero
}

// Loader loads targets.
type Loader struct {
	Kernel Syscalls // the running one
	Root   fs.FS    // that its /proc and /sys are read from: os.DirFS("/")
	Method Method

	// Progress, when set, is called at the beginning and the end of each stage
	// and at most every 100 ms between them, from the goroutine that called
	// Load. Done and total count bytes; total is 0 when it is not known. Stages
	// are "Unpacking", "Reading" and "Loading", which is the system call and
	// does not report how far it is; of Sealed "Reading" and "Checking".
	Progress func(stage string, done, total int64)

	// Note, when set, is called when all files are read, from the goroutine that called
	// Load. What it returns can be read in the target by [Handed], where kexec_load
	// starts it on x86; of a longer text than 8 KiB the beginning.
	Note func() string
}

// Load checks t and loads it, replacing what was loaded before. The files are
// read from their beginnings; they may be closed afterwards. When ctx ends, Load
// stops within a moment and leaves nothing loaded: only the system call itself,
// which then reads from memory, is waited for.
func (l *Loader) Load(ctx context.Context, t Target) error {
	p, err := l.prepare(ctx, t)
	if err != nil {
		return err
	}
	defer p.close()
	if err := l.prefetch(ctx, p); err != nil {
		return err
	}
	loaders := []func(context.Context, *plan) error{l.fileLoad, l.load}
	switch {
	case l.Method == FileLoad:
		loaders = loaders[:1]
	case l.Method == Load:
		loaders = loaders[1:]
	case layoutFormat == p.info.Format && !lockedDown(l.Root):
		loaders[0], loaders[1] = loaders[1], loaders[0]
	}
	if err = loaders[0](ctx, p); err == nil || len(loaders) == 1 {
		return l.unlessEnded(ctx, err)
	}
	if ctx.Err() != nil || !otherMayDo(l.Root, err) {
		return l.unlessEnded(ctx, err)
	}
	second := loaders[1](ctx, p)
	switch {
	case second == nil:
		err = nil
	case missing(err):
		err = second
	case !missing(second):
		err = fmt.Errorf("%w; the other way was tried too: %v", err, second)
	}
	return l.unlessEnded(ctx, err)
}

// unlessEnded returns err, or the reason why ctx has ended: then nothing stays
// loaded.
func (l *Loader) unlessEnded(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		if err == nil {
			l.Kernel.Unload()
		}
		return ended
	}
	return err
}

// retryAfter is how long another load, which the kernel does not wait for, is
// allowed to end.
const retryAfter = 500 * time.Millisecond

// call makes a system call that loads, once more when the kernel was busy.
func (l *Loader) call(ctx context.Context, total int64, call func() error) error {
	l.progress("Loading", 0, 0)
	err := call()
	if errors.Is(err, syscall.EBUSY) {
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
			err = call()
		}
	}
	if err == nil {
		l.progress("Loading", total, total)
	}
	return err
}

func (l *Loader) fileLoad(ctx context.Context, p *plan) error {
	files, done, err := l.wholeFiles(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	err = l.call(ctx, p.size(), func() error { return l.Kernel.FileLoad(files[0], files[1], p.cmdline) })
	return l.explain("kexec_file_load", err, p, FileLoad)
}

func (l *Loader) load(ctx context.Context, p *plan) error {
	initrds, done, err := l.fewInitrds(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	image, unmap, err := p.kernel.mapped()
	if err != nil {
		return err
	}
	defer unmap()
	var archives [][]byte
	for _, in := range initrds {
		b, unmap, err := in.mapped()
		if err != nil {
			return err
		}
		defer unmap()
		archives = append(archives, b)
	}
	if l.Note != nil {
		p.note = newNote(p.begun, now(), l.Note())
	}
	entry, segments, err := layOut(l.Root, p, image, archives)
	if err != nil {
		return err
	}
	err = l.call(ctx, p.size(), func() error { return l.Kernel.Load(entry, segments) })
	return l.explain("kexec_load", err, p, Load)
}

// Unload forgets what was loaded.
func (l *Loader) Unload() error { return l.explain("kexec_load", l.Kernel.Unload(), nil, Load) }

// Exec jumps to the loaded target. It returns only when that fails; nothing is
// unmounted or stopped: that is the caller's part.
func (l *Loader) Exec() error {
	if err := l.Kernel.Reboot(); err != nil {
		return l.explain("reboot", err, nil, Auto)
	}
	return errors.New("the kernel came back from the jump")
}

// plan is a target that was read and checked: what is loaded, and how much room
// it takes.
type plan struct {
	kernel  part
	profile int // of a unified kernel image
	info    kernel.Info
	room    uint64 // bytes that the kernel takes in memory while it starts, at least its own size
	initrds []part
	cmdline string
	begun   moment
	note    []byte // that the target finds, see newNote; nil for none

	closers []func()
}

func (p *plan) close() {
	for _, f := range p.closers {
		f()
	}
}

// size returns the bytes that are read from files.
func (p *plan) size() int64 { return p.kernel.size + p.initrdSize() }

func (p *plan) initrdSize() (n int64) {
	for _, in := range p.initrds {
		n += in.size
	}
	return n
}

// prepare refuses what cannot work, with the file's name in the sentence, and
// brings the kernel into a form that the system calls take.
func (l *Loader) prepare(ctx context.Context, t Target) (_ *plan, err error) {
	whole, err := wholeFile(t.Kernel)
	if err != nil {
		return nil, err
	}
	p := &plan{kernel: whole, profile: t.Profile, cmdline: t.Cmdline, begun: now()}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.info, err = kernel.Identify(whole.reader(), whole.size); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", whole.name(), err)
	}
	if p.info.Arch != "" && p.info.Arch != runtime.GOARCH {
		return nil, fmt.Errorf("kernel %s is for %s and this machine runs %s", whole.name(), p.info.Arch, runtime.GOARCH)
	}
	switch p.info.Format {
	case kernel.PE:
		return nil, fmt.Errorf("%s is an EFI program and no kernel", whole.name())
	case kernel.UnifiedImage:
		if err := p.takeApart(); err != nil {
			return nil, fmt.Errorf("kernel %s: %w", whole.name(), err)
		}
	}
	for _, f := range t.Initrds {
		in, err := wholeFile(f)
		if err != nil {
			return nil, err
		}
		p.initrds = append(p.initrds, in)
	}
	for i, in := range p.initrds {
		if _, err := kernel.IdentifyInitrd(in.reader(), in.size); err != nil {
			return nil, fmt.Errorf("initrd %s: %w", in.name(), err)
		}
		start := kernel.InitrdStart(in.reader(), in.size)
		p.initrds[i] = part{in.f, in.off + start, in.size - start}
	}
	limit, err := p.header()
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", whole.name(), err)
	}
	if n := len(p.cmdline); n > limit {
		return nil, fmt.Errorf("the command line has %d characters and the kernel takes %d: shorten it by %d", n, limit, n-limit)
	}
	if err := l.unpack(ctx, p); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", whole.name(), err)
	}
	return p, nil
}

// header reads how much room the kernel takes, and returns the number of
// characters that its command line may have.
func (p *plan) header() (limit int, err error) {
	h := make([]byte, min(0x280, p.kernel.size))
	if _, err := p.kernel.reader().ReadAt(h, 0); err != nil && err != io.EOF {
		return 0, err
	}
	l := kernel.LimitsOf(h, p.info.Format)
	p.room = max(l.Memory, uint64(p.kernel.size))
	return l.Cmdline, nil
}

// takeApart makes a unified kernel image's sections the kernel and the initrds.
func (p *plan) takeApart() error {
	uki, err := kernel.OpenProfile(p.kernel.reader(), p.kernel.size, p.profile)
	if err != nil {
		return err
	}
	section := func(r *io.SectionReader) part {
		_, off, n := r.Outer()
		return part{p.kernel.f, p.kernel.off + off, n}
	}
	for _, r := range uki.Initrds {
		p.initrds = append(p.initrds, section(r))
	}
	p.kernel = section(uki.Linux)
	arch := p.info.Arch
	if p.info, err = kernel.Identify(uki.Linux, uki.Linux.Size()); err == nil && p.info.Arch == "" {
		p.info.Arch = arch
	}
	return err
}
