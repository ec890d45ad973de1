// Package cmdline reads and writes the command line of a Linux kernel: as the
// kernel does, and for everybody who has to (lib/cmdline.c and kernel/params.c
// in Linux).
package cmdline

import (
	"slices"
	"strings"
)

// Line is a command line as its words, each with the quotes that it has there.
// No method changes the Line that it is called on.
//
// The word -- ends what is for the kernel: what follows is for init. Parameters
// are looked up and changed in front of it only, and in their names - is the
// same as _.
type Line []string

// Parse splits a command line into its words. White space inside double quotes
// does not end a word. Control characters are white space. Other than in the
// kernel, where a quote that is never closed hides the rest of the line, quotes
// mean nothing then.
func Parse(s string) Line {
	quoted, paired := false, strings.Count(s, `"`)%2 == 0
	words := strings.FieldsFunc(strings.Map(plain, s), func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !(quoted && paired)
	})
	return words
}

// plain returns a space for a control character.
func plain(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// String returns the words with single spaces between them.
func (l Line) String() string { return strings.Join(l, " ") }

// Cut splits a word around its first = into the name and the value of a
// parameter, without quotes; hasValue reports whether there is one.
func Cut(word string) (name, value string, hasValue bool) {
	return strings.Cut(strings.ReplaceAll(word, `"`, ""), "=")
}

// Split splits l in front of the word --.
func (l Line) Split() (kernel, init Line) {
	i := slices.Index(l, "--")
	if i < 0 {
		i = len(l)
	}
	return l[:i:i], l[i:]
}

// All returns the values of each occurrence of a parameter, "" for one that has
// none.
func (l Line) All(name string) []string {
	var values []string
	kernel, _ := l.Split()
	for _, w := range kernel {
		if n, value, _ := Cut(w); same(n, name) {
			values = append(values, value)
		}
	}
	return values
}

// Get returns the last value of a parameter, which is the one that counts for
// most of them, and reports whether the parameter is there.
func (l Line) Get(name string) (value string, ok bool) {
	values := l.All(name)
	if len(values) == 0 {
		return "", false
	}
	return values[len(values)-1], true
}

// Has reports whether a parameter is there, with or without a value.
func (l Line) Has(name string) bool { return len(l.All(name)) > 0 }

// Without returns l without any occurrence of these parameters.
func (l Line) Without(names ...string) Line {
	kernel, init := l.Split()
	kernel = slices.DeleteFunc(slices.Clone(kernel), func(w string) bool {
		n, _, _ := Cut(w)
		return slices.ContainsFunc(names, func(name string) bool { return same(n, name) })
	})
	return append(kernel, init...)
}

// Set returns l with the value for the parameter name, in the place of its first
// occurrence, else behind all others. It stands in quotes where it holds white
// space; quotes in it are dropped, as there is no way to write them.
func (l Line) Set(name, value string) Line {
	word := name + "=" + strings.Map(plain, strings.ReplaceAll(value, `"`, ""))
	if strings.ContainsFunc(value, func(r rune) bool { return plain(r) == ' ' }) {
		word = `"` + word + `"`
	}
	kernel, _ := l.Split()
	at := slices.IndexFunc(kernel, func(w string) bool { n, _, _ := Cut(w); return same(n, name) })
	l = l.Without(name)
	if at < 0 {
		kernel, _ = l.Split()
		at = len(kernel)
	}
	return slices.Insert(slices.Clip(l), at, word)
}

// WithoutLoader returns l without what boot loaders add for themselves, and
// which means nothing to a kernel: BOOT_IMAGE= and initrd=.
func (l Line) WithoutLoader() Line { return l.Without("BOOT_IMAGE", "initrd") }

// Initrds returns the files of initrd=FILE[,FILE...].
func (l Line) Initrds() []string {
	return strings.FieldsFunc(strings.Join(l.All("initrd"), ","), func(r rune) bool { return r == ',' })
}

// same reports whether two names are those of one parameter.
func same(a, b string) bool {
	return strings.ReplaceAll(a, "-", "_") == strings.ReplaceAll(b, "-", "_")
}
