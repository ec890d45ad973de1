package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// demo is what to show.
type demo struct {
	disk, iso  string // files of the user's own, or ""
	memory     int    // MiB
	parameters string
}

// options returns the machine to run, with all that it needs built.
func (d demo) options(a *assets.Assets, progress io.Writer) (vm.Options, error) {
	var drives []vm.Drive
	for file, bus := range map[string]vm.Bus{d.disk: vm.Virtio, d.iso: vm.CD} {
		if file != "" {
			drives = append(drives, vm.Drive{File: file, Bus: bus})
		}
	}
	if len(drives) == 0 {
		file, err := demoDisk(a, progress)
		if err != nil {
			return vm.Options{}, err
		}
		drives = []vm.Drive{{File: file}}
	}
	return d.machine(a, drives)
}

// machine returns the machine with these drives.
func (d demo) machine(a *assets.Assets, drives []vm.Drive) (vm.Options, error) {
	// Alpine's own second would be over before one has looked; the last
	// alpboot.timeout counts, so that the user's own goes before this one.
	o := vm.Options{Memory: d.memory, Drives: drives, Cmdline: strings.TrimSpace("console=ttyS0,115200 alpboot.timeout=30 " + d.parameters)}
	var err error
	if o.Kernel, o.Initrd, err = a.Menu(); err != nil {
		return o, err
	}
	if !a.HasKernel() {
		// One of Alpine's, named by ALPBOOT_KERNEL_A, would forbid kexec.
		o.Cmdline += " kexec_load_disabled=0"
	}
	return o, nil
}

// demoDisk makes a disk in Alpine's layout with two kernels.
func demoDisk(a *assets.Assets, progress io.Writer) (string, error) {
	fmt.Fprintln(progress, "Making the demo disk ...")
	in, err := demoInstall(a, "console=ttyS0,115200 no_timer_check")
	if err != nil {
		return "", err
	}
	file := a.Path("demo.img")
	return file, disk.GPTDisk(in).Write(file)
}

// demoInstall returns an installation with two kernels. What they boot is not
// Alpine, but a system of one program that prints what it is.
func demoInstall(a *assets.Assets, options string) (disk.Install, error) {
	in := disk.Install{Options: options}
	init, err := a.TargetInit()
	if err != nil {
		return in, err
	}
	for _, k := range []struct {
		flavour string
		line    debian.Line
	}{{"lts", debian.Newer}, {"virt", debian.Older}} {
		kernel, err := a.Debian(k.line)
		if err != nil {
			return in, err
		}
		initramfs, err := target.Initramfs(target.Image{Init: init, End: report.Stay, Compression: target.Gzip, Files: map[string]string{"flavour": k.flavour}})
		if err != nil {
			return in, err
		}
		in.Kernels = append(in.Kernels, disk.Kernel{Flavour: k.flavour, Image: kernel.Image, Initramfs: initramfs})
	}
	return in, nil
}

// show runs the machine on the terminal.
func show(o vm.Options, stdin io.Reader, stdout, stderr io.Writer) error {
	fmt.Fprint(stdout, `
The machine starts now; this terminal is its serial line. Its disk is not written to.
To leave it: Ctrl-A, then X.
Should nothing appear after you have booted an entry of your own disk, its kernel does
not use the serial line: press e in the menu and add console=ttyS0.

`)
	err := vm.Run(o, stdin, stdout, stderr)
	// The machine may have ended in the middle of a screen: back to the normal
	// one, with a cursor and plain colours.
	fmt.Fprint(stdout, "\x1b[?1049l\x1b[?25h\x1b[0m\r\n")
	return err
}
