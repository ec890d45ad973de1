package command

import (
	"context"
	"flag"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/reboot"
)

const textTools = `Does what kexec(8) of kexec-tools does with these flags: -l loads KERNEL, -e
starts what is loaded, -u forgets it, -f loads and jumps at once; with --initrd,
--append, --command-line, --reuse-cmdline, -s, -c and -a, by their long names
too. -x leaves the network up, -d is taken and does nothing, and -p, for a crash
kernel, is refused.`

// toolsVerb does what the flags of kexec-tools ask for.
func toolsVerb(f *flag.FlagSet) runner {
	var o reboot.Options
	var load, exec, unload, panicKernel, force, keepUp, ignored bool
	loadFlags(f, &o)
	f.Func("command-line", "", func(v string) error { o.Cmdline = &v; return nil })
	for _, b := range []struct {
		p     *bool
		names [2]string
	}{
		{&load, [2]string{"l", "load"}}, {&exec, [2]string{"e", "exec"}}, {&unload, [2]string{"u", "unload"}},
		{&panicKernel, [2]string{"p", "load-panic"}}, {&force, [2]string{"f", "force"}}, {&keepUp, [2]string{"x", "no-ifdown"}},
		{&ignored, [2]string{"d", "debug"}},
	} {
		for _, name := range b.names {
			f.BoolVar(b.p, name, false, "")
		}
	}
	return func(ctx context.Context, c command, kernels []string) (code int, err error) {
		jump := func() error { return c.Jump(ctx, reboot.JumpOptions{DryRun: o.DryRun, KeepNetwork: keepUp}) }
		switch {
		case panicKernel:
			return 0, misused("-p loads a kernel for the case of a crash, which this program does not: use kexec-tools")
		case unload && len(kernels) == 0 && !load && !exec:
			return 0, c.Unload()
		case exec && !load && !force && len(kernels) > 0:
			return 0, misused("-e starts what is loaded, and takes no kernel")
		case exec && !load && !force:
			return 0, jump()
		case !load && !force:
			return 0, misused("kexec-tools would load and reboot here: -l only loads, -f loads and jumps at once, kexec-reboot exec reboots in order")
		case len(kernels) == 0:
			return 0, misused("one kernel is needed")
		}
		if o.Kernel, err = filepath.Abs(kernels[0]); err != nil {
			return 0, err
		}
		if text := o.Append; o.Cmdline == nil && !o.Reuse && text != "" { // it is all there is
			o.Cmdline, o.Append = &text, ""
		}
		if err := check(o); err != nil {
			return 0, err
		}
		if err := c.Load(ctx, o); err != nil || !exec && !force {
			return 0, err
		}
		return 0, jump()
	}
}
