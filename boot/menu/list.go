package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// list is the page that all others are above: the entries, the folds that they
// are in, and locked volumes. What of them is selected, open and filtered counts
// while other pages are shown, too.
type list struct {
	// wanted is the ID of the selected item. It is kept while the item is not
	// there or is filtered out; meanwhile the one at index stands in for it.
	wanted string
	index  int
	moved  bool // the selected item went away by itself: ask before booting another

	open      map[string]bool // the folds that were opened or closed so far, by ID; never changed in place
	filter    string          // words that an item must contain to be shown
	filtering bool            // they are being typed
}

// The footer is filled in the order of the table, as far as there is room, but
// always ends with the key for help. No page binds the right arrow to anything
// that boots: in the list it opens a fold, and Esc never loses anything.
func (l list) keys(m Model) []binding {
	if l.filtering {
		typed := queryKeys(l.filter, Model.filterBy)
		if l.filter == "" {
			typed[0].do = updates(Model.unfilter) // Backspace
		}
		return append([]binding{
			{keys: "Enter", foot: "keep", help: "keep the filter and go back to the list", do: updates(Model.keepFilter)},
			{keys: "Esc", also: "Ctrl-C", foot: "show all", help: "show all entries again", do: updates(Model.unfilter)},
			{keys: "Up Down", also: "Ctrl-P Ctrl-N", help: helpLine, do: move(-1, 0), second: move(1, 0)},
		}, typed...)
	}
	it, selected := m.selectedItem()
	foot := func(when bool, word string) string {
		if when {
			return word
		}
		return ""
	}
	// Of what means nothing for a fold the footer has the keys all the same:
	// moving them would cost a slow line more than moving the selection does.
	some, open := len(m.inventory.Entries) > 0, m.config.Locked == ""
	enter := foot(some, "boot")
	if some && selected && it.entry == nil {
		enter = "open" // as long as boot, for the same reason
	}
	esc := binding{keys: "Esc", also: "Ctrl-C", help: "stop loading; show all entries again after filtering; close a group", do: Model.escape}
	stopping := m.booting.id != ""
	if stopping {
		enter = ""
	}
	bs := []binding{
		{keys: "Enter", foot: enter, help: "boot the selected entry", do: Model.enter},
		{keys: "e", foot: foot(some && open, "edit"), help: helpEdit, do: Model.edit},
		{keys: "s", foot: foot(open, "shell"), help: "open a shell; leaving it comes back here", do: Model.shell},
		{keys: "p", foot: "power", help: "restart or power off", do: updatesBehind(AskPower, aboutPower, func(m Model) Model { return m.open(power{}) })},
		{keys: "i", foot: foot(some, "details"), help: "all that is known about it", do: Model.details},
		{keys: "r", foot: "rescan", help: "scan all disks again", do: Model.rescan},
		{keys: "/", foot: foot(some, "filter"), help: "show only entries that contain some words", do: updates(func(m Model) Model { m.list.filtering = true; return m })},
		{keys: "l", foot: "log", help: "warnings, what was found on each volume, and the log", do: opens(pager{doc: logText{}})},
		{keys: "d", foot: foot(some, "default"), help: "make it the default, permanently or for the next boot only", do: updatesBehind(AskSettings, aboutDefault, Model.askDefault)},
		{keys: "o", foot: "settings", help: "change settings, such as the timeout, in a file on a volume", do: updatesBehind(AskSettings, aboutSettings, func(m Model) Model { return m.open(settings{}) })},
		{keys: "m", foot: "machine", help: "what is known about this machine", do: Model.machine},
		{keys: "K", foot: foot(len(m.config.Keymaps) > 0, "keyboard"), help: "layout of the keyboard", do: updates(Model.pickKeymap)},
		{keys: "Up k Ctrl-P", help: "entry above", do: move(-1, 0)},
		{keys: "Down j Ctrl-N", help: "entry below", do: move(1, 0)},
		{keys: "PgUp", help: helpPgUp, do: move(0, -1)},
		{keys: "PgDn", help: helpPgDn, do: move(0, 1)},
		{keys: "Home g", help: "first entry", do: updates(func(m Model) Model { return m.selectAt(m.items(), 0) })},
		{keys: "End G", help: "last entry", do: updates(func(m Model) Model { items := m.items(); return m.selectAt(items, len(items)-1) })},
		{keys: "1-9", help: "select the entry with that number", do: jump},
		{keys: "+ Right", help: "open a group of entries; Enter does, too", do: updates(Model.openFold)},
		{keys: "- Left", help: "close the group that the selection is in", do: updates(Model.closeFold)},
		esc,
		{keys: "? h F1", foot: "help", help: "this help", do: opens(pager{doc: help{}})},
	}
	if stopping {
		esc.foot = "stop"
		bs = slices.Insert(bs, 0, esc) // the key to find first
	}
	return bs
}

// opens is a handler that shows a page.
func opens(p page) handler { return updates(func(m Model) Model { return m.open(p) }) }

// move is a handler that moves the selection by items and pages.
func move(by, pages int) handler {
	return func(m Model, k KeyMsg) (Model, Action) {
		items := m.items()
		return m.selectAt(items, m.selection(items)+by+pages*max(1, k.Size.H/2-2)), nil
	}
}

// jump selects the entry with the number that was typed, wherever it is.
func jump(m Model, k KeyMsg) (Model, Action) {
	n := int(k.Rune - '0')
	if n > len(m.inventory.Entries) {
		return m, nil
	}
	id := m.inventory.Entries[n-1].ID
	return m.reveal(id, true).selectID(id), nil
}

// enter does with the selected item what it is there for.
func (m Model) enter(KeyMsg) (Model, Action) {
	items := m.items()
	i := m.selection(items)
	if i < 0 {
		return m, nil
	}
	it := items[i]
	switch {
	case m.list.moved:
		m = m.selectAt(items, i) // seen and confirmed by the next key
		return m.warn(textGone, "What was selected", it.name()), nil
	case it.fold:
		return m.setOpen(!it.open, it.id), nil
	case it.locked:
		return m.behind(AskUnlock, fmt.Sprintf("unlocking %s", it.name()), nil, func(m Model) (Model, Action) { return m.askPassphrase(it.volume), nil })
	case it.entry.Problem != "":
		return m.open(pager{doc: details{why: true}}), Inspect{Entry: *it.entry}
	}
	return m.boot(*it.entry, false, false)
}

const textGone = "%s is gone. Now %s is selected; Enter again boots it."

// escape goes back from whatever can be gone back from.
func (m Model) escape(KeyMsg) (Model, Action) {
	switch {
	case m.booting.id != "":
		return m.cancel()
	case m.list.filter != "":
		return m.unfilter(), nil
	}
	return m.closeFold(), nil
}

func (m Model) shell(k KeyMsg) (Model, Action) {
	return m.askShell(Shell{Console: k.Console})
}

func (m Model) askShell(a Shell) (Model, Action) {
	if m.config.Locked != "" {
		return m.warn("%s", m.config.Locked), nil
	}
	return m.behind(AskShell, aboutShell, nil, func(m Model) (Model, Action) {
		m.shells++
		return m, a
	})
}

func (m Model) rescan(KeyMsg) (Model, Action) {
	return m.show(message{text: "Scanning all disks again ...", brief: true}), Rescan{}
}

func (m Model) openFold() Model {
	if it, ok := m.selectedItem(); ok && it.fold {
		return m.setOpen(true, it.id)
	}
	return m
}

func (m Model) closeFold() Model {
	it, _ := m.selectedItem()
	if id := m.around(it); id != "" {
		return m.setOpen(false, id).selectID(id)
	}
	return m
}

// write adds to the filter. Other text means nothing to the list.
func (l list) write(m Model, text string, _ bool) Model {
	if !l.filtering {
		return m
	}
	return m.filterBy(query(l.filter, text))
}

// filterBy shows only what contains some words.
func (m Model) filterBy(words string) Model {
	m.list.filter = words
	if words == "" {
		return m.reveal(m.list.wanted, true)
	}
	return m
}

// keepFilter ends the typing of a filter, unless nothing passes it.
func (m Model) keepFilter() Model {
	items := m.items()
	if len(items) == 0 {
		return m.warn("No entry matches: change the words, or Esc shows all again.")
	}
	m.list.filtering = false
	return m.selectAt(items, m.selection(items))
}

// unfilter shows everything again, with what was selected before.
func (m Model) unfilter() Model {
	m.list.filter, m.list.filtering = "", false
	return m.reveal(m.list.wanted, true)
}

// selection returns the place of the selected item among items, -1 when there
// are none.
func (m Model) selection(items []item) int {
	if m.list.wanted != "" {
		if i := slices.IndexFunc(items, func(it item) bool { return it.id == m.list.wanted }); i >= 0 {
			return i
		}
	}
	if !m.typed {
		// Without a default, the first that can be booted.
		if i := slices.IndexFunc(items, func(it item) bool { return it.entry != nil && it.entry.Problem == "" }); i >= 0 {
			return i
		}
	}
	return min(m.list.index, len(items)-1)
}

func (m Model) selectedItem() (item, bool) {
	items := m.items()
	if i := m.selection(items); i >= 0 {
		return items[i], true
	}
	return item{}, false
}

// selected returns the selected entry; false when something else is selected.
func (m Model) selected() (boot.Entry, bool) {
	if it, ok := m.selectedItem(); ok && it.entry != nil {
		return *it.entry, true
	}
	return boot.Entry{}, false
}

// Beeps returns how often a console shall beep for the marked entry, for a person who
// does not see it: its number. It is 0 where none shall be heard, as before all
// disks have answered: numbers may change until then.
func (m Model) Beeps() int {
	const most = 20
	if !m.config.Beep || !m.inventory.Settled || m.booting.id != "" {
		return 0
	}
	it, _ := m.selectedItem()
	return min(it.number, most)
}

// selectAt selects the item at place i of items, or the nearest one.
func (m Model) selectAt(items []item, i int) Model {
	if len(items) == 0 {
		return m
	}
	m.list.index = min(max(i, 0), len(items)-1)
	m.list.wanted = items[m.list.index].id
	return m
}

// selectID selects the item with that ID, if the list shows it.
func (m Model) selectID(id string) Model {
	items := m.items()
	if i := slices.IndexFunc(items, func(it item) bool { return it.id == id }); i >= 0 {
		return m.selectAt(items, i)
	}
	return m
}

// listed is the list as it is on a screen.
type listed struct {
	above       []string // lines above it
	items       []item
	selected    int // of these
	rows        []row
	top, height int // where rows are
	first       int // of these rows
	summary     int // rows below, 0 for none
}

// lay lays the list out for p.
func (m Model) lay(p *painter) listed {
	s := listed{top: 1, height: bodyHeight(p.Size), items: m.items()}
	s.above = m.above(p.charset, p.Size.W-2*margin, s.height)
	s.top, s.height = s.top+len(s.above), s.height-len(s.above)
	s.selected = m.selection(s.items)
	s.rows = m.rows(p, s.items, s.selected)
	if n := summaryHeight(p.Size); n > 0 && len(s.items) > 0 {
		s.summary = n
		s.height -= n + 1
		if p.Size.H >= usual { // the details under the list
			s.height = min(s.height, len(s.rows)+1)
		}
	}
	s.first = scroll(s.rows, s.selected, s.height)
	return s
}

func (l list) paint(m Model, p *painter) {
	s := m.lay(p)
	for i, text := range s.above {
		p.line(1+i, line{{text, Bad}})
	}
	if s.summary > 0 {
		p.fill(s.top+s.height, p.charset.glyphs().rule, Dim)
		for i, l := range m.summary(s.items[s.selected], p.Size.W-2*margin, s.summary, p.charset) {
			p.line(s.top+s.height+1+i, l)
		}
	}
	p.scrolled(s.top, s.height, s.first, len(s.rows), func(y, i int) {
		p.line(y, s.rows[i].line)
		if p.Size.W >= widest && len(s.items) > 0 && s.rows[i].item == s.selected {
			p.restyle(y, Selected)
		}
	})
}

func (l list) height(m Model, s Size) int {
	items := m.items()
	return len(m.rows(newPainter(Size{W: s.W}, ASCII), items, m.selection(items))) + summaryHeight(s) + 2
}

// above returns the lines above the list, for height rows in all: a message that
// has no room below it, and a warning about the machine. Where there is room both
// have two lines, else one of them has one.
func (m Model) above(cs Charset, w, height int) []string {
	var texts, lines []string
	if m.message.text != "" && (m.activity() != "" || m.countdown.on) {
		texts = append(texts, m.message.text)
	}
	switch n := len(m.notices); {
	case n == 1:
		texts = append(texts, m.notices[0])
	case n > 1:
		texts = append(texts, fmt.Sprintf("%s (%d warnings, see l)", m.notices[n-1], n))
	}
	for _, text := range texts {
		text = clean(text, cs)
		switch wrapped := wrap(text, w); {
		case height <= 3:
		case height <= 12:
			return []string{fit(text, w)}
		case len(wrapped) == 1:
			lines = append(lines, text)
		default:
			lines = append(lines, wrapped[0], fit(strings.Join(wrapped[1:], " "), w))
		}
	}
	return lines
}

// scroll returns the first row to show so that the selected item is among the
// height rows. It depends on nothing but the selection, since every console
// has another height, and changes in steps of half a screen, since a slow line
// should paint the whole list as seldom as possible.
func scroll(rows []row, selected, height int) int {
	if len(rows) <= height || height <= 0 {
		return 0
	}
	at := slices.IndexFunc(rows, func(r row) bool { return r.item >= 0 && r.item == selected })
	most := len(rows) - height
	if at < 0 {
		return 0
	}
	last := !slices.ContainsFunc(rows[at+1:], func(r row) bool { return r.item >= 0 })
	if last {
		return min(at, most) // all that follows it
	}
	step := max(1, height/2)
	first := at/step*step - (height-step)/2
	if at < height-1 && at/step == 0 {
		first = 0
	}
	return min(max(first, 0), most)
}

// summaryHeight is how many rows below the list are about the selected item.
// On 24 rows, which is a serial line, they are so few that moving the selection
// from one volume to another takes no more than 300 bytes.
func summaryHeight(s Size) int {
	switch {
	case messageHeight(s) > 1:
		return 0
	case s.H < 25:
		return 2
	case s.H < usual:
		return 6
	}
	return 10
}

// emptyText is why there is nothing to choose, and what can be done.
func (m Model) emptyText() []string {
	const looking = "Looking for something to boot ..."
	switch volumes := m.inventory.Volumes; {
	case m.list.filter != "":
		return []string{fmt.Sprintf("No entry matches \"%s\".", m.list.filter), "Esc shows all of them again."}
	case !m.inventory.Settled && len(volumes) == 0:
		return []string{looking, "Waiting for disks to appear."}
	case !m.inventory.Settled:
		busy := slices.DeleteFunc(slices.Clone(volumes), func(v boot.VolumeStatus) bool { return !v.Busy })
		if len(busy) == 0 {
			busy = volumes
		}
		return []string{looking, fmt.Sprintf("Reading %s.", volumeNames(busy))}
	case len(volumes) == 0:
		return []string{"No disk was found.", "Check that the disk is plugged in and that this kernel has its driver. r scans again, s opens a shell, p restarts or powers off."}
	default:
		return []string{fmt.Sprintf("Nothing that can be booted was found on %s.", volumeNames(volumes)),
			"A volume needs a boot configuration or a kernel in /boot. l shows what was found, r scans again, s opens a shell."}
	}
}

// matcher reports of texts whether they hold all words, each in any of them.
func matcher(words string) func(texts ...string) bool {
	all := strings.Fields(strings.ToLower(words))
	return func(texts ...string) bool {
		text := strings.ToLower(strings.Join(texts, " "))
		return !slices.ContainsFunc(all, func(w string) bool { return !strings.Contains(text, w) })
	}
}
