package menu

import (
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// The smallest console that more than one line is painted on.
const (
	minWidth  = 20
	minHeight = 5
)

// A console that is lower or narrower than this has two lines for messages,
// and no room for details below the list.
const (
	lowHeight   = 16
	narrowWidth = 60
)

// View paints the model for a console of the given size and character set.
// Every cell of the screen is set.
func (m Model) View(size Size, charset Charset) Screen {
	p := newPainter(size, charset)
	if size.W < minWidth || size.H < minHeight {
		p.put(0, 0, size.W, fmt.Sprintf("alpboot: %dx%d is too small", size.W, size.H), Bad)
		return p.Screen
	}
	if m.hidden {
		text := "Any key shows the menu."
		if s := m.activity(); s != "" {
			text = clean(s, charset)
		}
		p.line(size.H-1, line{{fit(text, size.W-2*margin), Dim}})
		return p.Screen
	}
	frame := m.frame(size)
	block := newPainter(frame, charset)
	m.paintHeader(block)
	m.paintMessage(block)
	m.paintFooter(block)
	m.page().paint(m, block)
	if frame == size {
		return block.Screen
	}
	x, y := (size.W-frame.W)/2, (size.H-frame.H)/2
	for row := range frame.H {
		copy(p.Cells[(y+row)*size.W+x:], block.Cells[row*frame.W:(row+1)*frame.W])
	}
	if c := block.Cursor; c != nil {
		p.Cursor = &Point{c.X + x, c.Y + y}
	}
	return p.Screen
}

// A block in the middle of a large console is easier to read than lines from edge
// to edge with the keys a screen below the list.
const (
	widest  = 100 // columns of the block
	usual   = 30  // its rows, where what is shown needs no more
	blockBy = 10  // rows by which it grows: it should not jump with each entry
)

// frame is the size of the block that is painted on a console of size s: all of it
// where that is not large.
func (m Model) frame(s Size) Size {
	f := Size{min(s.W, widest), min(s.H, usual)}
	if s.H > usual {
		if t, ok := m.page().(tall); ok {
			rows := t.height(m, Size{f.W, s.H}) + 3 // header, message, footer
			f.H = min(s.H, max(usual, (rows+blockBy-1)/blockBy*blockBy))
		}
	}
	return f
}

// tall is a page that may need many rows.
type tall interface {
	height(m Model, s Size) int
}

// bodyHeight is the rows between the header and the messages.
func bodyHeight(s Size) int { return s.H - 2 - messageHeight(s) }

func (m Model) paintHeader(p *painter) {
	w := p.Size.W
	p.fill(0, ' ', Title)
	name := "alpboot " + m.config.Version
	if host := m.host(); host != "" {
		name += "  " + host
	}
	if m.config.Title != "" {
		name = m.config.Title
	}
	x := p.put(margin, 0, w-margin, fit(clean(name, p.charset), w/2), Title) + 2
	right := ""
	join := func(s string) {
		if right != "" {
			s = right + ", " + s
		}
		if w >= narrowWidth || width(s) <= w-margin-x { // half of it is of no use
			right = s
		}
	}
	entries := len(m.inventory.Entries)
	if entries > 0 {
		right = boot.Counted(entries, "entry", "entries")
	}
	if n := len(m.notes()); n > 0 {
		join(boot.Counted(n, "note (l)", "notes (l)"))
	}
	var busy []string
	for _, v := range m.inventory.Volumes {
		if v.Busy {
			busy = append(busy, device(v.Volume))
		}
	}
	if len(busy) > 0 && entries > 0 {
		join("reading " + clean(strings.Join(busy, " "), p.charset))
	}
	right = fit(right, max(0, w-margin-x))
	p.put(w-margin-width(right), 0, w-margin, right, Title)
}

// host is the host name of the system that is the default, or of the only one
// there is; "" when it is not known.
func (m Model) host() string {
	e, ok := m.entry(m.defaultID)
	if ok {
		return m.about(e.Volume).System.Host
	}
	host := ""
	for _, v := range m.inventory.Volumes {
		if h := v.System.Host; h != "" && host != "" && h != host {
			return ""
		} else if h != "" {
			host = h
		}
	}
	return host
}

// footer returns the keys of the page that there is room for in w columns. Those of
// the list end with the last one, which is help.
func (m Model) footer(w int) []binding {
	room := w - 2*margin
	all := m.page().keys(m)
	var shown, last []binding
	if l, ok := m.page().(list); ok && !l.filtering {
		all, last = all[:len(all)-1], all[len(all)-1:]
		room -= width(last[0].footText()) - 2
	}
	for _, b := range all {
		if n := width(b.footText()); b.foot != "" && n <= room {
			room -= n
			shown = append(shown, b)
		}
	}
	return append(shown, last...)
}

// footKey is the key that a binding has in the footer, footText that with its word.
func (b binding) footKey() string {
	key, _, _ := strings.Cut(b.keys, " ")
	return key
}

func (b binding) footText() string { return b.footKey() + " " + b.foot + "  " }

func (m Model) paintFooter(p *painter) {
	var l line
	for _, b := range m.footer(p.Size.W) {
		l = append(l, span{b.footKey(), KeyName}, span{" " + b.foot + "  ", Normal})
	}
	p.line(p.Size.H-1, l)
}

// tap does what is under a finger: a row of the list is selected and, if it is
// selected already, chosen; a key of the footer is pressed.
func (m Model) tap(t TapMsg) (Model, Action) {
	if m.shells > 0 {
		return m, nil // it is on the screen
	}
	frame := m.frame(t.Size)
	x, y := t.At.X-(t.Size.W-frame.W)/2, t.At.Y-(t.Size.H-frame.H)/2
	m.by = t.Console
	touched := m.touch()
	if y == frame.H-1 {
		at := margin
		for _, b := range m.footer(frame.W) {
			if from := at; x >= from && x < from+width(b.footText()) {
				m, action := b.do(touched, KeyMsg{Size: frame, Console: t.Console})
				m.list.moved = false
				return m, action
			}
			at += width(b.footText())
		}
		return touched, nil
	}
	if _, ok := m.page().(list); !ok {
		return touched, nil
	}
	s := m.lay(newPainter(frame, UTF8))
	i := y - s.top + s.first
	if y < s.top || y >= s.top+s.height || i >= len(s.rows) || s.rows[i].item < 0 {
		return touched, nil
	}
	if item := s.rows[i].item; item != s.selected || !m.typed {
		touched.list.moved = false
		return touched.selectAt(s.items, item), nil
	}
	touched, action := touched.enter(KeyMsg{})
	touched.list.moved = false
	return touched, action
}
