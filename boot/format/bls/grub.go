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
	boot *Boot
	read bool
	vars map[string]string
}

// optional are variables that are rightly unset while tuned(8) is not used.
var optional = [...]string{"tuned_params", "tuned_initrd"}

// expand puts the values of variables in the place of $name and ${name}. A
// variable that is not set becomes nothing; its name is in unset.
func (g *grub) expand(s string) (expanded string, unset []string) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$")
		b.WriteString(before)
		if !ok {
			return b.String(), unset
		}
		name, after := cutWhile(rest, isName)
		if inner, isBraced := strings.CutPrefix(rest, "{"); isBraced {
			name, after = cutWhile(inner, isName)
			after, isBraced = strings.CutPrefix(after, "}")
			if !isBraced {
				name = ""
			}
		}
		if name == "" || isDigit(name[0]) { // no variable
			b.WriteByte('$')
			s = rest
			continue
		}
		s = after
		value, ok := g.lookup(name)
		b.WriteString(value)
		if !ok && !slices.Contains(optional[:], name) && !slices.Contains(unset, name) {
			unset = append(unset, name)
		}
	}
}

func isName(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

// lookup gives the value of a variable. The environment block is read when it
// is first asked for.
func (g *grub) lookup(name string) (string, bool) {
	if !g.read {
		g.read = true
		for _, dir := range []string{"grub2", "grub", "boot/grub2", "boot/grub"} {
			for _, dir := range g.boot.Folders(dir) {
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
// break too, filled up with # to its size. It gives nil for anything else.
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
