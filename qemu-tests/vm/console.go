package vm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// Console is the far end of one serial port: a terminal of 80 columns and 24
// rows that shows what the machine writes, remembers every byte of it and when
// it came, and types keys.
type Console struct {
	name string // serial0, ...
	vm   *VM

	// Bytes to type pass through a channel of their own, so that the emulator
	// can answer a cursor report while it is being fed.
	typed chan []byte

	mu      sync.Mutex
	term    vt10x.Terminal
	partial []byte // first bytes of a character whose rest has not come
	raw     bytes.Buffer
	chunks  []chunk
	waits   map[*Wait]struct{}
	logFile *os.File
	lineEnd bool // the next byte begins a line of logFile
	end     error
}

// chunk records that the bytes of the log before offset end were there at a time.
type chunk struct {
	end int
	at  time.Duration
}

func newConsole(m *VM, name string) (*Console, error) {
	f, err := os.Create(filepath.Join(m.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	c := &Console{name: name, vm: m, typed: make(chan []byte, 1024), waits: map[*Wait]struct{}{}, logFile: f, lineEnd: true}
	c.term = vt10x.New(vt10x.WithSize(Columns, Rows), vt10x.WithWriter(typist{c}))
	return c, nil
}

// typist takes the emulator's own answers, such as a cursor report.
type typist struct{ c *Console }

func (t typist) Write(b []byte) (int, error) {
	t.c.send(b)
	return len(b), nil
}

func (c *Console) send(b []byte) {
	select {
	case c.typed <- bytes.Clone(b):
	default: // nobody reads: what a cable without hardware handshake does too
	}
}

// cable connects a serial port of QEMU to a [Console]. It is two named pipes, and
// these hold more than the machine writes in a while in which the host does not let
// us read. In a socket there is room for some three hundred bytes that come one by
// one; then the port stands still, the machine drops what it sends, gives its
// terminal up, or, where its clock skips what it sleeps, is reset by its watchdog.
type cable struct {
	out, in *os.File // what the machine writes, and what is typed
	end     *os.File // keeps out from ending before QEMU does
}

// room is how many bytes wait in a cable: as many as anybody may ask for.
const room = 1 << 20

// newCable makes the pipes of QEMU's "-chardev pipe,path=".
func newCable(path string) (*cable, error) {
	for _, name := range []string{path + ".in", path + ".out"} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			return nil, &fs.PathError{Op: "mkfifo", Path: name, Err: err}
		}
	}
	w := &cable{}
	for _, o := range []struct {
		file **os.File
		name string
		mode int
	}{{&w.out, path + ".out", os.O_RDONLY}, {&w.end, path + ".out", os.O_WRONLY}, {&w.in, path + ".in", os.O_RDWR}} {
		f, err := os.OpenFile(o.name, o.mode|unix.O_NONBLOCK, 0)
		if err != nil {
			w.unplug()
			return nil, err
		}
		*o.file = f
	}
	if _, err := unix.FcntlInt(w.out.Fd(), unix.F_SETPIPE_SZ, room); err != nil {
		w.unplug()
		return nil, fmt.Errorf("making room in a pipe: %w", err)
	}
	return w, nil
}

func (w *cable) unplug() {
	for _, f := range []*os.File{w.out, w.in, w.end} {
		f.Close() // those that are nil return an error
	}
}

// serve carries bytes between the port and the emulator until the port closes.
func (c *Console) serve(w *cable) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case b := <-c.typed:
				if _, err := w.in.Write(b); err != nil {
					return
				}
			case <-done:
				return
			}
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, err := w.out.Read(buf)
		if n > 0 {
			c.feed(buf[:n], c.vm.Since())
		}
		if err != nil {
			close(done)
			w.unplug()
			return
		}
	}
}

// feed takes bytes that the machine wrote at a time, and notifies whoever waits
// for them.
func (c *Console) feed(b []byte, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(b)
	c.chunks = append(c.chunks, chunk{c.raw.Len(), at})
	c.writeLog(b, at)

	// The emulator loses a character that is cut in two.
	b = append(c.partial, b...)
	whole := len(b)
	for cut := 1; cut < utf8.UTFMax && cut <= len(b); cut++ {
		if tail := b[len(b)-cut:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole -= cut
			}
			break
		}
	}
	c.partial = bytes.Clone(b[whole:])
	c.term.Write(b[:whole])

	screen := c.screen()
	for w := range c.waits {
		if w.check(screen, at) {
			delete(c.waits, w)
		}
	}
	recent := c.raw.Bytes()[max(0, c.raw.Len()-len(b)-len(panicMark)):]
	if bytes.Contains(recent, []byte(panicMark)) && !c.vm.options.Resets {
		c.endWaits(errPanic)
	}
}

// screen returns a function that takes a picture of the screen when it is first
// called; most conditions need none. c.mu is held for both.
func (c *Console) screen() func() Screen {
	return sync.OnceValue(func() Screen { return snapshot(c.term) })
}

// endWaits lets every wait that is open, or begins later and is not met at
// once, end with a reason. c.mu is held.
func (c *Console) endWaits(reason error) {
	if c.end == nil {
		c.end = reason
	}
	for w := range c.waits {
		w.err = reason
		close(w.done)
		delete(c.waits, w)
	}
}

// writeLog keeps the log readable: control characters are spelled out, and
// each line begins with the seconds since the machine's start.
func (c *Console) writeLog(b []byte, at time.Duration) {
	var out []byte
	for _, x := range b {
		if c.lineEnd {
			out = fmt.Appendf(out, "[%9.3f] ", at.Seconds())
			c.lineEnd = false
		}
		switch {
		case x == '\n':
			out = append(out, x)
			c.lineEnd = true
		case x == '\r':
		case x < ' ' || x == 0x7f:
			out = append(out, '^', x^0x40)
		default:
			out = append(out, x)
		}
	}
	c.logFile.Write(out)
}

// finish is called once, when nothing more will come.
func (c *Console) finish(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endWaits(reason)
	c.logFile.Close()
}

// Screen returns what the console shows now.
func (c *Console) Screen() Screen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return snapshot(c.term)
}

// Log returns everything that the machine has written to the console, escape
// sequences and all.
func (c *Console) Log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// timeOf returns when the byte at an offset of the log came. c.mu is held.
func (c *Console) timeOf(offset int) time.Duration {
	for _, ch := range c.chunks {
		if offset < ch.end {
			return ch.at
		}
	}
	return c.vm.Since()
}

// Type types keys: names such as [Down] and [Enter], or plain text.
func (c *Console) Type(keys ...Key) {
	for _, k := range keys {
		c.send([]byte(k.terminal()))
	}
}

// Condition is something that a console comes to show.
type Condition struct {
	what string
	// met reports whether it is so, and from which offset of the log on.
	met func(c *Console, screen func() Screen) (offset int, ok bool)
}

func (c Condition) String() string { return c.what }

// OnScreen is met when text stands on one row of the screen.
func OnScreen(text string) Condition {
	return ScreenIs(fmt.Sprintf("%q on the screen", text), func(s Screen) bool { return s.Contains(text) })
}

// ScreenIs is met when ok reports true of the screen; what describes it in messages.
func ScreenIs(what string, ok func(Screen) bool) Condition {
	return Condition{what, func(c *Console, screen func() Screen) (int, bool) { return c.raw.Len(), ok(screen()) }}
}

// InLog is met when the machine has written text to the console, at any time
// since its start.
func InLog(text string) Condition {
	return Condition{fmt.Sprintf("%q in the log", text), func(c *Console, _ func() Screen) (int, bool) {
		i := bytes.Index(c.raw.Bytes(), []byte(text))
		return i + len(text) - 1, i >= 0
	}}
}

// LogMatches is met when the log holds a match of re.
func LogMatches(re *regexp.Regexp) Condition {
	return Condition{fmt.Sprintf("a match of %s in the log", re), func(c *Console, _ func() Screen) (int, bool) {
		m := re.FindIndex(c.raw.Bytes())
		if m == nil {
			return 0, false
		}
		return m[1] - 1, true
	}}
}

// LogAfter is met when text has been written to the console after the first n
// bytes of its log.
func LogAfter(n int, text string) Condition {
	return Condition{fmt.Sprintf("%q in the log", text), func(c *Console, _ func() Screen) (int, bool) {
		b := c.raw.Bytes()
		if n > len(b) {
			return 0, false
		}
		i := bytes.Index(b[n:], []byte(text))
		return n + i + len(text) - 1, i >= 0
	}}
}

// Wait is a condition that is checked each time the console changes, from
// [Console.Watch] on.
type Wait struct {
	console *Console
	cond    Condition
	done    chan struct{}
	at      time.Duration
	err     error
}

// check looks whether the condition is met; if so it ends the wait. c.mu is held.
func (w *Wait) check(screen func() Screen, now time.Duration) bool {
	c := w.console
	offset, ok := w.cond.met(c, screen)
	if !ok {
		return false
	}
	w.at = now
	if offset < c.raw.Len() {
		w.at = c.timeOf(offset)
	}
	close(w.done)
	return true
}

// Watch begins to look for a condition. Its time is exact even when the result
// is asked for much later.
func (c *Console) Watch(cond Condition) *Wait {
	w := &Wait{console: c, cond: cond, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.check(c.screen(), c.vm.Since()):
	case c.end != nil:
		w.err = c.end
		close(w.done)
	default:
		c.waits[w] = struct{}{}
	}
	return w
}

// Result waits until the condition is met, and returns when that was, in time
// since the machine's start. The machine's end, a kernel panic or the time
// limit end it with an error that shows what the console shows.
func (w *Wait) Result(limit time.Duration) (time.Duration, error) {
	if w.console.vm.within(limit, w.done) {
		if w.err == nil {
			return w.at, nil
		}
		return 0, w.console.report(w.cond, w.err)
	}
	c := w.console
	c.mu.Lock()
	delete(c.waits, w)
	c.mu.Unlock()
	select {
	case <-w.done: // met at the last moment
		return w.at, w.err
	default:
	}
	return 0, c.report(w.cond, fmt.Errorf("not within %v", limit))
}

// Await waits at most limit for a condition, and returns when it was met.
func (c *Console) Await(limit time.Duration, cond Condition) (time.Duration, error) {
	return c.Watch(cond).Result(limit)
}

// report makes an error of all that helps to find out why a wait failed.
func (c *Console) report(cond Condition, reason error) error {
	log := c.Log()
	const tail = 1500
	if len(log) > tail {
		log = log[len(log)-tail:]
	}
	log = strings.ReplaceAll(log, "\r", "")
	log = strings.ReplaceAll(log, "\x1b", "^[")
	return &WaitError{
		Condition: cond.what,
		Reason:    reason,
		text: fmt.Sprintf("%s: waiting for %s: %v\nThe screen:\n%sThe end of the log:\n%s\nLogs: %s\nTo run this machine by hand:\n  %s",
			c.name, cond.what, reason, c.Screen().Framed(), log, c.vm.dir, c.vm.Reproduce()),
	}
}

// WaitError reports that a condition was not met. Its text holds the screen, the
// end of the log, where the logs are, and the command that runs the machine.
type WaitError struct {
	Condition string
	Reason    error
	text      string
}

func (e *WaitError) Error() string { return e.text }
func (e *WaitError) Unwrap() error { return e.Reason }

// A kernel that has panicked prints nothing more: waiting on is in vain, unless the
// machine goes on after a reset.
const panicMark = "Kernel panic - not syncing"

var errPanic = errors.New("the kernel panicked")
