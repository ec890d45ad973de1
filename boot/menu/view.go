package menu

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// The smallest console that more than one line is painted on.
const (
	minWidth  = 20
	minHeight = 5
)

// A console that is lower or narrower than this has two lines for messages,
// and no room for details below the list.
const (
	lowHeight   = 16
	narrowWidth = 60
)

// View paints the model for a console of the given size and character set.
// Every cell of the screen is set.
func (m Model) View(size Size, charset Charset) Screen {
	p := newPainter(size, charset)
	if size.W < minWidth || size.H < minHeight {
		p.put(0, 0, size.W, fmt.Sprintf(wordTooSmall, wordName, size.W, size.H), Bad)
		return p.Screen
	}
	if m.hidden {
		text := wordHidden
		if m.status != "" {
			text = clean(m.status, charset)
		}
		p.line(size.H-1, line{{fit(text, size.W-2*margin), Dim}})
		return p.Screen
	}
	m.paintHeader(p)
	m.paintMessage(p)
	m.paintFooter(p)
	switch m.at {
	case listScreen, filterScreen:
		m.paintList(p)
	case editScreen:
		m.paintEditor(p)
	case addScreen:
		paintPick(p, wordAdd, nil, m.addRows(size.W, charset), m.picked)
	case powerScreen:
		paintKeys(p, wordPower, nil, m.bindings())
	case defaultScreen:
		m.paintDefault(p)
	case saveScreen:
		paintPick(p, wordSave, say(wordSaveWarning, p), m.saveRows(charset), m.picked)
	case keymapScreen:
		m.paintKeymaps(p)
	case unlockScreen:
		p.lines(m.promptLines(size.W-2*margin, charset))
	default:
		m.paintText(p)
	}
	return p.Screen
}

// bodyHeight is the rows between the header and the messages.
func bodyHeight(s Size) int { return s.H - 2 - messageHeight(s) }

func messageHeight(s Size) int {
	if s.H < lowHeight || s.W < narrowWidth {
		return 2
	}
	return 1
}

func (m Model) paintHeader(p *painter) {
	w := p.Size.W
	p.fill(0, ' ', Title)
	left := wordName + " " + clean(m.config.Version, p.charset)
	x := p.put(margin, 0, w-margin, left, Title) + 2
	right := ""
	if n := len(m.inventory.Entries); n > 0 {
		right = counted(n, wordEntry, wordEntries)
	}
	join := func(s string) {
		if right != "" {
			s = right + ", " + s
		}
		if w < narrowWidth && width(s) > w-margin-x {
			return // half of it tells nothing
		}
		right = s
	}
	if n := len(m.notes()); n > 0 {
		join(counted(n, wordNote, wordNotes))
	}
	if busy := m.busy(); len(busy) > 0 && len(m.inventory.Entries) > 0 {
		join(fmt.Sprintf(wordLookingAt, clean(strings.Join(busy, " "), p.charset)))
	}
	right = fit(right, max(0, w-margin-x))
	p.put(w-margin-width(right), 0, w-margin, right, Title)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf(one, n)
	}
	return fmt.Sprintf(many, n)
}

// notes are the sentences that are worth a look but concern no single entry.
func (m Model) notes() []string {
	notes := slices.Concat(m.notices, m.choice)
	for _, v := range m.inventory.Volumes {
		if v.Problem != "" {
			notes = append(notes, v.Problem)
		}
		for _, n := range v.Notes {
			notes = append(notes, n.String())
		}
	}
	return notes
}

// busy are the names of the devices that have not answered yet.
func (m Model) busy() []string {
	var names []string
	for _, v := range m.inventory.Volumes {
		if v.Busy {
			names = append(names, device(v.Volume))
		}
	}
	return names
}

// device is what a volume's device is called on the screen.
func device(v boot.Volume) string {
	return strings.TrimPrefix(v.Device, "/dev/")
}

// describe names a volume in one line, such as: sda2 "root" ext4.
func describe(v boot.Volume, cs Charset) string {
	s := device(v)
	if v.Label != "" {
		s += ` "` + v.Label + `"`
	}
	if v.Type != "" {
		s += " " + v.Type
	}
	if s = strings.TrimSpace(s); s == "" {
		return wordUnknownPlace
	}
	return clean(s, cs)
}

// paintMessage paints what goes on, above the footer.
func (m Model) paintMessage(p *painter) {
	n := messageHeight(p.Size)
	y := p.Size.H - 1 - n
	w := p.Size.W - 2*margin
	if m.progressShown() {
		m.paintProgress(p, y, n)
		return
	}
	if m.status == "" && m.countdown.on {
		m.paintCountdown(p, y, n)
		return
	}
	text, style := m.messageText(p.charset, n*w)
	if style == Input {
		r := []rune(text)
		x := p.put(margin, y, p.Size.W, string(r[max(0, len(r)-w+1):]), Input)
		p.Cursor = &Point{x, y}
		return
	}
	lines := wrap(text, w)
	if len(lines) > n {
		lines = append(lines[:n-1:n-1], fit(strings.Join(lines[n-1:], " "), w))
	}
	for i, l := range lines {
		p.line(y+i, line{{l, style}})
	}
}

// messageText is the most important thing to say now in about room columns.
func (m Model) messageText(cs Charset, room int) (string, Style) {
	switch {
	case m.status != "":
		return clean(m.status, cs), Normal
	case m.message.text != "":
		text, style := clean(m.message.text, cs), Normal
		if width(text) > room && m.message.short != "" {
			text = clean(m.message.short, cs)
		}
		if m.message.bad {
			style = Bad
		}
		return text, style
	case m.at == filterScreen:
		return wordFilter + clean(m.filter, cs), Input
	case m.at == searchScreen:
		return wordSearch + clean(m.search, cs), Input
	case m.at != listScreen:
		return "", Normal
	case m.filter != "":
		return fmt.Sprintf(wordFiltered, clean(m.filter, cs)), Normal
	}
	if e, ok := m.entry(m.defaultID); ok && e.Problem != "" && !m.touched {
		return fmt.Sprintf(wordBadDefault, clean(title(e), cs)), Bad
	}
	return "", Normal
}

// paintCountdown says what is booted when, and that it can be stopped, in n
// rows from y. On a wide console all of it stands in one row.
func (m Model) paintCountdown(p *painter, y, n int) {
	const longest = 30
	const between = 2
	end := p.Size.W - margin
	left, all := m.countdown.left()
	e, _ := m.entry(m.countdown.id)
	name := clean(title(e), p.charset)
	text := fmt.Sprintf(wordCountdown, left)
	// Laid out for the longest number, so that nothing moves while it falls.
	room := end - margin - width(fmt.Sprintf(wordCountdown, all))
	x, row := margin, y
	if n == 1 {
		name = fit(name, room-2*between-width(wordAnyKey)-longest/3)
		x = end - min(longest, room-width(name)-2*between-width(wordAnyKey))
		p.put(x-between-width(wordAnyKey), y, end, wordAnyKey, Dim)
	} else {
		name, row = fit(name, room), y+1
		end -= between + width(wordAnyKey)
		p.put(end+between, row, p.Size.W, wordAnyKey, Dim)
	}
	p.line(y, line{{text, Normal}, {name, Normal}})
	p.bar(row, x, max(0, min(longest, end-x)), int64(left), int64(all))
}

// bar paints how much part is of whole, at most all of it, into n cells.
func (p *painter) bar(y, x, n int, part, whole int64) {
	g := p.charset.glyphs()
	full := int(math.Ceil(float64(n) * min(max(float64(part)/float64(whole), 0), 1)))
	for i := range n {
		r, style := g.full, Bar
		if i >= full {
			r, style = g.empty, Dim
		}
		p.put(x+i, y, x+n, string(r), style)
	}
}

// paintFooter paints the keys of the screen, as many as there is room for.
func (m Model) paintFooter(p *painter) {
	type item struct{ key, word string }
	var items []item
	room := p.Size.W - 2*margin
	name := func(keys string) string { k, _, _ := strings.Cut(keys, " "); return k }
	size := func(i item) int { return width(i.key) + 1 + width(i.word) }
	help := helpBinding()
	last := item{name(help.keys), help.foot}
	if m.at == listScreen {
		room -= size(last)
	}
	empty, opens := m.at == listScreen && len(m.inventory.Entries) == 0, m.opens()
	for _, b := range m.bindings() {
		// Of what means nothing for a fold the list shows the keys all the same:
		// moving them would cost a slow line more than moving the selection does.
		if empty && b.do[0].do.needsItem() || opens && m.at != listScreen && b.do[0].do.needsEntry() {
			continue
		}
		i := item{name(b.keys), b.foot}
		if b.do[0].do == cmdBoot && m.at == listScreen {
			switch {
			case m.booting != "":
				i = item{keyEsc, footCancel}
			case opens:
				i.word = footOpen
			}
		}
		if b.foot == "" || i == last || size(i)+2 > room {
			continue
		}
		room -= size(i) + 2
		items = append(items, i)
	}
	if m.at == listScreen {
		items = append(items, last)
	}
	var l line
	for _, i := range items {
		l = append(l, span{i.key, KeyName}, span{" " + i.word + "  ", Normal})
	}
	p.line(p.Size.H-1, l)
}

// opens tells whether Enter opens what is selected instead of booting it.
func (m Model) opens() bool {
	it, ok := m.selectedItem()
	return ok && it.entry == nil
}

// row is a line of the list.
type row struct {
	line line
	item int // place among the items, -1 for none
}

func (m Model) paintList(p *painter) {
	top, height := 1, bodyHeight(p.Size)
	if notice, ok := m.notice(p.charset); ok && height > 3 {
		p.line(top, line{{fit(notice, p.Size.W-2*margin), Bad}})
		top, height = top+1, height-1
	}
	items := m.items()
	selected := m.selection(items)
	if details := m.summaryHeight(p.Size); details > 0 && len(items) > 0 {
		height -= details + 1
		p.fill(top+height, p.charset.glyphs().rule, Dim)
		for i, l := range m.summary(items[selected], p.Size.W-2*margin, details, p.charset) {
			p.line(top+height+1+i, l)
		}
	}
	rows := m.rows(p, items, selected)
	first := scroll(rows, selected, height)
	for i := 0; i < height && first+i < len(rows); i++ {
		p.line(top+i, rows[first+i].line)
	}
	p.more(top, height, first, len(rows))
}

// more marks in the last column what lies above and below height rows of which
// the first is shown at top.
func (p *painter) more(top, height, first, all int) {
	g := p.charset.glyphs()
	x := p.Size.W - 1
	if first > 0 {
		p.put(x, top, x+1, string(g.up), Dim)
	}
	if first+height < all {
		p.put(x, top+height-1, x+1, string(g.down), Dim)
	}
}

// notice is what stands above the list: a message that has no room below it,
// or a warning about the machine.
func (m Model) notice(cs Charset) (string, bool) {
	switch n := len(m.notices); {
	case m.message.text != "" && (m.status != "" || m.countdown.on):
		return clean(m.message.text, cs), true
	case n == 1:
		return clean(m.notices[0], cs), true
	case n > 1:
		return clean(fmt.Sprintf(wordAllNotices, m.notices[n-1], n), cs), true
	}
	return "", false
}

// scroll gives the first row to show so that the selected entry is among the
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

// rows gives the whole list: the items under the volumes that they are on, and
// then the volumes that are of no use.
func (m Model) rows(p *painter, items []item, selected int) []row {
	w := p.Size.W - 2*margin
	rows := m.itemRows(w, p.charset, items, selected)
	if len(items) == 0 {
		rows = m.emptyRows(w, p.charset)
	}
	if m.filter != "" {
		return rows
	}
	first := true
	for _, v := range m.inventory.Volumes {
		text := v.Problem
		switch {
		case text != "":
			if name := device(v.Volume); !strings.Contains(text, name) {
				text = name + ": " + text
			}
		case v.Busy && len(items) > 0:
			text = m.busyText(v.Volume)
		default:
			continue
		}
		if first {
			rows = append(rows, row{item: -1})
			first = false
		}
		rows = append(rows, row{line{{"  " + fit(clean(text, p.charset), w-2), Dim}}, -1})
	}
	return rows
}

// busyText says that a volume has not answered yet and, once that is long, for
// how long.
func (m Model) busyText(v boot.Volume) string {
	const long = 3 * time.Second
	if since, ok := m.busySince[v.Device]; ok {
		if d := m.countdown.now.Sub(since); d >= long {
			return fmt.Sprintf(wordBusyFor, device(v), int(d/time.Second))
		}
	}
	return fmt.Sprintf(wordBusy, device(v))
}

// columns are the widths of the columns of the list: title, release, marks.
type columns struct{ title, release, marks int }

// lead is the columns for pointer and number.
const lead = 4

// columns lays out all entries, also those in closed folds: nothing shall move
// when one is opened. The title comes first, but half a release tells little:
// it gets at least 24 columns, and what title and marks leave.
func (m Model) columns(w int, cs Charset, narrow bool) columns {
	var c columns
	for _, e := range m.inventory.Entries {
		c.title = max(c.title, indent(len(folds(e)))+width(clean(title(e), cs)))
		c.release = max(c.release, width(clean(release(e), cs)))
		c.marks = max(c.marks, width(m.marks(e, narrow)))
	}
	c.release = min(c.release, max(24, w-lead-c.title-c.marks-6))
	if narrow {
		c.release = 0
	}
	rest := 0
	for _, n := range []int{c.release, c.marks} {
		if n > 0 {
			rest += n + 2
		}
	}
	if w-lead-rest < 24 && c.release > 0 {
		rest -= c.release + 2
		c.release = 0
	}
	c.title = max(1, min(c.title, w-lead-rest))
	return c
}

// indent is how many columns an item in so many folds is moved to the right.
func indent(depth int) int { return 2 * min(depth, 4) }

// itemRows gives the items, with a heading for each volume where there is more
// than one.
func (m Model) itemRows(w int, cs Charset, items []item, selected int) []row {
	narrow := w+2*margin < narrowWidth
	c := m.columns(w, cs, narrow)
	several := m.several()
	var rows []row
	on := ""
	for i, it := range items {
		if several && !it.locked && (i == 0 || it.volume.Device != on) {
			rows = append(rows, row{line{{fit(describe(it.volume, cs), w), Heading}}, -1})
		}
		if it.locked && i > 0 && !items[i-1].locked {
			rows = append(rows, row{item: -1})
		}
		on = it.volume.Device
		pointer, style := " ", Normal
		if it.entry != nil && m.bad(*it.entry) {
			style = Dim
		}
		plain := style
		if i == selected {
			pointer, style = string(cs.glyphs().pointer), Selected
		}
		l := line{{pointer, Normal}}
		if it.entry == nil {
			rows = append(rows, row{append(l, m.otherItem(it, w, cs, style)...), i})
			continue
		}
		number := "  "
		if it.number <= 9 {
			number = fmt.Sprintf("%d ", it.number)
		}
		in := strings.Repeat(" ", indent(it.depth))
		l = append(l, span{number, Dim}, span{" " + pad(in+clean(title(*it.entry), cs), c.title) + " ", style})
		if c.release > 0 {
			l = append(l, span{" " + pad(clean(release(*it.entry), cs), c.release) + " ", plain})
		}
		if s := m.marks(*it.entry, narrow); s != "" {
			if m.bad(*it.entry) {
				plain = Bad
			}
			l = append(l, span{" " + s, plain})
		}
		rows = append(rows, row{l, i})
	}
	return rows
}

// otherItem gives what stands behind the pointer in the row of an item that is
// no entry.
func (m Model) otherItem(it item, w int, cs Charset, style Style) line {
	text := ""
	mark := ""
	if it.locked {
		v := it.volume
		v.Type = ""
		text = fmt.Sprintf(wordIsLocked, describe(v, cs))
	} else {
		sign := "+ " // the keys that do it
		if it.open {
			sign = "- "
		}
		text = strings.Repeat(" ", indent(it.depth)) + sign + clean(it.name(), cs)
		if e, ok := m.entry(m.defaultID); ok && !it.open && slices.Contains(folds(e), it.id) {
			mark = wordDefault
		}
	}
	l := line{{"  ", Dim}, {" " + fit(text, w-lead-2) + " ", style}}
	if mark != "" {
		l = append(l, span{"  " + mark, Normal})
	}
	return l
}

// bad tells whether e cannot be booted or was tried in vain.
func (m Model) bad(e boot.Entry) bool {
	_, failed := m.failed[e.ID]
	return failed || e.Problem != ""
}

// marks is what stands behind an entry.
func (m Model) marks(e boot.Entry, narrow bool) string {
	var words []string
	var letters []rune
	mark := func(when bool, word string, letter rune) {
		if when {
			words = append(words, word)
			letters = append(letters, letter)
		}
	}
	_, failed := m.failed[e.ID]
	mark(e.ID != "" && e.ID == m.defaultID, wordDefault, markDefault)
	mark(e.ID != "" && e.ID == m.lastID, wordLast, markLast)
	mark(failed, wordFailed, markFailed)
	mark(e.Problem != "", wordCannot, markCannot)
	mark(e.Guessed, wordGuessed, markGuessed)
	if narrow {
		return string(letters)
	}
	return strings.Join(words, ", ")
}

// emptyRows says why there is no entry and what can be done.
func (m Model) emptyRows(w int, cs Charset) []row {
	var rows []row
	for _, s := range m.emptyText() {
		rows = append(rows, row{item: -1})
		for _, l := range wrap(clean(s, cs), w) {
			rows = append(rows, row{line{{l, Normal}}, -1})
		}
	}
	return rows
}

// emptyText is why there is nothing to choose, and what can be done.
func (m Model) emptyText() []string {
	switch volumes := m.inventory.Volumes; {
	case m.filter != "":
		return []string{fmt.Sprintf(wordNoMatch, m.filter), wordNoMatchHelp}
	case !m.inventory.Settled && len(volumes) == 0:
		return []string{wordLooking, wordWaiting}
	case !m.inventory.Settled:
		busy := slices.DeleteFunc(slices.Clone(volumes), func(v boot.VolumeStatus) bool { return !v.Busy })
		if len(busy) == 0 {
			busy = volumes
		}
		return []string{wordLooking, fmt.Sprintf(wordLookingMore, volumeNames(busy))}
	case len(volumes) == 0:
		return []string{wordNoDisk, wordNoDiskHelp}
	default:
		return []string{fmt.Sprintf(wordNoEntry, volumeNames(volumes)), wordNoEntryHelp}
	}
}

// volumeNames counts volumes and names the first of them.
func volumeNames(vs []boot.VolumeStatus) string {
	const most = 8
	var s []string
	for _, v := range vs {
		name := device(v.Volume)
		if v.Volume.Type != "" {
			name += " (" + v.Volume.Type + ")"
		}
		s = append(s, name)
	}
	if n := len(s); n > most {
		s = append(s[:most], fmt.Sprintf(wordMore, n-most))
	}
	text := strings.Join(s, ", ")
	if len(vs) == 1 {
		return fmt.Sprintf(wordOneVolume, text)
	}
	return fmt.Sprintf(wordVolumes, len(vs), text)
}

// summaryHeight is how many rows below the list tell about the selected entry.
// On 24 rows, which is a serial line, they are so few that moving the selection
// from one volume to another takes no more than 300 bytes.
func (m Model) summaryHeight(s Size) int {
	switch {
	case messageHeight(s) > 1:
		return 0
	case s.H < 25:
		return 2
	case s.H < 32:
		return 6
	}
	return 10
}

// editWidth is the length of the lines into which the editor breaks its text
// on a console of width w.
func editWidth(w int) int {
	if w < minWidth {
		return 0
	}
	return w - 2*margin
}

// paintKeys paints a screen that asks for one of a few keys.
func paintKeys(p *painter, head string, say []line, bindings []binding) {
	lines := append([]line{nil, heading(fit(head, p.Size.W-2*margin)), nil}, say...)
	for _, b := range bindings {
		lines = append(lines, helpKey(keyList(b.keys), b.help, p.Size.W-2*margin)...)
	}
	for i := 0; i < len(lines) && len(lines) > bodyHeight(p.Size); {
		if lines[i] == nil {
			lines = slices.Delete(lines, i, i+1)
			continue
		}
		i++
	}
	p.lines(lines)
}

// lines paints text from the top of the body, as far as there is room.
func (p *painter) lines(lines []line) {
	for i, l := range lines[:min(len(lines), bodyHeight(p.Size))] {
		p.line(1+i, l)
	}
}

// paintText paints the screens that are nothing but text.
func (m Model) paintText(p *painter) {
	lines := m.text(p.Size.W, p.charset)
	height := bodyHeight(p.Size)
	first := min(m.top, max(0, len(lines)-height))
	for i := 0; i < height && first+i < len(lines); i++ {
		p.line(1+i, lines[first+i])
	}
	p.more(1, height, first, len(lines))
}
