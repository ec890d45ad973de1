package grub

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
)

// load is what a script has set to be booted.
type load struct {
	named   bool // a command has named a kernel, or what else is started
	kernel  place
	program bool // it is an EFI program, and cmdline its load options
	cmdline string
	initrds []place
	problem string
	notes   []string

	unknown string      // a command that is not known
	away    string      // where a configuration to go on with should be, when it is not there
	other   bool        // it does something other than to boot
	cut     bool        // it was stopped by a limit
	booted  bool        // by the command boot
	src     boot.Source // of that
}

func (m *machine) devicetree(_ *simple, args []string) int {
	if len(args) > 0 {
		m.load.notes = append(m.load.notes, fmt.Sprintf("Its device tree %s is not passed on: the kernel gets the one that this machine runs with.", boot.Clean(args[0])))
	}
	return 0
}

// chainload is for EFI programs, of which a unified kernel image and a kernel can
// be booted, and for boot sectors.
func (m *machine) chainload(_ *simple, args []string) int {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) == 0 {
		return m.other("It starts another boot loader through the firmware, which a running Linux cannot do.")
	}
	if strings.HasSuffix(args[0], "+1") {
		return m.other("It starts a boot sector through the firmware, which a running Linux cannot do.")
	}
	m.load.named, m.load.program, m.load.problem, m.load.notes = true, true, "", nil
	m.load.kernel, m.load.cmdline, m.load.initrds = m.locate(args[0]), cmdline(args[1:]), nil
	return 0
}

const xenProblem = "Xen needs a multiboot loader, which kexec is not: choose an entry without Xen."

func (m *machine) xen(c *simple, args []string) int {
	m.multiboot(c, args)
	m.load.problem = xenProblem
	return 0
}

// other is for what cannot be booted.
func (m *machine) other(problem string) int {
	m.load.named, m.load.program, m.load.problem = true, false, problem
	m.load.kernel, m.load.cmdline, m.load.initrds = place{}, "", nil
	return 0
}

func (m *machine) multiboot(_ *simple, args []string) int {
	m.other("It is a multiboot kernel, which alpboot cannot start.")
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		args = args[1:]
	}
	if len(args) > 0 {
		m.load.kernel = m.locate(args[0])
		if args = args[1:]; len(args) > 0 && args[0] == "placeholder" { // grub-mkconfig's, for old versions of Xen
			args = args[1:]
		}
		m.load.cmdline = cmdline(args)
	}
	if strings.HasPrefix(path.Base(m.load.kernel.path), "xen") {
		m.load.problem = xenProblem
	}
	return 0
}

func (m *machine) linux(c *simple, args []string) int {
	if len(args) == 0 {
		return errBadArgument
	}
	base := strings.ToLower(path.Base(args[0]))
	if strings.HasPrefix(base, "memtest") || strings.HasPrefix(base, "mt86") {
		m.load.other = true
		return 0
	}
	m.load.named, m.load.program, m.load.problem, m.load.notes = true, false, "", nil
	m.load.kernel, m.load.cmdline, m.load.initrds = m.locate(args[0]), cmdline(args[1:]), nil
	switch {
	case base == "memdisk":
		m.load.problem = "It starts a disk image through the BIOS (memdisk), which a running Linux cannot do."
	case base == "wimboot":
		m.load.problem = "It starts Windows through the firmware (wimboot), which a running Linux cannot do."
	case strings.HasSuffix(base, ".lkrn"):
		m.load.problem = fmt.Sprintf("It starts the network boot loader %s, which needs the BIOS.", boot.Clean(base))
	}
	if len(args) == 1 && len(c.words) > 2 {
		m.load.problem = cmp.Or(m.load.problem, "Its command line is empty, because its variables have no value.")
	}
	if m.look(m.load.kernel) == nil {
		return errFileNotFound
	}
	return 0
}

func (m *machine) initrd(_ *simple, args []string) int {
	if !m.load.named {
		return errBadArgument
	}
	code := 0
	m.load.initrds = nil
	for _, a := range args {
		if strings.HasPrefix(a, "--") || a == "" {
			continue
		}
		if strings.HasPrefix(a, "newc:") {
			m.load.problem = fmt.Sprintf("GRUB makes an initrd for it from the file %s, which alpboot does not.", boot.Clean(a))
			continue
		}
		p := m.locate(a)
		if len(m.load.initrds) == maxInitrds {
			m.load.problem = fmt.Sprintf("It names more than the %d initrds that alpboot reads.", maxInitrds)
			break
		}
		if !slices.Contains(m.load.initrds, p) {
			m.load.initrds = append(m.load.initrds, p)
		}
		if m.look(p) == nil {
			code = errFileNotFound
		}
	}
	return code
}

// cmdline puts words together as GRUB does for Linux (grub-core/lib/cmdline.c),
// without those that are about the loader.
func cmdline(args []string) string {
	var b strings.Builder
	for _, a := range args {
		if a == "" || strings.HasPrefix(a, "BOOT_IMAGE=") || strings.HasPrefix(a, "initrd=") {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		a = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, a)
		quoted := strings.Contains(a, " ")
		if quoted {
			b.WriteByte('"')
		}
		for i := 0; i < len(a); i++ {
			if strings.IndexByte(`\'"`, a[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(a[i])
		}
		if quoted {
			b.WriteByte('"')
		}
	}
	return b.String()
}

// node is one line of a menu.
type node struct {
	title, id string
	entry     *boot.Entry // nil when nothing is listed for it
	sub       []*node     // of a submenu or configuration
	def       string      // the default of sub
	config    *machine    // of a configuration, whose menu comes in place of the one that it is in
	others    bool        // it stands for entries that are not known here
	recovery  bool
}

// nodes returns the lines of the menu that m has built, each entry tried
// out. Submenu is where it is itself, and lock what guards it.
func (m *machine) nodes(submenu []string, wait *time.Duration, lock *boot.Lock) []*node {
	var out []*node
	for _, c := range m.menu.configs {
		own := c.wait()
		if own == nil {
			own = wait
		}
		n := &node{config: c, sub: c.nodes(submenu, own, c.guard(lock)), def: c.env.get("default")}
		if len(n.sub) > 0 {
			out = append(out, n)
		}
	}
	for _, it := range m.menu.items {
		n := &node{title: it.title, id: it.id, others: it.others}
		out = append(out, n)
		switch {
		case it.others:
			continue
		case it.entry != nil:
			e := *it.entry
			e.Submenu, e.Lock = submenu, lock
			n.entry = &e
			n.setWait(wait)
			continue
		}
		b := m.runItem(it)
		if len(b.menu.configs) > 0 || len(b.menu.items) > 0 {
			n.sub = b.nodes(boot.Within(submenu, it.title), wait, b.guard(m.restrict(lock, it)))
			n.def = b.env.get("default")
			continue
		}
		n.entry = b.entry(it.src, submenu, it.title)
		if n.entry == nil {
			continue
		}
		if n.entry.Lock = m.restrict(lock, it); n.entry.Lock != nil && n.entry.Lock.Asks {
			n.entry.Notes = append(n.entry.Notes, "Its own menu asks for a user and password before it boots this; alpboot asks for the password.")
		}
		n.recovery = strings.Contains(it.id, "-recovery-") || slices.Contains(strings.Fields(n.entry.Cmdline), "single")
		n.setWait(wait)
	}
	if m.load.booted {
		if e := m.entry(m.load.src, submenu, ""); e != nil {
			e.Lock = lock
			n := &node{entry: e}
			n.setWait(wait)
			out = append([]*node{n}, out...)
		}
	}
	return out
}

func (n *node) setWait(wait *time.Duration) {
	if wait != nil {
		d := *wait
		n.entry.Timeout = &d
	}
}

// wait returns the timeout of the menu that m has built.
func (m *machine) wait() *time.Duration {
	v, isSet := m.env["timeout"]
	if !isSet {
		return nil
	}
	d := time.Duration(-1) // also for what does not begin with a number
	if s := strings.TrimSpace(v.value); s != "" && isDigit(s[0]) {
		n, _ := number(s)
		d = time.Duration(min(n, math.MaxInt32)) * time.Second
	}
	return &d
}

// entry returns the entry that m has loaded; nil when it is nothing that anybody
// expects in a list of systems.
func (m *machine) entry(src boot.Source, submenu []string, title string) *boot.Entry {
	l := &m.load
	title = cmp.Or(boot.Clean(title), boot.Clean(path.Base(l.kernel.path)), "Entry without a title")
	e := &boot.Entry{Title: title, Submenu: submenu, Format: "grub", Source: src, Cmdline: l.cmdline, Problem: l.problem, Notes: l.notes}
	problem := func(format string, args ...any) {
		if e.Problem == "" {
			e.Problem = fmt.Sprintf(format, args...)
		}
	}
	switch {
	case l.cut:
		problem("It takes too much to run its commands.")
	case l.named:
	case l.away != "":
		problem("Its configuration is on %s.", l.away)
	case l.unknown != "" && !l.other:
		problem("It runs %s, which is not a command that alpboot knows.", boot.Quote(l.unknown))
	default:
		return nil
	}
	if !l.named || l.kernel.path == "" {
		problem("It names no kernel.")
		return e
	}
	switch {
	case l.kernel.why != "":
		problem("Its kernel /%s is on %s.", boot.Clean(l.kernel.path), l.kernel.why)
		return e
	case l.kernel.path == ".":
		problem("It names a directory as its kernel.")
		return e
	case l.kernel.volume != 0:
		e.Volume = m.volumes[l.kernel.volume].Volume
	}
	e.Kernel = l.kernel.path
	if l.program {
		e.Cmdline = ""
		efiprogram.Complete(e, m.volumes[l.kernel.volume].FS, ".", l.cmdline)
		return e
	}
	for _, i := range l.initrds {
		switch {
		case i.why != "":
			problem("Its initrd /%s is on %s.", boot.Clean(i.path), i.why)
		case i.path == ".":
			problem("It names a directory as its initrd.")
		case i.volume != l.kernel.volume:
			problem("Its kernel and its initrd /%s are on different volumes, which alpboot cannot combine.", boot.Clean(i.path))
		default:
			e.Initrds = append(e.Initrds, i.path)
		}
	}
	return e
}

// leaves returns the entries of nodes and their submenus in order.
func leaves(nodes []*node) []*boot.Entry {
	var out []*boot.Entry
	for _, n := range nodes {
		if n.entry != nil {
			out = append(out, n.entry)
		}
		out = append(out, leaves(n.sub)...)
	}
	return out
}

// choose returns the node that spec names: by number, title or id, with > between
// a submenu and what is in it. Without such a one it is the first, as in GRUB;
// nil when that is not known here.
func choose(nodes []*node, spec string) *node {
	if len(nodes) == 0 {
		return nil
	}
	if nodes[0].config != nil {
		return choose(nodes[0].sub, nodes[0].def)
	}
	head, rest := cutSpec(spec)
	n := find(nodes, head)
	if n == nil || n.others {
		return nil
	}
	if n.sub == nil {
		return n
	}
	if rest == "" {
		rest = n.def
	}
	return choose(n.sub, rest)
}

// cutSpec cuts a default at its first >; two of them stand for the character.
func cutSpec(spec string) (head, rest string) {
	var b strings.Builder
	for i := 0; i < len(spec); i++ {
		if spec[i] == '>' {
			if i+1 == len(spec) || spec[i+1] != '>' {
				return b.String(), spec[i+1:]
			}
			i++
		}
		b.WriteByte(spec[i])
	}
	return b.String(), ""
}

// find returns the node of that title or id, else the one of that number, else
// the first.
func find(nodes []*node, name string) *node {
	if i := slices.IndexFunc(nodes, func(n *node) bool { return n.isCalled(name) }); i >= 0 {
		return nodes[i]
	}
	index, isIndex := indexOf(nodes, name)
	// Entries that are not known here may have the name, and count.
	for i, n := range nodes {
		if n.others && (i <= index || name != "" && !isIndex) {
			return n
		}
	}
	return nodes[index]
}

func (n *node) isCalled(name string) bool {
	return name != "" && !n.others && (n.id == name || n.title == name)
}

func indexOf(nodes []*node, name string) (index int, ok bool) {
	if n, ok := number(strings.TrimSpace(name)); ok && n < uint64(len(nodes)) {
		return int(n), true
	}
	return 0, false
}

// isNamed reports whether spec begins with the number or name of one of nodes.
func isNamed(nodes []*node, spec string) bool {
	head, _ := cutSpec(spec)
	_, ok := indexOf(nodes, head)
	return ok || slices.ContainsFunc(nodes, func(n *node) bool { return n.isCalled(head) })
}
