// Package command is the command alpboot, and kexec-reboot, which is a name of it.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/boot/version"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

// The exit codes, as the usages and the manual pages promise them.
const (
	exitDone = iota
	exitFailed
	exitMisuse
	exitFirmware // kexec-reboot status: a reboot goes through the firmware
)

// Run runs the command that args[0] names: alpboot, or one of the names that it has
// by a link. It returns the exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	name := "alpboot"
	if len(args) > 0 {
		name, args = filepath.Base(args[0]), args[1:]
	}
	if len(args) > 0 && (args[0] == "lsboot" || args[0] == "kexec-reboot") { // where the links are missing
		name, args = args[0], args[1:]
	}
	switch name {
	case "lsboot":
		return lsboot.Run(args, stdout, stderr)
	case "kexec-reboot":
		return KexecReboot(args, stdout, stderr)
	}
	return command{reboot.New("/", stdout, stderr)}.alpboot(args)
}

// A command is alpboot or kexec-reboot on a system.
type command struct{ *reboot.System }

// misuse is what a user did wrong on the command line.
type misuse string

func (m misuse) Error() string { return string(m) }

func misused(format string, args ...any) error { return misuse(fmt.Sprintf(format, args...)) }

// alpboot does what args ask for, and returns the exit code.
func (c command) alpboot(args []string) int {
	c.Name = "alpboot"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	v := verbs()[0]
	if len(args) > 0 {
		switch args[0] {
		case "help", "--help", "-help", "-h":
			c.help(c.Stdout, args[1:])
			return exitDone
		case "version", "--version", "-version":
			fmt.Fprintln(c.Stdout, "alpboot", version.String())
			return exitDone
		}
		if !strings.HasPrefix(args[0], "-") {
			named, ok := verbNamed(args[0])
			if !ok {
				return c.end(v, misused("%q is not a verb of alpboot", args[0]))
			}
			v, args = named, args[1:]
		}
	}
	f := newFlags()
	do := v.flags(f)
	words, err := parse(f, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		v.help(c.Stdout)
		return exitDone
	case err == nil && len(words) > v.most():
		err = misused("%q is one word too many", words[v.most()])
	case err == nil && len(words) < v.least():
		err = misused("it takes %s", v.args)
	}
	code := exitDone
	if err == nil {
		code, err = do(ctx, c, words)
	}
	if err != nil {
		return c.end(v, err)
	}
	return code
}

// end reports why a verb was not done.
func (c command) end(v verb, err error) int {
	c.Warn("%v", err)
	if wrong := misuse(""); errors.As(err, &wrong) {
		fmt.Fprintf(c.Stderr, "Usage: %s\n", v.usage())
		return exitMisuse
	}
	return exitFailed
}

// help prints the usage of all verbs, or of one.
func (c command) help(w io.Writer, words []string) {
	if len(words) > 0 {
		if v, ok := verbNamed(words[0]); ok {
			v.help(w)
			return
		}
	}
	fmt.Fprint(w, "Usage: alpboot [VERB] [FLAG...] [WORD...]\n\n")
	for i, v := range verbs() {
		about := v.about
		if i == 0 {
			about += " (without a verb)"
		}
		fmt.Fprintf(w, "  %-23s %s\n", strings.TrimSpace(v.name+" "+v.args), about)
	}
	fmt.Fprintf(w, "\n%s\n", footer)
}

const footer = `alpboot VERB --help describes a verb and its flags, alpboot(8) all of them.
alpboot lsboot and alpboot kexec-reboot are these commands, where their links
are missing. Exit status: 0 done, 1 failed or refused, 2 misuse; list and doctor
have more.`
