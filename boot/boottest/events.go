package boottest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// RandomEvents plays lists of events, each in a bubble of package synctest: those
// in testdata/events, which have failed once, and as many that generate makes.
// An event is a line of text, so that a list means the same when generate has
// changed. Play must take a list from which events were left out.
//
// A list that fails is cut down to the events that it takes, and kept in a file
// that can be put into testdata/events. ALPBOOT_EVENTS is such a file to be played
// alone; ALPBOOT_RANDOM is for how long new lists are tried, instead of so many.
func RandomEvents(t *testing.T, many int, generate func(*rand.Rand) []string, play func(t *testing.T, events []string)) {
	run := func(name string, events []string) bool {
		return t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, events) })
		})
	}
	if name := os.Getenv(eventsFile); name != "" {
		run(filepath.Base(name), readEvents(t, name))
		return
	}
	kept, err := filepath.Glob("testdata/events/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kept {
		run(filepath.Base(name), readEvents(t, name))
	}
	var limit time.Duration
	if text := os.Getenv("ALPBOOT_RANDOM"); text != "" {
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	began, n := time.Now(), 0
	for ; time.Since(began) < limit || limit == 0 && n < many; n++ {
		events := generate(rand.New(rand.NewPCG(rand.Uint64(), 0)))
		if !run("random", events) {
			t.Logf("the events that fail are in %s", keepEvents(t, events))
			return
		}
	}
	t.Logf("%d lists that were kept, and %d new ones in %v", len(kept), n, time.Since(began).Round(time.Second))
}

const eventsFile = "ALPBOOT_EVENTS"

// readEvents reads a list of events, without comments and empty lines.
func readEvents(t *testing.T, name string) (events []string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			events = append(events, line)
		}
	}
	return events
}

// keepEvents writes events that fail to a file, cut down as far as a minute allows,
// and returns its name.
func keepEvents(t *testing.T, events []string) string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	fails := func(events []string) bool {
		name := filepath.Join(dir, "events.txt")
		if err := writeEvents(name, events); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=20s")
		cmd.Env = append(os.Environ(), eventsFile+"="+name)
		out, err := cmd.CombinedOutput()
		return err != nil && ctx.Err() == nil && bytes.Contains(out, []byte("FAIL"))
	}
	if fails(events) {
		for size := len(events) / 2; size > 0 && ctx.Err() == nil; size /= 2 {
			for at := 0; at < len(events); {
				if less := slices.Delete(slices.Clone(events), at, min(at+size, len(events))); fails(less) {
					events = less
				} else {
					at += size
				}
			}
		}
	}
	name := filepath.Join(os.TempDir(), fmt.Sprintf("alpboot-events-%.8x.txt", sha256.Sum256([]byte(strings.Join(events, "\n")))))
	if err := writeEvents(name, events); err != nil {
		t.Fatal(err)
	}
	return name
}

func writeEvents(name string, events []string) error {
	return os.WriteFile(name, []byte(strings.Join(events, "\n")+"\n"), 0o644)
}

// Goroutines returns the stacks of the goroutines of synctest bubbles in which one of the
// functions is.
func Goroutines(functions ...string) string {
	b := make([]byte, 1<<20)
	var left []string
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "synctest bubble") && slices.ContainsFunc(functions, func(f string) bool { return strings.Contains(stack, f) }) {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
