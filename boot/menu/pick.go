package menu

import (
	"strings"
)

// pick is a page with a list of names, of which one is picked.
type pick struct {
	head string
	hint string // a sentence below the head
	rows func(m Model) []choice

	searches bool   // rows are found by typing
	search   string // what they must contain
	picked   int
}

// choice is a row to pick.
type choice struct {
	name   string
	action Action
	status string            // what goes on then; "" for nothing
	then   func(Model) Model // nil for nothing
}

// choices are the rows that are shown now, those that begin with what is searched for
// before others.
func (pk pick) choices(m Model) []choice {
	var first, others []choice
	for _, c := range pk.rows(m) {
		switch {
		case strings.HasPrefix(c.name, pk.search):
			first = append(first, c)
		case strings.Contains(c.name, pk.search):
			others = append(others, c)
		}
	}
	return append(first, others...)
}

// The letters are left to what is typed.
func (pk pick) keys(m Model) []binding {
	bs := []binding{
		{keys: "Enter", foot: "choose", help: "choose it", do: pk.choose},
		{keys: "Esc", also: "Ctrl-C", foot: "back", help: "back without choosing", do: updates(Model.back)},
		{keys: "Up Down", also: "Ctrl-P Ctrl-N", help: helpLine, do: pk.move(-1), second: pk.move(1)},
	}
	if pk.searches {
		bs = append(bs, queryKeys(pk.search, pk.searchFor)...)
	}
	return bs
}

func (pk pick) move(by int) handler {
	return updates(func(m Model) Model {
		pk.picked = max(0, min(pk.picked+by, len(pk.choices(m))-1))
		return m.set(pk)
	})
}

func (pk pick) choose(m Model, _ KeyMsg) (Model, Action) {
	switch all := pk.choices(m); {
	case len(all) > 0:
		c := all[min(pk.picked, len(all)-1)]
		m = m.back()
		if c.then != nil {
			m = c.then(m)
		}
		if c.status != "" {
			m = m.say("%s", c.status)
		}
		return m, c.action
	case pk.searches:
		return m, nil
	}
	return m.back(), nil
}

func (pk pick) write(m Model, text string, _ bool) Model {
	if !pk.searches {
		return m
	}
	return pk.searchFor(m, query(pk.search, text))
}

func (pk pick) searchFor(m Model, text string) Model {
	pk.search, pk.picked = text, 0
	return m.set(pk)
}

func (pk pick) paint(m Model, p *painter) {
	hint := pk.hint
	if pk.search != "" {
		hint = "Filter: " + pk.search
	}
	var rows []string
	for _, c := range pk.choices(m) {
		rows = append(rows, clean(c.name, p.charset))
	}
	paintPick(p, pk.head, paragraph(hint, p), rows, pk.picked)
}

// paintPick paints a heading, some lines, and rows of which one is picked,
// which is always on the screen.
func paintPick(p *painter, head string, above []line, rows []string, picked int) {
	paintList(p, head, above, rows, picked, nil)
}

// paintList is paintPick with lines at the end, as far as there is room for more than
// a few rows.
func paintList(p *painter, head string, above []line, rows []string, picked int, below []line) {
	const few = 6
	height := bodyHeight(p.Size)
	below = below[:max(0, min(len(below), height-few-2))]
	height -= len(below)
	if spare := height - 1 - len(above) - len(rows) - 2; len(below) > 0 && spare > 0 {
		height -= spare // directly under the rows
	}
	for i, l := range below {
		p.line(1+height+i, l)
	}
	lines := append([]line{heading(fit(head, p.Size.W-2*margin))}, above...)
	if height > len(lines)+len(rows) {
		lines = append(lines, nil)
	}
	lines = lines[:min(len(lines), max(1, height-3))]
	p.lines(lines)
	height -= len(lines)
	p.scrolled(1+len(lines), height, max(0, min(picked-height/2, len(rows)-height)), len(rows), func(y, i int) {
		l := line{{"  ", Normal}, {" " + fit(rows[i], p.Size.W-2*margin-4) + " ", Normal}}
		if i == picked {
			l[0].text = string(p.charset.glyphs().pointer) + " "
			l[1].style = Selected
		}
		p.line(y, l)
	})
}

// paragraph breaks a sentence into lines, with an empty one after them.
func paragraph(text string, p *painter) []line {
	var lines []line
	for _, s := range wrap(clean(text, p.charset), p.Size.W-2*margin) {
		lines = append(lines, line{{s, Normal}})
	}
	return append(lines, nil)
}

// pickKeymap asks for a keyboard layout.
func (m Model) pickKeymap() Model {
	if len(m.config.Keymaps) == 0 {
		return m.say("There are no keyboard layouts, neither in this image nor on a disk.")
	}
	return m.open(pick{head: "Keyboard layout", hint: "Type to find one.", searches: true, rows: func(m Model) []choice {
		var all []choice
		for _, name := range m.config.Keymaps {
			all = append(all, choice{name: name, action: SetKeymap{Name: name}, status: "Keyboard layout: " + name + "."})
		}
		return all
	}})
}
