package console

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
	"golang.org/x/sys/unix"
)

// Device is a terminal device. Opening it does not wait for a carrier, and
// nothing waits for output to drain.
type Device struct {
	path  string
	file  atomic.Pointer[os.File]
	saved unix.Termios
}

// OpenDevice opens the terminal device with that path. Its mode stays as it is
// until SetMode.
func OpenDevice(path string) (*Device, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	d := &Device{path: path}
	d.file.Store(f)
	err = d.control(func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			d.saved = *t
		}
		return err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is not a terminal: %w", path, err)
	}
	return d, nil
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

func (d *Device) control(do func(fd int) error) (err error) {
	c, err := d.file.Load().SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) { err = do(int(fd)) })
	return errors.Join(cerr, err)
}

// SetMode puts the terminal into the mode that change makes of the one that it
// was in when it was opened. One that has hung up is opened again: it does so
// for everybody when the session ends that it controlled, such as a shell's.
func (d *Device) SetMode(change func(*unix.Termios)) error {
	t := d.saved
	change(&t)
	err := d.set(&t)
	if !errors.Is(err, unix.EIO) {
		return err
	}
	f, err := openFile(d.path)
	if err != nil {
		return err
	}
	d.file.Swap(f).Close()
	return d.set(&t)
}

// Restore puts the terminal back into the mode that it was in when it was opened.
func (d *Device) Restore() error { return d.set(&d.saved) }

func (d *Device) set(t *unix.Termios) error {
	return d.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, t) })
}

// Size returns the size of the terminal as far as it is known: zero is not.
func (d *Device) Size() (s menu.Size) {
	d.control(func(fd int) error {
		ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			s = menu.Size{W: int(ws.Col), H: int(ws.Row)}
		}
		return err
	})
	return s
}

// SetSize lets others know the size, too, such as a shell.
func (d *Device) SetSize(s menu.Size) error {
	ws := unix.Winsize{Row: uint16(s.H), Col: uint16(s.W)}
	return d.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &ws) })
}

// Pending is how many written bytes the line has not sent yet.
func (d *Device) Pending() (n int) {
	err := d.control(func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ)
		return err
	})
	if err != nil {
		return 0
	}
	return n
}

// Read reads on when the terminal was opened again meanwhile.
func (d *Device) Read(b []byte) (int, error) {
	for {
		f := d.file.Load()
		n, err := f.Read(b)
		if n > 0 || !errors.Is(err, os.ErrClosed) || d.file.Load() == f {
			return n, err
		}
	}
}

func (d *Device) Write(b []byte) (int, error) { return d.file.Load().Write(b) }

// SetReadDeadline is that of [os.File].
func (d *Device) SetReadDeadline(t time.Time) error { return d.file.Load().SetReadDeadline(t) }

// SetWriteDeadline is that of [os.File]. It ends a write that is under way, too:
// a line that is stuck takes nothing.
func (d *Device) SetWriteDeadline(t time.Time) error { return d.file.Load().SetWriteDeadline(t) }

// Close restores the terminal and closes it.
func (d *Device) Close() error { return errors.Join(d.Restore(), d.file.Load().Close()) }
