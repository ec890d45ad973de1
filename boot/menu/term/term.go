// Package term shows a [menu.Model] on a console, such as /dev/tty1 or
// /dev/ttyS0, and turns what is typed there into messages.
//
// Every console has its own goroutine, size, character set and colours. None
// waits for another, and no caller waits for a console: a serial line that is
// slow or dead shows an old screen, and that is all.
//
// The drawing is done by tcell, which gets nothing from the environment:
// TERM, LANG and the terminfo database do not matter.
package term

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/console"
	"github.com/gdamore/tcell/v2"
)

// Options are how a console is to be used; the zero value finds out.
type Options struct {
	Charset Charset
	Mono    bool       // no colours, attributes only; also when NO_COLOR is set
	Theme   menu.Theme // how the roles look
	Size    menu.Size  // overrides that of the terminal
}

// Charset is which characters a console can show.
type Charset uint8

// Auto is UTF8 on virtual terminals and ASCII on all other lines.
const (
	Auto Charset = iota
	ASCII
	UTF8
)

// Console is one terminal that shows the menu. Its methods may be called from
// any goroutine.
type Console struct {
	*console.Loop
	server *console.Server

	name    string
	line    line
	serial  bool
	screen  tcell.Screen
	charset menu.Charset
	looks   [menu.Styles]tcell.Style
	lost    chan error // the line is gone

	mu    sync.Mutex
	style func() // changes looks before the next screen; nil when they stay
	size  menu.Size

	// These belong to run.
	shown  menu.Screen // what is on the terminal
	keysAt time.Time   // when the last row is shown at the latest that the first screen is without
	locked []bool      // cells that tcell is not to touch
	paused bool
	bell   bell
}

// patience is how long a terminal has for the last bytes before it is given up.
const patience = 300 * time.Millisecond

// Open starts to show the menu on the terminal device dev. It does not wait
// for the line: the error is about dev not being there or being no terminal.
func Open(dev string, o Options) (*Console, error) {
	d, err := openDevice(dev, o.Size)
	if err != nil {
		return nil, err
	}
	return start(dev, d, !virtual(dev), o)
}

func start(name string, l line, serial bool, o Options) (*Console, error) {
	s, err := tcell.NewTerminfoScreenFromTtyTerminfo(shorter{l}, terminal(serial))
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	server := console.NewServer(name)
	c := &Console{
		Loop:    server.Loop(),
		server:  server,
		name:    name,
		line:    l,
		screen:  s,
		charset: menu.ASCII,
		looks:   looks(o.Theme, o.Mono || os.Getenv("NO_COLOR") != ""),
		lost:    make(chan error, 1),
		bell:    newBell(),
	}
	if o.Charset == UTF8 || o.Charset == Auto && !serial {
		c.charset = menu.UTF8
	}
	c.size, c.serial = c.lineSize(), serial
	go c.run()
	return c, nil
}

// Restyle changes how the roles look; see [Options]. It never waits.
func (c *Console) Restyle(theme menu.Theme, mono bool) {
	c.mu.Lock()
	c.style = func() { c.looks = looks(theme, mono || os.Getenv("NO_COLOR") != "") }
	c.mu.Unlock()
	c.Redraw()
}

// Size is the size in cells that is drawn for.
func (c *Console) Size() menu.Size {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// Suspend leaves the terminal as it was, cleared but for the text last, for a shell or for a kernel to use it. Nothing is read from it or drawn on it
// until Resume. It takes half a second at most on a line that sends nothing.
func (c *Console) Suspend(last string) error {
	return c.order(func() error {
		if c.paused {
			return nil
		}
		c.paused, c.bell.left = true, 0
		limit(c.line)
		err := c.screen.Suspend()
		if last != "" {
			c.write(last)
		}
		c.drain(patience, 0)
		return err
	})
}

// write puts text on the suspended terminal.
func (c *Console) write(text string) {
	for l := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		c.line.Write([]byte(menu.Clean(strings.TrimRight(l, "\r"), c.charset) + "\r\n"))
	}
}

// Resume takes the terminal again after Suspend and paints the last model. On a
// line that is stuck it returns an error, and goes on when the line does.
func (c *Console) Resume() error {
	return c.server.Order(func() error { // without limits: nothing would lift them
		if !c.paused {
			return nil
		}
		if err := c.screen.Resume(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		c.paused = false
		c.shown = menu.Screen{}
		c.Redraw()
		return nil
	}, nil)
}

// Close leaves the terminal as it was and ends the console. It may be
// called more than once.
func (c *Console) Close() error {
	limit(c.line) // for what is being written now
	return c.server.Close(c.stop)
}

// order lets run do something, even when the line is stuck.
func (c *Console) order(do func() error) error {
	limit(c.line)
	return c.server.Order(do, c.stop)
}

// stop puts a terminal back into its own mode, even one that does not answer.
func (c *Console) stop() { c.line.Stop() }

// run owns the screen.
func (c *Console) run() {
	err := initScreen(c.screen)
	if err != nil {
		c.line.Close()
	} else {
		var pump sync.WaitGroup
		pump.Add(1)
		go func() { defer pump.Done(); c.pump() }()
		err = c.serve()
		limit(c.line)
		c.screen.Fini()
		pump.Wait()
	}
	c.server.End(err)
}

// serve draws and obeys until the console is closed or lost.
func (c *Console) serve() error {
	for {
		select {
		case o := <-c.server.Orders():
			if !c.server.Do(o) {
				return nil
			}
		case err := <-c.lost:
			return err
		case <-c.server.Wake():
			c.draw()
		case <-c.bell.timer.C:
			c.bell.ring(c.line)
		}
	}
}

// draw brings the last model to the terminal.
func (c *Console) draw() {
	if c.paused {
		return
	}
	// A frame that waits behind another one in the line is old when it arrives:
	// the last model is taken only when the line is free. The first frame has
	// none before it.
	for c.shown.Cells != nil && !c.server.Waiting() && !c.drain(100*time.Millisecond, 32) {
	}
	m, fresh := c.server.Take()
	if m == nil {
		return
	}
	c.bell.mark(m.Beeps())
	c.mu.Lock()
	if c.style != nil {
		c.style()
		c.style = nil
	}
	c.mu.Unlock()
	size := c.lineSize()
	if w, h := c.screen.Size(); w != size.W || h != size.H {
		c.screen.Show() // takes the new size
	}
	c.mu.Lock()
	c.size = size
	c.mu.Unlock()
	s := m.View(size, c.charset)
	old := c.shown
	if c.serial && c.withoutKeys(s, old) && !fresh {
		return
	}
	c.shown = s
	if fresh || s.Size != old.Size {
		c.line.ask()
		c.paint(s, nil)
		c.screen.Sync()
		return
	}
	if !slices.Equal(s.Cells, old.Cells) || !samePoint(s.Cursor, old.Cursor) {
		c.paint(s, old.Cells)
		c.screen.Show()
	}
}

// keysAfter is how long the first screen on a serial line stays without its last row:
// mostly the list is there by then, which has other keys.
const keysAfter = 500 * time.Millisecond

// withoutKeys leaves the last row of the first screen blank, and reports whether
// there is nothing else to be drawn yet.
func (c *Console) withoutKeys(s, old menu.Screen) bool {
	last := s.Cells[len(s.Cells)-s.Size.W:]
	switch {
	case old.Cells == nil && c.keysAt.IsZero():
		c.keysAt = time.Now().Add(keysAfter)
		time.AfterFunc(keysAfter, c.server.Nudge)
		for i := range last {
			last[i] = menu.Cell{Rune: ' '}
		}
	case s.Size == old.Size && time.Now().Before(c.keysAt):
		rest := len(s.Cells) - s.Size.W
		return slices.Equal(s.Cells[:rest], old.Cells[:rest])
	}
	return false
}

// paint hands s to tcell, which sends the cells that differ from what it sent
// before. Clearing its screen first would make them all differ. Three things
// that it does not know save a slow line a lot:
//
//   - On a screen just cleared, for which old is nil, blank cells need not be
//     sent, but for the few between two words. They are locked until something else
//     is to be shown there.
//   - What is blank up to the end of a row is erased by one sequence.
//   - Where few cells between two that differ are the same, sending them is
//     shorter than going around them.
func (c *Console) paint(s menu.Screen, old []menu.Cell) {
	w := s.Size.W
	if old == nil {
		c.locked = make([]bool, len(s.Cells))
	} else {
		c.eraseEnds(s, old)
	}
	var short []bool
	if old == nil {
		short = shortBlanks(s)
	}
	usual := c.usual()
	last := -1 // the last cell that differs
	for i, cell := range s.Cells {
		if old != nil && cell == old[i] { // tcell has it, and a locked one is still blank
			continue
		}
		x, y := i%w, i/w
		blank := usual && isBlank(cell) && !(old == nil && short[i])
		switch {
		case old == nil && blank:
			c.lock(i, w)
		case (old == nil || c.locked[i]) && !blank: // it may be locked from a screen before
			c.locked[i] = false
			c.screen.LockRegion(x, y, 1, 1, false)
		}
		c.screen.SetContent(x, y, cell.Rune, nil, c.looks[cell.Style])
		if old == nil || c.locked[i] {
			continue
		}
		if last >= 0 && last/w == y && i-last <= shortGap && (sameStyle(s.Cells[last:i]) || sameStyle(s.Cells[last+1:i+1])) {
			for j := last + 1; j < i; j++ {
				// There is no other way to have a cell sent.
				c.screen.LockRegion(j%w, y, 1, 1, true)
				c.screen.LockRegion(j%w, y, 1, 1, false)
				c.locked[j] = false
			}
		}
		last = i
	}
	if s.Cursor != nil {
		c.screen.ShowCursor(s.Cursor.X, s.Cursor.Y)
	} else {
		c.screen.HideCursor()
	}
}

// usual reports whether a usual blank looks as a cell that was just erased. With a
// theme in which usual text has a look of its own none does.
func (c *Console) usual() bool { return c.looks[menu.Normal] == tcell.StyleDefault }

func isBlank(cell menu.Cell) bool { return cell == menu.Cell{Rune: ' '} }

// shortBlanks returns which cells of s are among a few blanks between two words:
// sending them is shorter than going around them.
func shortBlanks(s menu.Screen) []bool {
	short := make([]bool, len(s.Cells))
	w := s.Size.W
	for start := 0; start+w <= len(s.Cells); start += w {
		row := s.Cells[start:][:w]
		for from := 0; from < w; from++ {
			to := from
			for to < w && isBlank(row[to]) {
				to++
			}
			if from > 0 && to < w && to-from <= shortGap {
				for i := from; i < to; i++ {
					short[start+i] = true
				}
			}
			from = to
		}
	}
	return short
}

// lock keeps tcell from sending the cell i of a screen of width w.
func (c *Console) lock(i, w int) {
	c.locked[i] = true
	c.screen.LockRegion(i%w, i/w, 1, 1, true)
}

// eraseEnds erases the ends of rows that have become blank, where that is
// shorter than to send blanks. tcell takes no position and no look for granted
// when it draws, so something may be sent before it does.
func (c *Console) eraseEnds(s menu.Screen, old []menu.Cell) {
	const worth = 16 // cells
	if !c.usual() {
		return
	}
	w := s.Size.W
	end := func(row []menu.Cell) int {
		n := len(row)
		for n > 0 && isBlank(row[n-1]) {
			n--
		}
		return n
	}
	var out []byte
	for y := range s.Size.H {
		from, to := end(s.Cells[y*w:(y+1)*w]), end(old[y*w:(y+1)*w])
		if to-from < worth {
			continue
		}
		out = fmt.Appendf(out, "\x1b[m\x1b[%d;%dH\x1b[K", y+1, from+1)
		for x := from; x < to; x++ {
			c.lock(y*w+x, w)
		}
	}
	if out != nil {
		c.line.Write(out)
	}
}

// shortGap is the length of the usual sequence that moves the cursor.
const shortGap = 7

func sameStyle(cells []menu.Cell) bool {
	return !slices.ContainsFunc(cells, func(c menu.Cell) bool { return c.Style != cells[0].Style })
}

func samePoint(a, b *menu.Point) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// drain waits until no more than rest bytes wait to be sent, d at most, and
// reports whether that is so.
func (c *Console) drain(d time.Duration, rest int) bool {
	end := time.Now().Add(d)
	for c.line.Pending() > rest {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}

func (c *Console) lineSize() menu.Size {
	ws, _ := c.line.WindowSize()
	return menu.Size{W: ws.Width, H: ws.Height}
}

// pump hands on what tcell has read. It never waits for anybody, since tcell
// cannot end while its queue is full.
func (c *Console) pump() {
	var paste paster
	for {
		ev := c.screen.PollEvent()
		if ev == nil {
			return
		}
		switch ev := ev.(type) {
		case *tcell.EventKey:
			k := translate(ev)
			if paste.take(k, ev.When()) {
				continue
			}
			k.Size, k.Console = c.Size(), c.name
			c.server.Post(k)
		case *tcell.EventPaste:
			if ev.Start() {
				paste.begin(ev.When())
			} else if text := paste.end(); text != "" {
				c.server.Post(menu.PasteMsg{Text: text})
			}
		case *tcell.EventResize:
			c.server.Nudge()
		case *tcell.EventError:
			select {
			case c.lost <- ev:
			default:
			}
		}
	}
}

// paster collects a paste.
type paster struct {
	on   bool
	last time.Time
	text strings.Builder
}

// The most that is pasted, and how long it may pause: noise that looks like the
// beginning of a paste must not swallow all keys.
const (
	maxPaste   = 16 << 10
	pastePause = time.Second
)

func (p *paster) begin(now time.Time) {
	p.on, p.last = true, now
	p.text.Reset()
}

// take reports whether k is part of a paste.
func (p *paster) take(k menu.KeyMsg, now time.Time) bool {
	if p.on && (now.Sub(p.last) > pastePause || p.text.Len() > maxPaste) {
		p.on = false
	}
	if !p.on {
		return false
	}
	p.last = now
	switch k.Key {
	case menu.KeyRune:
		if k.Mod == 0 {
			p.text.WriteRune(k.Rune)
		}
	case menu.KeyEnter, menu.KeyTab:
		p.text.WriteByte('\n')
	}
	return true
}

func (p *paster) end() string {
	if !p.on {
		return ""
	}
	p.on = false
	return p.text.String()
}

// environment guards the environment while initScreen may change it. It belongs
// to the process, and so does this.
var environment sync.Mutex

// initScreen initialises s for UTF-8, of which the menu uses the ASCII part for
// consoles that know no more. tcell takes the character set from nowhere but
// the environment, which in an initramfs is empty: that means UTF-8, too.
func initScreen(s tcell.Screen) error {
	environment.Lock()
	const name = "LC_ALL"
	old, was := os.LookupEnv(name)
	if old == "" && os.Getenv("LC_CTYPE") == "" && os.Getenv("LANG") == "" {
		environment.Unlock() // a line that takes nothing holds Init up, and must not hold up others
		return s.Init()
	}
	defer environment.Unlock()
	os.Setenv(name, "C.UTF-8")
	defer func() {
		if was {
			os.Setenv(name, old)
		} else {
			os.Unsetenv(name)
		}
	}()
	return s.Init()
}
