package qemutests

import (
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A user who presses no key sees Alpine boot from a disk in each layout that
// its installer makes, on whatever controller the disk hangs.
func TestLayouts(t *testing.T) {
	needQEMU(t)
	for _, tt := range []struct {
		name   string
		layout func(disk.Install) disk.Layout
		bus    vm.Bus
		root   string // of root=
	}{
		{"MBR with separate boot", disk.SeparateBoot, vm.SATA, "UUID=" + disk.RootUUID},
		{"one root with extlinux.conf", disk.OneRoot, vm.NVMe, "UUID=" + disk.RootUUID},
		{"one root without configuration", disk.NoConfig, vm.USB, "UUID=" + disk.RootUUID},
		{"ext4 on the whole disk", disk.WholeDisk, vm.Virtio, "LABEL=/"},
		{"ISO", disk.ISO, vm.CD, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := kernelOf(t, debian.Older)
			files := map[string]string{"layout": tt.name}
			in := disk.Install{
				Options: "quiet",
				Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)}},
			}
			cmdline := in.Cmdline(tt.root)
			if tt.bus == vm.CD {
				cmdline = disk.ISOCmdline
			}
			m := start(t, ownKernel, "alpboot.timeout=1", vm.Drive{File: write(t, tt.layout(in)), Bus: tt.bus})
			m.target(want{k, cmdline, files})
		})
	}
}

// Microcode comes before the initramfs, as extlinux.conf lists them: what the
// later archive holds stands in place of the earlier one's.
func TestInitrdsKeepTheirOrder(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Older)
	first, err := target.Initramfs(target.Image{Files: map[string]string{"order": "first", "only-first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	in := disk.Install{Options: "quiet", Kernels: []disk.Kernel{{
		Flavour: "lts", Image: k.Image,
		Extra:     []disk.File{{Path: "intel-ucode.img", Data: first}},
		Initramfs: initramfs(t, target.Zstd, map[string]string{"order": "second", "only-second": "yes"}),
	}}}
	m := start(t, ownKernel, "alpboot.timeout=0", vm.Drive{File: write(t, disk.SeparateBoot(in))})
	m.target(want{k, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"order": "second", "only-first": "yes", "only-second": "yes"}})
}
