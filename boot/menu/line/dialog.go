package line

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

// dialog is what was written so far, and what the next line answers.
type dialog struct {
	report  menu.Report
	numbers map[string]int    // of rows, by ID
	rows    []menu.Row        // that were written
	written map[string]string // their texts, by ID
	listed  bool              // the list was written
	counted string            // ID that a countdown was announced for; "" for none
	begun   bool              // that disks are scanned was written
	hidden  bool              // that the menu is hidden was written
	notices int

	awaited *answer // what was asked for and has not come
	asked   int     // as in the report, of the password that was asked for last

	asks    question
	subject menu.Row // what the question is about
	handOn  bool
	setting menu.Setting     // likewise
	once    bool             // of a default, while there is no place to remember it
	place   menu.MemoryPlace // where it could be
}

// answer is a longer text that is written when what it needs has come.
type answer struct {
	text    func(m menu.Model, columns int) []string
	answers int       // that had come before
	end     time.Time // when it is written without
}

// question is what the next line is the answer to.
type question uint8

const (
	command question = iota
	handOn
	passphrase
	password
	cmdline
	power
	memory
	value
	write
)

// ending stands in for an ID where nothing is left to start.
const ending = "\x00"

func (d *dialog) start() { d.numbers, d.written = map[string]int{}, map[string]string{} }

// show writes what has changed.
func (c *Console) show() {
	m, again := c.server.Take()
	if m == nil || c.paused {
		return
	}
	c.model = m
	before := c.report
	c.report = m.Report(c.o.Charset)
	if c.report.Hidden {
		if !c.hidden {
			c.hidden = true
			c.say("Enter shows the menu.")
		}
		c.showStatus(before)
		return
	}
	if !c.begun {
		c.begun = true
		c.say("Looking for something to boot ...")
	}
	for _, s := range c.report.Notices[min(c.notices, len(c.report.Notices)):] {
		c.sayf("Warning: %s", s)
	}
	c.notices = len(c.report.Notices)
	if s := c.report.Message; s != "" && c.report.Messages != before.Messages {
		c.say(s)
	}
	c.showStatus(before)
	switch {
	case again || !c.listed && c.report.Settled:
		c.list()
	case c.listed && c.report.Settled: // rows that are scanned again go, and come back
		c.changes()
	}
	if c.listed && before.Booting != "" && c.report.Booting == "" {
		c.prompt()
	}
	if !c.report.Counting {
		c.counted = ""
	} else if c.report.Ending != "" {
		if c.counted != ending {
			c.counted = ending
			c.sayf("%s Any line stops that.", c.report.Ending)
		}
	} else if c.counted != c.report.Default && c.written[c.report.Default] != "" {
		c.counted = c.report.Default
		c.sayf("Booting %d (%s) in %d seconds. Enter boots it now, any other line stops that.", c.number(c.report.Default), c.written[c.report.Default], c.report.Left)
	}
	if n := c.report.Asked; n != c.asked && c.report.AskedOn == c.name {
		c.asked, c.asks = n, password
		c.o.Echo(false)
		c.sayf("%s (it is not shown; an empty line goes back):", c.report.Asks)
	}
	if l := c.awaited; l != nil && (l.answers != c.report.Answers || time.Now().After(l.end)) {
		c.awaited = nil
		c.text(l.text)
	}
}

func (c *Console) showStatus(before menu.Report) {
	if s := c.report.Status; s != "" && s != before.Status {
		c.say(s)
	}
}

// list writes all rows, and what can be typed.
func (c *Console) list() {
	c.listed = true
	c.rows = c.report.Rows
	clear(c.written)
	if len(c.rows) == 0 {
		for _, s := range c.report.Empty {
			c.say(s)
		}
	} else {
		c.say("Entries:")
	}
	on := ""
	for _, r := range c.rows {
		if r.Locked == "" && r.Volume != on {
			on = r.Volume
			c.sayf("      on %s", on)
		}
		c.written[r.ID] = r.Text
		c.sayf("%4d  %s", c.number(r.ID), r.Text)
	}
	c.prompt()
}

// prompt writes what can be typed. It is a line of its own: what comes next may
// be something else.
func (c *Console) prompt() {
	if c.report.Default != "" && c.report.Booting == "" {
		if c.report.Wait != "" {
			c.say(c.report.Wait)
		}
		c.sayf("Type a number and Enter, Enter alone for %d, or ? and Enter for help:", c.number(c.report.Default))
		return
	}
	if c.report.Wait != "" {
		c.say(c.report.Wait)
	}
	c.say("Type a number and Enter, or ? and Enter for help:")
}

// changes writes which rows have come, gone or changed.
func (c *Console) changes() {
	there := map[string]bool{}
	c.rows = c.report.Rows
	for _, r := range c.rows {
		there[r.ID] = true
		old, known := c.written[r.ID]
		switch {
		case !known:
			c.sayf("New: %d  %s", c.number(r.ID), r.Text)
		case old != r.Text:
			c.sayf("Now: %d  %s", c.number(r.ID), r.Text)
		}
		c.written[r.ID] = r.Text
	}
	for _, id := range slices.SortedFunc(maps.Keys(c.written), func(a, b string) int { return c.number(a) - c.number(b) }) {
		if !there[id] {
			c.sayf("Gone: %d  %s", c.number(id), c.written[id])
			delete(c.written, id)
		}
	}
}

func (c *Console) ask(a menu.Action) { c.server.Post(menu.RequestMsg{Action: a, Console: c.name}) }

// typed takes a line; b is nil when it was too long.
func (c *Console) typed(b []byte) {
	if c.paused {
		clear(b)
		return
	}
	if b == nil {
		c.say("This line is too long and was ignored.")
		b = []byte{}
		if c.asks == command {
			b = []byte("?")
		}
	}
	if c.report.Hidden {
		c.touch()
		return
	}
	asks := c.asks
	c.asks = command
	if asks == passphrase {
		c.o.Echo(true)
		if len(b) == 0 {
			c.back()
			return
		}
		c.ask(menu.Unlock{Device: c.subject.Locked, Passphrase: b, HandOn: c.handOn})
		return
	}
	if asks == password {
		c.o.Echo(true)
		c.ask(menu.Password{Typed: b})
		if len(b) == 0 {
			c.say("Nothing was done.")
			c.prompt()
		}
		return
	}
	text := strings.TrimSpace(string(b))
	switch asks {
	case handOn:
		switch strings.ToLower(text) {
		case "y", "yes", "n", "no":
			c.touch()
			c.handOn = text[0]|0x20 == 'y'
			c.asks = passphrase
			c.o.Echo(false)
			c.sayf("Passphrase of %s (it is not shown; an empty line goes back):", c.subject.Volume)
		default:
			c.back()
		}
	case cmdline:
		if text == "" {
			c.back()
			return
		}
		e := c.subject.Entry
		if add, ok := strings.CutPrefix(text, "+"); ok {
			text = strings.TrimSpace(e.Cmdline + " " + strings.TrimSpace(add))
		}
		edited := e.Cmdline != text
		e.Cmdline = text
		c.ask(menu.Boot{Entry: e, Edited: edited})
	case power:
		c.power(text)
	case memory:
		if text != "y" && text != "yes" {
			c.back()
			return
		}
		c.ask(menu.SetDefault{ID: c.subject.ID, Once: c.once, Make: c.place})
	case value:
		switch text {
		case "":
			c.back()
			return
		case none:
			text = ""
		}
		c.server.Post(menu.ChangeMsg{Change: menu.Change{Name: c.setting.Name, Value: text}})
	case write:
		if text != "y" && text != "yes" {
			c.back()
			return
		}
		_, changes := c.model.Settings()
		c.ask(menu.SaveSettings{Changes: changes})
	default:
		c.command(text)
	}
}

// none is what is typed for a value that is empty.
const none = `""`

// settings lists the settings, or begins to change or write some, as what asks.
func (c *Console) settings(what string) {
	c.touch()
	if c.model == nil {
		return
	}
	all, changes := c.model.Settings()
	file, why := c.model.SettingsFile(c.o.Charset)
	n, err := strconv.Atoi(what)
	switch {
	case len(all) == 0:
		c.say("They are not known yet.")
	case err == nil && n >= 1 && n <= len(all):
		c.setting, c.asks = all[n-1], value
		c.sayf("%s: %s It takes %s. It is %s now. Type another value, %s for none; an empty line goes back:",
			c.setting.Name, c.setting.Help, c.setting.Takes, c.shown(c.setting), none)
	case what == "w" && file == "":
		c.say(why)
	case what == "w" && len(changes) > 0:
		for _, ch := range changes {
			c.say("  " + menu.Clean(ch.String(), c.o.Charset))
		}
		c.sayf("Write that to %s? The other lines of the file stay. y or n:", file)
		c.asks = write
	default:
		for i, s := range all {
			c.sayf("%4d  %s = %s (%s)", i+1, s.Name, c.shown(s), menu.Clean(s.Source, c.o.Charset))
		}
		c.sayf("o NUMBER changes one, o w writes what was changed to %s.", cmp.Or(file, "a file"))
		c.prompt()
	}
}

// shown returns the value of a setting as it can be typed.
func (c *Console) shown(s menu.Setting) string {
	return cmp.Or(menu.Clean(s.Value, c.o.Charset), none)
}

func (c *Console) back() {
	c.say("Nothing was done.")
	c.touch()
	c.prompt()
}

// touch stops the countdown, as every key does.
func (c *Console) touch() { c.server.Post(menu.KeyMsg{Key: menu.KeyOther, Console: c.name}) }

func (c *Console) power(text string) {
	switch {
	case text == "r":
		c.ask(menu.Reboot{})
	case text == "o":
		c.ask(menu.PowerOff{})
	case text == "f" && c.report.Firmware:
		c.ask(menu.FirmwareSetup{})
	case text == "a" && c.report.Relaunch:
		c.ask(menu.Relaunch{})
	default:
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(c.report.Others) {
			c.ask(menu.StartOther{Other: c.report.Others[n-1]})
			return
		}
		c.back()
	}
}

// command does what a line asks for that answers no question.
func (c *Console) command(text string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		if id := c.report.Default; id != "" {
			for _, r := range c.rows {
				if r.ID == id {
					c.choose(r, c.number(id), false)
					return
				}
			}
		}
		c.touch()
		c.say("There is no default: type a number.")
		return
	}
	argument := ""
	if len(words) > 1 {
		argument = words[1]
	}
	switch words[0] {
	case "0":
		c.touch()
		c.list()
	case "?", "h", "help":
		c.touch()
		c.say(help)
		c.prompt()
	case "r":
		c.ask(menu.Rescan{})
	case "s":
		c.ask(menu.Shell{Console: c.name})
	case "c":
		c.ask(menu.Cancel{})
	case "l":
		c.touch()
		c.text(func(m menu.Model, w int) []string { return m.Log(w, c.o.Charset) })
	case "m":
		c.askFor(menu.System{}, func(m menu.Model, w int) []string { return m.Machine(w, c.o.Charset) })
	case "p":
		c.touch()
		more := ""
		if c.report.Firmware {
			more += ", f firmware setup"
		}
		if c.report.Relaunch {
			more += ", a restart alpboot"
		}
		for i, o := range c.report.Others {
			more += fmt.Sprintf(", %d %s", i+1, o.Title)
		}
		c.sayf("r restart, o power off%s; anything else goes back:", more)
		c.asks = power
	case "o":
		c.settings(argument)
	case "e", "i", "t", "d":
		r, n, ok := c.row(argument)
		if !ok {
			c.touch()
			c.sayf("There is no number %q in the list.", argument)
			return
		}
		c.withRow(words[0], r, n, len(words) > 2 && words[2] == "once")
	default:
		r, n, ok := c.row(words[0])
		if !ok || len(words) > 1 {
			c.touch()
			c.sayf("%q is neither a number of the list nor a command. ? and Enter helps.", text)
			return
		}
		c.choose(r, n, false)
	}
}

// askFor asks for what a text needs, and has it written when that is there.
func (c *Console) askFor(a menu.Action, text func(menu.Model, int) []string) {
	const most = 2 * time.Second
	c.awaited = &answer{text, c.report.Answers, time.Now().Add(most)}
	c.ask(a)
}

// text writes something that is longer.
func (c *Console) text(f func(menu.Model, int) []string) {
	if c.model == nil {
		return
	}
	for _, s := range f(*c.model, c.o.Columns-1) {
		c.say(s)
	}
	c.prompt()
}

// withRow is for the commands that take the number of a row.
func (c *Console) withRow(what string, r menu.Row, n int, once bool) {
	if what == "i" {
		details := func(m menu.Model, w int) []string { return m.Details(r.ID, w, c.o.Charset) }
		if r.Locked == "" {
			c.askFor(menu.Inspect{Entry: r.Entry}, details)
		} else {
			c.touch()
			c.text(details)
		}
		return
	}
	if r.Locked != "" {
		c.touch()
		c.sayf("%d is not an entry.", n)
		return
	}
	switch what {
	case "t":
		c.choose(r, n, true)
	case "e":
		c.touch()
		if c.report.Locked != "" {
			c.say(c.report.Locked)
			return
		}
		c.subject, c.asks = r, cmdline
		c.say("Type the whole command line, or + and what is to be added to it; an empty line goes back. It is now:")
		c.say(menu.Clean(r.Entry.Cmdline, c.o.Charset)) // in one line: what it has for line ends is text
	case "d":
		switch places := c.report.Places; {
		case c.report.Memory != "":
		case len(places) == 0:
			c.touch()
			c.say("There is no place to remember a default.")
			return
		default:
			c.touch()
			c.subject, c.once, c.place, c.asks = r, once, places[0], memory
			c.sayf("A default is remembered nowhere yet. Two small files for it can be made, /%s.0 and .1 on %s. Make them? y or n:", menu.Clean(c.place.Path, c.o.Charset), menu.Clean(c.place.Device, c.o.Charset))
			return
		}
		c.ask(menu.SetDefault{ID: r.ID, Once: once})
	}
}

// choose boots an entry, or asks for the passphrase of a volume.
func (c *Console) choose(r menu.Row, n int, anyway bool) {
	switch {
	case r.Locked != "":
		c.touch()
		c.subject, c.asks = r, handOn
		c.sayf("Pass the passphrase of %s on to the system that is booted, so that it does not ask again? y or n:", r.Volume)
	case r.Entry.Problem != "" && !anyway:
		c.touch()
		c.sayf("%s Type t %d to try it anyway, i %d for all that is known about it.", menu.Clean(r.Entry.Problem, c.o.Charset), n, n)
	default:
		c.ask(menu.Boot{Entry: r.Entry})
	}
}

// help is what ? shows.
const help = `NUMBER    boot that entry, or unlock that volume
Enter     boot the default
0         the list again
e NUMBER  edit its command line for this boot
i NUMBER  all that is known about it
t NUMBER  try one that cannot be booted
d NUMBER  make it the default; d NUMBER once for the next boot only
c         stop loading
l         notes and log
m         what is known about this machine
o         settings; o NUMBER changes one, o w writes what was changed
r         scan all disks again
s         open a shell; leaving it comes back here
p         restart or power off
?         this help`
