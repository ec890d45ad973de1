package menu

import "strings"

// Style is the role of a cell; a console decides what the role looks like.
type Style uint8

// The roles.
const (
	Normal   Style = iota
	Title          // header line
	Heading        // the line above the entries of a volume; labels
	Selected       // the entry that Enter boots
	Dim            // what cannot be booted, and side information
	Bad            // errors and warnings
	KeyName        // the name of a key in the footer and in help
	Bar            // what is left of the countdown
	Input          // text being typed
	styles         // how many there are
)

// Styles is the number of roles: they are 0 to Styles-1.
const Styles = int(styles)

// Cell is one character position of a [Screen].
type Cell struct {
	Rune  rune // one column wide, never a control character
	Style Style
}

// Point is a cell position, from 0.
type Point struct{ X, Y int }

// Screen is a whole console, painted: every cell has a rune.
type Screen struct {
	Size   Size
	Cells  []Cell // row by row
	Cursor *Point // nil when the cursor is hidden
}

// At returns the cell in column x of row y.
func (s Screen) At(x, y int) Cell { return s.Cells[y*s.Size.W+x] }

// String returns the text of the screen, a line for each row, without trailing
// spaces.
func (s Screen) String() string {
	var b strings.Builder
	for y := range s.Size.H {
		var row strings.Builder
		for x := range s.Size.W {
			row.WriteRune(s.At(x, y).Rune)
		}
		b.WriteString(strings.TrimRight(row.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// span is text of one style.
type span struct {
	text  string
	style Style
}

// line is what stands on one row.
type line []span

// painter fills a Screen. Whatever is painted outside it is cut off.
type painter struct {
	Screen
	charset Charset
}

func newPainter(size Size, cs Charset) *painter {
	size.W, size.H = max(size.W, 0), max(size.H, 0)
	p := &painter{Screen{Size: size, Cells: make([]Cell, size.W*size.H)}, cs}
	for i := range p.Cells {
		p.Cells[i].Rune = ' '
	}
	return p
}

// put paints s from column x of row y, not reaching column end, and returns
// the column after it.
func (p *painter) put(x, y, end int, s string, style Style) int {
	end = min(end, p.Size.W)
	if y < 0 || y >= p.Size.H {
		return x
	}
	for _, r := range s {
		if x >= end {
			break
		}
		if x >= 0 {
			p.Cells[y*p.Size.W+x] = Cell{cell(r, p.charset), style}
		}
		x++
	}
	return x
}

// line paints l into row y between the margins.
func (p *painter) line(y int, l line) {
	x := margin
	for _, s := range l {
		x = p.put(x, y, p.Size.W-margin, s.text, s.style)
	}
}

// restyle changes the style of row y between the margins.
func (p *painter) restyle(y int, style Style) {
	for x := margin; x < p.Size.W-margin; x++ {
		p.Cells[y*p.Size.W+x].Style = style
	}
}

// fill paints the whole row y with r.
func (p *painter) fill(y int, r rune, style Style) {
	p.put(0, y, p.Size.W, strings.Repeat(string(r), p.Size.W), style)
}

// lines paints text from the top of the body, as far as there is room.
func (p *painter) lines(lines []line) {
	for i, l := range lines[:min(len(lines), bodyHeight(p.Size))] {
		p.line(1+i, l)
	}
}

// scrolled paints into height rows from top those of all rows that begin with
// first, each by paint, and marks in the last column what is above and below.
func (p *painter) scrolled(top, height, first, all int, paint func(y, i int)) {
	for i := first; i < min(first+height, all); i++ {
		paint(top+i-first, i)
	}
	g := p.charset.glyphs()
	x := p.Size.W - 1
	if first > 0 {
		p.put(x, top, x+1, string(g.up), Dim)
	}
	if first+height < all {
		p.put(x, top+height-1, x+1, string(g.down), Dim)
	}
}

func heading(s string) line { return line{{s, Heading}} }

// margin is the columns that are left free at each side.
const margin = 1

// glyphs are the signs that differ between the character sets.
type glyphs struct {
	rule, pointer, up, down, full, empty rune
}

func (cs Charset) glyphs() glyphs {
	if cs == UTF8 {
		return glyphs{'─', '►', '▲', '▼', '█', '░'}
	}
	return glyphs{'-', '>', '^', 'v', '#', '.'}
}
