// Package chart shows when what ran in one start of the menu: firmware, kernel, first
// process, the scan of each volume, loading, the jump. It is read from a log of the menu,
// or from what the menu has handed on to the system that it started.
package chart

import (
	"cmp"
	"fmt"
	"io"
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

// parse returns the time and the text of a line of the log, which begins with its level.
func parse(line string) (at time.Duration, text string, ok bool) {
	name, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	number, text, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	seconds, err := strconv.ParseFloat(number, 64)
	if !strings.Contains(" DEBUG INFO WARN ERROR ", " "+name+" ") || err != nil || !(seconds >= 0 && seconds < 1e6) {
		return 0, "", false
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond), text, true
}

// took returns a time that something has taken.
func took(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d < time.Hour
}

// Read returns what a log of the menu has about its start. The menu writes the lines
// that mark something in boot/session and cmds/bootmenu, the kernel the one about init.
func Read(log string) []Span {
	var spans []Span
	add := func(name string, from, to time.Duration) {
		if from <= to && len(spans) < most {
			spans = append(spans, Span{boot.Clean(name), from, to})
		}
	}
	var init, begun, shown, booting, read time.Duration
	for line := range strings.Lines(log) {
		at, text, ok := parse(line)
		if !ok {
			continue
		}
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
		case strings.HasPrefix(text, "booting entry="):
			if shown > 0 {
				add("menu", shown, at)
			}
			booting, read = at, 0
		default:
			if why, ok := strings.CutPrefix(text, "no disk is waited for: "); ok {
				add("disks until "+why, shown, at)
			} else if rest, ok := strings.CutPrefix(text, "the firmware took "); ok {
				if d, ok := took(strings.TrimSuffix(rest, " until this kernel began")); ok && d > 0 {
					add("firmware", -d, 0)
				}
			} else if device, rest, ok := strings.Cut(text, " holds "); ok && !strings.Contains(device, " ") {
				if d, ok := took(rest[strings.LastIndex(rest, " ")+1:]); ok && strings.Contains(rest, ", read in ") {
					add(device, at-d, at)
				}
			} else if entry, ok := strings.CutSuffix(text, " is read"); ok && booting > 0 {
				add("reading "+entry, booting, at)
				read = at
			} else if entry, _, ok := strings.Cut(text, " is loaded"); ok && booting > 0 && !strings.Contains(entry, " ") {
				add("loading "+entry, max(booting, read), at)
			}
		}
	}
	return spans
}

// Marshal returns spans as lines of microseconds and a name, to be handed on.
func Marshal(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%d %d %s\n", s.From.Microseconds(), s.To.Microseconds(), s.Name)
	}
	return b.String()
}

// Unmarshal returns the spans of lines of [Marshal]; where the text is cut off or
// damaged, those before.
func Unmarshal(text string) (spans []Span) {
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		begin, line, _ := strings.Cut(line, " ")
		end, name, _ := strings.Cut(line, " ")
		from, ok := micros(begin)
		to, also := micros(end)
		if !whole || !ok || !also || from > to || name == "" || len(spans) == most {
			break
		}
		spans = append(spans, Span{boot.Clean(name), from, to})
	}
	return spans
}

// micros returns the time of a number of microseconds, of at most a hundred days.
func micros(number string) (time.Duration, bool) {
	const most = 100 * 24 * int64(time.Hour/time.Microsecond)
	n, err := strconv.ParseInt(number, 10, 64)
	return time.Duration(n) * time.Microsecond, err == nil && n >= -most && n <= most
}

// Entered returns spans of which the last ends when the files were read, with what came
// then: the system call, and what runs until the target's kernel is entered, at that time.
func Entered(spans []Span, at time.Duration) []Span {
	if from, length := extent(spans); len(spans) > 0 && at >= from+length {
		spans = append(spans, Span{"loading and jump", from + length, at})
	}
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

// inOrder returns spans in order of their beginnings. The image, which shows none, does
// without the code for that.
func inOrder(spans []Span) []Span {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	return spans
}

// Text writes a line for each of them, with a bar.
func Text(w io.Writer, spans []Span) error {
	const bar = 40
	spans = inOrder(spans)
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
	spans = inOrder(spans)
	from, length := extent(spans)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", names+width+80, row*len(spans)+10)
	for i, s := range spans {
		x := names + int((s.From-from)*width/length)
		n := max(int((s.To-s.From)*width/length), 1)
		fmt.Fprintf(&b, `<text x="4" y="%d">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="#4477aa"/><text x="%d" y="%d">%.3f s</text>`+"\n",
			i*row+19, escape.Replace(s.Name), x, i*row+6, n, row-6, x+n+4, i*row+19, (s.To - s.From).Seconds())
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
