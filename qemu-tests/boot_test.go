package qemutests

import (
	"slices"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// twoKernels is an Alpine installation with two kernels of different versions,
// whose initramfs each carry a file of their own.
func twoKernels(t *testing.T) (in disk.Install, lts, virt debian.Kernel) {
	t.Helper()
	lts, virt = kernelOf(t, debian.Newer), kernelOf(t, debian.Older)
	if lts.Release == virt.Release {
		t.Fatalf("both kernels are %s: the test wants two versions", lts.Release)
	}
	return disk.Install{
		Options: "console=ttyS0,115200",
		Kernels: []disk.Kernel{
			{Flavour: "lts", Image: lts.Image, Initramfs: initramfs(t, target.Gzip, map[string]string{"flavour": "lts"})},
			{Flavour: "virt", Image: virt.Image, Initramfs: initramfs(t, target.Zstd, map[string]string{"flavour": "virt"})},
		},
	}, lts, virt
}

// The menu lists both kernels of an Alpine disk with their versions; Down and
// Enter boot the second one with exactly the command line of extlinux.conf, and
// not a byte of the disk has changed.
func TestChoosingWithKeys(t *testing.T) {
	needQEMU(t)
	for _, p := range []payload{ownKernel, debianKernel} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in, lts, virt := twoKernels(t)
			file := write(t, disk.GPTDisk(in))
			before := sum(t, file)
			// Writeable: were anything written, it would reach the file.
			m := start(t, p, "alpboot.timeout=600", vm.Drive{File: file, Access: vm.Writeable})
			m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
			m.row(drawLimit, "Linux virt", inList(virt.Release))
			m.selected("Linux lts")
			m.Type(vm.Down)
			m.selected("Linux virt")
			m.Type(vm.Enter)
			m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})
			// The banner comes from the kernel itself, not only from its init.
			m.Await(0, vm.InLog("Linux version "+virt.Release))
			if after := sum(t, file); after != before {
				t.Errorf("the disk has changed: SHA-256 %s, was %s", after, before)
			}
		})
	}
}

// A user who does nothing sees the default entry count down and boot.
func TestCountdownBootsTheDefault(t *testing.T) {
	needQEMU(t)
	for _, p := range []payload{ownKernel, debianKernel} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in, lts, _ := twoKernels(t)
			file := write(t, disk.GPTDisk(in))
			m := start(t, p, "alpboot.timeout=5", vm.Drive{File: file})
			m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
			m.text(menuLimit, "Any key stops")
			m.target(want{lts, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "lts"}})
		})
	}
}

// Without any disk the menu says so; s opens a shell that works, and leaving it
// comes back to the menu.
func TestWithoutADisk(t *testing.T) {
	needQEMU(t)
	for _, p := range []payload{ownKernel, debianKernel} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			m := start(t, p, "")
			m.row(menuLimit, "No disk was found.")
			m.Type("s")
			m.Await(drawLimit, vm.ScreenIs("the shell's prompt", func(s vm.Screen) bool {
				return slices.ContainsFunc(s.Lines(), func(l string) bool { return l == "$" || l == "#" || l == ">" })
			}))
			// The command's output, not its echo: the shell must have worked it out.
			m.Type("echo $((6 * 7))-$(uname)-works\r")
			m.Await(drawLimit, vm.OnScreen("42-Linux-works"))
			m.Type("exit\r")
			m.row(drawLimit, "Back from the shell.")
			m.row(drawLimit, "No disk was found.")
		})
	}
}
