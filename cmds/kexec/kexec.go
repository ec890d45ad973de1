package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: kexec [-l|-e|-u] [-s|-c] [--initrd FILE]... [--command-line TEXT] [KERNEL]

With a KERNEL alone it is loaded and started at once.

  -l, --load              load KERNEL, do not start it
  -e, --exec              start what is loaded
  -u, --unload            forget what is loaded
  -s                      load with kexec_file_load only
  -c                      load with kexec_load only
      --initrd FILE       an initrd; several are unpacked in the order given
      --command-line TEXT the kernel's command line (also --append)
      --reuse-cmdline     the command line of the running kernel
      --version           print the version
`

// paths is a flag that may be given several times.
type paths []string

func (p *paths) String() string     { return strings.Join(*p, ",") }
func (p *paths) Set(s string) error { *p = append(*p, s); return nil }

type options struct {
	load, exec, unload, fileLoad, plainLoad, reuse, version bool

	initrds paths
	cmdline string
}

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("kexec", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	for _, b := range []struct {
		p     *bool
		names string
	}{
		{&o.load, "l load"}, {&o.exec, "e exec"}, {&o.unload, "u unload"}, {&o.fileLoad, "s kexec-file-syscall"},
		{&o.plainLoad, "c kexec-syscall"}, {&o.reuse, "reuse-cmdline"}, {&o.version, "version"},
	} {
		for name := range strings.FieldsSeq(b.names) {
			f.BoolVar(b.p, name, false, "")
		}
	}
	f.Var(&o.initrds, "initrd", "")
	f.StringVar(&o.cmdline, "command-line", "", "")
	f.StringVar(&o.cmdline, "append", "", "")

	// kexec-tools takes flags after the kernel's name too.
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
	if err := do(&o, kernels); err != nil {
		fmt.Fprintln(stderr, "kexec:", err)
		if errors.Is(err, errUsage) {
			return 2
		}
		return 1
	}
	return 0
}

var errUsage = errors.New("kexec -h tells the usage")

func do(o *options, kernels []string) error {
	l := &kexec.Loader{Sys: kexec.System{}}
	switch {
	case o.fileLoad && o.plainLoad:
		return fmt.Errorf("-s and -c exclude each other; %w", errUsage)
	case o.fileLoad:
		l.Method = kexec.FileLoad
	case o.plainLoad:
		l.Method = kexec.Load
	}
	switch {
	case o.unload && len(kernels) == 0:
		return l.Unload()
	case len(kernels) == 0 && o.exec && !o.load:
		return jump(l)
	case len(kernels) != 1:
		return fmt.Errorf("one KERNEL is needed, and %d were given; %w", len(kernels), errUsage)
	}
	if err := load(l, o, kernels[0]); err != nil {
		return err
	}
	if o.load && !o.exec {
		return nil
	}
	return jump(l)
}

func load(l *kexec.Loader, o *options, name string) error {
	t := kexec.Target{Cmdline: o.cmdline}
	if o.reuse {
		b, err := os.ReadFile("/proc/cmdline")
		if err != nil {
			return err
		}
		t.Cmdline = strings.TrimSpace(settings.ForTarget(string(b)) + " " + o.cmdline)
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
	return l.Load(context.Background(), t)
}

func jump(l *kexec.Loader) error {
	if !kexec.Loaded() {
		return errors.New("no kernel is loaded: kexec -l KERNEL loads one")
	}
	unix.Sync()
	return l.Exec()
}
