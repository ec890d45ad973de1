package term

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// TestSafe: of a text from a disk nothing reaches the terminal that does
// something to it, neither on a page nor after Suspend.
func TestSafe(t *testing.T) {
	const text = "\x1b[77mred\x1b]0;title\x07\u009b77m\u0085\u202eevil\u2066\u200f\u061c\u200b\xff漢"
	for _, serial := range []bool{true, false} {
		f := newFake(menu.Size{W: 80, H: 24})
		c := open(t, f, serial, Options{})
		m := model()
		es := entries()
		es[0].Title, es[0].Cmdline, es[0].Volume.Label, es[0].Notes = text, text, text, []string{text}
		m, _ = m.Update(menu.InventoryMsg{Inventory: boot.Inventory{Entries: es, Settled: true}, Notes: []string{text}})
		for _, k := range []rune{'x', 'i', 'q', 'l', 'q', 'e'} {
			m = press(m, menu.KeyMsg{Key: menu.KeyRune, Rune: k, Size: menu.Size{W: 80, H: 24}})
			c.Draw(m)
			charset := menu.ASCII
			if !serial {
				charset = menu.UTF8
			}
			await(t, f.text, m.View(menu.Size{W: 80, H: 24}, charset).String())
		}
		if err := c.Suspend(text); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		sent := f.sent.String()
		f.mu.Unlock()
		if !strings.Contains(sent, "evil") {
			t.Errorf("the text was not shown: %q", sent)
		}
		for _, bad := range []string{"\x1b[77m", "\x1b]", "\x07", "\u009b", "\u0085", "\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\xff", "漢"} {
			if strings.Contains(sent, bad) {
				t.Errorf("serial %t: %q reaches the terminal", serial, bad)
			}
		}
	}
}
