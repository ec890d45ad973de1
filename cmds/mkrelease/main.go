// Mkrelease makes the files of a release out of a checkout of alpboot: payloads,
// programs, packages, what is in them, their sums, and signatures. Built twice of
// the same commit by the same compilers they are the same to the byte; mkrelease
// verify builds one again and compares. docs/release.md is about it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
