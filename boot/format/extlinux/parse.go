package extlinux

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// kind is the keyword that named what a label starts.
type kind int

const (
	kindNone      kind = iota // no keyword: the label's own name is the file
	kindKernel                // KERNEL: the file name decides
	kindLinux                 // LINUX
	kindBoot                  // BOOT, BSS, FDIMAGE, COMBOOT: code for the BIOS
	kindPXE                   // PXE
	kindCom32                 // COM32
	kindConfig                // CONFIG
	kindLocalboot             // LOCALBOOT
	kindMenu                  // MENU GOTO, EXIT, QUIT: moves inside the menu
)

// label is one LABEL of a configuration.
type label struct {
	name      string // its first word
	line      string // the whole line behind LABEL
	src       boot.Source
	title     string
	kind      kind
	image     string // the keyword's text: a file and possibly options
	append    string
	hasAppend bool
	initrd    string
	fdt       string
	fdtdir    string
	overlays  string
	broken    string // why it cannot be used
	hidden    bool
	disabled  bool
	password  *string // of MENU PASSWD
	sysappend *uint64
	notes     []string
}

// menu is a menu or submenu: labels and submenus in order.
type menu struct {
	parent *menu
	title  string // MENU LABEL or MENU TITLE, else the tag of MENU BEGIN
	isTag  bool   // title is the tag
	items  []item
	def    int // index of the item that MENU DEFAULT names; -1 for none
	others int // likewise, of those that do not start alpboot
}

// item is one of the two.
type item struct {
	label *label
	sub   *menu
}

// setting is the text of a line that names what to boot, and its place.
type setting struct {
	text   string
	src    boot.Source
	before *setting // the line that it takes the place of
}

// by returns the setting that a line makes of s.
func (s setting) by(src boot.Source, text string) setting {
	return setting{text, src, &s}
}

// parser reads one configuration. Files that it includes go on where the
// including one stands, as if they were one file.
type parser struct {
	*reader
	dir    string   // relative paths count from here
	depth  int      // how many configurations open each other to reach this one
	stack  []string // the files being read, outermost first
	root   *menu
	cur    *menu
	start  *menu  // where the menu opens
	label  *label // being read; nil outside of one
	isDef  bool   // label has MENU DEFAULT
	all    []*label
	labels int // labels met, also those without an entry

	append     string  // the global one
	sysappend  uint64  // likewise
	def        setting // DEFAULT
	ui         setting // UI
	onTimeout  setting // ONTIMEOUT
	master     string  // MENU MASTER PASSWD
	noImplicit bool    // IMPLICIT 0: DEFAULT must name a label
	timeout    *time.Duration
	total      time.Duration
}

func newParser(r *reader, dir string) *parser {
	root := &menu{def: -1, others: -1}
	return &parser{reader: r, dir: dir, root: root, cur: root, start: root}
}

// file reads the configuration file name, which is free of symlinks. What
// could not be read is in p.errs.
func (p *parser) file(name string) {
	text, err := p.read(name)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("/%s cannot be used: %w", name, err))
		return
	}
	p.stack = append(p.stack, name)
	defer func() { p.stack = p.stack[:len(p.stack)-1] }()

	inText := 0 // the line at which TEXT began; 0 outside
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		src := boot.Source{File: name, Line: n}
		if len(line) > maxLine {
			p.notes.Add(src, fmt.Sprintf("The line has %d bytes, more than the %d that syslinux reads: it is skipped.", len(line), maxLine))
			if p.label != nil {
				p.label.broken = fmt.Sprintf("Line %d of its configuration is too long to be read.", n)
			}
			continue
		}
		// As in syslinux, a line ends at CR and at NUL.
		if i := strings.IndexAny(line, "\r\x00"); i >= 0 {
			if line[i] == 0 {
				p.notes.Add(src, "The line holds zero bytes, as after a crash while it was written; the rest of it is skipped.")
			}
			line = line[:i]
		}
		word, rest := cutWord(line)
		if inText > 0 {
			if strings.EqualFold(word, "endtext") {
				inText = 0
			}
			continue
		}
		if strings.EqualFold(word, "text") {
			inText = n
			continue
		}
		p.line(src, word, rest)
	}
	if inText > 0 {
		p.notes.Add(boot.Source{File: name, Line: inText}, "TEXT has no ENDTEXT: what follows in this file is taken as help text.")
	}
}

// line takes the line that begins with word.
func (p *parser) line(src boot.Source, word, rest string) {
	switch strings.ToLower(word) {
	case "menu":
		word, rest = cutWord(rest)
		p.menuLine(src, word, rest)
	case "label":
		p.endLabel()
		p.newLabel(src, rest)
	case "kernel":
		p.image(kindKernel, rest)
	case "linux":
		p.image(kindLinux, rest)
	case "boot", "bss", "fdimage", "comboot":
		p.image(kindBoot, rest)
	case "pxe":
		p.image(kindPXE, rest)
	case "com32":
		p.image(kindCom32, rest)
	case "config":
		p.image(kindConfig, rest)
	case "localboot":
		p.image(kindLocalboot, rest)
	case "append":
		if p.label != nil {
			p.label.append, p.label.hasAppend = rest, true
		} else {
			p.append = rest
		}
	case "initrd":
		if p.label != nil {
			p.label.initrd = rest
		}
	case "fdt", "devicetree":
		if p.label != nil {
			p.label.fdt = rest
		}
	case "fdtdir", "devicetreedir":
		if p.label != nil {
			p.label.fdtdir = rest
		}
	case "fdtoverlays", "devicetree-overlay":
		if p.label != nil {
			p.label.overlays = rest
		}
	case "ipappend", "sysappend":
		n, _ := strconv.ParseUint(strings.TrimSpace(rest), 0, 32) // to syslinux anything else is 0
		if p.label != nil {
			p.label.sysappend = &n
		} else {
			p.sysappend = n
		}
	case "include":
		p.include(src, rest)
	case "default":
		p.def = p.def.by(src, rest)
	case "ui":
		p.ui = p.ui.by(src, rest)
	case "ontimeout":
		p.onTimeout = p.onTimeout.by(src, rest)
	case "timeout":
		if d, ok := p.tenths(src, rest); ok {
			if d == 0 {
				d = -1
			}
			p.timeout = &d
		}
	case "totaltimeout":
		if d, ok := p.tenths(src, rest); ok {
			p.total = d
		}
	case "implicit":
		p.noImplicit = rest == "0"
	case "", "say", "prompt", "noescape", "nocomplete", "nohalt", "allowoptions", "onerror", "serial", "console",
		"display", "font", "kbdmap", "path", "pxeretry", "sendcookies", "endtext",
		"background", "fallback", "kaslrseed",
		"f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12":
		// They change nothing about what is booted.
	default:
		if word[0] != '#' {
			p.notes.Add(src, fmt.Sprintf("%s is not a keyword: the line is skipped.", boot.Quote(word)))
		}
	}
}

// menuLine takes the line that begins with MENU and word.
func (p *parser) menuLine(src boot.Source, word, rest string) {
	switch strings.ToLower(word) {
	case "label":
		if p.label != nil {
			p.label.title = rest
		} else if p.cur.parent != nil {
			p.cur.title, p.cur.isTag = rest, false
		}
	case "title":
		if p.label == nil && p.cur.parent != nil && p.cur.isTag {
			p.cur.title, p.cur.isTag = rest, false
		}
	case "default":
		if p.label != nil {
			p.isDef = true
		} else if parent := p.cur.parent; parent != nil {
			parent.def = slices.IndexFunc(parent.items, func(i item) bool { return i.sub == p.cur })
			parent.others = parent.def
		}
	case "hide":
		if p.label != nil {
			p.label.hidden = true
		}
	case "disable", "disabled":
		if p.label != nil {
			p.label.disabled = true
		}
	case "goto", "exit", "quit":
		p.image(kindMenu, rest)
	case "passwd":
		if p.label != nil {
			p.label.password = &rest
		}
	case "master":
		if w, _ := cutWord(rest); strings.EqualFold(w, "passwd") {
			_, p.master = cutWord(rest)
		}
	case "separator":
		p.endLabel()
	case "begin":
		p.begin(rest)
	case "end":
		p.end()
	case "start":
		p.start = p.cur
	case "include":
		name, tag := cutWord(rest)
		if tag != "" {
			p.begin(tag)
		}
		p.include(src, name)
		if tag != "" {
			p.end()
		}
	}
	// Everything else under MENU is about the looks of the menu.
}

// newLabel opens a label. Its name is the whole line to U-Boot, and the first
// word of it to syslinux.
func (p *parser) newLabel(src boot.Source, line string) {
	p.labels++
	line = strings.TrimRightFunc(line, isSpace)
	name, _ := cutWord(line)
	p.label, p.isDef = &label{name: name, line: line, src: src}, false
	if p.labelsLeft--; p.labelsLeft == -1 {
		p.notes.Add(src, fmt.Sprintf("There are more than %d labels: from here on they are left out.", maxLabels))
	}
	if name == "" {
		p.label.disabled = true
		p.notes.Add(src, "LABEL has no name: it is left out.")
	}
}

// endLabel puts the open label, if there is one, into the current menu.
func (p *parser) endLabel() {
	l := p.label
	if p.label = nil; l == nil || p.labelsLeft < 0 {
		return
	}
	if !l.hasAppend {
		l.append = p.append
	}
	if l.append == "-" {
		l.append = ""
	}
	if l.sysappend == nil {
		l.sysappend = &p.sysappend
	}
	if added := appended(*l.sysappend); added != "" {
		l.notes = append(l.notes, "Its own boot loader adds "+added+" to the command line (SYSAPPEND), which alpboot does not.")
	}
	if l.disabled {
		return
	}
	p.all = append(p.all, l)
	if l.hidden {
		return
	}
	p.cur.items = append(p.cur.items, item{label: l})
	if p.isDef && l.kind != kindMenu {
		p.cur.def = len(p.cur.items) - 1
		if !l.isOwn() {
			p.cur.others = p.cur.def
		}
	}
}

// appended names the parameters that a value of SYSAPPEND stands for (doc/syslinux.txt);
// the first two are for a machine that was booted over the network.
func appended(mask uint64) string {
	var list []string
	for i, name := range []string{
		"ip=", "BOOTIF=", "SYSUUID=", "CPU=", "SYSVENDOR=", "SYSPRODUCT=", "SYSVERSION=", "SYSSERIAL=", "SYSSKU=", "SYSFAMILY=",
		"MBVENDOR=", "MBPRODUCT=", "MBVERSION=", "MBSERIAL=", "MBASSET=", "BIOSVENDOR=", "BIOSVERSION=", "SYSFF=",
	} {
		if mask>>i&1 != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

// begin opens a submenu, and end closes it.
func (p *parser) begin(tag string) {
	p.endLabel()
	if p.labelsLeft--; p.labelsLeft < 0 {
		return
	}
	m := &menu{parent: p.cur, title: tag, isTag: true, def: -1, others: -1}
	p.cur.items = append(p.cur.items, item{sub: m})
	p.cur = m
}

func (p *parser) end() {
	p.endLabel()
	if p.cur.parent != nil && p.labelsLeft >= 0 {
		p.cur = p.cur.parent
	}
}

// image sets what the open label starts. The last such line counts.
func (p *parser) image(k kind, rest string) {
	if p.label != nil {
		p.label.kind, p.label.image = k, rest
	}
}

// include reads another file in place of the line.
func (p *parser) include(src boot.Source, rest string) {
	name, _ := cutWord(rest)
	file, err := p.resolve(p.locate(name, p.dir, src.File))
	switch {
	case name == "":
		p.notes.Add(src, "INCLUDE names no file.")
	case err != nil:
		p.notes.Add(src, fmt.Sprintf("The included file %s does not exist.", boot.Quote(name)))
	case slices.Contains(p.stack, file):
		p.notes.Add(src, fmt.Sprintf("%s includes itself: the line is skipped.", boot.Quote(name)))
	case len(p.stack) >= maxDepth:
		p.notes.Add(src, fmt.Sprintf("Files are included more than %d deep: the line is skipped.", maxDepth))
	default:
		errs := len(p.errs)
		p.file(file)
		for _, err := range p.errs[errs:] {
			p.notes.Add(src, "The included file "+err.Error()+".")
		}
		p.errs = p.errs[:errs]
	}
}

// tenths reads a time in tenths of a second.
func (p *parser) tenths(src boot.Source, s string) (time.Duration, bool) {
	const limit = 1 << 31 // as many tenths are seven years
	n, digits := 0, 0
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		n = min(n*10+int(s[digits]-'0'), limit)
		digits++
	}
	if digits == 0 {
		p.notes.Add(src, fmt.Sprintf("%s is not a number of tenths of a second: the line is skipped.", boot.Quote(s)))
		return 0, false
	}
	return time.Duration(n) * (time.Second / 10), true
}

// open reads the configuration file name as a menu of its own, for something
// that stands at src. dir is the directory it sets, "" for the present one. It
// returns nil when there is no such file or it is read elsewhere anyhow.
func (p *parser) open(src boot.Source, name, dir string) *parser {
	if dir == "" {
		dir = p.dir
	} else {
		dir = p.locate(dir, p.dir, src.File)
	}
	file, err := p.resolve(p.locate(name, p.dir, src.File))
	if err != nil {
		p.notes.Add(src, fmt.Sprintf("The configuration file %s does not exist.", boot.Quote(name)))
		return nil
	}
	if p.configs[file] {
		return nil
	}
	if p.depth >= maxDepth {
		p.notes.Add(src, fmt.Sprintf("Configurations open each other more than %d deep: the line is skipped.", maxDepth))
		return nil
	}
	p.configs[file] = true
	c := newParser(p.reader, dir)
	c.depth, c.timeout, c.total = p.depth+1, p.timeout, p.total
	c.file(file)
	c.endLabel()
	return c
}

// cutWord cuts s after its first word, and the white space around both away.
// Like syslinux it takes every control character for white space.
func cutWord(s string) (word, rest string) {
	s = strings.TrimFunc(s, isSpace)
	i := strings.IndexFunc(s, isSpace)
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeftFunc(s[i:], isSpace)
}

func isSpace(r rune) bool { return r <= ' ' }

// base returns the file name of a path in either style, in lower case.
func base(p string) string {
	return strings.ToLower(path.Base(strings.ReplaceAll(p, `\`, "/")))
}
