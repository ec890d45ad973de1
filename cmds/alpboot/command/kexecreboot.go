package command

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
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/boot/version"
)

const kexecRebootUsage = `Usage: kexec-reboot status
       kexec-reboot load [--entry ID | --kernel FILE --initrd FILE...]
                         [--cmdline TEXT | --reuse-cmdline] [--append TEXT]
       kexec-reboot unload
       kexec-reboot exec [--now]
       kexec-reboot install [--without PART,...] | uninstall [--root DIR]
       kexec-reboot good | health
       kexec-reboot keep pre-commit | post-commit
       kexec-reboot remember [--remove]
       kexec-reboot slot get-primary | set-primary NAME | get-state NAME |
                         set-state NAME good|bad | get-current

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
install    puts services in place; --without leaves parts out:
  kexec              reboot starts the next kernel, and poweroff still powers off
  keep               a hook of apk keeps the kernel that an upgrade replaces
  watchdog           takes over the watchdog that the boot menu has started
  health             runs /etc/alpboot/check.d at the end of a start, then good
uninstall  undoes what install did
  --root DIR         of the system that is mounted at DIR
good       reports to the boot menu that this system has come up (its setting confirm)
health     does that once all services are started and the checks pass, or restarts
keep       keeps the running kernel, puts back what was removed of what is kept
slot       what RAUC asks of a custom bootloader backend: NAME, the bootname of a
           slot, is the ID or title of an entry
remember   makes the files in which the boot menu remembers on machines without
           EFI variables, beside its settings or its image
  --remove           removes them
  --dry-run          (load, exec, install, uninstall, remember) only print what
                     would be done
  --version          print the version

The flags of kexec-tools are taken too: -l, -e, -u, -f, -s, -c, -a, --initrd,
--append, --command-line, --reuse-cmdline; kexec-reboot -l is load, -e exec --now.

Exit status: 0 done; 1 failed or refused; 2 misuse; status: 0 a reboot will
kexec, 1 this kernel cannot, 3 it can, but a reboot goes through the firmware.
`

// aboutUsage is at the end of what a user did wrong on the command line of
// kexec-reboot.
const aboutUsage = "; kexec-reboot --help prints the usage"

// KexecReboot runs kexec-reboot with its arguments, and returns its exit code. It
// restarts a running Linux without going through the firmware: it loads the next
// kernel, and starts it at the end of an orderly shutdown. On Alpine it puts the
// OpenRC services for that in place.
func KexecReboot(args []string, stdout, stderr io.Writer) int {
	return command{reboot.New("/", stdout, stderr)}.kexecReboot(args)
}

func (c command) kexecReboot(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(c.Stderr, kexecRebootUsage)
		return exitMisuse
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := c.do(ctx, args[0], args[1:])
	switch {
	case err == nil:
		return code
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.Stdout, kexecRebootUsage)
		return exitDone
	}
	if wrong := misuse(""); errors.As(err, &wrong) {
		c.Warn("%v%s", err, aboutUsage)
		return exitMisuse
	}
	c.Warn("%v", err)
	return exitFailed
}

func (c command) do(ctx context.Context, name string, args []string) (code int, err error) {
	f := newFlags()
	switch name { // those without flags
	case "status", "unload", "good":
		if err := noMore(f, args); err != nil {
			return 0, err
		}
	}
	switch name {
	case "status":
		return map[reboot.Outcome]int{reboot.ByKexec: exitDone, reboot.CannotKexec: exitFailed, reboot.ByTheFirmware: exitFirmware}[c.Status(ctx)], nil
	case "load":
		return 0, c.load(ctx, f, args)
	case "unload":
		return 0, c.Unload()
	case "exec":
		now, dryRun := f.Bool("now", false, ""), f.Bool("dry-run", false, "")
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		if *now {
			return 0, c.Jump(ctx, reboot.JumpOptions{DryRun: *dryRun})
		}
		return 0, c.Shutdown(*dryRun)
	case "install", "uninstall":
		root, dryRun := f.String("root", "", ""), f.Bool("dry-run", false, "")
		var without []string
		if name == "install" {
			f.Func("without", "", func(v string) error {
				for part := range strings.SplitSeq(v, ",") {
					if !slices.Contains(reboot.Parts(), part) {
						return fmt.Errorf("%q is none of %s", part, strings.Join(reboot.Parts(), ", "))
					}
					without = append(without, part)
				}
				return nil
			})
		}
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		if name == "install" {
			return 0, c.Install(*root, without, *dryRun)
		}
		return 0, c.Uninstall(*root, *dryRun)
	case "health":
		var o reboot.HealthOptions
		f.DurationVar(&o.Limit, "limit", 0, "")
		f.DurationVar(&o.CheckLimit, "check-limit", 0, "")
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		return 0, c.Health(ctx, o)
	case "keep":
		words, err := parse(f, args)
		if err == nil && len(words) != 1 {
			err = misused("keep takes one word: pre-commit or post-commit, as apk calls its hooks")
		}
		if err != nil {
			return 0, err
		}
		return 0, c.Keep(ctx, words[0])
	case "slot":
		words, err := parse(f, args)
		if err == nil && len(words) == 0 {
			err = misused("slot takes get-primary, set-primary, get-state, set-state or get-current")
		}
		if err != nil {
			return 0, err
		}
		return 0, c.Slot(ctx, words[0], words[1:]...)
	case "good":
		return 0, c.ConfirmBoot(ctx)
	case "remember":
		remove, dryRun := f.Bool("remove", false, ""), f.Bool("dry-run", false, "")
		if err := noMore(f, args); err != nil {
			return 0, err
		}
		return 0, c.PrepareMemory(ctx, *remove, *dryRun)
	case "help":
		return 0, flag.ErrHelp
	case "version", "--version", "-version", "-v":
		_, err := fmt.Fprintln(c.Stdout, "kexec-reboot", version.String())
		return 0, err
	}
	if strings.HasPrefix(name, "-") {
		return 0, c.tools(ctx, f, append([]string{name}, args...))
	}
	return 0, misused("%s is not a command", name)
}

func newFlags() *flag.FlagSet {
	f := flag.NewFlagSet("kexec-reboot", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// parse parses args, which may mix flags with other words as kexec-tools lets
// them, and returns these words.
func parse(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, misused("%v", err)
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
		err = misused("%q is one word too many", words[0])
	}
	return err
}

// loadFlags adds to f what load and kexec-tools have in common.
func loadFlags(f *flag.FlagSet, o *reboot.Options) {
	f.Func("initrd", "", func(v string) error {
		name, err := filepath.Abs(v)
		o.Initrds = append(o.Initrds, name)
		return err
	})
	f.BoolVar(&o.Reuse, "reuse-cmdline", false, "")
	f.StringVar(&o.Append, "append", "", "")
	f.BoolVar(&o.NoModules, "no-modules", false, "")
	f.BoolVar(&o.DryRun, "dry-run", false, "")
	for _, m := range []struct {
		names  string
		method kexec.Method
	}{
		{"s kexec-file-syscall", kexec.FileLoad}, {"c kexec-syscall", kexec.Load}, {"a kexec-syscall-auto", kexec.Auto},
	} {
		for name := range strings.FieldsSeq(m.names) {
			f.BoolFunc(name, "", func(string) error { o.Method = m.method; return nil })
		}
	}
}

func (c command) load(ctx context.Context, f *flag.FlagSet, args []string) error {
	var o reboot.Options
	loadFlags(f, &o)
	f.StringVar(&o.Entry, "entry", "", "")
	f.Func("kernel", "", func(v string) (err error) { o.Kernel, err = filepath.Abs(v); return err })
	f.Func("cmdline", "", func(v string) error { o.Cmdline = &v; return nil })
	conf, limit := f.Bool("conf", false, ""), f.Duration("limit", 0, "")
	if err := noMore(f, args); err != nil {
		return err
	}
	switch err := check(o); {
	case err != nil:
		return err
	case *conf && (o.Entry != "" || o.Kernel != ""):
		return misused("--conf takes kernel and entry from the settings of the service")
	case *limit > 0:
		return withLimit(*limit, append([]string{"load"}, args...))
	case *conf:
		return c.LoadAtShutdown(ctx, o)
	}
	return c.Load(ctx, o)
}

// check refuses options that contradict each other.
func check(o reboot.Options) error {
	switch {
	case o.Entry != "" && o.Kernel != "":
		return misused("--entry and --kernel exclude each other")
	case len(o.Initrds) > 0 && o.Kernel == "":
		return misused("--initrd goes with --kernel: an entry has its own")
	case o.Cmdline != nil && o.Reuse:
		return misused("--cmdline and --reuse-cmdline exclude each other; --append adds words")
	}
	return nil
}

// withLimit runs this program with args and stops waiting for it after a
// limit: a process that reads from a dead disk cannot be ended.
func withLimit(limit time.Duration, args []string) error {
	cmd := exec.Command("/proc/self/exe", append(args, "--limit=0")...) // the last one counts
	cmd.Args[0] = "kexec-reboot"                                        // by which alpboot knows what it is
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
