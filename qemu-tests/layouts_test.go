package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A user who presses no key sees Alpine boot from a disk in each layout that
// its installer makes, on whatever controller the disk is attached to.
func TestLayouts(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		layout func(disk.Install) disk.Layout
		bus    vm.Bus
		root   string // of root=
		again  bool   // the others have its meaning, but for a detail
	}{
		{"MBR with separate boot", disk.SeparateBoot, vm.SATA, "UUID=" + disk.RootUUID, false},
		{"one root with extlinux.conf", disk.OneRoot, vm.NVMe, "UUID=" + disk.RootUUID, true},
		{"one root without configuration", disk.NoConfig, vm.USB, "UUID=" + disk.RootUUID, false},
		{"ext4 on the whole disk", disk.WholeDisk, vm.Virtio, "LABEL=/", true},
		{"ISO", disk.ISO, vm.CD, "", false},
	} {
		if tt.again && !everything() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			if tt.bus == vm.USB {
				needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
			}
			t.Parallel()
			k := kernelOf(t, debian.Older)
			files := map[string]string{"layout": tt.name}
			options := "quiet no_timer_check"
			if tt.name == "one root without configuration" {
				options = "quiet" // as alpboot makes it
			}
			in := disk.Install{
				Options: options,
				Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)}},
			}
			cmdline := in.Cmdline(tt.root)
			switch {
			case tt.bus == vm.CD:
				cmdline = disk.ISOCmdline
			case tt.name == "one root without configuration": // what alpboot makes gets the menu's consoles
				cmdline += menuConsoles
			}
			m := start(t, anyKernel, "alpboot.timeout=0", vm.Drive{File: write(t, tt.layout(in)), Bus: tt.bus})
			m.target(want{k, cmdline, files})
		})
	}
}
