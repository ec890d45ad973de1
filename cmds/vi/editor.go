package main

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
)

const help = `h j k l, arrows   move            i a I A o O  insert; Esc ends it
w b 0 ^ $         in the line     x D r J      delete, replace, join
gg G 12G          to a line       dd dw d$ ... delete; c changes, y copies
Ctrl-F Ctrl-B     by the page     p P          put what was deleted or copied
/TEXT n N         search          u            undo
:w  :w FILE       write           :s/A/B/g     replace; :%s in all lines
:q  :q!           end; unsaved    :wq  ZZ      write and end
`

// editor is a text being edited. Lines are bytes as in the file; the column at
// is an index into them, at the start of a rune.
type editor struct {
	screen tcell.Screen
	name   string
	onDisk fs.FileInfo // as it was read or written; nil for a new file
	lines  []string
	y, at  int
	top    int // the first line shown
	left   int // the first cell shown
	dirty  bool
	done   bool

	blank   bool // the file had no byte
	unended bool // the file's last line has no newline
	insert  bool
	typed   string // of a command that is not complete
	prompt  string // ":" or "/" and what follows, while it is typed
	message string

	undo   []version
	copied []string
	whole  bool // copied are whole lines
	search string
}

// version is a text that undo goes back to. Its lines are never changed.
type version struct {
	lines []string
	y, at int
}

// undoLimit is how many changes can be undone.
const undoLimit = 100

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
			e.message = ""
			e.key(ev)
			e.clamp()
		}
	}
}

// names are the keys beyond runes, as those that do the same.
var names = map[tcell.Key]rune{
	tcell.KeyUp: 'k', tcell.KeyDown: 'j', tcell.KeyLeft: 'h', tcell.KeyRight: 'l',
	tcell.KeyHome: '0', tcell.KeyEnd: '$', tcell.KeyDelete: 'x', tcell.KeyEnter: '+',
	tcell.KeyPgDn: ctrlF, tcell.KeyPgUp: ctrlB, tcell.KeyCtrlF: ctrlF, tcell.KeyCtrlB: ctrlB,
	tcell.KeyBackspace: 'h', tcell.KeyBackspace2: 'h',
}

const ctrlF, ctrlB = 'F' - '@', 'B' - '@'

func (e *editor) key(ev *tcell.EventKey) {
	r := ev.Rune()
	if ev.Key() != tcell.KeyRune {
		r = names[ev.Key()]
	}
	backspace := ev.Key() == tcell.KeyBackspace || ev.Key() == tcell.KeyBackspace2
	switch {
	case ev.Key() == tcell.KeyF1:
		e.message = help
	case ev.Key() == tcell.KeyEscape || ev.Key() == tcell.KeyCtrlC:
		if e.insert && e.at > 0 {
			e.at -= before(e.line(), e.at)
		}
		e.insert, e.typed, e.prompt = false, "", ""
	case e.prompt != "":
		switch {
		case ev.Key() == tcell.KeyEnter:
			line := e.prompt
			e.prompt = ""
			if line[0] == '/' {
				if line != "/" {
					e.search = line[1:]
				}
				e.find(1)
			} else if err := e.command(line[1:]); err != nil {
				e.message = err.Error()
			}
		case backspace:
			e.prompt = e.prompt[:len(e.prompt)-before(e.prompt, len(e.prompt))]
		case ev.Key() == tcell.KeyRune:
			e.prompt += string(r)
		}
	case e.insert && ev.Key() == tcell.KeyEnter:
		line := e.line()
		e.replaceLines(e.y, e.y+1, line[:e.at], line[e.at:])
		e.y, e.at = e.y+1, 0
	case e.insert && backspace:
		switch {
		case e.at > 0:
			n := before(e.line(), e.at)
			e.cut(e.at-n, e.at)
		case e.y > 0:
			e.y--
			e.at = len(e.line())
			e.join("")
		}
	case e.insert && (ev.Key() == tcell.KeyRune || ev.Key() == tcell.KeyTab):
		if ev.Key() == tcell.KeyTab {
			r = '\t'
		}
		e.put(string(r))
	case e.insert && ev.Key() == tcell.KeyDelete:
		e.cut(e.at, e.at+after(e.line(), e.at))
	case e.insert:
		if r != 0 {
			e.move(r, 1)
		}
	case r != 0:
		e.typed += string(r)
		if e.normal() {
			e.typed = ""
		}
	}
}

func (e *editor) line() string { return e.lines[e.y] }

// before and after are the lengths of the runes around a column.
func before(s string, at int) int { _, n := utf8.DecodeLastRuneInString(s[:at]); return n }
func after(s string, at int) int  { _, n := utf8.DecodeRuneInString(s[at:]); return n }

// clamp keeps the cursor in the text, and on a character where none is inserted.
func (e *editor) clamp() {
	e.y = min(max(e.y, 0), len(e.lines)-1)
	e.at = min(max(e.at, 0), len(e.line()))
	if !e.insert && e.at > 0 && e.at == len(e.line()) {
		e.at -= before(e.line(), e.at)
	}
	for e.at > 0 && e.at < len(e.line()) && !utf8.RuneStart(e.line()[e.at]) {
		e.at--
	}
}

// begin is called before a change that undo undoes as one.
func (e *editor) begin() {
	e.undo = append(e.undo, version{slices.Clone(e.lines), e.y, e.at})
	e.undo = e.undo[max(0, len(e.undo)-undoLimit):]
}

// replaceLines puts lines in place of those from i to j; there is always one.
func (e *editor) replaceLines(i, j int, lines ...string) {
	e.lines = slices.Replace(e.lines, i, j, lines...)
	if len(e.lines) == 0 {
		e.lines = []string{""}
	}
	e.dirty = true
}

// cut takes the text from column i to j out of the line.
func (e *editor) cut(i, j int) string {
	line := e.line()
	e.replaceLines(e.y, e.y+1, line[:i]+line[j:])
	e.at = i
	return line[i:j]
}

// put inserts text into the line.
func (e *editor) put(text string) {
	e.replaceLines(e.y, e.y+1, e.line()[:e.at]+text+e.line()[e.at:])
	e.at += len(text)
}

// join appends the next line to this one.
func (e *editor) join(between string) {
	if e.y+1 < len(e.lines) {
		e.replaceLines(e.y, e.y+2, e.line()+between+e.lines[e.y+1])
	}
}

// normal does what was typed so far, and reports whether that was a whole
// command, or none.
func (e *editor) normal() bool {
	keys := strings.TrimLeft(e.typed, "123456789")
	if len(keys) < len(e.typed) {
		keys = strings.TrimLeft(keys, "0123456789")
	}
	count, _ := strconv.Atoi(e.typed[:len(e.typed)-len(keys)])
	times := min(max(count, 1), 10000)
	if keys == "" {
		return false
	}
	key, size := utf8.DecodeRuneInString(keys)
	rest := keys[size:]
	switch key {
	case 'd', 'c', 'y':
		return e.operate(key, rest, count)
	case 'g', 'Z', 'r':
		if rest == "" {
			return false
		}
	}
	switch key {
	case 'g':
		if rest == "g" {
			e.y, e.at = max(count, 1)-1, 0
		}
	case 'G':
		e.y, e.at = len(e.lines)-1, 0
		if count > 0 {
			e.y = count - 1
		}
	case 'Z':
		if rest == "Z" || rest == "Q" {
			if err := e.command(map[string]string{"Z": "x", "Q": "q!"}[rest]); err != nil {
				e.message = err.Error()
			}
		}
	case ':', '/':
		e.prompt = string(key)
	case 'n':
		e.find(1)
	case 'N':
		e.find(-1)
	case 'u':
		if n := len(e.undo); n > 0 {
			v := e.undo[n-1]
			e.undo, e.lines, e.y, e.at, e.dirty = e.undo[:n-1], v.lines, v.y, v.at, true
		} else {
			e.message = "nothing to undo"
		}
	case 'i', 'a', 'I', 'A', 'o', 'O', 's':
		e.begin()
		e.insert = true
		switch key {
		case 'a':
			e.at += after(e.line(), e.at)
		case 'I':
			e.at = indent(e.line())
		case 'A':
			e.at = len(e.line())
		case 'o', 'O':
			if key == 'o' {
				e.y++
			}
			e.at = 0
			e.replaceLines(e.y, e.y, "")
		case 's':
			e.cut(e.at, e.at+after(e.line(), e.at))
		}
	case 'x':
		return e.operate('d', "l", count)
	case 'X':
		return e.operate('d', "h", count)
	case 'D':
		return e.operate('d', "$", count)
	case 'C':
		return e.operate('c', "$", count)
	case 'S':
		return e.operate('c', "c", count)
	case 'J':
		e.begin()
		for range times {
			if e.y+1 < len(e.lines) {
				e.at = len(e.line())
				e.lines[e.y+1] = strings.TrimLeft(e.lines[e.y+1], " \t")
				e.join(" ")
			}
		}
	case 'r':
		if n := after(e.line(), e.at); n > 0 {
			e.begin()
			at := e.at
			e.cut(at, at+n)
			e.put(rest)
			e.at = at
		}
	case 'p', 'P':
		e.begin()
		for range times {
			e.putCopied(key == 'p')
		}
	default:
		e.move(key, times)
	}
	return true
}

// operate deletes, changes or copies from the cursor to where a motion leads,
// or whole lines.
func (e *editor) operate(op rune, motion string, count int) bool {
	times := max(count, 1)
	for motion != "" && motion[0] >= '1' && motion[0] <= '9' { // d2w is 2dw
		n, rest := int(motion[0]-'0'), motion[1:]
		times, motion = times*n, rest
	}
	if motion == "" || motion == "g" {
		return false
	}
	from, to := e.y, e.y // for whole lines
	switch {
	case motion == string(op):
		to = from + times - 1
	case motion == "j":
		to = from + times
	case motion == "k":
		from -= times
	case motion == "G":
		to = len(e.lines) - 1
	case motion == "gg":
		from = 0
	case strings.Contains("hlwbe0^$", motion):
		if op != 'y' {
			e.begin()
		}
		y, start := e.y, e.at
		if op == 'c' && motion == "w" { // as in vi, cw leaves the space
			motion = "e"
		}
		e.move(rune(motion[0]), times)
		end := e.at
		if e.y != y {
			e.y, end = y, len(e.lines[y])
		} else if motion == "e" || motion == "$" {
			end += after(e.line(), end)
		}
		start, end = min(start, end), max(start, end)
		e.copied, e.whole, e.at = []string{e.line()[start:end]}, false, start
		if op != 'y' {
			e.cut(start, end)
		}
		e.insert = op == 'c'
		return true
	default:
		return true // no such motion
	}
	from, to = max(from, 0), min(to, len(e.lines)-1)
	e.copied, e.whole = slices.Clone(e.lines[from:to+1]), true
	switch op {
	case 'd':
		e.begin()
		e.replaceLines(from, to+1)
		e.y, e.at = from, 0
	case 'c':
		e.begin()
		e.replaceLines(from, to+1, "")
		e.y, e.at, e.insert = from, 0, true
	}
	return true
}

// putCopied inserts what was copied or deleted last, behind the cursor or before.
func (e *editor) putCopied(behind bool) {
	switch {
	case len(e.copied) == 0:
	case e.whole:
		if behind {
			e.y++
		}
		e.replaceLines(e.y, e.y, e.copied...)
		e.at = 0
	default:
		if behind {
			e.at += after(e.line(), e.at)
		}
		e.put(e.copied[0])
		e.at -= min(1, len(e.copied[0]))
	}
}

// indent is the column of the first character that is no space.
func indent(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }

// move moves the cursor by a key, so many times.
func (e *editor) move(key rune, times int) {
	_, height := e.size()
	for range times {
		switch key {
		case 'h':
			e.at -= before(e.line(), e.at)
		case 'l', ' ':
			e.at += after(e.line(), e.at)
		case 'j', 'k', '+', ctrlF, ctrlB:
			e.y += map[rune]int{'j': 1, '+': 1, 'k': -1, ctrlF: height, ctrlB: -height}[key]
			if e.y = min(max(e.y, 0), len(e.lines)-1); key == '+' {
				e.at = indent(e.line())
			}
			e.at = min(e.at, len(e.line()))
		case '0':
			e.at = 0
		case '^':
			e.at = indent(e.line())
		case '$':
			e.at = len(e.line())
			if !e.insert {
				e.at -= before(e.line(), e.at)
			}
		case 'w', 'b', 'e':
			e.word(key)
		}
	}
}

// word moves to the next word, the previous one, or the end of one.
func (e *editor) word(key rune) {
	class := func() int {
		r, n := utf8.DecodeRuneInString(e.line()[e.at:])
		switch {
		case n == 0 || unicode.IsSpace(r):
			return 0
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return 1
		}
		return 2
	}
	step := func() bool { // to the next character of the text, or the previous one
		switch {
		case key == 'b' && e.at > 0:
			e.at -= before(e.line(), e.at)
		case key == 'b' && e.y > 0:
			e.y--
			e.at = len(e.line())
		case key != 'b' && e.at < len(e.line()):
			e.at += after(e.line(), e.at)
		case key != 'b' && e.y+1 < len(e.lines):
			e.y, e.at = e.y+1, 0
		default:
			return false
		}
		return true
	}
	if key == 'w' {
		for c, y := class(), e.y; c != 0 && class() == c && e.y == y; {
			if !step() {
				return
			}
		}
		for class() == 0 && step() {
		}
		return
	}
	for step() && class() == 0 {
	}
	for c := class(); c != 0; { // to the far end of this word
		y, at := e.y, e.at
		if !step() {
			return
		}
		if class() != c || e.y != y {
			e.y, e.at = y, at
			return
		}
	}
}

// find goes to the next place that has what is searched, or the previous one,
// and begins again at the other end.
func (e *editor) find(by int) {
	if e.search == "" {
		return
	}
	index := strings.Index
	from := min(e.at+1, len(e.line()))
	part := e.line()[from:]
	if by < 0 {
		index, from, part = strings.LastIndex, 0, e.line()[:e.at]
	}
	y := e.y
	for range len(e.lines) + 1 {
		if at := index(part, e.search); at >= 0 {
			e.y, e.at = y, from+at
			return
		}
		y = (y + by + len(e.lines)) % len(e.lines)
		from, part = 0, e.lines[y]
	}
	e.message = fmt.Sprintf("%q is not in the text", e.search)
}

// command does a command that was typed after a colon.
func (e *editor) command(line string) error {
	name, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	if n, err := strconv.Atoi(name); err == nil {
		e.y, e.at = n-1, 0
		return nil
	}
	if name == "$" {
		e.y, e.at = len(e.lines)-1, 0
		return nil
	}
	if strings.HasPrefix(name, "s/") || strings.HasPrefix(name, "%s/") {
		return e.substitute(strings.TrimSpace(line))
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
		}
		e.message = fmt.Sprintf("%q, %d lines written", file, len(e.lines))
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

// substitute does s/A/B/ and s/A/B/g, in one line or, with % before, in all. A
// is a regular expression of Go.
func (e *editor) substitute(line string) error {
	line, all := strings.CutPrefix(line, "%")
	parts := strings.Split(line, "/")
	if len(parts) < 3 || len(parts) > 4 {
		return fmt.Errorf("must be s/A/B/ or s/A/B/g")
	}
	re, err := regexp.Compile(parts[1])
	if err != nil {
		return err
	}
	most := 1
	if len(parts) > 3 && parts[3] == "g" {
		most = -1
	}
	from, to, changed := e.y, e.y+1, 0
	if all {
		from, to = 0, len(e.lines)
	}
	e.begin()
	for y := from; y < to; y++ {
		var b strings.Builder
		last := 0
		for _, m := range re.FindAllStringIndex(e.lines[y], most) {
			b.WriteString(e.lines[y][last:m[0]] + parts[2])
			last = m[1]
			changed++
		}
		if s := b.String() + e.lines[y][last:]; s != e.lines[y] {
			e.replaceLines(y, y+1, s)
			e.y = y
		}
	}
	e.message = fmt.Sprintf("%d replaced", changed)
	return nil
}

// size is that of the text on the screen, without the last row.
func (e *editor) size() (width, height int) {
	width, height = e.screen.Size()
	return max(width, 1), max(height-1, 1)
}

// cells calls f with what each rune of a line looks like, and in which cell; it
// returns how many cells there are.
func cells(s string, f func(at, x int, look string)) (x int) {
	for at := 0; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		look := s[at : at+n]
		switch {
		case r == '\t':
			look = strings.Repeat(" ", 8-x%8)
		case r < ' ':
			look = "^" + string('@'+r)
		case r == utf8.RuneError && n == 1 || !unicode.IsPrint(r):
			look = fmt.Sprintf("<%x>", s[at:at+n])
		}
		f(at, x, look)
		x += len([]rune(look))
		at += n
	}
	return x
}

// draw shows the text around the cursor, and in the last row what is typed or
// to be said.
func (e *editor) draw() {
	width, height := e.size()
	e.top = min(max(e.top, e.y-height+1), e.y)
	cursor := 0
	end := cells(e.line(), func(at, x int, _ string) {
		if at == e.at {
			cursor = x
		}
	})
	if e.at == len(e.line()) {
		cursor = end
	}
	if cursor < e.left || cursor >= e.left+width {
		e.left = max(0, cursor-width/2)
	}
	e.screen.Clear()
	put := func(y, x int, s string) {
		for _, r := range s {
			e.screen.SetContent(x, y, r, nil, tcell.StyleDefault)
			x++
		}
	}
	for y := range height {
		if e.top+y >= len(e.lines) {
			put(y, 0, "~")
			continue
		}
		cells(e.lines[e.top+y], func(_, x int, look string) {
			if x >= e.left && x < e.left+width {
				put(y, x-e.left, look)
			}
		})
	}
	status := e.message
	switch {
	case e.prompt != "":
		status = e.prompt
	case e.insert:
		status = "-- insert -- Esc ends it"
	case status == "":
		status = fmt.Sprintf("%s %d/%d %s", e.name, e.y+1, len(e.lines), e.typed)
	}
	last := strings.Split(strings.TrimRight(status, "\n"), "\n")
	for i, l := range last {
		y := height + 1 - len(last) + i
		put(y, 0, strings.Repeat(" ", width))
		cells(l, func(_, x int, look string) { put(y, x, look) })
	}
	if e.prompt != "" {
		e.screen.ShowCursor(len([]rune(e.prompt)), height)
	} else {
		e.screen.ShowCursor(cursor-e.left, e.y-e.top)
	}
	e.screen.Show()
}
