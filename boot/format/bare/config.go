package bare

import "strings"

// maxValue bounds a shell variable, whose parts may be other variables.
const maxValue = 4096

// assignments returns the variables that a file of shell assignments sets, such
// as /etc/default/grub, /etc/update-extlinux.conf or os-release. It knows
// quotes, escapes, comments, += and $name or ${name} of earlier variables, and
// runs nothing: a variable whose value needs that (`cmd`, $(cmd), ${x:-y}) is
// left out, and conditions are taken as true.
func assignments(data string) map[string]string {
	s := shell{in: data, vars: map[string]string{}}
	for s.in != "" {
		switch c := s.in[0]; {
		case isSeparator(c):
			s.in = s.in[1:]
		case c == '#':
			_, s.in, _ = strings.Cut(s.in, "\n")
		default:
			s.statement()
		}
	}
	return s.vars
}

type shell struct {
	in   string // what is still to be read
	vars map[string]string
}

// statement takes one assignment, or one word of anything else.
func (s *shell) statement() {
	name := s.in[:nameLen(s.in)]
	after := s.in[len(name):]
	before := ""
	switch {
	case name == "" || !strings.HasPrefix(after, "=") && !strings.HasPrefix(after, "+="):
		s.word() // a command, or export
		return
	case after[0] == '+':
		before = s.vars[name]
	}
	_, s.in, _ = strings.Cut(after, "=")
	value, ok := s.word()
	if value = before + value; !ok || len(value) > maxValue {
		delete(s.vars, name)
		return
	}
	s.vars[name] = value
}

// word takes one word of shell: at least one byte, if there is one and it is
// no separator. ok is false if its value cannot be known without running it.
func (s *shell) word() (value string, ok bool) {
	var b strings.Builder
	ok = true
	const plain, single, double = 0, '\'', '"'
	quote := byte(plain)
	for s.in != "" {
		c := s.in[0]
		if quote == plain && isSeparator(c) {
			break
		}
		s.in = s.in[1:]
		switch {
		case quote == single:
			if c == single {
				quote = plain
			} else {
				b.WriteByte(c)
			}
		case c == '\\' && s.in != "":
			next := s.in[0]
			s.in = s.in[1:]
			if quote == double && strings.IndexByte("$`\"\\\n", next) < 0 {
				b.WriteByte(c)
			}
			if next != '\n' {
				b.WriteByte(next)
			}
		case c == double && quote == double:
			quote = plain
		case c == double || c == single && quote == plain:
			quote = c
		case c == '$':
			value, known := s.expand()
			b.WriteString(value)
			ok = ok && known
		case c == '`' || c == '(' && quote == plain:
			ok = false
		default:
			b.WriteByte(c)
		}
		if b.Len() > maxValue {
			ok = false
			b.Reset()
		}
	}
	return b.String(), ok && quote == plain
}

// expand takes the name after a $ and returns its value.
func (s *shell) expand() (value string, ok bool) {
	if rest, braced := strings.CutPrefix(s.in, "{"); braced {
		n := nameLen(rest)
		if n == 0 || !strings.HasPrefix(rest[n:], "}") {
			return "", false
		}
		s.in = rest[n+1:]
		return s.vars[rest[:n]], true
	}
	n := nameLen(s.in)
	if n == 0 {
		if strings.HasPrefix(s.in, "(") {
			return "", false
		}
		return "$", true
	}
	name := s.in[:n]
	s.in = s.in[n:]
	return s.vars[name], true
}

// nameLen returns the length of the variable name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

// isSeparator reports whether c ends a word outside of quotes. All control
// characters do, so that each byte of a broken file is taken.
func isSeparator(c byte) bool {
	return c <= ' ' || strings.IndexByte(";&|", c) >= 0
}
