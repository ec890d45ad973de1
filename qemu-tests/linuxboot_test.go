package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// The menu starts from flash, in the place of edk2's Shell. In the slim image
// firmware has no drivers for disks, so that no boot loader on a disk comes
// before it; that leaves room for all of the menu and its shell in 8 MiB.
func TestPayloadLinuxBoot(t *testing.T) {
	const code = ovmf + "OVMF_CODE_4M.fd"
	needFirmware(t, "ovmf", code)
	needOwnKernel(t, "Debian's kernel with its modules does not fit into 10 MiB of flash")
	t.Parallel()
	loader := "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	t.Run("10 MiB", func(t *testing.T) {
		t.Parallel()
		uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
		rom := made.Path("payload", "linuxboot.rom")
		if _, err := payloads().Run("linuxboot", "--flash", code, "--uki", uki, "--remove", "network", "--size", "10", "-o", rom); err != nil {
			t.Fatal(err)
		}
		alpine, w := alpineDisk(t)
		startPayload(t, vm.Options{Firmware: rom, Drives: []vm.Drive{alpine}}).bootsTarget(w)
	})
	t.Run("slim, 8 MiB", func(t *testing.T) {
		needFirmware(t, "systemd-boot-efi", loader)
		t.Parallel()
		uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
		rom := made.Path("payload", "linuxboot-slim.rom")
		if _, err := payloads().Run("linuxboot", "--flash", code, "--uki", uki, "--slim", "--size", "8", "-o", rom); err != nil {
			t.Fatal(err)
		}
		alpine, w := alpineDisk(t)
		other := esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: loader})
		startPayload(t, vm.Options{Flash: vm.Flash{Code: rom}, Drives: []vm.Drive{other, alpine}}).bootsTarget(w)
	})
}
