package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/all"
	"github.com/alpboot/alpboot/boot/payload/coreboot"
	"github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/boot/payload/flash"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/linux"
	"github.com/alpboot/alpboot/boot/payload/stick"
	"github.com/alpboot/alpboot/boot/payload/uki"
	"github.com/alpboot/alpboot/boot/signature"
)

// verbs lists what mkpayload does; the first one is meant when none is named.
func verbs() []verb {
	return []verb{
		{"initramfs", "the menu and its shell, as an initramfs", initramfsVerb},
		{"kernel", "the menu's own Linux kernel", kernelVerb},
		{"uki", "kernel and initramfs as one EFI program, a unified kernel image", ukiVerb},
		{"bzimage", "the kernel with initramfs and command line built in", bzimageVerb},
		{"coreboot", "a coreboot ROM with kernel and initramfs as its payload", corebootVerb},
		{"linuxboot", "UEFI firmware that starts the menu from flash", linuxbootVerb},
		{"stick", "the image of a removable disk that boots with UEFI and BIOS", stickVerb},
		{"install", "puts a UKI on an EFI system partition, or replaces the one there", installVerb},
		{"uninstall", "removes it again", uninstallVerb},
		{"all", "all payloads for a processor, with their sums and a manifest", allVerb},
		{"inspect", "what a file is, what is in it, and what is wrong with it", inspectVerb},
	}
}

func initramfsVerb(f *flagSet) runner {
	var im initramfs.Image
	f.StringVar(&im.Arch, "arch", "amd64", "processor to build for, as Go spells it: amd64, arm64, riscv64")
	f.BoolVar(&im.Minimal, "minimal", false, "leave out the shell and all commands but the menu")
	f.StringVar(&im.Compress, "compress", "xz", "how to compress: xz, zstd or none")
	f.StringVar(&im.Kernel, "kernel", "", "pack the modules that the menu needs on this `FILE`, a distribution's kernel")
	f.StringVar(&im.Modules, "modules", "/lib/modules", "`DIR` with the modules of --kernel: lib/modules/RELEASE, or its parent")
	f.Func("files", "add the file or directory `SOURCE:PATH`, with the shared libraries that it needs; may be repeated", func(s string) error {
		file, err := initramfs.ParseExtraFile(s)
		im.Files = append(im.Files, file)
		return err
	})
	var keys []signature.Key
	f.own(&im.Files, &keys)
	f.written(&im.Output, &im.DryRun, "ARCH/initramfs.cpio.xz")
	return func(ctx context.Context, out payload.Output) error {
		if im.Kernel == "" && f.given("modules") {
			return misuse("--modules needs --kernel, to know for which kernel")
		}
		if im.Minimal && slices.ContainsFunc(keys, func(k signature.Key) bool { return !k.IsMinisign() }) {
			return misuse("--key: a minimal image takes keys of minisign only")
		}
		return im.Write(ctx, out)
	}
}

func kernelVerb(f *flagSet) runner {
	var k linux.Build
	var arch string
	f.arch(&arch, "processor")
	f.linux(&k)
	f.BoolVar(&k.Cached, "cached", false, "fail unless the same was built before")
	f.BoolVar(&k.Keep, "keep", false, "keep 2 GB in the cache, of which the same kernel is packed or filled in another way within a minute")
	f.BoolVar(&k.Raw, "raw", false, "arm64: write the Image as U-Boot's booti and QEMU's -kernel take it, not the PE file that unpacks itself")
	f.written(&k.Output, &k.DryRun, "ARCH/vmlinuz, or with --raw Image")
	return func(ctx context.Context, out payload.Output) error {
		name := "vmlinuz"
		if k.Raw {
			name = "Image"
		}
		if k.Raw && arch == "amd64" {
			return errors.New("--raw is for arm64: kernels of x86_64 unpack themselves for every loader")
		}
		k.Arch = payload.Unames()[arch]
		if err := fromCheckout(ctx, &k.Output, "o", arch, name); err != nil {
			return err
		}
		return k.Write(ctx, out)
	}
}

func bzimageVerb(f *flagSet) runner {
	k := linux.Build{Arch: "x86_64", Keep: true}
	f.StringVar(&k.Initramfs, "initramfs", "", "initramfs `FILE` (default build/x86_64/initramfs.cpio.xz, of the checkout)")
	f.StringVar(&k.Cmdline, "cmdline", payload.DefaultCmdline("amd64"), "kernel command line")
	f.linux(&k)
	f.written(&k.Output, &k.DryRun, "x86_64/bzImage")
	return func(ctx context.Context, out payload.Output) error {
		if err := fromCheckout(ctx, &k.Initramfs, "initramfs", "amd64", "initramfs.cpio.xz"); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &k.Output, "o", "amd64", "bzImage"); err != nil {
			return err
		}
		return k.Write(ctx, out)
	}
}

func ukiVerb(f *flagSet) runner {
	var u uki.Image
	f.parts(&u.Parts)
	f.StringVar(&u.Stub, "stub", "", "EFI stub `FILE` (default "+uki.Stub("amd64")+" or the like)")
	f.StringVar(&u.Modules, "modules", "", "add the modules that the menu needs on --kernel, of a distribution: `DIR` lib/modules/RELEASE, or its parent")
	f.own(&u.Files, nil)
	f.StringVar(&u.OSRelease, "os-release", "", "os-release `FILE` that names the image in boot menus (default: alpboot and its version)")
	f.StringVar(&u.Microcode, "microcode", "", "microcode `FILE` for the processor, an uncompressed cpio archive")
	f.StringVar(&u.Splash, "splash", "", "picture `FILE` to show meanwhile, a BMP")
	f.StringVar(&u.Sign, "sign", "", "sign for Secure Boot with `KEY,CERT`, both PEM")
	f.written(&u.Output, &u.DryRun, "ARCH/alpboot.efi")
	return func(ctx context.Context, out payload.Output) error {
		if err := f.complete(ctx, &u.Parts); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &u.Output, "o", u.Arch, "alpboot.efi"); err != nil {
			return err
		}
		return u.Write(ctx, out)
	}
}

func corebootVerb(f *flagSet) runner {
	var c coreboot.ROM
	f.parts(&c.Parts)
	f.StringVar(&c.ROM, "rom", "", "coreboot ROM `FILE` to add to; it stays as it is")
	f.written(&c.Output, &c.DryRun, "ARCH/coreboot.rom")
	return func(ctx context.Context, out payload.Output) error {
		if c.ROM == "" {
			return misuse("--rom FILE is needed: a ROM that coreboot's build made for your board")
		}
		if err := f.complete(ctx, &c.Parts); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &c.Output, "o", c.Arch, "coreboot.rom"); err != nil {
			return err
		}
		return c.Write(ctx, out)
	}
}

func linuxbootVerb(f *flagSet) runner {
	var l flash.Firmware
	f.StringVar(&l.Flash, "flash", "", "firmware `FILE` to start from, code without variables such as OVMF_CODE_4M.fd; it stays as it is")
	f.StringVar(&l.UKI, "uki", "", "UKI `FILE` to put into it (default build/x86_64/alpboot.efi, of the checkout)")
	f.Func("remove", "leave out these drivers: `NAMES` with commas between them, of drivers or of the groups "+strings.Join(flash.Groups(), ", "), func(s string) error {
		l.Remove = append(l.Remove, strings.Split(s, ",")...)
		return nil
	})
	f.BoolFunc("slim", "leave out all of these groups", func(string) error {
		l.Remove = append(l.Remove, flash.Groups()...)
		return nil
	})
	f.StringVar(&l.Replace, "replace", flash.Shell, "`GUID` of the application that makes way; edk2's Shell")
	f.Func("size", "`MIB` of the result (default: as few as it takes, and no fewer than there are)", func(s string) error {
		var n int64
		if _, err := fmt.Sscanf(s+"\n", "%d\n", &n); err != nil || n < 1 || n > 64 {
			return errors.New("use a number from 1 to 64")
		}
		l.Size = n << 20
		return nil
	})
	f.written(&l.Output, &l.DryRun, "x86_64/linuxboot.rom")
	return func(ctx context.Context, out payload.Output) error {
		if l.Flash == "" {
			return misuse("--flash FILE is needed: firmware such as /usr/share/OVMF/OVMF_CODE_4M.fd, of Debian's package ovmf")
		}
		if err := fromCheckout(ctx, &l.UKI, "uki", "amd64", "alpboot.efi"); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &l.Output, "o", "amd64", "linuxboot.rom"); err != nil {
			return err
		}
		return l.Write(out)
	}
}

func stickVerb(f *flagSet) runner {
	var s stick.Image
	f.parts(&s.Parts)
	f.StringVar(&s.UKI, "uki", "", "UKI `FILE` for machines with UEFI (default build/x86_64/alpboot.efi, of the checkout)")
	f.BoolVar(&s.Remember, "remember", false, "with a file on it in which the menu remembers on machines without EFI variables")
	f.written(&s.Output, &s.DryRun, "ARCH/stick.img")
	return func(ctx context.Context, out payload.Output) error {
		if err := f.complete(ctx, &s.Parts); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &s.UKI, "uki", s.Arch, "alpboot.efi"); err != nil {
			return err
		}
		if err := fromCheckout(ctx, &s.Output, "o", s.Arch, "stick.img"); err != nil {
			return err
		}
		return s.Write(ctx, out)
	}
}

// setupFlags adds the flags that installing and its undoing share.
func setupFlags(f *flagSet, s *esp.Setup) {
	f.StringVar(&s.Dir, "esp", "", "`DIR` where the EFI system partition is mounted, such as /boot/efi")
	f.BoolVar(&s.Removable, "removable", false, "use the path that firmware starts without a boot entry, EFI/BOOT/BOOTX64.EFI")
	f.StringVar(&s.Efivars, "efivars", "/"+efivar.Path, "`DIR` where the EFI variables are mounted")
	f.BoolVar(&s.DryRun, "dry-run", false, "only report what would be done")
}

const errNoESP = misuse("--esp DIR is needed: where the EFI system partition is mounted")

func installVerb(f *flagSet) runner {
	var s esp.Setup
	setupFlags(f, &s)
	f.StringVar(&s.UKI, "uki", "", "UKI `FILE` to install (default build/x86_64/alpboot.efi, of the checkout)")
	f.BoolVar(&s.Remember, "remember", false, "make a file in which the menu remembers, where there are no EFI variables that can be written")
	f.BoolVar(&s.Try, "try", false, "start it at the next start only; from then on if the system then runs alpboot good")
	return func(ctx context.Context, out payload.Output) error {
		if s.Dir == "" {
			return errNoESP
		}
		if s.Try && s.Removable {
			return misuse("--try needs a boot entry, which --removable does without")
		}
		if err := fromCheckout(ctx, &s.UKI, "uki", "amd64", "alpboot.efi"); err != nil {
			return err
		}
		return s.Install(esp.NewMachine("/"), out)
	}
}

func uninstallVerb(f *flagSet) runner {
	var s esp.Setup
	setupFlags(f, &s)
	f.BoolVar(&s.Force, "force", false, "even if nothing is left to boot")
	return func(_ context.Context, out payload.Output) error {
		if s.Dir == "" {
			return errNoESP
		}
		return s.Uninstall(esp.NewMachine("/"), out)
	}
}

func allVerb(f *flagSet) runner {
	e := all.Everything{Source: os.Getenv("KERNEL_SRC")}
	f.arch(&e.Arch, "processor")
	f.StringVar(&e.Kernel, "kernel", "", "kernel `FILE` to use instead of building ours")
	f.StringVar(&e.Modules, "modules", "", "`DIR` with the modules of --kernel, as of mkpayload uki")
	f.StringVar(&e.Initramfs, "initramfs", "", "initramfs `FILE` to use instead of building it")
	f.StringVar(&e.Minimal, "initramfs-minimal", "", "initramfs `FILE` without a shell to use instead of building it")
	f.StringVar(&e.Stub, "stub", "", "EFI stub `FILE` (default as of mkpayload uki)")
	f.StringVar(&e.ROM, "rom", "", "coreboot ROM `FILE` to add the menu to")
	f.StringVar(&e.Flash, "flash", "/usr/share/OVMF/OVMF_CODE_4M.fd", "UEFI firmware `FILE` to put the menu into")
	f.StringVar(&e.Sign, "sign", "", "sign the UKIs for Secure Boot with `KEY,CERT`")
	f.BoolVar(&e.DryRun, "dry-run", false, "only report what would be made")
	f.StringVar(&e.Dir, "o", "", "`DIR` to write to (default build/ARCH, of the checkout)")
	return func(ctx context.Context, out payload.Output) error {
		if err := fromCheckout(ctx, &e.Dir, "o", e.Arch, ""); err != nil {
			return err
		}
		return e.Make(ctx, out)
	}
}

func inspectVerb(f *flagSet) runner {
	asJSON := f.Bool("json", false, "print JSON")
	f.files = true
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: mkpayload inspect [--json] FILE...")
		f.PrintDefaults()
	}
	return func(_ context.Context, out payload.Output) error {
		var bad []error
		for _, file := range f.Args() {
			r, err := inspect.File(file)
			if err != nil {
				bad = append(bad, err)
				continue
			}
			if *asJSON {
				err = boot.WriteJSON(out.Stdout, r)
			} else {
				_, err = io.WriteString(out.Stdout, r.String())
			}
			if err != nil {
				return err
			}
			if r.Problems != nil {
				bad = append(bad, fmt.Errorf("%s: it would not boot as it is", file))
			}
		}
		return errors.Join(bad...)
	}
}
