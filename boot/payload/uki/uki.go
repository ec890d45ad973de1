// Package uki makes unified kernel images: kernel, initramfs and command line as
// sections of one EFI program.
package uki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kernel/unpack"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/version"
)

// stubs maps processors to where Debian's systemd-boot-efi and Alpine's
// systemd-efistub put the program that starts a kernel out of its own sections.
var stubs = map[string]string{
	"amd64": "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
	"arm64": "/usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
}

// Stub returns where the stub for a processor is installed; "" when none is known.
func Stub(arch string) string { return stubs[arch] }

// StubFor returns the stub for a processor, or where it would be: of this system,
// or where need.sh unpacks it for make payloads, as Debian packages it for the
// processor that it starts on.
func StubFor(ctx context.Context, arch string) string {
	installed := stubs[arch]
	if _, err := os.Stat(installed); err == nil || installed == "" {
		return installed
	}
	src, err := checkout.Find(ctx)
	if err != nil {
		return installed
	}
	unpacked := filepath.Join(src.Build(arch), filepath.Base(installed))
	if _, err := os.Stat(unpacked); err != nil {
		return installed
	}
	return unpacked
}

// NoStub explains that there is no stub at a path, and where to get one for a
// processor.
func NoStub(path, arch string) string {
	how := "install systemd-boot-efi (Debian) or systemd-efistub (Alpine), or name one with --stub"
	if arch != runtime.GOARCH && stubs[arch] != "" {
		how = fmt.Sprintf("on Debian make payloads ARCH=%[1]s gets it. Else name one with --stub (make payloads: STUB=); Alpine's systemd-efistub for %[1]s has it", arch)
	}
	return fmt.Sprintf("there is no EFI stub %s: %s", path, how)
}

// Image is what a unified kernel image consists of, and the file that it becomes.
type Image struct {
	payload.Parts
	Version   string                // of alpboot; "" for that of the checkout, or of this program
	Stub      string                // file, or "" for the one of StubFor
	Modules   string                // directory of the kernel's modules to add, or ""
	Files     []initramfs.ExtraFile // to add to the initramfs
	OSRelease string                // file, or "" for ours
	Microcode string                // file, or ""
	Splash    string                // file, or ""
	Sign      string                // KEY,CERT, or ""
	Output    string
	DryRun    bool
}

// Write makes the image and writes it.
func (u Image) Write(ctx context.Context, out payload.Output) error {
	p, release, err := u.Build(ctx, out)
	if err != nil {
		return err
	}
	if u.DryRun {
		for _, s := range p.Sections() {
			out.Printf("  %-9s %s\n", s.Name, payload.Size(int64(len(s.Data))))
		}
		out.Printf("would write %s: %s for %s, %s\n", u.Output, release, p.Arch(), payload.Size(int64(len(p.Bytes()))))
		return nil
	}
	if err := payload.WriteBytes(u.Output, p.Bytes()); err != nil {
		return err
	}
	out.Printf("%s: %s, %s\n", u.Output, release, payload.Size(int64(len(p.Bytes()))))
	return nil
}

// Build makes the image, and names the kernel in it.
func (u Image) Build(ctx context.Context, out payload.Output) (p *efi.Program, release string, err error) {
	kernelImage, info, err := u.efiKernel()
	if err != nil {
		return nil, "", err
	}
	if info.Version == "" { // only the raw kernel of other processors has it
		if info.Version, err = unpack.Version(bytes.NewReader(kernelImage), int64(len(kernelImage)), unpack.Limit); err != nil {
			return nil, "", fmt.Errorf("%s: %w", u.Kernel, err)
		}
	}
	release = strings.TrimSpace("Linux " + info.Version)
	if u.Stub == "" {
		if u.Stub = StubFor(ctx, info.Arch); u.Stub == "" {
			return nil, "", fmt.Errorf("%s is for %s, for which no stub is known: name one with --stub", u.Kernel, info.Arch)
		}
	}
	stub, err := os.ReadFile(u.Stub)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", errors.New(NoStub(u.Stub, info.Arch))
	}
	if err != nil {
		return nil, "", err
	}
	program, err := efi.Parse(stub)
	if err != nil {
		return nil, "", fmt.Errorf("the stub %s: %w", u.Stub, err)
	}
	if program.Arch() != info.Arch {
		return nil, "", fmt.Errorf("the stub %s is for %s, but the kernel %s is for %s", u.Stub, program.Arch(), u.Kernel, info.Arch)
	}
	initrd, err := payload.ReadInitramfs(u.Initramfs)
	if err != nil {
		return nil, "", err
	}

	// The kernel unpacks one archive after the other, each from a multiple of four.
	add := func(archive []byte) { initrd = slices.Concat(initrd, make([]byte, -len(initrd)&3), archive) }
	if u.Modules != "" {
		packed, err := initramfs.PackModules(ctx, u.Kernel, u.Modules, u.Arch, out)
		if err != nil {
			return nil, "", err
		}
		add(packed)
	}

	if u.Files != nil {
		own, err := initramfs.Archive(u.Files)
		if err != nil {
			return nil, "", err
		}
		add(own)
	}

	text := initramfs.OSRelease(version.String())
	if u.OSRelease != "" {
		b, err := os.ReadFile(u.OSRelease)
		if err != nil {
			return nil, "", err
		}
		text = string(b)
	} else if u.Version != "" {
		text = initramfs.OSRelease(u.Version)
	} else if src, err := checkout.Find(ctx); err == nil {
		text = initramfs.OSRelease(src.Version(ctx))
	}
	if limit := kernel.LimitsOf(kernelImage, info.Format).Cmdline; len(u.Cmdline) > limit {
		return nil, "", fmt.Errorf("the command line has %d characters, and the kernel takes %d", len(u.Cmdline), limit)
	}

	// The kernel is the last section: it unpacks into the memory behind it
	// (systemd issue 34578).
	sections := []efi.Section{{Name: ".osrel", Data: []byte(text)}, {Name: ".cmdline", Data: []byte(u.Cmdline)}, {Name: ".uname", Data: []byte(info.Version)}}
	if u.Splash != "" {
		b, err := os.ReadFile(u.Splash)
		if err != nil {
			return nil, "", err
		}
		if !bytes.HasPrefix(b, []byte("BM")) {
			return nil, "", fmt.Errorf("the picture %s is not a BMP", u.Splash)
		}
		sections = append(sections, efi.Section{Name: ".splash", Data: b})
	}
	if u.Microcode != "" {
		b, err := readMicrocode(u.Microcode)
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
		return nil, "", fmt.Errorf("adding to the stub %s: %w", u.Stub, err)
	}
	// As it will be read: a text may be longer than readers take.
	if _, err := kernel.OpenUKI(bytes.NewReader(program.Bytes()), int64(len(program.Bytes()))); err != nil {
		return nil, "", fmt.Errorf("assembling the image: %w", err)
	}
	if u.Sign != "" {
		if program, err = sign(program, u.Sign); err != nil {
			return nil, "", err
		}
	}
	return program, release, nil
}

// efiKernel reads the kernel as the EFI program that a stub can start.
func (u Image) efiKernel() ([]byte, kernel.Info, error) {
	b, err := os.ReadFile(u.Kernel)
	if err != nil {
		return nil, kernel.Info{}, err
	}
	r := bytes.NewReader(b)
	info, err := kernel.Identify(r, r.Size())
	switch {
	case err != nil:
		return nil, info, fmt.Errorf("%s: %w", u.Kernel, err)
	case info.Format == kernel.UnifiedImage || info.Format == kernel.PE:
		return nil, info, fmt.Errorf("%s is not a plain kernel but an EFI program (%s)", u.Kernel, info.Format)
	}
	_, err = efi.Parse(b)
	if err != nil && (info.Format == kernel.ImageGz || info.Format == kernel.Zboot) {
		var raw bytes.Buffer
		if err := unpack.Image(&raw, r, r.Size()); err != nil {
			return nil, info, fmt.Errorf("%s: %w", u.Kernel, err)
		}
		b, info.Format = raw.Bytes(), kernel.Image
		_, err = efi.Parse(b)
	}
	if err != nil {
		return nil, info, fmt.Errorf("firmware could not start %s, a kernel without CONFIG_EFI_STUB: %w", u.Kernel, err)
	}
	return b, info, nil
}

// readMicrocode reads an archive of microcode, as long as the kernel wants what
// follows it to begin at: a multiple of four.
func readMicrocode(file string) ([]byte, error) {
	b, err := payload.ReadInitramfs(file)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(b, []byte("07070")) || !bytes.Contains(b, []byte("kernel/x86/microcode/")) {
		return nil, fmt.Errorf("%s is not microcode for a kernel, which is an uncompressed cpio archive with kernel/x86/microcode/ in it", file)
	}
	return append(b, make([]byte, -len(b)&3)...), nil
}
