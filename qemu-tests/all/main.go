// All runs every check of the project: formatting, go vet, unit tests, fuzz
// targets, and the tests in virtual machines. It is what make test calls.
//
// The output of what failed is printed in full; the last line says how many
// checks passed, failed and were skipped. With CI=true in the environment, a
// skipped test counts as failed unless skips.go gives a reason for it.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("all", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fuzz := fs.Duration("fuzztime", 5*time.Second, "how long each fuzz target runs; 0 leaves them out")
	short := fs.Bool("short", false, "leave out what needs virtual machines")
	if err := fs.Parse(args); err != nil || fs.NArg() > 0 {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &checks{out: stdout, ci: os.Getenv("CI") == "true", start: time.Now()}
	c.all(ctx, *fuzz, *short)
	return c.summary()
}
