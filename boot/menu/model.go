package menu

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Model is the state of the menu. It is a value: Update gives a new one and
// never changes what an older one shows, so that consoles may paint one while
// the next is being made.
type Model struct {
	config Config

	inventory boot.Inventory
	defaultID string
	choice    []string          // notes of the last InventoryMsg
	notices   []string          // warnings about the machine
	failed    map[string]string // reasons by ID; never changed in place

	// wanted is the ID of the selected entry. It is kept while the entry is not
	// there or is filtered out; meanwhile the entry at index stands in for it.
	wanted  string
	index   int
	keys    int  // that were typed
	touched bool // a key was typed: the selection follows the default no more

	// open are the folds of the list by ID, those that were opened or closed so
	// far; never changed in place.
	open map[string]bool

	// busySince is when a device was first seen not to have answered; never
	// changed in place.
	busySince map[string]time.Time

	lastID string // of the entry that was booted last time

	at     screen
	top    int    // first line that a text screen shows
	filter string // words that an entry must contain to be shown
	form   form
	draft  form   // left by Esc, for the next time that its entry is edited
	seq    int    // of the last completion
	picked int    // place in a list to pick from
	here   string // device of the console that asked for it

	memory  string                  // where a default is remembered
	facts   map[string]InspectedMsg // what is known of the files of entries, by ID; never changed in place
	log     []LogLine
	level   int // place in levels
	search  string
	system  []string
	answers int // how many InspectedMsg and SystemMsg have come

	prompt prompt
	handOn bool   // what the user wants with a passphrase, kept from prompt to prompt
	opened string // device that was unlocked just now: its first entry is selected when it comes

	hidden  bool // nothing is shown until a key
	loading loading
	shells  int    // how many are open: the countdown waits for their end
	booting string // ID of the entry that is being booted; "" when none is
	status  string // what is going on
	message message
	moved   bool // the selected entry went away by itself: ask before booting another

	countdown countdown
}

// message is what came of the last key or attempt. It is gone with the next key.
type message struct {
	text  string
	short string // where there is no room for text; "" to cut text
	bad   bool
}

func tell(format string, a ...any) message { return message{text: fmt.Sprintf(format, a...)} }
func warn(format string, a ...any) message {
	return message{text: fmt.Sprintf(format, a...), bad: true}
}

// screen is which of the screens the model is at.
type screen uint8

const (
	listScreen screen = iota
	filterScreen
	detailsScreen
	reasonScreen
	logScreen
	helpScreen
	powerScreen
	editScreen
	unlockScreen
	addScreen
	searchScreen
	saveScreen
	systemScreen
	defaultScreen
	keymapScreen
)

// New gives the menu as it is before anything is known.
func New(c Config) Model { return Model{config: c, hidden: c.Hidden, handOn: c.HandOn} }

// Update gives the model after msg, and what shall be done outside because of
// it, nil for nothing.
func (m Model) Update(msg Msg) (Model, Action) {
	if m.hidden {
		switch msg.(type) {
		case KeyMsg, PasteMsg:
			m.hidden = false
			return m.touch(), nil
		}
	}
	m, action := m.update(msg)
	if m.hidden && m.inventory.Settled && m.booting == "" && !m.countdown.on {
		m.hidden = false // nothing will happen by itself
	}
	return m, action
}

func (m Model) update(msg Msg) (Model, Action) {
	switch msg := msg.(type) {
	case KeyMsg:
		return m.key(msg)
	case PasteMsg:
		return m.paste(msg.Text), nil
	case TickMsg:
		if m.shells > 0 {
			m.countdown.key() // somebody is at work
		}
		if m.booting != "" {
			m.loading.tick(msg.Now)
		}
		m.countdown.tick(msg.Now, m.config.Rearm)
		return m.count()
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
		m.message = message{text: msg.Text, bad: msg.Bad}
	case ProgressMsg:
		if msg.ID == m.booting {
			m.loading.progress = msg
		}
	case CancelledMsg:
		return m.cancelled(), nil
	case UnlockedMsg:
		return m.unlocked(msg), nil
	case CompletionMsg:
		if m.at == editScreen {
			m.form, m.message = m.form.completed(msg)
		}
	case LogMsg:
		m = m.addLog(msg.Lines)
	case SystemMsg:
		m.system = msg.Lines
		m.answers++
	case InspectedMsg:
		m.facts = maps.Clone(m.facts)
		if m.facts == nil {
			m.facts = map[string]InspectedMsg{}
		}
		m.facts[msg.ID] = msg
		m.answers++
	case RequestMsg:
		return m.request(msg.Action)
	case ShellDoneMsg:
		m.countdown.key()
		m.shells = max(0, m.shells-1)
		m.message = tell(wordShell)
		if msg.Error != "" {
			m.message = warn(wordShellFailed, msg.Error)
		}
	}
	return m, nil
}

// request does what a does when a key asks for it.
func (m Model) request(a Action) (Model, Action) {
	m = m.touch()
	m.moved, m.hidden = false, false
	switch a := a.(type) {
	case Boot:
		return m.boot(a.Entry, a.Edited, false)
	case Cancel:
		return m.cancel()
	case Unlock:
		if m.prompt.busy {
			clear(a.Passphrase)
			m.message = warn(wordBusyOpening, device(m.prompt.volume))
			return m, nil
		}
		m = m.leavePrompt()
		if m.prompt.volume.Device != a.Device || m.prompt.wrong >= maxTries {
			m.prompt = prompt{volume: boot.Volume{Device: a.Device}}
		}
		m.prompt.busy = true
		m.message = tell(wordOpening, device(m.prompt.volume))
	case Rescan:
		m.message = tell(wordRescan)
	case Shell:
		m.shells++
	}
	return m, a
}

func (m Model) setInventory(msg InventoryMsg) Model {
	before, had := m.selectedItem()
	known := m.inventory.Entries
	m.inventory = msg.Inventory
	if had && m.touched {
		m = m.keep(before)
	}
	m.busySince = m.waiting()
	m.choice = msg.Notes
	m.defaultID, m.lastID, m.memory = msg.Default, msg.Last, msg.Memory
	m = m.reveal(m.defaultID, false).reveal(m.wanted, true)
	if m.message.text == wordRescan {
		m.message = message{}
	}
	if !m.touched {
		if e, ok := m.entry(m.defaultID); ok {
			m.wanted = e.ID
		}
		return m
	}
	if m.at == unlockScreen && !m.prompt.busy && !m.isLocked(m.prompt.volume) {
		m = m.leavePrompt()
	}
	if m.opened != "" && !m.isLocked(boot.Volume{Device: m.opened}) {
		if e, ok := m.newcomer(known); ok {
			m = m.reveal(e.ID, true)
			m.wanted, m.moved = e.ID, true
			m.message = tell(wordOpenedShows, strings.TrimPrefix(m.opened, "/dev/"), title(e))
			m.opened = ""
			return m
		}
		if had && before.locked && before.volume.Device == m.opened {
			m.moved = true
			return m // its entries are still to come
		}
	}
	after, ok := m.selectedItem()
	if had && ok && before.id == m.wanted && after.id != m.wanted {
		m.moved = true
		m.message = warn(wordGone, before.name(), after.name())
	}
	return m
}

// keep leaves the selected entry in the list, as one that cannot be booted,
// when it has gone: the user sees that its disk was pulled out, and the cursor
// does not slip to another one. It goes once the cursor has left it.
func (m Model) keep(selected item) Model {
	if selected.entry == nil || selected.id != m.wanted || m.entryIndex(selected.id) >= 0 {
		return m
	}
	gone := *selected.entry
	gone.Problem = fmt.Sprintf(wordUnplugged, device(gone.Volume))
	gone.Default = false
	at := min(selected.number-1, len(m.inventory.Entries))
	m.inventory.Entries = slices.Insert(slices.Clone(m.inventory.Entries), at, gone)
	return m
}

// isLocked tells whether a passphrase opens v.
func (m Model) isLocked(v boot.Volume) bool {
	return slices.ContainsFunc(m.inventory.Volumes, func(s boot.VolumeStatus) bool { return s.Locked && s.Volume.Device == v.Device })
}

// newcomer gives the first entry that can be booted and is not among known.
func (m Model) newcomer(known []boot.Entry) (boot.Entry, bool) {
	ids := map[string]bool{}
	for _, e := range known {
		ids[e.ID] = true
	}
	for _, e := range m.inventory.Entries {
		if !ids[e.ID] && e.Problem == "" {
			return e, true
		}
	}
	return boot.Entry{}, false
}

// waiting gives since when each busy device has been so.
func (m Model) waiting() map[string]time.Time {
	since := map[string]time.Time{}
	for _, v := range m.inventory.Volumes {
		if !v.Busy || m.countdown.now.IsZero() {
			continue
		}
		since[v.Volume.Device] = m.countdown.now
		if t, ok := m.busySince[v.Volume.Device]; ok {
			since[v.Volume.Device] = t
		}
	}
	return since
}

func (m Model) fail(msg FailedMsg) Model {
	m.failed = maps.Clone(m.failed)
	if m.failed == nil {
		m.failed = map[string]string{}
	}
	m.failed[msg.ID] = msg.Reason
	m = m.idle()
	m.defaultID, m.hidden = "", false
	m.countdown.stop()
	if e, ok := m.entry(msg.ID); ok {
		if !m.touched {
			m.wanted = msg.ID
		}
		m = m.reveal(m.wanted, true)
		m.message = warn(wordBootFailed, title(e), msg.Reason)
		m.message.short = fmt.Sprintf(wordDidNot, title(e))
	} else {
		m.message = message{text: msg.Reason, bad: true}
	}
	return m
}

// entryIndex gives the place of the entry with that ID in the inventory, -1
// when there is none.
func (m Model) entryIndex(id string) int {
	if id == "" {
		return -1
	}
	return slices.IndexFunc(m.inventory.Entries, func(e boot.Entry) bool { return e.ID == id })
}

func (m Model) entry(id string) (boot.Entry, bool) {
	if i := m.entryIndex(id); i >= 0 {
		return m.inventory.Entries[i], true
	}
	return boot.Entry{}, false
}

// selection gives the place of the selected item among items, -1 when there
// are none.
func (m Model) selection(items []item) int {
	if m.wanted != "" {
		if i := slices.IndexFunc(items, func(it item) bool { return it.id == m.wanted }); i >= 0 {
			return i
		}
	}
	if !m.touched {
		// Without a default, the first that can be booted.
		if i := slices.IndexFunc(items, func(it item) bool { return it.entry != nil && it.entry.Problem == "" }); i >= 0 {
			return i
		}
	}
	return min(m.index, len(items)-1)
}

func (m Model) selectedItem() (item, bool) {
	items := m.items()
	if i := m.selection(items); i >= 0 {
		return items[i], true
	}
	return item{}, false
}

// selected gives the selected entry; false when something else is selected.
func (m Model) selected() (boot.Entry, bool) {
	if it, ok := m.selectedItem(); ok && it.entry != nil {
		return *it.entry, true
	}
	return boot.Entry{}, false
}

// selectAt selects the item at place i of items, or the nearest one.
func (m Model) selectAt(items []item, i int) Model {
	if len(items) == 0 {
		return m
	}
	m.index = min(max(i, 0), len(items)-1)
	m.wanted = items[m.index].id
	return m
}

func (m Model) paste(s string) Model {
	m = m.touch()
	switch m.at {
	case editScreen:
		m.form = m.form.with(m.form.line().paste(s))
	case filterScreen:
		m.filter = newEditor(m.filter).paste(s).text
	case searchScreen:
		m.search = newEditor(m.search).paste(s).text
	case unlockScreen:
		m = m.typeSecret(s)
	}
	return m
}

// touch is what every key does, whatever else it means.
func (m Model) touch() Model {
	m.countdown.key()
	m.keys++
	if !m.touched {
		items := m.items()
		m = m.selectAt(items, m.selection(items))
		m.touched = true
	}
	m.message, m.opened = message{}, ""
	return m
}

func (m Model) key(k KeyMsg) (Model, Action) {
	moved := m.moved
	m = m.touch()
	m.moved = false
	if k.is() == ctrl('l') {
		return m, Redraw{}
	}
	switch m.at {
	case listScreen:
		return m.listKey(k, moved)
	case filterScreen:
		return m.filterKey(k), nil
	case editScreen:
		return m.editKey(k)
	case addScreen:
		return m.addKey(k), nil
	case unlockScreen:
		return m.unlockKey(k)
	case searchScreen:
		return m.searchKey(k), nil
	case saveScreen:
		return m.saveKey(k)
	case keymapScreen:
		return m.keymapKey(k)
	case powerScreen:
		return m.powerKey(k)
	case defaultScreen:
		return m.defaultKey(k)
	}
	return m.textKey(k)
}

func (m Model) listKey(k KeyMsg, moved bool) (Model, Action) {
	items := m.items()
	i := m.selection(items)
	cmd := find(listKeys(), k)
	switch cmd {
	case cmdUp:
		return m.selectAt(items, i-1), nil
	case cmdDown:
		return m.selectAt(items, i+1), nil
	case cmdPgUp:
		return m.selectAt(items, i-page(k.Size)), nil
	case cmdPgDn:
		return m.selectAt(items, i+page(k.Size)), nil
	case cmdFirst:
		return m.selectAt(items, 0), nil
	case cmdLast:
		return m.selectAt(items, len(items)-1), nil
	case cmdJump:
		return m.jump(int(k.Rune - '0')), nil
	case cmdDetails:
		m.at, m.top = detailsScreen, 0
		if i >= 0 && items[i].entry != nil {
			return m, Inspect{Entry: *items[i].entry}
		}
	case cmdLog, cmdHelp:
		m.at = map[command]screen{cmdLog: logScreen, cmdHelp: helpScreen}[cmd]
		m.top, m.search = 0, ""
	case cmdSystem:
		m.at, m.top = systemScreen, 0
		return m, System{}
	case cmdDefault:
		switch {
		case i < 0 || items[i].entry == nil:
		case m.memory == "":
			m.message = warn(wordNoMemory)
		default:
			m.at = defaultScreen
		}
	case cmdKeymap:
		if len(m.config.Keymaps) == 0 {
			m.message = tell(wordNoKeymaps)
			break
		}
		m.at, m.picked, m.search = keymapScreen, 0, ""
	case cmdFilter:
		m.at = filterScreen
	case cmdPower:
		m.at = powerScreen
	case cmdRescan:
		m.message = tell(wordRescan)
		return m, Rescan{}
	case cmdShell:
		m.shells++
		return m, Shell{Console: k.Console}
	case cmdEdit:
		return m.edit(), nil
	case cmdOpen:
		if i >= 0 && items[i].fold {
			return m.setOpen(true, items[i].id), nil
		}
	case cmdClose, cmdBack:
		switch {
		case cmd == cmdBack && m.booting != "":
			return m.cancel()
		case cmd == cmdBack && m.filter != "":
			return m.unfilter(), nil
		}
		if i >= 0 {
			if id := m.around(items[i]); id != "" {
				m = m.setOpen(false, id)
				items = m.items()
				return m.selectAt(items, slices.IndexFunc(items, func(it item) bool { return it.id == id })), nil
			}
		}
	case cmdBoot:
		if i < 0 {
			return m, nil
		}
		if moved {
			m = m.selectAt(items, i) // seen and confirmed by the next key
			m.message = warn(wordGone, wordItemBefore, items[i].name())
			return m, nil
		}
		return m.enter(items[i])
	}
	return m, nil
}

// enter does what Enter does with an item.
func (m Model) enter(it item) (Model, Action) {
	switch {
	case it.fold:
		return m.setOpen(!it.open, it.id), nil
	case it.locked:
		return m.ask(it.volume), nil
	case it.entry.Problem != "":
		m.at, m.top = reasonScreen, 0
		return m, Inspect{Entry: *it.entry}
	}
	return m.boot(*it.entry, false, false)
}

// jump selects the entry with the given number, wherever it is.
func (m Model) jump(n int) Model {
	if n > len(m.inventory.Entries) {
		return m
	}
	id := m.inventory.Entries[n-1].ID
	m = m.reveal(id, true)
	items := m.items()
	if i := slices.IndexFunc(items, func(it item) bool { return it.id == id }); i >= 0 {
		return m.selectAt(items, i)
	}
	return m
}

// unfilter shows everything again, with what was selected before.
func (m Model) unfilter() Model {
	m.filter = ""
	return m.reveal(m.wanted, true)
}

// page is how many entries a key for a page goes on a console of size s.
func page(s Size) int { return max(1, s.H/2-2) }

func (m Model) filterKey(k KeyMsg) Model {
	items := m.items()
	i := m.selection(items)
	switch cmd := find(filterKeys(), k); cmd {
	case cmdBoot:
		m.at = listScreen
		if len(items) == 0 {
			return m.unfilter()
		}
		return m.selectAt(items, i)
	case cmdBack:
		m.at = listScreen
		return m.unfilter()
	case cmdUp:
		return m.selectAt(items, i-1)
	case cmdDown:
		return m.selectAt(items, i+1)
	default:
		if cmd == cmdBackspace && m.filter == "" {
			m.at = listScreen
		}
		m.filter = typeInto(m.filter, k)
	}
	if m.filter == "" {
		m = m.unfilter()
	}
	return m
}

const maxFilter = 200

// typeInto gives what is left of s, or added to it, by a key.
func typeInto(s string, k KeyMsg) string {
	e := newEditor(s)
	switch find(filterKeys(), k) {
	case cmdBackspace:
		return e.change(e.left(), e.pos, "").text
	case cmdKillWord:
		return e.change(e.parameterLeft(), e.pos, "").text
	case cmdKillStart:
		return ""
	}
	if k.Key == KeyRune && k.Mod == 0 && len(s) < maxFilter {
		return e.paste(string(k.Rune)).text
	}
	return s
}

// powerKey is for the screen that restarts the machine or switches it off.
func (m Model) powerKey(k KeyMsg) (Model, Action) {
	switch find(m.bindings(), k) {
	case cmdReboot:
		return m, Reboot{}
	case cmdPowerOff:
		return m, PowerOff{}
	case cmdFirmware:
		return m, FirmwareSetup{}
	case cmdAgain:
		return m, Relaunch{}
	case cmdBack:
		m.at = listScreen
	}
	return m, nil
}

// defaultKey is for the screen that makes the selected entry the default.
func (m Model) defaultKey(k KeyMsg) (Model, Action) {
	e, ok := m.selected()
	cmd := find(defaultKeys(), k)
	if cmd == cmdNone {
		return m, nil
	}
	m.at = listScreen
	switch {
	case cmd == cmdForget:
		m.message = tell(wordForgetting)
		return m, SetDefault{}
	case cmd != cmdBack && ok:
		m.message = tell(wordRemembering, title(e))
		return m, SetDefault{ID: e.ID, Once: cmd == cmdOnce}
	}
	return m, nil
}

// textKey is for the screens that only show text.
func (m Model) textKey(k KeyMsg) (Model, Action) {
	last := max(0, len(m.text(k.Size.W, ASCII))-max(1, bodyHeight(k.Size)))
	top := min(m.top, last)
	switch find(m.bindings(), k) {
	case cmdUp:
		top--
	case cmdDown:
		top++
	case cmdPgUp:
		top -= bodyHeight(k.Size)
	case cmdPgDn:
		top += bodyHeight(k.Size)
	case cmdFirst:
		top = 0
	case cmdLast:
		top = last
	case cmdEdit:
		return m.edit(), nil
	case cmdTry:
		if e, ok := m.selected(); ok {
			return m.boot(e, false, false)
		}
	case cmdSearch:
		m.at, m.search, top = searchScreen, "", 0
	case cmdLevel:
		m.level = (m.level + 1) % len(levels)
		m.message = tell(wordLevel, levelName(m.level))
		return m, nil // where it was, as far as that goes
	case cmdSave:
		if len(m.writable()) == 0 {
			m.message = warn(wordNoVolume)
			return m, nil
		}
		m.at, m.picked = saveScreen, 0
	case cmdBack:
		m.at, top, m.search = listScreen, 0, ""
	}
	m.top = max(0, min(top, last))
	if m.at == logScreen && last > 0 && m.top == last {
		m.top = follow
	}
	return m, nil
}

// bindings are the keys of the screen that the model is at.
func (m Model) bindings() []binding {
	switch m.at {
	case filterScreen:
		return filterKeys()
	case editScreen:
		return editorKeys()
	case powerScreen:
		return powerKeys(m.config)
	case defaultScreen:
		return defaultKeys()
	case searchScreen:
		return filterKeys()
	case saveScreen, keymapScreen:
		return pickKeys()
	case logScreen:
		return logKeys()
	case addScreen:
		return addKeys()
	case unlockScreen:
		return unlockKeys(m.prompt.busy)
	case detailsScreen:
		return detailsKeys()
	case reasonScreen:
		if e, ok := m.selected(); ok && e.Kernel != "" {
			return reasonKeys()
		}
		return detailsKeys()
	case systemScreen, helpScreen:
		return textKeys()
	}
	return listKeys()
}

// boot asks for e to be booted, if that makes sense.
func (m Model) boot(e boot.Entry, edited, unattended bool) (Model, Action) {
	switch {
	case m.booting != "":
		m.message = warn(wordBusyBooting)
		return m, nil
	case e.Kernel == "":
		m.message = warn(wordNoKernel, title(e))
		return m, nil
	}
	if limit := m.config.CmdlineLimit; edited && limit > 0 && len(e.Cmdline) > limit {
		m.message = warn(wordTooLong, len(e.Cmdline), limit)
		return m, nil
	}
	m = m.leavePrompt().idle()
	m.booting = e.ID
	m.status = fmt.Sprintf(wordBooting, title(e))
	m.countdown.stop()
	m.at, m.top = listScreen, 0
	return m, Boot{Entry: e, Edited: edited, Unattended: unattended}
}

// count starts, stops or ends the countdown as the model now is.
func (m Model) count() (Model, Action) {
	e, ok := m.unattended()
	if !ok {
		m.countdown.stop()
		return m, nil
	}
	length, ok := m.timeout(e)
	if !ok {
		m.countdown.stop()
		return m, nil
	}
	if !m.countdown.run(e.ID, length, m.config.FallbackTimeout, m.inventory.Settled) {
		return m, nil
	}
	return m.boot(e, false, true)
}

// unattended gives the entry that is booted when nobody types.
func (m Model) unattended() (boot.Entry, bool) {
	e, ok := m.entry(m.defaultID)
	if !ok || m.booting != "" || e.Problem != "" || e.Kernel == "" {
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
		d = *e.Timeout
	}
	return d, d >= 0
}
