package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: kexec-reboot status
       kexec-reboot load [--entry ID | --kernel FILE --initrd FILE...]
                         [--cmdline TEXT | --reuse-cmdline] [--append TEXT]
       kexec-reboot unload
       kexec-reboot exec [--now]
       kexec-reboot install | uninstall [--root DIR]
       kexec-reboot good

Restarts Linux without the firmware: loads the next kernel and starts it.

status     whether this kernel can kexec, what is loaded, what would be booted,
           whether the services are in place
load       loads what a reboot would start (see status), or
  --entry ID         the entry with this ID, title or number (see status);
                     default: what the boot menu would boot
  --kernel FILE      this kernel
  --initrd FILE      with this initrd; give it again for more, microcode first
  --cmdline TEXT     with this kernel command line
  --reuse-cmdline    with the command line of the running kernel
  --append TEXT      and these words after it
  --no-modules       even when the kernel's modules are not in /lib/modules
  -s, -c, -a         by kexec_file_load, by kexec_load, by the one that works
unload     forgets what is loaded
exec       shuts the system down in order, then starts what is loaded
  --now              at once: write all out, disks read-only, network down, jump
install    puts the OpenRC services kexec-load and kexec-exec in place: then
           reboot does it, and poweroff still powers off
uninstall  undoes what install did
  --root DIR         of the system that is mounted at DIR
good       tells the boot menu that this system has come up (its setting confirm)
  --dry-run          (load, exec, install, uninstall) only say what would be done
  --version          print the version

The flags of kexec-tools are taken too: -l, -e, -u, -f, -s, -c, -a, --initrd,
--append, --command-line, --reuse-cmdline; kexec-reboot -l is load, -e exec --now.

Exit status: 0 done; 1 failed or refused; 2 misuse; status: 0 a reboot will
kexec, 1 this kernel cannot, 3 it can, but a reboot goes through the firmware.
`

// The exit codes, as usage and docs/kexec-reboot.8 promise them.
const (
	exitDone = iota
	exitFailed
	exitMisuse
	exitFirmware
)

// errMisuse is at the end of what a user did wrong on the command line.
var errMisuse = errors.New("kexec-reboot --help tells the usage")

func misuse(format string, args ...any) error {
	return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), errMisuse)
}

func run(args []string, stdout, stderr io.Writer) int {
	return realSystem(stdout, stderr).main(args)
}

func (s *system) main(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(s.stderr, usage)
		return exitMisuse
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := s.command(ctx, args[0], args[1:])
	switch {
	case err == nil:
		return code
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.stdout, usage)
		return exitDone
	}
	s.warn("%v", err)
	if errors.Is(err, errMisuse) {
		return exitMisuse
	}
	return exitFailed
}

func (s *system) command(ctx context.Context, name string, args []string) (code int, err error) {
	switch name {
	case "status":
		if err := noMore(newFlags(), args); err != nil {
			return 0, err
		}
		return s.status(ctx), nil
	case "load":
		o, err := parseLoad(args)
		if err != nil {
			return 0, err
		}
		return 0, s.loadCommand(ctx, o, args)
	case "unload":
		if err := noMore(newFlags(), args); err != nil {
			return 0, err
		}
		return 0, s.unload()
	case "exec":
		f := newFlags()
		now, dryRun := f.Bool("now", false, ""), f.Bool("dry-run", false, "")
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		if *now {
			return 0, s.execNow(ctx, nowOptions{dryRun: *dryRun})
		}
		return 0, s.exec(*dryRun)
	case "install", "uninstall":
		f := newFlags()
		root, dryRun := f.String("root", "", ""), f.Bool("dry-run", false, "")
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		in := installer{system: s, live: *root == "" || filepath.Clean(*root) == "/", dryRun: *dryRun}
		if !in.live {
			other := *s
			other.root = *root
			in.system = &other
		}
		if name == "install" {
			return 0, in.install()
		}
		return 0, in.uninstall()
	case "good":
		if err := noMore(newFlags(), args); err != nil {
			return 0, err
		}
		return 0, s.good(ctx)
	case "help":
		return 0, flag.ErrHelp
	case "version", "--version", "-version", "-v":
		s.say("kexec-reboot %s", version.String())
		return 0, nil
	}
	if strings.HasPrefix(name, "-") {
		return 0, s.tools(ctx, append([]string{name}, args...))
	}
	return 0, misuse("%s is no command", name)
}

func newFlags() *flag.FlagSet {
	f := flag.NewFlagSet("kexec-reboot", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// parse parses args, which may mix flags with other words as kexec-tools lets
// them, and gives these words.
func parse(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, misuse("%v", err)
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
}

func noMore(f *flag.FlagSet, args []string) error {
	words, err := parse(f, args)
	if err == nil && len(words) > 0 {
		err = misuse("%q is one word too many", words[0])
	}
	return err
}

// paths is a flag that may be given several times.
type paths []string

func (p *paths) String() string     { return strings.Join(*p, ",") }
func (p *paths) Set(s string) error { *p = append(*p, s); return nil }

// loadFlags adds to f what load and kexec-tools have in common.
func loadFlags(f *flag.FlagSet, o *loadOptions) {
	f.Var((*paths)(&o.initrds), "initrd", "")
	f.BoolVar(&o.reuse, "reuse-cmdline", false, "")
	f.StringVar(&o.append, "append", "", "")
	f.BoolVar(&o.noModules, "no-modules", false, "")
	f.BoolVar(&o.dryRun, "dry-run", false, "")
	for _, m := range []struct {
		names  string
		method kexec.Method
	}{
		{"s kexec-file-syscall", kexec.FileLoad}, {"c kexec-syscall", kexec.Load}, {"a kexec-syscall-auto", kexec.Auto},
	} {
		for name := range strings.FieldsSeq(m.names) {
			f.BoolFunc(name, "", func(string) error { o.method = m.method; return nil })
		}
	}
}

func parseLoad(args []string) (loadOptions, error) {
	var o loadOptions
	f := newFlags()
	loadFlags(f, &o)
	f.StringVar(&o.entry, "entry", "", "")
	f.StringVar(&o.kernel, "kernel", "", "")
	f.Func("cmdline", "", func(s string) error { o.cmdline = &s; return nil })
	f.BoolVar(&o.conf, "conf", false, "")
	f.DurationVar(&o.limit, "limit", 0, "")
	if err := noMore(f, args); err != nil {
		return o, err
	}
	return o, o.check()
}

// check refuses what contradicts itself.
func (o *loadOptions) check() error {
	switch {
	case o.entry != "" && o.kernel != "":
		return misuse("--entry and --kernel exclude each other")
	case len(o.initrds) > 0 && o.kernel == "":
		return misuse("--initrd goes with --kernel: an entry has its own")
	case o.cmdline != nil && o.reuse:
		return misuse("--cmdline and --reuse-cmdline exclude each other; --append adds words")
	case o.conf && (o.entry != "" || o.kernel != ""):
		return misuse("--conf takes kernel and entry from the settings of the service")
	}
	return nil
}

// args gives the options as parseLoad takes them, with absolute paths.
func (o loadOptions) args() []string {
	var args []string
	add := func(name, value string) {
		if value != "" {
			args = append(args, name+"="+value)
		}
	}
	abs := func(name string) string {
		if full, err := filepath.Abs(name); name != "" && err == nil {
			return full
		}
		return name
	}
	add("--entry", o.entry)
	add("--kernel", abs(o.kernel))
	for _, name := range o.initrds {
		add("--initrd", abs(name))
	}
	if o.cmdline != nil {
		args = append(args, "--cmdline="+*o.cmdline)
	}
	add("--append", o.append)
	for _, b := range []struct {
		name string
		set  bool
	}{
		{"--reuse-cmdline", o.reuse}, {"--no-modules", o.noModules}, {"-s", o.method == kexec.FileLoad}, {"-c", o.method == kexec.Load},
	} {
		if b.set {
			args = append(args, b.name)
		}
	}
	if len(args) == 0 {
		args = []string{"-a"} // an empty list would read as one empty word
	}
	return args
}

// loadCommand is load as a user or the service calls it.
func (s *system) loadCommand(ctx context.Context, o loadOptions, args []string) error {
	switch {
	case o.limit > 0:
		return s.withLimit(o.limit, append([]string{"load"}, args...))
	case o.conf:
		return s.loadByConf(ctx, o)
	}
	o, err := s.chosen(o)
	if err != nil && !errors.Is(err, errForeign) { // what another program has loaded is replaced
		return err
	}
	resolved, err := s.resolve(o, s.readConf)
	if err != nil {
		return err
	}
	if err := s.load(ctx, resolved); err != nil || o.dryRun {
		return err
	}
	if err := s.remember(o); err != nil {
		s.warn("the service kexec-load will not know that this was chosen: %v", err)
	}
	return nil
}

// withLimit runs this program with args and stops waiting for it after a
// limit: a process that reads from a dead disk cannot be ended.
func (s *system) withLimit(limit time.Duration, args []string) error {
	cmd := exec.Command("/proc/self/exe", append(args, "--limit=0")...) // the last one counts
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return errors.New("nothing was loaded")
		}
		return err
	case <-timer.C:
		cmd.Process.Kill()
		return fmt.Errorf("loading took longer than %v: a disk does not answer", limit)
	}
}
