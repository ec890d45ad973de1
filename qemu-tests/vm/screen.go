package vm

import (
	"strings"

	"github.com/hinshun/vt10x"
)

// Size of the emulated terminals, that of a VT100.
const (
	Columns = 80
	Rows    = 24
)

// Screen is what an emulated terminal shows at one moment.
type Screen struct {
	Cells            [Rows][Columns]Cell
	CursorX, CursorY int
}

// Cell is one character of a screen. Colours are the terminal's palette
// entries, from 0; -1 is the default one.
type Cell struct {
	Char                     rune
	Foreground, Background   int
	Bold, Reverse, Underline bool
}

// Attribute bits of vt10x.Glyph.Mode, which that package does not export.
const (
	glyphReverse   = 1 << 0
	glyphUnderline = 1 << 1
	glyphBold      = 1 << 2
)

func snapshot(t vt10x.Terminal) Screen {
	t.Lock()
	defer t.Unlock()
	var s Screen
	for y := range s.Cells {
		for x := range s.Cells[y] {
			g := t.Cell(x, y)
			c := Cell{
				Char:       g.Char,
				Foreground: paletteEntry(g.FG),
				Background: paletteEntry(g.BG),
				Bold:       g.Mode&glyphBold != 0,
				Reverse:    g.Mode&glyphReverse != 0,
				Underline:  g.Mode&glyphUnderline != 0,
			}
			// vt10x stores reversed colours swapped and keeps the mark.
			if c.Reverse {
				c.Foreground, c.Background = c.Background, c.Foreground
			}
			s.Cells[y][x] = c
		}
	}
	cur := t.Cursor()
	s.CursorX, s.CursorY = cur.X, cur.Y
	return s
}

func paletteEntry(c vt10x.Color) int {
	if c >= vt10x.DefaultFG {
		return -1
	}
	return int(c)
}

// Lines returns the text of each row without the blanks at its end.
func (s Screen) Lines() []string {
	lines := make([]string, Rows)
	for y := range s.Cells {
		lines[y] = s.row(y, func(Cell) bool { return true })
	}
	return lines
}

// Marked returns the text of each row that stands in reverse video or on a
// background of its own, such as a selected line of a menu; "" for rows
// without any.
func (s Screen) Marked() []string {
	lines := make([]string, Rows)
	for y := range s.Cells {
		lines[y] = strings.TrimSpace(s.row(y, func(c Cell) bool { return c.Reverse || c.Background > 0 }))
	}
	return lines
}

func (s Screen) row(y int, want func(Cell) bool) string {
	var b strings.Builder
	for _, c := range s.Cells[y] {
		if c.Char == 0 || !want(c) {
			c.Char = ' '
		}
		b.WriteRune(c.Char)
	}
	return strings.TrimRight(b.String(), " ")
}

// String returns the text of the screen, one line a row.
func (s Screen) String() string {
	return strings.Join(s.Lines(), "\n")
}

// Contains reports whether text stands on one row of the screen.
func (s Screen) Contains(text string) bool {
	return strings.Contains(s.String(), text)
}

// Framed returns the text of the screen in a frame, for messages.
func (s Screen) Framed() string {
	var b strings.Builder
	rule := "+" + strings.Repeat("-", Columns) + "+\n"
	b.WriteString(rule)
	for _, l := range s.Lines() {
		b.WriteString("|" + l + strings.Repeat(" ", Columns-len([]rune(l))) + "|\n")
	}
	b.WriteString(rule)
	return b.String()
}
