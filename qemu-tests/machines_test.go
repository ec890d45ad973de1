package qemutests

import (
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Whatever machine it is, a user finds an Alpine disk in the menu and boots it.
func TestMachines(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	// An emulated microvm has no timer but the processor's own, and on a busy host
	// Linux does not find out how fast that one runs, and stops.
	const clock = "tsc_early_khz=2000000"
	for _, tt := range []struct {
		name       string
		bus        vm.Bus
		parameters string // of both kernels
		again      bool   // the others have its meaning, but for a detail
		change     func(o *vm.Options)
	}{
		// q35 with SeaBIOS is what nearly all other tests run on.
		{name: "pc, SeaBIOS", change: func(o *vm.Options) { o.Machine = "pc" }},
		{name: "q35, qboot", again: true, change: func(o *vm.Options) { o.Extra = []string{"-bios", "qboot.rom"} }},
		{name: "microvm", bus: vm.MMIO, parameters: clock, change: func(o *vm.Options) { o.Machine = "microvm" }},
		{name: "microvm with PCIe", again: true, parameters: clock, change: func(o *vm.Options) { o.Machine = "microvm,pcie=on" }},
		{name: "pc, qboot", again: true, change: func(o *vm.Options) { o.Machine, o.Extra = "pc", []string{"-bios", "qboot.rom"} }},
		// TestTooLittleMemory has even less.
		{name: "256 MiB", again: true, change: func(o *vm.Options) { o.Memory = 256 }},
		{name: "4 processors", change: func(o *vm.Options) { o.CPUs = 4 }},
	} {
		if tt.again && !everything() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			drive, w := alpineDisk(t, tt.parameters)
			drive.Bus = tt.bus
			startWith(t, "alpboot.timeout=-1 "+tt.parameters, tt.change, drive).bootsTarget(w)
		})
	}
}

// Of 32 disks on four kinds of controllers all are scanned, and the one that
// has a system on it boots, although it comes last.
func TestManyDisks(t *testing.T) {
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	const count = 32
	empty := made.Path("qemu-tests", t.Name(), "empty.img")
	if err := (disk.Layout{Partitions: []disk.Partition{{Size: 8, FS: disk.FS{Type: "ext4"}}}}).Write(empty); err != nil {
		t.Fatal(err)
	}
	drive, w := alpineDisk(t)
	drive.Bus = vm.USB
	drives := []vm.Drive{drive}
	for len(drives) < count {
		bus := vm.Virtio
		switch n := len(drives); {
		case n < 4:
			bus = vm.USB
		case n < 10:
			bus = vm.SATA
		case n < 12:
			bus = vm.NVMe
		}
		drives = append(drives, vm.Drive{File: empty, Bus: bus})
	}
	m := startWith(t, "alpboot.timeout=-1", func(*vm.Options) {}, drives...)
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	m.Type("l")
	for _, last := range []string{"vdt", "sdj", "nvme1n1"} {
		m.Type("/"+vm.Key(last), vm.Enter)
		m.row(drawLimit, "/dev/"+last)
	}
	m.Type(vm.Escape)
	m.bootsTarget(w)
}

// A machine without a serial port has the menu on its screen, and its keyboard
// chooses what boots.
func TestNoSerialPort(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	lts, virt := kernelOf(t, debian.Newer), kernelOf(t, debian.Older)
	image := initramfs(t, target.Gzip, map[string]string{"shown": "on the screen"})
	in := disk.Install{Options: "console=tty0 no_timer_check", Kernels: []disk.Kernel{
		{Flavour: "lts", Image: lts.Image, Initramfs: image},
		{Flavour: "virt", Image: virt.Image, Initramfs: image},
	}}
	m := startWith(t, "", func(o *vm.Options) {
		o.Serials, o.Display = vm.NoSerial, vm.VGA
		o.Cmdline = "console=tty0 alpboot.timeout=-1"
		o.Extra = []string{"-no-shutdown"} // what the target has written stays to be read
	}, vm.Drive{File: write(t, disk.GPTDisk(in))})
	await := func(limit time.Duration, texts ...string) string {
		t.Helper()
		var shown string
		if err := m.AwaitText(limit, strings.Join(texts, ", "), func(s string) bool {
			shown = s
			for _, text := range texts {
				if !strings.Contains(s, text) {
					return false
				}
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	await(menuLimit, "Linux lts", "Linux virt", inList(virt.Release))
	if err := m.SendKey(vm.Down, vm.Enter); err != nil {
		t.Fatal(err)
	}
	r, err := report.Parse(await(targetLimit, report.LastLine))
	if err != nil {
		t.Fatal(err)
	}
	if r.Release != virt.Release || r.Cmdline != in.Cmdline("UUID="+disk.RootUUID) || r.Files["shown"] != "on the screen" {
		t.Errorf("booted %q with %q and files %v", r.Release, r.Cmdline, r.Files)
	}
}

// A TPM changes nothing: firmware and the EFI stub measure what they start, the
// menu's kernel sees the chip, and so does the one that it boots. All other
// tests have none.
func TestTPM(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needProgram(t, "swtpm", "swtpm")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	alpine, w := alpineDisk(t)
	o := fromESP(t, uki, alpine)
	o.TPM = tpmtest.Control(t)
	m := startPayload(t, o)
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	m.shell()
	m.run("echo TPM $(cat /sys/class/tpm/tpm0/tpm_version_major).0", "TPM 2.0")
	before := len(m.Serial(0).Log())
	m.Type("exit\r")
	m.Await(drawLimit, vm.LogAfter(before, "Linux lts"))
	m.without("reading")
	m.bootsTarget(w)
	m.Await(0, vm.InLog("TPMEventLog=")) // the target knows what was measured
}
