package menu

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// maxLog is how many lines of the log are kept.
const maxLog = 2000

// follow is the first line of a text screen that shows its end, also when more
// lines come.
const follow = 1 << 30

// levels are the least levels that the log can be shown from.
var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

func levelName(i int) string {
	return [len(levels)]string{wordLevelAll, wordLevelInfo, wordLevelWarn, wordLevelError}[i]
}

// logLines gives the notes and the log, as far as level and search let them
// through.
func (m Model) logLines(w int, cs Charset) []line {
	head := wordNotesHead
	if m.level > 0 {
		head += ", " + levelName(m.level)
	}
	if m.search != "" {
		head += ", " + fmt.Sprintf(wordSearched, clean(m.search, cs))
	}
	found := Model{filter: m.search}.matcher()
	lines := []line{heading(fit(head, w))}
	section := func(name string, notes []string, style Style) {
		notes = slices.DeleteFunc(notes, func(n string) bool { return !found(name, n) })
		if len(notes) == 0 {
			return
		}
		lines = append(lines, nil, heading(fit(name, w)))
		for _, n := range notes {
			for _, s := range wrap(clean(n, cs), w-2) {
				lines = append(lines, line{{"  " + s, style}})
			}
		}
	}
	section(wordNoteMachine, slices.Clone(m.notices), Bad)
	section(wordNoteChoice, slices.Clone(m.choice), Normal)
	for _, v := range m.inventory.Volumes {
		var notes []string
		style := Normal
		switch {
		case v.Problem != "":
			notes, style = append(notes, v.Problem), Bad
		case v.Busy:
			notes = append(notes, m.busyText(v.Volume))
		case v.Locked:
			notes = append(notes, wordLockedLong)
		}
		for _, n := range v.Notes {
			notes = append(notes, n.String())
		}
		if len(notes) == 0 {
			notes, style = append(notes, wordNoteClean), Dim
		}
		section(volumeText(v.Volume, cs), notes, style)
	}
	first := true
	for _, l := range m.log {
		if l.Level < levels[m.level] || !found(l.Text) {
			continue
		}
		if first {
			lines = append(lines, nil, heading(wordLog))
			first = false
		}
		style := Normal
		switch {
		case l.Level >= slog.LevelWarn:
			style = Bad
		case l.Level < slog.LevelInfo:
			style = Dim
		}
		for _, s := range wrap(clean(l.Text, cs), w-2) {
			lines = append(lines, line{{"  " + s, style}})
		}
	}
	if len(lines) == 1 {
		text := wordNoteNothing
		if m.search != "" {
			text = wordNotFound
		}
		lines = append(lines, nil, line{{text, Normal}})
	}
	return lines
}

func (m Model) addLog(lines []LogLine) Model {
	all := slices.Concat(m.log, lines)
	m.log = all[max(0, len(all)-maxLog):]
	return m
}

// systemLines gives what is known of the machine.
func (m Model) systemLines(w int, cs Charset) []line {
	lines := []line{heading(wordSystem)}
	if len(m.system) == 0 {
		return append(lines, nil, line{{wordAsking, Normal}})
	}
	for _, s := range m.system {
		if strings.HasSuffix(s, ":") {
			lines = append(lines, nil, heading(fit(clean(s, cs), w)))
			continue
		}
		for _, part := range wrap(clean(s, cs), w-2) {
			lines = append(lines, line{{"  " + part, Normal}})
		}
	}
	return lines
}

func (m Model) searchKey(k KeyMsg) Model {
	switch find(filterKeys(), k) {
	case cmdBoot:
		m.at = logScreen
	case cmdBack:
		m.at, m.search = logScreen, ""
	default:
		m.search = typeInto(m.search, k)
	}
	m.top = 0
	return m
}

// writable gives the volumes that the log could be saved to: not those that lie
// in others, which are only ever read.
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

// saveKey picks the volume that the log is saved to.
func (m Model) saveKey(k KeyMsg) (Model, Action) {
	vs := m.writable()
	switch find(pickKeys(), k) {
	case cmdBoot:
		m.at = logScreen
		if len(vs) == 0 {
			return m, nil
		}
		v := vs[min(m.picked, len(vs)-1)]
		m.message = tell(wordSaving, device(v))
		return m, SaveLog{Device: v.Device}
	case cmdBack:
		m.at = logScreen
	case cmdUp:
		m.picked = max(m.picked-1, 0)
	case cmdDown:
		m.picked = max(0, min(m.picked+1, len(vs)-1))
	}
	return m, nil
}

func (m Model) saveRows(cs Charset) []string {
	var rows []string
	for _, v := range m.writable() {
		rows = append(rows, describe(v, cs))
	}
	return rows
}

// keymaps are those whose names hold what was typed.
func (m Model) keymaps() []string {
	return slices.DeleteFunc(slices.Clone(m.config.Keymaps), func(s string) bool { return !strings.Contains(s, m.search) })
}

// keymapKey picks a keyboard layout.
func (m Model) keymapKey(k KeyMsg) (Model, Action) {
	names := m.keymaps()
	switch find(pickKeys(), k) {
	case cmdBoot:
		if len(names) == 0 {
			return m, nil
		}
		name := names[min(m.picked, len(names)-1)]
		m.at, m.search = listScreen, ""
		m.message = tell(wordKeymapSet, name)
		return m, SetKeymap{Name: name}
	case cmdBack:
		m.at, m.search = listScreen, ""
	case cmdUp:
		m.picked = max(m.picked-1, 0)
	case cmdDown:
		m.picked = max(0, min(m.picked+1, len(names)-1))
	default:
		m.search = typeInto(m.search, k)
		m.picked = 0
	}
	return m, nil
}
