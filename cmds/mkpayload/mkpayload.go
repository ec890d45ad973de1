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

	"github.com/alpboot/alpboot/boot/version"
)

// A verb is one thing that mkpayload makes.
type verb struct {
	name  string
	about string
	run   func(ctx context.Context, args []string, out output) error
}

// output is where a verb says what it did, and what it is doing.
type output struct {
	stdout, stderr io.Writer
}

func (o output) progress(format string, args ...any) {
	fmt.Fprintf(o.stderr, "mkpayload: "+format+"\n", args...)
}

// verbs lists them all; the first is meant when none is named.
func verbs() []verb {
	return []verb{
		{"initramfs", "the menu and its shell, as an initramfs", runInitramfs},
		{"kernel", "the menu's own Linux kernel", runKernel},
		{"uki", "kernel and initramfs as one EFI program, a unified kernel image", runUKI},
		{"bzimage", "the kernel with initramfs and command line built in", runBzimage},
		{"coreboot", "a coreboot ROM with kernel and initramfs as its payload", runCoreboot},
		{"linuxboot", "UEFI firmware that starts the menu from flash", runLinuxboot},
		{"stick", "the image of a removable disk that boots with UEFI and BIOS", runStick},
		{"install", "puts a UKI on an EFI system partition, or replaces the one there", runInstall},
		{"uninstall", "takes it away again", runUninstall},
		{"all", "all payloads for a processor, with their sums and a manifest", runAll},
		{"inspect", "what a file is, what lies in it, and what is wrong with it", runInspect},
	}
}

// errUsage means that the user has been told how to use the command.
var errUsage = errors.New("misuse")

// misuse says what is wrong with the arguments.
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
	err := v.run(ctx, args, output{stdout, stderr})
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
			note = " (when no verb is given)"
		}
		fmt.Fprintf(w, "  %-10s %s%s\n", v.name, v.about, note)
	}
	fmt.Fprintln(w, "\nmkpayload VERB --help lists the flags of a verb; mkpayload --version the version.")
}

// parseFlags parses the flags of a verb, which takes no further arguments.
func parseFlags(flags *flag.FlagSet, args []string, out output) error {
	flags.SetOutput(out.stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		return misuse(fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	}
	return nil
}
