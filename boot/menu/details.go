package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// fact is a labelled text, such as the kernel of an entry.
type fact struct {
	label string
	text  string
	style Style
}

// wrapLines gives the facts as lines of w columns with the labels in a column
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
			// The label tells what is wrong: it may be long.
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

// summary is what the list tells about an item, in at most height lines.
func (m Model) summary(it item, w, height int, cs Charset) []line {
	if it.entry == nil {
		lines := wrapLines(m.volumeFacts(it.volume, cs), w)
		return lines[:min(len(lines), height)]
	}
	e := *it.entry
	facts := m.troubles(e, cs)
	if height > 3 {
		if !m.several() {
			facts = append(facts, fact{wordVolume, describe(e.Volume, cs), Normal})
		}
		facts = append(facts, fact{wordFrom, from(e, cs), Normal})
	}
	files := m.files(e, cs)
	if height <= 2 {
		files = files[:1] // the kernel
	}
	facts = append(facts, files...)
	facts = append(facts, fact{wordCmdline, orNone(clean(e.Cmdline, cs)), Normal})
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
	if reason, failed := m.failed[e.ID]; failed {
		facts = append(facts, fact{wordDidNotBoot, clean(reason, cs), Bad})
	}
	if e.Problem != "" {
		facts = append(facts, fact{wordCannotBoot, clean(e.Problem, cs), Bad})
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
		return wordNone
	}
	return s
}

func (m Model) files(e boot.Entry, cs Charset) []fact {
	kernel, initrds := wordMissing, make([]string, len(e.Initrds))
	if e.Kernel != "" {
		kernel = "/" + clean(e.Kernel, cs)
	}
	for i, s := range e.Initrds {
		initrds[i] = "/" + clean(s, cs)
	}
	return []fact{
		{wordKernel, kernel, Normal},
		{wordInitrd, orNone(strings.Join(initrds, ", ")), Normal},
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
			if f.Problem != "" {
				text, style = text+": "+f.Problem, Dim
			}
		}
		facts = append(facts, fact{label, clean(text, cs), style})
	}
	if e.Kernel == "" {
		facts = append(facts, fact{wordKernel, wordMissing, Normal})
	} else {
		add(wordKernel, e.Kernel)
	}
	for _, name := range e.Initrds {
		add(wordInitrd, name)
	}
	if len(e.Initrds) == 0 {
		facts = append(facts, fact{wordInitrd, wordNone, Normal})
	}
	return facts
}

func notesOf(e boot.Entry, cs Charset) []fact {
	var facts []fact
	if e.Guessed {
		facts = append(facts, fact{wordNoteLabel, wordGuessedLong, Normal})
	}
	for _, n := range e.Notes {
		facts = append(facts, fact{wordNoteLabel, clean(n, cs), Normal})
	}
	return facts
}

// text gives the lines of the text screen that the model is at, for a console
// of width columns.
func (m Model) text(columns int, cs Charset) []line {
	w := max(columns, minWidth) - 2*margin
	switch m.at {
	case detailsScreen, reasonScreen:
		it, ok := m.selectedItem()
		if !ok {
			return []line{{{wordNothingChosen, Normal}}}
		}
		head := wordDetails
		if m.at == reasonScreen {
			head = wordReason
		}
		return m.detailLines(it, head, w, cs)
	case logScreen, searchScreen:
		return m.logLines(w, cs)
	case systemScreen:
		return m.systemLines(w, cs)
	case helpScreen:
		return helpLines(w)
	}
	return nil
}

func heading(s string) line { return line{{s, Heading}} }

func (m Model) detailLines(it item, head string, w int, cs Charset) []line {
	lines := []line{heading(head), nil}
	if it.entry == nil {
		facts := []fact{{wordTitleLabel, clean(it.name(), cs), Normal}}
		if it.locked {
			facts[0] = fact{wordStateLabel, wordLockedLong, Normal}
		}
		return append(lines, wrapLines(append(facts, m.volumeFacts(it.volume, cs)...), w)...)
	}
	e := *it.entry
	if facts := m.troubles(e, cs); len(facts) > 0 {
		lines = append(append(lines, wrapLines(facts, w)...), nil)
	}
	facts := []fact{{wordTitleLabel, clean(title(e), cs), Normal}}
	add := func(label, text string) {
		if text != "" {
			facts = append(facts, fact{label, clean(text, cs), Normal})
		}
	}
	add(wordSubmenu, strings.Join(e.Submenu, " > "))
	add(wordVersion, e.Version)
	facts = append(facts, fact{wordFrom, from(e, cs), Normal})
	facts = append(facts, m.fileFacts(e, cs)...)
	facts = append(facts, fact{wordCmdline, orNone(clean(e.Cmdline, cs)), Normal})
	facts = append(facts, m.volumeFacts(e.Volume, cs)...)
	if e.Timeout != nil {
		text := wordForEver
		if *e.Timeout >= 0 {
			text = fmt.Sprintf(wordSeconds, e.Timeout.Seconds())
		}
		add(wordTimeout, text)
	}
	add(wordIdentity, e.ID)
	for _, s := range m.facts[e.ID].Notes {
		add(wordNoteLabel, s)
	}
	return append(lines, wrapLines(append(facts, notesOf(e, cs)...), w)...)
}

// volumeFacts is what is known of a volume, with all that was noted about it.
func (m Model) volumeFacts(v boot.Volume, cs Charset) []fact {
	var facts []fact
	for _, f := range []fact{
		{wordVolume, v.Device, Normal},
		{wordFilesystem, v.Type, Normal},
		{wordLabel, v.Label, Normal},
		{wordUUID, v.UUID, Normal},
		{wordPartUUID, v.PartUUID, Normal},
		{wordPartLabel, v.PartLabel, Normal},
	} {
		if f.text != "" {
			f.text = clean(f.text, cs)
			facts = append(facts, f)
		}
	}
	for _, s := range m.inventory.Volumes {
		if s.Volume.Device != v.Device {
			continue
		}
		for _, n := range s.Notes {
			facts = append(facts, fact{wordNoteLabel, clean(n.String(), cs), Normal})
		}
	}
	return facts
}

func volumeText(v boot.Volume, cs Charset) string {
	s := describe(v, cs)
	if v.UUID != "" {
		s += ", " + wordUUID + " " + clean(v.UUID, cs)
	}
	return s
}

// helpColumn is where the help for a key begins on a console of width w.
func helpColumn(w int) int {
	if w < narrowWidth {
		return 12
	}
	return 24
}

// helpKey gives keys and what they do, with the help in a column of its own.
func helpKey(keys, help string, w int) []line {
	var lines []line
	column := helpColumn(w)
	keys = "  " + keys
	if width(keys) >= column {
		lines = append(lines, line{{keys, KeyName}})
		keys = ""
	}
	for _, s := range wrap(help, w-column) {
		lines = append(lines, line{{pad(keys, column), KeyName}, {s, Normal}})
		keys = ""
	}
	return lines
}

func keyList(keys string) string { return strings.ReplaceAll(keys, " ", ", ") }

func helpLines(w int) []line {
	lines := []line{heading(wordHelp)}
	entry := func(keys, help string) { lines = append(lines, helpKey(keys, help, w)...) }
	section := ""
	for _, k := range Keys() {
		if k.Screen != section {
			section = k.Screen
			lines = append(lines, nil, heading(section))
		}
		entry(keyList(k.Keys), k.Help)
	}
	lines = append(lines, nil, heading(wordMarks))
	for _, m := range []struct {
		letter     rune
		word, help string
	}{
		{markDefault, wordDefault, wordHelpDefault},
		{markLast, wordLast, wordHelpLast},
		{markFailed, wordFailed, wordHelpFailed},
		{markCannot, wordCannot, wordHelpCannot},
		{markGuessed, wordGuessed, wordHelpGuessed},
	} {
		entry(string(m.letter)+" "+m.word, m.help)
	}
	return lines
}
