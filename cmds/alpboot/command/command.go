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
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/manual"
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
	return command{System: reboot.New("/", stdout, stderr)}.alpboot(args)
}

// A command is alpboot or kexec-reboot on a system.
type command struct {
	*reboot.System
	args []string // of the verb, as they were typed
}

// A program is what a command does by one of its names.
type program struct {
	name   string
	verbs  []verb
	usage  string // of all verbs
	footer string // of --help
}

// misuse is what a user did wrong on the command line.
type misuse string

func (m misuse) Error() string { return string(m) }

func misused(format string, args ...any) error { return misuse(fmt.Sprintf(format, args...)) }

// alpboot does what args ask for, and returns the exit code.
func (c command) alpboot(args []string) int { return c.run(alpboot(), args) }

// run does what args ask of a program, and returns the exit code.
func (c command) run(p program, args []string) int {
	c.Name = p.name
	v := p.verbs[0]
	if len(args) > 0 {
		switch args[0] {
		case "help", "--help", "-help", "-h":
			p.help(c.Stdout, args[1:])
			return exitDone
		case "version", "--version", "-version":
			fmt.Fprintln(c.Stdout, p.name, version.String())
			return exitDone
		}
		if !strings.HasPrefix(args[0], "-") {
			named, ok := p.verb(args[0])
			if !ok {
				return c.end(p, v, misused("%q is not a verb of %s", args[0], p.name))
			}
			v, args = named, args[1:]
		}
	}
	return c.do(p, v, args)
}

// do does what a verb is for, and returns the exit code.
func (c command) do(p program, v verb, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c.args = args
	f := newFlags()
	do := v.flags(f)
	words, err := parse(f, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		p.describe(c.Stdout, v)
		return exitDone
	case err == nil && len(words) > v.most():
		err = misused("%q is one word too many", words[v.most()])
	case err == nil && len(words) < v.least():
		err = misused("%s takes %s", v.name, v.args)
	}
	code := exitDone
	if err == nil {
		code, err = do(ctx, c, words)
	}
	if err != nil {
		return c.end(p, v, err)
	}
	return code
}

// end reports why a verb was not done.
func (c command) end(p program, v verb, err error) int {
	c.Warn("%v", err)
	if wrong := misuse(""); errors.As(err, &wrong) {
		fmt.Fprintf(c.Stderr, "Usage: %s\n", p.usageOf(v))
		return exitMisuse
	}
	return exitFailed
}

// help prints the usage of all verbs, or of one.
func (p program) help(w io.Writer, words []string) {
	if len(words) > 0 {
		if v, ok := p.verb(words[0]); ok {
			p.describe(w, v)
			return
		}
	}
	fmt.Fprintf(w, "Usage: %s\n\n", p.usage)
	for _, v := range p.verbs {
		fmt.Fprintf(w, "  %-23s %s\n", strings.TrimSpace(v.name+" "+v.args), v.about)
	}
	fmt.Fprintf(w, "\n%s\n", p.footer)
}

// verb returns the verb with a name.
func (p program) verb(name string) (verb, bool) {
	i := slices.IndexFunc(p.verbs, func(v verb) bool { return v.name == name })
	if i < 0 {
		return verb{}, false
	}
	return p.verbs[i], true
}

// usageOf returns how a verb is called.
func (p program) usageOf(v verb) string {
	words := []string{p.name, v.name}
	for _, f := range manual.Flags(v.flagSet()) {
		words = append(words, "["+strings.TrimSpace(f.Name+" "+f.Value)+"]")
	}
	return strings.Join(append(words, strings.Fields(v.args)...), " ")
}

// describe prints all that there is to know about a verb.
func (p program) describe(w io.Writer, v verb) {
	fmt.Fprintf(w, "%s\n\n%s\n", fold("Usage: "+p.usageOf(v), 80), v.text)
	for i, f := range manual.Flags(v.flagSet()) {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  %-22s %s\n", strings.TrimSpace(f.Name+" "+f.Value), f.Usage)
	}
}

// alpboot returns the command of a running system.
func alpboot() program {
	return program{"alpboot", verbs(), "alpboot [VERB] [FLAG...] [WORD...]", `Without a verb it is status. alpboot VERB --help describes a verb and its flags,
alpboot(8) all of them. kexec-reboot loads kernels by hand and puts services in
place; alpboot kexec-reboot and alpboot lsboot are these commands, where their
links are missing. Exit status: 0 done, 1 failed or refused, 2 misuse; list and
doctor have more.`}
}
