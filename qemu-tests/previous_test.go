package qemutests

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// What a system has that keeps its previous kernel. The initramfs has no modules for
// the kernel that replaces it.
const previousConf = `DEFAULT menu.c32
LABEL lts
  MENU DEFAULT
  MENU LABEL Linux lts
  LINUX vmlinuz-cloud-amd64
  INITRD initramfs-cloud-amd64
  APPEND root=/dev/vda console=ttyS0 no_timer_check loglevel=4 panic=1
`

// upgrade does what apk upgrade does, between its two calls of the hooks.
const upgrade = `#!/bin/sh
set -e
old=$(uname -r)
for hook in /etc/apk/commit_hooks.d/*; do "$hook" pre-commit; done
cp /boot/new /boot/.apk.new
mv /boot/.apk.new /boot/vmlinuz-cloud-amd64
echo NEWER >/usr/share/kernel/cloud-amd64/kernel.release
rm -r /lib/modules/$old
cat /boot/initramfs-new >/boot/initramfs-cloud-amd64
for hook in /etc/apk/commit_hooks.d/*; do "$hook" post-commit; done
sync
`

// A user upgrades the kernel of an unattended machine to one that has no driver
// for its disk, and reboots. The machine ends in the kernel before, whose modules
// are there; in between it has told the menu by itself that it had come up.
func TestPreviousKernelAfterABadUpgrade(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	needOpenRC(t)
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := startedKernel()
	if err != nil {
		t.Fatal(err)
	}
	good, bad := kernelOf(t, debian.Newer), kernelOf(t, debian.Older)
	program := made.Path("qemu-tests", t.Name(), "kexec-reboot")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "./cmds/kexec-reboot")
	cmd.Dir, cmd.Env = made.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building kexec-reboot: %v\n%s", err, out)
	}
	const module = "kernel/drivers/net/dummy.ko"
	dummy, err := filepath.Glob(filepath.Join(good.Modules, module+"*"))
	if err != nil || len(dummy) != 1 {
		t.Fatalf("the modules of %s have %q (%v)", good.Release, dummy, err)
	}
	name := strings.TrimPrefix(dummy[0], good.Modules+"/")
	root, bootDisk := made.Path("qemu-tests", t.Name(), "root.img"), made.Path("qemu-tests", t.Name(), "boot.img")
	err = system.Write(openrc.Disks{
		Root: map[string]openrc.File{
			"sbin/kexec-reboot": {From: program, Mode: 0o755},
			"sbin/upgrade":      {Data: []byte(strings.ReplaceAll(upgrade, "NEWER", bad.Release)), Mode: 0o755},
			"etc/apk/world":     {},
			"usr/share/kernel/cloud-amd64/kernel.release":  {Data: []byte(good.Release + "\n")},
			"lib/modules/" + good.Release + "/" + name:     {From: dummy[0]},
			"lib/modules/" + good.Release + "/modules.dep": {Data: []byte(name + ":\n")},
			"lib/modules/" + bad.Release + "/modules.dep":  {},
			"etc/alpboot/check.d/10-root":                  {Data: []byte("#!/bin/sh\ntouch /run/checked\n"), Mode: 0o755},
		},
		Boot: map[string]openrc.File{
			"vmlinuz-cloud-amd64": {From: good.Image}, "initramfs-cloud-amd64": {From: o.Initrd},
			"new": {From: bad.Image}, "initramfs-new": {From: o.Initrd},
			"extlinux.conf": {Data: []byte(previousConf)},
		},
		Prepare: func(root string) error {
			out, err := exec.Command(program, "install", "--without", "kexec", "--root", root).CombinedOutput()
			if err != nil {
				return fmt.Errorf("kexec-reboot install --root: %w\n%s", err, out)
			}
			return nil
		},
	}, root, bootDisk)
	if err != nil {
		t.Fatal(err)
	}
	memory := "UUID=" + uuidOf(t, bootDisk) + ":/alpboot.state"
	m := launch(t, anyKernel, "alpboot.timeout=1 alpboot.confirm=1 alpboot.remember="+memory, func(o *vm.Options) { o.Resets = true },
		[]vm.Drive{{File: root, Access: vm.Writeable}, {File: bootDisk, Access: vm.Writeable}})
	booted := func() {
		t.Helper()
		m.Await(menuLimit+2*targetLimit, vm.LogAfter(len(m.Serial(0).Log()), "console#"))
	}
	booted()
	if got := strings.TrimSpace(m.sh("uname -r")); got != good.Release {
		t.Fatalf("%s runs, not %s", got, good.Release)
	}
	m.sh("printf '%s\\n' 'remember = " + memory + "' 'confirm = 1' > /etc/alpboot.conf")
	// The start of the service came before the file: this one is by hand.
	m.sh("rc-service alpboot-health restart; until dmesg | grep -q 'will know that linux-lts-.* is up'; do sleep 1; done; ls /run/checked")
	m.sh("upgrade")
	if out := m.sh("kexec-reboot status; ls /lib/modules"); !strings.Contains(out, "Linux cloud-amd64, previous ("+good.Release+")") {
		t.Errorf("the previous kernel is not listed:\n%s", out)
	}
	before := len(m.Serial(0).Log())
	m.Type("reboot\r")
	m.Await(menuLimit+targetLimit, vm.LogAfter(before, "Kernel panic")) // the new kernel
	booted()
	if got := strings.TrimSpace(m.sh("uname -r")); got != good.Release {
		t.Errorf("%s runs, not the kernel before, %s", got, good.Release)
	}
	m.sh("grep alpboot.previous /proc/cmdline && modprobe dummy && grep dummy /proc/modules")
}

// uuidOf returns the UUID of an image of ext4.
func uuidOf(t *testing.T, image string) string {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 16)
	if _, err := f.ReadAt(b, 1024+0x68); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s", hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:6]), hex.EncodeToString(b[6:8]), hex.EncodeToString(b[8:10]), hex.EncodeToString(b[10:]))
}
