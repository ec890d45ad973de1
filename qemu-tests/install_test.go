package qemutests

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// The whole way of a user, from the package to the old boot loader: the package is
// installed, alpboot install, a reset, the menu, the target, a newer kernel, a reset,
// the target with that kernel, alpboot uninstall, a reset, and the old loader boots
// it. In make test there is one machine with a BIOS and one with UEFI, both like
// Alpine: TestInstallBesideExtlinux and TestInstallTry.

// installation is a machine with OpenRC on which alpboot is to be installed: its disks,
// and its kernel before and after the upgrade.
type installation struct {
	root, boot   vm.Drive
	older, newer openrc.Kernel
	parameters   string // of the kernel, which shows them in its log
}

// installedEntry is what the menu of both has, and what the loader starts before it
// and after it.
const installedEntry = "Linux lts"

// newInstallation makes the disks. On root are the files and a script of the package,
// below /package, and the newer kernel; options are for the mkfs of boot.
func newInstallation(t *testing.T, rootDevice, fstab string, boot map[string]openrc.File, options ...string) installation {
	t.Helper()
	needOpenRC(t)
	in := installation{parameters: "root=" + rootDevice + " console=ttyS0 loglevel=6 no_timer_check"}
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"), "extlinux", "syslinux-common")
	if err != nil {
		t.Fatal(err)
	}
	if in.older, err = olderKernel(); err != nil {
		t.Fatal(err)
	}
	if in.newer, err = newerKernel(); err != nil {
		t.Fatal(err)
	}
	program, err := madeAlpboot()
	if err != nil {
		t.Fatal(err)
	}
	packaging := filepath.Join(made.Root(), "cmds", "mkrelease")
	d := openrc.Disks{
		Root: map[string]openrc.File{
			"package/usr/sbin/alpboot":                      {From: program, Mode: 0o755},
			"package/usr/share/alpboot/alpboot.efi":         {From: makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)},
			"package/usr/share/alpboot/changed":             {From: filepath.Join(packaging, "package", "changed"), Mode: 0o755},
			"package/usr/share/kernel-hooks.d/alpboot.hook": {From: filepath.Join(packaging, "alpine", "alpboot.hook"), Mode: 0o755},
			"package/etc/kernel-hooks.d/":                   {},
			"post-install":                                  {From: filepath.Join(packaging, "alpine", "alpboot.post-install"), Mode: 0o755},
			"new/vmlinuz-lts":                               {From: in.newer.Image},
			"new/initramfs-lts":                             {From: in.newer.Initramfs},
			"etc/fstab":                                     {Data: []byte(fstab)},
			"etc/update-extlinux.conf":                      {Data: []byte("overwrite=1\n")},
			"etc/mkinitfs/mkinitfs.conf":                    {},
		},
		BootOptions: options,
		Boot:        boot,
		Prepare: func(root string) error {
			const link = "package/etc/kernel-hooks.d/60-alpboot.hook"
			return errors.Join(
				os.Symlink("../../usr/share/kernel-hooks.d/alpboot.hook", filepath.Join(root, link)),
				os.Symlink("alpboot", filepath.Join(root, "package/usr/sbin/kexec-reboot")))
		},
	}
	for _, k := range []openrc.Kernel{in.older, in.newer} {
		for name, f := range k.Modules {
			d.Root[name] = f
		}
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

// direct starts the system by QEMU instead of a boot loader, up to its shell: on the
// kernel at hand, which is up the soonest.
func (in installation) direct(t *testing.T, o vm.Options) machine {
	t.Helper()
	kernel, err := openrcKernel()
	if err != nil {
		t.Fatal(err)
	}
	o.Kernel, o.Initrd, o.Cmdline = kernel.Kernel, kernel.Initrd, in.parameters
	m := startAnother(t, o)
	m.Await(bootedLimit, vm.OnScreen("console#"))
	return m
}

// installs does what apk add does with the package, and runs alpboot install with
// these arguments. It returns what that has printed.
func (m machine) installs(arguments string) string {
	m.t.Helper()
	begin := time.Now()
	if out := m.sh("cp -a /package/. / && /post-install 1.0.0-r0"); !strings.Contains(out, "alpboot install puts the boot menu in place") {
		m.t.Errorf("the package prints %q", out)
	}
	out := m.sh(strings.TrimSpace("alpboot install " + arguments))
	m.t.Logf("from the package to installed: %.1f s", time.Since(begin).Seconds())
	m.healthy()
	return out
}

// healthy asserts that the doctor has nothing to complain about.
func (m machine) healthy() {
	m.t.Helper()
	out, code := m.shCode("alpboot doctor")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != "0" || len(lines) != 2 || lines[1] != "This machine would come back." {
		m.t.Errorf("alpboot doctor: exit code %s\n%s", code, out)
	}
}

// upgrades does what apk upgrade does with a kernel that is newer, and its hook.
func (m machine) upgrades(in installation) {
	m.t.Helper()
	version := func(k openrc.Kernel) string { return strings.TrimSuffix(k.Release, "-lts") + "-0" }
	out := m.sh("cp /new/* /boot && for hook in /etc/kernel-hooks.d/*.hook; do $hook lts " + version(in.newer) + " " + version(in.older) + "; done")
	if strings.Contains(out, "after this change of a kernel") || strings.Contains(out, "was not updated") {
		m.t.Errorf("after an upgrade of the kernel:\n%s", out)
	}
}

// off shuts the system down in order.
func (m machine) off() {
	m.t.Helper()
	m.Type("poweroff\r")
	m.Await(downLimit, vm.InLog(powerDown))
	m.AwaitEnd(time.Minute)
}

// boots chooses the default of the menu, and waits for the shell of what it boots.
func (m machine) boots(k openrc.Kernel) {
	m.t.Helper()
	m.row(menuLimit, installedEntry)
	m.selected(installedEntry) // what the other loader has as its default
	before := len(m.Serial(0).Log())
	m.Type(vm.Enter)
	m.Await(targetLimit, vm.LogAfter(before, "console#"))
	m.runs(k.Release)
	// What ran until the jump, the menu has handed on.
	out := m.sh("alpboot log --chart")
	for _, want := range []string{" kernel ", " first process ", " menu ", " reading ", " loading and jump "} {
		if !strings.Contains(out, want) {
			m.t.Errorf("alpboot log --chart has no%s:\n%s", want, out)
		}
	}
}

// runs asserts which kernel runs.
func (m machine) runs(release string) {
	m.t.Helper()
	if out := m.sh("uname -r"); strings.TrimSpace(out) != release {
		m.t.Fatalf("Linux %s runs, not %s", out, release)
	}
}

// restarts reboots the system through the firmware, and returns the machine as the
// firmware starts. It is another QEMU: one that has run many kernels takes minutes for
// what the next one writes to their memory.
func (m machine) restarts(t *testing.T, o vm.Options) machine {
	t.Helper()
	m.Type("reboot\r")
	m.Await(downLimit, vm.InLog(restarting))
	m.AwaitEnd(time.Minute)
	return startAnother(t, o)
}

// On a machine with a BIOS and extlinux, alpboot install makes its menu what comes
// after the next reset, with extlinux's default as its own, which is the newer kernel
// once there is one. After alpboot uninstall extlinux.conf is what it was, and
// extlinux boots that kernel by itself.
func TestInstallBesideExtlinux(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	older, err := olderKernel()
	if err != nil {
		t.Fatal(err)
	}
	takePlace(t)
	const root, parameters = "/dev/vdb", "root=/dev/vdb console=ttyS0 loglevel=6 no_timer_check"
	conf := "DEFAULT menu.c32\nPROMPT 0\nMENU HIDDEN\nTIMEOUT 10\nLABEL lts\n  MENU DEFAULT\n  MENU LABEL " + installedEntry + "\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND " + parameters + "\n"
	in := newInstallation(t, root, "/dev/vdb / ext4 rw,relatime 0 1\n/dev/vda /boot ext4 rw,relatime 0 2\n", map[string]openrc.File{
		"vmlinuz-lts": {From: older.Image}, "initramfs-lts": {From: older.Initramfs}, "extlinux.conf": {Data: []byte(conf)},
	}, "-O", "^64bit") // as Alpine makes it: extlinux cannot read it otherwise
	o := vm.Options{Drives: []vm.Drive{in.boot, in.root}, Memory: roomy}
	m := in.direct(t, o)
	m.sh("extlinux --install /boot && cp /usr/lib/syslinux/modules/bios/menu.c32 /usr/lib/syslinux/modules/bios/libutil.c32 /boot")
	m.sh("cp /boot/extlinux.conf /root/before")
	out := m.installs("")
	if !strings.Contains(out, "is what extlinux starts by /boot/extlinux.conf. The next start shows its menu, which boots "+installedEntry) {
		t.Errorf("alpboot install prints %q", out)
	}
	if out := m.sh("alpboot update"); !strings.Contains(out, "nothing newer") {
		t.Errorf("alpboot update prints %q", out)
	}
	m.sh("ls /boot/alpboot/bzImage-* /etc/update-extlinux.d/alpboot.conf")
	m.off()

	m = startAnother(t, o)
	m.boots(in.older)
	const ours = "grep root=/dev/vdb /proc/cmdline && ! grep BOOT_IMAGE /proc/cmdline"
	m.sh(ours)
	m.upgrades(in)
	m = m.restarts(t, o)
	m.boots(in.newer)
	m.sh(ours)
	m.healthy()
	out = m.sh("alpboot uninstall")
	if !strings.Contains(out, "which is as it was before. At the next start extlinux starts "+installedEntry+".") {
		t.Errorf("alpboot uninstall prints %q", out)
	}
	m.sh("cmp /boot/extlinux.conf /root/before && ! ls /boot/alpboot && ! ls /etc/update-extlinux.d/alpboot.conf")
	m = m.restarts(t, o)
	m.Await(menuLimit, vm.OnScreen("console#"))
	m.runs(in.newer.Release)
	m.sh("grep BOOT_IMAGE=vmlinuz-lts /proc/cmdline") // which extlinux adds
}

// On a machine with UEFI, alpboot install --try is started once and leaves the boot
// order alone. When the system that it boots says good, it is what the firmware
// starts from then on: also the newer kernel, once there is one. After alpboot
// uninstall the firmware starts systemd-boot again, which boots that kernel.
func TestInstallTry(t *testing.T) {
	const loader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needFirmware(t, "systemd-boot-efi", loader)
	t.Parallel()
	older, err := olderKernel()
	if err != nil {
		t.Fatal(err)
	}
	takePlace(t)
	in := newInstallation(t, "/dev/vdb", "/dev/vdb / ext4 rw,relatime 0 1\n/dev/vda1 /boot vfat rw 0 2\nefivarfs /sys/firmware/efi/efivars efivarfs rw 0 0\n", nil)
	partition := esp(t, "esp.img",
		disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: loader}, disk.File{Path: "EFI/systemd/systemd-bootx64.efi", From: loader},
		disk.File{Path: "loader/loader.conf", Data: []byte("default lts.conf\ntimeout 0\n")},
		disk.File{Path: "loader/entries/lts.conf", Data: []byte("title " + installedEntry + "\nlinux /vmlinuz-lts\ninitrd /initramfs-lts\noptions " + in.parameters + "\n")},
		disk.File{Path: "vmlinuz-lts", From: older.Image}, disk.File{Path: "initramfs-lts", From: older.Initramfs})
	partition.Access = vm.Writeable
	o := vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{partition, in.root}, Memory: roomy,
	}
	const order = "md5sum </sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	m := in.direct(t, o)
	before := m.sh(order)
	out := m.installs("--try")
	if !strings.Contains(out, "is on trial. The next start, and only that one, shows its menu; it stays when the system that it boots runs alpboot good") {
		t.Errorf("alpboot install --try prints %q", out)
	}
	if after := m.sh(order); after != before {
		t.Error("the boot order has changed")
	}
	m.off()

	m = startAnother(t, o)
	m.boots(in.older)
	m.Await(0, vm.InLog(`"alpboot (trial)" from HD(1,GPT,`))
	m.healthy()
	out, _ = m.shCode("alpboot good")
	if !strings.Contains(out, "The alpboot that was on trial stays: the firmware starts it from now on") {
		t.Errorf("alpboot good prints %q", out)
	}
	m.sh("test -f /boot/EFI/alpboot/alpboot.efi && ! test -f /boot/EFI/alpboot/trial.efi")
	m.upgrades(in)
	m = m.restarts(t, o)
	m.boots(in.newer)
	m.Await(0, vm.InLog(`"alpboot" from HD(1,GPT,`))
	m.healthy()
	if out := m.sh("alpboot uninstall"); !strings.Contains(out, "alpboot is gone from the EFI system partition. The next start is what the firmware starts without it.") {
		t.Errorf("alpboot uninstall prints %q", out)
	}
	m.sh("! ls /boot/EFI/alpboot")
	m = m.restarts(t, o)
	m.Await(menuLimit, vm.OnScreen("console#"))
	m.runs(in.newer.Release)
	m.sh("grep 'initrd=.initramfs-lts' /proc/cmdline && grep -aq s.y.s.t.e.m.d.-.b.o.o.t /sys/firmware/efi/efivars/LoaderInfo-*")
}
