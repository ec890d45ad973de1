package menu

import "fmt"

// paintPick paints a heading, what there is to say, and rows of which one is
// picked, which is always on the screen.
func paintPick(p *painter, head string, say []line, rows []string, picked int) {
	y, height := 1, bodyHeight(p.Size)
	lines := append([]line{heading(fit(head, p.Size.W-2*margin))}, say...)
	if height > len(lines)+len(rows) {
		lines = append(lines, nil)
	}
	lines = lines[:min(len(lines), max(1, height-3))]
	p.lines(lines)
	y, height = y+len(lines), height-len(lines)
	first := max(0, min(picked-height/2, len(rows)-height))
	for i, r := range rows[first:min(first+height, len(rows))] {
		l := line{{"  ", Normal}, {" " + fit(r, p.Size.W-2*margin-4) + " ", Normal}}
		if first+i == picked {
			l[0].text = string(p.charset.glyphs().pointer) + " "
			l[1].style = Selected
		}
		p.line(y+i, l)
	}
	p.more(y, height, first, len(rows))
}

// say breaks a sentence into lines, with an empty one after them.
func say(text string, p *painter) []line {
	var lines []line
	for _, s := range wrap(clean(text, p.charset), p.Size.W-2*margin) {
		lines = append(lines, line{{s, Normal}})
	}
	return append(lines, nil)
}

// paintDefault asks for how long the selected entry shall be the default, and
// says where that is remembered.
func (m Model) paintDefault(p *painter) {
	it, _ := m.selectedItem()
	name := fit(clean(it.name(), p.charset), p.Size.W-2*margin-width(fmt.Sprintf(wordMakeDefault, "")))
	paintKeys(p, fmt.Sprintf(wordMakeDefault, name), say(m.memory, p), defaultKeys())
}

func (m Model) paintKeymaps(p *painter) {
	var rows []string
	for _, name := range m.keymaps() {
		rows = append(rows, clean(name, p.charset))
	}
	typed := wordKeymapHint
	if m.search != "" {
		typed = wordFilter + m.search
	}
	paintPick(p, wordKeymaps, say(typed, p), rows, m.picked)
}
