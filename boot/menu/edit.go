package menu

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// editor is a line of text being edited. Its methods return the next one and
// leave the receiver as it is. Bytes that are no UTF-8 are kept as they are.
type editor struct {
	text     string
	pos      int    // in bytes, at the beginning of a rune
	original string // for going back to it
	killed   string // what was deleted last
	undo     []undoable
	typing   bool // the last change was a typed rune: the next one is undone with it
}

type undoable struct {
	text string
	pos  int
}

const maxUndo = 200

func newEditor(s string) editor { return editor{text: s, pos: len(s), original: s} }

// change replaces the bytes from i to j by s and puts the cursor behind it.
func (e editor) change(i, j int, s string) editor {
	if i == j && s == "" {
		return e
	}
	undo := e.undo[max(0, len(e.undo)-maxUndo+1):]
	// Always a new array: an older editor may still hold the other one.
	e.undo = append(undo[:len(undo):len(undo)], undoable{e.text, e.pos})
	e.text = e.text[:i] + s + e.text[j:]
	e.pos = i + len(s)
	e.typing = false
	return e
}

func (e editor) insert(s string) editor {
	typed := e.typing
	before := e.undo
	e = e.change(e.pos, e.pos, s)
	if typed && s != " " {
		e.undo = before // a word is undone as one
	}
	e.typing = true
	return e
}

// paste inserts s with white space instead of line ends, and without the
// control characters that a command line cannot hold.
func (e editor) paste(s string) editor {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.Trim(s, "\r\n"))
	return e.change(e.pos, e.pos, s)
}

// kill deletes the bytes from i to j and remembers them.
func (e editor) kill(i, j int) editor {
	if i < j {
		e.killed = e.text[i:j]
	}
	return e.change(i, j, "")
}

// delete deletes the rune under the cursor.
func (e editor) delete() editor { return e.change(e.pos, e.right(), "") }

func (e editor) takeBack() editor {
	if n := len(e.undo); n > 0 {
		e.text, e.pos = e.undo[n-1].text, e.undo[n-1].pos
		e.undo = e.undo[:n-1]
	}
	e.typing = false
	return e
}

func (e editor) moveTo(pos int) editor {
	e.pos = pos
	e.typing = false
	return e
}

func (e editor) left() int {
	_, n := utf8.DecodeLastRuneInString(e.text[:e.pos])
	return e.pos - n
}

func (e editor) right() int {
	_, n := utf8.DecodeRuneInString(e.text[e.pos:])
	return e.pos + n
}

// wordLeft and wordRight go by the parts of which parameters are made, such as
// root and sda1 in root=/dev/sda1.
func (e editor) wordLeft() int {
	s := strings.TrimRightFunc(e.text[:e.pos], notWord)
	return len(strings.TrimRightFunc(s, isWord))
}

func (e editor) wordRight() int {
	s := strings.TrimLeftFunc(e.text[e.pos:], notWord)
	return len(e.text) - len(strings.TrimLeftFunc(s, isWord))
}

func isWord(r rune) bool  { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
func notWord(r rune) bool { return !isWord(r) }

// parameterLeft is where the parameter before the cursor begins.
func (e editor) parameterLeft() int {
	s := strings.TrimRight(e.text[:e.pos], " ")
	return strings.LastIndexByte(s, ' ') + 1
}

// lines moves the cursor by n lines where a line has w cells; it stays where it
// is when there is no such line.
func (e editor) lines(n, w int) editor {
	if w <= 0 {
		return e
	}
	total := utf8.RuneCountInString(e.text)
	at := utf8.RuneCountInString(e.text[:e.pos])
	to := at + n*w
	if to > total && at/w < total/w {
		to = total // the last line is shorter
	}
	if to < 0 || to > total {
		return e
	}
	pos := 0
	for range to {
		_, size := utf8.DecodeRuneInString(e.text[pos:])
		pos += size
	}
	return e.moveTo(pos)
}
