package menu

import "strings"

// help is the page of all keys.
type help struct{}

func (help) keys(Model, pager) []binding { return nil }

func (help) lines(_ Model, w int, _ Charset) []line {
	lines := []line{heading("Keys")}
	page := ""
	for _, k := range Keys() {
		if k.Screen != page {
			page = k.Screen
			lines = append(lines, nil, heading(page))
		}
		lines = append(lines, helpKey(k.Keys, k.Help, w)...)
	}
	lines = append(lines, nil, heading("Marks behind an entry"))
	for _, x := range marks() {
		lines = append(lines, helpRow(x.letter+" "+x.word, x.help, w)...)
	}
	return lines
}

// marks returns all marks behind an entry.
func marks() []mark { return []mark{markDefault, markLast, markFailed, markCannot, markGuessed} }

// helpColumn is where the help for a key begins on a console of width w.
func helpColumn(w int) int {
	if w < narrowWidth {
		return 12
	}
	return 24
}

// helpKey returns keys and what they do, with the help in a column of its own.
func helpKey(keys, help string, w int) []line {
	return helpRow(strings.ReplaceAll(keys, " ", ", "), help, w)
}

func helpRow(keys, help string, w int) []line {
	var lines []line
	column := helpColumn(w)
	keys = "  " + keys
	if width(keys) >= column {
		lines = append(lines, line{{keys, KeyName}})
		keys = ""
	}
	for _, s := range wrap(help, w-column) {
		lines = append(lines, line{{pad(keys, column), KeyName}, {s, Normal}})
		keys = ""
	}
	return lines
}
