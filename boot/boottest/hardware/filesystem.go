package hardware

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot/device"
)

// filesystem is a device that was mounted.
type filesystem struct {
	m      *Machine
	d      *attached
	files  fs.FS
	root   *device.Root // when files is one
	closed bool         // guarded by m.mu
}

var (
	_ fs.ReadDirFS  = (*filesystem)(nil)
	_ fs.StatFS     = (*filesystem)(nil)
	_ fs.ReadLinkFS = (*filesystem)(nil)
)

// use fails when the filesystem cannot be used: op and name are for the error.
func (f *filesystem) use(op, name string) error {
	f.m.mu.Lock()
	fault, released, gone, closed := f.d.fault(Read), f.m.released, f.d.gone, f.closed
	if closed {
		f.m.wrong = append(f.m.wrong, op+" "+name+" on "+f.d.Block.Path+", which was unmounted")
	}
	f.m.mu.Unlock()
	if !closed && fault.Hang {
		<-released
	}
	if !closed && fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	err := fault.Err
	switch {
	case closed:
		err = fs.ErrClosed
	case gone:
		err = syscall.EIO
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// Open implements [fs.FS]. As those of a real filesystem, files that are open
// can be read after Close.
func (f *filesystem) Open(name string) (fs.File, error) {
	if err := f.use("open", name); err != nil {
		return nil, err
	}
	return f.files.Open(name)
}

func (f *filesystem) Stat(name string) (fs.FileInfo, error) {
	if err := f.use("stat", name); err != nil {
		return nil, err
	}
	return fs.Stat(f.files, name)
}

func (f *filesystem) Lstat(name string) (fs.FileInfo, error) {
	if err := f.use("lstat", name); err != nil {
		return nil, err
	}
	return fs.Lstat(f.files, name)
}

func (f *filesystem) ReadLink(name string) (string, error) {
	if err := f.use("readlink", name); err != nil {
		return "", err
	}
	return fs.ReadLink(f.files, name)
}

func (f *filesystem) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.use("open", name); err != nil {
		return nil, err
	}
	return fs.ReadDir(f.files, name)
}

// Close unmounts.
func (f *filesystem) Close() error {
	f.m.mu.Lock()
	if f.closed {
		f.m.wrong = append(f.m.wrong, f.d.Block.Path+" was unmounted twice")
	}
	f.closed = true
	fault, released := f.d.fault(Unmount), f.m.released
	f.m.running++
	f.m.mu.Unlock()
	if fault.Hang {
		<-released
	}
	time.Sleep(f.m.Latency + fault.Delay)
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.running--
	delete(f.m.mounted, f)
	if f.root != nil {
		return f.root.Close()
	}
	return fault.Err
}
