// Command kexec loads a kernel and jumps to it: boot/kexec by hand.
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

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: kexec [-l|-e|-u|-S] [-s|-c|-a] [--initrd FILE]... [--command-line TEXT] [KERNEL]

With a KERNEL alone it is loaded and started at once.

  -l, --load              load KERNEL, do not start it
  -e, --exec              start what is loaded
  -u, --unload            forget what is loaded
  -S, --status            print whether a kernel is loaded; exit code 1 when not
  -s                      load with kexec_file_load only
  -c                      load with kexec_load only
  -a                      load with whichever of the two works (the default)
      --initrd FILE       an initrd (also --ramdisk); several, or FILE,FILE, are
                          unpacked in that order
      --command-line TEXT the kernel's command line (also --append)
      --reuse-cmdline     the command line of the running kernel, then TEXT
  -d, --debug             print how far loading has come
      --version           print the version

Flags of kexec-tools that this command has no use for are accepted and do
nothing: -f, -x, -y, --type, --no-checks, --reset-vga, --console-serial and so on.
`

// paths is a flag that may be repeated.
type paths []string

func (p *paths) String() string { return strings.Join(*p, ",") }
func (p *paths) Set(s string) error {
	*p = append(*p, strings.FieldsFunc(s, func(r rune) bool { return r == ',' })...)
	return nil
}

// text is a flag whose values are joined when it is repeated.
type text string

func (t *text) String() string     { return string(*t) }
func (t *text) Set(s string) error { *t = text(strings.TrimSpace(string(*t) + " " + s)); return nil }

type options struct {
	load, exec, unload, status, fileLoad, plainLoad, either bool
	reuse, debug, version, crash, ignored                   bool

	initrds paths
	cmdline text
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("kexec", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	for _, b := range []struct {
		p     *bool
		names string
	}{
		{&o.load, "l load"}, {&o.exec, "e exec"}, {&o.unload, "u unload"}, {&o.status, "S status"},
		{&o.fileLoad, "s kexec-file-syscall"}, {&o.plainLoad, "c kexec-syscall"}, {&o.either, "a kexec-syscall-auto"},
		{&o.reuse, "reuse-cmdline"}, {&o.debug, "d debug"}, {&o.version, "v version"}, {&o.crash, "p load-panic"},
		{&o.ignored, "f force x no-ifdown y no-sync i no-checks reset-vga console-vga console-serial real-mode pass-memmap-cmdline reuse-video-type"},
	} {
		for name := range strings.FieldsSeq(b.names) {
			f.BoolVar(b.p, name, false, "")
		}
	}
	for name := range strings.FieldsSeq("initrd ramdisk") {
		f.Var(&o.initrds, name, "")
	}
	for name := range strings.FieldsSeq("command-line append") {
		f.Var(&o.cmdline, name, "")
	}
	for name := range strings.FieldsSeq("t type mem-min mem-max serial serial-baud") {
		f.String(name, "", "")
	}

	// kexec-tools takes flags after the kernel's name too, and several letters
	// behind one dash.
	args = apart(args)
	var kernels []string
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return 2
		}
		if f.NArg() == 0 {
			break
		}
		kernels = append(kernels, f.Arg(0))
		args = f.Args()[1:]
	}
	if o.version {
		fmt.Fprintln(stdout, "kexec", version.String())
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := do(ctx, &o, kernels, stdout)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotLoaded):
		return 1
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted: nothing is loaded")
	}
	fmt.Fprintln(stderr, "kexec:", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// apart splits several letters behind one dash: -le becomes -l -e.
func apart(args []string) (out []string) {
	for i, a := range args {
		letters, ok := strings.CutPrefix(a, "-")
		if a == "--" {
			return append(out, args[i:]...)
		}
		if !ok || len(letters) < 2 || strings.Trim(letters, "leuSscadpfxyi") != "" {
			out = append(out, a)
			continue
		}
		for _, l := range letters {
			out = append(out, "-"+string(l))
		}
	}
	return out
}

var (
	errUsage     = errors.New("kexec -h prints the usage")
	errNotLoaded = errors.New("nothing is loaded")
)

func do(ctx context.Context, o *options, kernels []string, stdout io.Writer) error {
	l := &kexec.Loader{Kernel: kexec.System{}, Root: os.DirFS("/")}
	if o.crash {
		return fmt.Errorf("-p, a kernel to run after a crash, is not what alpboot is for: kexec of the package kexec-tools loads one; %w", errUsage)
	}
	if n := count(o.fileLoad, o.plainLoad, o.either); n > 1 {
		return fmt.Errorf("-s, -c and -a exclude each other; %w", errUsage)
	}
	switch {
	case o.fileLoad:
		l.Method = kexec.FileLoad
	case o.plainLoad:
		l.Method = kexec.Load
	}
	if o.debug {
		l.Progress = func(stage string, done, total int64) {
			fmt.Fprintf(stdout, "%s: %d of %d bytes\n", stage, done, total)
		}
	}
	switch {
	case o.status:
		return status(stdout)
	case o.unload && len(kernels) == 0:
		return l.Unload()
	case len(kernels) == 0 && o.exec && !o.load:
		return jump(l)
	case len(kernels) != 1:
		return fmt.Errorf("one KERNEL is needed, and %d were given; %w", len(kernels), errUsage)
	}
	if err := load(ctx, l, o, kernels[0]); err != nil {
		return err
	}
	if o.load && !o.exec {
		return nil
	}
	return jump(l)
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func status(stdout io.Writer) error {
	if !kexec.Loaded(os.DirFS("/")) {
		fmt.Fprintln(stdout, errNotLoaded)
		return errNotLoaded
	}
	_, err := fmt.Fprintln(stdout, "a kernel is loaded: kexec -e starts it")
	return err
}

func load(ctx context.Context, l *kexec.Loader, o *options, name string) error {
	t := kexec.Target{Cmdline: string(o.cmdline)}
	if o.reuse {
		b, err := os.ReadFile("/proc/cmdline")
		if err != nil {
			return err
		}
		t.Cmdline = strings.TrimSpace(settings.ForTarget(string(b)) + " " + t.Cmdline)
	}
	var err error
	if t.Kernel, err = os.Open(name); err != nil {
		return err
	}
	defer t.Kernel.Close()
	for _, name := range o.initrds {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		t.Initrds = append(t.Initrds, f)
	}
	return l.Load(ctx, t)
}

func jump(l *kexec.Loader) error {
	if !kexec.Loaded(os.DirFS("/")) {
		return errors.New("no kernel is loaded: kexec -l KERNEL loads one")
	}
	unix.Sync()
	return l.Exec()
}
