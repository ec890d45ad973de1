package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// row is a line of the list.
type row struct {
	line line
	item int // place among the items, -1 for none
}

// rows returns the whole list: the items under the volumes that they are on, and
// then the volumes that are of no use.
func (m Model) rows(p *painter, items []item, selected int) []row {
	w := p.Size.W - 2*margin
	rows := m.itemRows(w, p.charset, items, selected)
	if len(items) == 0 {
		rows = m.emptyRows(w, p.charset)
	}
	if m.list.filter != "" {
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

// columns are the widths of the columns of the list: title, release, marks.
type columns struct{ title, release, marks int }

// lead is the columns for pointer and number.
const lead = 4

// columns lays out all entries, also those in closed folds: nothing shall move
// when one is opened. The title comes first, but half a release means little:
// it gets at least 24 columns, and what title and marks leave.
func (m Model) columns(w int, cs Charset, narrow bool) columns {
	var c columns
	for _, e := range m.inventory.Entries {
		text := plainTitle(e)
		if narrow {
			text = title(e)
		}
		c.title = max(c.title, indent(len(folds(e)))+width(clean(text, cs)))
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

// itemRows returns the items, with a heading for each volume where there is more
// than one.
func (m Model) itemRows(w int, cs Charset, items []item, selected int) []row {
	narrow := w+2*margin < narrowWidth
	c := m.columns(w, cs, narrow)
	several := m.several()
	var rows []row
	on := ""
	for i, it := range items {
		if several && !it.locked && (i == 0 || it.volume.Device != on) {
			rows = append(rows, row{line{{fit(m.place(it.volume, cs), w), Heading}}, -1})
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
		l = append(l, span{number, Dim}, span{" " + pad(in+rowTitle(*it.entry, cs, c, indent(it.depth)), c.title) + " ", style})
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

// rowTitle returns the title of an entry for its row. Where there is no column for
// releases, what tells it apart is in it, and is not cut off.
func rowTitle(e boot.Entry, cs Charset, c columns, indent int) string {
	text := clean(plainTitle(e), cs)
	if e.Apart == "" || c.release > 0 {
		return text
	}
	const least = 8 // of the title itself
	apart := " (" + clean(e.Apart, cs) + ")"
	return fit(text, max(least, c.title-indent-width(apart))) + apart
}

// otherItem returns what stands behind the pointer in the row of an item that is
// no entry.
func (m Model) otherItem(it item, w int, cs Charset, style Style) line {
	text := ""
	mark := ""
	if it.locked {
		v := it.volume
		v.Type = ""
		text = fmt.Sprintf("%s is encrypted: Enter unlocks it", describe(v, cs))
	} else {
		sign := "+ " // the keys that do it
		if it.open {
			sign = "- "
		}
		text = strings.Repeat(" ", indent(it.depth)) + sign + clean(it.name(), cs)
		if e, ok := m.entry(m.defaultID); ok && !it.open && slices.Contains(folds(e), it.id) {
			mark = markDefault.word
		}
	}
	l := line{{"  ", Dim}, {" " + fit(text, w-lead-2) + " ", style}}
	if mark != "" {
		l = append(l, span{"  " + mark, Normal})
	}
	return l
}

// bad reports whether e cannot be booted or was tried in vain.
func (m Model) bad(e boot.Entry) bool {
	_, failed := m.failure(e)
	return failed || e.Problem != ""
}

// failure returns why e did not boot, or is passed over.
func (m Model) failure(e boot.Entry) (reason string, failed bool) {
	if reason, failed = m.failed[e.ID]; !failed {
		reason, failed = m.passed[e.ID]
	}
	return reason, failed
}

// mark stands behind an entry.
type mark struct {
	letter     string // in its place on a narrow console
	word, help string
}

var (
	markDefault = mark{"*", "default", "is booted when nobody types"}
	markLast    = mark{"<", "last", "was booted last time"}
	markFailed  = mark{"!", "failed", "was tried and did not boot; Enter tries again"}
	markCannot  = mark{"x", "cannot boot", "something is missing; Enter shows what"}
	markGuessed = mark{"?", "guessed", "no configuration file set its command line: check it with e"}
)

// marks are those behind an entry, as one text.
func (m Model) marks(e boot.Entry, narrow bool) string {
	_, failed := m.failure(e)
	var texts []string
	for _, x := range []struct {
		mark
		when bool
	}{
		{markDefault, e.ID != "" && e.ID == m.defaultID},
		{markLast, e.ID != "" && e.ID == m.lastID},
		{markFailed, failed},
		{markCannot, e.Problem != ""},
		{markGuessed, e.Guessed},
	} {
		switch {
		case x.when && narrow:
			texts = append(texts, x.letter)
		case x.when:
			texts = append(texts, x.word)
		}
	}
	if narrow {
		return strings.Join(texts, "")
	}
	return strings.Join(texts, ", ")
}

// emptyRows are why there is no entry and what can be done.
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
