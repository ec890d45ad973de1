package menu

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/alpboot/alpboot/boot"
)

// Characters that do something to a terminal: control characters of ASCII and
// beyond, what changes the direction of text, what has no width, what is wide.
var hostile = []string{
	"\x1b[2J", "\x1b]0;owned\x07", "\x00\x7f", "\u009b31m", "\u0085\u0080\u009f", "\u202eevil\u202c", "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
	"\u200b\u2028\u2029\ufeff\u00ad", "e\u0301", "漢字\ufffd", "\xff\xfe\xc2", "a\r\nb\tc", "\U000e0001\U000f0000", "é–“x”…",
}

// everywhere returns the messages that put s into each text that comes from
// outside.
func everywhere(s string) []Msg {
	v := boot.Volume{Device: "/dev/" + s, UUID: s, Label: s, Type: s, PartUUID: s, PartLabel: s}
	locked := v
	locked.Device += "2"
	src := boot.Source{File: s, Line: 1}
	e := boot.Entry{ID: "one", Title: s, Version: s, Format: s, Source: src, Volume: v, Kernel: s, Initrds: []string{s, s}, Cmdline: s, Guessed: true, Notes: []string{s}}
	bad := e
	bad.ID, bad.Problem, bad.Submenu = "two", "x "+s, []string{"x" + s}
	snap := e
	snap.ID, snap.Snapshot = "three", true
	inv := boot.Inventory{Settled: true, Entries: []boot.Entry{e, bad, snap}, Volumes: []boot.VolumeStatus{
		{Volume: v, Problem: "x " + s, Notes: []boot.Note{{Source: src, Text: s}}}, {Volume: locked, Locked: true}, {Volume: boot.Volume{Device: s, Label: s, Type: "ext4"}}, {Volume: boot.Volume{Device: s + "3"}, Busy: true},
	}}
	return []Msg{
		ConfigMsg{Config{Title: s, SettingsFile: s, Settings: []Setting{{Name: s, Value: s, Takes: s, Help: s, Source: s, Overridden: true}, {Name: "y" + s, Words: []string{s, s}}, {Name: "default"}}, Version: s, Keymaps: []string{s, "x" + s}, Firmware: true, Relaunch: true, Enrolment: &Enrolment{About: []string{s, s}}, CmdlineLimit: 2047, Consoles: map[string]string{s: s}}},
		at(0), InventoryMsg{Inventory: inv, Last: "one", Notes: []string{s}, Memory: "x" + s}, NoticeMsg{s}, NoticeMsg{"x" + s},
		LogMsg{[]LogLine{{slog.LevelDebug, s, true}, {slog.LevelError, s, false}}}, SystemMsg{[]string{s, s + ":"}},
		InspectedMsg{"one", []File{{Path: s, Size: 1, About: s, Problem: s}}, []string{s}}, ResultMsg{s, true},
	}
}

// pagesWith calls f with a model for every page, each with s in it everywhere.
func pagesWith(s string, f func(what string, m Model)) {
	base, _ := run(New(Config{}), everywhere(s))
	down := key(KeyDown)
	for what, keys := range map[string][]any{
		"new":      nil,
		"list":     {down},
		"folds":    {down, key(KeyEnter), down},
		"locked":   {key(KeyEnd)},
		"filter":   {text("/"), PasteMsg{s}},
		"typed":    {text("/"), text(s)},
		"details":  {text("1i")},
		"reason":   {text("2"), key(KeyEnter)},
		"volume":   {key(KeyEnd), text("i")},
		"log":      {text("l")},
		"search":   {text("l/"), PasteMsg{s}},
		"save":     {text("lw")},
		"saving":   {text("lw"), key(KeyEnter)},
		"machine":  {text("m")},
		"help":     {text("?")},
		"power":    {text("p")},
		"off":      {text("po")},
		"enrol":    {text("ps")},
		"default":  {text("1d")},
		"made":     {text("1dd")},
		"where":    {InventoryMsg{Inventory: base.inventory, MemoryPlaces: []MemoryPlace{{s, s}}}, text("1d")},
		"settings": {text("o")},
		"typing":   {text("o"), key(KeyEnter), PasteMsg{s}},
		"words":    {text("o"), down, key(KeyEnter)},
		"entries":  {text("o"), down, down, key(KeyEnter)},
		"write":    {text("o"), key(KeyEnter), text("x"), key(KeyEnter), text("w")},
		"written":  {SettingsSavedMsg{Text: s}},
		"keyboard": {text("K")},
		"found":    {text("K"), PasteMsg{s}},
		"set":      {text("K"), key(KeyEnter)},
		"edit":     {text("1e"), key(KeyHome)},
		"pasted":   {text("1e"), PasteMsg{s}},
		"path":     {text("1e"), down, key(KeyTab), CompletionMsg{1, []string{s + "a", s + "b"}}},
		"nothing":  {text("1e"), down, key(KeyTab), CompletionMsg{1, nil}},
		"changes":  {text("1e"), KeyMsg{Key: KeyF2, Console: s}},
		"unlock":   {key(KeyEnd), key(KeyEnter), text(s)},
		"trying":   {key(KeyEnd), key(KeyEnter), text("x"), key(KeyEnter)},
		"password": {withEntry(base, withPassword(lts())), text("1"), key(KeyEnter), text(s)},
		"wrong":    {key(KeyEnd), key(KeyEnter), text("x"), key(KeyEnter), UnlockedMsg{Device: "/dev/" + s + "2", Wrong: true}},
		"error":    {key(KeyEnd), key(KeyEnter), text("x"), key(KeyEnter), UnlockedMsg{Device: "/dev/" + s + "2", Error: s}},
		"booting":  {text("1"), key(KeyEnter)},
		"status":   {StatusMsg{s}},
		"progress": {text("1"), key(KeyEnter), at(1), at(9), ProgressMsg{"one", s, 1, 2}},
		"failed":   {text("1"), key(KeyEnter), FailedMsg{"one", s}, text("i")},
		"gone":     {text("1"), InventoryMsg{}},
		"empty":    {InventoryMsg{Inventory: boot.Inventory{Volumes: base.inventory.Volumes}}},
		"shell":    {ShellDoneMsg{s}},
		"counting": {InventoryMsg{Inventory: base.inventory, Default: "one"}, at(1)},
	} {
		m := base
		if what == "counting" {
			m, _ = run(New(Config{FallbackTimeout: 9e9}), everywhere(s))
		}
		m, _ = run(m, keys...)
		f(what, m)
	}
}

// withEntry returns the message that adds an entry.
func withEntry(m Model, e boot.Entry) Msg {
	inv := m.inventory
	e.Title = inv.Entries[0].Title
	inv.Entries = append([]boot.Entry{e}, inv.Entries...)
	return InventoryMsg{Inventory: inv}
}

// safe reports whether r does nothing to a terminal with the characters cs but
// show something one column wide.
func safe(r rune, cs Charset) bool {
	return r >= ' ' && r < 0x7f || cs == UTF8 && r > 0xa0 && boot.Printable(r) && !unicode.In(r, unicode.M, unicode.Han, unicode.Cf, unicode.Cc)
}

func checkSafe(t *testing.T, s string, sizes ...Size) {
	t.Helper()
	pagesWith(s, func(what string, m Model) {
		for _, cs := range []Charset{ASCII, UTF8} {
			for _, size := range sizes {
				screen := m.View(size, cs)
				for i, c := range screen.Cells {
					if !safe(c.Rune, cs) {
						t.Fatalf("%q on page %s: cell %d of %v holds %q", s, what, i, size, c.Rune)
					}
				}
			}
			n := m.Report(cs)
			texts := append([]string{n.Status, n.Message, n.Memory, n.Asks}, append(n.Empty, n.Notices...)...)
			for _, r := range n.Rows {
				texts = append(texts, r.Text, r.Volume)
				if what == "list" {
					texts = append(texts, slices.Concat(m.Details(r.ID, 80, cs), m.Log(80, cs), m.Machine(80, cs))...)
				}
			}
			for _, text := range texts {
				if strings.ContainsFunc(text, func(r rune) bool { return !safe(r, cs) }) {
					t.Fatalf("%q on page %s: for a console without a screen there is %q", s, what, text)
				}
			}
		}
	})
}

// Nothing that comes from a disk does anything to a terminal, on any page.
func TestSafe(t *testing.T) {
	for _, s := range hostile {
		checkSafe(t, s, sizes...)
	}
	seen := map[string]bool{}
	pagesWith("x", func(_ string, m Model) { seen[pageName(m)] = true })
	if len(seen) != 24 {
		t.Errorf("only these pages are checked: %v", seen)
	}
}

func FuzzSafe(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkSafe(t, s, sizes[0]) })
}

// A command line with characters that are not shown is booted as it is, and
// the editor changes nothing of it but what the user changes.
func TestHostileCmdlineIsBootedAsItIs(t *testing.T) {
	for _, s := range append(hostile, strings.Join(hostile, "")) {
		e := lts()
		e.Cmdline = s
		for _, tt := range []struct {
			name string
			keys []any
			want string
		}{
			{"as found", []any{key(KeyEnter)}, s},
			{"through the editor", []any{text("e"), key(KeyEnter)}, s},
			{"with a word more", []any{text("e"), text(" x"), key(KeyEnter)}, s + " x"},
			{"with a word in front", []any{text("e"), key(KeyHome), text("x "), key(KeyEnter)}, "x " + s},
			{"edited and back", []any{text("e"), text("x"), key(KeyBackspace), key(KeyHome), text("y"), key(KeyBackspace), key(KeyEnter)}, s},
		} {
			_, actions := run(New(config()), append([]any{found("", e)}, tt.keys...)...)
			if b, ok := actions[0].(Boot); !ok || b.Entry.Cmdline != tt.want || b.Edited != (tt.want != s) {
				t.Errorf("%q %s: %#v, want %q", s, tt.name, actions[0], tt.want)
			}
		}
		m, _ := run(New(config()), found("", e), text("e"))
		f := m.page().(form)
		rows, _ := f.rows(80)
		if shown := string(rows[0].text); len([]rune(shown)) != width(s) {
			t.Errorf("%q is edited as %q", s, shown)
		}
	}
}
