package lvm

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits on metadata in text form. Real ones are far below.
const (
	maxDepth  = 8
	maxNodes  = 100_000
	maxValues = 100_000
)

// node is a section with other nodes, or a name with values.
type node struct {
	name    string
	section bool
	nodes   []node
	values  []value
}

// value is a string or a number; what is neither is a string, too.
type value struct {
	text   string
	number uint64
	isText bool
}

// parser reads the language of LVM's metadata and configuration files, as
// libdm/libdm-config.c of LVM2 does: sections in braces, names with a value or
// a list of values in brackets, comments from # on.
type parser struct {
	s             string
	at            int
	nodes, values int
}

// parse reads metadata in text form.
func parse(s string) (root node, err error) {
	p := parser{s: s}
	root.section = true
	if root.nodes, err = p.list(0); err != nil {
		return node{}, fmt.Errorf("line %d: %w", 1+strings.Count(s[:p.at], "\n"), err)
	}
	return root, nil
}

// list reads nodes up to a closing brace, or at depth 0 to the end.
func (p *parser) list(depth int) (nodes []node, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("sections more than %d deep", maxDepth)
	}
	for {
		switch c := p.peek(); {
		case c == 0 && depth == 0, c == '}' && depth > 0:
			return nodes, nil
		case c == 0:
			return nil, fmt.Errorf("a section does not end")
		}
		if p.nodes++; p.nodes > maxNodes {
			return nil, fmt.Errorf("more than %d names", maxNodes)
		}
		n := node{name: p.word()}
		if n.name == "" {
			return nil, fmt.Errorf("a name is missing")
		}
		switch p.peek() {
		case '{':
			p.at++
			n.section = true
			if n.nodes, err = p.list(depth + 1); err != nil {
				return nil, err
			}
			p.at++ // the brace
		case '=':
			p.at++
			if n.values, err = p.assigned(); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%q has neither a value nor a section", short(n.name))
		}
		nodes = append(nodes, n)
	}
}

// assigned reads what stands behind an equals sign.
func (p *parser) assigned() ([]value, error) {
	if p.peek() != '[' {
		v, err := p.value()
		return []value{v}, err
	}
	p.at++
	var values []value
	for {
		switch p.peek() {
		case ']':
			p.at++
			return values, nil
		case ',':
			p.at++
		case 0:
			return nil, fmt.Errorf("a list does not end")
		default:
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
	}
}

func (p *parser) value() (value, error) {
	if p.values++; p.values > maxValues {
		return value{}, fmt.Errorf("more than %d values", maxValues)
	}
	if p.peek() == '"' {
		return p.quoted()
	}
	w := p.word()
	if w == "" {
		return value{}, fmt.Errorf("a value is missing")
	}
	if n, err := strconv.ParseUint(w, 10, 64); err == nil {
		return value{number: n}, nil
	}
	return value{text: w, isText: true}, nil // negative, with a fraction, or bare
}

// quoted reads a string in quotes, in which a backslash keeps the next character.
func (p *parser) quoted() (value, error) {
	rest := p.s[p.at+1:]
	escaped := false
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			p.at += i + 2
			text := rest[:i]
			if escaped {
				text = unescape(text)
			}
			return value{text: text, isText: true}, nil
		}
	}
	return value{}, fmt.Errorf("a string does not end")
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// peek skips white space and comments and returns the character behind them; 0
// at the end.
func (p *parser) peek() byte {
	for p.at < len(p.s) {
		switch c := p.s[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		case '#':
			end := strings.IndexByte(p.s[p.at:], '\n')
			if end < 0 {
				p.at = len(p.s)
				return 0
			}
			p.at += end
		case 0: // would look like the end
			return '?'
		default:
			return c
		}
	}
	return 0
}

// word reads a name or a number; "" when there is none.
func (p *parser) word() string {
	p.peek()
	start := p.at
	for p.at < len(p.s) && p.s[p.at] > ' ' && p.s[p.at] < 0x7f && strings.IndexByte(`={}[],#"`, p.s[p.at]) < 0 {
		p.at++
	}
	return p.s[start:p.at]
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

// get returns the node of a name; nil when there is none.
func (n *node) get(name string) *node {
	for i := range n.nodes {
		if n.nodes[i].name == name {
			return &n.nodes[i]
		}
	}
	return nil
}

// sections returns the sections in the section of a name.
func (n *node) sections(name string) []node {
	in := n.get(name)
	if in == nil {
		return nil
	}
	var sections []node
	for _, s := range in.nodes {
		if s.section {
			sections = append(sections, s)
		}
	}
	return sections
}

// text returns the string of a name; "" when there is none.
func (n *node) text(name string) string {
	if v := n.get(name); v != nil && len(v.values) == 1 {
		return v.values[0].text
	}
	return ""
}

// number returns the number of a name, at most most.
func (n *node) number(name string, most uint64) (uint64, error) {
	v := n.get(name)
	if v == nil || len(v.values) != 1 || v.values[0].isText || v.values[0].number > most {
		return 0, fmt.Errorf("%s has no usable %s", short(n.name), name)
	}
	return v.values[0].number, nil
}

// has reports whether the list of a name holds a string.
func (n *node) has(name, text string) bool {
	v := n.get(name)
	if v == nil {
		return false
	}
	for _, v := range v.values {
		if v.isText && v.text == text {
			return true
		}
	}
	return false
}
