package line

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// FuzzSafe: whatever comes from a disk, the line mode sends nothing that does
// something to a terminal but the ends of lines.
func FuzzSafe(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[2J\x1b]0;x\x07\x7f", "\u009b31m\u0085", "\u202eevil\u2066\u200f\u061c", "\xff\xfe\xc2", "a\r\nEntries:\n", "漢e\u0301\u200b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := newMachine(t)
		vol := boot.Volume{Device: "/dev/" + s, UUID: s, Label: s, Type: s, PartLabel: s}
		good := boot.Entry{ID: "one", Title: s, Version: s, Format: s, Volume: vol, Kernel: "k" + s, Initrds: []string{s}, Cmdline: s, Notes: []string{s}}
		bad := good
		bad.ID, bad.Problem, bad.Submenu = "two", "x"+s, []string{s}
		m.update(menu.LogMsg{Lines: []menu.LogLine{{Level: slog.LevelWarn, Text: s}}})
		m.update(menu.NoticeMsg{Text: s})
		m.update(menu.InventoryMsg{Memory: s, Notes: []string{s}, Inventory: boot.Inventory{Settled: true, Entries: []boot.Entry{good, bad}, Volumes: []boot.VolumeStatus{
			{Volume: vol, Problem: s}, {Volume: boot.Volume{Device: "/dev/x" + s, Label: s}, Locked: true},
		}}})
		m.out.await(t, "Type a number")
		m.typed("0", "e 1", "", "i 1", "i 3", "l", "2", "3", "n", "")
		m.update(menu.SystemMsg{Lines: []string{s, s + ":"}})
		m.update(menu.StatusMsg{Text: s})
		m.update(menu.ResultMsg{Text: s})
		m.typed("m", "1")
		m.update(menu.FailedMsg{ID: "one", Reason: s})
		if err := m.c.Suspend(s); err != nil {
			t.Fatal(err)
		}
		for _, r := range strings.ReplaceAll(m.out.String(), "\r\n", "") {
			if r < ' ' || r > '~' {
				t.Fatalf("%q makes it send %q:\n%q", s, r, m.out.String())
			}
		}
	})
}
