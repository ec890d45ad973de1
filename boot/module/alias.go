package module

import (
	"path"
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

// glob reports whether s as a whole fits the pattern. Other than for [path.Match]
// a slash is a character like others; a pattern that is malformed fits nothing.
func glob(pattern, s string) bool {
	plain := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, _ := path.Match(plain(pattern), plain(s))
	return ok
}
