// Package list prints what can be booted, as a table or as JSON, and takes
// directories, devices and image files by name for a machine.
package list

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// jsonEntry is an entry as docs/reference.md promises it.
type jsonEntry struct {
	ID       string      `json:"id"`
	Title    string      `json:"title"`
	Submenu  []string    `json:"submenu"`
	Version  string      `json:"version"`
	Format   string      `json:"format"`
	Source   string      `json:"source"`
	Volume   boot.Volume `json:"volume"`
	Kernel   string      `json:"kernel"`
	Initrds  []string    `json:"initrds"`
	Cmdline  string      `json:"cmdline"`
	Default  bool        `json:"default"`
	Guessed  bool        `json:"guessed"`
	Snapshot bool        `json:"snapshot"`
	Previous bool        `json:"previous,omitempty"`
	Failed   bool        `json:"failed,omitempty"`
	Problem  string      `json:"problem"`
}

// JSON writes entries as an array of objects; failed is as [Failed] returns it.
func JSON(w io.Writer, entries []boot.Entry, failed map[string]bool) error {
	out := []jsonEntry{} // an empty array, not null
	for _, e := range entries {
		j := jsonEntry{
			ID: e.ID, Title: e.Title, Submenu: append([]string{}, e.Submenu...), Version: e.Version, Format: e.Format,
			Source: e.Source.String(), Volume: e.Volume, Kernel: rooted(e.Kernel), Initrds: []string{}, Cmdline: e.Cmdline,
			Default: e.Default, Guessed: e.Guessed, Snapshot: e.Snapshot, Previous: e.Previous, Failed: failed[e.ID], Problem: e.Problem,
		}
		for _, name := range e.Initrds {
			j.Initrds = append(j.Initrds, rooted(name))
		}
		out = append(out, j)
	}
	return boot.WriteJSON(w, out)
}

// rooted writes a path on a volume as its user would.
func rooted(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}

// The table is at most 80 columns wide. Each row begins with a mark and the
// number; the title gets what it needs before the version does, but a version
// cut shorter than Alpine's own would be of no use. What is in a submenu, or is
// a snapshot, is indented below a line that names it.
const (
	width        = 80
	numberWidth  = 6
	groupIndent  = "  "
	volumeMost   = 18
	versionLeast = 14
)

// Table lists entries with the numbers that alpboot.default takes; failed is as
// [Failed] returns it.
func Table(w io.Writer, entries []boot.Entry, failed map[string]bool) error {
	if len(entries) == 0 {
		return nil
	}
	title, version, volume := len("TITLE"), len("VERSION"), len("VOLUME")
	for _, e := range entries {
		title = max(title, utf8.RuneCountInString(rowTitle(e)))
		version = max(version, utf8.RuneCountInString(e.Version))
		volume = max(volume, utf8.RuneCountInString(e.Volume.Device))
	}
	volume = min(volume, volumeMost)
	left := width - numberWidth - 2 - volume
	version = min(version, max(versionLeast, left-title))
	title = min(title, left-version)

	var b strings.Builder
	line := func(mark, number string, e boot.Entry) {
		s := fmt.Sprintf("%-2s%3s %s %s %s", mark, number, pad(rowTitle(e), title), pad(e.Version, version), fitEnd(e.Volume.Device, volume))
		b.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	line("", "", boot.Entry{Title: "TITLE", Version: "VERSION", Volume: boot.Volume{Device: "VOLUME"}})
	marks := ""
	for i, e := range entries {
		if g := groupOf(e); g != "" && (i == 0 || g != groupOf(entries[i-1]) || e.Volume != entries[i-1].Volume) {
			b.WriteString(strings.Repeat(" ", numberWidth) + fit(g+":", width-numberWidth) + "\n")
		}
		mark := Mark(e)
		if failed[e.ID] && e.Problem == "" {
			mark = "x"
		}
		marks += mark
		line(mark, fmt.Sprint(i+1), e)
		if e.Problem != "" {
			b.WriteString(wrap(e.Problem, strings.Repeat(" ", numberWidth)))
		}
	}
	for _, m := range marksMeaning {
		if strings.Contains(marks, m.mark) {
			fmt.Fprintf(&b, "%s  %s\n", m.mark, m.meaning)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// groupOf returns the line that an entry stands below, or "".
func groupOf(e boot.Entry) string {
	if e.Snapshot {
		return strings.Join(append([]string{"Snapshots"}, e.Submenu...), " / ")
	}
	return strings.Join(e.Submenu, " / ")
}

// rowTitle returns the title of an entry as it stands in the table.
func rowTitle(e boot.Entry) string {
	if groupOf(e) == "" {
		return e.Title
	}
	return groupIndent + e.Title
}

var marksMeaning = [...]struct{ mark, meaning string }{
	{"*", "default of its configuration"},
	{"?", "guessed: no configuration has its command line"},
	{"!", "cannot be booted"},
	{"x", "has failed: it was started, and never reported being up"},
}

// Mark returns the mark that stands before an entry in the table, or "".
func Mark(e boot.Entry) string {
	switch {
	case e.Problem != "":
		return "!"
	case e.Default:
		return "*"
	case e.Guessed:
		return "?"
	}
	return ""
}

// Problems writes why volumes could not be used, and what in their
// configurations was not understood.
func Problems(w io.Writer, volumes []boot.VolumeStatus) error {
	var b strings.Builder
	for _, v := range volumes {
		if v.Problem != "" {
			b.WriteString(wrap(v.Problem, ""))
		}
		for _, n := range v.Notes {
			b.WriteString(wrap(v.Volume.Device+": "+n.String(), ""))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pad returns s in exactly n columns.
func pad(s string, n int) string {
	s = fit(s, n)
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}

// fit cuts s to n columns. What comes from a disk must not steer the terminal.
func fit(s string, n int) string {
	s = boot.Visible(s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-3]) + "..."
}

// fitEnd cuts s to n columns and keeps its end, where paths differ.
func fitEnd(s string, n int) string {
	s = boot.Visible(s)
	if r := []rune(s); len(r) > n {
		return "..." + string(r[len(r)-n+3:])
	}
	return s
}

// wrap breaks s into lines of the table's width, each with the indent.
func wrap(s, indent string) string {
	var b, line strings.Builder
	for word := range strings.FieldsSeq(boot.Visible(s)) {
		if line.Len() > 0 && utf8.RuneCountInString(line.String())+1+utf8.RuneCountInString(word) > width-len(indent) {
			b.WriteString(indent + line.String() + "\n")
			line.Reset()
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	b.WriteString(indent + line.String() + "\n")
	return b.String()
}
