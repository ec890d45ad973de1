package line

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

// dialog is what was told so far, and what the next line answers.
type dialog struct {
	now     menu.Report
	numbers map[string]int    // of rows, by ID
	rows    []menu.Row        // that were told
	told    map[string]string // their texts, by ID
	listed  bool              // the list was told
	counted string            // ID that a countdown was told for; "" for none
	looking bool
	hidden  bool // that the menu is hidden was told
	notices int

	later *telling // what was asked for and has not been answered

	asks    question
	subject menu.Row // what the question is about
	handOn  bool
}

// telling is a longer text that is told when an answer has come.
type telling struct {
	text    func(m menu.Model, columns int) []string
	answers int       // that had come before
	end     time.Time // when it is told without the answer
}

// question is what the next line is the answer to.
type question uint8

const (
	command question = iota
	handOn
	passphrase
	cmdline
	power
)

func (d *dialog) start() { d.numbers, d.told = map[string]int{}, map[string]string{} }

// show tells what has changed.
func (c *Console) show() {
	m, again := c.server.Take()
	if m == nil || c.paused {
		return
	}
	c.model = m
	before := c.now
	c.now = m.Report(c.o.Charset)
	if c.now.Hidden {
		if !c.hidden {
			c.hidden = true
			c.say(wordHidden)
		}
		c.tellStatus(before)
		return
	}
	if !c.looking {
		c.looking = true
		c.say(wordLooking)
	}
	for _, s := range c.now.Notices[min(c.notices, len(c.now.Notices)):] {
		c.say(fmt.Sprintf(wordWarning, s))
	}
	c.notices = len(c.now.Notices)
	if s := c.now.Message; s != "" && c.now.Messages != before.Messages {
		c.say(s)
	}
	c.tellStatus(before)
	switch {
	case again || !c.listed && c.now.Settled:
		c.list()
	case c.listed && c.now.Settled: // rows that are looked at again go, and come back
		c.changes()
	}
	if c.listed && before.Booting != "" && c.now.Booting == "" {
		c.prompt()
	}
	if !c.now.Counting {
		c.counted = ""
	} else if c.counted != c.now.Default && c.told[c.now.Default] != "" {
		c.counted = c.now.Default
		c.say(fmt.Sprintf(wordCountdown, c.number(c.now.Default), c.told[c.now.Default], c.now.Left))
	}
	if l := c.later; l != nil && (l.answers != c.now.Answers || time.Now().After(l.end)) {
		c.later = nil
		c.text(l.text)
	}
}

func (c *Console) tellStatus(before menu.Report) {
	if s := c.now.Status; s != "" && s != before.Status {
		c.say(s)
	}
}

// list tells all rows, and what can be typed.
func (c *Console) list() {
	c.listed = true
	c.rows = c.now.Rows
	clear(c.told)
	if len(c.rows) == 0 {
		for _, s := range c.now.Empty {
			c.say(s)
		}
	} else {
		c.say(wordListed)
	}
	on := ""
	for _, r := range c.rows {
		if r.Locked == "" && r.Volume != on {
			on = r.Volume
			c.say(fmt.Sprintf(wordOn, on))
		}
		c.told[r.ID] = r.Text
		c.say(fmt.Sprintf(wordRow, c.number(r.ID), r.Text))
	}
	c.prompt()
}

// prompt tells what can be typed. It is a line of its own: what comes next may
// be something else.
func (c *Console) prompt() {
	if c.now.Default != "" && c.now.Booting == "" {
		c.say(fmt.Sprintf(wordEnterIs, c.number(c.now.Default)))
		return
	}
	c.say(wordChoose)
}

// changes tells which rows have come, gone or changed.
func (c *Console) changes() {
	there := map[string]bool{}
	c.rows = c.now.Rows
	for _, r := range c.rows {
		there[r.ID] = true
		old, known := c.told[r.ID]
		switch {
		case !known:
			c.say(fmt.Sprintf(wordNew, c.number(r.ID), r.Text))
		case old != r.Text:
			c.say(fmt.Sprintf(wordNow, c.number(r.ID), r.Text))
		}
		c.told[r.ID] = r.Text
	}
	for _, id := range slices.SortedFunc(maps.Keys(c.told), func(a, b string) int { return c.number(a) - c.number(b) }) {
		if !there[id] {
			c.say(fmt.Sprintf(wordGone, c.number(id), c.told[id]))
			delete(c.told, id)
		}
	}
}

func (c *Console) ask(a menu.Action) { c.server.Post(menu.RequestMsg{Action: a}) }

// typed takes a line; b is nil when it was too long.
func (c *Console) typed(b []byte) {
	if c.paused {
		clear(b)
		return
	}
	if b == nil {
		c.say(wordLong)
		b = []byte{}
		if c.asks == command {
			b = []byte("?")
		}
	}
	if c.now.Hidden {
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
	text := strings.TrimSpace(string(b))
	switch asks {
	case handOn:
		switch strings.ToLower(text) {
		case "y", "yes", "n", "no":
			c.touch()
			c.handOn = text[0]|0x20 == 'y'
			c.asks = passphrase
			c.o.Echo(false)
			c.say(fmt.Sprintf(wordAsk, c.subject.Volume))
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
	default:
		c.command(text)
	}
}

func (c *Console) back() {
	c.say(wordBack)
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
	case text == "f" && c.now.Firmware:
		c.ask(menu.FirmwareSetup{})
	case text == "a" && c.now.Relaunch:
		c.ask(menu.Relaunch{})
	default:
		c.back()
	}
}

// command does what a line asks for that answers no question.
func (c *Console) command(text string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		if id := c.now.Default; id != "" {
			for _, r := range c.rows {
				if r.ID == id {
					c.choose(r, c.number(id), false)
					return
				}
			}
		}
		c.touch()
		c.say(wordNoDefault)
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
		for _, s := range help {
			c.say(s)
		}
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
		if c.now.Firmware {
			more += wordFirmware
		}
		if c.now.Relaunch {
			more += wordAgain
		}
		c.say(fmt.Sprintf(wordPower, more))
		c.asks = power
	case "e", "i", "t", "d":
		r, n, ok := c.row(argument)
		if !ok {
			c.touch()
			c.say(fmt.Sprintf(wordNoSuch, argument))
			return
		}
		c.withRow(words[0], r, n, len(words) > 2 && words[2] == "once")
	default:
		r, n, ok := c.row(words[0])
		if !ok || len(words) > 1 {
			c.touch()
			c.say(fmt.Sprintf(wordNoNumber, text))
			return
		}
		c.choose(r, n, false)
	}
}

// askFor asks for what a text tells, and has it told when that is there.
func (c *Console) askFor(a menu.Action, text func(menu.Model, int) []string) {
	const most = 2 * time.Second
	c.later = &telling{text, c.now.Answers, time.Now().Add(most)}
	c.ask(a)
}

// text tells something that is longer.
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
		c.say(fmt.Sprintf(wordNotEntry, n))
		return
	}
	switch what {
	case "t":
		c.choose(r, n, true)
	case "e":
		c.touch()
		c.subject, c.asks = r, cmdline
		c.say(wordEdit)
		c.say(r.Entry.Cmdline)
	case "d":
		if c.now.Memory == "" {
			c.touch()
			c.say(wordNoMemory)
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
		c.say(fmt.Sprintf(wordHandOn, r.Volume))
	case r.Entry.Problem != "" && !anyway:
		c.touch()
		c.say(fmt.Sprintf(wordBad, menu.Clean(r.Entry.Problem, c.o.Charset), n, n))
	default:
		c.ask(menu.Boot{Entry: r.Entry})
	}
}
