package grub

import (
	"maps"
	"path"
	"strconv"
	"strings"
)

// variable is one variable of an environment.
type variable struct {
	value    string
	exported bool // seen in submenus and by configfile
}

// environ holds the variables of one context (grub-core/normal/context.c).
type environ map[string]variable

func (e environ) get(name string) string { return e[name].value }

// set returns a variable a value. Names that stand for arguments cannot be set.
func (e environ) set(name, value string) {
	if name == "root" && strings.HasPrefix(value, "(") && strings.HasSuffix(value, ")") {
		value = value[1 : len(value)-1]
	}
	v := e[name]
	v.value = value
	e[name] = v
}

func (e environ) export(name string) {
	v := e[name]
	v.exported = true
	e[name] = v
}

// context returns the environment that a submenu begins with.
func (e environ) context() environ {
	c := maps.Clone(e)
	maps.DeleteFunc(c, func(_ string, v variable) bool { return !v.exported })
	return c
}

// wordSize is what even an empty word takes.
const wordSize = 16

// fields collects the words of a command line. While they are made, characters
// that stand for themselves although they could mean a file name pattern have a
// backslash before them, as in grub-core/script/execute.c.
type fields struct {
	list []string
	cur  strings.Builder
	some bool // cur is a word, if maybe an empty one
}

func (f *fields) add(s string) {
	f.cur.WriteString(s)
	f.some = true
}

func (f *fields) addLiteral(s string) {
	if strings.ContainsAny(s, `*?\`) {
		s = literal.Replace(s)
	}
	f.add(s)
}

var (
	literal      = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `\`, `\\`)
	valueEscapes = strings.NewReplacer(`\*`, `\\\*`, `\?`, `\\\?`, `\`, `\\`)
)

// end ends the current word, if there is one.
func (f *fields) end() {
	if f.some {
		f.list = append(f.list, f.cur.String())
		f.cur.Reset()
		f.some = false
	}
}

// expand replaces the variables in words and returns the words that come out of
// it, which can be more or fewer.
func (m *machine) expand(words []word) []string {
	var f fields
	for _, w := range words {
		for _, p := range w {
			switch p.kind {
			case partText:
				f.add(p.text)
			case partQuoted:
				f.addLiteral(p.text)
			case partGettext:
				f.addLiteral(m.gettext(p.text))
			case partVar:
				m.expandVar(&f, p.text)
			case partQuotedVar:
				m.expandQuotedVar(&f, p.text)
			}
			if !m.takeBytes(f.cur.Len()) {
				return nil
			}
		}
		f.end()
	}
	var out []string
	for _, s := range f.list {
		if found := m.glob(s); found != nil {
			out = append(out, found...)
		} else {
			out = append(out, unescape(s))
		}
	}
	return out
}

// values returns the values of a variable: several only for $@ and $*.
func (m *machine) values(name string) []string {
	switch {
	case name == "@" || name == "*":
		return m.args
	case name == "#":
		if m.hasArgs {
			return []string{strconv.Itoa(len(m.args))}
		}
	case isDigit(name[0]):
		if n, err := strconv.Atoi(name); err == nil && 1 <= n && n <= len(m.args) {
			return m.args[n-1 : n]
		}
	default:
		return []string{m.env.get(name)}
	}
	return nil
}

// expandVar adds a variable that stands outside of quotes: its words become
// words of their own.
func (m *machine) expandVar(f *fields, name string) {
	for i, v := range m.values(name) {
		if i > 0 {
			f.end()
		}
		for j, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }) {
			if j > 0 {
				f.end()
			}
			// A * in it is a pattern, but a backslash is only a backslash.
			f.add(valueEscapes.Replace(s))
			if !m.takeBytes(len(s) + wordSize) {
				return
			}
		}
	}
}

func (m *machine) expandQuotedVar(f *fields, name string) {
	vs := m.values(name)
	if name == "*" && len(vs) > 0 {
		vs = []string{strings.Join(vs, " ")}
	}
	for i, v := range vs {
		if i > 0 {
			f.end()
		}
		f.addLiteral(v)
		if !m.takeBytes(len(v) + wordSize) {
			return
		}
	}
}

// gettext replaces the variables in a string to be translated, which it is not.
func (m *machine) gettext(s string) string {
	if !strings.ContainsAny(s, `$\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '$' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '$':
			l := lexer{text: s, pos: i + 1}
			name := l.variable()
			if name == "" {
				b.WriteByte('$')
				continue
			}
			if !isDigit(name[0]) {
				for _, v := range m.values(name) {
					b.WriteString(v)
				}
			}
			i = l.pos - 1
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// unescape takes the backslashes out of a word that is not a pattern.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// isPattern reports whether s has a * or ? without a backslash before it.
func isPattern(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '*', '?':
			return true
		}
	}
	return false
}

// glob returns the files that match a pattern, nil if there are none or s is no
// pattern of files. GRUB does the same once its module regexp is loaded, which
// most signed images hold from the start.
func (m *machine) glob(s string) []string {
	if !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "(") || !isPattern(s) {
		return nil
	}
	device, rest := "", s
	if i := strings.IndexByte(s, ')'); s[0] == '(' && i > 0 {
		device, rest = s[:i+1], s[i+1:]
	}
	var found []string
	switch {
	case !strings.HasPrefix(rest, "/"):
		return nil
	case device == "(*)":
		m.unresolved = true // another volume may have more
		for i := range m.volumes {
			found = append(found, "("+volumeName(i)+")")
		}
	case isPattern(device):
		return nil
	default:
		found = []string{unescape(device)}
	}
	for part := range strings.SplitSeq(rest[1:], "/") {
		var next []string
		for _, dir := range found {
			if !isPattern(part) {
				name := dir + "/" + unescape(part)
				if st := m.stat(name); st != nil && (part != "" || st.IsDir()) {
					next = append(next, name)
				}
				continue
			}
			pattern := strings.NewReplacer(`[`, `\[`).Replace(part)
			for _, name := range m.list(dir + "/") {
				if ok, _ := path.Match(pattern, name); ok {
					next = append(next, dir+"/"+name)
				}
			}
		}
		found = next
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
