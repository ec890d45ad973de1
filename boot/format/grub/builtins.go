package grub

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// builtin runs one of GRUB's own commands with its arguments, and returns what
// the command returns: 0 for success. c is where it stands.
type builtin func(m *machine, c *simple, args []string) int

// The commands that are not run. What is in none of these lists, and not in
// builtins either, leaves a note.
const (
	// They ask or set up something that makes no difference to what is booted.
	withoutEffect = `echo insmod rmmod sleep read terminal_input terminal_output serial spkmodem loadfont
		background_image background_color play gettext keymap efitextmode nativedisk password
		password_pbkdf2 legacy_password legacy_check_password authenticate trust distrust verify_detached
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
	for _, name := range []string{"blscfg", "bls_import", "uki", "blsuki"} {
		table[name] = func(m *machine, c *simple, _ []string) int {
			m.noteAt(c.file, c.line, name+": see the entries of the Boot Loader Specification.")
			m.addItem(c, &item{others: true})
			return 0
		}
	}
	return table
}

// lookup returns GRUB's own command of that name, nil when there is none.
func (m *machine) lookup(name string) builtin {
	if run := m.builtins[name]; run != nil {
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

func (m *machine) regexp(c *simple, _ []string) int {
	if !m.noted["regexp"] {
		m.noted["regexp"] = true
		m.noteAt(c.file, c.line, "regexp is not understood: it is taken to match nothing.")
	}
	return errTestFailure
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
