package menu

// pager is a page that shows text, of which there may be more than fits.
type pager struct {
	doc document
	top int // first line that is shown
}

// document is what a pager shows.
type document interface {
	// lines returns the text for w columns.
	lines(m Model, w int, cs Charset) []line

	// keys are those besides the ones that every pager has.
	keys(m Model, p pager) []binding
}

// end is the top of a log that shows its last lines, also when more come.
const end = 1 << 30

func (p pager) keys(m Model) []binding {
	if l, ok := p.doc.(logText); ok && l.typing {
		return l.searchKeys(p)
	}
	return append([]binding{
		back(),
		{keys: "Up k Ctrl-P", help: "a line up", do: p.scroll(func(top, _, _ int) int { return top - 1 })},
		{keys: "Down j Ctrl-N", help: "a line down", do: p.scroll(func(top, _, _ int) int { return top + 1 })},
		{keys: "PgUp", help: helpPgUp, do: p.scroll(func(top, height, _ int) int { return top - height })},
		{keys: "PgDn Space", help: helpPgDn, do: p.scroll(func(top, height, _ int) int { return top + height })},
		{keys: "Home g", help: "to the top", do: p.scroll(func(_, _, _ int) int { return 0 })},
		{keys: "End G", help: "to the end", do: p.scroll(func(_, _, last int) int { return last })},
	}, p.doc.keys(m, p)...)
}

// scroll is a handler that moves the text. What it moves to comes of where it is,
// the lines on the screen, and the last line that may be at the top.
func (p pager) scroll(to func(top, height, last int) int) handler {
	return func(m Model, k KeyMsg) (Model, Action) {
		height := bodyHeight(k.Size)
		last := max(0, len(p.doc.lines(m, textWidth(k.Size), ASCII))-max(1, height))
		p.top = min(max(to(min(p.top, last), height, last), 0), last)
		if _, ok := p.doc.(logText); ok && last > 0 && p.top == last {
			p.top = end
		}
		return m.set(p), nil
	}
}

func (p pager) height(m Model, s Size) int { return len(p.doc.lines(m, textWidth(s), ASCII)) }

// textWidth is how many columns text has on a console of size s.
func textWidth(s Size) int { return max(s.W, minWidth) - 2*margin }

func (p pager) paint(m Model, on *painter) {
	lines := p.doc.lines(m, textWidth(on.Size), on.charset)
	height := bodyHeight(on.Size)
	on.scrolled(1, height, min(p.top, max(0, len(lines)-height)), len(lines), func(y, i int) { on.line(y, lines[i]) })
}

// write adds to what the log is searched for. Other text means nothing.
func (p pager) write(m Model, text string, _ bool) Model {
	if l, ok := p.doc.(logText); ok && l.typing {
		return l.searchFor(m, query(l.search, text))
	}
	return m
}
