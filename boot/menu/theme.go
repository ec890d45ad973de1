package menu

import (
	"fmt"
	"slices"
	"strings"
)

// Color is one of the eight colours that every console has. With Bold they are
// the bright ones: sixteen in all.
type Color uint8

// The colours. DefaultColor is that of the terminal.
const (
	DefaultColor Color = iota
	Black
	Red
	Green
	Yellow
	Blue
	Magenta
	Cyan
	White
)

// colors are the names of the colours in a theme.
var colors = [...]string{"default", "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}

// Look is what a [Style] looks like. A look that is reversed has its colours
// the other way round, too, so that it shows as it was meant where there are
// colours, and reversed where there are none.
type Look struct {
	Fg, Bg                        Color
	Bold, Dim, Underline, Reverse bool
}

// Theme is how the roles look. The zero value is the built-in theme.
type Theme struct {
	looks [styles]Look
	set   [styles]bool
}

// roleNames are the names of the roles in a theme.
var roleNames = [styles]string{
	Normal: "text", Title: "title", Heading: "heading", Selected: "selected", Dim: "dim",
	Bad: "bad", KeyName: "key", Bar: "bar", Input: "input",
}

// builtin is the theme that reads on a bad monitor.
var builtin = [styles]Look{
	Title:    {Fg: Blue, Bg: White, Reverse: true},
	Heading:  {Fg: Cyan},
	Selected: {Reverse: true},
	Dim:      {Dim: true},
	Bad:      {Fg: Yellow, Bold: true},
	KeyName:  {Fg: Cyan, Bold: true},
	Bar:      {Fg: Green},
}

// mono distinguishes by attributes alone what must be distinguished.
var mono = [styles]Look{
	Title:    {Reverse: true},
	Heading:  {Bold: true},
	Selected: {Reverse: true},
	Dim:      {Dim: true},
	Bad:      {Bold: true},
	KeyName:  {Bold: true},
}

// Look returns what s looks like.
func (t Theme) Look(s Style) Look {
	if t.set[s] {
		return t.looks[s]
	}
	return builtin[s]
}

// Mono returns what s looks like without colours.
func (t Theme) Mono(s Style) Look {
	l, m := t.Look(s), mono[s]
	return Look{Bold: l.Bold || m.Bold, Dim: l.Dim || m.Dim, Underline: l.Underline || m.Underline, Reverse: l.Reverse || m.Reverse}
}

// ParseTheme reads a theme: what differs from the built-in one, as
// ROLE=FOREGROUND[/BACKGROUND][+ATTRIBUTE]..., separated by commas. Roles are
// text, title, heading, selected, dim, bad, key, bar and input; colours are
// default, black, red, green, yellow, blue, magenta, cyan and white, in front
// also with bright-; attributes are bold, dim, underline and reverse. The word
// mono in place of all that is a theme without colours; "" is the built-in one.
func ParseTheme(s string) (Theme, error) {
	var t Theme
	switch s {
	case "":
		return t, nil
	case "mono":
		t.looks = mono
		for i := range t.set {
			t.set[i] = true
		}
		return t, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(part, "=")
		i := slices.Index(roleNames[:], strings.TrimSpace(name))
		if i < 0 {
			return Theme{}, fmt.Errorf("theme: %q is none of %s", name, strings.Join(roleNames[:], ", "))
		}
		l, err := parseLook(strings.TrimSpace(value))
		if err != nil {
			return Theme{}, err
		}
		if Style(i) == Selected && l.Bg == DefaultColor {
			l.Reverse = true // it must be seen
		}
		t.looks[i], t.set[i] = l, true
	}
	return t, nil
}

func parseLook(s string) (Look, error) {
	var l Look
	parts := strings.Split(s, "+")
	fg, bg, hasBg := strings.Cut(parts[0], "/")
	name, bright := strings.CutPrefix(fg, "bright-")
	l.Bold = bright
	var err error
	if l.Fg, err = parseColor(name); err != nil {
		return l, err
	}
	if hasBg {
		if l.Bg, err = parseColor(bg); err != nil {
			return l, err
		}
		l.Fg, l.Bg, l.Reverse = l.Bg, l.Fg, true
	}
	for _, a := range parts[1:] {
		switch a {
		case "bold":
			l.Bold = true
		case "dim":
			l.Dim = true
		case "underline":
			l.Underline = true
		case "reverse":
			l.Reverse = !l.Reverse
		default:
			return l, fmt.Errorf("theme: %q is none of bold, dim, underline, reverse", a)
		}
	}
	return l, nil
}

func parseColor(s string) (Color, error) {
	if i := slices.Index(colors[:], s); i >= 0 {
		return Color(i), nil
	}
	return DefaultColor, fmt.Errorf("theme: %q is none of the colours %s", s, strings.Join(colors[:], ", "))
}
