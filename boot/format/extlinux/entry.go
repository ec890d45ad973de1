package extlinux

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/password"
)

// list returns the entries of a configuration that has been read and is in
// submenu, those of its own submenus where these stand.
func (p *parser) list(submenu []string) []boot.Entry {
	var out []boot.Entry
	for _, m := range []setting{p.ui, p.def} {
		// "UI menu.c32 other.cfg" shows other.cfg in place of this file.
		if module, args := cutWord(m.text); isMenu(module) {
			out = append(out, p.opened(m.src, args, "", submenu)...)
		}
	}
	own := p.defaultLabel(false)
	def := own
	if own != nil && own.isOwn() {
		def = p.defaultLabel(true)
	}
	out = p.flatten(out, p.root, submenu, []*label{own, def})
	isDefault := func(e boot.Entry) bool { return e.Default && !e.IsOwn() }
	if def != nil && def.hidden && !slices.ContainsFunc(out, isDefault) {
		es := p.entriesOf(def, submenu)
		for i := range es {
			es[i].Notes = append(es[i].Notes, "Its own menu hides it (MENU HIDE), but boots it by default.")
		}
		out = append(out, es...)
	}
	// One default a file: the first that claims it.
	found := false
	for i := range out {
		if out[i].IsOwn() {
			continue
		}
		out[i].Default = out[i].Default && !found
		found = found || out[i].Default
	}
	return out
}

// flatten adds the entries of a menu and its submenus to out. Only those of the
// labels defs, or that lead to them, are defaults.
func (p *parser) flatten(out []boot.Entry, m *menu, submenu []string, defs []*label) []boot.Entry {
	for _, it := range m.items {
		if it.sub != nil {
			out = p.flatten(out, it.sub, boot.Within(submenu, clean(it.sub.title)), defs)
			continue
		}
		es := p.entriesOf(it.label, submenu)
		if !slices.Contains(defs, p.follow(it.label)) {
			for i := range es {
				es[i].Default = false
			}
		}
		out = append(out, es...)
	}
	return out
}

// clean returns a title without the ^ that marks a hotkey.
func clean(title string) string { return boot.Clean(strings.ReplaceAll(title, "^", "")) }

// entryTitle returns what the entry of a label is called.
func (l *label) entryTitle() string {
	return cmp.Or(clean(l.title), clean(l.line), clean(l.name), "Entry without a title")
}

// isOwn reports whether a label starts alpboot, as alpboot install writes it.
func (l *label) isOwn() bool { return l.entryTitle() == boot.OwnTitle }

// withoutOwn returns the last setting of those before c that does not name the
// label of alpboot.
func withoutOwn(c setting) setting {
	for c.text == boot.OwnTitle && c.before != nil {
		c = *c.before
	}
	return c
}

// defaultLabel returns the label that the configuration boots unattended; nil if
// it names none. With others it is the one that it would boot if alpboot were not
// in it.
func (p *parser) defaultLabel(others bool) *label {
	for i, c := range []setting{p.onTimeout, p.def} {
		if others {
			c = withoutOwn(c)
		}
		word, options := cutWord(c.text)
		if word == "" || strings.HasSuffix(base(word), ".c32") {
			continue
		}
		l := p.find(func(l *label) string { return l.line }, strings.TrimRightFunc(c.text, isSpace))
		if l != nil {
			options = ""
		} else {
			l = p.find(labelName, word)
		}
		switch {
		case l == nil:
			l = p.implicit(c.src, word, options)
		case l.hidden && p.ui.text != "" && i == 1:
			continue // a menu ignores a default that it does not show
		case options != "":
			l.notes = append(l.notes, fmt.Sprintf("When booted unattended, its own menu adds %s to the command line.", boot.Quote(options)))
		}
		if l != nil {
			return p.follow(l)
		}
	}
	m := p.start
	for {
		def := m.def
		if others {
			def = m.others
		}
		if def < 0 {
			return nil
		}
		it := m.items[def]
		if it.label != nil {
			return p.follow(it.label)
		}
		m = it.sub
	}
}

func labelName(l *label) string { return l.name }

// find returns the first label of which is that text. Case counts only if it
// has to.
func (p *parser) find(of func(*label) string, text string) *label {
	if i := slices.IndexFunc(p.all, func(l *label) bool { return of(l) == text }); i >= 0 {
		return p.all[i]
	}
	if i := slices.IndexFunc(p.all, func(l *label) bool { return strings.EqualFold(of(l), text) }); i >= 0 {
		return p.all[i]
	}
	return nil
}

// implicit makes a label of a DEFAULT that names a kernel and its options.
func (p *parser) implicit(src boot.Source, file, options string) *label {
	if _, err := fs.Lstat(p.fsys, p.locate(file, p.dir, src.File)); p.noImplicit || err != nil {
		p.notes.Add(src, fmt.Sprintf("%s is neither a label nor a file.", boot.Quote(file)))
		return nil
	}
	l := &label{name: base(file), src: src, kind: kindKernel, image: file, append: p.append + " " + options}
	p.root.items = append(p.root.items, item{label: l})
	p.labels++
	return l
}

// follow returns the label that l leads to, when l starts a module that only
// chooses among labels.
func (p *parser) follow(l *label) *label {
	file, args := l.command()
	words := strings.Fields(args)
	target := ""
	switch base(file) {
	case "whichsys.c32": // -pxe- LABEL -iso- LABEL -sys- LABEL
		for _, sys := range []string{"-iso-", "-sys-"} {
			if i := slices.Index(words, sys); i >= 0 && i+1 < len(words) {
				target = words[i+1]
			}
		}
	case "ifcpu64.c32": // LABEL if it has 64 bits -- LABEL if not
		if len(words) > 0 {
			target = words[0]
		}
	}
	if target == "" {
		return l
	}
	if to := p.find(labelName, target); to != nil {
		return to
	}
	return l
}

// command returns the file that a label starts, and everything after it.
func (l *label) command() (file, args string) {
	if l.kind == kindNone {
		return l.name, l.append
	}
	file, args = cutWord(l.image)
	if l.kind == kindCom32 && !strings.Contains(base(file), ".") {
		file += ".c32"
	}
	return file, strings.TrimSpace(args + " " + l.append)
}

// entriesOf returns the entry of a label, several if it opens a
// configuration file, and none if it starts nothing that could be booted.
func (p *parser) entriesOf(l *label, submenu []string) []boot.Entry {
	if to := p.follow(l); to != l {
		if !to.hidden {
			return nil // it is in the list itself
		}
		shown := *to
		if shown.title == "" {
			shown.title = l.title
		}
		l = &shown
	}
	file, args := l.command()
	switch {
	case l.kind == kindMenu || isNoKernel(file):
		return nil
	case l.kind == kindConfig:
		// The title would be a label's bare name too often: only a text that
		// is meant to be read goes in front of the entries.
		dir := ""
		if l.hasAppend {
			dir, _ = cutWord(l.append)
		}
		name, _ := cutWord(l.image)
		return p.locked(l, p.opened(l.src, name, dir, boot.Within(submenu, clean(l.title))))
	case isMenu(file):
		if !l.hasAppend { // the global one is not about files
			_, args = cutWord(l.image)
		}
		return p.locked(l, p.opened(l.src, args, "", boot.Within(submenu, clean(l.title))))
	case l.kind == kindNone && !p.exists(file, l.src):
		p.notes.Add(l.src, fmt.Sprintf("Label %s names no kernel: it is left out.", boot.Quote(l.name)))
		return nil
	}
	e := boot.Entry{
		Title:   l.entryTitle(),
		Submenu: submenu,
		Format:  "extlinux",
		Source:  l.src,
		Default: true, // flatten knows better
		Timeout: p.wait(),
		Problem: l.broken,
		Notes:   slices.Clone(l.notes),
	}
	if e.Lock = p.lock(l); l.password != nil {
		e.Notes = append(e.Notes, "Its own menu asks for a password before it boots this (MENU PASSWD), and so does alpboot.")
	}
	p.fill(&e, l, file, args)
	return []boot.Entry{e}
}

// lock returns who may start and edit a label (com32/menu/menumain.c). When a timeout
// is over, syslinux starts the default without any password.
func (p *parser) lock(l *label) *boot.Lock {
	if p.master == "" && l.password == nil {
		return nil
	}
	var own, master []boot.Secret
	if l.password != nil && *l.password != "" {
		own = []boot.Secret{secret(*l.password)}
	}
	if p.master != "" {
		master = []boot.Secret{secret(p.master)}
	}
	k := &boot.Lock{Asks: l.password != nil, Start: slices.Concat(own, master), Edit: master, Unattended: true}
	if master == nil {
		k.Edit = own
	}
	return k
}

// locked returns the entries of a configuration that a label opens: who may not open it
// does not start them either.
func (p *parser) locked(l *label, es []boot.Entry) []boot.Entry {
	for i := range es {
		if es[i].Lock == nil {
			es[i].Lock = p.lock(l)
		}
	}
	return es
}

// secret returns a password as syslinux has it: $ANYTHING$ begins a hash.
func secret(text string) boot.Secret {
	if len(text) > 2 && text[0] == '$' && text[2] == '$' {
		return boot.Secret(text)
	}
	return boot.Secret(password.Plain + text)
}

// opened returns the entries of the configuration files that args names.
func (p *parser) opened(src boot.Source, args, dir string, submenu []string) []boot.Entry {
	p.labels++
	var out []boot.Entry
	for _, name := range strings.Fields(args) {
		if strings.HasPrefix(name, "~") || strings.HasPrefix(name, "-") {
			continue // this very file, or an option
		}
		if c := p.open(src, name, dir); c != nil {
			out = append(out, c.list(submenu)...)
		}
	}
	return out
}

// fill sets kernel, initrds and command line, and why the entry cannot be
// booted if that shows already.
func (p *parser) fill(e *boot.Entry, l *label, file, args string) {
	problem := func(s string) {
		if e.Problem == "" {
			e.Problem = s
		}
	}
	locate := func(name string) string {
		if strings.Contains(name, "://") {
			problem(fmt.Sprintf("The file %s is on the network.", boot.Clean(name)))
			return ""
		}
		f := p.locate(name, p.dir, l.src.File)
		if name == "" || f == "." {
			problem(fmt.Sprintf("%s is not a file.", boot.Quote(name)))
			return ""
		}
		return f
	}
	name, kind := base(file), l.kind
	switch {
	case kind == kindLocalboot:
		problem("It hands over to the firmware, to boot from another device: choose that device's own entry.")
		return
	case file == "":
		problem("It names no kernel.")
		return
	case name == "linux.c32": // boots the kernel that its first argument names
		file, args = cutWord(args)
		name, kind = base(file), kindLinux
	case name == "mboot.c32":
		file, _ = cutWord(args)
		e.Kernel, e.Cmdline = locate(file), boot.Clean(args)
		if strings.HasPrefix(base(file), "xen") {
			problem("Xen needs a multiboot loader, which kexec is not: choose an entry without Xen.")
		} else {
			problem("It is a multiboot kernel, which alpboot cannot start.")
		}
		return
	}
	if s := noLinux(kind, name); s != "" {
		problem(s)
	}
	e.Kernel = locate(file)
	if image, conf, ok := strings.Cut(file, "#"); ok && !p.exists(file, l.src) {
		e.Kernel = locate(image)
		problem(fmt.Sprintf("It boots the configuration %s of a FIT image of U-Boot, which alpboot cannot read.", boot.Quote(conf)))
	}
	line := cmdline.Parse(args)
	initrds := line.Initrds()
	for i := range strings.SplitSeq(l.initrd, ",") {
		if i = strings.TrimFunc(i, isSpace); i != "" {
			initrds = append(initrds, i)
		}
	}
	if len(initrds) > maxInitrds {
		problem(fmt.Sprintf("It names %d initrds, more than the %d that alpboot reads.", len(initrds), maxInitrds))
		initrds = initrds[:maxInitrds]
	}
	for _, i := range initrds {
		if f := locate(i); f != "" && !slices.Contains(e.Initrds, f) {
			e.Initrds = append(e.Initrds, f)
		}
	}
	e.Cmdline = line.WithoutLoader().String()
	if strings.Contains(e.Cmdline, "${") {
		e.Notes = append(e.Notes, "The command line holds ${...}, which u-boot would replace and alpboot does not.")
	}
	if l.fdt != "" {
		e.Notes = append(e.Notes, fmt.Sprintf("Its device tree %s is not passed on: the kernel gets the one that this machine runs with.", boot.Clean(l.fdt)))
	}
	if l.overlays != "" {
		e.Notes = append(e.Notes, fmt.Sprintf("Its device tree overlays are not applied (%s): the kernel gets the device tree that this machine runs with.", boot.Clean(l.overlays)))
	}
	// Alpine names a directory of device trees also where there are none (x86).
	if l.fdtdir != "" && p.exists(l.fdtdir, l.src) {
		e.Notes = append(e.Notes, fmt.Sprintf("No device tree from %s is passed on: the kernel gets the one that this machine runs with.", boot.Clean(l.fdtdir)))
	}
}

func (p *parser) exists(name string, src boot.Source) bool {
	_, err := fs.Lstat(p.fsys, p.locate(name, p.dir, src.File))
	return err == nil
}

// wait returns the configuration's wait before the default is booted.
func (p *parser) wait() *time.Duration {
	d := p.timeout
	if p.total > 0 && (d == nil || *d < 0 || *d > p.total) {
		d = &p.total
	}
	if d == nil {
		return nil
	}
	own := *d
	return &own
}

// isMenu reports whether a module shows the configuration files that are its
// arguments.
func isMenu(module string) bool {
	switch base(module) {
	case "menu.c32", "vesamenu.c32", "config.c32":
		return true
	}
	return false
}

// isNoKernel reports whether file is something that nobody expects in a list of
// systems.
func isNoKernel(file string) bool {
	name := base(file)
	switch name {
	case "reboot.c32", "reboot.com", "poweroff.c32", "poweroff.com", "hdt.c32", "meminfo.c32", "gfxboot.c32":
		return true
	}
	return strings.HasPrefix(name, "memtest") || strings.HasPrefix(name, "mt86")
}

// noLinux returns why a file of that name, or one that is started by that keyword,
// is no Linux kernel; "" when it may be one.
func noLinux(k kind, name string) string {
	chain := "It starts the boot sector " + boot.Clean(name) + " through the firmware, which a running Linux cannot do."
	switch {
	case name == "memdisk":
		return "It starts a disk image through the BIOS (memdisk), which a running Linux cannot do."
	case name == "wimboot":
		return "It starts Windows through the firmware (wimboot), which a running Linux cannot do."
	case name == "chain.c32":
		return "It starts another boot loader through the BIOS (chain.c32), which a running Linux cannot do."
	case strings.HasSuffix(name, ".lkrn"):
		return "It starts the network boot loader " + boot.Clean(name) + ", which needs the BIOS."
	case k == kindLinux:
		return ""
	case k == kindBoot:
		return chain
	case k == kindPXE:
		return "It starts the network boot program " + boot.Clean(name) + " through the firmware, which a running Linux cannot do."
	case k == kindCom32 || strings.HasSuffix(name, ".c32"):
		return "It starts the syslinux module " + boot.Clean(name) + ", which is not a kernel."
	}
	// syslinux goes by the ending, and so takes vmlinuz-6.1.0 for a network
	// boot program; nobody means that.
	for _, kernel := range []string{"vmlinu", "linux", "bzimage", "zimage", "image", "kernel"} {
		if strings.HasPrefix(name, kernel) {
			return ""
		}
	}
	for _, ending := range []string{".0", ".bin", ".bs", ".bss", ".com", ".cbt"} {
		if strings.HasSuffix(name, ending) {
			return chain
		}
	}
	return ""
}
