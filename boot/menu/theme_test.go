package menu

import (
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
