package bls

import (
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// grub is what GRUB knows when it reads the entries of a $BOOT: the variables
// of its environment block.
type grub struct {
	*reader
	boot   *Boot
	isRead bool
	vars   map[string]string
}

// optional are variables that are rightly unset while tuned(8) is not used.
var optional = [...]string{"tuned_params", "tuned_initrd"}

const maxUnset = 8 // variables without a value that are named

// expansion replaces the variables in the lines of one entry.
type expansion struct {
	*grub
	unset   []string // names of variables without a value
	tooLong bool     // some values had to be left out: short files can mean gigabytes
}

// expand puts the values of variables in the place of $name and ${name}; one
// that is not set becomes nothing.
func (x *expansion) expand(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after := cutWhile(rest, isName)
		if inner, isBraced := strings.CutPrefix(rest, "{"); isBraced {
			name, after = cutWhile(inner, isName)
			if after, isBraced = strings.CutPrefix(after, "}"); !isBraced {
				name = ""
			}
		}
		if name == "" || isDigit(name[0]) { // no variable
			b.WriteByte('$')
			s = rest
			continue
		}
		s = after
		value, ok := x.lookup(name)
		if len(value) > x.valuesLeft {
			x.tooLong, value = true, ""
		}
		x.valuesLeft -= len(value)
		b.WriteString(value)
		if !ok && !slices.Contains(optional[:], name) && len(x.unset) < maxUnset && !slices.Contains(x.unset, name) {
			x.unset = append(x.unset, name)
		}
	}
}

func isName(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

// lookup returns the value of a variable. The environment block is read when it
// is first asked for.
func (g *grub) lookup(name string) (string, bool) {
	if !g.isRead {
		g.isRead = true
		for _, dir := range []string{"grub2", "grub", "boot/grub2", "boot/grub"} {
			for _, dir := range g.boot.Directories(dir) {
				b, err := boot.ReadFile(g.boot.fsys, path.Join(dir, "grubenv"), maxFile)
				if vars := grubenv(string(b)); err == nil && vars != nil && g.vars == nil {
					g.vars = vars
				}
			}
		}
	}
	value, ok := g.vars[name]
	return value, ok
}

// grubenv reads a GRUB environment block (grub-core/lib/envblk.c): lines
// name=value in which a backslash makes the next character mean itself, a line
// break too, filled up with # to its size. It returns nil for anything else.
func grubenv(text string) map[string]string {
	text, ok := strings.CutPrefix(text, "# GRUB Environment Block\n")
	if !ok {
		return nil
	}
	vars := map[string]string{}
	var line strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			line.WriteByte(text[i])
		case c == '\n':
			if name, value, ok := strings.Cut(line.String(), "="); ok && !strings.HasPrefix(name, "#") {
				vars[name] = value
			}
			line.Reset()
		default:
			line.WriteByte(c)
		}
	}
	return vars
}
