package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/version"
)

// A verb is one thing that mkpayload does. Its flags function adds the verb's
// flags, and returns what is called when they have been parsed.
type verb struct {
	name  string
	about string
	flags func(f *flagSet) runner
}

type runner func(ctx context.Context, out payload.Output) error

// errUsage means that the user has been shown how to use the command.
var errUsage = errors.New("misuse")

// misuse is what is wrong with the arguments.
type misuse string

func (m misuse) Error() string { return string(m) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends it as it is

	v := verbs()[0]
	if len(args) > 0 {
		switch first := strings.TrimLeft(args[0], "-"); {
		case args[0] == "help", args[0] != first && (first == "help" || first == "h"):
			usage(stdout)
			return 0
		case args[0] != first && first == "version":
			fmt.Fprintln(stdout, "mkpayload", version.String())
			return 0
		case args[0] == first:
			found := false
			for _, w := range verbs() {
				if found = w.name == first; found {
					v, args = w, args[1:]
					break
				}
			}
			if !found {
				fmt.Fprintf(stderr, "mkpayload: there is no verb %q\n", first)
				usage(stderr)
				return 2
			}
		}
	}
	f := &flagSet{FlagSet: flag.NewFlagSet(v.name, flag.ContinueOnError)}
	do := v.flags(f)
	err := f.parse(args, stderr)
	if err == nil {
		err = do(ctx, payload.Output{Stdout: stdout, Progress: func(format string, args ...any) {
			fmt.Fprintf(stderr, "mkpayload: "+format+"\n", args...)
		}})
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "mkpayload: interrupted; no file was left half-written")
		return 130
	}
	fmt.Fprintf(stderr, "mkpayload %s: %v\n", v.name, err)
	if wrong := misuse(""); errors.As(err, &wrong) {
		return 2
	}
	return 1
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: mkpayload [VERB] [FLAG...]")
	fmt.Fprintln(w)
	for i, v := range verbs() {
		note := ""
		if i == 0 {
			note = " (without a verb)"
		}
		fmt.Fprintf(w, "  %-10s %s%s\n", v.name, v.about, note)
	}
	fmt.Fprintln(w, "\nmkpayload VERB --help lists the flags of a verb; mkpayload --version the version.")
}
