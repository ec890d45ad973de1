package bls

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
)

// Lookup returns the value of one of GRUB's variables, and whether it is set.
type Lookup func(name string) (value string, ok bool)

// ReadFor reads the entries in the directory dir as GRUB's command blscfg does
// (blscfg.c of Fedora's GRUB): the variables in them are GRUB's, and an entry
// without options has the command line $default_kernelopts. They are returned in
// the order of [Boot.Arrange]; Conf is the file of each.
func ReadFor(lookup Lookup, fsys fs.FS, dir string) ([]boot.Entry, error) {
	b := &Boot{Dir: path.Dir(dir), fsys: fsys}
	if path.Base(b.Dir) == "loader" {
		b.Dir = path.Dir(b.Dir)
	}
	r := newReader(fsys)
	return b.Arrange(r.itemsIn(b, lookup, dir)), errors.Join(r.errs...)
}

// optional are variables that are rightly unset while tuned(8) is not used.
var optional = [...]string{"tuned_params", "tuned_initrd"}

const maxUnset = 8 // variables without a value that are named

// expansion replaces the variables in the lines of one entry.
type expansion struct {
	*reader
	lookup  Lookup
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
		name, after := cutName(rest)
		if inner, isBraced := strings.CutPrefix(rest, "{"); isBraced {
			name, after = cutName(inner)
			if after, isBraced = strings.CutPrefix(after, "}"); !isBraced {
				name = ""
			}
		}
		if name == "" || '0' <= name[0] && name[0] <= '9' { // no variable
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

// cutName cuts s behind the name of a variable that it begins with.
func cutName(s string) (name, after string) {
	after = strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
	return s[:len(s)-len(after)], after
}

// grubenv returns a lookup of the variables in the environment block of b, which
// is read when it is first asked for one.
func (b *Boot) grubenv() Lookup {
	var vars map[string]string
	isRead := false
	return func(name string) (string, bool) {
		if !isRead {
			isRead = true
			for _, dir := range []string{"grub2", "grub", "boot/grub2", "boot/grub"} {
				for _, file := range fspath.Files(b.fsys, b.Dir, dir+"/grubenv", nil) {
					text, err := boot.ReadFile(b.fsys, file, maxFile)
					if block := EnvBlock(string(text)); err == nil && block != nil && vars == nil {
						vars = map[string]string{}
						for _, v := range block {
							vars[v[0]] = v[1]
						}
					}
				}
			}
		}
		value, ok := vars[name]
		return value, ok
	}
}

// EnvBlock returns the names and values in a GRUB environment block
// (grub-core/lib/envblk.c): lines name=value in which a backslash makes the next
// character mean itself, a line break too, filled up with # to its size. It
// returns nil for anything else.
func EnvBlock(text string) [][2]string {
	text, ok := strings.CutPrefix(text, "# GRUB Environment Block\n")
	if !ok {
		return nil
	}
	vars := [][2]string{}
	for text != "" {
		var line []byte
		i := 0
		for ; i < len(text) && text[i] != '\n'; i++ {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			line = append(line, text[i])
		}
		isLine := i < len(text)
		if name, value, found := strings.Cut(string(line), "="); isLine && found && text[0] != '#' {
			vars = append(vars, [2]string{name, value})
		}
		text = text[min(i+1, len(text)):]
	}
	return vars
}
