package menu

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

// tapped returns a touch of where a screen of the model has a text.
func tapped(t *testing.T, m Model, size Size, text string) TapMsg {
	t.Helper()
	rows := strings.Split(m.View(size, UTF8).String(), "\n")
	for y, row := range rows {
		if before, _, ok := strings.Cut(row, text); ok {
			return TapMsg{At: Point{len([]rune(before)) + 1, y}, Size: size, Console: "/dev/tty1"}
		}
	}
	t.Fatalf("nowhere is %q:\n%s", text, strings.Join(rows, "\n"))
	return TapMsg{}
}

// Without a keyboard: a touch of a row selects it, a second one boots it; a touch of
// a key in the footer presses that, on each page. It is so on screens of all sizes.
func TestTap(t *testing.T) {
	es := []boot.Entry{lts(), virt(), guessed(), broken()}
	all := []any{at(0), withLocked(found("root-lts", es...)), at(1)}
	for _, tt := range []struct {
		name  string
		msgs  []any
		taps  []string // texts that are touched
		want  string   // actions
		shows string
	}{
		{name: "selects, and stops the countdown", taps: []string{"linux-virt"}, shows: "root-virt"},
		{name: "boots what is selected", taps: []string{"linux-virt", "linux-virt"}, want: "boot root-virt"},
		{name: "the default is selected, and was not touched", taps: []string{"linux-lts "}},
		{name: "boots the default", taps: []string{"linux-lts ", "linux-lts "}, want: "boot root-lts"},
		{name: "another one", taps: []string{"linux-virt", "linux-lts ", "linux-virt"}, shows: "root-virt"},
		{name: "what cannot be booted shows why", taps: []string{"Linux edge", "Linux edge"}, want: "inspect", shows: "Why it cannot be booted"},
		{name: "a locked volume", msgs: []any{key(KeyHome)}, taps: []string{"is encrypted", "is encrypted"}, shows: "assphrase"},
		{name: "a row of a list that was moved", msgs: []any{found("root-lts", append(es, many()...)...), key(KeyPgDn), key(KeyPgDn)}, taps: []string{"Snapshot 18 ", "Snapshot 18 "}, want: "boot many-17"},
		{name: "a heading is nothing", taps: []string{"(web1) on sda2"}},
		{name: "Enter", taps: []string{"linux-virt", "Enter boot"}, want: "boot root-virt"},
		{name: "the shell", taps: []string{"s shell"}, want: "shell"},
		{name: "power, and back", taps: []string{"p power", "Esc back"}, shows: "Enter boot"},
		{name: "restart", taps: []string{"p power", "r restart"}, want: "reboot"},
		{name: "details and back", taps: []string{"i details", "Esc back"}, want: "inspect", shows: "Enter boot"},
		{name: "help", taps: []string{"? help"}, shows: "In the list"},
	} {
		for _, size := range []Size{{80, 24}, {80, 25}, {128, 48}, {120, 67}, {128, 37}} {
			t.Run(fmt.Sprintf("%s on %dx%d", tt.name, size.W, size.H), func(t *testing.T) {
				c := config()
				c.Timeout = seconds(60)
				m, _ := run(New(c), append(all, tt.msgs...)...)
				var actions []Action
				for _, text := range tt.taps {
					var a Action
					if m, a = m.Update(tapped(t, m, size, text)); a != nil {
						actions = append(actions, a)
					}
				}
				if got := asked(actions); got != tt.want {
					t.Errorf("asked for %q, want %q", got, tt.want)
				}
				m, more := run(m, at(2), at(70))
				if len(more) > 0 {
					t.Errorf("it counted on, and asked for %q", asked(more))
				}
				s := m.View(size, UTF8).String()
				if e, _ := m.selected(); tt.shows != "" && e.ID != tt.shows && !strings.Contains(s, tt.shows) {
					t.Errorf("%q is selected, and %q is not shown:\n%s", e.ID, tt.shows, s)
				}
			})
		}
	}
}

// A touch shows a hidden menu, and does nothing while a shell has the screen.
func TestTapElsewhere(t *testing.T) {
	c := config()
	c.Hidden = true
	tap := TapMsg{At: Point{5, 3}, Size: Size{80, 24}}
	m, actions := run(New(c), at(0), found("root-lts", lts(), virt()), tap)
	if s := m.View(Size{80, 24}, ASCII).String(); len(actions) > 0 || !strings.Contains(s, "linux-virt") {
		t.Errorf("asked for %q, and shows\n%s", asked(actions), s)
	}
	m, _ = run(m, text("s"))
	tap = tapped(t, m, Size{80, 24}, "linux-virt")
	if _, actions = run(m, tap, tap); len(actions) > 0 {
		t.Errorf("in a shell: asked for %q", asked(actions))
	}
	// Wherever it is, and whatever the size.
	for _, size := range []Size{{}, {1, 1}, {20, 5}, {80, 24}, {300, 100}} {
		for _, at := range []Point{{-5, -5}, {0, 0}, {size.W - 1, size.H - 1}, {size.W, size.H}, {1 << 30, 1 << 30}} {
			m, _ := run(New(config()), found("root-lts", lts()), TapMsg{At: at, Size: size}, TapMsg{At: at, Size: size})
			m.View(Size{80, 24}, ASCII)
		}
	}
}
