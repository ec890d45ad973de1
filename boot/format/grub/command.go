package grub

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/bls"
)

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
	return 0 // GRUB does not report it either
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

// subvolumeOf returns the subvolume of btrfs that the configuration file p is
// in: @ for @/boot/grub/grub.cfg.
func (r *reader) subvolumeOf(p place) place {
	if p.why != "" || r.volumes[p.volume].Volume.Type != superblock.Btrfs {
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
func (m *machine) eval(c *simple, args []string) int {
	if !m.enter(c, "Commands") {
		return errBadArgument
	}
	defer func() { m.depth-- }()
	p := newParser(c.file, strings.Join(args, " "))
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

// setLine returns the commands of a text that stands in one line of a file that line.
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
	users, isUsers := o["users"]
	_, isFree := o["unrestricted"]
	it.restricted, it.users = isUsers || !isFree, strings.Join(users[max(0, len(users)-1):], "")
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
func (m *machine) loadEnv(_ *simple, args []string) int {
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
	block := bls.EnvBlock(text)
	if block == nil {
		if p.volume == 0 {
			m.notes.Add(boot.Source{File: p.path}, "It is not an environment block of GRUB.")
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

// saveEnv notes that a configuration would now reset its one-time default.
func (m *machine) saveEnv(_ *simple, args []string) int {
	if slices.Contains(args, "next_entry") && m.env.get("next_entry") == "" && m.nextEntry != "" {
		m.once = true
	}
	return 0
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

// probe reports something about a device (grub-core/commands/probe.c).
func (m *machine) probe(_ *simple, args []string) int {
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
			value = map[string]string{superblock.Ext3: "ext2", superblock.Ext4: "ext2", superblock.VFAT: "fat"}[v.Type]
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
func (m *machine) loopback(_ *simple, args []string) int {
	o, rest, ok := parseOptions([]option{{name: "delete", short: 'd'}, {name: "decompress", short: 'D'}}, args, false)
	if !ok || len(rest) == 0 {
		return 0
	}
	if _, ok := o["delete"]; ok {
		delete(m.env, loopVar(rest[0]))
	} else if len(rest) > 1 {
		image := rest[1] // a name that no volume has, where it is not there
		if p, err := m.resolve(m.locate(image)); p.why == "" && err == nil {
			image = m.volumes[p.volume].Volume.ImageDevice(p.path)
		}
		m.setVar(loopVar(rest[0]), image)
		m.env.export(loopVar(rest[0]))
	}
	return 0
}
