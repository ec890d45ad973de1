package module

import (
	"slices"
	"strings"
)

// aliases maps patterns, as modules bear them for the devices that they drive,
// to module names. Nearly all patterns name a bus before a colon (pci:, usb:),
// and a device is only compared with those of its own bus.
type aliases struct {
	exact map[string][]string // without wildcards
	byBus map[string][]alias
	rest  []alias // whose bus is itself a pattern
}

type alias struct {
	pattern string
	module  string
}

const wildcards = `*?[\`

func (a *aliases) add(pattern, module string) {
	pattern = normalAlias(pattern)
	if !strings.ContainsAny(pattern, wildcards) {
		if a.exact == nil {
			a.exact = make(map[string][]string)
		}
		a.exact[pattern] = append(a.exact[pattern], module)
		return
	}
	bus, _, ok := strings.Cut(pattern, ":")
	if !ok || strings.ContainsAny(bus, wildcards) {
		a.rest = append(a.rest, alias{pattern, module})
		return
	}
	if a.byBus == nil {
		a.byBus = make(map[string][]alias)
	}
	a.byBus[bus] = append(a.byBus[bus], alias{pattern, module})
}

// match returns the modules with a pattern that name fits, each once, sorted.
func (a *aliases) match(name string) []string {
	name = normalAlias(name)
	found := slices.Clone(a.exact[name])
	bus, _, _ := strings.Cut(name, ":")
	for _, list := range [][]alias{a.byBus[bus], a.rest} {
		for _, al := range list {
			if glob(al.pattern, name) {
				found = append(found, al.module)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Match returns the names of the modules that drive the device with the given
// modalias, sorted; none when the Index is empty.
func (x *Index) Match(modalias string) []string {
	if x.Empty() {
		return nil
	}
	return x.aliases.match(modalias)
}

// normalAlias makes - and _ equal, except within brackets, as libkmod's
// alias_normalize does.
func normalAlias(s string) string {
	if !strings.Contains(s, "-") {
		return s
	}
	b := []byte(s)
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '-':
			b[i] = '_'
		case '[':
			end := strings.IndexByte(s[i:], ']')
			if end < 0 {
				continue
			}
			i += end
		}
	}
	return string(b)
}

// glob reports whether s as a whole fits the pattern, by the rules of
// fnmatch(3) without flags: * and ? also match a slash, [a-c] and [!a-c] are
// sets, a backslash takes the next character for itself. It takes at most
// len(pattern)*len(s) steps.
func glob(pattern, s string) bool {
	star, from := -1, 0 // where to go on after the last * took one byte more
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if p < len(pattern) {
			if n, ok := one(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// one reports whether c fits the first element of a pattern that is neither
// empty nor begins with a star, and how long that element is.
func one(pattern string, c byte) (n int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	case '[':
		if n, ok, set := inSet(pattern, c); set {
			return n, ok
		}
	}
	return 1, pattern[0] == c
}

// inSet is one for a set; set is false when no bracket closes it.
func inSet(pattern string, c byte) (n int, ok, set bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, ok != negated, true
		}
		lo, w := member(pattern[i:])
		i += w
		hi := lo
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi, w = member(pattern[i+1:])
			i += 1 + w
		}
		ok = ok || lo <= c && c <= hi
	}
	return 0, false, false
}

// member reads one character of a set, escaped or not.
func member(s string) (c byte, width int) {
	if s[0] == '\\' && len(s) > 1 {
		return s[1], 2
	}
	return s[0], 1
}
