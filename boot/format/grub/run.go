package grub

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// What commands return, as in GRUB's include/grub/err.h.
const (
	errTestFailure  = 1
	errFileNotFound = 5
	errBadArgument  = 18
)

// file is a configuration file that is being read.
type file struct {
	volume int
	path   string
}

// machine runs scripts. A menu entry is run on a copy of the machine that its
// menu has left behind.
type machine struct {
	*reader
	env       environ
	functions map[string]*function
	users     map[string]boot.Secret // passwords, by the names of users
	args      []string               // $1 and so on
	hasArgs   bool                   // in a function or menu entry
	subvolume place                  // of btrfs: where paths may begin
	depth     int                    // of functions, submenus and files inside each other
	steps     int                    // commands that may still be run

	// For what is on a volume other than the one that is parsed: the command on
	// this one that has led there.
	via *boot.Source

	menu *menu
	load load

	nextEntry string // next_entry in grubenv
	once      bool   // and the script has taken it out

	loops, breaks int
	continuing    bool // breaks end loops as continue does
	returning     bool
	stopped       bool // exit, boot, or over a limit
}

// menu is what menuentry, submenu and configfile have collected.
type menu struct {
	items   []*item
	configs []*machine // configurations that configfile has run, and whose menus come first
}

// item is one menuentry or submenu, or what blscfg and uki add.
type item struct {
	src        boot.Source
	title, id  string
	args       []string
	body       []command
	isSubmenu  bool
	restricted bool        // only for superusers and users, where there are superusers
	users      string      // names of users
	others     bool        // uki: not known here
	entry      *boot.Entry // blscfg: made already
}

// branch returns a copy of m for what comes back without a trace: a menu entry or
// submenu.
func (m *machine) branch() *machine {
	b := *m
	b.env = maps.Clone(m.env)
	b.functions, b.users = maps.Clone(m.functions), maps.Clone(m.users)
	b.menu, b.load = &menu{}, load{}
	b.loops, b.breaks, b.returning, b.stopped = 0, 0, false, false
	b.depth++
	b.steps = maxEntrySteps
	return &b
}

// runItem runs the body of a menu entry or submenu on a copy of m.
func (m *machine) runItem(it *item) *machine {
	b := m.branch()
	chosen := b.env.get("chosen")
	if chosen != "" {
		chosen += ">"
	}
	if it.isSubmenu {
		b.env = b.env.context()
	}
	b.env.set("chosen", chosen+it.id)
	b.env.export("chosen")
	b.args, b.hasArgs, b.via = it.args, true, &it.src
	b.runList(it.body)
	return b
}

// runFile runs the configuration file at p, unit by unit as GRUB does.
func (m *machine) runFile(p place) error {
	text, err := m.read(p)
	if err != nil {
		return err
	}
	dir := "(" + volumeName(p.volume) + ")/" + p.path
	outer := map[string]string{"config_file": m.env.get("config_file"), "config_directory": m.env.get("config_directory")}
	m.env.set("config_file", dir)
	m.env.set("config_directory", path.Dir(dir))
	for name := range outer {
		m.env.export(name)
	}
	defer func() {
		for name, value := range outer {
			m.env.set(name, value)
		}
	}()

	f := &file{volume: p.volume, path: p.path}
	reading := newParser(f, text)
	for !m.stopped {
		unit, err := reading.unit()
		var syntax *syntaxError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax):
			m.noteAt(f, syntax.line, syntaxNote(err))
		case err != nil:
			m.noteAt(f, reading.line, fmt.Sprintf("The rest of the file is skipped: %v.", err))
			return nil
		default:
			m.runList(unit)
		}
	}
	return nil
}

// source returns the place in the configuration that is being parsed for a line
// of f.
func (m *machine) source(f *file, line int) boot.Source {
	if f.volume != 0 && m.via != nil {
		return *m.via
	}
	return boot.Source{File: f.path, Line: line}
}

// noteAt leaves a note about a line of f, unless that is on another volume:
// then it is noted there.
func (m *machine) noteAt(f *file, line int, text string) {
	if f.volume == 0 {
		m.notes.Add(boot.Source{File: f.path, Line: line}, text)
	}
}

// stop ends the run because of a limit.
func (m *machine) stop(why string) {
	if !m.stopped {
		m.stopped = true
		m.load.cut = true
		m.notes.Add(boot.Source{}, why)
	}
}

// takeBytes counts text that is made, and reports whether there may be more.
func (m *machine) takeBytes(n int) bool {
	if m.textLeft -= n; m.textLeft < 0 || n > maxValue {
		m.stop(fmt.Sprintf("A configuration makes texts of more than %d KiB, or more than %d MiB of them: it was stopped.", maxValue>>10, maxText>>20))
	}
	return !m.stopped
}

// runList runs commands and returns what the last one returned.
func (m *machine) runList(commands []command) int {
	code := 0
	for _, c := range commands {
		if m.breaks > 0 || m.stopped {
			break
		}
		code = m.run(c)
		if m.returning {
			break
		}
	}
	return code
}

// run runs one command, as grub-core/script/execute.c does, and returns what it
// returned: 0 for success.
func (m *machine) run(c command) (code int) {
	m.stepsLeft--
	if m.steps--; m.steps < 0 || m.stepsLeft < 0 {
		m.stop("A configuration runs too many commands, as in a loop without an end: it was stopped.")
		return errTestFailure
	}
	switch c := c.(type) {
	case *simple:
		code = m.runSimple(c)
	case *ifElse:
		code = m.runList(c.cond)
		switch {
		case m.returning || m.stopped:
		case code == 0:
			m.env.set("?", "0")
			code = m.runList(c.yes)
		default:
			m.env.set("?", strconv.Itoa(code))
			code = m.runList(c.no)
		}
	case *forIn:
		m.loops++
		for _, value := range m.expand(c.words) {
			m.env.set(c.name, value)
			code = m.runList(c.body)
			if m.ended() {
				break
			}
		}
		m.endLoop()
	case *loop:
		m.loops++
		for {
			if code = m.runList(c.cond); m.returning || m.stopped || (code == 0) == c.until {
				break
			}
			code = m.runList(c.body)
			if m.ended() {
				break
			}
		}
		m.endLoop()
	case *function:
		m.functions[c.name] = c
	}
	m.env.set("?", strconv.Itoa(code))
	return code
}

// ended reports, after the body of a loop, whether the loop is over.
func (m *machine) ended() bool {
	if m.breaks == 1 && m.continuing {
		m.breaks = 0
	}
	return m.breaks > 0 || m.returning || m.stopped
}

func (m *machine) endLoop() {
	m.loops--
	m.breaks = max(0, m.breaks-1)
}

// runSimple runs a command line: a command, a function, or an assignment.
func (m *machine) runSimple(c *simple) int {
	args := m.expand(c.words)
	if m.stopped || len(args) == 0 {
		return 0
	}
	not := args[0] == "!"
	if not {
		args = args[1:]
	}
	if len(args) == 0 {
		return errBadArgument
	}
	code, ok := m.call(c, args)
	switch {
	case !ok: // with or without a !
		return 0
	case !not:
		return code
	case code == 0:
		return errTestFailure
	}
	return 0
}

// call runs a command or function. What is neither may be an assignment; ok is
// false for that and for what GRUB does not know.
func (m *machine) call(c *simple, args []string) (code int, ok bool) {
	name := args[0]
	if run := m.lookup(name); run != nil {
		return run(m, c, args[1:]), true
	}
	if f := m.functions[name]; f != nil {
		return m.callFunction(c, f, args[1:]), true
	}
	if !m.assign(name) {
		m.unknown(c, name)
	}
	return 0, false
}

// assign sets a variable if s has the form NAME=VALUE. Those that stand for
// arguments cannot be set.
func (m *machine) assign(s string) bool {
	name, value, ok := strings.Cut(s, "=")
	if ok && (name == "" || !isDigit(name[0]) && !strings.Contains("#*@", name)) {
		m.setVar(name, value)
	}
	return ok
}

func (m *machine) setVar(name, value string) {
	if _, ok := m.env[name]; !ok && len(m.env) >= maxVariables {
		m.stop(fmt.Sprintf("A configuration sets more than %d variables: it was stopped.", maxVariables))
	} else if m.takeBytes(len(value)) {
		m.env.set(name, value)
	}
}

// ofScripts are functions of GRUB's own scripts that concern its screen and its
// memory. Where a configuration calls one that it does not define, nothing is lost.
var ofScripts = [...]string{"load_video", "gfxmode", "savedefault", "recordfail", "set_background_image"}

// unknown notes a command that is neither GRUB's nor defined, once.
func (m *machine) unknown(c *simple, name string) {
	if slices.Contains(ofScripts[:], name) {
		return
	}
	if m.load.unknown == "" {
		m.load.unknown = name
	}
	if len(name) <= maxValue && !m.noted[name] {
		m.noted[name] = true
		m.noteAt(c.file, c.line, fmt.Sprintf("%s is not a command that alpboot knows: it is skipped.", boot.Quote(name)))
	}
}

func (m *machine) callFunction(c *simple, f *function, args []string) int {
	if !m.enter(c, "Functions") {
		return errBadArgument
	}
	outerArgs, outerHas, outerLoops := m.args, m.hasArgs, m.loops
	m.args, m.hasArgs, m.loops = args, true, 0
	code := m.runList(f.body)
	m.args, m.hasArgs, m.loops, m.returning = outerArgs, outerHas, outerLoops, false
	m.depth--
	return code
}

// enter counts one level of depth; the caller counts it down again.
func (m *machine) enter(c *simple, what string) bool {
	if m.depth >= maxDepth {
		m.noteAt(c.file, c.line, fmt.Sprintf("%s are used more than %d deep: the command is skipped.", what, maxDepth))
		return false
	}
	m.depth++
	return true
}
