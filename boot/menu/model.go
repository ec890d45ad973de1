package menu

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// Model is the state of the menu. It is a value: Update returns the next one
// and never changes what an older one shows, so that consoles may paint one
// while the next is being made.
type Model struct {
	config Config

	// What is known of the machine.
	inventory boot.Inventory
	defaultID string
	lastID    string                  // of the entry that was booted last time
	memory    string                  // where a default is remembered
	places    []MemoryPlace           // where it could be
	choice    []string                // notes of the last InventoryMsg
	added     map[string]string       // what an unattended start adds to command lines, by ID
	exhausted *Exhausted              // what is done when nothing is left to start
	notices   []string                // warnings about the machine
	wait      string                  // why nothing is booted unattended
	failed    map[string]string       // reasons by ID; never changed in place
	passed    map[string]string       // the same, of what InventoryMsg has as passed over
	busySince map[string]time.Time    // when a device was first seen not to have answered; never changed in place
	facts     map[string]InspectedMsg // what is known of the files of entries, by ID; never changed in place
	log       []LogLine
	system    []string
	answers   int // how many InspectedMsg and SystemMsg have come

	// The pages: the list, and what was opened above it, of which the last one
	// is shown. Never changed in place.
	list  list
	pages []page

	// What outlives its page.
	draft   form     // left by Esc, for the next time that its entry is edited
	seq     int      // of the last completion
	level   int      // of the log: place in levels
	prompt  prompt   // what is being unlocked
	gate    gate     // what passwords have opened
	by      string   // device of the console that was used last
	changes []Change // of settings, not written yet; never changed in place
	handOn  bool     // what the user wants with a passphrase, kept from prompt to prompt

	awaited  string // device that was unlocked just now: its first entry is selected when it comes
	typed    bool   // a key was typed: the selection follows the default no more
	hidden   bool   // nothing is shown until a key
	shells   int    // how many are open: the countdown waits for their end
	status   string // of the last StatusMsg
	message  message
	messages int // how many there have been

	booting   booting
	countdown countdown
}

// message is what came of the last key or attempt. It is gone with the next key.
type message struct {
	text  string
	short string // where there is no room for text; "" to cut text
	bad   bool
	brief bool // it is gone with the next inventory, too
}

func (m Model) show(msg message) Model {
	m.message = msg
	m.messages++
	return m
}

func (m Model) say(format string, a ...any) Model {
	return m.show(message{text: fmt.Sprintf(format, a...)})
}

func (m Model) warn(format string, a ...any) Model {
	return m.show(message{text: fmt.Sprintf(format, a...), bad: true})
}

// page is the one that is shown.
func (m Model) page() page {
	if n := len(m.pages); n > 0 {
		return m.pages[n-1]
	}
	return m.list
}

// open shows p above the page that is shown now.
func (m Model) open(p page) Model {
	m.pages = append(slices.Clip(m.pages), p)
	return m
}

// set replaces the page that is shown, which is not the list.
func (m Model) set(p page) Model { return m.back().open(p) }

// back shows the page below again.
func (m Model) back() Model {
	m.pages = m.pages[:max(0, len(m.pages)-1)]
	return m
}

// New returns the menu as it is before anything is known.
func New(c Config) Model { return Model{config: c, hidden: c.Hidden, handOn: c.HandOn} }

// Update returns the model after msg, and what shall be done outside because of
// it, nil for nothing.
func (m Model) Update(msg Msg) (Model, Action) {
	if m.hidden {
		switch msg.(type) {
		case KeyMsg, TapMsg, PasteMsg:
			m.hidden = false
			return m.touch(), nil
		}
	}
	m, action := m.update(msg)
	if m.hidden && m.inventory.Settled && m.booting.id == "" && (!m.countdown.on || m.countdown.id == nothingLeft) {
		m.hidden = false // nothing will be booted by itself
	}
	return m, action
}

func (m Model) update(msg Msg) (Model, Action) {
	switch msg := msg.(type) {
	case KeyMsg:
		return m.key(msg)
	case TapMsg:
		return m.tap(msg)
	case PasteMsg:
		m = m.touch()
		if w, ok := m.page().(writer); ok {
			return w.write(m, msg.Text, true), nil
		}
	case TickMsg:
		if m.shells > 0 {
			m.countdown.key() // somebody is at work
		}
		m.booting.tick(msg.Now)
		m.countdown.tick(msg.Now, m.config.Rearm)
		return m.tickGate(msg.Now).count()
	case ConfigMsg:
		m.config = msg.Config
		return m.count()
	case InventoryMsg:
		return m.setInventory(msg).count()
	case FailedMsg:
		return m.fail(msg), nil
	case StatusMsg:
		m.status = msg.Text
	case NoticeMsg:
		if !slices.Contains(m.notices, msg.Text) {
			m.notices = append(slices.Clip(m.notices), msg.Text)
		}
	case ResultMsg:
		return m.show(message{text: msg.Text, bad: msg.Bad}), nil
	case SettingsSavedMsg:
		return m.settingsSaved(msg), nil
	case ProgressMsg:
		if msg.ID == m.booting.id {
			m.booting.progress = msg
		}
	case CancelledMsg:
		return m.cancelled(), nil
	case UnlockedMsg:
		return m.unlocked(msg), nil
	case PasswordMsg:
		return m.checked(msg)
	case CompletionMsg:
		if f, ok := m.page().(form); ok {
			return f.completed(m, msg), nil
		}
	case LogMsg:
		m = m.addLog(msg.Lines)
	case SystemMsg:
		m.system = msg.Lines
		m.answers++
	case InspectedMsg:
		m.facts = with(m.facts, msg.ID, msg)
		m.answers++
	case RequestMsg:
		m.by = msg.Console
		return m.request(msg.Action)
	case ChangeMsg:
		return m.touch().change(msg.Change), nil
	case ShellDoneMsg:
		m.countdown.key()
		m.shells = max(0, m.shells-1)
		if msg.Error != "" {
			return m.warn("The shell ended: %s", msg.Error), nil
		}
		return m.say("Back from the shell."), nil
	}
	return m, nil
}

// with returns a copy of a map with one more value.
func with[V any](old map[string]V, key string, value V) map[string]V {
	next := maps.Clone(old)
	if next == nil {
		next = map[string]V{}
	}
	next[key] = value
	return next
}

// touch is what every key does, whatever else it means.
func (m Model) touch() Model {
	m.countdown.key()
	m.gate.unused = time.Time{}
	if !m.typed {
		items := m.items()
		m = m.selectAt(items, m.selection(items))
		m.typed = true
	}
	m.message, m.awaited = message{}, ""
	return m
}

func redraw(m Model, _ KeyMsg) (Model, Action) { return m, Redraw{} }

func (m Model) key(k KeyMsg) (Model, Action) {
	k.Size, m.by = m.frame(k.Size), k.Console
	m, action := m.touch().press(k)
	m.list.moved = false
	return m, action
}

func (m Model) press(k KeyMsg) (Model, Action) {
	if k.is("Ctrl-L") {
		return redraw(m, k)
	}
	p := m.page()
	if do := find(p.keys(m), k); do != nil {
		return do(m, k)
	}
	if w, ok := p.(writer); ok && k.Key == KeyRune && k.Mod == 0 && utf8.ValidRune(k.Rune) && !unicode.IsControl(k.Rune) {
		return w.write(m, string(k.Rune), false), nil
	}
	return m, nil
}

// request does what a does when a key asks for it.
func (m Model) request(a Action) (Model, Action) {
	m = m.touch()
	m.list.moved, m.hidden = false, false
	switch a := a.(type) {
	case Boot:
		return m.boot(a.Entry, a.Edited, false)
	case Cancel:
		return m.cancel()
	case Password:
		p, ok := m.page().(password)
		switch {
		case len(a.Typed) == 0:
			return m.leavePrompt(), nil
		case !ok || m.gate.busy:
			clear(a.Typed)
			return m.warn("No password is asked for now."), nil
		}
		a.Secrets, m.gate.busy, m.gate.key = p.secrets, true, p.key
		return m.say(textChecking), a
	case Reboot, PowerOff, FirmwareSetup, StartOther, Relaunch, Enrol:
		return m.behind(AskPower, aboutPower, nil, func(m Model) (Model, Action) { return m, a })
	case SetDefault:
		return m.behind(AskSettings, aboutDefault, nil, func(m Model) (Model, Action) { return m, a })
	case SaveSettings:
		return m.behind(AskSettings, aboutSettings, nil, func(m Model) (Model, Action) { return m, a })
	case Unlock:
		if slices.Contains(m.config.Asks, AskUnlock) && !m.gate.owner {
			clear(a.Passphrase)
			about := fmt.Sprintf("unlocking %s", strings.TrimPrefix(a.Device, "/dev/"))
			return m.behind(AskUnlock, about, nil, func(m Model) (Model, Action) { return m.say("Type its number again."), nil })
		}
		if m.prompt.busy {
			clear(a.Passphrase)
			return m.warnUnlocking(), nil
		}
		m = m.leavePrompt()
		if m.prompt.volume.Device != a.Device || m.prompt.wrong >= maxTries {
			m.prompt = prompt{volume: boot.Volume{Device: a.Device}}
		}
		m.prompt.busy = true
		return m.say(textUnlocking, device(m.prompt.volume)), a
	case Rescan:
		return m.rescan(KeyMsg{})
	case Shell:
		return m.askShell(a)
	}
	return m, a
}

// boot asks for e to be booted, if that makes sense.
func (m Model) boot(e boot.Entry, edited, unattended bool) (Model, Action) {
	limit := m.config.CmdlineLimit
	switch {
	case m.booting.id != "":
		return m.warn("Another entry is being booted already."), nil
	case e.Kernel == "":
		return m.warn("%s cannot be booted: it has no kernel.", title(e)), nil
	case edited && m.config.Locked != "":
		return m.warn("%s", m.config.Locked), nil
	case edited && limit > 0 && len(e.Cmdline) > limit:
		return m.warn("The command line has %d bytes, but the kernel takes only %d. Shorten it.", len(e.Cmdline), limit), nil
	}
	if !unattended {
		what, about := "", fmt.Sprintf("starting %s", title(e))
		switch {
		case edited:
			what = AskEdit
		case e.ID != m.defaultID:
			what = AskOther
		}
		return m.behind(what, about, &e, func(m Model) (Model, Action) { return m.start(e, edited, false) })
	}
	return m.start(e, edited, true)
}

// start asks for e to be booted.
func (m Model) start(e boot.Entry, edited, unattended bool) (Model, Action) {
	m = m.leavePrompt()
	m.pages, m.status = nil, ""
	m.booting = booting{id: e.ID, title: title(e)}
	m.countdown.stop()
	return m, Boot{Entry: e, Edited: edited, Unattended: unattended}
}

// fail marks the entry that did not boot.
func (m Model) fail(msg FailedMsg) Model {
	m.failed = with(m.failed, msg.ID, msg.Reason)
	m = m.idle()
	m.defaultID, m.hidden = "", false
	m.countdown.stop()
	e, ok := m.entry(msg.ID)
	if !ok {
		return m.show(message{text: msg.Reason, bad: true})
	}
	if !m.typed {
		m.list.wanted = msg.ID
	}
	return m.reveal(m.list.wanted, true).show(message{
		text:  fmt.Sprintf("%s did not boot: %s", title(e), msg.Reason),
		short: fmt.Sprintf("%s did not boot. i shows why.", title(e)),
		bad:   true,
	})
}

// nothingLeft is the ID that is counted down for when nothing is left to start.
const nothingLeft = "\x00"

// count starts, stops or ends the countdown as the model now is.
func (m Model) count() (Model, Action) {
	id, length := nothingLeft, time.Duration(0)
	e, ok := m.unattended()
	if ok {
		id = e.ID
		length, ok = m.timeout(e)
	} else if x := m.exhausted; x != nil && m.booting.id == "" {
		length, ok = x.In, true
	}
	switch {
	case !ok:
		m.countdown.stop()
		return m, nil
	case !m.countdown.run(id, length, m.config.FallbackTimeout, m.inventory.Settled):
		return m, nil
	case id == nothingLeft:
		m.countdown.stop()
		return m, NothingLeft{}
	}
	return m.boot(e, false, true)
}

// unattended returns the entry that is booted when nobody types.
func (m Model) unattended() (boot.Entry, bool) {
	e, ok := m.entry(m.defaultID)
	if !ok || m.booting.id != "" || e.Problem != "" || e.Kernel == "" || e.AsksUnattended() {
		return e, false
	}
	_, failed := m.failed[e.ID]
	return e, !failed
}

// timeout is how long to wait before e is booted unattended; false for never.
func (m Model) timeout(e boot.Entry) (time.Duration, bool) {
	d := m.config.FallbackTimeout
	switch {
	case m.config.Timeout != nil:
		d = *m.config.Timeout
	case e.Timeout != nil:
		if d = *e.Timeout; d >= 0 {
			d = max(d, m.config.LeastTimeout)
		}
	}
	return d, d >= 0
}
