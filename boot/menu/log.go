package menu

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/alpboot/alpboot/boot"
)

// logText is the page of the notes and the log.
type logText struct {
	search string // words that a line must contain to be shown
	typing bool   // they are being typed
}

// maxLog is how many lines of the log are kept.
const maxLog = 2000

// levels are the least levels that the log can be shown from.
var levels = [...]struct {
	least slog.Level
	name  string
}{
	{slog.LevelDebug, "everything"},
	{slog.LevelInfo, "without debugging"},
	{slog.LevelWarn, "warnings and errors"},
	{slog.LevelError, "errors"},
}

func (l logText) keys(_ Model, p pager) []binding {
	return []binding{
		{keys: "/", foot: "search", help: "show only lines that contain some words", do: updates(func(m Model) Model {
			return m.set(pager{doc: logText{typing: true}})
		})},
		{keys: "v", foot: "level", help: "change the lowest level that the log is shown from", do: updates(func(m Model) Model {
			m.level = (m.level + 1) % len(levels)
			return m.say("Log: %s.", levels[m.level].name) // at the same line, as far as that goes
		})},
		{keys: "w", foot: "save", help: "save the log to a file on a volume, which is asked for", do: updates(Model.askSave)},
	}
}

func (l logText) searchKeys(p pager) []binding {
	show := func(text string) handler {
		return updates(func(m Model) Model { return m.set(pager{doc: logText{search: text}}) })
	}
	return append([]binding{
		{keys: "Enter", foot: "keep", do: show(l.search)},
		{keys: "Esc", also: "Ctrl-C", foot: "show all", do: show("")},
	}, queryKeys(l.search, l.searchFor)...)
}

func (l logText) searchFor(m Model, words string) Model {
	return m.set(pager{doc: logText{search: words, typing: true}})
}

// lines returns the notes and the log, as far as level and search let them
// through.
func (l logText) lines(m Model, w int, cs Charset) []line {
	head := "Notes and log"
	if m.level > 0 {
		head += ", " + levels[m.level].name
	}
	if l.search != "" {
		head += fmt.Sprintf(", with \"%s\"", clean(l.search, cs))
	}
	found := matcher(l.search)
	lines := []line{heading(fit(head, w))}
	indented := func(text string, style Style) {
		for _, s := range wrap(clean(text, cs), w-2) {
			lines = append(lines, line{{"  " + s, style}})
		}
	}
	section := func(name string, notes []string, style Style) {
		notes = slices.DeleteFunc(notes, func(n string) bool { return !found(name, n) })
		if len(notes) == 0 {
			return
		}
		lines = append(lines, nil, heading(fit(name, w)))
		for _, n := range notes {
			indented(n, style)
		}
	}
	section("This machine", slices.Clone(m.notices), Bad)
	section("Settings and choice", slices.Clone(m.choice), Normal)
	// What matters first: a kernel logs a lot.
	var noted, quiet []boot.VolumeStatus
	for _, v := range m.inventory.Volumes {
		if v.Problem != "" || len(v.Notes) > 0 {
			noted = append(noted, v)
		} else {
			quiet = append(quiet, v)
		}
	}
	volumes := func(list []boot.VolumeStatus) {
		for _, v := range list {
			notes, style := m.volumeNotes(v)
			name := describe(v.Volume, cs)
			if v.Volume.UUID != "" {
				name += ", UUID " + clean(v.Volume.UUID, cs)
			}
			section(name, notes, style)
		}
	}
	logged := func(name string, is func(LogLine) bool) {
		first := true
		for _, l := range m.log {
			if !is(l) || l.Level < levels[m.level].least || !found(l.Text) {
				continue
			}
			if first {
				lines = append(lines, nil, heading(name))
				first = false
			}
			style := Normal
			switch {
			case l.warns():
				style = Bad
			case l.Level < slog.LevelInfo:
				style = Dim
			}
			indented(l.Text, style)
		}
	}
	volumes(noted)
	logged("Warnings", func(l LogLine) bool { return l.warns() && !l.Kernel })
	logged("Warnings of the kernel", func(l LogLine) bool { return l.warns() && l.Kernel })
	volumes(quiet)
	logged("Log", func(l LogLine) bool { return !l.warns() && !l.Kernel })
	logged("Log of the kernel", func(l LogLine) bool { return !l.warns() && l.Kernel })
	if len(lines) == 1 {
		text := "There is nothing to note."
		if l.search != "" {
			text = "No line has these words. Esc goes back."
		}
		lines = append(lines, nil, line{{text, Normal}})
	}
	return lines
}

// volumeNotes are the lines about a volume.
func (m Model) volumeNotes(v boot.VolumeStatus) (notes []string, style Style) {
	switch {
	case v.Problem != "":
		notes, style = append(notes, v.Problem), Bad
	case v.Busy:
		notes = append(notes, m.busyText(v.Volume))
	case v.Locked:
		notes = append(notes, textLockedLong)
	}
	for _, n := range v.Notes {
		notes = append(notes, n.String())
	}
	if len(notes) == 0 {
		return []string{"nothing to note"}, Dim
	}
	return notes, style
}

// warns reports whether l is what to look at first.
func (l LogLine) warns() bool { return l.Level >= slog.LevelWarn }

func (m Model) addLog(lines []LogLine) Model {
	all := slices.Concat(m.log, lines)
	m.log = all[max(0, len(all)-maxLog):]
	return m
}

// writable returns the volumes that the log could be saved to: not those that
// are in others, which are only ever read.
func (m Model) writable() []boot.Volume {
	var vs []boot.Volume
	for _, v := range m.inventory.Volumes {
		switch v.Volume.Type {
		case "ext2", "ext3", "ext4", "vfat", "exfat", "xfs", "btrfs", "f2fs":
		default:
			continue
		}
		if !v.Locked && !v.Busy && v.Problem == "" && v.Volume.Crypt == "" {
			vs = append(vs, v.Volume)
		}
	}
	return vs
}

// askSave asks for the volume that the log is saved to.
func (m Model) askSave() Model {
	if len(m.writable()) == 0 {
		return m.warn("There is no volume that the log could be saved to.")
	}
	hint := "One file is written there. Nothing else on it is changed."
	return m.open(pick{head: "Save the log to a volume", hint: hint, rows: func(m Model) []choice {
		var all []choice
		for _, v := range m.writable() {
			all = append(all, choice{name: describe(v, UTF8), action: SaveLog{Device: v.Device}, status: fmt.Sprintf("Saving the log to %s ...", device(v))})
		}
		return all
	}})
}
