// Package chart shows from a log of the menu when what ran in one start: firmware,
// kernel, first process, the scan of each volume, loading.
package chart

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Span is something that ran. Its times count from when the menu's kernel began;
// the firmware's are before that.
type Span struct {
	Name     string
	From, To time.Duration
}

// most is how many there are at most.
const most = 1000

// A line of the log: its level, its time, its text.
var logged = regexp.MustCompile(`^[A-Z]+[-+0-9]* +([0-9]{1,6}\.[0-9]{1,6}) (.*)$`)

// The lines that mark something. The menu writes them in boot/session and cmds/bootmenu, the kernel
// the one about init.
var (
	firmwareTook = regexp.MustCompile(`^the firmware took (\S+) until this kernel began$`)
	volumeRead   = regexp.MustCompile(`^(\S+) holds .*, read in (\S+)$`)
	loaded       = regexp.MustCompile(`^(\S+) is loaded`)
)

// Read returns what a log that the menu has saved has about its start, the last one
// of each kind, in order of their beginnings.
func Read(log string) []Span {
	var spans []Span
	add := func(name string, from, to time.Duration) {
		if from <= to && len(spans) < most {
			spans = append(spans, Span{boot.Clean(name), from, to})
		}
	}
	var init, begun, shown, booting time.Duration
	for line := range strings.Lines(log) {
		m := logged.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		seconds, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		at, text := time.Duration(seconds*float64(time.Second)), m[2]
		switch {
		case strings.HasPrefix(text, "kernel: Run /init "):
			add("kernel", 0, at)
			init = at
		case strings.HasPrefix(text, "alpboot ") && strings.HasSuffix(text, " starts"):
			add("first process", init, at)
			begun = at
		case strings.HasPrefix(text, "the menu is shown "):
			add("consoles", begun, at)
			shown = at
		case strings.HasPrefix(text, "no disk is waited for: "):
			add("disks until "+strings.TrimPrefix(text, "no disk is waited for: "), shown, at)
		case strings.HasPrefix(text, "booting entry="):
			booting = at
		default:
			if m := firmwareTook.FindStringSubmatch(text); m != nil {
				if d, err := time.ParseDuration(m[1]); err == nil && d > 0 && d < time.Hour {
					add("firmware", -d, 0)
				}
			} else if m := volumeRead.FindStringSubmatch(text); m != nil {
				if d, err := time.ParseDuration(m[2]); err == nil && d >= 0 && d < time.Hour {
					add(m[1], at-d, at)
				}
			} else if m := loaded.FindStringSubmatch(text); m != nil && booting > 0 {
				add("loading "+m[1], booting, at)
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	return spans
}

// extent returns when the first one began and how long it is until all have ended.
func extent(spans []Span) (from, length time.Duration) {
	var to time.Duration
	for i, s := range spans {
		if i == 0 {
			from, to = s.From, s.To
		}
		from, to = min(from, s.From), max(to, s.To)
	}
	return from, max(to-from, 1)
}

// Text writes a line for each of them, with a bar.
func Text(w io.Writer, spans []Span) error {
	const bar = 40
	from, length := extent(spans)
	wide := 0
	for _, s := range spans {
		wide = max(wide, len([]rune(s.Name)))
	}
	for _, s := range spans {
		begin := int((s.From - from) * bar / length)
		end := max(int((s.To-from)*bar/length), begin+1)
		row := strings.Repeat(" ", begin) + strings.Repeat("#", end-begin)
		if _, err := fmt.Fprintf(w, "%8.3f %7.3f s  %-*s |%s\n", s.From.Seconds(), (s.To - s.From).Seconds(), wide, s.Name, row); err != nil {
			return err
		}
	}
	return nil
}

// SVG draws the same.
func SVG(w io.Writer, spans []Span) error {
	const row, names, width = 22, 260, 640 // pixels
	from, length := extent(spans)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", names+width+80, row*len(spans)+10)
	for i, s := range spans {
		x := names + int((s.From-from)*width/length)
		n := max(int((s.To-s.From)*width/length), 1)
		fmt.Fprintf(&b, `<text x="4" y="%d">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="#4477aa"/><text x="%d" y="%d">%.3f s</text>`+"\n",
			i*row+19, html.EscapeString(s.Name), x, i*row+6, n, row-6, x+n+4, i*row+19, (s.To - s.From).Seconds())
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
