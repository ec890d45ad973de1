package main

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
	"time"

	"github.com/peterh/liner"
	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: sh [-c COMMAND | FILE] [ARGUMENT]...

Runs COMMAND, the commands in FILE, or those typed. "help" lists the commands of
the image.
`

// historyFile keeps what was typed for the next shell.
const historyFile = "/tmp/.sh_history"

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("sh", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	command := f.String("c", "", "")
	showVersion := f.Bool("version", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *showVersion:
		fmt.Fprintln(stdout, "sh", version.String())
		return 0
	}
	args = f.Args()
	var script io.Reader = stdin
	name := "sh"
	_, noTerminal := unix.IoctlGetTermios(int(stdin.Fd()), unix.TCGETS)
	switch {
	case *command != "":
		script, noTerminal = strings.NewReader(*command), unix.ENOTTY
	case len(args) > 0:
		file, err := os.Open(args[0])
		if err != nil {
			fmt.Fprintln(stderr, "sh:", err)
			return 127
		}
		defer file.Close()
		script, noTerminal = file, unix.ENOTTY
	}
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	runner, err := interp.New(interp.StdIO(stdin, stdout, stderr), interp.ExecHandlers(program),
		interp.Params(append([]string{"--"}, args...)...))
	if err == nil && noTerminal == nil {
		return interact(runner, stdout, stderr)
	}
	var parsed *syntax.File
	if err == nil {
		parsed, err = syntax.NewParser().Parse(script, name)
	}
	if err == nil {
		err = runner.Run(context.Background(), parsed)
	}
	return status(err, stderr)
}

// status returns what a shell exits with after err, and prints what is not the
// status of a command.
func status(err error, stderr io.Writer) int {
	code, ok := interp.IsExitStatus(err)
	switch {
	case err == nil || ok:
		return int(code)
	case errors.Is(err, context.Canceled):
		return 128 + int(unix.SIGINT)
	}
	fmt.Fprintln(stderr, "sh:", err)
	return 2
}

// program runs programs. Ctrl-C reaches one from its terminal, and here once
// more, should it have started too late; the shell waits for it to end, whatever
// it makes of that, and then ends the list that it is in.
func program(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	const neverKill = 1 << 62
	run := interp.DefaultExecHandler(neverKill)
	return func(ctx context.Context, args []string) error {
		if len(args) > 1 && (args[0] == "head" || args[0] == "tail") {
			// The classic form: tail -2 FILE.
			if n := strings.TrimPrefix(args[1], "-"); n != args[1] && n != "" && strings.Trim(n, "0123456789") == "" {
				args = append([]string{args[0], "-n", n}, args[2:]...)
			}
		}
		err := run(ctx, args)
		if code, _ := interp.IsExitStatus(err); int(code) == 128+int(unix.SIGINT) && ctx.Done() != nil {
			select { // the same Ctrl-C is on its way here
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			err = errors.Join(ctx.Err(), err)
		}
		return err
	}
}

// interact runs what is typed until exit or Ctrl-D.
func interact(runner *interp.Runner, stdout, stderr io.Writer) (code int) {
	input := liner.NewLiner()
	defer input.Close()
	input.SetCtrlCAborts(true)
	input.SetTabCompletionStyle(liner.TabPrints)
	input.SetWordCompleter(complete)
	if f, err := os.Open(historyFile); err == nil {
		input.ReadHistory(f)
		f.Close()
	}
	defer func() {
		if f, err := os.OpenFile(historyFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
			input.WriteHistory(f)
			f.Close()
		}
	}()
	// Between two commands nothing else would handle it.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	text, prompt := "", "$ "
	for {
		line, err := input.Prompt(prompt)
		if errors.Is(err, liner.ErrPromptAborted) {
			fmt.Fprintln(stdout, "^C")
			text, prompt = "", "$ "
			continue
		} else if err != nil { // Ctrl-D, or the terminal is gone
			fmt.Fprintln(stdout)
			return code
		}
		if strings.TrimSpace(line) != "" {
			input.AppendHistory(line)
		}
		text += line + "\n"
		parsed, err := syntax.NewParser().Parse(strings.NewReader(text), "")
		if unfinished := len(line)-len(strings.TrimRight(line, `\`))&1 == 1; syntax.IsIncomplete(err) || unfinished {
			prompt = "> "
			continue
		}
		text, prompt = "", "$ "
		if err != nil {
			fmt.Fprintln(stderr, "sh:", err)
			code = 2
			continue
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		for _, stmt := range parsed.Stmts {
			if code = status(runner.Run(ctx, stmt), stderr); runner.Exited() {
				stop()
				return code
			}
			if ctx.Err() != nil {
				fmt.Fprintln(stdout)
				break
			}
		}
		stop()
	}
}

// complete completes the word before pos: the name of a command where one
// begins, else that of a file.
func complete(line string, pos int) (head string, completions []string, tail string) {
	before := string([]rune(line)[:pos])
	tail = string([]rune(line)[pos:])
	start := strings.LastIndexAny(before, " \t;|&(<>=") + 1
	head, word := before[:start], before[start:]
	dir := word[:strings.LastIndex(word, "/")+1]
	patterns := []string{word + "*"}
	lead := strings.TrimRight(head, " \t")
	if (lead == "" || strings.ContainsAny(lead[len(lead)-1:], ";|&(")) && !strings.Contains(word, "/") {
		patterns = nil
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			patterns = append(patterns, filepath.Join(dir, word+"*"))
		}
	}
	seen := make(map[string]bool)
	for _, pattern := range patterns {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			st, err := os.Stat(name)
			switch name = dir + filepath.Base(name); {
			case patterns[0] != word+"*":
				name += " "
			case err == nil && st.IsDir():
				name += "/"
			}
			if !seen[name] {
				seen[name] = true
				completions = append(completions, name)
			}
		}
	}
	return head, completions, tail
}
