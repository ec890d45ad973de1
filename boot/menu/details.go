package menu

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// details is the page with all that is known of the selected item, and with
// why it cannot be booted where that was asked for.
type details struct{ why bool }

func (d details) keys(m Model, _ pager) []binding {
	e, isEntry := m.selected()
	it, any := m.selectedItem()
	edit := binding{keys: "e", foot: "edit", help: helpEdit, do: Model.edit}
	if any && it.entry == nil || m.config.Locked != "" {
		edit.foot = ""
	}
	bs := []binding{edit}
	if d.why && isEntry && e.Kernel != "" {
		bs = append(bs, binding{keys: "t", foot: "try it anyway", help: "boot it although something is missing", do: func(m Model, _ KeyMsg) (Model, Action) {
			return m.boot(e, false, false)
		}})
	}
	return bs
}

func (d details) lines(m Model, w int, cs Charset) []line {
	it, ok := m.selectedItem()
	switch {
	case !ok:
		return []line{{{textNothing, Normal}}}
	case d.why:
		return m.detailLines(it, "Why it cannot be booted", w, cs)
	}
	return m.detailLines(it, "Details", w, cs)
}

const textNothing = "Nothing is selected."

// details shows the details of what is selected, and asks for more of them.
func (m Model) details(KeyMsg) (Model, Action) {
	e, ok := m.selected()
	m = m.open(pager{doc: details{}})
	if !ok {
		return m, nil
	}
	return m, Inspect{Entry: e}
}

// fact is a labelled text, such as the kernel of an entry.
type fact struct {
	label string
	text  string
	style Style
}

// wrapLines returns the facts as lines of w columns with the labels in a column
// of their own.
func wrapLines(facts []fact, w int) []line {
	const least = 9
	labels := least
	for _, f := range facts {
		if f.style != Bad {
			labels = max(labels, width(f.label)+1)
		}
	}
	var lines []line
	for _, f := range facts {
		if f.style == Bad {
			// The label is part of the sentence: it may be long.
			for _, s := range wrap(f.label+": "+f.text, w) {
				lines = append(lines, line{{s, Bad}})
			}
			continue
		}
		label := pad(f.label, labels)
		for _, s := range wrap(f.text, w-labels) {
			lines = append(lines, line{{label, Heading}, {s, f.style}})
			label = strings.Repeat(" ", labels)
		}
	}
	return lines
}

// summary is what the list shows of the selected item, in at most height lines.
func (m Model) summary(it item, w, height int, cs Charset) []line {
	if it.entry == nil {
		lines := wrapLines(m.volumeFacts(it.volume, cs), w)
		return lines[:min(len(lines), height)]
	}
	e := *it.entry
	facts := m.troubles(e, cs)
	if height > 3 {
		if !m.several() {
			facts = append(facts, fact{"Volume", m.place(e.Volume, cs), Normal})
		}
		facts = append(facts, fact{"From", from(e, cs), Normal})
	}
	files := m.files(e, cs)
	if height <= 2 {
		files = files[:1] // the kernel
	}
	facts = append(facts, files...)
	facts = append(facts, m.cmdlineFacts(e, cs)...)
	facts = append(facts, notesOf(e, cs)...)
	lines := wrapLines(facts, w)
	if len(lines) > height {
		last, next := lines[height-1], lines[height]
		if len(next) > 1 && strings.TrimSpace(next[0].text) == "" {
			// The rest of the same text fills the line up.
			last[1].text = fit(last[1].text+" "+next[1].text+" ...", w-width(last[0].text))
		}
		lines = lines[:height]
	}
	return lines
}

// troubles is why e cannot be booted or was not.
func (m Model) troubles(e boot.Entry, cs Charset) []fact {
	var facts []fact
	if reason, failed := m.failure(e); failed {
		facts = append(facts, fact{"Failed", clean(reason, cs), Bad})
	}
	if e.Problem != "" {
		facts = append(facts, fact{"Cannot boot", clean(e.Problem, cs), Bad})
	}
	return facts
}

// from is where e comes from, such as: /boot/extlinux.conf:12 (extlinux).
func from(e boot.Entry, cs Charset) string {
	s := e.Source.String()
	switch {
	case e.Format == "":
	case s == "":
		s = e.Format
	default:
		s += " (" + e.Format + ")"
	}
	return orNone(clean(s, cs))
}

func orNone(s string) string {
	if strings.TrimSpace(s) == "" {
		return "none"
	}
	return s
}

func (m Model) files(e boot.Entry, cs Charset) []fact {
	kernel, initrds := "missing", make([]string, len(e.Initrds))
	if e.Kernel != "" {
		kernel = "/" + clean(e.Kernel, cs)
	}
	for i, s := range e.Initrds {
		initrds[i] = "/" + clean(s, cs)
	}
	return []fact{
		{"Kernel", kernel, Normal},
		{"Initrd", orNone(strings.Join(initrds, ", ")), Normal},
	}
}

// fileFacts is files with a line for each and what is known of it.
func (m Model) fileFacts(e boot.Entry, cs Charset) []fact {
	var facts []fact
	add := func(label, name string) {
		text, style := "/"+name, Normal
		if i := slices.IndexFunc(m.facts[e.ID].Files, func(f File) bool { return f.Path == name }); i >= 0 {
			f := m.facts[e.ID].Files[i]
			if f.About != "" {
				text += ", " + f.About
			}
			if f.Size >= 0 {
				text += ", " + bytesText(f.Size)
			}
			if label == "Kernel" {
				text += m.age(f.Made)
			}
			if f.Problem != "" {
				text, style = text+": "+f.Problem, Dim
			}
		}
		facts = append(facts, fact{label, clean(text, cs), style})
	}
	if e.Kernel == "" {
		facts = append(facts, fact{"Kernel", "missing", Normal})
	} else {
		add("Kernel", e.Kernel)
	}
	for _, name := range e.Initrds {
		add("Initrd", name)
	}
	if len(e.Initrds) == 0 {
		facts = append(facts, fact{"Initrd", "none", Normal})
	}
	return facts
}

// age is when a file was made and how long ago that is, "" where that is not known:
// as long as the clock stands before it, too.
func (m Model) age(made time.Time) string {
	now := m.countdown.now
	if made.Unix() <= 0 || now.Before(made) {
		return ""
	}
	days := int(now.Sub(made) / (24 * time.Hour))
	ago := boot.Counted(days, "day", "days") + " old"
	switch {
	case days == 0:
		ago = "less than a day old"
	case days > 730:
		ago = boot.Counted(days/365, "year", "years") + " old"
	case days > 90:
		ago = boot.Counted(days/30, "month", "months") + " old"
	}
	return ", of " + made.UTC().Format(time.DateOnly) + " (" + ago + ")"
}

// cmdlineFacts is the command line of e, and what an unattended start adds to it.
func (m Model) cmdlineFacts(e boot.Entry, cs Charset) []fact {
	facts := []fact{{"Cmdline", orNone(clean(e.Cmdline, cs)), Normal}}
	if added := m.added[e.ID]; added != "" {
		facts = append(facts, fact{"Added", clean(added, cs) + ", when it starts unattended", Normal})
	}
	return facts
}

func notesOf(e boot.Entry, cs Charset) []fact {
	var facts []fact
	if e.Guessed {
		facts = append(facts, fact{"Note", "No configuration file set the command line: it was guessed from what is on the volume.", Normal})
	}
	for _, n := range e.Notes {
		facts = append(facts, fact{"Note", clean(n, cs), Normal})
	}
	return facts
}

const textLockedLong = "encrypted: Enter in the list asks for the passphrase"

func (m Model) detailLines(it item, head string, w int, cs Charset) []line {
	lines := []line{heading(head), nil}
	if it.entry == nil {
		facts := []fact{{"Title", clean(it.name(), cs), Normal}}
		if it.locked {
			facts[0] = fact{"State", textLockedLong, Normal}
		}
		return append(lines, wrapLines(append(facts, m.volumeFacts(it.volume, cs)...), w)...)
	}
	e := *it.entry
	if facts := m.troubles(e, cs); len(facts) > 0 {
		lines = append(append(lines, wrapLines(facts, w)...), nil)
	}
	facts := []fact{{"Title", clean(plainTitle(e), cs), Normal}}
	add := func(label, text string) {
		if text != "" {
			facts = append(facts, fact{label, clean(text, cs), Normal})
		}
	}
	add("Submenu", strings.Join(e.Submenu, " > "))
	add("Version", e.Version)
	facts = append(facts, fact{"From", from(e, cs), Normal})
	facts = append(facts, m.fileFacts(e, cs)...)
	facts = append(facts, m.cmdlineFacts(e, cs)...)
	facts = append(facts, m.volumeFacts(e.Volume, cs)...)
	if e.Timeout != nil {
		text := "waits forever"
		if *e.Timeout >= 0 {
			text = fmt.Sprintf("%g s", e.Timeout.Seconds())
			if least := m.config.LeastTimeout; m.config.Timeout == nil && *e.Timeout < least {
				text += fmt.Sprintf(", on a screen %g s", least.Seconds())
			}
		}
		add("Timeout", text)
	}
	add("ID", e.ID)
	for _, s := range m.facts[e.ID].Notes {
		add("Note", s)
	}
	return append(lines, wrapLines(append(facts, notesOf(e, cs)...), w)...)
}

// volumeFacts is what is known of a volume, with all that was noted about it.
func (m Model) volumeFacts(v boot.Volume, cs Charset) []fact {
	var facts []fact
	about, size := m.about(v), ""
	if about.Size > 0 {
		size = bytesText(about.Size)
	}
	for _, f := range []fact{
		{"Volume", v.Device, Normal},
		{"Filesystem", v.Type, Normal},
		{"Label", v.Label, Normal},
		{"UUID", v.UUID, Normal},
		{"PARTUUID", v.PartUUID, Normal},
		{"Partition", v.PartLabel, Normal},
		{"System", systemName(about.System), Normal},
		{"Size", size, Normal},
		{"Disk", about.Model, Normal},
	} {
		if f.text != "" {
			f.text = clean(f.text, cs)
			facts = append(facts, f)
		}
	}
	for _, n := range about.Notes {
		facts = append(facts, fact{"Note", clean(n.String(), cs), Normal})
	}
	return facts
}
