package term

import (
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/gdamore/tcell/v2"
	"github.com/gdamore/tcell/v2/terminfo"
)

// terminal describes the terminals that we draw on. They are two subsets of the
// VT220 with eight colours, which every terminal emulator and the kernel's own
// console understand and real terminals ignore. It is built here and not looked
// up: the names that a serial line goes by are unknown anyway, tcell would ask
// some of them questions, and its table of them is large.
//
// Clear undoes what noise or a kernel message may have set before: the
// character set and the scrolling region.
func terminal(serial bool) *terminfo.Terminfo {
	t := &terminfo.Terminfo{
		Name:              "linux",
		Columns:           serialSize.W,
		Lines:             serialSize.H,
		Colors:            8,
		Clear:             "\x1b(B\x0f\x1b[r\x1b[H\x1b[J",
		ShowCursor:        "\x1b[?25h",
		HideCursor:        "\x1b[?25l",
		AttrOff:           "\x1b[m",
		Underline:         "\x1b[4m",
		Bold:              "\x1b[1m",
		Dim:               "\x1b[2m",
		Reverse:           "\x1b[7m",
		SetFg:             "\x1b[3%p1%dm",
		SetBg:             "\x1b[4%p1%dm",
		SetFgBg:           "\x1b[3%p1%d;4%p2%dm",
		ResetFgBg:         "\x1b[39;49m",
		EnableAutoMargin:  "\x1b[?7h",
		DisableAutoMargin: "\x1b[?7l",
		SetCursor:         "\x1b[%i%p1%d;%p2%dH",
		AutoMargin:        true,
	}
	if serial {
		t.Name = "vt220"
	}
	return t
}

// looks returns what each role looks like. The attributes alone distinguish what
// must be distinguished, for terminals without colours and eyes that see none.
func looks(theme menu.Theme, mono bool) [menu.Styles]tcell.Style {
	var ls [menu.Styles]tcell.Style
	for i := range ls {
		l := theme.Look(menu.Style(i))
		if mono {
			l = theme.Mono(menu.Style(i))
		}
		ls[i] = tcell.StyleDefault.Foreground(color(l.Fg)).Background(color(l.Bg)).
			Bold(l.Bold).Dim(l.Dim).Underline(l.Underline).Reverse(l.Reverse)
	}
	return ls
}

func color(c menu.Color) tcell.Color {
	if c == menu.DefaultColor {
		return tcell.ColorDefault
	}
	return tcell.PaletteColor(int(c - menu.Black))
}
