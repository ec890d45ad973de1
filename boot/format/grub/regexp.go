package grub

import (
	"errors"
	"strings"
)

// A pattern is an extended regular expression of POSIX, as the command regexp takes
// it. Package regexp has more than GRUB has, and would be 3 % of the minimal image.
type pattern struct {
	root   *expr
	groups int
}

// expr is a part of a pattern.
type expr struct {
	kind  exprKind
	set   [4]uint64 // the bytes that one matches
	subs  []*expr
	least int // how often
	most  int // negative for any number
	group int
}

type exprKind byte

const (
	oneOf    exprKind = iota // a byte of set
	sequence                 // subs, one after the other
	choice                   // one of subs
	repeat                   // the one of subs, from least to most times
	group                    // the one of subs, which is remembered
	atStart
	atEnd
)

func (e *expr) add(first, last byte) {
	for c := int(first); c <= int(last); c++ {
		e.set[c/64] |= 1 << (c % 64)
	}
}

func (e *expr) has(c byte) bool { return e.set[c/64]>>(c%64)&1 != 0 }

func single(c byte) *expr {
	e := &expr{}
	e.add(c, c)
	return e
}

// class returns what [:name:] matches, as ranges; "" for a name that is not known.
func class(name string) string {
	for _, c := range [...][2]string{
		{"alpha", "azAZ"}, {"digit", "09"}, {"alnum", "azAZ09"}, {"upper", "AZ"}, {"lower", "az"}, {"space", "\t\r  "}, {"blank", "\t\t  "},
		{"punct", "!/:@[`{~"}, {"print", " ~"}, {"graph", "!~"}, {"cntrl", "\x00\x1f\x7f\x7f"}, {"xdigit", "09afAF"},
	} {
		if c[0] == name {
			return c[1]
		}
	}
	return ""
}

const maxRepeat = 255 // of one part of a pattern: regcomp(3) takes more

// patternReader parses a pattern.
type patternReader struct {
	text   string
	at     int
	groups int
}

var errPattern = errors.New("it is not an extended regular expression")

// parsePattern parses an extended regular expression.
func parsePattern(text string) (*pattern, error) {
	r := &patternReader{text: text}
	root, err := r.choice(0)
	if err == nil && r.at < len(text) {
		err = errPattern // a closing bracket too many
	}
	if err != nil {
		return nil, err
	}
	return &pattern{root, r.groups}, nil
}

// next reports whether c comes next, and passes it.
func (r *patternReader) next(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *patternReader) choice(depth int) (*expr, error) {
	if depth > 20 {
		return nil, errPattern
	}
	all := &expr{kind: choice}
	for {
		e := &expr{kind: sequence}
		for r.at < len(r.text) && r.text[r.at] != '|' && r.text[r.at] != ')' {
			sub, err := r.repeated(depth)
			if err != nil {
				return nil, err
			}
			e.subs = append(e.subs, sub)
		}
		all.subs = append(all.subs, e)
		if !r.next('|') {
			return all, nil
		}
	}
}

func (r *patternReader) repeated(depth int) (*expr, error) {
	e, err := r.atom(depth)
	for n := 0; err == nil; n++ {
		times := &expr{kind: repeat, subs: []*expr{e}, most: -1}
		switch {
		case r.next('*'):
		case r.next('+'):
			times.least = 1
		case r.next('?'):
			times.most = 1
		case r.next('{'):
			err = r.bounds(times)
		default:
			return e, nil
		}
		if n > 3 {
			return nil, errPattern
		}
		e = times
	}
	return nil, err
}

// bounds reads what follows a brace.
func (r *patternReader) bounds(e *expr) error {
	text, rest, ok := strings.Cut(r.text[r.at:], "}")
	from, to, two := strings.Cut(text, ",")
	least, ok1 := number(from)
	most, ok2 := number(to)
	if !ok || !ok1 || two && to != "" && !ok2 || least > maxRepeat || most > maxRepeat {
		return errPattern
	}
	r.at = len(r.text) - len(rest)
	e.least = int(least)
	switch {
	case !two:
		e.most = e.least
	case to != "":
		e.most = int(most)
	}
	if e.most >= 0 && e.most < e.least {
		return errPattern
	}
	return nil
}

func (r *patternReader) atom(depth int) (*expr, error) {
	c := r.text[r.at]
	r.at++
	switch c {
	case '(':
		r.groups++
		e := &expr{kind: group, group: r.groups}
		sub, err := r.choice(depth + 1)
		if err != nil || !r.next(')') {
			return nil, errPattern
		}
		e.subs = []*expr{sub}
		return e, nil
	case '[':
		return r.bracket()
	case '.':
		e := &expr{}
		e.add(0, 0xff)
		return e, nil
	case '^':
		return &expr{kind: atStart}, nil
	case '$':
		return &expr{kind: atEnd}, nil
	case '*', '+', '?', '{':
		return nil, errPattern
	case '\\':
		if r.at == len(r.text) {
			return nil, errPattern
		}
		c = r.text[r.at]
		r.at++
	}
	return single(c), nil
}

// bracket reads a set of bytes, in which a backslash is one of them.
func (r *patternReader) bracket() (*expr, error) {
	e := &expr{}
	not := r.next('^')
	for first := true; ; first = false {
		rest := r.text[r.at:]
		switch {
		case rest == "":
			return nil, errPattern
		case rest[0] == ']' && !first:
			r.at++
			if not {
				for i := range e.set {
					e.set[i] = ^e.set[i]
				}
			}
			return e, nil
		case strings.HasPrefix(rest, "[:"):
			name, _, ok := strings.Cut(rest[2:], ":]")
			ranges := class(name)
			if !ok || ranges == "" {
				return nil, errPattern
			}
			for i := 0; i < len(ranges); i += 2 {
				e.add(ranges[i], ranges[i+1])
			}
			r.at += len(name) + len("[::]")
		case len(rest) > 2 && rest[1] == '-' && rest[2] != ']':
			if rest[2] < rest[0] {
				return nil, errPattern
			}
			e.add(rest[0], rest[2])
			r.at += 3
		default:
			e.add(rest[0], rest[0])
			r.at++
		}
	}
}

// matching is one search. Of the matches that begin first the longest counts, and of
// several the one that is found first.
type matching struct {
	text   string
	steps  int   // that may still be taken
	groups []int // where each begins and ends; the first one is the whole
	best   []int
}

const maxMatch = 200_000 // steps of a search: some patterns take for ever

// find returns what of text the pattern and each of its groups match, nil when it
// does not match, and how many steps that took.
func (p *pattern) find(text string) (found []string, steps int) {
	m := &matching{text: text, steps: maxMatch}
	for at := 0; at <= len(text) && m.best == nil && m.steps > 0; at++ {
		m.groups = make([]int, 2*(p.groups+1))
		for i := range m.groups {
			m.groups[i] = -1
		}
		m.groups[0] = at
		m.match(p.root, at, func(end int) bool {
			if m.best == nil || end > m.best[1] {
				m.groups[1] = end
				m.best = append([]int(nil), m.groups...)
			}
			return end == len(text)
		})
	}
	if m.best != nil {
		found = make([]string, p.groups+1)
	}
	for i := range found {
		if from := m.best[2*i]; from >= 0 {
			found[i] = text[from:m.best[2*i+1]]
		}
	}
	return found, maxMatch - m.steps
}

// match calls then with each place where a match of e that begins at a place ends,
// until that returns true.
func (m *matching) match(e *expr, at int, then func(end int) bool) bool {
	if m.steps--; m.steps <= 0 {
		return true
	}
	switch e.kind {
	case oneOf:
		return at < len(m.text) && e.has(m.text[at]) && then(at+1)
	case atStart:
		return at == 0 && then(at)
	case atEnd:
		return at == len(m.text) && then(at)
	case sequence:
		return m.sequence(e.subs, at, then)
	case choice:
		for _, sub := range e.subs {
			if m.match(sub, at, then) {
				return true
			}
		}
		return false
	case group:
		i := 2 * e.group
		from, to := m.groups[i], m.groups[i+1]
		done := m.match(e.subs[0], at, func(end int) bool {
			inFrom, inTo := m.groups[i], m.groups[i+1]
			m.groups[i], m.groups[i+1] = at, end
			if then(end) {
				return true
			}
			m.groups[i], m.groups[i+1] = inFrom, inTo
			return false
		})
		if !done {
			m.groups[i], m.groups[i+1] = from, to
		}
		return done
	}
	return m.repeat(e, 0, at, then)
}

func (m *matching) sequence(es []*expr, at int, then func(int) bool) bool {
	if len(es) == 0 {
		return then(at)
	}
	return m.match(es[0], at, func(end int) bool { return m.sequence(es[1:], end, then) })
}

// repeat matches once more, and then without.
func (m *matching) repeat(e *expr, done, at int, then func(int) bool) bool {
	if e.most < 0 || done < e.most {
		if m.match(e.subs[0], at, func(end int) bool {
			return (end > at || done < e.least) && m.repeat(e, done+1, end, then)
		}) {
			return true
		}
	}
	return done >= e.least && then(at)
}
