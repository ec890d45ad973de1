package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// installation is a machine with OpenRC on which alpboot is to be installed: its disks,
// and the device that its root filesystem is on.
type installation struct {
	root, boot vm.Drive
	device     string // of root; boot is the one after or before it
}

// parameters are what extlinux.conf has for the kernel, which shows them in its log.
func (in installation) parameters() string {
	return "root=" + in.device + " console=ttyS0 loglevel=6 no_timer_check"
}

// newInstalled makes the disks. On them are alpboot and its image, and in /boot a
// kernel of Debian's, an initramfs that mounts the root filesystem, and extlinux.conf.
func newInstalled(t *testing.T, root, boot string) installation {
	t.Helper()
	needOpenRC(t)
	in := installation{device: root}
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"), "extlinux", "syslinux-common")
	if err != nil {
		t.Fatal(err)
	}
	program := made.Path("openrc", "alpboot")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmds/alpboot")
	cmd.Dir, cmd.Env = made.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building alpboot: %v\n%s", err, out)
	}
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	kernel, err := startedKernel()
	if err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("DEFAULT menu.c32\nPROMPT 0\nMENU HIDDEN\nTIMEOUT 10\nLABEL lts\n  MENU DEFAULT\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND %s\n", in.parameters())
	d := openrc.Disks{
		Root: map[string]openrc.File{
			"sbin/alpboot":                  {From: program, Mode: 0o755},
			"usr/share/alpboot/alpboot.efi": {From: uki},
			"etc/fstab":                     {Data: fmt.Appendf(nil, "%s / ext4 rw,relatime 0 1\n%s /boot ext4 rw,relatime 0 2\n", root, boot)},
			"etc/update-extlinux.conf":      {Data: []byte("overwrite=1\n")},
		},
		BootOptions: []string{"-O", "^64bit"}, // as Alpine makes it: extlinux cannot read it otherwise
		Boot: map[string]openrc.File{
			"vmlinuz-lts": {From: kernel.Kernel}, "initramfs-lts": {From: kernel.Initrd}, "extlinux.conf": {Data: []byte(conf)}, "efi/": {},
		},
	}
	files := [2]string{made.Path("qemu-tests", t.Name(), "root.img"), made.Path("qemu-tests", t.Name(), "boot.img")}
	if err := system.Write(d, files[0], files[1]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.Remove(files[0])
			os.Remove(files[1])
		}
	})
	in.root, in.boot = vm.Drive{File: files[0], Access: vm.Writeable}, vm.Drive{File: files[1], Access: vm.Writeable}
	return in
}

// direct starts the system by QEMU instead of a boot loader, up to its shell.
func (in installation) direct(t *testing.T, o vm.Options) machine {
	t.Helper()
	kernel, err := startedKernel()
	if err != nil {
		t.Fatal(err)
	}
	o.Kernel, o.Initrd, o.Cmdline = kernel.Kernel, kernel.Initrd, in.parameters()
	m := startAnother(t, o)
	m.Await(bootedLimit, vm.OnScreen("console#"))
	return m
}

// off shuts the system down in order.
func (m machine) off() {
	m.t.Helper()
	m.Type("poweroff\r")
	m.Await(downLimit, vm.InLog(powerDown))
	m.AwaitEnd(time.Minute)
}

// boots chooses the default of the menu, and waits for the shell of what it boots.
func (m machine) boots() {
	m.t.Helper()
	m.row(menuLimit, "Linux lts")
	m.selected("Linux lts") // what the other loader has as its default
	before := len(m.Serial(0).Log())
	m.Type(vm.Enter)
	m.Await(targetLimit, vm.LogAfter(before, "console#"))
}

// On a machine with a BIOS and extlinux, alpboot install makes its menu what comes
// after the next reset, with extlinux's default as its own. After alpboot uninstall
// extlinux.conf is what it was.
func TestInstallBesideExtlinux(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	takePlace(t)
	in := newInstalled(t, "/dev/vdb", "/dev/vda")
	o := vm.Options{Drives: []vm.Drive{in.boot, in.root}, Memory: roomy}
	m := in.direct(t, o)
	m.sh("extlinux --install /boot && cp /usr/lib/syslinux/modules/bios/menu.c32 /usr/lib/syslinux/modules/bios/libutil.c32 /boot")
	m.sh("cp /boot/extlinux.conf /root/before")
	out := m.sh("alpboot install")
	if !strings.Contains(out, "is what extlinux starts by /boot/extlinux.conf. The next start shows its menu, which boots Linux lts") {
		t.Errorf("alpboot install prints %q", out)
	}
	if out := m.sh("alpboot update"); !strings.Contains(out, "nothing newer") {
		t.Errorf("alpboot update prints %q", out)
	}
	m.sh("ls /boot/alpboot/bzImage-* /etc/update-extlinux.d/alpboot.conf")
	m.off()

	o.Resets = true
	m = startAnother(t, o)
	m.boots()
	m.sh("grep root=/dev/vdb /proc/cmdline && ! grep BOOT_IMAGE /proc/cmdline")
	out = m.sh("alpboot uninstall")
	if !strings.Contains(out, "which is as it was before. At the next start extlinux starts Linux lts.") {
		t.Errorf("alpboot uninstall prints %q", out)
	}
	m.sh("cmp /boot/extlinux.conf /root/before && ! ls /boot/alpboot && ! ls /etc/update-extlinux.d/alpboot.conf")
	m.Type("reboot\r")
	m.Await(downLimit, vm.InLog(restarting))
}

// On a machine with UEFI, alpboot install --try is started once and leaves the boot
// order alone. When the system that it boots says good, it is what the firmware
// starts from then on.
func TestInstallTry(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	takePlace(t)
	in := newInstalled(t, "/dev/vdb", "/dev/vdc")
	partition := esp(t, "esp.img")
	partition.Access = vm.Writeable
	o := vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{partition, in.root, in.boot}, Memory: roomy,
	}
	const (
		mount = "mount -t efivarfs none /sys/firmware/efi/efivars; mount -t vfat /dev/vda1 /boot/efi && cd /sys/firmware/efi/efivars"
		order = "md5sum <BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	)
	m := in.direct(t, o)
	m.sh(mount + " && mkdir -p /boot/efi/EFI")
	before := m.sh(order)
	out := m.sh("alpboot install --try")
	if !strings.Contains(out, "is on trial. The next start, and only that one, shows its menu; it stays when the system that it boots runs alpboot good") {
		t.Errorf("alpboot install --try prints %q", out)
	}
	if after := m.sh(order); after != before {
		t.Error("the boot order has changed")
	}
	m.off()

	o.Resets = true
	m = startAnother(t, o)
	m.boots()
	m.Await(0, vm.InLog(`"alpboot (trial)" from HD(1,GPT,`))
	m.sh(mount)
	out, _ = m.shCode("alpboot good")
	if !strings.Contains(out, "The alpboot that was on trial stays: the firmware starts it from now on") {
		t.Errorf("alpboot good prints %q", out)
	}
	m.sh("test -f /boot/efi/EFI/alpboot/alpboot.efi && ! test -f /boot/efi/EFI/alpboot/trial.efi && cd /")
	from := len(m.Serial(0).Log())
	m.Type("reboot\r")
	m.Await(menuLimit, vm.LogAfter(from, `"alpboot" from HD(1,GPT,`))
	m.row(menuLimit, "Linux lts")
	m.selected("Linux lts")
}
