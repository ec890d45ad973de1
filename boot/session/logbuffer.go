package session

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/menu"
)

// LogBuffer keeps the last lines of the log: ours and the kernel's. It is an
// [slog.Handler]; times are seconds since the kernel's start, as in its own log.
type LogBuffer struct {
	mu    sync.Mutex
	lines []menu.LogLine
	fresh int // how many of them have not been taken yet
}

// maxLog is how many lines are kept: the menu shows as many, and a kernel that
// starts leaves less than a thousand.
const maxLog = 2000

// Add adds a line of the kernel. Its text begins with its time: see [Stamped].
func (b *LogBuffer) Add(level slog.Level, text string) {
	b.add(menu.LogLine{Level: level, Text: text, Kernel: true})
}

func (b *LogBuffer) add(l menu.LogLine) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) >= 2*maxLog {
		b.lines = slices.Clone(b.lines[len(b.lines)-maxLog:])
	}
	b.lines = append(b.lines, l)
	b.fresh++
}

// take returns what has been added since it was called last.
func (b *LogBuffer) take() []menu.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(b.fresh, len(b.lines), maxLog)
	b.fresh = 0
	return inOrder(b.lines[len(b.lines)-n:])
}

// all returns everything that is kept.
func (b *LogBuffer) all() []menu.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return inOrder(b.lines[max(0, len(b.lines)-maxLog):])
}

// text returns everything that is kept as it is saved.
func (b *LogBuffer) text() string {
	var t strings.Builder
	for _, l := range b.all() {
		fmt.Fprintf(&t, "%-5s %s\n", l.Level, plain(l.Text))
	}
	return t.String()
}

// inOrder returns lines in the order of their times: what the kernel logged before
// we began is read after our first lines.
func inOrder(lines []menu.LogLine) []menu.LogLine {
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b menu.LogLine) int { return cmp.Compare(stamp(a.Text), stamp(b.Text)) })
	return lines
}

// stamp is the time that a line begins with; one without is of the beginning.
func stamp(text string) float64 {
	text, _, _ = strings.Cut(strings.TrimLeft(text, " "), " ")
	t, _ := strconv.ParseFloat(text, 64)
	return t
}

// Enabled implements [slog.Handler]: the menu shows the levels that it is asked
// to show.
func (b *LogBuffer) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (b *LogBuffer) Handle(_ context.Context, r slog.Record) error {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	b.add(menu.LogLine{Level: r.Level, Text: Stamped(now.Nano()/1000, text)})
	return nil
}

// WithAttrs implements [slog.Handler]. Nobody here makes use of it.
func (b *LogBuffer) WithAttrs([]slog.Attr) slog.Handler { return b }

// WithGroup implements [slog.Handler]. Nobody here makes use of it.
func (b *LogBuffer) WithGroup(string) slog.Handler { return b }

// Stamped puts a time in microseconds before text.
func Stamped(micros int64, text string) string {
	return fmt.Sprintf("%9.3f %s", float64(micros)/1e6, text)
}
