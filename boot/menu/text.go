package menu

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cell returns the rune to show for r on a console of the given character set:
// r itself when it takes exactly one column and does nothing else, otherwise
// '?'. Nothing that reaches a terminal goes around it.
//
// Beyond ASCII and the drawing glyphs of the VGA font, only Latin, Greek and
// Cyrillic letters pass: they are one column wide everywhere and run from left
// to right. Terminals disagree about the width of nearly everything else.
func cell(r rune, cs Charset) rune {
	switch {
	case r >= ' ' && r <= '~':
		return r
	case cs == UTF8 && (shown(r) || strings.ContainsRune("─│░▒▓█▲▼►◄", r)):
		return r
	}
	return '?'
}

// shown reports whether r, beyond ASCII, is one column wide on any terminal with
// UTF-8.
func shown(r rune) bool {
	return r >= 0xa1 && r < 0x530 && r != 0xad && unicode.IsPrint(r) && !unicode.Is(unicode.M, r)
}

// clean returns s as it can be shown, in which every rune is one column. Marks
// that combine with the letter before them are left out, and typographic signs
// become ASCII.
func clean(s string, cs Charset) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '…':
			b.WriteString("...")
		case '‘', '’', '‚':
			b.WriteByte('\'')
		case '“', '”', '„':
			b.WriteByte('"')
		case '–', '—', '‐', '‑', '−':
			b.WriteByte('-')
		case '•', '·':
			b.WriteByte('*')
		case '\t', '\n', '\u00a0':
			b.WriteByte(' ')
		default:
			if !unicode.Is(unicode.M, r) {
				b.WriteRune(cell(r, cs))
			}
		}
	}
	return b.String()
}

// Clean returns s as it can be written on a console of the given character set,
// for texts that are not part of a [Screen]: no control characters, line ends
// included, and one column for every rune.
func Clean(s string, cs Charset) string { return clean(s, cs) }

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// width is the number of columns of a string that clean has returned.
func width(s string) int { return utf8.RuneCountInString(s) }

// fit cuts s to w columns; dots show that something is missing.
func fit(s string, w int) string {
	if width(s) <= w {
		return s
	}
	r := []rune(s)
	switch {
	case w <= 0:
		return ""
	case w < 8:
		return string(r[:w-1]) + "~"
	}
	return strings.TrimRight(string(r[:w-3]), " ") + "..."
}

// pad fits s into w columns and fills them up.
func pad(s string, w int) string {
	s = fit(s, w)
	return s + strings.Repeat(" ", max(0, w-width(s)))
}

// wrap breaks s into lines of at most w columns, between words where it can.
// It returns at least one line.
func wrap(s string, w int) []string {
	w = max(w, 1)
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= w:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
		for width(line) > w {
			r := []rune(line)
			lines = append(lines, string(r[:w]))
			line = string(r[w:])
		}
	}
	if line != "" || lines == nil {
		lines = append(lines, line)
	}
	return lines
}
