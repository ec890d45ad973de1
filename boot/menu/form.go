package menu

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
)

// form is an entry being edited: its command line, the path of its kernel and
// those of its initrds. Its methods give the next one and leave the receiver as
// it is.
type form struct {
	entry  boot.Entry // as it was found
	fields []field    // never changed in place
	at     int        // the field that the cursor is in
	asked  string     // path that is being completed
	seq    int        // of the question; 0 when none is open
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
	f := form{entry: e, fields: []field{{"", newEditor(e.Cmdline)}, {wordKernel, newEditor(kernel)}}}
	for _, name := range e.Initrds {
		f.fields = append(f.fields, field{wordInitrd, newEditor("/" + name)})
	}
	return f.roomy()
}

// roomy sees to it that the last field is an empty one for a further initrd.
func (f form) roomy() form {
	if f.fields[len(f.fields)-1].editor.text != "" && len(f.fields) < 2+maxInitrds {
		f.fields = append(slices.Clip(f.fields), field{wordInitrd, newEditor("")})
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

// same tells whether f edits e as it is now.
func (f form) same(e boot.Entry) bool {
	return f.fields != nil && f.entry.ID == e.ID && f.entry.Cmdline == e.Cmdline && f.entry.Kernel == e.Kernel && slices.Equal(f.entry.Initrds, e.Initrds)
}

// complete asks for the paths that begin with what stands before the cursor.
func (f form) complete(seq int) (form, Action) {
	l := f.line()
	f.asked, f.seq = strings.TrimLeft(l.text[:l.pos], "/"), seq
	return f, Complete{Volume: f.entry.Volume, Prefix: f.asked, Seq: seq}
}

// completed fills in what all names begin with, and tells which there are.
func (f form) completed(msg CompletionMsg) (form, message) {
	l := f.line()
	if msg.Seq != f.seq || f.at == 0 || strings.TrimLeft(l.text[:l.pos], "/") != f.asked {
		return f, message{}
	}
	f.seq = 0
	names := slices.DeleteFunc(slices.Clone(msg.Names), func(s string) bool { return !strings.HasPrefix(s, f.asked) })
	if len(names) == 0 {
		return f, warn(wordNoFile, device(f.entry.Volume), f.asked)
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
	if len(names) == 1 {
		return f, message{}
	}
	folder := len(f.asked[:strings.LastIndexByte(f.asked, '/')+1])
	for i := range names {
		names[i] = names[i][folder:]
	}
	return f, message{text: strings.Join(names, " ")}
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
			label = wordMoreInitrd
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

func (m Model) edit() Model {
	e, ok := m.selected()
	if !ok {
		return m
	}
	m.at, m.form = editScreen, newForm(e)
	if m.draft.same(e) && m.draft.edited() {
		m.form = m.draft
		m.message = tell(wordDraft)
	}
	return m
}

func (m Model) editKey(k KeyMsg) (Model, Action) {
	f := m.form
	e := f.line()
	w := f.width(k.Size.W, f.at)
	cmd := find(editorKeys(), k)
	switch cmd {
	case cmdBoot:
		m.draft = f
		return m.boot(f.result(), f.edited(), false)
	case cmdBack:
		m.draft = f
		m.at = listScreen
		return m, nil
	case cmdAdditions:
		m.at, m.picked, m.here = addScreen, 0, k.Console
		return m, nil
	case cmdComplete:
		if f.at == 0 {
			m.form = f.move(1)
			return m, nil
		}
		m.seq++
		var a Action
		m.form, a = f.complete(m.seq)
		return m, a
	case cmdUp, cmdDown:
		by := map[command]int{cmdUp: -1, cmdDown: 1}[cmd]
		if to := e.lines(by, w); to.pos != e.pos {
			m.form = f.with(to)
		} else {
			m.form = f.move(by)
		}
		return m, nil
	case cmdOriginal:
		e = e.change(0, len(e.text), e.original)
	case cmdUndo:
		e = e.takeBack()
	case cmdLeft:
		e = e.moveTo(e.left())
	case cmdRight:
		e = e.moveTo(e.right())
	case cmdWordLeft:
		e = e.moveTo(e.wordLeft())
	case cmdWordRight:
		e = e.moveTo(e.wordRight())
	case cmdHome:
		e = e.moveTo(0)
	case cmdEnd:
		e = e.moveTo(len(e.text))
	case cmdBackspace:
		e = e.change(e.left(), e.pos, "")
	case cmdDelete:
		i, j := e.pos, e.right()
		e = e.change(i, j, "")
	case cmdKillWord:
		e = e.kill(e.parameterLeft(), e.pos)
	case cmdKillStart:
		e = e.kill(0, e.pos)
	case cmdKillEnd:
		e = e.kill(e.pos, len(e.text))
	case cmdYank:
		e = e.change(e.pos, e.pos, e.killed)
	default:
		if k.Key == KeyRune && k.Mod == 0 && k.Rune >= ' ' && k.Rune != 0x7f && utf8.ValidRune(k.Rune) {
			e = e.insert(string(k.Rune))
		}
	}
	m.form = f.with(e)
	return m, nil
}

func (m Model) paintEditor(p *painter) {
	w := p.Size.W - 2*margin
	y, height := 1, bodyHeight(p.Size)

	n, style := len(m.form.fields[0].editor.text), Dim
	length := fmt.Sprintf(wordBytes, n)
	if limit := m.config.CmdlineLimit; limit > 0 {
		length = fmt.Sprintf(wordLength, n, limit)
		if n > limit {
			style = Bad
		}
	}
	head := fit(fmt.Sprintf(wordEdit, clean(title(m.form.entry), p.charset)), w-width(length)-2)
	p.line(y, line{{pad(head, w-width(length)), Heading}, {length, style}})
	y, height = y+1, height-1
	if height > 6 {
		y, height = y+1, height-1
	}
	rows, cursor := m.form.rows(p.Size.W)
	first := min(max(0, cursor.Y-height+1), max(0, len(rows)-height))
	for i, r := range rows[first:min(first+height, len(rows))] {
		p.put(margin, y+i, margin+formLabels, r.label, Heading)
		p.put(margin+r.indent, y+i, p.Size.W-margin, string(r.text), Input)
	}
	p.more(y, height, first, len(rows))
	p.Cursor = &Point{margin + cursor.X, y + cursor.Y - first}
}

// addition is something that is often put on a command line, or taken off it.
type addition struct {
	word string
	take bool // taking word off is what is wanted
	help string
}

// additions are those offered on the console m.here.
func (m Model) additions() []addition {
	as := []addition{
		{word: "single", help: helpSingle},
		{word: "overlaytmpfs=yes", help: helpOverlay},
		{word: "debug_init", help: helpDebugInit},
		{word: "quiet", take: true, help: helpNoQuiet},
		{word: "nomodeset", help: helpNoModeset},
		{word: "kexec_load_disabled=0", help: helpAllowKexec},
	}
	if m.here != "" {
		as = append(as, addition{word: "console=" + m.consoleName(m.here), help: helpConsoleHere})
	}
	return as
}

// consoleName is what console= calls the console dev.
func (m Model) consoleName(dev string) string {
	if name := m.config.Consoles[dev]; name != "" {
		return name
	}
	name := strings.TrimPrefix(dev, "/dev/")
	if n, ok := strings.CutPrefix(name, "tty"); ok && n != "" && strings.Trim(n, "0123456789") == "" {
		return "tty0"
	}
	return name
}

// made tells whether the command line is as a wants it.
func (a addition) made(line string) bool {
	return slices.Contains(cmdline.Parse(line), a.word) != a.take
}

// toggle puts the word on the command line or takes it off.
func (a addition) toggle(e editor) editor {
	words := cmdline.Parse(e.text)
	if !slices.Contains(words, a.word) {
		return e.change(0, len(e.text), strings.TrimLeft(strings.TrimRight(e.text, " ")+" "+a.word, " "))
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == a.word })
	return e.change(0, len(e.text), words.String())
}

func (m Model) addKey(k KeyMsg) Model {
	as := m.additions()
	switch find(addKeys(), k) {
	case cmdBack:
		m.at = editScreen
		return m
	case cmdUp:
		m.picked = max(m.picked-1, 0)
		return m
	case cmdDown:
		m.picked = min(m.picked+1, len(as)-1)
		return m
	case cmdJump:
		if n := int(k.Rune - '1'); n < len(as) {
			m.picked = n
			break
		}
		return m
	case cmdToggle:
	default:
		return m
	}
	f := m.form
	f.at = 0
	m.form = f.with(as[m.picked].toggle(f.line()))
	return m
}

// addRows are the additions as they are offered, w columns wide.
func (m Model) addRows(w int, cs Charset) []string {
	var rows []string
	as := m.additions()
	widest := 0
	name := func(a addition) string {
		if a.take {
			return fmt.Sprintf(wordWithout, a.word)
		}
		return clean(a.word, cs)
	}
	for _, a := range as {
		widest = max(widest, width(name(a)))
	}
	for i, a := range as {
		text := name(a)
		if w >= narrowWidth {
			text = pad(text, widest) + "  " + a.help
		}
		rows = append(rows, fmt.Sprintf("%d ", i+1)+ticked(a.made(m.form.fields[0].editor.text), text))
	}
	return rows
}
