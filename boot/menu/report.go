package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// Report is what a console without a screen, such as a teletype, writes of a
// [Model]. All texts are clean: see [Clean].
type Report struct {
	Rows    []Row    // all entries, also those in folds, then locked volumes
	Empty   []string // why there are none and what can be done, in sentences
	Settled bool     // every device has answered

	Default  string // ID of the row that boots by itself; "" when none does
	Wait     string // why none does, as a sentence
	Counting bool   // and the countdown is on
	Left     int    // seconds of it
	Ending   string // what is done when it is over where nothing is left to start, and why; "" where Default boots

	Booting  string        // ID of the entry that is being booted; "" when none is
	Status   string        // what is going on
	Message  string        // what came of the last key or attempt
	Messages int           // how many there have been: the same Message may be a new one
	Hidden   bool          // nothing is to be shown but Status, until somebody types
	Answers  int           // how many [InspectedMsg] and [SystemMsg] have come
	Notices  []string      // warnings about the machine
	Memory   string        // where a default is remembered; "" for nowhere
	Places   []MemoryPlace // as in [InventoryMsg]

	Asks    string // the password that is asked for, as a heading; "" for none
	AskedOn string // device of the console that did what it is for
	Asked   int    // how often one was asked for

	Locked             string  // as in [Config], fit for the console
	Firmware, Relaunch bool    // as in [Config]
	Others             []Other // as in [Config], fit for the console
}

// Row is an entry or a locked volume.
type Row struct {
	ID     string
	Text   string     // title, release and marks of an entry
	Volume string     // that it is on, or that is locked
	Locked string     // device of a locked volume; "" for an entry
	Entry  boot.Entry // of an entry
}

// Report returns what there is to write, for a console with the given characters.
func (m Model) Report(cs Charset) Report {
	n := Report{
		Settled: m.inventory.Settled, Default: m.defaultID, Wait: clean(m.wait, cs), Counting: m.countdown.on,
		Booting: m.booting.id, Status: clean(m.activity(), cs), Message: clean(m.message.text, cs), Messages: m.messages,
		Hidden: m.hidden, Answers: m.answers,
		Locked: clean(m.config.Locked, cs),
		Memory: clean(m.memory, cs), Places: m.places, Firmware: m.config.Firmware, Relaunch: m.config.Relaunch,
	}
	if p, ok := m.page().(password); ok && !m.gate.busy {
		n.Asks, n.AskedOn, n.Asked = clean(p.head(), cs), p.console, m.gate.asked
	}
	for _, o := range m.config.Others {
		n.Others = append(n.Others, Other{o.Number, clean(o.Title, cs)})
	}
	if m.countdown.on {
		n.Left, _ = m.countdown.left()
		if format, why := m.counting(); m.countdown.id == nothingLeft {
			n.Ending = clean(fmt.Sprintf(strings.Replace(format, " s: ", " seconds: ", 1), n.Left)+why, cs)
		}
	}
	for _, s := range m.notices {
		n.Notices = append(n.Notices, clean(s, cs))
	}
	m.list.filter = ""
	for _, e := range m.inventory.Entries {
		for _, id := range folds(e) {
			m = m.setOpen(true, id)
		}
	}
	for _, it := range m.items() {
		r := Row{ID: it.id, Volume: m.place(it.volume, cs)}
		switch {
		case it.fold:
			continue
		case it.locked:
			r.Volume = describe(it.volume, cs)
			r.Locked, r.Text = it.volume.Device, clean(device(it.volume), cs)+" ("+textLocked+")"
		default:
			r.Entry = *it.entry
			parts := []string{clean(plainTitle(r.Entry), cs)}
			for _, s := range []string{clean(release(r.Entry), cs), m.marks(r.Entry, false)} {
				if s != "" {
					parts = append(parts, s)
				}
			}
			r.Text = strings.Join(parts, ", ")
		}
		n.Rows = append(n.Rows, r)
	}
	if len(n.Rows) == 0 {
		for _, s := range m.emptyText() {
			n.Empty = append(n.Empty, clean(s, cs))
		}
	}
	return n
}

// Settings returns the settings that can be written, with the values that they shall
// have, and the changes that make them so.
func (m Model) Settings() ([]Setting, []Change) {
	all := slices.Clone(m.config.Settings)
	for i, s := range all {
		if v, changed := m.changed(s); changed {
			all[i].Value, all[i].Source = v, textChanged
		}
	}
	return all, m.changes
}

// SettingsFile returns where changes are written to; "" for nowhere, for the reason why.
func (m Model) SettingsFile(cs Charset) (file, why string) {
	return clean(m.config.SettingsFile, cs), clean(m.config.NoSettingsFile, cs)
}

// Details returns all that is known of the row with that ID, broken into lines of
// so many columns.
func (m Model) Details(id string, columns int, cs Charset) []string {
	m = m.reveal(id, true)
	m.list.filter = ""
	for _, it := range m.items() {
		if it.id == id {
			return texts(m.detailLines(it, "Details", columns, cs))
		}
	}
	return []string{textNothing}
}

// Log returns the notes and the log, broken into lines of so many columns.
func (m Model) Log(columns int, cs Charset) []string {
	m.level = 0
	return texts(logText{}.lines(m, columns, cs))
}

// Machine returns what [SystemMsg] brought, broken into lines of so many columns.
func (m Model) Machine(columns int, cs Charset) []string {
	return texts(machine{}.lines(m, columns, cs))
}

func texts(lines []line) []string {
	var ss []string
	for _, l := range lines {
		var b strings.Builder
		for _, s := range l {
			b.WriteString(s.text)
		}
		ss = append(ss, b.String())
	}
	return ss
}
