package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/linux"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/signature"
)

// flagSet is the flags of a verb.
type flagSet struct {
	*flag.FlagSet
	files bool // arguments are files
}

// parse parses the arguments of a verb, most of which take nothing but flags.
func (f *flagSet) parse(args []string, stderr io.Writer) error {
	f.SetOutput(stderr)
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	case f.files && f.NArg() == 0:
		f.Usage()
		return errUsage
	case !f.files && f.NArg() > 0:
		return misuse(fmt.Sprintf("unexpected argument %q", f.Arg(0)))
	}
	return nil
}

// given reports whether the user gave a flag.
func (f *flagSet) given(name string) (found bool) {
	f.Visit(func(g *flag.Flag) { found = found || g.Name == name })
	return found
}

// arch adds the flag for a processor. What it is set to is as GOARCH spells it.
func (f *flagSet) arch(arch *string, what string) {
	*arch = "amd64"
	f.Func("arch", what+": amd64 or arm64 (default amd64)", func(s string) (err error) {
		*arch, err = payload.GOARCH(s)
		return err
	})
}

// written adds the flags for a file that is written.
func (f *flagSet) written(output *string, dryRun *bool, name string) {
	f.BoolVar(dryRun, "dry-run", false, "only report what would be done")
	f.StringVar(output, "o", "", "`FILE` to write (default build/"+name+", of the checkout)")
}

// parts adds the flags for what every payload is made of.
func (f *flagSet) parts(p *payload.Parts) {
	f.arch(&p.Arch, "processor of the default files")
	f.StringVar(&p.Kernel, "kernel", "", "kernel image `FILE` (default build/ARCH/vmlinuz, of the checkout)")
	f.StringVar(&p.Initramfs, "initramfs", "", "initramfs `FILE` (default build/ARCH/initramfs.cpio.xz, of the checkout)")
	f.StringVar(&p.Cmdline, "cmdline", "", "kernel command line (default for amd64: "+payload.DefaultCmdline("amd64")+")")
}

// own adds the flags for what the owner of a machine puts into its image.
// Keys gets the keys among it, unless it is nil.
func (f *flagSet) own(files *[]initramfs.ExtraFile, keys *[]signature.Key) {
	checked := func(name, path string, check func(b []byte) error) error {
		b, err := os.ReadFile(name)
		if err == nil {
			err = check(b)
		}
		*files = append(*files, initramfs.ExtraFile{Source: name, Path: path})
		return err
	}
	f.Func("key", "add a public key, `FILE` of minisign, ssh-keygen or abuild-keygen: what it has signed may start where the setting verify asks for that; may be repeated", func(name string) error {
		base := filepath.Base(name)
		return checked(name, path.Join(signature.Dir, base), func(b []byte) error {
			k, err := signature.ParseKey(base, b)
			if keys != nil {
				*keys = append(*keys, k)
			}
			return err
		})
	})
	f.Func("settings", "add `FILE` as the image's own alpboot.conf", func(name string) error {
		return checked(name, settings.ImageFile, func(b []byte) error {
			if notes := settings.Check(b); len(notes) > 0 {
				return errors.New(strings.Join(notes, " "))
			}
			return nil
		})
	})
}

// linux adds the flags for a build of Linux.
func (f *flagSet) linux(k *linux.Build) {
	f.StringVar(&k.Source, "source", os.Getenv("KERNEL_SRC"), "tree or tarball of Linux (default $KERNEL_SRC, else "+linux.DebianSource+")")
	f.StringVar(&k.Cache, "cache", "", "`DIR` that keeps what was built (default $XDG_CACHE_HOME/alpboot); bzimage keeps 2 GB more there")
	f.IntVar(&k.Jobs, "jobs", runtime.NumCPU(), "how many compilers run at once")
	f.BoolVar(&k.Rebuild, "rebuild", false, "build even if the same was built before")
	f.StringVar(&k.Compress, "compress", "", "how the kernel is packed: xz, small enough for flash, or zstd, sooner unpacked (default xz; zstd for arm64)")
}

// complete fills in the parts that the user did not name.
func (f *flagSet) complete(ctx context.Context, p *payload.Parts) error {
	for _, part := range []struct {
		file       *string
		verb, name string
	}{{&p.Kernel, "kernel", "vmlinuz"}, {&p.Initramfs, "initramfs", "initramfs.cpio.xz"}} {
		if err := fromCheckout(ctx, part.file, part.verb, p.Arch, part.name); err != nil {
			return err
		}
		if _, err := os.Stat(*part.file); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s: name another with --%s, or make it with mkpayload %s", *part.file, part.verb, part.verb)
		}
	}
	// What is wrong with the kernel is reported by whatever makes something of it.
	if in, _, err := kernel.Describe(os.DirFS(filepath.Dir(p.Kernel)), filepath.Base(p.Kernel)); err == nil && in.Arch != "" && !f.given("arch") {
		p.Arch = in.Arch
	}
	if !f.given("cmdline") {
		p.Cmdline = payload.DefaultCmdline(p.Arch)
	}
	return nil
}

// fromCheckout sets a file that the user did not name by a flag to one in the
// checkout's build directory.
func fromCheckout(ctx context.Context, file *string, flag, goarch, name string) (err error) {
	if *file != "" {
		return nil
	}
	if *file, err = checkout.Output(ctx, goarch, name); err != nil {
		return fmt.Errorf("which file, as there is no -%s: %w", flag, err)
	}
	return nil
}
