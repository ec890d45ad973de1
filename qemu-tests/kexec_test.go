package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A user whose menu runs on a kernel that forbids kexec, as Alpine's do unless
// they are told otherwise, is told so and what to do, and booting comes back to
// the menu with the reason.
func TestKexecForbidden(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Older)
	in := disk.Install{Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, nil)}}}
	m := start(t, ownKernel, "alpboot.timeout=-1 sysctl.kernel.kexec_load_disabled=1", vm.Drive{File: write(t, disk.OneRoot(in))})
	m.text(menuLimit, "forbids kexec")
	m.row(menuLimit, "Linux lts", "default")
	m.Type(vm.Enter)
	m.row(drawLimit, "Linux lts", "failed")
	m.text(drawLimit, "kexec_load_disabled=0")
}

// A user boots by hand from the shell, on a kernel that has only kexec_load(2),
// as Alpine's: -c asks for that call. Both initrds reach the target, in order.
func TestKexecLoadByHand(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	first, err := target.Initramfs(target.Image{Files: map[string]string{"order": "first", "only-first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	in := disk.Install{Kernels: []disk.Kernel{{
		Flavour: "lts", Image: k.Image,
		Extra:     []disk.File{{Path: "intel-ucode.img", Data: first}},
		Initramfs: initramfs(t, target.Gzip, map[string]string{"order": "second"}),
	}}}
	m := start(t, ownKernel, "alpboot.timeout=-1", vm.Drive{File: write(t, disk.OneRoot(in))})
	m.row(menuLimit, "Linux lts")
	m.Type("s")
	m.Await(drawLimit, vm.OnScreen("$"))
	m.Type("mkdir /m && mount -r -t ext4 /dev/vda1 /m && cd /m/boot && echo mount$((6 * 7))\r")
	m.Await(drawLimit, vm.OnScreen("mount42"))
	m.Type("kexec -l -c --initrd intel-ucode.img --initrd initramfs-lts --append 'console=ttyS0 by=hand' vmlinuz-lts && cat /sys/kernel/kexec_loaded && echo load$((6 * 7))\r")
	m.Await(drawLimit, vm.OnScreen("load42"))
	m.Type("kexec -e\r")
	m.target(want{k, "console=ttyS0 by=hand", map[string]string{"order": "second", "only-first": "yes"}})
}
