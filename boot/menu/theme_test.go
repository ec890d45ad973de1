package menu

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestParseTheme(t *testing.T) {
	tests := []struct {
		name, theme string
		role        Style
		want        Look
		err         string
	}{
		{name: "nothing set", role: Heading, want: Look{Fg: Cyan}},
		{name: "a colour", theme: "heading=red", role: Heading, want: Look{Fg: Red}},
		{name: "others stay", theme: "heading=red", role: Bar, want: Look{Fg: Green}},
		{name: "a bright one", theme: "bad=bright-red", role: Bad, want: Look{Fg: Red, Bold: true}},
		{name: "a background is reversed, for those without colours", theme: "selected=black/cyan", role: Selected, want: Look{Fg: Cyan, Bg: Black, Reverse: true}},
		{name: "a selection without background is reversed", theme: "selected=yellow", role: Selected, want: Look{Fg: Yellow, Reverse: true}},
		{name: "attributes", theme: "key=default+underline+bold", role: KeyName, want: Look{Underline: true, Bold: true}},
		{name: "several", theme: "text=white, dim=blue+dim", role: Dim, want: Look{Fg: Blue, Dim: true}},
		{name: "mono", theme: "mono", role: Heading, want: Look{Bold: true}},
		{name: "no such role", theme: "menu=red", err: `"menu"`},
		{name: "no such colour", theme: "title=pink", err: `"pink"`},
		{name: "no such background", theme: "title=red/", err: `""`},
		{name: "a bright background", theme: "title=red/bright-blue", err: `"bright-blue"`},
		{name: "no such attribute", theme: "title=red+blink", err: `"blink"`},
		{name: "half a word", theme: "title", err: `""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			theme, err := ParseTheme(tt.theme)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("the error is %v, want one with %s", err, tt.err)
				}
				if theme != (Theme{}) {
					t.Error("the theme is not the built-in one")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := theme.Look(tt.role); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			for role := range styles {
				if l := theme.Mono(role); l.Fg != DefaultColor || l.Bg != DefaultColor {
					t.Errorf("without colours, role %d is %+v", role, l)
				}
			}
			if !theme.Look(Selected).Reverse || !theme.Mono(Selected).Reverse {
				t.Error("the selection cannot be seen without colours")
			}
		})
	}
}

// The pictures of docs/appearance.md show the themes above them.
func TestThemePictures(t *testing.T) {
	const docs = "../../docs"
	b, err := os.ReadFile(filepath.Join(docs, "appearance.md"))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := run(New(config()), found("root-lts", lts(), virt(), guessed(), broken()), NoticeMsg{"The clock says 1970: it may have lost its battery."}, at(0), at(1))
	screen := m.View(Size{80, 18}, UTF8)
	all := regexp.MustCompile("```\ntheme = ?(.*)\n```\n\n!\\[[^]]+\\]\\((theme-[a-z]+\\.svg)\\)\n").FindAllStringSubmatch(string(b), -1)
	if len(all) < 4 {
		t.Errorf("there are only %d pictures", len(all))
	}
	for _, x := range all {
		theme, err := ParseTheme(x[1])
		if err != nil {
			t.Error(err)
			continue
		}
		golden(t, filepath.Join(docs, x[2]), svg(screen, theme))
	}
	files, _ := filepath.Glob(filepath.Join(docs, "theme-*.svg"))
	if len(files) != len(all) {
		t.Errorf("%d files for %d pictures", len(files), len(all))
	}
}

// svg draws a screen as a VGA does.
func svg(s Screen, theme Theme) string {
	const w, h = 9, 18
	normal := [...]string{Black: "000", Red: "a00", Green: "0a0", Yellow: "a50", Blue: "00a", Magenta: "a0a", Cyan: "0aa", White: "aaa"}
	bright := [...]string{Black: "555", Red: "f55", Green: "5f5", Yellow: "ff5", Blue: "55f", Magenta: "f5f", Cyan: "5ff", White: "fff"}
	var b, texts strings.Builder // what stands on a background comes after it
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"monospace\" font-size=\"15\">\n<rect width=\"100%%\" height=\"100%%\"/>\n", s.Size.W*w, s.Size.H*h)
	for y := range s.Size.H {
		for x := 0; x < s.Size.W; {
			style, from, text := s.At(x, y).Style, x, ""
			for ; x < s.Size.W && s.At(x, y).Style == style; x++ {
				text += string(s.At(x, y).Rune)
			}
			l := theme.Look(style)
			front, back := cmp.Or(l.Fg, White), cmp.Or(l.Bg, Black)
			if l.Reverse {
				front, back = back, front
			}
			fg, bg := normal[front], normal[back]
			switch {
			case l.Bold:
				fg = bright[front]
			case l.Dim && front == White:
				fg = "777"
			}
			if bg != "000" {
				fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%s\"/>\n", from*w, y*h, len([]rune(text))*w, h, bg)
			}
			more := ""
			if l.Underline {
				more = " text-decoration=\"underline\""
			}
			// In words, so that columns stand where they do, whatever the font.
			for _, at := range regexp.MustCompile(`\S+(?: \S+)*`).FindAllStringIndex(text, -1) {
				word := text[at[0]:at[1]]
				n := len([]rune(word))
				fmt.Fprintf(&texts, "<text x=\"%d\" y=\"%d\" textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#%s\"%s>%s</text>\n",
					(from+len([]rune(text[:at[0]])))*w, y*h+14, n*w, fg, more, html.EscapeString(word))
			}
		}
	}
	b.WriteString(texts.String() + "</svg>\n")
	return b.String()
}
