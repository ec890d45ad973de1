package term

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
	"github.com/gdamore/tcell/v2"
	"golang.org/x/sys/unix"
)

// line is a terminal as a console needs it.
type line interface {
	tcell.Tty

	// limit lets every write fail that has not ended after d, also one that is
	// under way; Start lifts it.
	limit(d time.Duration)

	// pending is how many written bytes the line has not sent yet.
	pending() int

	// ask asks the terminal for its size, where nothing else tells it. The
	// answer comes as a resize, if ever.
	ask()
}

// device is a line on a terminal device. It is what tcell's own devTty does,
// except that it never waits for a carrier, or for output to drain, and that
// its writes can be given up.
type device struct {
	path   string
	file   atomic.Pointer[os.File]
	serial bool
	fixed  menu.Size // when not zero
	saved  unix.Termios
	asks   bool // the line did not know its size when it was opened

	mu      sync.Mutex
	started bool
	resized func()
	in      input
	out     []byte // read but not yet handed out
}

// The sizes that are believed of a terminal.
const (
	maxColumns = 500
	maxRows    = 200
)

// serialSize is the size of a serial line of which nothing is known.
var serialSize = menu.Size{W: 80, H: 24}

// virtual tells whether dev is one of the kernel's own virtual terminals.
func virtual(dev string) bool {
	n, ok := strings.CutPrefix(dev, "/dev/tty")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func openDevice(dev string, size menu.Size) (*device, error) {
	f, err := openTerminal(dev)
	if err != nil {
		return nil, err
	}
	d := &device{path: dev, serial: !virtual(dev), fixed: size}
	d.file.Store(f)
	d.in.report = d.reported
	err = d.control(func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		d.saved = *t
		ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		d.asks = d.serial && size == menu.Size{} && (err != nil || ws.Row == 0 || ws.Col == 0)
		return nil
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is no terminal: %w", dev, err)
	}
	return d, nil
}

// openTerminal does not wait for the carrier of a serial line.
func openTerminal(dev string) (*os.File, error) {
	return os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

// reopen is for a terminal that has hung up, as it does for everybody when the
// session ends that it controlled, such as that of a shell.
func (d *device) reopen() error {
	f, err := openTerminal(d.path)
	if err != nil {
		return err
	}
	d.file.Swap(f).Close()
	return nil
}

func (d *device) control(f func(fd int) error) error {
	c, err := d.file.Load().SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := c.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// Start puts the line into raw mode.
func (d *device) Start() error {
	raw := d.saved
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if d.serial {
		// An old terminal stops us with XOFF when it is too slow: that is kept
		// as it was, and any key goes on again.
		if raw.Iflag&unix.IXON != 0 {
			raw.Iflag |= unix.IXANY
		}
		raw.Cflag |= unix.CLOCAL
	} else {
		raw.Iflag &^= unix.IXON
	}
	err := d.set(raw)
	if errors.Is(err, unix.EIO) {
		if err = d.reopen(); err == nil {
			err = d.set(raw)
		}
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.started = true
	d.in.held, d.in.last = nil, time.Time{}
	d.mu.Unlock()
	d.file.Load().SetReadDeadline(time.Time{})
	d.file.Load().SetWriteDeadline(time.Time{})
	if d.serial {
		d.Write([]byte("\x1b[?2004h")) // pastes come marked as such
		d.ask()
	} else {
		d.Write([]byte("\x1b%G")) // UTF-8
	}
	return nil
}

// set never waits for output to drain.
func (d *device) set(t unix.Termios) error {
	return d.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &t) })
}

// Stop gives the line back as it was.
func (d *device) Stop() error {
	d.mu.Lock()
	started := d.started
	d.started = false
	d.mu.Unlock()
	if !started {
		return nil
	}
	d.limit(patience) // somebody may be writing, and never end
	if d.serial {
		d.Write([]byte("\x1b[?2004l"))
	}
	d.file.Load().SetReadDeadline(time.Now())
	return d.set(d.saved)
}

// Drain wakes up whoever reads.
func (d *device) Drain() error { return d.file.Load().SetReadDeadline(time.Now()) }

func (d *device) NotifyResize(f func()) {
	d.mu.Lock()
	d.resized = f
	d.mu.Unlock()
}

// WindowSize never fails: a terminal without a size has a usual one.
func (d *device) WindowSize() (tcell.WindowSize, error) {
	s := d.fixed
	if s == (menu.Size{}) {
		d.control(func(fd int) error {
			if ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
				s = menu.Size{W: int(ws.Col), H: int(ws.Row)}
			}
			return nil
		})
	}
	if s.W <= 0 {
		s.W = serialSize.W
	}
	if s.H <= 0 {
		s.H = serialSize.H
	}
	return tcell.WindowSize{Width: min(s.W, maxColumns), Height: min(s.H, maxRows)}, nil
}

func (d *device) ask() {
	if !d.asks {
		return
	}
	d.mu.Lock()
	d.in.until = time.Now().Add(2 * time.Second)
	d.mu.Unlock()
	// As far as the cursor goes, and where it is then.
	d.Write([]byte("\x1b7\x1b[999;999H\x1b[6n\x1b8"))
}

// reported has the size that the terminal itself has told. The kernel is told,
// too, so that a shell knows it.
func (d *device) reported(rows, columns int) {
	if rows < 5 || columns < 20 || rows > maxRows || columns > maxColumns {
		return
	}
	ws := unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	d.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &ws) })
	if d.resized != nil {
		d.resized()
	}
}

func (d *device) Read(b []byte) (int, error) {
	for {
		d.mu.Lock()
		if len(d.out) > 0 {
			n := copy(b, d.out)
			d.out = d.out[n:]
			d.mu.Unlock()
			return n, nil
		}
		d.mu.Unlock()
		chunk := make([]byte, 128)
		n, err := d.file.Load().Read(chunk)
		if n == 0 && err != nil {
			return 0, err
		}
		d.mu.Lock()
		d.out = d.in.feed(chunk[:n], time.Now())
		d.mu.Unlock()
	}
}

func (d *device) Write(b []byte) (int, error) { return d.file.Load().Write(b) }

func (d *device) limit(t time.Duration) { d.file.Load().SetWriteDeadline(time.Now().Add(t)) }

func (d *device) pending() int {
	n := 0
	d.control(func(fd int) error {
		var err error
		if n, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ); err != nil {
			n = 0
		}
		return nil
	})
	return n
}

func (d *device) Close() error { return d.file.Load().Close() }
