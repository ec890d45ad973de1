package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
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

// checks counts what has been run.
type checks struct {
	out   io.Writer
	ci    bool
	start time.Time

	passed, failed, skipped int
}

// all runs everything, the cheapest first.
func (c *checks) all(ctx context.Context, fuzz time.Duration, short bool) {
	dirs, err := lines(ctx, "go", "list", "-f", "{{.Dir}}", "./...")
	if err != nil {
		c.fail("go list ./...", err.Error())
		return
	}
	c.check("gofmt", func() error {
		// One folder at a time: gofmt would go down into build/ otherwise.
		var unformatted []string
		for _, dir := range dirs {
			files, err := lines(ctx, "gofmt", "-s", "-l", dir)
			if err != nil {
				return err
			}
			for _, f := range files {
				if !slices.Contains(unformatted, f) {
					unformatted = append(unformatted, f)
				}
			}
		}
		if len(unformatted) > 0 {
			return fmt.Errorf("run gofmt -s -w on:\n%s", strings.Join(unformatted, "\n"))
		}
		return nil
	})
	c.check("go vet", func() error {
		_, err := lines(ctx, "go", "vet", "./...")
		return err
	})

	packages, err := lines(ctx, "go", "list", "./...")
	if err != nil {
		c.fail("go list ./...", err.Error())
		return
	}
	packages = slices.DeleteFunc(packages, func(p string) bool { return p == machines })
	c.progress("unit tests")
	c.test(ctx, append([]string{"-timeout=10m"}, packages...)...)
	if fuzz > 0 {
		c.fuzz(ctx, fuzz, packages)
	}
	if !short {
		c.progress("virtual machines (three minutes on two cores, and ten more when the kernel must be built)")
		c.test(ctx, "-count=1", "-timeout=80m", machines)
	}
}

// fuzz runs each fuzz target of the packages for a while.
func (c *checks) fuzz(ctx context.Context, each time.Duration, packages []string) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-list", "^Fuzz"}, packages...)...)
	out, err := cmd.Output()
	if err != nil {
		c.fail("listing fuzz targets", err.Error()+"\n"+string(out))
		return
	}
	for e := range events(bytes.NewReader(out)) {
		name := strings.TrimSpace(e.Output)
		if e.Action != "output" || !strings.HasPrefix(name, "Fuzz") {
			continue
		}
		c.check(fmt.Sprintf("%s in %s, %v", name, short(e.Package), each), func() error {
			_, err := lines(ctx, "go", "test", "-run=^$", "-fuzz=^"+name+"$", "-fuzztime="+each.String(), "-fuzzminimizetime=10x", e.Package)
			if err != nil && ranOutOfTime(err.Error()) {
				return nil
			}
			return err
		})
	}
}

// ranOutOfTime tells whether all that a fuzzing run complains of is that its
// time was up, as Go's fuzzing now and then does where it should just end.
func ranOutOfTime(output string) bool {
	return strings.Contains(output, "\n    context deadline exceeded\n") &&
		!strings.Contains(output, "Failing input written") && !strings.Contains(output, "panic:")
}

// check runs one check that is no Go test.
func (c *checks) check(name string, f func() error) {
	start := time.Now()
	if err := f(); err != nil {
		c.fail(name, err.Error())
		return
	}
	c.passed++
	c.progress("ok    %s (%.1f s)", name, time.Since(start).Seconds())
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
// given as output of no package.
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

// test runs go test and counts its tests; those that have subtests count as
// their subtests do.
func (c *checks) test(ctx context.Context, args ...string) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
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

// above gives the tests that a subtest is part of, and its package.
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
	told := map[id]bool{}         // what has failed because of something below it
	builds := map[string]string{} // output of builds, by package
	fail := func(key id, output string) {
		c.fail(key.String(), output)
		for _, a := range key.above() {
			told[a] = true
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
			case !told[key]:
				fail(key, output[key])
			case e.Test != "" && output[key] != "":
				// Its subtests have been counted; it may say something besides.
				c.progress("      %s\n%s", key, strings.TrimRight(output[key], "\n"))
			}
		case "pass":
			switch {
			case e.Test == "":
				c.progress("ok    %s (%.1f s)", key, e.Elapsed)
			case !parents[key]:
				c.passed++
				if e.Package == machines {
					c.progress("ok    %s (%.0f s)", e.Test, e.Elapsed)
				}
			}
		case "skip":
			if e.Test == "" {
				break // a package without tests
			}
			reason, allowed := maySkip(e.Package, e.Test)
			if c.ci && !allowed {
				fail(key, "It was skipped, which in CI nothing may be without a reason in skips.go.\n"+output[key])
				break
			}
			c.skipped++
			if !allowed {
				reason = strings.TrimSpace(output[key])
			}
			c.progress("skip  %s: %s", key, reason)
		}
	}
}

func (c *checks) progress(format string, args ...any) {
	fmt.Fprintf(c.out, "%4.0f s  %s\n", time.Since(c.start).Seconds(), fmt.Sprintf(format, args...))
}

// summary prints the last line and gives the exit code.
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

// lines runs a program and gives the lines of its output; its error holds all
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
