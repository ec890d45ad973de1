package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/uimage/initramfs"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kernel/unpack"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/version"
)

// stubs maps processors to where Debian's systemd-boot-efi and Alpine's
// systemd-efistub put the program that starts a kernel out of its own sections.
var stubs = map[string]string{
	"amd64": "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
	"arm64": "/usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
}

// stubFor gives the stub for a processor, or where it would be: of this system,
// or where need.sh unpacks it for make payloads, as Debian packages it for the
// processor that it starts on.
func stubFor(ctx context.Context, arch string) string {
	installed := stubs[arch]
	if _, err := os.Stat(installed); err == nil || installed == "" {
		return installed
	}
	dir, err := buildDir(ctx, arch)
	if err != nil {
		return installed
	}
	unpacked := filepath.Join(dir, filepath.Base(installed))
	if _, err := os.Stat(unpacked); err != nil {
		return installed
	}
	return unpacked
}

// noStub says that there is no stub at a path, and where to get one for a
// processor.
func noStub(path, arch string) string {
	how := "install systemd-boot-efi (Debian) or systemd-efistub (Alpine), or name one with --stub"
	if arch != runtime.GOARCH && stubs[arch] != "" {
		how = fmt.Sprintf("on Debian make payloads ARCH=%[1]s gets it. Else name one with --stub (make payloads: STUB=); Alpine's systemd-efistub for %[1]s has it", arch)
	}
	return fmt.Sprintf("there is no EFI stub %s: %s", path, how)
}

// defaultCmdlines are the command lines for the menu's kernel: it is shown on
// the screen and on the first serial port. On arm64 firmware names that port.
var defaultCmdlines = map[string]string{
	"amd64": "quiet console=ttyS0,115200 console=tty0",
	"arm64": "quiet",
}

// unified says what a unified kernel image consists of.
type unified struct {
	parts
	stub      string
	modules   string // folder of the kernel's modules to add, or ""
	osRelease string // file, or "" for ours
	microcode string // file, or ""
	splash    string // file, or ""
	sign      string // KEY,CERT, or ""
	output    string
	dryRun    bool
}

// parts are what every payload is made of.
type parts struct {
	arch      string // as GOARCH spells it
	kernel    string // files
	initramfs string
	cmdline   string
}

// flags adds the flags for the parts to a flag set.
func (p *parts) flags(flags *flag.FlagSet) {
	p.arch = "amd64"
	flags.Func("arch", "processor of the default files: amd64 or arm64 (default amd64)", func(s string) (err error) {
		p.arch, err = goarch(s)
		return err
	})
	flags.StringVar(&p.kernel, "kernel", "", "kernel image `FILE` (default build/ARCH/vmlinuz, of the checkout)")
	flags.StringVar(&p.initramfs, "initramfs", "", "initramfs `FILE` (default build/ARCH/initramfs.cpio.xz, of the checkout)")
	flags.StringVar(&p.cmdline, "cmdline", "", "kernel command line (default for amd64: "+defaultCmdlines["amd64"]+")")
}

// goarch gives a processor as Go spells it, from that or from uname -m.
func goarch(s string) (string, error) {
	for g, u := range archs {
		if s == g || s == u {
			return g, nil
		}
	}
	return "", errors.New("use amd64 or arm64")
}

// complete fills in what the user did not say. Flags are those that were parsed.
func (p *parts) complete(ctx context.Context, flags *flag.FlagSet) error {
	if p.kernel == "" || p.initramfs == "" {
		dir, err := buildDir(ctx, p.arch)
		if err != nil {
			return fmt.Errorf("which --kernel and --initramfs: %w", err)
		}
		if p.kernel == "" {
			p.kernel = filepath.Join(dir, "vmlinuz")
		}
		if p.initramfs == "" {
			p.initramfs = filepath.Join(dir, "initramfs.cpio.xz")
		}
	}
	for _, f := range []struct{ file, verb string }{{p.kernel, "kernel"}, {p.initramfs, "initramfs"}} {
		if _, err := os.Stat(f.file); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s: name another with --%s, or make it with mkpayload %s", f.file, f.verb, f.verb)
		}
	}
	// What is wrong with the kernel is told by whoever makes something of it.
	if in, _, err := kernel.Describe(os.DirFS(filepath.Dir(p.kernel)), filepath.Base(p.kernel)); err == nil && in.Arch != "" && !given(flags, "arch") {
		p.arch = in.Arch
	}
	if !given(flags, "cmdline") {
		p.cmdline = defaultCmdlines[p.arch]
	}
	return nil
}

// given tells whether the user gave a flag.
func given(flags *flag.FlagSet, name string) (found bool) {
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// buildDir is source.build for the checkout that the current folder lies in.
func buildDir(ctx context.Context, goarch string) (string, error) {
	src, err := findSource(ctx)
	if err != nil {
		return "", err
	}
	return src.build(goarch), nil
}

// build gives the folder that what is built for a processor goes to.
func (s source) build(goarch string) string {
	if goarch == "amd64" {
		goarch = "x86_64"
	}
	return filepath.Join(s.Dir, "build", goarch)
}

// setOutput makes a file of the checkout's build folder the output, unless the
// user named one.
func setOutput(ctx context.Context, output *string, goarch, name string) error {
	if *output != "" {
		return nil
	}
	dir, err := buildDir(ctx, goarch)
	if err != nil {
		return fmt.Errorf("which file to write (-o): %w", err)
	}
	*output = filepath.Join(dir, name)
	return nil
}

func runUKI(ctx context.Context, args []string, out output) error {
	var u unified
	flags := flag.NewFlagSet("uki", flag.ContinueOnError)
	u.parts.flags(flags)
	flags.StringVar(&u.stub, "stub", "", "EFI stub `FILE` (default "+stubs["amd64"]+" or the like)")
	flags.StringVar(&u.modules, "modules", "", "add the modules that the menu needs on --kernel, of a distribution: `DIR` lib/modules/RELEASE, or its parent")
	flags.StringVar(&u.osRelease, "os-release", "", "os-release `FILE` that names the image in boot menus (default: alpboot and its version)")
	flags.StringVar(&u.microcode, "microcode", "", "microcode `FILE` for the processor, an uncompressed cpio archive")
	flags.StringVar(&u.splash, "splash", "", "picture `FILE` to show meanwhile, a BMP")
	flags.StringVar(&u.sign, "sign", "", "sign for Secure Boot with `KEY,CERT`, both PEM")
	flags.BoolVar(&u.dryRun, "dry-run", false, "only say what would be made")
	flags.StringVar(&u.output, "o", "", "`FILE` to write (default build/ARCH/alpboot.efi, of the checkout)")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if err := u.complete(ctx, flags); err != nil {
		return err
	}
	if err := setOutput(ctx, &u.output, u.arch, "alpboot.efi"); err != nil {
		return err
	}
	return u.write(ctx, out)
}

// write makes the image and writes it.
func (u unified) write(ctx context.Context, out output) error {
	p, release, err := u.build(ctx, out)
	if err != nil {
		return err
	}
	if u.dryRun {
		for _, s := range p.Sections() {
			fmt.Fprintf(out.stdout, "  %-9s %s\n", s.Name, size(int64(len(s.Data))))
		}
		fmt.Fprintf(out.stdout, "would write %s: %s for %s, %s\n", u.output, release, p.Arch(), size(int64(len(p.Bytes()))))
		return nil
	}
	if err := writeBytes(u.output, p.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: %s, %s\n", u.output, release, size(int64(len(p.Bytes()))))
	return nil
}

// build makes the image, and names the kernel in it.
func (u unified) build(ctx context.Context, out output) (p *efi.Program, release string, err error) {
	kernelImage, info, err := u.efiKernel()
	if err != nil {
		return nil, "", err
	}
	if info.Version == "" { // only the raw kernel of other processors tells it
		if info.Version, err = unpack.Version(bytes.NewReader(kernelImage), int64(len(kernelImage)), unpack.Limit); err != nil {
			return nil, "", fmt.Errorf("%s: %w", u.kernel, err)
		}
	}
	release = strings.TrimSpace("Linux " + info.Version)
	if u.stub == "" {
		if u.stub = stubFor(ctx, info.Arch); u.stub == "" {
			return nil, "", fmt.Errorf("%s is for %s, for which no stub is known: name one with --stub", u.kernel, info.Arch)
		}
	}
	stub, err := os.ReadFile(u.stub)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", errors.New(noStub(u.stub, info.Arch))
	}
	if err != nil {
		return nil, "", err
	}
	program, err := efi.Parse(stub)
	if err != nil {
		return nil, "", fmt.Errorf("the stub %s: %w", u.stub, err)
	}
	if program.Arch() != info.Arch {
		return nil, "", fmt.Errorf("the stub %s is for %s, but the kernel %s is for %s", u.stub, program.Arch(), u.kernel, info.Arch)
	}
	initrd, err := readInitrd(u.initramfs)
	if err != nil {
		return nil, "", err
	}

	if u.modules != "" {
		packed, err := u.moduleArchive(ctx, out)
		if err != nil {
			return nil, "", fmt.Errorf("packing kernel modules: %w", err)
		}
		// The kernel unpacks one archive after the other, each from a multiple of four.
		initrd = slices.Concat(initrd, make([]byte, -len(initrd)&3), packed)
	}

	text := osRelease(version.String())
	if u.osRelease != "" {
		b, err := os.ReadFile(u.osRelease)
		if err != nil {
			return nil, "", err
		}
		text = string(b)
	} else if src, err := findSource(ctx); err == nil {
		text = osRelease(src.describe(ctx))
	}
	if limit := kernel.LimitsOf(kernelImage, info.Format).Cmdline; len(u.cmdline) > limit {
		return nil, "", fmt.Errorf("the command line has %d characters, and the kernel takes %d", len(u.cmdline), limit)
	}

	// The kernel is the last section: it unpacks into the memory behind it
	// (systemd issue 34578).
	sections := []efi.Section{{Name: ".osrel", Data: []byte(text)}, {Name: ".cmdline", Data: []byte(u.cmdline)}, {Name: ".uname", Data: []byte(info.Version)}}
	if u.splash != "" {
		b, err := os.ReadFile(u.splash)
		if err != nil {
			return nil, "", err
		}
		if !bytes.HasPrefix(b, []byte("BM")) {
			return nil, "", fmt.Errorf("the picture %s is not a BMP", u.splash)
		}
		sections = append(sections, efi.Section{Name: ".splash", Data: b})
	}
	if u.microcode != "" {
		b, err := readMicrocode(u.microcode)
		if err != nil {
			return nil, "", err
		}
		if bytes.Contains(stub, []byte(".ucode\x00")) {
			sections = append(sections, efi.Section{Name: ".ucode", Data: b})
		} else { // a stub older than systemd 256
			initrd = append(b, initrd...)
		}
	}
	sections = append(sections, efi.Section{Name: ".initrd", Data: initrd}, efi.Section{Name: ".linux", Data: kernelImage, Code: true})
	var filled []efi.Section
	for _, s := range sections {
		if len(s.Data) > 0 {
			filled = append(filled, s)
		}
	}
	if program, err = program.Append(filled...); err != nil {
		return nil, "", fmt.Errorf("adding to the stub %s: %w", u.stub, err)
	}
	// As it will be read: a text may be longer than readers take.
	if _, err := kernel.OpenUKI(bytes.NewReader(program.Bytes()), int64(len(program.Bytes()))); err != nil {
		return nil, "", fmt.Errorf("putting the image together: %w", err)
	}
	if u.sign != "" {
		if program, err = sign(program, u.sign); err != nil {
			return nil, "", err
		}
	}
	return program, release, nil
}

// moduleArchive packs the modules that the menu needs on the kernel.
func (u unified) moduleArchive(ctx context.Context, out output) ([]byte, error) {
	records, err := packModules(u.kernel, u.modules, out)
	if err != nil {
		return nil, err
	}
	files := initramfs.NewFiles()
	if err := addRecords(files, records); err != nil {
		return nil, err
	}
	var raw, packed bytes.Buffer
	if err := writeArchive(&raw, files); err != nil {
		return nil, err
	}
	if err := pack(ctx, compressorFor("xz", u.arch), &raw, &packed); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// efiKernel reads the kernel as the EFI program that a stub can start.
func (u unified) efiKernel() ([]byte, kernel.Info, error) {
	b, err := os.ReadFile(u.kernel)
	if err != nil {
		return nil, kernel.Info{}, err
	}
	r := bytes.NewReader(b)
	info, err := kernel.Identify(r, r.Size())
	switch {
	case err != nil:
		return nil, info, fmt.Errorf("%s: %w", u.kernel, err)
	case info.Format == kernel.UnifiedImage || info.Format == kernel.PE:
		return nil, info, fmt.Errorf("%s is not a plain kernel but an EFI program (%s)", u.kernel, info.Format)
	}
	_, err = efi.Parse(b)
	if err != nil && (info.Format == kernel.ImageGz || info.Format == kernel.Zboot) {
		var raw bytes.Buffer
		if err := unpack.Image(&raw, r, r.Size()); err != nil {
			return nil, info, fmt.Errorf("%s: %w", u.kernel, err)
		}
		b, info.Format = raw.Bytes(), kernel.Image
		_, err = efi.Parse(b)
	}
	if err != nil {
		return nil, info, fmt.Errorf("firmware could not start %s, a kernel without CONFIG_EFI_STUB: %w", u.kernel, err)
	}
	return b, info, nil
}

// readInitrd reads an initramfs that a kernel can unpack.
func readInitrd(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if _, err := kernel.IdentifyInitrd(bytes.NewReader(b), int64(len(b))); err != nil {
		return nil, fmt.Errorf("%s is no initramfs: %w", file, err)
	}
	return b, nil
}

// readMicrocode reads an archive of microcode, as long as the kernel wants what
// follows it to begin at: a multiple of four.
func readMicrocode(file string) ([]byte, error) {
	b, err := readInitrd(file)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(b, []byte("07070")) || !bytes.Contains(b, []byte("kernel/x86/microcode/")) {
		return nil, fmt.Errorf("%s is not microcode for a kernel, which is an uncompressed cpio archive with kernel/x86/microcode/ in it", file)
	}
	return append(b, make([]byte, -len(b)&3)...), nil
}

// writeBytes writes a file as writeFile does.
func writeBytes(name string, b []byte) error {
	return writeFile(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}
