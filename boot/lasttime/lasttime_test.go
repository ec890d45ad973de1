package lasttime

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	efivars   = "sys/firmware/efi/efivars/"
	crashGUID = "-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0"
)

// file is a file with a text, written at a time.
func file(text string, seconds int64) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(text), ModTime: time.Unix(seconds, 0)}
}

// dump is a part of what a kernel has left.
func dump(text string) *fstest.MapFile { return file("\x07\x00\x00\x00"+text, 0) }

func TestRecords(t *testing.T) {
	machine := fstest.MapFS{
		efivars + "dump-type0-1-1-100-D" + crashGUID:     dump("Oops#1 Part1\n<4>[ 1.0] an older one\n"),
		efivars + "dump-type0-1-2-7200-D" + crashGUID:    dump("Panic#2 Part1\n<0>[ 2.0] Kernel panic - not syncing: no \x1b[2Jroot\n<4>[ 2.1] more\n"),
		"sys/class/watchdog/watchdog0/identity":          file("iTCO_wdt\n", 0),
		"sys/class/watchdog/watchdog0/bootstatus":        file("32\n", 0),
		"sys/class/watchdog/watchdog1/identity":          file("softdog\n", 0),
		"sys/class/watchdog/watchdog1/bootstatus":        file("0\n", 0),
		efivars + "dump-type0-1-3-9000-X-bad" + "-other": dump("not a dump"),
	}
	got := Records(machine, 3600)
	if len(got.Known) != 2 || !strings.Contains(got.Known[0], "Kernel panic - not syncing: no") || strings.Contains(got.Known[0], "\x1b") ||
		got.Known[1] != "The watchdog (iTCO_wdt) reset the machine." {
		t.Errorf("known is %q", got.Known)
	}
	all := strings.Join(got.Lines, "\n")
	if !strings.HasPrefix(all, "left by the kernel in EFI variables at 1970-01-01 02:00 UTC:\n  ") || !strings.Contains(all, "more") || strings.Contains(all, "an older one") {
		t.Errorf("the lines are\n%s", all)
	}
	if got := Records(machine, 0); !strings.Contains(strings.Join(got.Lines, "\n"), "an older one") {
		t.Errorf("without a time the lines are %q", got.Lines)
	}
	if got := Records(fstest.MapFS{}, 0); len(got.Known)+len(got.Lines) > 0 {
		t.Errorf("a machine without EFI variables and a watchdog has %+v", got)
	}
	// What cannot be read is a line, not a silence.
	broken := fstest.MapFS{strings.TrimSuffix(efivars, "/"): file("not a directory", 0)}
	if got := Records(broken, 0); len(got.Lines) != 1 || !strings.HasPrefix(got.Lines[0], "what kernels have left in EFI variables: ") {
		t.Errorf("where they cannot be read: %q", got.Lines)
	}
}

func TestLog(t *testing.T) {
	long := strings.Repeat("an early line of the log\n", maxTail/10) + "the last line\n"
	root := fstest.MapFS{
		"rc.log": file("rc boot logging started\n\n * Mounting \x1b[1mlocal\x1b[m filesystems ...\n\n", 7200),
		"long":   file(long, 7200),
		"empty":  file("", 7200),
		"dir/x":  file("", 7200),
	}
	for _, tt := range []struct {
		name  string
		since int64
		want  Finding
		fails string
	}{
		{"rc.log", 7200, Finding{
			Known: []string{"The last line of its rc.log: * Mounting [1mlocal [m filesystems ..."},
			Lines: []string{"the end of X:", "  rc boot logging started", "  * Mounting [1mlocal [m filesystems ..."},
		}, ""},
		{"rc.log", 7201, Finding{Lines: []string{"X is older than that start"}}, ""},
		{"dir", 0, Finding{}, "is not a regular file"},
		{"none", 0, Finding{}, fs.ErrNotExist.Error()},
	} {
		got, err := Log(root, tt.name, "X", tt.since)
		if d := cmp.Diff(tt.want, got); d != "" || (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s since %d: %v (-want +got):\n%s", tt.name, tt.since, err, d)
		}
	}
	if _, err := Log(root, "none", "X", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	if got, err := Log(root, "empty", "X", 0); err != nil || len(got.Lines) != 1 || got.Known != nil {
		t.Errorf("an empty one: %+v, %v", got, err)
	}
	// Of a long one there is the end, in whole lines.
	got, err := Log(root, "long", "X", 0)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, line := range got.Lines[1 : len(got.Lines)-1] {
		size += len(line)
		if line != "  an early line of the log" {
			t.Fatalf("a line is %q", line)
		}
	}
	if last := got.Lines[len(got.Lines)-1]; last != "  the last line" || size > 2*maxTail || size < maxTail/2 {
		t.Errorf("%d bytes of lines, the last one %q", size, last)
	}
}
