package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// module is the import path of the project; machines the one package whose
// tests start virtual machines.
const (
	module   = "github.com/alpboot/alpboot"
	machines = module + "/qemu-tests"
)

// Level is how much is run. Each one includes those before it.
type level int

const (
	checkOnly  level = iota // sources and unit tests: neither root rights nor QEMU
	standard                // image tests, and virtual machines for every feature
	everything              // further kernels, arm64, fuzzing, long random tests
)

var levels = map[string]level{"check": checkOnly, "test": standard, "test-all": everything}

// checks counts what has been run.
type checks struct {
	out   io.Writer
	ci    bool
	level level
	start time.Time

	passed, failed, skipped int
	shortened               map[string]bool // packages of which -short leaves out some tests now
	machines                []timing        // how long each test in a virtual machine took
}

// timing is how long the virtual machines of a test ran, and how much processor
// time they used: on a busy machine the first is the larger one.
type timing struct {
	test      string
	ran, used float64 // s
}

// machineRan is what package vm logs of each machine.
var machineRan = regexp.MustCompile(`the machine ran for ([0-9.]+) s and used ([0-9.]+) s of processor time`)

// readTiming adds up what the output of a test has of its machines.
func readTiming(test, output string) timing {
	t := timing{test: test}
	for _, m := range machineRan.FindAllStringSubmatch(output, -1) {
		var ran, used float64
		fmt.Sscan(m[1], &ran) // the expression leaves only numbers
		fmt.Sscan(m[2], &used)
		t.ran += ran
		t.used += used
	}
	return t
}

// all runs the checks of the level, the cheapest first.
func (c *checks) all(ctx context.Context) {
	packages, err := goList(ctx)
	if err != nil {
		c.fail("go list ./...", err.Error())
		return
	}
	c.sources(ctx, packages)
	c.units(ctx, packages)
	if c.level >= standard {
		c.virtualMachines(ctx)
	}
	if c.level >= everything {
		c.fuzz(ctx, packages)
	}
}

// sources checks the source code without running it.
func (c *checks) sources(ctx context.Context, packages []goPackage) {
	c.check("gofmt -s", func() error {
		var files []string
		for _, p := range packages {
			for _, list := range [][]string{p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles} {
				for _, name := range list {
					files = append(files, filepath.Join(p.Dir, name))
				}
			}
		}
		unformatted, err := lines(ctx, "gofmt", append([]string{"-s", "-l"}, files...)...)
		if err == nil && len(unformatted) > 0 {
			err = fmt.Errorf("run gofmt -s -w on:\n%s", strings.Join(unformatted, "\n"))
		}
		return err
	})
	c.check("go vet", func() error {
		_, err := lines(ctx, "go", "vet", "./...")
		return err
	})
	c.check("staticcheck", func() error {
		_, err := lines(ctx, "go", "run", staticcheck, "./...")
		return err
	})
	if why := unreachable(ctx, vulnerabilities()); why != nil {
		c.skip("govulncheck", fmt.Sprintf("its database cannot be reached (%v)", why))
		return
	}
	c.check("govulncheck", func() error {
		_, err := lines(ctx, "go", "run", govulncheck, "./...")
		return err
	})
}

// units runs the unit and golden tests, with the race detector where something
// runs side by side. The seeds of fuzz targets are among them.
func (c *checks) units(ctx context.Context, packages []goPackage) {
	var plain, long, raced []string
	c.shortened = map[string]bool{}
	for _, p := range packages {
		if p.ImportPath == machines || len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		concurrent := p.concurrent()
		c.shortened[p.ImportPath] = p.long()
		if concurrent {
			raced = append(raced, p.ImportPath)
		}
		// What takes long, such as building images, would take ten times as long
		// with the race detector. It comes first, so that the end has work for
		// all processors.
		switch {
		case c.level >= standard && p.long():
			long = append(long, p.ImportPath)
		case !concurrent:
			plain = append(plain, p.ImportPath)
		}
	}
	plain = append(long, plain...)
	// go vet has seen them all.
	args := []string{"-vet=off", "-timeout=20m"}
	quick := append(args, "-short")
	if c.level == checkOnly {
		args = quick
	}
	random := map[level]string{checkOnly: "2s", standard: "10s", everything: "5m"}[c.level]
	c.progress("unit tests of %d packages in which goroutines run, with the race detector", len(raced))
	c.test(ctx, []string{"ALPBOOT_RANDOM=" + random}, slices.Concat(quick, []string{"-race"}, raced)...)
	c.progress("unit tests of %d packages without it", len(plain))
	if c.level >= standard {
		c.shortened = nil
	}
	c.test(ctx, c.more(), slices.Concat(args, plain)...)
}

// more returns what has tests run in full, in their environment.
func (c *checks) more() []string {
	if c.level >= everything {
		return []string{"ALPBOOT_TEST_ALL=1"}
	}
	return nil
}

// virtualMachines runs the tests that start virtual machines, and prints which
// took longest.
func (c *checks) virtualMachines(ctx context.Context) {
	c.progress("virtual machines")
	c.test(ctx, c.more(), "-vet=off", "-count=1", "-timeout=80m", machines)
	slices.SortFunc(c.machines, func(a, b timing) int { return cmp.Compare(b.used, a.used) })
	c.progress("the tests in virtual machines that used most processor time:")
	for _, m := range c.machines[:min(10, len(c.machines))] {
		c.progress("      %4.0f s in %4.0f s  %s", m.used, m.ran, m.test)
	}
}

// fuzzTime returns how long a fuzz target of a package runs: ALPBOOT_FUZZ, else ten
// minutes for the configurations that are read from disks and for what decides whether
// they count, and one for others.
func fuzzTime(pkg string) string {
	switch d := os.Getenv("ALPBOOT_FUZZ"); {
	case d != "":
		return d
	case strings.Contains(pkg, "/boot/format/"), strings.HasSuffix(pkg, "/boot/manifest"), strings.HasSuffix(pkg, "/boot/signature"):
		return "10m"
	}
	return "1m"
}

// fuzz runs each fuzz target of the packages for a while, on one processor: as
// many at once as there are.
func (c *checks) fuzz(ctx context.Context, packages []goPackage) {
	args := []string{"test", "-vet=off", "-json", "-list", "^Fuzz"}
	for _, p := range packages {
		args = append(args, p.ImportPath)
	}
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		c.fail("listing fuzz targets", err.Error()+"\n"+string(out))
		return
	}
	type outcome struct {
		name string
		took time.Duration
		err  error
	}
	results := make(chan outcome)
	targets, running := 0, make(chan struct{}, runtime.NumCPU())
	for e := range events(bytes.NewReader(out)) {
		name := strings.TrimSpace(e.Output)
		if e.Action != "output" || !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		targets++
		go func() {
			running <- struct{}{}
			defer func() { <-running }()
			start := time.Now()
			_, err := lines(ctx, "go", "test", "-vet=off", "-run=^$", "-fuzz=^"+name+"$", "-fuzztime="+fuzzTime(e.Package), "-timeout=0", "-fuzzminimizetime=10x", "-parallel=1", e.Package)
			if err != nil && ranOutOfTime(err.Error()) {
				err = nil
			}
			results <- outcome{name + " in " + short(e.Package), time.Since(start), err}
		}()
	}
	for range targets {
		r := <-results
		c.done(r.name, r.took, r.err)
	}
}

// ranOutOfTime reports whether all that a fuzzing run complains of is that its
// time was up, as Go's fuzzing now and then does where it should just end.
func ranOutOfTime(output string) bool {
	return strings.Contains(output, "\n    context deadline exceeded\n") &&
		!strings.Contains(output, "Failing input written") && !strings.Contains(output, "panic:")
}

// check runs one check that is no Go test.
func (c *checks) check(name string, f func() error) {
	start := time.Now()
	err := f()
	c.done(name, time.Since(start), err)
}

// done counts a check that has been run.
func (c *checks) done(name string, took time.Duration, err error) {
	if err != nil {
		c.fail(name, err.Error())
		return
	}
	c.passed++
	c.progress("ok    %s (%.1f s)", name, took.Seconds())
}

func (c *checks) skip(name, reason string) {
	c.skipped++
	c.progress("skip  %s: %s", name, reason)
}

func (c *checks) fail(name, output string) {
	c.failed++
	c.progress("FAIL  %s\n%s", name, strings.TrimRight(output, "\n"))
}

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action      string
	Package     string
	Test        string
	ImportPath  string // of build-output
	FailedBuild string // the ImportPath that a package failed because of
	Output      string
	Elapsed     float64
}

// events decodes the output of go test -json. A line that is none of it is
// yielded as output of no package.
func events(r io.Reader) func(yield func(event) bool) {
	return func(yield func(event) bool) {
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				var e event
				if json.Unmarshal(line, &e) != nil {
					e = event{Action: "output", Output: string(line)}
				}
				if !yield(e) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// test runs go test with further variables in its environment and counts its
// tests; those that have subtests count as their subtests do.
func (c *checks) test(ctx context.Context, env []string, args ...string) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.fail("go test", err.Error())
		return
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		c.fail("go test", err.Error())
		return
	}
	failedBefore := c.failed
	c.count(events(stdout))
	if err := cmd.Wait(); err != nil && c.failed == failedBefore {
		c.fail("go test "+strings.Join(args, " "), err.Error()+"\n"+stderr.String())
	}
}

// id names a test, or with an empty test a package.
type id struct{ pkg, test string }

func (i id) String() string { return strings.TrimSpace(short(i.pkg) + " " + i.test) }

// above returns the tests that a subtest is part of, and its package.
func (i id) above() []id {
	var ids []id
	for i.test != "" {
		i.test = i.test[:max(0, strings.LastIndex(i.test, "/"))]
		ids = append(ids, i)
	}
	return ids
}

// count goes through the events of a test run.
func (c *checks) count(events func(func(event) bool)) {
	output := map[id]string{}
	parents := map[id]bool{}      // what has tests below it
	reported := map[id]bool{}     // what has failed because of something below it
	builds := map[string]string{} // output of builds, by package
	fail := func(key id, output string) {
		c.fail(key.String(), output)
		for _, a := range key.above() {
			reported[a] = true
		}
	}
	for e := range events {
		key := id{e.Package, e.Test}
		switch e.Action {
		case "run":
			for _, a := range key.above() {
				parents[a] = true
			}
		case "output":
			output[key] += e.Output
		case "build-output":
			builds[e.ImportPath] += e.Output
		case "fail":
			switch {
			case e.FailedBuild != "":
				fail(key, builds[e.FailedBuild])
			case !reported[key]:
				fail(key, output[key])
			case e.Test != "" && output[key] != "":
				// Its subtests have been counted; it may have printed more.
				c.progress("      %s\n%s", key, strings.TrimRight(output[key], "\n"))
			}
		case "pass":
			switch {
			case e.Test == "":
				c.progress("ok    %s (%.1f s)", key, e.Elapsed)
			case !parents[key]:
				c.passed++
				if e.Package == machines {
					ran := readTiming(e.Test, output[key])
					c.progress("ok    %s (%.0f s)", e.Test, ran.ran)
					c.machines = append(c.machines, ran)
				}
			}
		case "skip":
			if e.Test == "" {
				break // a package without tests
			}
			if c.shortened[e.Package] {
				break // a higher level runs it
			}
			reason, allowed := maySkip(e.Package, e.Test, output[key])
			if c.ci && !allowed {
				fail(key, "It was skipped, which in CI nothing may be without a reason in skips.go.\n"+output[key])
				break
			}
			if !allowed {
				reason = skipReason(output[key])
			}
			c.skip(key.String(), reason)
		}
	}
}

// skipReason returns what a test printed that was skipped, without the frame.
func skipReason(output string) string {
	var reasons []string
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(strings.TrimSpace(line), "--- ") {
			reasons = append(reasons, strings.TrimSpace(line))
		}
	}
	return strings.Join(reasons, " ")
}

func (c *checks) progress(format string, args ...any) {
	fmt.Fprintf(c.out, "%4.0f s  %s\n", time.Since(c.start).Seconds(), fmt.Sprintf(format, args...))
}

// summary prints the last line and returns the exit code.
func (c *checks) summary() int {
	fmt.Fprintf(c.out, "%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	if c.failed > 0 || c.passed == 0 {
		return 1
	}
	return 0
}

// short is a package without the path that all have in common.
func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
}

// lines runs a program and returns the lines of its output; its error holds all
// that it wrote.
func lines(ctx context.Context, name string, args ...string) ([]string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &stderr, &stdout)
	}
	return strings.FieldsFunc(stdout.String(), func(r rune) bool { return r == '\n' }), nil
}
