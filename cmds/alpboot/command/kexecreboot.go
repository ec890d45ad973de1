package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/reboot"
)

// KexecReboot runs kexec-reboot with its arguments, and returns its exit code. It
// restarts a running Linux without going through the firmware: it loads the next
// kernel, and starts it at the end of an orderly shutdown. On Alpine it puts the
// OpenRC services for that in place.
func KexecReboot(args []string, stdout, stderr io.Writer) int {
	return command{System: reboot.New("/", stdout, stderr)}.kexecReboot(args)
}

func (c command) kexecReboot(args []string) int {
	p := program{"kexec-reboot", kexecVerbs(), "kexec-reboot VERB [FLAG...] [WORD...]", `The flags of kexec-tools are taken too: -l is load --kernel, -e exec --now, -u
unload, -f loads and jumps at once. kexec-reboot VERB --help describes a verb
and its flags, kexec-reboot(8) all of them and the services. Exit status: 0
done, 1 failed or refused, 2 misuse; status has more.`}
	switch {
	case len(args) == 0:
		p.help(c.Stderr, nil)
		return exitMisuse
	case args[0] == "-v": // of kexec-tools
		args = []string{"version"}
	case strings.HasPrefix(args[0], "-") && !slices.Contains([]string{"-h", "-help", "--help", "-version", "--version"}, args[0]):
		c.Name = p.name
		return c.do(p, verb{name: "-l|-e|-u|-f", args: "[KERNEL]", text: textTools, flags: toolsVerb}, args)
	}
	return c.run(p, args)
}

const textKexecReboot = `Loads a kernel into the memory of the running one, which starts it at the end of
an orderly shutdown. All verbs but status need root rights, unless --dry-run has
them only print what they would do.`

// kexecVerbs lists what kexec-reboot does.
func kexecVerbs() []verb {
	return []verb{
		{"status", "", "what a reboot would start, and how", textKexecStatus, kexecStatusVerb},
		{"load", "", "loads what a reboot would start", textLoad, loadVerb},
		{"unload", "", "forgets what is loaded", "Forgets what is loaded, and that it was chosen.", noFlags(func(c command, _ context.Context) error { return c.Unload() })},
		{"exec", "", "shuts down in order, then starts what is loaded", textExec, execVerb},
		{"install", "", "puts services in place", textServices, installVerb},
		{"uninstall", "", "undoes what install did", textNoServices, uninstallVerb},
		goodVerb(),
		{"health", "", "does that once the system is up, or restarts", textHealth, healthVerb},
		{"keep", "PHASE", "keeps the kernel that an upgrade replaces", textKeep, keepVerb},
		rememberVerb(),
		slotVerb(),
	}
}

const textKexecStatus = `Prints whether the running kernel can kexec, what is loaded, whether the
services are in place, what the next reboot will start, and which entries there
are. Changes nothing.

The exit status is 0 when a reboot will start the next kernel, 1 when this
kernel cannot kexec, 3 when it can, but a reboot goes through the firmware.`

func kexecStatusVerb(*flag.FlagSet) runner {
	return func(ctx context.Context, c command, _ []string) (int, error) {
		return map[reboot.Outcome]int{reboot.ByKexec: exitDone, reboot.CannotKexec: exitFailed, reboot.ByTheFirmware: exitFirmware}[c.Status(ctx)], nil
	}
}

const textLoad = `Loads a kernel. Without --entry and --kernel that is what a reboot loads, and
what status prints: what was loaded by hand before, else what the settings of
the services name. Entries are those found on the root volume and on the
filesystems mounted at or below /boot, /efi and /media. One without a configured
command line gets that of the running kernel. What is loaded replaces what was
loaded before.

--entry default is what the boot menu of alpboot would boot. Its settings and
the default that was chosen in it count, where they are on these filesystems or
in EFI variables. Where nothing names a default, an entry of the running
kernel's flavour comes before others.

A kernel is a bzImage, an Image, compressed or in an EFI zboot image, or a
unified kernel image. Initrds are unpacked in their order, but microcode always
comes first. --reuse-cmdline leaves out what the boot loader has added:
BOOT_IMAGE= and initrd=.

Without --cmdline a command line that is empty, or has no root= where the
running kernel was started with it, is refused. So is the default entry when its
root= is not the running root filesystem: it boots another system, which has to
be asked for, by --entry, or in the boot menu or its settings as the default.`

func loadVerb(f *flag.FlagSet) runner {
	var o reboot.Options
	loadFlags(f, &o)
	f.StringVar(&o.Entry, "entry", "", "the entry with this `ID`, title or number in status")
	f.Func("kernel", "the kernel in `FILE`", func(v string) (err error) { o.Kernel, err = filepath.Abs(v); return err })
	f.Func("cmdline", "with `TEXT` as the kernel command line", func(v string) error { o.Cmdline = &v; return nil })
	conf := f.Bool("conf", false, "what the service kexec-load has in its environment")
	limit := f.Duration("limit", 0, "fail after this `TIME`, such as 60s")
	return func(ctx context.Context, c command, _ []string) (int, error) {
		switch err := check(o); {
		case err != nil:
			return 0, err
		case *conf && (o.Entry != "" || o.Kernel != ""):
			return 0, misused("--conf takes kernel and entry from the settings of the service")
		case *limit > 0:
			return 0, withLimit(*limit, append([]string{"load"}, c.args...))
		case *conf:
			return 0, c.LoadAtShutdown(ctx, o)
		}
		return 0, c.Load(ctx, o)
	}
}

const textExec = `Has the service manager shut the system down, and start what is loaded as the
last step: under busybox init and sysvinit the services do that (see install),
openrc-init is asked by openrc-shutdown --kexec now, systemd by systemctl kexec.
With the services nothing need be loaded: they do it on the way.

With --now everything is written out, each filesystem is made read-only, or
frozen where files are open for writing, network interfaces are taken down
unless the root filesystem needs them, and the kernel jumps. No step waits
longer than 20 seconds. Should the jump fail, all is undone. Programs that run
are not asked to save what they hold.`

func execVerb(f *flag.FlagSet) runner {
	now := f.Bool("now", false, "at once, without a shutdown")
	dryRun := f.Bool("dry-run", false, "only print what would be done")
	return func(ctx context.Context, c command, _ []string) (int, error) {
		if *now {
			return 0, c.Jump(ctx, reboot.JumpOptions{DryRun: *dryRun})
		}
		return 0, c.Shutdown(*dryRun)
	}
}

const textServices = `Puts OpenRC services, their settings, a hook for apk and a reboot action for
busybox init in place, and starts the service kexec-load. On systemd it is the
unit alpboot-health alone. The parts are kexec (a reboot starts the next
kernel), keep (the hook, see keep), watchdog (takes over the one that the boot
menu has started) and health (see health). Puts itself into /sbin where services
would not find it. What a package has put in place already stays as it is.

Prints what it changes, saves what it replaces, and changes nothing the second
time. Settings that are there already are kept. The reboot action is left out
for a busybox that does not know it, which would print Bad inittab entry at each
boot.`

// rootFlags are those of install and uninstall.
func rootFlags(f *flag.FlagSet) (root *string, dryRun *bool) {
	return f.String("root", "", "of the system mounted at `DIR`, and nothing else"), f.Bool("dry-run", false, "only print what would be done")
}

func installVerb(f *flag.FlagSet) runner {
	var without []string
	f.Func("without", "leave out `PARTS`, with commas between them", func(v string) error {
		for part := range strings.SplitSeq(v, ",") {
			if !slices.Contains(reboot.Parts(), part) {
				return fmt.Errorf("%q is none of %s", part, strings.Join(reboot.Parts(), ", "))
			}
			without = append(without, part)
		}
		return nil
	})
	root, dryRun := rootFlags(f)
	return func(_ context.Context, c command, _ []string) (int, error) {
		return 0, c.Install(*root, without, *dryRun)
	}
}

const textNoServices = `Undoes exactly what install did, and starts a service kexec-load of another
origin again if it was running before. What was changed by hand since is kept,
and named. The kernels that were kept are removed, but for one that is running.`

func uninstallVerb(f *flag.FlagSet) runner {
	root, dryRun := rootFlags(f)
	return func(_ context.Context, c command, _ []string) (int, error) { return 0, c.Uninstall(*root, *dryRun) }
}

const textHealth = `Does what good does when the system is up: all services have been started, and
each executable file in /etc/alpboot/check.d has ended with status 0. Status 75
means that all are to be run again. Any other, a file that runs for longer than
--check-limit, or no success within --limit restarts the machine through the
firmware, if it was started unattended: if panic= is on its command line.
Nothing is done unless the boot menu waits for the report.`

func healthVerb(f *flag.FlagSet) runner {
	var o reboot.HealthOptions
	f.DurationVar(&o.Limit, "limit", 0, "how long all of it may take: `TIME`, 10m")
	f.DurationVar(&o.CheckLimit, "check-limit", 0, "how long one file may run: `TIME`, 1m")
	return func(ctx context.Context, c command, _ []string) (int, error) { return 0, c.Health(ctx, o) }
}

const textKeep = `Is called by apk's hook. pre-commit keeps the running kernel, its initramfs,
microcode, command line and modules in /boot/alpboot and /lib/modules/.alpboot.
post-commit puts back the modules that apk has removed of what is kept.`

func keepVerb(*flag.FlagSet) runner {
	return func(ctx context.Context, c command, words []string) (int, error) { return 0, c.Keep(ctx, words[0]) }
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

// loadFlags adds to f what load and kexec-tools have in common.
func loadFlags(f *flag.FlagSet, o *reboot.Options) {
	f.Func("initrd", "with the initrd in `FILE`; again for more", func(v string) error {
		name, err := filepath.Abs(v)
		o.Initrds = append(o.Initrds, name)
		return err
	})
	f.BoolVar(&o.Reuse, "reuse-cmdline", false, "with the command line of the running kernel")
	f.StringVar(&o.Append, "append", "", "add `WORDS` to the command line")
	f.BoolVar(&o.NoModules, "no-modules", false, "even a kernel whose modules are not in /lib/modules")
	f.BoolVar(&o.DryRun, "dry-run", false, "only print what would be loaded")
	for _, m := range []struct {
		name, long, about string
		method            kexec.Method
	}{
		{"s", "kexec-file-syscall", "by kexec_file_load(2) only", kexec.FileLoad},
		{"c", "kexec-syscall", "by kexec_load(2) only", kexec.Load},
		{"a", "kexec-syscall-auto", "by the one that works, as without -s and -c", kexec.Auto},
	} {
		set := func(string) error { o.Method = m.method; return nil }
		f.BoolFunc(m.name, m.about, set)
		f.BoolFunc(m.long, "", set) // as kexec-tools spells it
	}
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
