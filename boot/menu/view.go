package menu

import (
	"fmt"
	"slices"
	"strings"
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
	m.paintHeader(p)
	m.paintMessage(p)
	m.paintFooter(p)
	m.page().paint(m, p)
	return p.Screen
}

// bodyHeight is the rows between the header and the messages.
func bodyHeight(s Size) int { return s.H - 2 - messageHeight(s) }

func (m Model) paintHeader(p *painter) {
	w := p.Size.W
	p.fill(0, ' ', Title)
	x := p.put(margin, 0, w-margin, "alpboot "+clean(m.config.Version, p.charset), Title) + 2
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
		right = counted(entries, "entry", "entries")
	}
	if n := len(m.notes()); n > 0 {
		join(counted(n, "note (l)", "notes (l)"))
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

// paintFooter paints the keys of the page, as many as there is room for. Those
// of the list end with the last one, which is help.
func (m Model) paintFooter(p *painter) {
	var shown []line
	room := p.Size.W - 2*margin
	item := func(b binding) line {
		key, _, _ := strings.Cut(b.keys, " ")
		return line{{key, KeyName}, {" " + b.foot + "  ", Normal}}
	}
	size := func(l line) int { return width(l[0].text) + width(l[1].text) }
	bs := m.page().keys(m)
	var last line
	if l, ok := m.page().(list); ok && !l.filtering {
		last = item(bs[len(bs)-1])
		bs = bs[:len(bs)-1]
		room -= size(last) - 2
	}
	for _, b := range bs {
		if i := item(b); b.foot != "" && size(i) <= room {
			room -= size(i)
			shown = append(shown, i)
		}
	}
	p.line(p.Size.H-1, slices.Concat(append(shown, last)...))
}
