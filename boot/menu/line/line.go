// Package line shows a [menu.Model] as plain lines of text and reads lines: a
// numbered list and a number. It is for teletypes, for expect scripts, and for
// readers of screens. It sends no control character but CR and LF, and what has
// changed only as new lines.
//
// A Console has the methods of that of package menu/term, so that both can
// stand side by side. The countdown, failures and progress are the model's.
package line

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/console"
)

// Options are how a console is to be used.
type Options struct {
	Charset menu.Charset // ASCII is the zero value
	Columns int          // where lines are broken; 0 for 80

	// Echo, when not nil, is called to let the terminal show what is typed, or
	// not: a passphrase is not shown. [Open] sets it.
	Echo func(on bool)
}

// Console is a terminal, or any two streams, that the menu is written on. Its
// methods may be called from any goroutine.
type Console struct {
	*console.Loop
	server *console.Server

	name    string
	in      io.Reader
	out     io.Writer
	o       Options
	newline string
	close   func() error
	lines   chan []byte

	// These belong to run.
	dialog
	model  *menu.Model // the last one that was written
	paused bool
}

// patience is how long a terminal may take for what is being written to it when
// something is wanted of it.
const patience = 500 * time.Millisecond

// maxLine is how long a line that is typed may be: longer than any command line.
const maxLine = 4096

// Open shows the menu on the terminal device dev, line by line. It does not
// wait for a carrier.
func Open(dev string, o Options) (*Console, error) {
	d, err := console.OpenDevice(dev)
	if err != nil {
		return nil, err
	}
	o.Echo = func(on bool) { d.SetMode(func(t *unix.Termios) { canonical(t, on) }) } // reading reports that it is gone
	o.Echo(true)
	return start(dev, d, d, o, "\n", d.Close), nil
}

// canonical is the mode in which the terminal returns whole lines.
func canonical(t *unix.Termios, echo bool) {
	t.Iflag |= unix.ICRNL
	t.Lflag |= unix.ICANON | unix.ECHOE | unix.ECHOK
	t.Lflag &^= unix.ISIG | unix.ECHO
	if echo {
		t.Lflag |= unix.ECHO
	}
	t.Oflag |= unix.OPOST | unix.ONLCR // what is typed is echoed with an LF alone
	t.Cflag |= unix.CLOCAL | unix.CREAD
}

// start writes the menu to out and reads lines from in, until in ends or Close.
// The name goes into messages as the console that a shell is asked for on.
func start(name string, in io.Reader, out io.Writer, o Options, newline string, closer func() error) *Console {
	if o.Columns <= 0 {
		o.Columns = 80
	}
	if o.Echo == nil {
		o.Echo = func(bool) {}
	}
	server := console.NewServer(name)
	c := &Console{
		Loop: server.Loop(), server: server,
		name: name, in: in, out: out, o: o, newline: newline, close: closer,
		lines: make(chan []byte),
	}
	c.dialog.start()
	go c.run()
	return c
}

// Suspend stops reading and writing until Resume, for a shell or for a kernel
// to use the terminal, after the text last.
func (c *Console) Suspend(last string) error {
	return c.order(func() error {
		if !c.paused && last != "" {
			c.say(last)
		}
		c.paused = true
		c.setReadDeadline(time.Now())
		if d, ok := c.in.(*console.Device); ok {
			return d.Restore() // Ctrl-C must reach what runs in a shell
		}
		return nil
	})
}

// Resume takes the terminal again after Suspend, and writes the list.
func (c *Console) Resume() error {
	return c.order(func() error {
		if c.paused {
			c.paused = false
			c.asks = command // the list is written again, not the question
			c.o.Echo(true)
			c.setReadDeadline(time.Time{})
			c.Redraw()
		}
		return nil
	})
}

// Close ends the console. It may be called more than once.
func (c *Console) Close() error {
	defer c.hurry()()
	return c.server.Close(nil)
}

func (c *Console) order(do func() error) error {
	defer c.hurry()()
	return c.server.Order(do, nil)
}

// hurry limits how long what is being written may take, until its result is
// called.
func (c *Console) hurry() (done func()) {
	d, ok := c.out.(interface{ SetWriteDeadline(time.Time) error })
	if !ok {
		return func() {}
	}
	d.SetWriteDeadline(time.Now().Add(patience))
	return func() { d.SetWriteDeadline(time.Time{}) }
}

// setReadDeadline limits how long reading waits, and reports whether in can do that.
func (c *Console) setReadDeadline(t time.Time) bool {
	d, ok := c.in.(interface{ SetReadDeadline(time.Time) error })
	return ok && d.SetReadDeadline(t) == nil
}

// run owns the output and the dialog.
func (c *Console) run() {
	stop := make(chan struct{})
	lost := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { c.read(stop, lost) })
	err := c.serve(lost)
	close(stop)
	if c.setReadDeadline(time.Now()) {
		reader.Wait()
	}
	c.o.Echo(true)
	err = errors.Join(err, c.close())
	c.server.End(err)
}

func (c *Console) serve(lost <-chan error) error {
	for {
		select {
		case o := <-c.server.Orders():
			if !c.server.Do(o) {
				return nil
			}
		case err := <-lost:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case b := <-c.lines:
			c.show() // another message may take the place of what is to be shown
			c.typed(b)
		case <-c.server.Wake():
			c.show()
		}
	}
}

// read passes lines on without their ends. What it has read is wiped: it may
// have been a passphrase.
func (c *Console) read(stop <-chan struct{}, lost chan<- error) {
	chunk := make([]byte, 256)
	line := make([]byte, 0, maxLine)
	tooLong, after := false, byte(0)
	for {
		n, err := c.in.Read(chunk)
		for _, b := range chunk[:n] {
			last := after
			after = b
			switch {
			case b == '\n' && last == '\r':
				continue
			case b != '\n' && b != '\r':
				if len(line) < maxLine {
					line = append(line, b)
				} else {
					tooLong = true
				}
				continue
			}
			out := append([]byte{}, line...)
			if tooLong {
				out = nil
			}
			clear(line)
			line, tooLong = line[:0], false
			select {
			case c.lines <- out:
			case <-stop:
				clear(out)
				return
			}
		}
		clear(chunk)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond): // suspended
			}
		case err != nil:
			lost <- err
			return
		}
	}
}

func (c *Console) sayf(format string, a ...any) { c.say(fmt.Sprintf(format, a...)) }

// say writes a text, broken into lines, in what the console can show.
func (c *Console) say(text string) {
	var b strings.Builder
	for l := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		for _, s := range fold(menu.Clean(strings.TrimRight(l, "\r"), c.o.Charset), c.o.Columns-1) {
			b.WriteString(s)
			b.WriteString(c.newline)
		}
	}
	io.WriteString(c.out, b.String()) // nobody can be shown that a line takes nothing
}

// fold breaks a line after spaces where it can; white space at its beginning
// stays, and the further lines are indented like it.
func fold(s string, w int) []string {
	in := len(s) - len(strings.TrimLeft(s, " "))
	if in >= w/2 {
		s, in = s[in:], 0
	}
	indent := s[:in]
	var lines []string
	for r := []rune(s); ; r = []rune(indent + strings.TrimLeft(string(r), " ")) {
		if len(r) <= w {
			return append(lines, string(r))
		}
		at := w
		for i := w; i > in; i-- {
			if r[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(r[:at]), " "))
		r = r[at:]
	}
}

// number returns the number that a row is written with; a row keeps it.
func (d *dialog) number(id string) int {
	if _, ok := d.numbers[id]; !ok {
		d.numbers[id] = len(d.numbers) + 1
	}
	return d.numbers[id]
}

// row returns the row that was written with the number s.
func (d *dialog) row(s string) (menu.Row, int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return menu.Row{}, 0, false
	}
	for _, r := range d.rows {
		if d.numbers[r.ID] == n {
			return r, n, true
		}
	}
	return menu.Row{}, n, false
}
