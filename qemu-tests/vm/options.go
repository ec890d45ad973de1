package vm

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Options describe a virtual machine. The zero value of each field but Kernel
// means what is in its comment.
type Options struct {
	Kernel  string // path of the kernel image; "" boots from Firmware or the disks
	Initrd  string // path of its initramfs
	Cmdline string // its command line; no_timer_check is added
	Memory  int    // MiB; 512
	// CPUs is 1 by default. QEMU emulates several of them on one thread, see
	// accelerator.
	CPUs    int
	Drives  []Drive
	Serials int     // number of serial ports, ttyS0 first, or NoSerial; 1
	Display Display // none
	Network bool    // a network card behind QEMU's user-mode network; none
	Resets  bool    // a reset starts the machine again; it ends there otherwise

	Arch     string // x86_64, the only one so far
	Machine  string // q35
	Firmware string // path of a flash image for -bios; QEMU's own
	Flash    Flash  // flash chips with UEFI firmware instead of Firmware
	TPM      string // path of the control socket of a running swtpm(8); no TPM

	// Clock is the library of [BuildClock]: then time in the machine is counted in
	// instructions, and is the same however busy the host is. Its drives cannot be
	// written to, and their files must be on a tmpfs, so that none is waited for.
	Clock string

	Dir   string   // where the logs go; a new temporary directory
	Extra []string // further arguments for QEMU
}

// NoSerial is Options.Serials of a machine without a serial port. Wait for what
// its screen shows with [VM.AwaitText] then.
const NoSerial = -1

// Flash is firmware in flash chips. Unlike Options.Firmware it can keep
// variables.
type Flash struct {
	Code string // path of the firmware, which the machine cannot write to
	Vars string // path of the chip with its variables, which it does write to; none
	// Secure lets only the firmware itself change the variables, by SMM: Secure
	// Boot needs it.
	Secure bool
}

// Drive is a disk image attached to a machine.
type Drive struct {
	File   string
	Format string // raw, qcow2; found from the content
	Bus    Bus    // virtio
	Access Access // Snapshot
	Shared bool   // other machines read the image meanwhile: QEMU does not lock it
}

// Display is the kind of screen a machine has besides its serial ports.
type Display int

const (
	NoDisplay Display = iota
	VGA               // reached through [VM.Screendump] and [VM.SendKey]
)

// Bus is the controller that a drive hangs on.
type Bus string

const (
	Virtio Bus = "virtio"
	SATA   Bus = "sata"
	NVMe   Bus = "nvme"
	USB    Bus = "usb"
	MMIO   Bus = "mmio" // virtio without PCI, of the machine microvm
	CD     Bus = "cd"   // a CD-ROM drive on SATA
)

// Access is what becomes of writes to a drive.
type Access int

const (
	Snapshot  Access = iota // they are thrown away when the machine ends
	ReadOnly                // the machine sees that the drive is read-only
	Writeable               // they reach the file
)

// DetectFormat returns QEMU's name for the format of a disk image from its
// first bytes: qcow2, or raw for anything else.
func DetectFormat(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if n, _ := f.ReadAt(magic, 0); n == 4 && string(magic) == "QFI\xfb" {
		return "qcow2", nil
	}
	return "raw", nil
}

// withDefaults fills in what the zero values stand for and refuses what cannot
// work, such as a file that is not there.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Memory, 512)
	setDefault(&o.CPUs, 1)
	setDefault(&o.Serials, 1)
	setDefault(&o.Arch, "x86_64")
	setDefault(&o.Machine, "q35")
	if o.Clock != "" && o.CPUs > 1 {
		return o, fmt.Errorf("a machine that is counted has one processor, not %d", o.CPUs)
	}
	if o.Arch != "x86_64" {
		return o, fmt.Errorf("architecture %s is not supported", o.Arch)
	}
	for _, f := range []string{o.Kernel, o.Initrd, o.Firmware, o.Flash.Code, o.Flash.Vars, o.TPM, o.Clock} {
		if f == "" {
			continue
		}
		if _, err := os.Stat(f); err != nil {
			return o, err
		}
	}
	drives := make([]Drive, len(o.Drives))
	for i, d := range o.Drives {
		setDefault(&d.Bus, Virtio)
		if d.Format == "" {
			format, err := DetectFormat(d.File)
			if err != nil {
				return o, err
			}
			d.Format = format
		}
		drives[i] = d
	}
	o.Drives = drives
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Command returns the program and arguments that run the machine with its first
// serial port and QEMU's monitor on the terminal it is started from.
func (o Options) Command() ([]string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Serials == NoSerial {
		return append(o.args(), "-monitor", "stdio"), nil
	}
	args := append(o.args(), "-serial", "mon:stdio")
	for range o.Serials - 1 {
		args = append(args, "-serial", "null")
	}
	return args, nil
}

// args returns QEMU's command line but for the serial ports. o has its defaults.
func (o Options) args() []string {
	accel, cpu := o.accelerator()
	machine := o.Machine
	if o.Flash.Secure {
		machine += ",smm=on"
	}
	args := []string{
		"qemu-system-" + o.Arch,
		"-nodefaults", "-no-user-config",
		"-machine", machine, "-accel", accel, "-cpu", cpu,
		"-m", strconv.Itoa(o.Memory), "-smp", strconv.Itoa(o.CPUs),
		"-display", "none",
	}
	if o.Clock != "" {
		args = append(args, counted()...)
	}
	if !o.Resets {
		args = append(args, "-no-reboot")
	}
	if o.Display == VGA {
		args = append(args, "-device", "VGA")
	}
	if o.Firmware != "" {
		args = append(args, "-bios", o.Firmware)
	}
	if o.Flash.Secure {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	for unit, file := range []string{o.Flash.Code, o.Flash.Vars} {
		if file == "" {
			continue
		}
		spec := fmt.Sprintf("if=pflash,format=raw,unit=%d,file=%s", unit, strings.ReplaceAll(file, ",", ",,"))
		if unit == 0 {
			spec += ",readonly=on"
		}
		args = append(args, "-drive", spec)
	}
	if o.TPM != "" {
		args = append(args, "-chardev", "socket,id=tpm0,path="+strings.ReplaceAll(o.TPM, ",", ",,"),
			"-tpmdev", "emulator,id=tpm0,chardev=tpm0", "-device", "tpm-crb,tpmdev=tpm0")
	}
	if o.Kernel != "" {
		args = append(args, "-kernel", o.Kernel, "-append", o.kernelCmdline())
	}
	if o.Initrd != "" {
		args = append(args, "-initrd", o.Initrd)
	}
	if o.Network {
		args = append(args, "-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0")
	}
	usb := false
	ports := 0 // of the SATA controller, each for one drive
	for i, d := range o.Drives {
		id := fmt.Sprintf("disk%d", i)
		// QEMU takes a comma in a value when it is doubled.
		spec := "if=none,id=" + id + ",format=" + d.Format + ",file=" + strings.ReplaceAll(d.File, ",", ",,")
		switch {
		case o.Clock != "":
			// Each read is done before the processor goes on.
			spec += ",readonly=on,cache.direct=on,aio=native"
		case d.Access == ReadOnly || d.Bus == CD:
			spec += ",readonly=on"
		case d.Access == Snapshot:
			spec += ",snapshot=on"
		default:
			// What is written outlives the machine, however that ends. That it outlives
			// the host too would have a machine wait for the host's disk.
			spec += ",cache=unsafe"
		}
		if d.Shared {
			spec += ",file.locking=off"
		}
		var device string
		switch d.Bus {
		case SATA:
			device = fmt.Sprintf("ide-hd,bus=ide.%d", ports)
			ports++
		case NVMe:
			device = "nvme,serial=" + id
		case USB:
			device = "usb-storage"
			if !usb {
				args = append(args, "-device", "qemu-xhci")
				usb = true
			}
		case MMIO:
			device = "virtio-blk-device"
		case CD:
			device = fmt.Sprintf("ide-cd,bus=ide.%d", ports)
			ports++
		default:
			device = "virtio-blk-pci"
			if o.Clock != "" {
				device += ",ioeventfd=off"
			}
		}
		args = append(args, "-drive", spec, "-device", device+",drive="+id)
	}
	return append(args, o.Extra...)
}

// accelerator returns what runs the machine's code, and on which processor.
func (o Options) accelerator() (accel, cpu string) {
	// A KVM device may be there and yet hang, so it is never taken unasked.
	if os.Getenv("ALPBOOT_QEMU_ACCEL") == "kvm" {
		return "kvm", "host"
	}
	accel = "tcg"
	if o.CPUs > 1 {
		// Linux patches its own code while it runs. With a thread for each
		// processor, QEMU 7.2 now and then lets one of them run half of what
		// another one is writing, and the kernel dies: "Oops: int3".
		accel += ",thread=single"
	}
	// QEMU 7.2's five-level paging is left alone: Linux 6.12 died in it once.
	return accel, "max,la57=off"
}

// kernelCmdline returns the command line with no_timer_check: on a busy host an
// emulated timer may not tick while the kernel looks whether it does, and then
// it panics ("IO-APIC + timer doesn't work!").
func (o Options) kernelCmdline() string {
	const calm = "no_timer_check"
	if slices.Contains(strings.Fields(o.Cmdline), calm) {
		return o.Cmdline
	}
	return strings.TrimSpace(o.Cmdline + " " + calm)
}

// ShellQuote joins arguments into a line that a POSIX shell splits again.
func ShellQuote(args []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%"
	quoted := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.Trim(a, plain) != "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}
