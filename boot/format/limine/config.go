package limine

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// language is one of Limine's two.
type language struct {
	mark      string // begins the line of an entry, once for each level
	separator string // between the name of an option and its value
	splitPath func(string) (resource, argument, file string, ok bool)
}

// The languages of limine.conf and, until version 7, limine.cfg.
var (
	conf = language{"/", ":", splitPath}
	cfg  = language{":", "=", splitURI}
)

// config is one configuration file.
type config struct {
	*reader
	language
	name    string
	globals options
	tree    []*node
	chosen  *node          // what default_entry names
	besides *node          // what it names if alpboot, which is chosen, is not counted
	timeout *time.Duration // nil when it is not set
}

// node is an entry, or a directory of such.
type node struct {
	name     string
	src      boot.Source
	options  options
	sub      []*node
	expanded bool   // a directory that is shown open
	broken   string // why it cannot be used
}

type option struct{ name, value string }

type options []option

// first returns the first value of the first of the names that is set.
func (o options) first(names ...string) string {
	for _, name := range names {
		if all := o.all(name); len(all) > 0 {
			return all[0]
		}
	}
	return ""
}

func (o options) all(name string) []string {
	var values []string
	for _, opt := range o {
		if strings.EqualFold(opt.name, name) {
			values = append(values, opt.value)
		}
	}
	return values
}

// parse reads the text of the file.
func (c *config) parse(text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		c.notes.Add(boot.Source{File: c.name, Line: 1 + strings.Count(text[:i], "\n")},
			"The file holds zero bytes, as after a crash while it was written; the rest of it is skipped.")
		text = text[:i]
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	macros := map[string]string{"ARCH": arch(), "FW_TYPE": c.firmware}
	for i, line := range lines {
		lines[i] = strings.Trim(line, " \t")
		if name, value, ok := macro(lines[i]); ok {
			macros[name] = value // wherever it stands, it counts for the whole file
		}
	}
	var open []*node // the last one of each level
	for i, line := range lines {
		src := boot.Source{File: c.name, Line: i + 1}
		if _, _, ok := macro(line); ok || line == "" || line[0] == '#' {
			continue
		}
		line = c.expand(src, macros, line)
		if c.textLeft -= len(line); c.textLeft < 0 {
			return fmt.Errorf("%w: with its macros replaced, more than %d MiB", boot.ErrTooLarge, maxText>>20)
		}
		if len(line) > maxLine {
			c.notes.Add(src, fmt.Sprintf("The line has %d bytes, more than the %d that Limine reads: it is skipped.", len(line), maxLine))
			if len(open) > 0 {
				open[len(open)-1].broken = fmt.Sprintf("Line %d of its configuration is too long to be read.", i+1)
			}
			continue
		}
		if name := strings.TrimLeft(line, c.mark); len(name) < len(line) {
			if c.nodesLeft--; c.nodesLeft < 0 {
				c.notes.Add(src, fmt.Sprintf("There are more than %d entries: from here on they are left out.", maxNodes))
				break
			}
			level := len(line) - len(name) - 1
			if level > len(open) {
				c.notes.Add(src, "The entry is in a directory that does not exist.")
				level = len(open)
			}
			n := &node{src: src}
			n.name, n.expanded = strings.CutPrefix(name, "+")
			n.name = strings.TrimSpace(n.name)
			if level == 0 {
				c.tree = append(c.tree, n)
			} else {
				open[level-1].sub = append(open[level-1].sub, n)
			}
			open = append(open[:level], n)
			continue
		}
		name, value, ok := strings.Cut(line, c.separator)
		switch opt := (option{name, strings.TrimLeft(value, " \t")}); {
		case !ok:
			c.notes.Add(src, fmt.Sprintf("%s is neither an entry nor an option: the line is skipped.", boot.Quote(line)))
		case len(open) > 0:
			n := open[len(open)-1]
			n.options = append(n.options, opt)
		default:
			c.globals = append(c.globals, opt)
			if strings.EqualFold(name, "remember_last_entry") && strings.EqualFold(opt.value, "yes") {
				c.notes.Add(src, "Limine boots by default what it booted last (remember_last_entry), and only Limine knows what that was.")
			}
		}
	}
	if t := c.globals.all("timeout"); len(t) > 0 {
		d := timeout(t[0])
		c.timeout = &d
	}
	c.chosen = c.defaultNode(c.tree, c.globals.all("default_entry"))
	if c.chosen != nil && c.chosen.name == boot.OwnTitle {
		tree := slices.DeleteFunc(slices.Clone(c.tree), func(n *node) bool { return n.name == boot.OwnTitle })
		d := c.globals.all("default_entry")
		c.besides = c.defaultNode(tree, d[min(len(d), 1):])
	}
	return nil
}

// arch returns the value of the macro ARCH.
func arch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86-64"
	case "386":
		return "ia-32"
	case "arm64":
		return "aarch64"
	case "loong64":
		return "loongarch64"
	}
	return runtime.GOARCH
}

// macro reads the line ${NAME}=VALUE.
func macro(line string) (name, value string, ok bool) {
	if line, ok = strings.CutPrefix(line, "${"); ok {
		name, value, ok = strings.Cut(line, "}")
	}
	if ok {
		value, ok = strings.CutPrefix(value, "=")
	}
	return name, value, ok
}

// expand replaces ${NAME}. What a macro holds is not expanded again.
func (c *config) expand(src boot.Source, macros map[string]string, line string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(line, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed || b.Len() > maxLine {
			b.WriteString(line)
			return b.String()
		}
		value, known := macros[name]
		if !known {
			c.notes.Add(src, fmt.Sprintf("No macro is called %s: it is replaced by nothing.", boot.Quote(name)))
		}
		b.WriteString(before)
		b.WriteString(value)
		line = after
	}
}

// timeout reads a time in seconds. Like Limine it takes what is not a number for
// 0, and no time for longer than 9999 seconds.
func timeout(s string) time.Duration {
	if s == "no" {
		return -1
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }); i >= 0 {
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	fraction, _, _ = strings.Cut(fraction, ".")
	n, err := strconv.ParseFloat("0"+whole+"."+fraction, 64) // a number that is too long becomes +Inf
	if err != nil && n == 0 {
		return 0
	}
	return time.Duration(min(n, 9999)*1000) * time.Millisecond
}

// hidden reports whether Limine leaves n out of its menu, and gone whether that
// is because n is for machines with another processor.
func (c *config) hidden(n *node) (hidden, gone bool) {
	if a := n.options.all("if_arch"); len(a) > 0 {
		same := func(s string) bool { return strings.EqualFold(s, arch()) }
		if !slices.ContainsFunc(strings.Fields(a[0]), same) {
			return true, true
		}
	}
	if f := n.options.all("if_fw_type"); len(f) > 0 && !strings.EqualFold(f[0], c.firmware) {
		return true, false
	}
	switch n.options.first("protocol") {
	case "bios", "bios_chainload":
		return c.firmware == "UEFI", false
	case "efi", "uefi", "efi_chainload", "efi_boot_entry":
		return c.firmware == "BIOS", false
	}
	return false, false
}

// defaultNode returns the entry of a tree that Limine boots unattended, by the
// first of the values d of default_entry: nil when that would only open a directory.
func (c *config) defaultNode(tree []*node, d []string) *node {
	shown := c.shown(tree)
	if len(shown) == 0 {
		return nil
	}
	n := shown[0]
	if len(d) > 0 {
		var found *node
		if strings.Trim(d[0], "0123456789") != "" {
			found = c.byPath(tree, d[0])
		} else if i, err := strconv.Atoi(d[0]); err == nil && max(i, 1) <= len(shown) {
			found = shown[max(i, 1)-1]
		}
		if found != nil {
			n = found
		} else {
			c.notes.Add(boot.Source{File: c.name}, fmt.Sprintf("No entry is %s, which default_entry names: the first one is the default.", boot.Quote(d[0])))
		}
	}
	if len(n.sub) > 0 {
		return nil
	}
	return n
}

// shown returns the lines of Limine's menu as it opens.
func (c *config) shown(nodes []*node) []*node {
	var list []*node
	for _, n := range nodes {
		if hidden, _ := c.hidden(n); hidden {
			continue
		}
		list = append(list, n)
		if n.expanded {
			list = append(list, c.shown(n.sub)...)
		}
	}
	return list
}

// byPath returns the entry of that path: names with / between and \ before a /,
// \ or # that belongs to a name. NAME#N is the one that N others of its name
// precede.
func (c *config) byPath(nodes []*node, path string) *node {
	name, skip, rest, isDir := cutName(path)
	for _, n := range nodes {
		if hidden, _ := c.hidden(n); hidden || n.name != name {
			continue
		}
		if skip > 0 || isDir != (len(n.sub) > 0) {
			skip--
			continue
		}
		if skip < 0 {
			break
		}
		if isDir {
			return c.byPath(n.sub, rest)
		}
		return n
	}
	return nil
}

// cutName takes the first name from the path of an entry.
func cutName(path string) (name string, skip int, rest string, isDir bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			if i+1 < len(path) {
				i++
			}
		case '/':
			return b.String(), skip, path[i+1:], path[i+1:] != ""
		case '#':
			digits := path[i+1:]
			digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
			end := i + 1 + len(digits)
			if n, err := strconv.Atoi(digits); err == nil && (end == len(path) || path[end] == '/') {
				skip, i = n, end-1
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String(), skip, "", false
}
