package term

import (
	"cmp"
	"strings"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/console"
	"github.com/gdamore/tcell/v2"
	"golang.org/x/sys/unix"
)

// line is a terminal as a console needs it.
type line interface {
	tcell.Tty

	// SetWriteDeadline lets every write fail that has not ended then, also one
	// that is under way; Start lifts it.
	SetWriteDeadline(t time.Time) error

	// Pending is how many written bytes the line has not sent yet.
	Pending() int

	// ask asks the terminal for its size, where nothing else reports it. The
	// answer comes as a resize, if ever.
	ask()
}

// device is a line on a terminal device. It is what tcell's own devTty is,
// except that it never waits for the line.
type device struct {
	*console.Device
	serial bool
	fixed  menu.Size // when not zero
	asks   bool      // the line did not know its size when it was opened

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

// virtual reports whether dev is one of the kernel's own virtual terminals.
func virtual(dev string) bool {
	n, ok := strings.CutPrefix(dev, "/dev/tty")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func openDevice(dev string, size menu.Size) (*device, error) {
	term, err := console.OpenDevice(dev)
	if err != nil {
		return nil, err
	}
	d := &device{Device: term, serial: !virtual(dev), fixed: size}
	known := term.Size()
	d.asks = d.serial && size == menu.Size{} && (known.W == 0 || known.H == 0)
	d.in.report = d.reported
	return d, nil
}

// Start puts the line into raw mode.
func (d *device) Start() error {
	if err := d.SetMode(d.raw); err != nil {
		return err
	}
	d.mu.Lock()
	d.started = true
	d.in.held, d.in.last = nil, time.Time{}
	d.mu.Unlock()
	d.SetReadDeadline(time.Time{})
	d.SetWriteDeadline(time.Time{})
	if d.serial {
		d.Write([]byte("\x1b[?2004h")) // pastes come marked as such
		d.ask()
	} else {
		d.Write([]byte("\x1b%G")) // UTF-8
	}
	return nil
}

func (d *device) raw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if d.serial {
		// An old terminal stops us with XOFF when it is too slow: that is kept
		// as it was, and any key goes on again.
		if t.Iflag&unix.IXON != 0 {
			t.Iflag |= unix.IXANY
		}
		t.Cflag |= unix.CLOCAL
	} else {
		t.Iflag &^= unix.IXON
	}
}

// Stop leaves the line as it was.
func (d *device) Stop() error {
	d.mu.Lock()
	started := d.started
	d.started = false
	d.mu.Unlock()
	if !started {
		return nil
	}
	limit(d) // somebody may be writing, and never end
	if d.serial {
		d.Write([]byte("\x1b[?2004l"))
	}
	d.Drain()
	return d.Restore()
}

// limit lets what is being written take no longer than patience.
func limit(l line) { l.SetWriteDeadline(time.Now().Add(patience)) }

// Drain wakes up whoever reads.
func (d *device) Drain() error { return d.SetReadDeadline(time.Now()) }

func (d *device) NotifyResize(f func()) {
	d.mu.Lock()
	d.resized = f
	d.mu.Unlock()
}

// WindowSize never fails: a terminal without a size has a usual one.
func (d *device) WindowSize() (tcell.WindowSize, error) {
	s := d.fixed
	if s == (menu.Size{}) {
		s = d.Size()
	}
	return tcell.WindowSize{Width: min(cmp.Or(s.W, serialSize.W), maxColumns), Height: min(cmp.Or(s.H, serialSize.H), maxRows)}, nil
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

// reported has the size that the terminal itself has reported.
func (d *device) reported(rows, columns int) {
	if rows < 5 || columns < 20 || rows > maxRows || columns > maxColumns {
		return
	}
	d.SetSize(menu.Size{W: columns, H: rows})
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
		n, err := d.Device.Read(chunk)
		if n == 0 && err != nil {
			return 0, err
		}
		d.mu.Lock()
		d.out = d.in.feed(chunk[:n], time.Now())
		d.mu.Unlock()
	}
}
