package qemutests

import (
	"os"
	"os/exec"
	"testing"

	"github.com/alpboot/alpboot/boot/device/luks/lukstest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a distribution's kernel a user loads modules in the shell by name and by
// alias, and the kernel those that it misses by itself; and an encrypted disk
// opens in the menu, whose cipher is a module.
func TestModulesOfTheKernel(t *testing.T) {
	needQEMU(t)
	if _, err := exec.LookPath(lukstest.Programs); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Parallel()
	const passphrase = "pass phrase"
	k := kernelOf(t, debian.Older)
	layout := disk.OneRoot(disk.Install{Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, nil)}}})
	layout.Partitions[0].Size += 16
	// XTS is in the driver of the processor's AES instructions; ESSIV is asked for apart.
	layout.Partitions[0].FS.In = []disk.Volume{disk.LUKS2(passphrase, "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256")}
	m := start(t, made.MenuOnDebian, "alpboot.timeout=-1", vm.Drive{File: write(t, layout)})
	m.row(menuLimit, "vda1", "encrypted")

	m.shell()
	for _, step := range []struct {
		command vm.Key
		want    string // on the screen, and not in the command
	}{
		{"modprobe dm-crypt && modprobe crypto-xts; echo $(lsmod | grep '^xts ' | wc -l)-loaded", "1-loaded"},
		{"modprobe -r xts; echo $(lsmod | grep '^xts ' | wc -l)-left", "0-left"},
		{"modprobe amiga_floppy", "modprobe: amiga_floppy: no such kernel module"},
		{"echo /bbin/modprobe > /proc/sys/kernel/modprobe; echo $(lsmod | grep '^erofs ' | wc -l)-before", "0-before"},
		// It is not an erofs: to find that out, the kernel has its driver loaded.
		{"mount -t erofs /dev/vda1 /tmp; echo $(lsmod | grep '^erofs ' | wc -l)-after", "1-after"},
		{"lsboot /dev/vda1", "encrypted"},
	} {
		m.Type(step.command, vm.Enter)
		m.text(drawLimit, step.want)
	}

	m.leaveShell()
	m.row(drawLimit, "vda1", "encrypted")
	m.Type(vm.Enter)
	m.text(drawLimit, "Nothing of it is shown")
	m.Type(passphrase, vm.Enter)
	m.row(drawLimit, "Linux lts", inList(k.Release))
}
