// All runs the checks of the project. It is what make check, make test and make
// test-all call; docs/testing.md has what each of them runs.
//
// The output of what failed is printed in full; the last line counts the checks
// that passed, failed and were skipped. With CI=true in the environment, a
// skipped test counts as failed unless skips.go has a reason for it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	c := &checks{out: stdout, ci: os.Getenv("CI") == "true", start: time.Now()}
	var ok bool
	if len(args) == 1 {
		c.level, ok = levels[args[0]]
	}
	if !ok {
		fmt.Fprintln(stderr, "usage: all check | test | test-all")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c.all(ctx)
	return c.summary()
}
