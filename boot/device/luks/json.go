package luks

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A strict reader of JSON (RFC 8259). encoding/json would add 90 kB to an image
// of --minimal, and knows no limit on the number of values.

const (
	maxDepth  = 16
	maxValues = 1 << 16 // LUKS2 headers have a few hundred
)

// number is a JSON number as it was written.
type number string

// parser goes through b once.
type parser struct {
	b      []byte
	at     int
	values int
}

// parseJSON returns the one value in b: map[string]any, []any, string, [number],
// bool or nil.
func parseJSON(b []byte) (any, error) {
	p := &parser{b: b}
	v, err := p.value(0)
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", p.at, err)
	}
	if p.space(); p.at != len(b) {
		return nil, fmt.Errorf("byte %d: more than one value", p.at)
	}
	return v, nil
}

var (
	errJSON  = errors.New("not JSON")
	errLarge = errors.New("too much of it")
)

func (p *parser) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\t' || p.b[p.at] == '\n' || p.b[p.at] == '\r') {
		p.at++
	}
}

// next returns the next byte that is not white space, without taking it; 0 at
// the end.
func (p *parser) next() byte {
	p.space()
	return p.peek()
}

func (p *parser) peek() byte {
	if p.at == len(p.b) {
		return 0
	}
	return p.b[p.at]
}

// take reports whether c comes next, white space aside, and takes it.
func (p *parser) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.at++
	return true
}

func (p *parser) value(depth int) (any, error) {
	if p.values++; depth > maxDepth || p.values > maxValues {
		return nil, errLarge
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.string()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	case p.word("null"):
		return nil, nil
	}
	return nil, errJSON
}

// word reports whether w comes next, and takes it.
func (p *parser) word(w string) bool {
	found := bytes.HasPrefix(p.b[p.at:], []byte(w))
	if found {
		p.at += len(w)
	}
	return found
}

func (p *parser) object(depth int) (any, error) {
	p.at++
	m := make(map[string]any)
	if p.take('}') {
		return m, nil
	}
	for {
		if p.next() != '"' {
			return nil, errJSON
		}
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%q twice", name)
		}
		if !p.take(':') {
			return nil, errJSON
		}
		if m[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if p.take('}') {
			return m, nil
		}
		if !p.take(',') {
			return nil, errJSON
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	p.at++
	list := []any{}
	if p.take(']') {
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.take(']') {
			return list, nil
		}
		if !p.take(',') {
			return nil, errJSON
		}
	}
}

func (p *parser) number() (any, error) {
	start := p.at
	digits := func() bool {
		from := p.at
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.at++
		}
		return p.at > from
	}
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else if !digits() {
		return nil, errJSON
	}
	if p.peek() == '.' {
		if p.at++; !digits() {
			return nil, errJSON
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if !digits() {
			return nil, errJSON
		}
	}
	return number(p.b[start:p.at]), nil
}

func (p *parser) string() (string, error) {
	p.at++
	var out []byte
	for p.at < len(p.b) {
		c := p.b[p.at]
		p.at++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errJSON
			}
			return string(out), nil
		case c < ' ':
			return "", errJSON
		case c != '\\':
			out = append(out, c)
		default:
			r, ok := p.escape()
			if !ok {
				return "", errJSON
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", errJSON
}

// escape reads what follows a backslash.
func (p *parser) escape() (rune, bool) {
	c := p.peek()
	p.at = min(p.at+1, len(p.b))
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := p.hex()
		if ok && utf16.IsSurrogate(r) {
			at := p.at
			if p.peek() == '\\' {
				p.at++
				if p.peek() == 'u' {
					p.at++
					if low, ok := p.hex(); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
						return utf16.DecodeRune(r, low), true
					}
				}
			}
			p.at = at
			return utf8.RuneError, true
		}
		return r, ok
	}
	return 0, false
}

func (p *parser) hex() (rune, bool) {
	if p.at+4 > len(p.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.b[p.at:p.at+4]), 16, 16)
	p.at += 4
	return rune(n), err == nil
}

// object reads the fields of a JSON object. The first thing that is not as it
// must be is kept in bad; what is read after that means nothing.
type object struct {
	m    map[string]any
	path string
	bad  *error
}

func newObject(v any, path string, bad *error) object {
	m, ok := v.(map[string]any)
	o := object{m, path, bad}
	if !ok {
		o.wrong("")
	}
	return o
}

// with returns the same object with another place for what is wrong.
func (o object) with(bad *error) object {
	o.bad = bad
	return o
}

func (o object) wrong(name string) {
	if *o.bad == nil {
		*o.bad = damaged("%s is missing or impossible", strings.TrimSuffix(o.path+name, "."))
	}
}

// names returns the names of all fields, in order.
func (o object) names() []string {
	names := make([]string, 0, len(o.m))
	for name := range o.m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (o object) object(name string) object {
	return newObject(o.m[name], o.path+name+".", o.bad)
}

// optional is object for one that may be missing, which is then empty.
func (o object) optional(name string) object {
	if o.m[name] == nil {
		return object{path: o.path + name + ".", bad: o.bad}
	}
	return o.object(name)
}

func (o object) text(name string) string {
	s, ok := o.m[name].(string)
	if !ok {
		o.wrong(name)
	}
	return s
}

// number reads a whole number, which LUKS2 writes as a string where it may have
// more than 32 bits.
func (o object) number(name string, least, most uint64) uint64 {
	var digits string
	switch v := o.m[name].(type) {
	case number:
		digits = string(v)
	case string:
		digits = v
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n < least || n > most {
		o.wrong(name)
		return least
	}
	return n
}

// base64 reads bytes, of which there must be from least to most.
func (o object) base64(name string, least, most int) []byte {
	b, err := base64.StdEncoding.DecodeString(o.text(name))
	if err != nil || len(b) < least || len(b) > most {
		o.wrong(name)
		return nil
	}
	return b
}

// strings reads a list of strings that may be missing.
func (o object) strings(name string) []string {
	if o.m[name] == nil {
		return nil
	}
	list, ok := o.m[name].([]any)
	out := make([]string, len(list))
	for i, v := range list {
		s, isString := v.(string)
		out[i], ok = s, ok && isString
	}
	if !ok {
		o.wrong(name)
	}
	return out
}
