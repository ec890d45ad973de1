package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// logbook keeps the last lines of the log: ours and the kernel's. It is an
// [slog.Handler]; times are seconds since the kernel's start, as in its own log.
type logbook struct {
	mu    sync.Mutex
	lines []menu.LogLine
	fresh int // how many of them have not been taken yet
}

// maxLog is how many lines are kept: the menu shows as many, and a kernel that
// starts leaves less than a thousand.
const maxLog = 2000

func (b *logbook) add(level slog.Level, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) >= 2*maxLog {
		b.lines = slices.Clone(b.lines[len(b.lines)-maxLog:])
	}
	b.lines = append(b.lines, menu.LogLine{Level: level, Text: text})
	b.fresh++
}

// take gives what has been added since it was called last.
func (b *logbook) take() []menu.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(b.fresh, len(b.lines), maxLog)
	b.fresh = 0
	return inOrder(b.lines[len(b.lines)-n:])
}

// all gives everything that is kept.
func (b *logbook) all() []menu.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return inOrder(b.lines[max(0, len(b.lines)-maxLog):])
}

// inOrder gives lines in the order of their times: what the kernel logged before
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
func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	b.add(r.Level, stamped(now.Nano()/1000, text))
	return nil
}

// WithAttrs implements [slog.Handler]. Nobody here makes use of it.
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler { return b }

// WithGroup implements [slog.Handler]. Nobody here makes use of it.
func (b *logbook) WithGroup(string) slog.Handler { return b }

// stamped puts a time in microseconds before text.
func stamped(micros int64, text string) string {
	return fmt.Sprintf("%9.3f %s", float64(micros)/1e6, text)
}

// followKernel adds what the kernel logs, and has logged so far, until ctx ends.
func followKernel(ctx context.Context, book *logbook) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		book.add(slog.LevelInfo, fmt.Sprintf("the log of the kernel cannot be read: %v", err))
		return
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	record := make([]byte, 8<<10) // each read gives one
	for {
		n, err := f.Read(record)
		switch {
		case errors.Is(err, unix.EPIPE): // some were overwritten before they were read
			continue
		case errors.Is(err, fs.ErrClosed) || err != nil:
			return
		}
		if level, text, ok := kernelLine(string(record[:n])); ok {
			book.add(level, text)
		}
	}
}

// kernelLine reads a record of /dev/kmsg: "6,339,5140900,-;text", and more lines
// that begin with a space (Documentation/ABI/testing/dev-kmsg). What the kernel
// calls a notice or less is for those who look for it only.
func kernelLine(record string) (level slog.Level, text string, ok bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return 0, "", false
	}
	priority, err := strconv.Atoi(fields[0])
	micros, err2 := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || err2 != nil {
		return 0, "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	switch priority & 7 {
	case 0, 1, 2, 3:
		level = slog.LevelError
	case 4:
		level = slog.LevelWarn
	default:
		level = slog.LevelDebug
	}
	return level, stamped(micros, "kernel: "+text), true
}

// freeName gives a name for the log that no file has yet.
func freeName(root *os.Root) (string, error) {
	const most = 100
	for i := 1; i <= most; i++ {
		name := "alpboot-log.txt"
		if i > 1 {
			name = fmt.Sprintf("alpboot-log-%d.txt", i)
		}
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("there are %d logs already", most)
}

// saveText makes a new file of text, and gives its name.
func saveText(root *os.Root, text string) (name string, err error) {
	if name, err = freeName(root); err != nil {
		return "", err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		root.Remove(name) // half of it helps nobody
	}
	return name, err
}

// saveLog writes all that is known to a file on a volume, as the user asked.
func (s *session) saveLog(ctx context.Context, device string) {
	text, scan := s.report(), s.scan
	go func() {
		name := ""
		err := scan.Write(ctx, device, func(root *os.Root) (err error) {
			name, err = saveText(root, text())
			return err
		})
		told := menu.ResultMsg{Text: fmt.Sprintf(wordSaved, name, device)}
		if err != nil {
			told = menu.ResultMsg{Text: fmt.Sprintf(wordNotSaved, err), Bad: true}
		}
		s.log.Info(told.Text)
		s.send(ctx, told)
	}()
}

// plain gives text without what could disturb a terminal that shows the file.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// report gives what is saved as the log; the text is made by the function, as
// that takes longer.
func (s *session) report() func() string {
	inv, notes := s.inventory, slices.Concat(s.allNotes(), s.choice.Notes)
	system := s.systemLines()
	return func() string {
		var b strings.Builder
		for _, l := range system() {
			if strings.HasSuffix(l, ":") {
				b.WriteString("\n" + l + "\n")
				continue
			}
			b.WriteString("  " + plain(l) + "\n")
		}
		section := func(name string) { b.WriteString("\n" + name + ":\n") }
		section("Notes")
		for _, n := range notes {
			b.WriteString("  " + n + "\n")
		}
		section("Volumes")
		for _, v := range inv.Volumes {
			fmt.Fprintf(&b, "  %s %s UUID=%s LABEL=%s\n", v.Volume.Device, v.Volume.Type, v.Volume.UUID, boot.Clean(v.Volume.Label))
			if v.Problem != "" {
				b.WriteString("    " + v.Problem + "\n")
			}
			for _, n := range v.Notes {
				b.WriteString("    " + n.String() + "\n")
			}
		}
		section("Entries")
		for i, e := range inv.Entries {
			fmt.Fprintf(&b, "  %d. %s (%s)\n    %s %s on %s, /%s, %q\n    %s\n", i+1, boot.Clean(e.Title), e.ID, e.Format, e.Source, e.Volume.Device, e.Kernel, e.Initrds, e.Cmdline)
			for _, n := range append(slices.Clone(e.Notes), e.Problem) {
				if n != "" {
					b.WriteString("    " + n + "\n")
				}
			}
		}
		section("Log")
		for _, l := range s.book.all() {
			fmt.Fprintf(&b, "%-5s %s\n", l.Level, plain(l.Text))
		}
		return strings.TrimLeft(b.String(), "\n")
	}
}
