package grub

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// builtin runs one of GRUB's own commands. ok is false if there is none of that name.
func (m *machine) builtin(c *simple, name string, args []string) (code int, ok bool) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch name {
	case "[", "test":
		if !m.test(args) {
			return errTestFailure, true
		}
		return 0, true
	case "true":
		return 0, true
	case "false":
		return errTestFailure, true
	case "set":
		if len(args) > 0 && !m.assign(args[0]) {
			return errBadArgument, true
		}
		return 0, true
	case "unset":
		delete(m.env, arg(0))
		return 0, true
	case "export":
		for _, a := range args {
			m.env.export(a)
		}
		return 0, true
	case "menuentry", "submenu":
		return m.menuentry(c, args, name == "submenu"), true
	case "source", ".":
		return m.sourceFile(c, arg(0), m), true
	case "extract_entries_source", "extract_entries_configfile": // only their entries count
		b := m.branch()
		b.menu, b.steps = m.menu, m.steps
		if name == "extract_entries_configfile" {
			b.env = b.env.context()
		}
		return m.sourceFile(c, arg(0), b), true
	case "configfile", "normal":
		if name == "normal" && len(args) == 0 {
			args = []string{m.env.get("prefix") + "/grub.cfg"}
		}
		return m.configfile(c, arg(0), name == "configfile"), true
	case "break", "continue":
		return m.breakLoop(args, name == "continue"), true
	case "return":
		n, ok := number(arg(0))
		if !m.hasArgs || len(args) > 1 || len(args) == 1 && !ok {
			return errBadArgument, true
		}
		m.returning = true
		if len(args) == 0 {
			n, _ = number(m.env.get("?"))
		}
		return int(n & 0x7fffffff), true
	case "shift":
		n := uint64(1)
		if len(args) > 0 {
			n, _ = number(args[0])
		}
		if n > uint64(len(m.args)) {
			return errBadArgument, true
		}
		m.args = m.args[n:]
		return 0, true
	case "setparams":
		if m.hasArgs {
			m.args = args
		}
		return 0, true
	case "eval":
		return m.eval(c, strings.Join(args, " ")), true
	case "time":
		if len(args) == 0 || !m.enter(c, "Commands") {
			return errBadArgument, true
		}
		defer func() { m.depth-- }()
		code, _ := m.call(c, args)
		return code, true
	case "search":
		return m.search(args), true
	case "search.fs_uuid", "search.fs_label", "search.file": // NAME [VARIABLE [HINT...]]
		kind := map[string]string{"search.fs_uuid": "fs-uuid", "search.fs_label": "label", "search.file": "file"}[name]
		return m.searchFor(kind, arg(0), arg(1), args[min(2, len(args)):]), true
	case "load_env":
		return m.loadEnv(args), true
	case "save_env": // nothing is ever written
		m.saveEnv(args)
		return 0, true
	case "increment", "decrement":
		n, _ := number(m.env.get(arg(0)))
		if name == "increment" {
			n++
		} else {
			n--
		}
		m.setVar(arg(0), strconv.FormatInt(int64(n), 10))
		return 0, true
	case "probe":
		return m.probe(args), true
	case "cpuid":
		if long := arg(0) == "-l" || arg(0) == "--long-mode"; long && runtime.GOARCH != "amd64" {
			return errTestFailure, true
		}
		return 0, true
	case "cat", "ls", "cmp", "hexdump", "file", "testspeed", "crc", "md5sum", "sha1sum", "sha256sum", "sha512sum":
		m.load.other = true
		for _, a := range args {
			if (strings.HasPrefix(a, "/") || strings.HasPrefix(a, "(")) && m.stat(a) == nil {
				return errFileNotFound, true
			}
		}
		return 0, true
	case "keystatus", "smbios", "sendkey", "inb", "inw", "inl", "rdmsr", "vbetest", "videotest":
		return errTestFailure, true // no key is held, and nothing is known
	case "regexp":
		if !m.noted[name] {
			m.noted[name] = true
			m.noteAt(c.file, c.line, "regexp is not understood: it is taken to match nothing.")
		}
		return errTestFailure, true
	case "blscfg", "bls_import", "uki", "blsuki":
		m.noteAt(c.file, c.line, name+": see the entries of the Boot Loader Specification.")
		m.addItem(c, &item{others: true})
		return 0, true
	case "exit", "normal_exit":
		m.load.other = true
		m.stopped = true
		return 0, true
	case "boot":
		if m.load.kind != "" {
			m.load.booted, m.load.src, m.stopped = true, m.source(c.file, c.line), true
		}
		return 0, true
	case "fwsetup":
		if arg(0) == "--is-supported" {
			return errTestFailure, true
		}
		m.load.other = true
		return 0, true
	case "halt", "reboot", "lsefi", "lsefimmap", "lsefisystab", "lssal", "lsacpi", "lscoreboot", "lsmmap", "lsmod", "lspci",
		"lsfonts", "lsapm", "cbmemc", "coreboot_boottime", "videoinfo", "vbeinfo", "help", "usb", "hello", "clear", "suspend",
		"list_env", "list_trusted", "terminfo", "date", "all_functional_test", "functional_test", "pcidump", "backtrace",
		"net_ls_addr", "net_ls_cards", "net_ls_routes", "net_ls_dns", "zfsinfo":
		m.load.other = true
		return 0, true
	case "echo", "insmod", "rmmod", "sleep", "read", "terminal_input", "terminal_output", "serial", "spkmodem", "loadfont",
		"background_image", "background_color", "play", "gettext", "keymap", "efitextmode", "nativedisk", "password",
		"password_pbkdf2", "legacy_password", "legacy_check_password", "authenticate", "trust", "distrust", "verify_detached",
		"cryptomount", "zfskey", "zfs-bootfs", "tpm2_key_protector_init", "tpm2_key_protector_clear", "hashsum", "bli",
		"parttool", "gptsync", "hdparm", "drivemap", "badram", "cutmem", "acpi", "loadbios", "fakebios", "fix_video",
		"macppcbless", "mactelbless", "setpci", "outb", "outw", "outl", "wrmsr", "gdbstub", "gdbstub_break", "gdbstub_stop",
		"read_byte", "read_word", "read_dword", "write_byte", "write_word", "write_dword",
		"net_bootp", "net_bootp6", "net_dhcp", "net_get_dhcp_option", "net_ipv6_autoconf", "net_nslookup", "net_add_addr",
		"net_add_dns", "net_add_route", "net_del_addr", "net_del_dns", "net_del_route":
		return 0, true
	case "loopback":
		m.loopback(args)
		return 0, true
	}
	return m.loader(c, name, args)
}

// fileSteps is how many commands it counts for to open a file.
const fileSteps = 100

// sourceFile runs a file on the machine on, which is m or a copy.
func (m *machine) sourceFile(c *simple, name string, on *machine) int {
	p := m.locate(name)
	switch {
	case name == "":
		return errBadArgument
	case p.why != "":
		m.load.away = p.why
		return errFileNotFound
	case !m.enter(c, "Files"):
		return errBadArgument
	}
	defer func() { m.depth-- }()
	m.steps -= fileSteps
	m.stepsLeft -= fileSteps
	on.depth = m.depth
	via := on.via
	if c.file.volume == 0 {
		on.via = &boot.Source{File: c.file.path, Line: c.line}
	}
	if err := on.runFile(p); err != nil {
		m.noteAt(c.file, c.line, fmt.Sprintf("The file %s cannot be used: %v.", boot.Quote(name), reason(err)))
	}
	on.via = via
	return 0 // GRUB does not tell either
}

// configfile runs a configuration of its own, whose menu comes first.
func (m *machine) configfile(c *simple, name string, newContext bool) int {
	p := m.locate(name)
	if p.why == "" {
		if real, err := m.resolve(p); err == nil {
			p = real
		}
		if p.volume == 0 && m.configs[p.path] {
			m.load.other = true
			return 0 // it is, was or will be read on its own
		}
	}
	b := m.branch()
	b.args, b.hasArgs = nil, false
	b.steps = maxMenuSteps
	if newContext {
		b.env = b.env.context()
	}
	b.subvolume = m.subvolumeOf(p)
	if code := m.sourceFile(c, name, b); code != 0 {
		return code
	}
	if c.file.volume == 0 && p.volume != 0 {
		b.via = &boot.Source{File: c.file.path, Line: c.line}
	}
	m.load.other = true
	m.menu.configs = append(m.menu.configs, b)
	return 0
}

// subvolumeOf gives the subvolume of btrfs that the configuration file p lies
// in: @ for @/boot/grub/grub.cfg.
func (r *reader) subvolumeOf(p place) place {
	if p.why != "" || r.volumes[p.volume].Volume.Type != "btrfs" {
		return place{}
	}
	dir := path.Dir(path.Dir(p.path)) // without grub/grub.cfg
	if path.Base(dir) == "boot" {
		dir = path.Dir(dir)
	}
	if dir == "." {
		dir = ""
	}
	return place{volume: p.volume, path: dir}
}

func (m *machine) breakLoop(args []string, isContinue bool) int {
	n := uint64(1)
	if len(args) > 0 {
		var ok bool
		if n, ok = number(args[0]); !ok || n == 0 || len(args) > 1 {
			return errBadArgument
		}
	}
	m.continuing = isContinue
	m.breaks = int(min(n, uint64(m.loops)))
	return 0
}

// eval runs a text as a script.
func (m *machine) eval(c *simple, text string) int {
	if !m.enter(c, "Commands") {
		return errBadArgument
	}
	defer func() { m.depth-- }()
	p := newParser(c.file, text)
	code := 0
	for !m.stopped {
		unit, err := p.unit()
		if err != nil {
			return code
		}
		setLine(unit, c.line)
		code = m.runList(unit)
	}
	return code
}

// setLine gives the commands of a text that stands in one line of a file that line.
func setLine(commands []command, line int) {
	for _, c := range commands {
		switch c := c.(type) {
		case *simple:
			c.line = line
			setLine(c.block, line)
		case *ifElse:
			setLine(c.cond, line)
			setLine(c.yes, line)
			setLine(c.no, line)
		case *forIn:
			setLine(c.body, line)
		case *loop:
			setLine(c.cond, line)
			setLine(c.body, line)
		case *function:
			setLine(c.body, line)
		}
	}
}

// menuOptions are those of menuentry and submenu.
var menuOptions = [...]option{
	{name: "class", value: valueNeeded},
	{name: "users", value: valueNeeded},
	{name: "hotkey", value: valueNeeded},
	{name: "source", value: valueNeeded},
	{name: "id", value: valueNeeded},
	{name: "unrestricted"},
}

// menuentry adds an entry or submenu to the menu.
func (m *machine) menuentry(c *simple, args []string, isSubmenu bool) int {
	o, rest, ok := parseOptions(menuOptions[:], args, true)
	if !ok || len(rest) == 0 {
		m.noteAt(c.file, c.line, "A menu entry without a title is left out.")
		return errBadArgument
	}
	it := &item{title: rest[0], id: rest[0], args: rest, body: c.block, isSubmenu: isSubmenu}
	if id := o["id"]; len(id) > 0 {
		it.id = id[len(id)-1]
	}
	_, isUsers := o["users"]
	_, isFree := o["unrestricted"]
	it.restricted = isUsers || !isFree
	if source := o["source"]; c.block == nil && len(source) > 0 {
		p := newParser(c.file, source[len(source)-1])
		for {
			unit, err := p.unit()
			if err != nil {
				break
			}
			setLine(unit, c.line)
			it.body = append(it.body, unit...)
		}
	} else if c.block == nil {
		m.noteAt(c.file, c.line, fmt.Sprintf("The menu entry %s has no block: it is left out.", boot.Quote(it.title)))
		return errBadArgument
	}
	return m.addItem(c, it)
}

func (m *machine) addItem(c *simple, it *item) int {
	if m.itemsLeft == 0 {
		m.notes.Add(m.source(c.file, c.line), fmt.Sprintf("There are more than %d menu entries: from here on they are left out.", maxItems))
	}
	if m.itemsLeft--; m.itemsLeft < 0 {
		return errBadArgument
	}
	it.src = m.source(c.file, c.line)
	m.menu.items = append(m.menu.items, it)
	return 0
}

// envOptions are those of load_env and save_env.
var envOptions = [...]option{
	{name: "file", short: 'f', value: valueNeeded},
	{name: "skip-sig", short: 's'},
}

// loadEnv reads an environment block (grub-core/lib/envblk.c).
func (m *machine) loadEnv(args []string) int {
	o, names, ok := parseOptions(envOptions[:], args, false)
	if !ok {
		return errBadArgument
	}
	file := m.env.get("prefix") + "/grubenv"
	if f := o["file"]; len(f) > 0 {
		file = f[len(f)-1]
	}
	p := m.locate(file)
	if p.why != "" {
		return errFileNotFound
	}
	text, err := m.readUpTo(p, maxEnvBlock)
	if err != nil {
		return errFileNotFound
	}
	block, ok := parseEnvBlock(text)
	if !ok {
		if p.volume == 0 {
			m.notes.Add(boot.Source{File: p.path}, "It is no environment block of GRUB.")
		}
		return errBadArgument
	}
	for _, v := range block {
		if (len(names) == 0 || slices.Contains(names, v[0])) && !(m.noNext && v[0] == "next_entry") {
			m.setVar(v[0], v[1])
			if v[0] == "next_entry" && v[1] != "" {
				m.nextEntry = v[1]
			}
		}
	}
	return 0
}

// parseEnvBlock gives the names and values in an environment block.
func parseEnvBlock(text string) (vars [][2]string, ok bool) {
	text, ok = strings.CutPrefix(text, "# GRUB Environment Block\n")
	for ok && text != "" {
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
	return vars, ok
}

// saveEnv notes that a configuration would now give up its one-time default.
func (m *machine) saveEnv(args []string) {
	if slices.Contains(args, "next_entry") && m.env.get("next_entry") == "" && m.nextEntry != "" {
		m.once = true
	}
}

// probeOptions are those of probe.
var probeOptions = [...]option{
	{name: "set", short: 's', value: valueNeeded},
	{name: "driver", short: 'd'},
	{name: "partmap", short: 'p'},
	{name: "fs", short: 'f'},
	{name: "fs-uuid", short: 'u'},
	{name: "label", short: 'l'},
	{name: "part-uuid"},
}

// probe tells something about a device (grub-core/commands/probe.c).
func (m *machine) probe(args []string) int {
	o, rest, ok := parseOptions(probeOptions[:], args, false)
	if !ok || len(rest) == 0 {
		return errBadArgument
	}
	n, why := m.device(strings.TrimSuffix(strings.TrimPrefix(rest[0], "("), ")"))
	if why != "" {
		return errFileNotFound
	}
	v := m.volumes[n].Volume
	value := ""
	for _, name := range []string{"partmap", "fs", "fs-uuid", "label", "part-uuid"} {
		if _, ok := o[name]; !ok {
			continue
		}
		switch name {
		case "partmap":
			value = "none"
			if len(v.PartUUID) == 36 {
				value = "gpt"
			} else if v.Partition > 0 {
				value = "msdos"
			}
		case "fs":
			value = map[string]string{"ext3": "ext2", "ext4": "ext2", "vfat": "fat"}[v.Type]
			if value == "" {
				value = v.Type
			}
		case "fs-uuid":
			value = v.UUID
		case "label":
			value = v.Label
		case "part-uuid":
			value = v.PartUUID
		}
		break
	}
	if set := o["set"]; len(set) > 0 {
		m.setVar(set[len(set)-1], value)
	}
	return 0
}

// loopback makes an image file a device.
func (m *machine) loopback(args []string) {
	o, rest, ok := parseOptions([]option{{name: "delete", short: 'd'}, {name: "decompress", short: 'D'}}, args, false)
	if !ok || len(rest) == 0 {
		return
	}
	if _, ok := o["delete"]; ok {
		delete(m.env, loopVar(rest[0]))
	} else if len(rest) > 1 {
		image := rest[1] // a name that is no volume's, where it is not there
		if p, err := m.resolve(m.locate(image)); p.why == "" && err == nil {
			image = m.volumes[p.volume].Volume.ImageDevice(p.path)
		}
		m.setVar(loopVar(rest[0]), image)
		m.env.export(loopVar(rest[0]))
	}
}

// option is an option that a command knows.
type option struct {
	name  string
	short byte
	value valueKind
}

type valueKind int

const (
	valueNone valueKind = iota
	valueNeeded
	valueOptional
)

// parseOptions takes the options out of args, by the rules of
// grub-core/lib/arg.c. acceptDash keeps options that are unknown as arguments;
// else they make ok false.
func parseOptions(known []option, args []string, acceptDash bool) (given map[string][]string, rest []string, ok bool) {
	given = map[string][]string{}
	short := func(c byte) *option {
		for i := range known {
			if known[i].short == c && c != 0 {
				return &known[i]
			}
		}
		return nil
	}
args:
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		if a == "--" {
			return given, append(rest, args[i+1:]...), true
		}
		var o *option
		value, hasValue := "", false
		if long, isLong := strings.CutPrefix(a, "--"); isLong {
			var name string
			name, value, hasValue = strings.Cut(long, "=")
			for j := range known {
				if known[j].name == name {
					o = &known[j]
				}
			}
			if o != nil && o.value != valueNone && !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				value, hasValue = args[i], true
			}
		} else {
			for j := 1; j < len(a); j++ {
				if o = short(a[j]); o == nil {
					break
				}
				if j+1 < len(a) {
					if o.value == valueNeeded {
						return given, rest, false
					}
					given[o.name] = append(given[o.name], "")
				}
			}
			if o != nil && o.value != valueNone && i+1 < len(args) && (o.value == valueNeeded || !strings.HasPrefix(args[i+1], "-")) {
				i++
				value, hasValue = args[i], true
			}
		}
		switch {
		case o == nil && acceptDash:
			rest = append(rest, a)
			continue args
		case o == nil, o.value == valueNone && hasValue, o.value == valueNeeded && !hasValue:
			return given, rest, false
		}
		given[o.name] = append(given[o.name], value)
	}
	return given, rest, true
}

// number reads an unsigned number as grub_strtoul does, with 0x and 0 in front
// for other bases. What follows the digits is left; ok is false when something
// does, or there are none.
func number(s string) (n uint64, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	base, digits := 10, s
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		base, digits = 16, s[2:]
	} else if len(s) > 1 && s[0] == '0' {
		base, digits = 8, s[1:]
	}
	i := 0
	for i < len(digits) && digitValue(digits[i]) < base {
		i++
	}
	if i == 0 && base != 8 {
		return 0, false
	}
	if i > 0 {
		n, _ = strconv.ParseUint(digits[:i], base, 64) // gives the largest number when it is too large
	}
	return n, i == len(digits)
}

func digitValue(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 99
}

// signed reads a number that may be negative, 0 for none.
func signed(s string) int64 {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		n, _ := number(rest)
		return -int64(n)
	}
	n, _ := number(s)
	return int64(n)
}

// test evaluates a condition (grub-core/commands/test.c).
func (m *machine) test(args []string) bool {
	if n := len(args); n > 0 && args[n-1] == "]" {
		args = args[:n-1]
	}
	t := tester{m, args}
	return t.parse(0)
}

type tester struct {
	*machine
	args []string // what is left
}

func (t *tester) parse(depth int) bool {
	or, and, invert := false, true, false
	update := func(used int, value bool) {
		and = and && value != invert
		invert = false
		t.args = t.args[used:]
	}
	for len(t.args) > 0 {
		a := t.args
		if len(a) > 2 {
			if value, ok := t.compare(a[0], a[1], a[2]); ok {
				update(3, value)
				continue
			}
		}
		if len(a) > 1 {
			if value, ok := t.unary(a[0], a[1]); ok {
				update(2, value)
				continue
			}
		}
		switch a[0] {
		case ")":
			t.args = a[1:]
			return or || and
		case "(":
			t.args = a[1:]
			if depth >= maxDepth {
				return false
			}
			value := t.parse(depth + 1)
			update(0, value)
		case "!":
			invert = !invert
			t.args = a[1:]
		case "-a":
			t.args = a[1:]
		case "-o":
			or, and = or || and, true
			t.args = a[1:]
		default:
			update(1, a[0] != "")
		}
	}
	return or || and
}

// compare evaluates a test of two values.
func (t *tester) compare(a, op, b string) (value, ok bool) {
	switch op {
	case "=", "==":
		return a == b, true
	case "!=":
		return a != b, true
	case "<":
		return a < b, true
	case "<=":
		return a <= b, true
	case ">":
		return a > b, true
	case ">=":
		return a >= b, true
	case "-eq":
		return signed(a) == signed(b), true
	case "-ne":
		return signed(a) != signed(b), true
	case "-lt":
		return signed(a) < signed(b), true
	case "-le":
		return signed(a) <= signed(b), true
	case "-gt":
		return signed(a) > signed(b), true
	case "-ge":
		return signed(a) >= signed(b), true
	case "-plt", "-pgt": // the numbers after what both begin with
		i := 0
		for i < len(a) && i < len(b) && a[i] == b[i] {
			i++
		}
		for i > 0 && isDigit(a[i-1]) {
			i--
		}
		x, _ := number(a[i:])
		y, _ := number(b[i:])
		return op == "-plt" && x < y || op == "-pgt" && x > y, true
	}
	if newer := strings.HasPrefix(op, "-nt"); newer || strings.HasPrefix(op, "-ot") {
		x, y := t.stat(a), t.stat(b)
		if x == nil || y == nil {
			return newer && x != nil || !newer && y != nil, true
		}
		diff := x.ModTime().Unix() + signed(op[3:]) - y.ModTime().Unix()
		return newer && diff > 0 || !newer && diff < 0, true
	}
	return false, false
}

// unary evaluates a test of one value.
func (t *tester) unary(op, a string) (value, ok bool) {
	is := func(f func(fs.FileInfo) bool) (bool, bool) {
		st := t.stat(a)
		return st != nil && f(st), true
	}
	switch op {
	case "-d":
		return is(fs.FileInfo.IsDir)
	case "-e":
		return is(func(fs.FileInfo) bool { return true })
	case "-f":
		return is(func(st fs.FileInfo) bool { return !st.IsDir() })
	case "-s":
		return is(func(st fs.FileInfo) bool { return st.Mode().IsRegular() && st.Size() > 0 })
	case "-n":
		return a != "", true
	case "-z":
		return a == "", true
	}
	return false, false
}
