// Package efiprogram decides what becomes of an entry that starts an EFI program,
// as entries of several boot loaders do: a unified kernel image or a kernel with
// an EFI stub can be booted, and anything else is named for what it is.
package efiprogram

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/kernel"
)

// maxAddons is how many addons of one unified kernel image are read.
const maxAddons = 32

// Complete completes e, whose Kernel is an EFI program on the volume fsys that is
// started with the load options; esp is the directory where its EFI system
// partition is mounted there, "." for the root. A unified kernel image is booted
// by its own command line where options is empty, and a kernel by options, of
// which initrd= names files. Anything else is a Problem, unless e has one.
func Complete(e *boot.Entry, fsys fs.FS, esp, options string) {
	in, u, err := kernel.Describe(fsys, e.Kernel)
	switch {
	case u != nil:
		e.UKI = true
		e.Cmdline = u.Cmdline
		if options != "" {
			e.Cmdline = cmdline.Parse(options).String()
		}
		e.Notes = append(e.Notes, u.Notes()...)
		AddAddons(e, fsys, esp)
	case err == nil && in.Format != kernel.PE && in.Format != kernel.UnifiedImage:
		line := cmdline.Parse(options)
		for _, name := range line.Initrds() {
			e.Initrds = append(e.Initrds, fspath.InsideDOS(name))
		}
		e.Cmdline = line.WithoutLoader().String()
	case e.Problem != "" || in.Format == kernel.UnifiedImage: // a damaged one: whoever opens it reports why
	default:
		e.Problem = Problem(e.Kernel)
	}
}

// Problem returns why the EFI program of that path cannot be started, as a sentence.
func Problem(file string) string {
	return fmt.Sprintf("It starts %s through the firmware, which a running Linux cannot do.", Name(file))
}

// programs are EFI programs that people have in entries, by parts of their paths
// in lower case.
var programs = [...]struct{ part, name string }{
	{"/microsoft/", "Windows"},
	{"bootmgfw", "Windows"},
	{"memtest", "a memory test"},
	{"mt86", "a memory test"},
	{"fwupd", "fwupd, which updates the firmware,"},
	{"shell", "the EFI shell"},
	{"uiapp", "the setup of the firmware"},
	{"/setup", "the setup of the firmware"},
	{"/shim", "the boot loader behind shim"},
	{"/grub", "GRUB"},
	{"/refind", "rEFInd"},
	{"systemd-boot", "systemd-boot"},
	{"/limine", "Limine"},
	{"ipxe", "iPXE"},
	{"netboot.xyz", "iPXE"},
}

// Name returns what the EFI program of that path is, as part of a sentence.
func Name(file string) string {
	file = "/" + strings.ReplaceAll(file, `\`, "/")
	for _, p := range programs {
		if strings.Contains(strings.ToLower(file), p.part) {
			return p.name
		}
	}
	return "the EFI program " + boot.Clean(path.Base(file))
}

// AddAddons appends the command lines of the PE addons that systemd-stub would
// use for the unified kernel image of e: those in loader/addons of esp, which
// are for all images, then those in the directory beside the image that has its
// name without a boot counter and .extra.d. What they hold besides, and other files there, is not
// passed on: a note of e names it.
func AddAddons(e *boot.Entry, fsys fs.FS, esp string) {
	var left []string
	lines := []string{e.Cmdline}
	image := e.Kernel
	if c, ok := boot.ParseCounter(image); ok {
		image = c.Plain()
	}
	own := fspath.Directories(fsys, path.Dir(image), path.Base(image)+".extra.d", nil)
	for _, dir := range slices.Concat(fspath.Directories(fsys, esp, "loader/addons", nil), own) {
		list, _ := fs.ReadDir(fsys, dir) // in the order of names
		for _, d := range list {
			name := d.Name()
			switch {
			case strings.HasPrefix(name, ".") || d.IsDir():
				continue
			case !strings.HasSuffix(strings.ToLower(name), ".addon.efi"):
				left = append(left, name)
				continue
			case len(lines) > maxAddons:
				left = append(left, fmt.Sprintf("%s (more than %d)", name, maxAddons))
				continue
			}
			a, err := kernel.DescribeAddon(fsys, path.Join(dir, name))
			switch {
			case errors.Is(err, kernel.ErrNotUKI):
				left = append(left, name+" (not an addon)")
			case err != nil:
				left = append(left, fmt.Sprintf("%s (%v)", name, err))
			case a.Cmdline != "":
				lines = append(lines, a.Cmdline)
			}
			for _, section := range a.Others {
				left = append(left, section+" of "+name)
			}
		}
	}
	e.Cmdline = strings.TrimSpace(strings.Join(lines, " "))
	if len(left) > 0 {
		e.Notes = append(e.Notes, "What its addons and extra files hold besides is not passed on: "+boot.Clean(strings.Join(left, ", "))+".")
	}
}
