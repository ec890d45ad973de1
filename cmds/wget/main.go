// Wget gets a file over HTTP: another kernel, or a file that repairs what
// does not boot.
//
// It speaks no HTTPS. The image has no certificates to check a server by, and
// TLS alone would be a tenth of the whole payload.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/alpboot/alpboot/boot/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wget", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: wget [-O FILE] http://HOST/FILE")
		flags.PrintDefaults()
	}
	file := flags.String("O", "", "write to `FILE`, replacing it; - is the standard output (default: the name that the URL ends in)")
	showVersion := flags.Bool("version", false, "print the version")
	var urls []string
	for rest := args; ; { // flags may follow the URL
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return 2
		}
		if flags.NArg() == 0 {
			break
		}
		urls, rest = append(urls, flags.Arg(0)), flags.Args()[1:]
	}
	if *showVersion {
		fmt.Fprintln(stdout, "wget", version.String())
		return 0
	}
	if len(urls) != 1 {
		flags.Usage()
		return 2
	}
	if err := download(ctx, urls[0], *file, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "wget:", err)
		return 1
	}
	return 0
}
