package menu

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// booting is how far the entry that is being booted has come.
type booting struct {
	id       string    // "" when nothing is being booted
	title    string    // of the entry
	since    time.Time // zero until the next tick
	slow     bool      // it takes so long that progress is shown
	progress ProgressMsg
	cancel   bool // asked to stop
}

// slowAfter is how long loading takes before its progress is shown: a bar that
// only flashes up helps nobody.
const slowAfter = 500 * time.Millisecond

func (b *booting) tick(now time.Time) {
	if b.id == "" {
		return
	}
	if b.since.IsZero() || now.Before(b.since) {
		b.since = now
	}
	b.slow = b.slow || now.Sub(b.since) >= slowAfter
}

// idle is the model once nothing is being booted any more.
func (m Model) idle() Model {
	m.booting, m.status = booting{}, ""
	return m
}

// cancel asks for what is being booted to be stopped, once.
func (m Model) cancel() (Model, Action) {
	if m.booting.id == "" || m.booting.cancel {
		return m, nil
	}
	m.booting.cancel = true
	return m, Cancel{}
}

func (m Model) cancelled() Model {
	if m.booting.id == "" {
		return m
	}
	m = m.idle()
	m.countdown.key()
	return m.say("Stopped. Nothing was booted.")
}

// activity is what is going on, "" for nothing.
func (m Model) activity() string {
	switch {
	case m.booting.cancel:
		return "Stopping ..."
	case m.status != "":
		return m.status
	case m.booting.id != "":
		return fmt.Sprintf("Booting %s ...", m.booting.title)
	}
	return ""
}

// messageHeight is how many rows there are for what paintMessage paints.
func messageHeight(s Size) int {
	if s.H < lowHeight || s.W < narrowWidth {
		return 2
	}
	return 1
}

// paintMessage paints what goes on, above the footer.
func (m Model) paintMessage(p *painter) {
	n := messageHeight(p.Size)
	y := p.Size.H - 1 - n
	w := p.Size.W - 2*margin
	activity := m.activity()
	switch {
	case m.booting.slow && !m.booting.cancel && m.booting.progress.Stage != "":
		m.paintProgress(p, y, n)
		return
	case activity == "" && m.countdown.on:
		m.paintCountdown(p, y, n)
		return
	}
	text, style := m.messageText(activity, p.charset, n*w)
	if style == Input {
		r := []rune(text)
		x := p.put(margin, y, p.Size.W, string(r[max(0, len(r)-w+1):]), Input)
		p.Cursor = &Point{x, y}
		return
	}
	lines := wrap(text, w)
	if len(lines) > n {
		lines = append(lines[:n-1:n-1], fit(strings.Join(lines[n-1:], " "), w))
	}
	for i, l := range lines {
		p.line(y+i, line{{l, style}})
	}
}

// messageText is the most important thing to show now in about room columns.
func (m Model) messageText(activity string, cs Charset, room int) (string, Style) {
	switch {
	case activity != "":
		return clean(activity, cs), Normal
	case m.message.text != "":
		text, style := clean(m.message.text, cs), Normal
		if width(text) > room && m.message.short != "" {
			text = clean(m.message.short, cs)
		}
		if m.message.bad {
			style = Bad
		}
		return text, style
	}
	switch page := m.page().(type) {
	case pager:
		if l, ok := page.doc.(logText); ok && l.typing {
			return "Search: " + clean(l.search, cs), Input
		}
	case list:
		e, ok := m.entry(m.defaultID)
		switch filter := clean(page.filter, cs); {
		case page.filtering:
			return "Filter: " + filter, Input
		case filter != "":
			return fmt.Sprintf("Only entries with \"%s\" are shown. Esc shows all.", filter), Normal
		case ok && e.Problem != "" && !m.typed:
			return fmt.Sprintf("The default, %s, cannot be booted, so nothing is booted by itself.", clean(title(e), cs)), Bad
		case m.wait != "" && !m.typed:
			return clean(m.wait, cs), Bad
		}
	}
	return "", Normal
}

// paintCountdown paints what is booted when, and that it can be stopped, in n
// rows from y. On a wide console all of it stands in one row.
func (m Model) paintCountdown(p *painter, y, n int) {
	const (
		keyName = "Any key"
		anyKey  = keyName + " stops."
		longest = 30
		between = 2
	)
	// As a key in the footer: it is what to know first.
	stops := func(x, y int) {
		p.put(x, y, p.Size.W, anyKey, Normal)
		p.put(x, y, p.Size.W, keyName, KeyName)
	}
	end := p.Size.W - margin
	left, all := m.countdown.left()
	counting, name := m.counting()
	name = clean(name, p.charset)
	text := fmt.Sprintf(counting, left)
	// Laid out for the longest number, so that nothing moves while it falls.
	room := end - margin - width(fmt.Sprintf(counting, all))
	x, row := margin, y
	if n == 1 {
		name = fit(name, room-2*between-width(anyKey)-longest/3)
		x = end - min(longest, room-width(name)-2*between-width(anyKey))
		stops(x-between-width(anyKey), y)
	} else {
		name, row = fit(name, room), y+1
		end -= between + width(anyKey)
		stops(end+between, row)
	}
	p.line(y, line{{text, Normal}, {name, Normal}})
	p.bar(row, x, max(0, min(longest, end-x)), int64(left), int64(all))
}

// counting returns what is counted down, with a place for the seconds, and what
// for.
func (m Model) counting() (format, what string) {
	if m.countdown.id == nothingLeft && m.exhausted != nil {
		return m.exhausted.What + " in %d s: ", m.exhausted.Why
	}
	e, _ := m.entry(m.countdown.id)
	return "Booting in %d s: ", title(e)
}

// bar paints how much part is of whole, at most all of it, into n cells.
func (p *painter) bar(y, x, n int, part, whole int64) {
	g := p.charset.glyphs()
	full := int(math.Ceil(float64(n) * min(max(float64(part)/float64(whole), 0), 1)))
	for i := range n {
		r, style := g.full, Bar
		if i >= full {
			r, style = g.empty, Dim
		}
		p.put(x+i, y, x+n, string(r), style)
	}
}

// paintProgress paints what is being done and how far it is, in n rows from y.
func (m Model) paintProgress(p *painter, y, n int) {
	msg := m.booting.progress
	text := clean(msg.Stage, p.charset)
	if msg.Total <= 0 {
		if msg.Done > 0 {
			text += ": " + bytesText(msg.Done)
		}
		p.line(y, line{{fit(text, p.Size.W-2*margin), Normal}})
		return
	}
	amount := fmt.Sprintf("%s of %s", bytesText(msg.Done), bytesText(msg.Total))
	end := p.Size.W - margin
	row, x := y, margin
	if n == 1 {
		const room = 30 // for the bar, at most
		x = max(end-room, margin+(end-margin)/2)
		text = fit(text, x-margin-width(amount)-4)
	} else {
		row++
		text = fit(text, end-margin-width(amount)-2)
	}
	p.line(y, line{{text + ": ", Normal}, {amount, Normal}})
	p.bar(row, x, end-x, msg.Done, msg.Total)
}

// bytesText returns a size as people read it.
func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%d GB", n/1_000_000_000)
}
