package menu

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// form is the page on which an entry is edited: its command line, the path of
// its kernel and those of its initrds.
//
// What is shown of a text is one cell for each of its runes, so that a control
// character in it is a question mark; what is booted has it as it was, unless
// the user deletes it.
type form struct {
	entry  boot.Entry // as it was found
	fields []field    // never changed in place
	at     int        // the field that the cursor is in
	asked  string     // path that is being completed
	seq    int        // of the question; 0 when none is open
}

func (f form) keys(Model) []binding {
	l := f.line()
	to := func(e editor) handler { return updates(func(m Model) Model { return m.set(f.with(e)) }) }
	return []binding{
		{keys: "Enter Ctrl-X F10", foot: "boot", help: "boot with this command line", do: f.boot},
		{keys: "Esc", also: "Ctrl-C", foot: "back", help: "back to the list; the edit is kept for the next e", do: updates(func(m Model) Model { m.draft = f; return m.back() })},
		{keys: "F2 Ctrl-O", foot: "changes", help: "common changes to the command line", do: func(m Model, k KeyMsg) (Model, Action) { return m.open(additions{console: k.Console}), nil }},
		{keys: "Tab", foot: "complete", help: "complete a path; in the command line, go to the paths", do: f.complete},
		{keys: "Ctrl-R", foot: "original", help: "the command line as it was found", do: to(l.change(0, len(l.text), l.original))},
		{keys: "Ctrl-Z Ctrl-_", foot: "undo", help: "undo the last change", do: to(l.takeBack())},
		{keys: "Left Right", also: "Ctrl-B Ctrl-F", help: "a character left or right", do: to(l.moveTo(l.left())), second: to(l.moveTo(l.right()))},
		{keys: "Ctrl-Left Ctrl-Right", also: "Alt-b Alt-f", help: "a word left or right", do: to(l.moveTo(l.wordLeft())), second: to(l.moveTo(l.wordRight()))},
		{keys: "Up Down", also: "Ctrl-P Ctrl-N", help: "a line up or down; the paths of kernel and initrds come last", do: f.lines(-1), second: f.lines(1)},
		{keys: "Home Ctrl-A", help: "to the beginning", do: to(l.moveTo(0))},
		{keys: "End Ctrl-E", help: "to the end", do: to(l.moveTo(len(l.text)))},
		{keys: "Backspace Ctrl-H", help: helpBackspace, do: to(l.change(l.left(), l.pos, ""))},
		{keys: "Delete Ctrl-D", help: "delete the character under the cursor", do: to(l.delete())},
		{keys: "Ctrl-W", help: helpKillWord, do: to(l.kill(l.parameterLeft(), l.pos))},
		{keys: "Ctrl-U", help: helpKillStart, do: to(l.kill(0, l.pos))},
		{keys: "Ctrl-K", help: "delete all after the cursor", do: to(l.kill(l.pos, len(l.text)))},
		{keys: "Ctrl-Y", help: "put back what was deleted last", do: to(l.change(l.pos, l.pos, l.killed))},
	}
}

// edit shows the form for the selected entry, once that is allowed.
func (m Model) edit(KeyMsg) (Model, Action) {
	if m.config.Locked != "" {
		return m.warn("%s", m.config.Locked), nil
	}
	e, ok := m.selected()
	if !ok {
		return m, nil
	}
	return m.behind(AskEdit, fmt.Sprintf("editing %s", title(e)), &e, func(m Model) (Model, Action) { return m.openForm(e), nil })
}

// openForm shows the form for e, with the draft that there is of it.
func (m Model) openForm(e boot.Entry) Model {
	f := newForm(e)
	m.pages = nil
	if m.draft.same(e) && m.draft.edited() {
		return m.open(m.draft).say("This is your edit from before. Ctrl-R brings a line back as it was found.")
	}
	return m.open(f)
}

func (f form) boot(m Model, _ KeyMsg) (Model, Action) {
	m.draft = f
	return m.boot(f.result(), f.edited(), false)
}

// lines is a handler that moves the cursor by lines, and at the first or last one
// to another field.
func (f form) lines(by int) handler {
	return func(m Model, k KeyMsg) (Model, Action) {
		l := f.line()
		if to := l.lines(by, f.width(k.Size.W, f.at)); to.pos != l.pos {
			return m.set(f.with(to)), nil
		}
		return m.set(f.move(by)), nil
	}
}

func (f form) write(m Model, text string, pasted bool) Model {
	if pasted {
		return m.set(f.with(f.line().paste(text)))
	}
	return m.set(f.with(f.line().insert(text)))
}

// field is a line of a form. A path is edited with its leading slash.
type field struct {
	label  string // "" for the command line
	editor editor
}

// maxInitrds is how many initrds the form has room for.
const maxInitrds = 32

func newForm(e boot.Entry) form {
	kernel := ""
	if e.Kernel != "" {
		kernel = "/" + e.Kernel
	}
	f := form{entry: e, fields: []field{{"", newEditor(e.Cmdline)}, {"Kernel", newEditor(kernel)}}}
	for _, name := range e.Initrds {
		f.fields = append(f.fields, field{"Initrd", newEditor("/" + name)})
	}
	return f.roomy()
}

// roomy makes sure that the last field is an empty one for a further initrd.
func (f form) roomy() form {
	if f.fields[len(f.fields)-1].editor.text != "" && len(f.fields) < 2+maxInitrds {
		f.fields = append(slices.Clip(f.fields), field{"Initrd", newEditor("")})
	}
	return f
}

// line is the field that the cursor is in.
func (f form) line() editor { return f.fields[f.at].editor }

func (f form) with(e editor) form {
	f.fields = slices.Clone(f.fields)
	f.fields[f.at].editor = e
	return f.roomy()
}

// move goes to another field, if there is one.
func (f form) move(by int) form {
	f.at = min(max(f.at+by, 0), len(f.fields)-1)
	return f
}

func (f form) edited() bool {
	return slices.ContainsFunc(f.fields, func(l field) bool { return l.editor.text != l.editor.original })
}

// result is the entry as it was edited. A path that was not touched is as it
// was found, whatever it looks like.
func (f form) result() boot.Entry {
	e := f.entry
	e.Cmdline = f.fields[0].editor.text
	file := func(l editor) string {
		if l.text != l.original {
			return strings.TrimPrefix(path.Clean("/"+strings.TrimSpace(l.text)), "/")
		}
		return strings.TrimPrefix(l.text, "/")
	}
	e.Kernel = file(f.fields[1].editor)
	e.UKI = e.UKI && e.Kernel == f.entry.Kernel
	e.Initrds = nil
	for _, l := range f.fields[2:] {
		if name := file(l.editor); name != "" {
			e.Initrds = append(e.Initrds, name)
		}
	}
	return e
}

// same reports whether f edits e as it is now.
func (f form) same(e boot.Entry) bool {
	return f.fields != nil && f.entry.ID == e.ID && f.entry.Cmdline == e.Cmdline && f.entry.Kernel == e.Kernel && slices.Equal(f.entry.Initrds, e.Initrds)
}

// complete asks for the paths that begin with what stands before the cursor.
func (f form) complete(m Model, _ KeyMsg) (Model, Action) {
	if f.at == 0 {
		return m.set(f.move(1)), nil
	}
	m.seq++
	l := f.line()
	f.asked, f.seq = strings.TrimLeft(l.text[:l.pos], "/"), m.seq
	return m.set(f), Complete{Volume: f.entry.Volume, Prefix: f.asked, Seq: f.seq}
}

// completed fills in what all names begin with, and shows which there are.
func (f form) completed(m Model, msg CompletionMsg) Model {
	m.message = message{}
	l := f.line()
	if msg.Seq != f.seq || f.at == 0 || strings.TrimLeft(l.text[:l.pos], "/") != f.asked {
		return m
	}
	f.seq = 0
	names := slices.DeleteFunc(slices.Clone(msg.Names), func(s string) bool { return !strings.HasPrefix(s, f.asked) })
	if len(names) == 0 {
		return m.set(f).warn("Nothing on %s begins with /%s.", device(f.entry.Volume), f.asked)
	}
	common := names[0]
	for _, s := range names {
		for !strings.HasPrefix(s, common) {
			_, n := utf8.DecodeLastRuneInString(common)
			common = common[:len(common)-n]
		}
	}
	if len(common) > len(f.asked) {
		f = f.with(l.change(0, l.pos, "/"+common))
	}
	m = m.set(f)
	if len(names) == 1 {
		return m
	}
	dir := strings.LastIndexByte(f.asked, '/') + 1
	for i := range names {
		names[i] = names[i][dir:]
	}
	return m.say("%s", strings.Join(names, " "))
}

// formRow is a row of a form on the screen.
type formRow struct {
	label  string
	text   []rune
	indent int // columns left of the text
}

// formLabels is how many columns the labels of paths take.
const formLabels = 9

// width is how many columns the text of the field at has on a console of width w.
func (f form) width(w, at int) int {
	if at == 0 {
		return editWidth(w)
	}
	return max(1, editWidth(w)-formLabels)
}

// rows lays the fields out for a console of width w, with the cursor.
func (f form) rows(w int) (rows []formRow, cursor Point) {
	for i, l := range f.fields {
		n := f.width(w, i)
		text, before := []rune(l.editor.text), width(l.editor.text[:l.editor.pos])
		label, indent := l.label, formLabels
		switch {
		case i == 0:
			indent = 0
		case i > 1 && i == len(f.fields)-1 && len(text) == 0:
			label = "+Initrd"
		}
		if i == f.at {
			cursor = Point{indent + before%n, len(rows) + before/n}
		}
		for from := 0; from == 0 || from <= len(text); from += n {
			if from > 0 && from == len(text) && (i != f.at || before < from) {
				break // a row for nothing but a cursor that is elsewhere
			}
			rows = append(rows, formRow{label, text[from:min(from+n, len(text))], indent})
			label = ""
		}
		if i == 0 {
			rows = append(rows, formRow{})
		}
	}
	return rows, cursor
}

func (f form) paint(m Model, p *painter) {
	w := p.Size.W - 2*margin
	y, height := 1, bodyHeight(p.Size)

	n, style := len(f.fields[0].editor.text), Dim
	length := fmt.Sprintf("%d bytes", n)
	if limit := m.config.CmdlineLimit; limit > 0 {
		length = fmt.Sprintf("%d of %d bytes", n, limit)
		if n > limit {
			style = Bad
		}
	}
	head := fit(fmt.Sprintf("Edit %s, for this boot only", clean(title(f.entry), p.charset)), w-width(length)-2)
	p.line(y, line{{pad(head, w-width(length)), Heading}, {length, style}})
	y, height = y+1, height-1
	if height > 6 {
		y, height = y+1, height-1
	}
	rows, cursor := f.rows(p.Size.W)
	first := min(max(0, cursor.Y-height+1), max(0, len(rows)-height))
	p.scrolled(y, height, first, len(rows), func(y, i int) {
		p.put(margin, y, margin+formLabels, rows[i].label, Heading)
		p.put(margin+rows[i].indent, y, p.Size.W-margin, string(rows[i].text), Input)
	})
	p.Cursor = &Point{margin + cursor.X, y + cursor.Y - first}
}

// editWidth is the length of the lines into which a form breaks its text on a
// console of width w.
func editWidth(w int) int {
	if w < minWidth {
		return 0
	}
	return w - 2*margin
}
