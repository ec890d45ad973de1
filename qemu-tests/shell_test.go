package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// In the shell, lsboot lists what the menu lists.
func TestListingInTheShell(t *testing.T) {
	needQEMU(t)
	for _, p := range []payload{ownKernel, debianKernel} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in, lts, virt := twoKernels(t)
			m := start(t, p, "alpboot.timeout=-1", vm.Drive{File: write(t, disk.GPTDisk(in))})
			m.row(menuLimit, "Linux virt", inList(virt.Release))
			m.Type("s")
			m.Await(drawLimit, vm.OnScreen("$"))
			m.Type("lsboot && echo listed$((6 * 7))\r")
			m.Await(drawLimit, vm.OnScreen("listed42"))
			m.row(drawLimit, "*", "1", "Linux lts", inList(lts.Release), "/dev/vda")
			m.row(drawLimit, "2", "Linux virt", inList(virt.Release), "/dev/vda")
			m.Type("exit\r")
			m.row(drawLimit, "Linux lts", "default")
		})
	}
}
