package command

import (
	"context"
	"errors"
	"flag"

	"github.com/alpboot/alpboot/boot/install"
	"github.com/alpboot/alpboot/boot/payload"
)

const textInstall = `Makes alpboot what this machine starts next. With UEFI it goes to the EFI system
partition, with a boot entry that comes first; the image before is kept. With a
BIOS it becomes what the boot loader that is there starts: extlinux, GRUB or
limine, whose menu keeps every entry. Prints what the next start does and how to
undo it.

The image is alpboot.efi beside this program, or the package's. A BIOS gets the
kernel and the initramfs that are in it.`

const textUpdate = `Replaces the alpboot that is installed, where it is, by a newer image. By the
same one nothing is changed, and by an older one only with --force. Hooks of a
package manager call it with --if-installed.`

// exitNotInstalled is the exit status of update --if-installed.
const exitNotInstalled = 3

// updateVerb is setup, but that it may find nothing to update.
func updateVerb(f *flag.FlagSet) runner {
	quiet := f.Bool("if-installed", false, "print nothing and exit with 3 where alpboot is not")
	update := setup(true, install.Setup.Update)(f)
	return func(ctx context.Context, c command, words []string) (int, error) {
		code, err := update(ctx, c, words)
		if *quiet && errors.Is(err, install.ErrNotInstalled) {
			return exitNotInstalled, nil
		}
		return code, err
	}
}

const textUninstall = `Takes away what install has added, and nothing else: the configuration of a boot
loader is then what it was before, to the byte. Refuses to leave a machine with
nothing to boot.`

// setupFlags adds the flags of what is installed where, as far as they have a use.
func setupFlags(f *flag.FlagSet, s *install.Setup, image bool) {
	if image {
		f.StringVar(&s.Image, "image", "", "`FILE` to install: alpboot.efi or a kernel")
		f.StringVar(&s.Initramfs, "initramfs", "", "`FILE` for a kernel that has none built in")
		f.StringVar(&s.Cmdline, "cmdline", "", "`TEXT`, the command line of such a kernel")
		f.BoolVar(&s.Try, "try", false, "UEFI: once; for good when the system says good")
	}
	f.StringVar(&s.ESP, "esp", "", "`DIR` where the EFI system partition is mounted")
	f.StringVar(&s.Loader, "loader", "", "`NAME`: extlinux, grub or limine, in whose menu")
	f.BoolVar(&s.Removable, "removable", false, "UEFI: at the path that needs no boot entry")
	f.BoolVar(&s.Force, "force", false, "in spite of what speaks against it")
	f.BoolVar(&s.DryRun, "dry-run", false, "only print what would be done")
}

// setup is install, update or uninstall.
func setup(image bool, do func(install.Setup, install.Machine, payload.Output) error) func(*flag.FlagSet) runner {
	return func(f *flag.FlagSet) runner {
		var s install.Setup
		setupFlags(f, &s, image)
		return func(_ context.Context, c command, _ []string) (int, error) {
			if s.Initramfs != "" && s.Image == "" {
				return 0, misused("--initramfs goes with a kernel that --image names")
			}
			return 0, do(s, install.New(c.Root), payload.Output{Stdout: c.Stdout, Progress: c.Warn})
		}
	}
}
