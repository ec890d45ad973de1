package qemutests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	built "github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

const (
	systemdLimit = 6 * time.Minute  // from power on to the shell of a system that systemd runs
	dpkgLimit    = 15 * time.Minute // for a kernel to be unpacked and its initramfs to be made

	// What the boot loaders of Debian call it.
	debianEntry = "Debian GNU/Linux"

	// Messages of the kernel would stand between what commands print.
	debianOptions = targetOptions + " loglevel=4"
)

// debianPackage is the package for Debian, as make release makes it. Its image keeps the
// menu open.
var debianPackage = sync.OnceValues(func() (string, error) {
	uki, err := payloads().Make("alpboot.efi", "uki", "--cmdline", stay)
	if err != nil {
		return "", err
	}
	from, to := made.Path("release", "payloads", "x86_64", "alpboot.efi"), made.Path("release", "dist")
	if err := built.Copy(from, uki); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "run", "./cmds/mkrelease", "--version", "1.0.0", "--arch", "amd64", "--payloads", filepath.Dir(filepath.Dir(from)), "-o", to)
	cmd.Dir = made.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mkrelease: %w\n%s", err, out)
	}
	return filepath.Join(to, "alpboot_1.0.0-1_amd64.deb"), nil
})

// debianSystem is a Debian 12 that is to be made a disk of.
type debianSystem struct {
	tree         string // its root filesystem
	older, newer debian.Kernel
}

// newDebian makes a root filesystem of Debian's packages, with the older kernel. The
// newer one and alpboot lie in /root as packages.
func newDebian(t *testing.T, fstab string, packages ...string) debianSystem {
	t.Helper()
	boottest.NeedRoot(t) // for debootstrap
	needProgram(t, "debootstrap", "debootstrap")
	s := debianSystem{older: kernelOf(t, debian.Older), newer: kernelOf(t, debian.Newer)}
	cache := filepath.Join(made.Root(), "build", "cache", "debian")
	root, err := debian.Root(cache, debian.Older, packages...)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := debian.Newer.Package(cache)
	if err != nil {
		t.Fatal(err)
	}
	deb, err := debianPackage()
	if err != nil {
		t.Fatal(err)
	}
	s.tree = filepath.Join(t.TempDir(), "tree")
	if out, err := exec.Command("cp", "-a", root, s.tree).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"etc/fstab":          fstab,
		"etc/hostname":       "debian\n",
		"etc/machine-id":     "0123456789abcdef0123456789abcdef\n",
		"etc/default/grub":   "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX=\"" + debianOptions + "\"\nGRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n",
		"etc/kernel/cmdline": "root=/dev/vda2 ro " + debianOptions + "\n",
		"etc/systemd/system/serial-getty@ttyS0.service.d/shell.conf": "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I vt100\n",
		"root/.profile": "PS1='console# '\n",
	} {
		file := filepath.Join(s.tree, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	passwd := filepath.Join(s.tree, "etc/passwd")
	b, err := os.ReadFile(passwd)
	if err == nil { // bash would draw its line again and again
		err = os.WriteFile(passwd, []byte(strings.Replace(string(b), "root:/bin/bash", "root:/bin/sh", 1)), 0o644)
	}
	if err := errors.Join(err, built.Copy(filepath.Join(s.tree, "root/alpboot.deb"), deb), built.Copy(filepath.Join(s.tree, "root/kernel.deb"), kernel)); err != nil {
		t.Fatal(err)
	}
	return s
}

// direct starts the system by QEMU instead of a boot loader, up to its shell.
func (s debianSystem) direct(t *testing.T, o vm.Options, root string) machine {
	t.Helper()
	o.Kernel, o.Initrd = filepath.Join(s.tree, "boot/vmlinuz-"+s.older.Release), filepath.Join(s.tree, "boot/initrd.img-"+s.older.Release)
	o.Cmdline = "root=" + root + " ro " + debianOptions
	m := startAnother(t, o)
	m.Await(systemdLimit, vm.OnScreen("console#"))
	return m
}

// installsDebian installs alpboot's package by dpkg, and then alpboot.
func (m machine) installsDebian() string {
	m.t.Helper()
	begin := time.Now()
	out, code := m.shWithin(dpkgLimit, "dpkg -i /root/alpboot.deb")
	if code != "0" || !strings.Contains(out, "alpboot install puts the boot menu in place") {
		m.t.Fatalf("dpkg -i: exit code %s\n%s", code, out)
	}
	out = m.sh("alpboot install")
	m.t.Logf("from dpkg -i to installed: %.1f s", time.Since(begin).Seconds())
	m.healthy()
	return out
}

// upgradesDebian installs the newer kernel, whose hooks run alpboot's.
func (m machine) upgradesDebian() {
	m.t.Helper()
	out, code := m.shWithin(dpkgLimit, "dpkg -i /root/kernel.deb")
	if code != "0" || strings.Contains(out, "after this change of a kernel") || strings.Contains(out, "was not updated") {
		m.t.Errorf("dpkg -i of a kernel: exit code %s\n%s", code, out)
	}
	m.healthy()
}

// breaks cuts off the initramfs of the entry that boots, asserts what the doctor
// finds, and mends it.
func (m machine) breaks(initramfs string) {
	m.t.Helper()
	m.sh("cp " + initramfs + " /root/whole && truncate -s 1000000 " + initramfs)
	out, code := m.shCode("alpboot doctor")
	if want := regexp.MustCompile(`(?m)^broken +initramfs .*` + regexp.QuoteMeta(filepath.Base(initramfs))); code != "2" || !want.MatchString(out) || !strings.HasSuffix(strings.TrimSpace(out), "This machine would not come back.") {
		m.t.Errorf("with %s cut off, alpboot doctor: exit code %s\n%s", initramfs, code, out)
	}
	m.sh("cp /root/whole " + initramfs)
	m.healthy()
}

// bootsDebian chooses the default of the menu.
func (m machine) bootsDebian(k debian.Kernel) {
	m.t.Helper()
	m.Await(menuLimit, vm.ScreenIs("the menu with "+debianEntry+" selected", func(s vm.Screen) bool {
		return slices.ContainsFunc(s.Lines(), func(line string) bool { // the heading has that name too
			return strings.Contains(line, debianEntry) && isMarked(line)
		})
	}))
	before := len(m.Serial(0).Log())
	m.Type(vm.Enter)
	m.Await(systemdLimit, vm.LogAfter(before, "console#"))
	m.runs(k.Release)
}

// Debian 12 of its own packages, on a machine with a BIOS: dpkg installs alpboot and
// a newer kernel, and GRUB shows alpboot and starts it. The doctor has nothing to
// complain about but what is broken. After alpboot uninstall GRUB boots by itself.
func TestDebianGRUB(t *testing.T) {
	needEverything(t)
	needQEMU(t)
	t.Parallel()
	takePlace(t)
	s := newDebian(t, "/dev/vda1 / ext4 rw,relatime 0 1\n", "grub2-common", "grub-pc-bin")
	file := write(t, disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{
		{Size: 1600, Bootable: true, FS: disk.FS{Type: "ext4", UUID: disk.RootUUID, Tree: s.tree}},
	}})
	o := vm.Options{Drives: []vm.Drive{{File: file, Access: vm.Writeable}}, Memory: roomy}
	m := s.direct(t, o, "/dev/vda1")
	if out, code := m.shWithin(dpkgLimit, "grub-install /dev/vda && update-grub"); code != "0" {
		t.Fatalf("grub-install: exit code %s\n%s", code, out)
	}
	m.sh("md5sum /boot/grub/grub.cfg > /root/before")
	if out := m.installsDebian(); !strings.Contains(out, "starts by /boot/grub/custom.cfg. The next start shows its menu, which boots "+debianEntry) {
		t.Errorf("alpboot install prints %q", out)
	}
	m.sh("md5sum -c /root/before")
	m.off()

	m = startAnother(t, o)
	m.row(menuLimit, "GNU GRUB")
	m.row(menuLimit, "*alpboot")
	m.row(menuLimit, debianEntry)
	m.bootsDebian(s.older)
	m.sh("! grep BOOT_IMAGE /proc/cmdline")
	m.upgradesDebian()
	m = m.restarts(t, o)
	m.bootsDebian(s.newer)
	m.breaks("/boot/initrd.img-" + s.newer.Release)
	if out := m.sh("alpboot uninstall"); !strings.Contains(out, " starts "+debianEntry) {
		t.Errorf("alpboot uninstall prints %q", out)
	}
	m.sh("! ls /boot/grub/custom.cfg /boot/grub/alpboot")
	m = m.restarts(t, o)
	m.Await(menuLimit+systemdLimit, vm.OnScreen("console#"))
	m.runs(s.newer.Release)
	m.sh("grep BOOT_IMAGE=/boot/vmlinuz-" + s.newer.Release + " /proc/cmdline") // which GRUB adds
}

// The same on a machine with UEFI, where systemd-boot is the old boot loader.
func TestDebianSystemdBoot(t *testing.T) {
	needEverything(t)
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	takePlace(t)
	s := newDebian(t, "/dev/vda2 / ext4 rw,relatime 0 1\n/dev/vda1 /boot/efi vfat rw 0 2\n", "systemd-boot")
	file := write(t, disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 200, Type: "U", FS: disk.FS{Type: "vfat"}},
		{Size: 1600, FS: disk.FS{Type: "ext4", UUID: disk.RootUUID, Tree: s.tree}},
	}})
	o := vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{{File: file, Access: vm.Writeable}}, Memory: roomy,
	}
	m := s.direct(t, o, "/dev/vda2")
	if out, code := m.shWithin(dpkgLimit, "bootctl install && kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r) /boot/initrd.img-$(uname -r)"); code != "0" {
		t.Fatalf("bootctl install: exit code %s\n%s", code, out)
	}
	if out := m.installsDebian(); !strings.Contains(out, "is installed on the EFI system partition. The next start shows its menu.") {
		t.Errorf("alpboot install prints %q", out)
	}
	m.off()

	m = startAnother(t, o)
	m.bootsDebian(s.older)
	m.upgradesDebian()
	m = m.restarts(t, o)
	m.bootsDebian(s.newer)
	m.healthy()
	m.breaks("/boot/efi/0123456789abcdef0123456789abcdef/" + s.newer.Release + "/initrd.img-" + s.newer.Release)
	m.sh("alpboot uninstall && ! ls /boot/efi/EFI/alpboot")
	m = m.restarts(t, o)
	m.Await(menuLimit+systemdLimit, vm.OnScreen("console#"))
	m.runs(s.newer.Release)
	m.sh("bootctl status | grep -A1 'Current Boot Loader' | grep systemd-boot")
}
