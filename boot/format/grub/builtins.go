package grub

import (
	"cmp"
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/bls"
	"github.com/alpboot/alpboot/boot/password"
)

// builtin runs one of GRUB's own commands with its arguments, and returns what
// the command returns: 0 for success. c is where it stands.
type builtin func(m *machine, c *simple, args []string) int

// The commands that are not run. What is in none of these lists, and not in
// builtins either, leaves a note.
const (
	// They ask or set up something that makes no difference to what is booted.
	withoutEffect = `echo insmod rmmod sleep read terminal_input terminal_output serial spkmodem loadfont
		background_image background_color play gettext keymap efitextmode nativedisk
		legacy_password legacy_check_password authenticate trust distrust verify_detached
		cryptomount zfskey zfs-bootfs tpm2_key_protector_init tpm2_key_protector_clear hashsum bli
		parttool gptsync hdparm drivemap badram cutmem acpi loadbios fakebios fix_video
		macppcbless mactelbless setpci outb outw outl wrmsr gdbstub gdbstub_break gdbstub_stop
		read_byte read_word read_dword write_byte write_word write_dword
		net_bootp net_bootp6 net_dhcp net_get_dhcp_option net_ipv6_autoconf net_nslookup net_add_addr
		net_add_dns net_add_route net_del_addr net_del_dns net_del_route`

	// They show something: an entry that only does that boots nothing.
	showing = `halt reboot lsefi lsefimmap lsefisystab lssal lsacpi lscoreboot lsmmap lsmod lspci
		lsfonts lsapm cbmemc coreboot_boottime videoinfo vbeinfo help usb hello clear suspend
		list_env list_trusted terminfo date all_functional_test functional_test pcidump backtrace
		net_ls_addr net_ls_cards net_ls_routes net_ls_dns zfsinfo
		syslinux_configfile syslinux_source extract_syslinux_entries_source extract_syslinux_entries_configfile`

	// They show files, and fail where one is missing.
	showingFiles = `cat ls cmp hexdump file testspeed crc md5sum sha1sum sha256sum sha512sum`

	// They ask about hardware: no key is held, and nothing is known.
	unanswered = `keystatus smbios sendkey inb inw inl rdmsr vbetest videotest`

	legacy = `legacy_configfile legacy_source legacy_kernel legacy_initrd legacy_initrd_nounzip
		extract_legacy_entries_source extract_legacy_entries_configfile`

	loaders = `chainloader pxechainloader ntldr freedos truecrypt appleloader`
)

// builtin returns GRUB's command of that name, nil where it has none. Of many
// volumes few have a configuration, so that the table is made when it is needed.
func (r *reader) builtin(name string) builtin {
	if r.builtins == nil {
		r.builtins = builtins()
	}
	return r.builtins[name]
}

// builtins returns the table of GRUB's commands by name. It is made for each
// reader: a variable of the package would be made for every program that the
// package is linked into.
func builtins() map[string]builtin {
	table := map[string]builtin{
		// The language.
		"[":         (*machine).runTest,
		"test":      (*machine).runTest,
		"true":      succeed,
		"false":     fail,
		"set":       (*machine).set,
		"unset":     (*machine).unset,
		"export":    (*machine).exportVars,
		"break":     func(m *machine, _ *simple, args []string) int { return m.breakLoop(args, false) },
		"continue":  func(m *machine, _ *simple, args []string) int { return m.breakLoop(args, true) },
		"return":    (*machine).returnFrom,
		"shift":     (*machine).shift,
		"setparams": (*machine).setparams,
		"eval":      (*machine).eval,
		"time":      (*machine).time,
		"increment": func(m *machine, _ *simple, args []string) int { return m.count(args, 1) },
		"decrement": func(m *machine, _ *simple, args []string) int { return m.count(args, -1) },

		// The menu and further files.
		"menuentry":                  func(m *machine, c *simple, args []string) int { return m.menuentry(c, args, false) },
		"submenu":                    func(m *machine, c *simple, args []string) int { return m.menuentry(c, args, true) },
		"source":                     func(m *machine, c *simple, args []string) int { return m.sourceFile(c, argument(args), m) },
		".":                          func(m *machine, c *simple, args []string) int { return m.sourceFile(c, argument(args), m) },
		"configfile":                 func(m *machine, c *simple, args []string) int { return m.configfile(c, argument(args), true) },
		"normal":                     (*machine).normal,
		"extract_entries_source":     func(m *machine, c *simple, args []string) int { return m.extract(c, args, false) },
		"extract_entries_configfile": func(m *machine, c *simple, args []string) int { return m.extract(c, args, true) },
		"exit":                       (*machine).exit,
		"normal_exit":                (*machine).exit,
		"boot":                       (*machine).boot,
		"blscfg":                     (*machine).blscfg,
		"bls_import":                 (*machine).blscfg,
		"uki":                        (*machine).uki,
		"blsuki":                     (*machine).uki,

		// Who may do what.
		"password":        func(m *machine, _ *simple, args []string) int { return m.password(args, password.Plain) },
		"password_pbkdf2": func(m *machine, _ *simple, args []string) int { return m.password(args, "") },

		// Devices and variables.
		"search":          (*machine).search,
		"search.fs_uuid":  func(m *machine, _ *simple, args []string) int { return m.searchKind("fs-uuid", args) },
		"search.fs_label": func(m *machine, _ *simple, args []string) int { return m.searchKind("label", args) },
		"search.file":     func(m *machine, _ *simple, args []string) int { return m.searchKind("file", args) },
		"load_env":        (*machine).loadEnv,
		"save_env":        (*machine).saveEnv,
		"probe":           (*machine).probe,
		"loopback":        (*machine).loopback,
		"cpuid":           cpuid,
		"fwsetup":         (*machine).fwsetup,
		"regexp":          (*machine).regexp,

		// What is booted.
		"linux":          (*machine).linux,
		"linux16":        (*machine).linux,
		"linuxefi":       (*machine).linux,
		"initrd":         (*machine).initrd,
		"initrd16":       (*machine).initrd,
		"initrdefi":      (*machine).initrd,
		"devicetree":     (*machine).devicetree,
		"xen_hypervisor": (*machine).xen,
		"multiboot":      (*machine).multiboot,
		"multiboot2":     (*machine).multiboot,
		"module":         succeed, // of what has a problem already
		"module2":        succeed,
		"xen_module":     succeed,
	}
	for _, same := range []struct {
		names string
		run   builtin
	}{
		{withoutEffect, succeed},
		{showing, (*machine).show},
		{showingFiles, (*machine).showFiles},
		{unanswered, fail},
		{loaders, (*machine).chainload},
		{legacy, func(m *machine, c *simple, _ []string) int {
			return m.other("It opens a configuration of GRUB legacy, which alpboot does not read.")
		}},
	} {
		for name := range strings.FieldsSeq(same.names) {
			table[name] = same.run
		}
	}
	return table
}

// lookup returns GRUB's own command of that name, nil when there is none.
func (m *machine) lookup(name string) builtin {
	if run := m.builtin(name); run != nil {
		return run
	}
	for _, system := range [...][2]string{
		{"kfreebsd", "FreeBSD"}, {"knetbsd", "NetBSD"}, {"kopenbsd", "OpenBSD"}, {"xnu_", "macOS"}, {"plan9", "Plan 9"},
	} {
		if strings.HasPrefix(name, system[0]) {
			return func(m *machine, _ *simple, _ []string) int {
				return m.other(fmt.Sprintf("It starts %s, and alpboot can only start Linux.", system[1]))
			}
		}
	}
	return nil
}

// argument returns the first argument, "" when there is none.
func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func succeed(*machine, *simple, []string) int { return 0 }

func fail(*machine, *simple, []string) int { return errTestFailure }

func (m *machine) set(_ *simple, args []string) int {
	if len(args) > 0 && !m.assign(args[0]) {
		return errBadArgument
	}
	return 0
}

func (m *machine) unset(_ *simple, args []string) int {
	delete(m.env, argument(args))
	return 0
}

func (m *machine) exportVars(_ *simple, args []string) int {
	for _, a := range args {
		m.env.export(a)
	}
	return 0
}

func (m *machine) returnFrom(_ *simple, args []string) int {
	n, ok := number(argument(args))
	if !m.hasArgs || len(args) > 1 || len(args) == 1 && !ok {
		return errBadArgument
	}
	m.returning = true
	if len(args) == 0 {
		n, _ = number(m.env.get("?"))
	}
	return int(n & 0x7fffffff)
}

func (m *machine) shift(_ *simple, args []string) int {
	n := uint64(1)
	if len(args) > 0 {
		n, _ = number(args[0])
	}
	if n > uint64(len(m.args)) {
		return errBadArgument
	}
	m.args = m.args[n:]
	return 0
}

func (m *machine) setparams(_ *simple, args []string) int {
	if m.hasArgs {
		m.args = args
	}
	return 0
}

func (m *machine) time(c *simple, args []string) int {
	if len(args) == 0 || !m.enter(c, "Commands") {
		return errBadArgument
	}
	defer func() { m.depth-- }()
	code, _ := m.call(c, args)
	return code
}

func (m *machine) count(args []string, by int64) int {
	n, _ := number(m.env.get(argument(args)))
	m.setVar(argument(args), strconv.FormatInt(int64(n)+by, 10))
	return 0
}

// extract runs a file of which only the entries count.
func (m *machine) extract(c *simple, args []string, newContext bool) int {
	b := m.branch()
	b.menu, b.steps = m.menu, m.steps
	if newContext {
		b.env = b.env.context()
	}
	return m.sourceFile(c, argument(args), b)
}

func (m *machine) normal(c *simple, args []string) int {
	if len(args) == 0 {
		args = []string{m.env.get("prefix") + "/grub.cfg"}
	}
	return m.configfile(c, args[0], false)
}

func (m *machine) exit(*simple, []string) int {
	m.load.other = true
	m.stopped = true
	return 0
}

func (m *machine) boot(c *simple, _ []string) int {
	if m.load.named {
		m.load.booted, m.load.src, m.stopped = true, m.source(c.file, c.line), true
	}
	return 0
}

// searchKind runs search.fs_uuid and the like: NAME [VARIABLE [HINT...]].
func (m *machine) searchKind(kind string, args []string) int {
	into := ""
	if len(args) > 1 {
		into = args[1]
	}
	return m.searchFor(kind, argument(args), into, args[min(2, len(args)):])
}

func cpuid(_ *machine, _ *simple, args []string) int {
	if a := argument(args); (a == "-l" || a == "--long-mode") && runtime.GOARCH != "amd64" {
		return errTestFailure
	}
	return 0
}

func (m *machine) fwsetup(_ *simple, args []string) int {
	if argument(args) == "--is-supported" {
		return errTestFailure
	}
	m.load.other = true
	return 0
}

// blscfgOptions are those of blscfg.
var blscfgOptions = [...]option{
	{name: "path", short: 'p', value: valueNeeded},
	{name: "enable-fallback", short: 'f'},
	{name: "show-default", short: 'd'},
	{name: "show-non-default", short: 'n'},
	{name: "entry", short: 'e', value: valueNeeded},
}

// blscfg adds the entries of the Boot Loader Specification, as read with the
// variables that the script has set: blscfg.c of Fedora's GRUB, and of GRUB 2.14.
func (m *machine) blscfg(c *simple, args []string) int {
	o, rest, ok := parseOptions(blscfgOptions[:], args, false)
	if !ok {
		return errBadArgument
	}
	device := cmp.Or(m.env.get("boot"), m.env.get("root"))
	dirs := []string{m.env.get("blsdir"), "/loader/entries", "/boot/loader/entries"}
	if dir := o["path"]; len(dir) > 0 {
		dirs = dir
	} else if len(rest) > 0 && strings.HasPrefix(rest[0], "(") {
		dirs = rest[:1]
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if !strings.HasPrefix(dir, "(") {
			dir = "(" + device + ")" + dir
		}
		p := m.locate(dir)
		if p.why != "" {
			m.load.away = p.why
			continue
		}
		if p, err := m.resolve(p); err == nil && m.addEntries(c, p) {
			return 0
		}
	}
	m.noteAt(c.file, c.line, "blscfg finds no entries of the Boot Loader Specification.")
	return errFileNotFound
}

// addEntries adds the entries in the directory at p to the menu.
func (m *machine) addEntries(c *simple, p place) bool {
	lookup := func(name string) (string, bool) {
		value, ok := m.env[name]
		return value.value, ok
	}
	v := m.volumes[p.volume]
	entries, err := bls.ReadFor(lookup, v.FS, p.path)
	if err != nil {
		m.noteAt(c.file, c.line, fmt.Sprintf("Some entries of the Boot Loader Specification cannot be used: %v.", err))
	}
	m.steps -= fileSteps * len(entries)
	m.stepsLeft -= fileSteps * len(entries)
	for _, e := range entries {
		e.Format = "grub"
		if p.volume != 0 {
			e.Volume, e.Source = v.Volume, m.source(c.file, c.line)
		}
		m.addItem(c, &item{title: e.Title, id: strings.TrimSuffix(path.Base(e.Conf), path.Ext(e.Conf)), entry: &e})
	}
	return len(entries) > 0
}

// uki stands for the unified kernel images that GRUB would list.
func (m *machine) uki(c *simple, _ []string) int {
	m.noteAt(c.file, c.line, "The unified kernel images that GRUB would list here are listed by themselves.")
	m.addItem(c, &item{others: true})
	return 0
}

// regexp matches a text, and sets variables to what its groups match
// (grub-core/commands/regexp.c).
func (m *machine) regexp(c *simple, args []string) int {
	o, rest, ok := parseOptions([]option{{name: "set", short: 's', value: valueNeeded}}, args, false)
	if !ok || len(rest) != 2 || len(rest[0]) > maxPattern {
		return errBadArgument
	}
	p, err := parsePattern(rest[0])
	if err != nil {
		m.noteAt(c.file, c.line, fmt.Sprintf("The pattern %s cannot be used: %v.", boot.Quote(rest[0]), err))
		return errBadArgument
	}
	groups, steps := p.find(rest[1])
	m.steps -= steps / 100
	if groups == nil {
		return errTestFailure
	}
	for _, set := range o["set"] {
		n := uint64(1)
		if index, name, ok := strings.Cut(set, ":"); ok {
			if n, ok = number(index); !ok {
				return errBadArgument
			}
			set = name
		}
		value := ""
		if n < uint64(len(groups)) {
			value = groups[n]
		}
		m.setVar(set, value)
	}
	return 0
}

func (m *machine) show(*simple, []string) int {
	m.load.other = true
	return 0
}

func (m *machine) showFiles(_ *simple, args []string) int {
	m.load.other = true
	for _, a := range args {
		if (strings.HasPrefix(a, "/") || strings.HasPrefix(a, "(")) && m.stat(a) == nil {
			return errFileNotFound
		}
	}
	return 0
}
