package command

import (
	"context"
	"flag"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/reboot"
)

// tools does what the flags of kexec-tools ask for: kexec(8).
func (c command) tools(ctx context.Context, f *flag.FlagSet, args []string) error {
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
	kernels, err := parse(f, args)
	switch {
	case err != nil:
		return err
	case panicKernel:
		return misused("-p loads a kernel for the case of a crash, which this program does not: use kexec-tools")
	case unload && len(kernels) == 0 && !load && !exec:
		return c.Unload()
	case exec && !load && !force:
		if len(kernels) > 0 {
			return misused("-e starts what is loaded, and takes no kernel")
		}
		return c.Jump(ctx, reboot.JumpOptions{DryRun: o.DryRun, KeepNetwork: keepUp})
	case !load && !force:
		return misused("kexec-tools would load and reboot here: -l only loads, -f loads and jumps at once, kexec-reboot exec reboots in order")
	case len(kernels) != 1:
		return misused("one kernel is needed, and %d were given", len(kernels))
	}
	if o.Kernel, err = filepath.Abs(kernels[0]); err != nil {
		return err
	}
	if text := o.Append; o.Cmdline == nil && !o.Reuse && text != "" { // it is all there is
		o.Cmdline, o.Append = &text, ""
	}
	if err := check(o); err != nil {
		return err
	}
	if err := c.Load(ctx, o); err != nil || !exec && !force {
		return err
	}
	return c.Jump(ctx, reboot.JumpOptions{DryRun: o.DryRun, KeepNetwork: keepUp})
}
