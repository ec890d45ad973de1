package line

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// device is a terminal device that gives whole lines.
type device struct {
	path   string
	file   atomic.Pointer[os.File]
	before unix.Termios
	own    unix.Termios // belongs to who calls echo
}

func openDevice(path string) (*device, error) {
	f, err := openTerminal(path)
	if err != nil {
		return nil, err
	}
	d := &device{path: path}
	d.file.Store(f)
	err = d.control(func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			d.before = *t
		}
		return err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is no terminal: %w", path, err)
	}
	d.own = d.before
	d.own.Iflag |= unix.ICRNL
	d.own.Lflag |= unix.ICANON | unix.ECHOE | unix.ECHOK
	d.own.Lflag &^= unix.ISIG
	d.own.Oflag |= unix.OPOST | unix.ONLCR // what is typed is echoed with an LF alone
	d.own.Cflag |= unix.CLOCAL | unix.CREAD
	d.echo(true)
	return d, nil
}

// openTerminal does not wait for a carrier.
func openTerminal(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

// echo takes the terminal, with what is typed being shown or not. One that has
// hung up is opened again: it does so for everybody when the session ends that
// it controlled, such as that of a shell.
func (d *device) echo(on bool) {
	d.own.Lflag &^= unix.ECHO
	if on {
		d.own.Lflag |= unix.ECHO
	}
	if err := d.set(d.own); !errors.Is(err, unix.EIO) {
		return
	}
	f, err := openTerminal(d.path)
	if err != nil {
		return // reading tells that it is gone
	}
	d.file.Swap(f).Close()
	d.set(d.own)
}

// release gives the terminal back as it was, without closing it.
func (d *device) release() error { return d.set(d.before) }

// set never waits for output to drain.
func (d *device) set(t unix.Termios) error {
	return d.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &t) })
}

func (d *device) control(do func(fd int) error) (err error) {
	c, err := d.file.Load().SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) { err = do(int(fd)) })
	return errors.Join(cerr, err)
}

func (d *device) Read(b []byte) (int, error) {
	for {
		f := d.file.Load()
		n, err := f.Read(b)
		if errors.Is(err, os.ErrClosed) && d.file.Load() != f {
			continue // it was opened again
		}
		return n, err
	}
}

func (d *device) Write(b []byte) (int, error) { return d.file.Load().Write(b) }

func (d *device) SetReadDeadline(t time.Time) error { return d.file.Load().SetReadDeadline(t) }

func (d *device) SetWriteDeadline(t time.Time) error { return d.file.Load().SetWriteDeadline(t) }

func (d *device) Close() error { return errors.Join(d.release(), d.file.Load().Close()) }
