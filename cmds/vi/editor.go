package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
)

const help = `h j k l, arrows   move            i a I A o O  insert; Esc ends it
w b 0 $           in the line     x D dw cw J  delete, change; join lines
gg G 12G          to a line       dd yy p P    delete or copy a line; put it
Ctrl-F Ctrl-B     by the page     u            undo the last change, or redo it
/TEXT n           search          :w  :w FILE  write
:q  :q!           end; unsaved    :wq :x ZZ    write and end
`

// version is a text and where the cursor is. Its lines are never changed.
type version struct {
	lines []string // the bytes of the file
	y, at int      // at is an index into the line, at the start of a rune
}

// editor is a text being edited.
type editor struct {
	version
	before version // what undo goes back to
	copied []string

	screen    tcell.Screen
	top, left int // the first line and cell shown

	name    string
	onDisk  fs.FileInfo // as it was read or written; nil for a new file
	unended bool        // the file's last line has no newline
	dirty   bool
	done    bool

	insert  bool
	typed   string // of a command that is not complete
	prompt  string // ":" or "/" and what follows, while it is typed
	search  string
	message string
}

// run edits until the user ends it, or the terminal is gone.
func (e *editor) run() {
	for !e.done {
		e.draw()
		switch ev := e.screen.PollEvent().(type) {
		case nil:
			return
		case *tcell.EventResize:
			e.screen.Sync()
		case *tcell.EventKey:
			e.key(ev)
		}
	}
}

// runes are the keys beyond runes as those that do the same.
var runes = map[tcell.Key]rune{
	tcell.KeyUp: 'k', tcell.KeyDown: 'j', tcell.KeyLeft: 'h', tcell.KeyRight: 'l', tcell.KeyHome: '0', tcell.KeyEnd: '$',
	tcell.KeyPgDn: ctrlF, tcell.KeyPgUp: ctrlB, tcell.KeyCtrlF: ctrlF, tcell.KeyCtrlB: ctrlB, tcell.KeyDelete: 'x',
	tcell.KeyBackspace: '\b', tcell.KeyBackspace2: '\b', tcell.KeyEnter: '\n', tcell.KeyTab: '\t',
}

const (
	ctrlF, ctrlB = 'F' - '@', 'B' - '@'
	blanks       = " \t" // between words
)

func (e *editor) key(ev *tcell.EventKey) {
	e.message = ""
	r := ev.Rune()
	if ev.Key() != tcell.KeyRune {
		r = runes[ev.Key()]
	}
	text := ev.Key() == tcell.KeyRune || r == '\t'
	switch {
	case ev.Key() == tcell.KeyF1:
		e.message = help
	case ev.Key() == tcell.KeyEscape || ev.Key() == tcell.KeyCtrlC:
		if e.insert {
			e.move('h', 1)
		}
		e.insert, e.typed, e.prompt = false, "", ""
	case e.prompt != "" && text:
		e.prompt += string(r)
	case e.prompt != "" && r == '\b':
		e.prompt = e.prompt[:len(e.prompt)-before(e.prompt, len(e.prompt))]
	case e.prompt != "" && r == '\n':
		if err := e.command(e.prompt); err != nil {
			e.message = err.Error()
		}
		e.prompt = ""
	case e.prompt != "" || r == 0:
	case e.insert && text:
		e.put(string(r))
	case e.insert && r == '\n':
		line := e.line()
		e.replace(e.y, e.y+1, line[:e.at], line[e.at:])
		e.y, e.at = e.y+1, 0
	case e.insert && r == '\b' && e.at == 0 && e.y > 0:
		e.y, e.at = e.y-1, len(e.lines[e.y-1])
		e.replace(e.y, e.y+2, e.line()+e.lines[e.y+1])
	case e.insert && (r == '\b' || r == 'x'):
		from := e.at
		e.move(map[rune]rune{'\b': 'h', 'x': 'l'}[r], 1)
		e.cut(from)
	case e.insert:
		e.move(r, 1)
	default:
		e.typed += string(r)
		if e.normal() {
			e.typed = ""
		}
	}
	// The cursor stays in the text, and on a character where none is inserted.
	e.y = min(max(e.y, 0), len(e.lines)-1)
	e.at = min(e.at, len(e.line()))
	if !e.insert && e.at == len(e.line()) {
		e.move('h', 1)
	}
	for e.at > 0 && e.at < len(e.line()) && !utf8.RuneStart(e.line()[e.at]) {
		e.at--
	}
}

func (e *editor) line() string { return e.lines[e.y] }

// before and after are the lengths of the runes around a column.
func before(s string, at int) int { _, n := utf8.DecodeLastRuneInString(s[:at]); return n }
func after(s string, at int) int  { _, n := utf8.DecodeRuneInString(s[at:]); return n }

// begin is called before a change that undo undoes as one.
func (e *editor) begin() { e.before = version{slices.Clone(e.lines), e.y, e.at} }

// replace puts lines in place of those from i to j; there is always one.
func (e *editor) replace(i, j int, lines ...string) {
	if e.lines = slices.Replace(e.lines, i, j, lines...); len(e.lines) == 0 {
		e.lines = []string{""}
	}
	e.dirty = true
}

// cut takes the text between the cursor and another column out of the line.
func (e *editor) cut(at int) {
	line := e.line()
	from, to := min(at, e.at), max(at, e.at)
	e.replace(e.y, e.y+1, line[:from]+line[to:])
	e.at = from
}

// put inserts text into the line.
func (e *editor) put(text string) {
	e.replace(e.y, e.y+1, e.line()[:e.at]+text+e.line()[e.at:])
	e.at += len(text)
}

// normal does what was typed so far, and reports whether that was a whole
// command, or none.
func (e *editor) normal() bool {
	keys, count := e.typed, 0
	if keys[0] != '0' {
		keys = strings.TrimLeft(keys, "0123456789")
		count, _ = strconv.Atoi(e.typed[:len(e.typed)-len(keys)])
	}
	times := min(max(count, 1), 10000)
	switch keys {
	case "", "c", "d", "g", "y", "Z":
		return false
	case "gg":
		e.y, e.at = max(count, 1)-1, 0
	case "G":
		if count == 0 {
			count = len(e.lines)
		}
		e.y, e.at = count-1, 0
	case "ZZ":
		if err := e.command(":x"); err != nil {
			e.message = err.Error()
		}
	case ":", "/":
		e.prompt = keys
	case "n":
		e.find()
	case "u":
		if e.before.lines == nil {
			e.message = "nothing to undo"
			break
		}
		e.version, e.before, e.dirty = e.before, e.version, true
	case "i", "a", "I", "A", "o", "O":
		e.begin()
		e.insert = true
		switch keys {
		case "a":
			e.move('l', 1)
		case "I":
			e.at = len(e.line()) - len(strings.TrimLeft(e.line(), blanks))
		case "A":
			e.move('$', 1)
		case "o", "O":
			if keys == "o" {
				e.y++
			}
			e.replace(e.y, e.y, "")
			e.at = 0
		}
	case "x", "D", "dw", "cw":
		e.begin()
		y, at := e.y, e.at
		e.move(map[string]rune{"x": 'l', "D": '$', "dw": 'w', "cw": 'w'}[keys], times)
		if keys == "D" || e.y != y {
			e.y, e.at = y, len(e.lines[y])
		}
		if keys == "cw" { // as in vi, it leaves the space
			e.at = max(at, len(strings.TrimRight(e.line()[:e.at], blanks)))
			e.insert = true
		}
		e.cut(at)
	case "dd", "yy":
		end := min(e.y+times, len(e.lines))
		e.copied = slices.Clone(e.lines[e.y:end])
		if keys == "dd" {
			e.begin()
			e.replace(e.y, end)
			e.at = 0
		}
	case "p", "P":
		e.begin()
		if keys == "p" {
			e.y++
		}
		e.replace(e.y, e.y, e.copied...)
		e.at = 0
	case "J":
		if e.y+1 < len(e.lines) {
			e.begin()
			e.at = len(e.line())
			e.replace(e.y, e.y+2, e.line()+" "+strings.TrimLeft(e.lines[e.y+1], blanks))
		}
	default:
		r, _ := utf8.DecodeRuneInString(keys)
		e.move(r, times)
	}
	return true
}

// move moves the cursor by a key, so many times.
func (e *editor) move(key rune, times int) {
	_, height := e.size()
	for range times {
		switch key {
		case 'h', '\b':
			e.at -= before(e.line(), e.at)
		case 'l', ' ':
			e.at += after(e.line(), e.at)
		case 'j', 'k', '\n', ctrlF, ctrlB:
			e.y += map[rune]int{'j': 1, '\n': 1, 'k': -1, ctrlF: height, ctrlB: -height}[key]
			e.y = min(max(e.y, 0), len(e.lines)-1)
			e.at = min(e.at, len(e.line()))
		case '0':
			e.at = 0
		case '$':
			e.at = len(e.line())
		case 'w':
			rest := e.line()[e.at:]
			if i := strings.IndexAny(rest, blanks); i >= 0 {
				e.at += len(rest) - len(strings.TrimLeft(rest[i:], blanks))
			} else if e.at = len(e.line()); e.y+1 < len(e.lines) {
				e.y, e.at = e.y+1, 0
			}
		case 'b':
			if e.y > 0 && strings.Trim(e.line()[:e.at], blanks) == "" {
				e.y, e.at = e.y-1, len(e.lines[e.y-1])
			}
			e.at = strings.LastIndexAny(strings.TrimRight(e.line()[:e.at], blanks), blanks) + 1
		}
	}
}

// find goes to the next place that has what is searched, and begins again at the
// start of the text.
func (e *editor) find() {
	from := min(e.at+1, len(e.line()))
	for y := range len(e.lines) + 1 {
		y = (e.y + y) % len(e.lines)
		if at := strings.Index(e.lines[y][from:], e.search); at >= 0 {
			e.y, e.at = y, from+at
			return
		}
		from = 0
	}
	e.message = fmt.Sprintf("%q is not in the text", e.search)
}

// command does a command that begins with a colon, or a search.
func (e *editor) command(line string) error {
	if text, ok := strings.CutPrefix(line, "/"); ok {
		if text != "" {
			e.search = text
		}
		e.find()
		return nil
	}
	name, arg, _ := strings.Cut(strings.TrimSpace(line[1:]), " ")
	if n, err := strconv.Atoi(name); err == nil {
		e.y, e.at = n-1, 0
		return nil
	}
	name, force := strings.CutSuffix(name, "!")
	file := strings.TrimSpace(arg)
	if file == "" {
		file = e.name
	}
	switch name {
	case "w", "wq", "x":
		if name != "x" || e.dirty || file != e.name {
			if err := e.save(file, force); err != nil {
				return err
			}
			e.message = fmt.Sprintf("%q, %d lines written", file, len(e.lines))
		}
		e.done = name != "w"
	case "q":
		if e.dirty && !force {
			return fmt.Errorf("there are changes: :wq writes them, :q! drops them")
		}
		e.done = true
	default:
		return fmt.Errorf("no command %q; F1: keys", name)
	}
	return nil
}

// size is that of the text on the screen, without the last row.
func (e *editor) size() (width, height int) {
	width, height = e.screen.Size()
	return max(width, 1), max(height-1, 1)
}

// cells returns a line as it is shown, a rune a cell, and in which of them the
// byte at is.
func cells(s string, at int) (shown []rune, x int) {
	for i := 0; i < len(s); {
		if i == at {
			x = len(shown)
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		look := s[i : i+n]
		switch {
		case r == '\t':
			look = strings.Repeat(" ", 8-len(shown)%8)
		case r < ' ':
			look = "^" + string('@'+r)
		case r == utf8.RuneError && n == 1 || !unicode.IsPrint(r):
			look = fmt.Sprintf("<%x>", look)
		}
		shown = append(shown, []rune(look)...)
		i += n
	}
	if at >= len(s) {
		x = len(shown)
	}
	return shown, x
}

// draw shows the text around the cursor, and in the last row what is typed, or a
// message.
func (e *editor) draw() {
	width, height := e.size()
	e.top = min(max(e.top, e.y-height+1), e.y)
	_, x := cells(e.line(), e.at)
	if x < e.left || x >= e.left+width {
		e.left = max(0, x-width/2)
	}
	e.screen.Clear()
	put := func(y int, s string, left int) {
		shown, _ := cells(s, 0)
		shown = append(shown, slices.Repeat([]rune{' '}, width+left)...)
		for x, r := range shown[left : left+width] {
			e.screen.SetContent(x, y, r, nil, tcell.StyleDefault)
		}
	}
	for y := range height {
		if e.top+y < len(e.lines) {
			put(y, e.lines[e.top+y], e.left)
		} else {
			put(y, "~", 0)
		}
	}
	e.screen.ShowCursor(x-e.left, e.y-e.top)
	status := e.message
	switch {
	case e.prompt != "":
		status = e.prompt
		e.screen.ShowCursor(len([]rune(e.prompt)), height)
	case e.insert:
		status = "-- insert -- Esc ends it"
	case status == "":
		status = fmt.Sprintf("%s %d/%d %s", e.name, e.y+1, len(e.lines), e.typed)
	}
	last := strings.Split(strings.TrimSpace(status), "\n")
	for i, l := range last {
		put(height+1-len(last)+i, l, 0)
	}
	e.screen.Show()
}
