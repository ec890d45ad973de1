package grub

import (
	"fmt"
	"strings"
)

// tokenKind is what a token is to the parser.
type tokenKind int

const (
	tokEnd tokenKind = iota // of the file
	tokNewline
	tokSemicolon
	tokOpen  // {
	tokClose // }
	tokWord
	tokBad // text is the reason
)

// token is one token of a script.
type token struct {
	kind tokenKind
	text string // of a word: as it stands in the file, to distinguish keywords from quoted words
	word word
	line int
}

// word is one word of a command line before variables are replaced.
type word []part

// part is a piece of a word.
type part struct {
	kind partKind
	text string
}

type partKind int

const (
	partText      partKind = iota // outside of quotes: backslashes still stand in it
	partQuoted                    // in quotes, which are gone
	partVar                       // name of a variable outside of quotes
	partQuotedVar                 // inside double quotes
	partGettext                   // $"...": variables still stand in it
)

// lexer cuts a script into tokens, by the rules of grub-core/script/yylex.l.
type lexer struct {
	text string // without CR and NUL, with a newline at its end
	pos  int
	line int // at pos, from 1
}

func newLexer(text string) *lexer {
	text = strings.ReplaceAll(text, "\r", "")
	if strings.IndexByte(text, 0) >= 0 { // a line ends at NUL, as C strings do
		lines := strings.Split(text, "\n")
		for i, l := range lines {
			lines[i], _, _ = strings.Cut(l, "\x00")
		}
		text = strings.Join(lines, "\n")
	}
	return &lexer{text: text + "\n", line: 1}
}

// next returns the next token.
func (l *lexer) next() token {
	for l.pos < len(l.text) {
		t := token{line: l.line}
		switch c := l.text[l.pos]; c {
		case ' ', '\t':
			l.pos++
			continue
		case '#':
			l.pos += strings.IndexByte(l.text[l.pos:], '\n')
			continue
		case '\n':
			t.kind = tokNewline
			l.line++
		case '{':
			t.kind = tokOpen
		case '}':
			t.kind = tokClose
		case ';':
			t.kind = tokSemicolon
			if strings.HasPrefix(l.text[l.pos:], ";;") {
				t.kind, t.text = tokBad, ";; has no meaning in GRUB"
			}
		case '|', '&', '<', '>':
			t.kind, t.text = tokBad, fmt.Sprintf("%c has no meaning in GRUB outside of quotes", c)
		default:
			return l.wordToken()
		}
		l.pos++
		return t
	}
	return token{kind: tokEnd, line: l.line}
}

// skipLine goes to the start of the next line, unless a line has just begun.
func (l *lexer) skipLine() {
	if l.pos == 0 || l.pos >= len(l.text) || l.text[l.pos-1] == '\n' {
		return
	}
	l.pos += strings.IndexByte(l.text[l.pos:], '\n') + 1
	l.line++
}

// wordToken reads a word, which begins at pos.
func (l *lexer) wordToken() token {
	start, t := l.pos, token{kind: tokWord, line: l.line}
	textFrom := start
	flush := func() {
		if textFrom < l.pos {
			t.word = append(t.word, part{partText, l.text[textFrom:l.pos]})
		}
	}
	for l.pos < len(l.text) && strings.IndexByte("{}|&;<> \t\n", l.text[l.pos]) < 0 {
		switch l.text[l.pos] {
		case '\\':
			if l.pos+2 >= len(l.text) { // only the newline that every file gets follows
				return l.bad(t, "the file ends after a backslash")
			}
			if l.text[l.pos+1] == '\n' {
				flush()
				textFrom = l.pos + 2
				l.line++
			}
			l.pos += 2
		case '\'':
			flush()
			end := strings.IndexByte(l.text[l.pos+1:], '\'')
			if end < 0 {
				return l.unclosed(t)
			}
			s := l.text[l.pos+1 : l.pos+1+end]
			t.word = append(t.word, part{partQuoted, s})
			l.line += strings.Count(s, "\n")
			l.pos += end + 2
			textFrom = l.pos
		case '"':
			flush()
			l.pos++
			if why := l.doubleQuoted(&t); why != "" {
				return l.bad(t, why)
			}
			textFrom = l.pos
		case '$':
			flush()
			l.pos++
			if strings.HasPrefix(l.text[l.pos:], `"`) {
				l.pos++
				if !l.gettext(&t) {
					return l.unclosed(t)
				}
			} else if name := l.variable(); name != "" {
				t.word = append(t.word, part{partVar, name})
			} else {
				return l.bad(t, "$ is not followed by the name of a variable")
			}
			textFrom = l.pos
		default:
			l.pos++
		}
	}
	flush()
	t.text = l.text[start:l.pos]
	return t
}

func (l *lexer) bad(t token, why string) token {
	t.kind, t.text, t.word = tokBad, why, nil
	return t
}

// unclosed is for a quote without an end: as in GRUB it takes the rest of the
// file with it.
func (l *lexer) unclosed(t token) token {
	l.line += strings.Count(l.text[l.pos:], "\n")
	l.pos = len(l.text)
	return l.bad(t, "a quote is not closed")
}

// doubleQuoted reads what follows a double quote, up to its end.
func (l *lexer) doubleQuoted(t *token) (why string) {
	from := l.pos
	var b strings.Builder // what precedes from
	flush := func() {
		s := l.text[from:l.pos]
		if b.Len() > 0 {
			s = b.String() + s
			b.Reset()
		}
		t.word = append(t.word, part{partQuoted, s}) // also where it is empty: "" is a word
	}
	for l.pos < len(l.text) {
		switch l.text[l.pos] {
		case '"':
			flush()
			l.pos++
			return ""
		case '\\':
			if l.pos+1 == len(l.text) {
				break
			}
			switch l.text[l.pos+1] {
			case '\n':
				b.WriteString(l.text[from:l.pos])
				from = l.pos + 2
				l.line++
			case '$', '"', '\\':
				b.WriteString(l.text[from:l.pos])
				from = l.pos + 1
			}
			l.pos++
		case '$':
			flush()
			l.pos++
			name := l.variable()
			if name == "" {
				return "$ is not followed by the name of a variable"
			}
			t.word = append(t.word, part{partQuotedVar, name})
			from = l.pos
			continue
		case '\n':
			l.line++
		}
		l.pos++
	}
	l.unclosed(*t)
	return "a quote is not closed"
}

// gettext reads what follows $", up to the closing quote. It reports whether
// there is one.
func (l *lexer) gettext(t *token) bool {
	var b strings.Builder
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		l.pos++
		switch c {
		case '"':
			t.word = append(t.word, part{partGettext, b.String()})
			return true
		case '\n':
			l.line++
		case '\\':
			if l.pos == len(l.text) {
				return false
			}
			c = l.text[l.pos]
			l.pos++
			switch c {
			case '\n':
				l.line++
				continue
			case '"':
			default:
				b.WriteByte('\\')
			}
		}
		b.WriteByte(c)
	}
	return false
}

// variable reads the name of a variable, which may be in braces, and returns ""
// when there is none.
func (l *lexer) variable() string {
	s := l.text[l.pos:]
	inner, braced := strings.CutPrefix(s, "{")
	n := nameLen(inner)
	if n == 0 {
		return ""
	}
	if !braced {
		l.pos += n
		return s[:n]
	}
	if !strings.HasPrefix(inner[n:], "}") {
		return ""
	}
	l.pos += n + 2
	return inner[:n]
}

// nameLen returns the length of the variable name that s begins with.
func nameLen(s string) int {
	if s == "" {
		return 0
	}
	if strings.IndexByte("?#*@", s[0]) >= 0 {
		return 1
	}
	n := 0
	if isDigit(s[0]) {
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		return n
	}
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }

// isName reports whether s can name a function or the variable of a for loop.
func isName(s string) bool { return s != "" && isLetter(s[0]) && nameLen(s) == len(s) }
