package menu

import "strings"

// Style is the role of a cell; a console decides what the role looks like.
type Style uint8

// The roles.
const (
	Normal   Style = iota
	Title          // header line
	Heading        // the line above the entries of a volume, labels in details
	Selected       // entry under the cursor
	Dim            // what cannot be booted, and side information
	Bad            // errors and warnings
	KeyName        // the name of a key in the footer and in help
	Bar            // what is left of the countdown
	Input          // text being typed
)

// Cell is one character position of a [Screen].
type Cell struct {
	Rune  rune // one column wide, never a control character
	Style Style
}

// Screen is a whole console, painted: every cell has a rune.
type Screen struct {
	Size   Size
	Cells  []Cell // row by row
	Cursor *Point // nil when the cursor is hidden
}

// Point is a cell position, from 0.
type Point struct{ X, Y int }

// At gives the cell in column x of row y.
func (s Screen) At(x, y int) Cell { return s.Cells[y*s.Size.W+x] }

// String gives the text of the screen, a line for each row, without trailing
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
