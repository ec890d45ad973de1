package qemutests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

const (
	bootedLimit  = 2 * time.Minute // from power on to the shell of a system with OpenRC
	commandLimit = time.Minute     // for a command on it
	downLimit    = 2 * time.Minute // from reboot to the end of the shutdown

	// What the kernel writes at the end, whatever its log level.
	restarting = "reboot: Restarting system"
	powerDown  = "reboot: Power down"
	halted     = "reboot: System halted"
)

// extlinuxConf is what the boot menu goes by. The services do without, unless
// set otherwise.
const (
	extlinuxConf = `DEFAULT menu.c32
LABEL alpboot
  MENU LABEL Linux alpboot
  LINUX vmlinuz-alpboot
  INITRD amd-ucode.img,initramfs-alpboot
  APPEND root=/dev/vda console=ttyS0 no_timer_check of=alpboot
LABEL new
  MENU DEFAULT
  MENU LABEL Linux new
  LINUX vmlinuz-new
  INITRD amd-ucode.img,initramfs-alpboot,extra.img
  APPEND root=/dev/vda console=ttyS0 no_timer_check of=new
`
	newEntryCmdline = "root=/dev/vda console=ttyS0 no_timer_check of=new"
)

// alpineLike are the disks that all tests of the OpenRC services share: the
// services are installed, /boot holds a kernel under the name that the running
// one's flavour leads to, and beside it what a test may put in its place.
var alpineLike = sync.OnceValues(func() (disks [2]string, err error) {
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"))
	if err != nil {
		return disks, err
	}
	program := made.Path("openrc", "kexec-reboot")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "./cmds/alpboot") // by its name it is kexec-reboot
	cmd.Dir, cmd.Env = made.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return disks, fmt.Errorf("building alpboot: %w\n%s", err, out)
	}
	older, err := made.Debian(debian.Older)
	if err != nil {
		return disks, err
	}
	newer, err := made.Debian(debian.Newer)
	if err != nil {
		return disks, err
	}
	init, err := made.TargetInit()
	if err != nil {
		return disks, err
	}
	pack := func(im target.Image) openrc.File {
		b, e := target.Initramfs(im)
		if e != nil {
			err = e
		}
		return openrc.File{Data: b}
	}
	d := openrc.Disks{
		Root: map[string]openrc.File{
			"sbin/alpboot":                       {From: program, Mode: 0o755},
			"lib/modules/" + older.Release + "/": {},
			"lib/modules/" + newer.Release + "/": {},
		},
		Boot: map[string]openrc.File{
			flavoured("vmlinuz-alpboot"):   {From: older.Image},
			flavoured("initramfs-alpboot"): pack(target.Image{Init: init, Files: map[string]string{"who": "default"}, Compression: target.Gzip}),
			"amd-ucode.img":                pack(target.Image{Files: map[string]string{"microcode": "first", "who": "overwritten by a later one"}}),
			"vmlinuz-new":                  {From: newer.Image},
			"extlinux.conf":                {Data: []byte(flavoured(extlinuxConf))},
			"extra.img":                    pack(target.Image{Files: map[string]string{"extra": "third"}, Compression: target.Gzip}),
		},
		// As a maker of images does it: install --root. The disk boots with either
		// busybox; the one that knows the reboot action is shown to install.
		Prepare: func(root string) error {
			busybox, older := filepath.Join(root, "bin/busybox"), filepath.Join(root, "older")
			if err := errors.Join(os.Rename(busybox, older), os.Symlink("busybox-init", busybox),
				os.Symlink("alpboot", filepath.Join(root, "sbin/kexec-reboot")), os.Symlink("alpboot", filepath.Join(root, "sbin/lsboot"))); err != nil {
				return err
			}
			out, err := exec.Command(program, "install", "--root", root).CombinedOutput()
			if err != nil {
				return fmt.Errorf("kexec-reboot install --root: %w\n%s", err, out)
			}
			return errors.Join(os.Remove(busybox), os.Rename(older, busybox))
		},
	}
	if err != nil {
		return disks, err
	}
	disks = [2]string{made.Path("openrc", "root.img"), made.Path("openrc", "boot.img")}
	return disks, system.Write(d, disks[0], disks[1])
})

// openrcCmdline is the first kernel's; newInit adds an init that
// knows the reboot action, oldInit Debian's, which does not.
const (
	openrcCmdline = "console=ttyS0 root=/dev/vda panic=1 loglevel=4 no_timer_check"
	newInit       = " init=" + openrc.NewInit
	oldInit       = ""
)

// flavoured puts the flavour of the running kernel, which leads to a system's
// kernel by its name, in the place of our own's.
func flavoured(text string) string {
	if made.HasKernel() {
		return text
	}
	return strings.ReplaceAll(text, "-alpboot", "-cloud-amd64")
}

// openrcKernel is what the system boots with: the kernel at hand, and an initramfs
// where that has the driver of the disk as a module.
var openrcKernel = sync.OnceValues(func() (o vm.Options, err error) {
	if made.HasKernel() {
		o.Kernel, err = made.StartedKernel()
		return o, err
	}
	return startedKernel()
})

// startedKernel is Debian's kernel, with an initramfs that starts the system.
func startedKernel() (vm.Options, error) {
	k, err := newerKernel()
	return vm.Options{Kernel: k.Image, Initrd: k.Initramfs}, err
}

// The two kernels of Debian's that the system is started on.
var (
	newerKernel = sync.OnceValues(func() (openrc.Kernel, error) { return kernelToStart(debian.Newer) })
	olderKernel = sync.OnceValues(func() (openrc.Kernel, error) { return kernelToStart(debian.Older) })
)

func kernelToStart(l debian.Line) (openrc.Kernel, error) {
	k, err := made.Debian(l)
	if err != nil {
		return openrc.Kernel{}, err
	}
	return openrc.Start(made.Root(), k, made.Path("openrc", "initramfs-"+k.Release))
}

// needOpenRC skips a test where the system cannot be made; in CI that is a failure.
func needOpenRC(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"apt-get", "gcc", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// startOpenRC boots the system up to its shell.
func startOpenRC(t *testing.T, parameters string, access vm.Access) machine {
	t.Helper()
	needQEMU(t)
	t.Parallel()
	needOpenRC(t)
	o, err := openrcKernel()
	if err != nil {
		t.Fatal(err)
	}
	disks, err := alpineLike()
	if err != nil {
		t.Fatal(err)
	}
	dir := made.Path("qemu-tests", t.Name(), "x")
	if access == vm.Writeable { // on copies of its own
		for i, file := range disks {
			disks[i] = filepath.Join(filepath.Dir(dir), filepath.Base(file))
			if err := exec.Command("cp", "--sparse=always", file, disks[i]).Run(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if !t.Failed() {
					os.Remove(disks[i])
				}
			})
		}
	}
	takePlace(t)
	o.Cmdline, o.Network, o.Memory, o.Dir = openrcCmdline+parameters, true, roomy, filepath.Dir(dir)
	o.Drives = []vm.Drive{{File: disks[0], Access: access}, {File: disks[1], Access: access}}
	m := machine{vm.Start(t, o), t}
	m.Await(bootedLimit, vm.OnScreen("console#"))
	return m
}

// sh runs a command, which must succeed, and returns what it has printed.
func (m machine) sh(command string) string {
	m.t.Helper()
	out, code := m.shCode(command)
	if code != "0" {
		m.t.Fatalf("%s: exit code %s\n%s", command, code, out)
	}
	return out
}

// shCode runs a command and returns what it has printed, without messages of the
// kernel, and its exit code.
func (m machine) shCode(command string) (out, code string) {
	m.t.Helper()
	return m.shWithin(commandLimit, command)
}

// shWithin is shCode for a command that takes longer.
func (m machine) shWithin(limit time.Duration, command string) (out, code string) {
	m.t.Helper()
	before := len(m.Serial(0).Log())
	// What is typed is echoed, and must not be taken for the answer.
	m.Type(vm.Key("echo be''gin; " + flavoured(command) + "; echo e''nd=$?.\r"))
	m.Await(limit, vm.LogAfter(before, "\r\nend="))
	m.Await(limit, vm.LogAfter(before+strings.Index(m.Serial(0).Log()[before:], "\r\nend="), "."))
	log := m.Serial(0).Log()[before:]
	_, log, _ = strings.Cut(log, "begin\r\n")
	out, log, _ = strings.Cut(log, "end=")
	code, _, _ = strings.Cut(log, ".")
	return ofKernel.ReplaceAllString(strings.ReplaceAll(out, "\r\n", "\n"), ""), code
}

// ofKernel is a message that the kernel has written in between.
var ofKernel = regexp.MustCompile(`(?m)^\[ *[0-9]+\.[0-9]{6}\] .*\n`)

// notIn fails when the log holds a text.
func (m machine) notIn(text string) {
	m.t.Helper()
	if strings.Contains(m.Serial(0).Log(), text) {
		m.t.Errorf("%q on the console", text)
	}
}

// firmware waits until the machine has been reset, which ends it.
func (m machine) firmware() {
	m.t.Helper()
	m.Await(downLimit, vm.InLog(restarting))
	m.AwaitEnd(time.Minute)
}

// A user who types reboot sees services stop in order, and then the next
// kernel, with the same command line and all its initrds, microcode first; the
// firmware, whose start would end this machine, is not there in between. The
// disks were unmounted in order: no journal is left to replay. Before that the
// services are removed, which leaves the system as it was before them, and
// installed again, from when on they work without a reboot in between.
func TestOpenRCInstallAndReboot(t *testing.T) {
	const all = "(find /etc /sbin -type f | sort | xargs md5sum; find /etc -type l | sort | xargs -n 1 ls -l)"
	m := startOpenRC(t, newInit, vm.Writeable)
	m.sh("kexec-reboot uninstall && ! grep -r kexec /etc")
	m.sh(all + " > /run/before")
	out := m.sh("kexec-reboot install")
	for _, what := range []string{"/etc/init.d/kexec-load", "/etc/init.d/kexec-exec", "/etc/conf.d/kexec-load", "default", "shutdown", "::reboot:/sbin/openrc reboot"} {
		if !strings.Contains(out, what) {
			t.Errorf("install does not show %s:\n%s", what, out)
		}
	}
	if out := m.sh("kexec-reboot install"); !strings.Contains(out, "in place already") {
		t.Errorf("the second install:\n%s", out)
	}
	m.sh("kexec-reboot uninstall")
	m.sh(all + " > /run/after && cmp /run/before /run/after")
	m.sh("kexec-reboot install")
	if out, code := m.shCode("kexec-reboot status"); code != "0" || !strings.Contains(out, flavoured("/boot/vmlinuz-alpboot")) {
		t.Errorf("status: exit code %s\n%s", code, out)
	}
	m.sh("kexec-reboot load && grep 1 /sys/kernel/kexec_loaded && rc-service kexec-load stop && grep 0 /sys/kernel/kexec_loaded && rc-service kexec-load start")
	m.sh("echo written > /root/file && echo written > /boot/file")
	m.Type("reboot\r")
	m.target(want{kernelOf(t, debian.Older), openrcCmdline + newInit, map[string]string{"who": "default", "microcode": "first"}})
	m.notIn(restarting)
	// load before /boot is unmounted, exec after all is read-only
	order := regexp.MustCompile(`(?s)Loading the kernel to reboot into.*Unmounting filesystems.*Remounting filesystems read-only.*Starting the loaded kernel`)
	if !order.MatchString(m.Serial(0).Log()) {
		t.Error("the services did not run in their order")
	}
	for _, disk := range []string{"root.img", "boot.img"} {
		if clean, err := openrc.Clean(filepath.Join(m.Dir(), disk)); err != nil || !clean {
			t.Errorf("%s was not unmounted in order (%v)", disk, err)
		}
	}
}

// A user who types poweroff sees the machine go off, although the services are
// there and a kernel has been loaded by hand.
func TestOpenRCPoweroff(t *testing.T) {
	m := startOpenRC(t, newInit, vm.Snapshot)
	m.sh("kexec-reboot load")
	m.Type("poweroff\r")
	m.Await(downLimit, vm.InLog(powerDown))
	m.AwaitEnd(time.Minute)
	m.notIn("Starting the loaded kernel")
	m.notIn(restarting)
}

// A user who types halt sees the system halted.
func TestOpenRCHalt(t *testing.T) {
	needEverything(t)
	m := startOpenRC(t, newInit, vm.Snapshot)
	m.Type("halt\r")
	m.Await(downLimit, vm.InLog(halted))
	m.notIn("Loading the kernel to reboot into")
}

// A user whose kernel cannot be loaded any more, for a reason that is shown,
// gets a reboot through the firmware: the shutdown is not held up.
func TestOpenRCLoadFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, command string
		reason        string
		again         bool // the others have its meaning, but for a detail
	}{
		{"truncated kernel", "truncate -s 1M /boot/vmlinuz-alpboot", "truncated", true},
		{"kexec forbidden", "echo 1 > /proc/sys/kernel/kexec_load_disabled", "kexec_load_disabled=0", true},
		{"modules missing", "rm -r /lib/modules/*", "modules are missing", true},
		// A kernel that was loaded while all was well is not started instead.
		{"after a good load", "kexec-reboot load && rm -r /lib/modules/*", "modules are missing", false},
	} {
		if tt.again && !everything() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			m := startOpenRC(t, newInit, vm.Snapshot)
			m.sh(tt.command)
			m.Type("reboot\r")
			m.firmware()
			if !strings.Contains(strings.ReplaceAll(m.Serial(0).Log(), "\r\n", " "), tt.reason) {
				t.Errorf("the console does not show %q", tt.reason)
			}
			m.notIn("Starting the loaded kernel")
		})
	}
}

// A user who wants the firmware's own setup stops the service, and reboots
// through the firmware, whatever had been loaded.
func TestOpenRCServiceStopped(t *testing.T) {
	needEverything(t)
	m := startOpenRC(t, newInit, vm.Snapshot)
	m.sh("kexec-reboot load && grep 1 /sys/kernel/kexec_loaded")
	m.sh("rc-service kexec-load stop && grep 0 /sys/kernel/kexec_loaded")
	m.Type("reboot\r")
	m.firmware()
	m.notIn("Starting the loaded kernel")
}

// A user who upgrades the kernel and then types reboot gets the new one, also
// when the old one had been loaded by hand before.
func TestOpenRCUpgrade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before string }{
		{"nothing loaded", "true"}, // make test-all alone
		{"old kernel loaded", "kexec-reboot load --kernel /boot/vmlinuz-alpboot --initrd /boot/initramfs-alpboot --initrd /boot/amd-ucode.img --reuse-cmdline"},
	} {
		if tt.before == "true" && !everything() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			m := startOpenRC(t, newInit, vm.Snapshot)
			m.sh(tt.before)
			m.sh("mv /boot/vmlinuz-new /boot/vmlinuz-alpboot")
			m.Type("reboot\r")
			files := map[string]string{"who": "default", "microcode": "first"}
			if strings.Contains(tt.before, "ucode") { // is not microcode by its content, and stays in its place
				files["who"] = "overwritten by a later one"
			}
			m.target(want{kernelOf(t, debian.Newer), openrcCmdline + newInit, files})
		})
	}
}

// A user who has named a kernel, three initrds and further parameters in
// /etc/conf.d/kexec-load gets these.
func TestOpenRCSettings(t *testing.T) {
	m := startOpenRC(t, newInit, vm.Snapshot)
	m.sh(`printf '%s\n' 'KERNEL="vmlinuz-new"' 'INITRD="initramfs-alpboot extra.img"' 'APPEND="added=1"' >> /etc/conf.d/kexec-load`)
	if out, code := m.shCode("kexec-reboot status"); code != "0" || !strings.Contains(out, "/boot/vmlinuz-new") {
		t.Errorf("status: exit code %s\n%s", code, out)
	}
	m.Type("reboot\r")
	m.target(want{kernelOf(t, debian.Newer), openrcCmdline + newInit + " added=1",
		map[string]string{"who": "default", "microcode": "first", "extra": "third"}})
}

// A user who would rather have what the boot menu boots says so in the same
// file, and one who wants another entry for once loads it by hand.
func TestOpenRCEntry(t *testing.T) {
	t.Parallel()
	all := map[string]string{"who": "default", "microcode": "first", "extra": "third"}
	t.Run("the menu's default, always", func(t *testing.T) {
		needEverything(t)
		m := startOpenRC(t, newInit, vm.Snapshot)
		m.sh("echo ENTRY=default >> /etc/conf.d/kexec-load")
		m.Type("reboot\r")
		m.target(want{kernelOf(t, debian.Newer), newEntryCmdline, all})
	})
	t.Run("by alpboot, which lsboot and kexec-reboot are", func(t *testing.T) {
		m := startOpenRC(t, newInit, vm.Snapshot)
		if out := m.sh("lsboot --version && kexec-reboot --version && alpboot --version"); !strings.Contains(out, "lsboot ") || !strings.Contains(out, "kexec-reboot ") {
			t.Errorf("the links are not the commands:\n%s", out)
		}
		// A kernel whose modules are in its initramfs alone would not come back without them.
		if out, code := m.shCode("alpboot doctor"); made.HasKernel() && (code != "0" && code != "1" || !strings.Contains(out, "This machine would come back")) {
			t.Errorf("alpboot doctor: exit code %s\n%s", code, out)
		}
		m.Type("alpboot reboot 'linux new'\r")
		m.target(want{kernelOf(t, debian.Newer), newEntryCmdline, all})
		m.notIn(restarting)
	})
	t.Run("an entry, once", func(t *testing.T) {
		m := startOpenRC(t, newInit, vm.Snapshot)
		m.sh("kexec-reboot load --entry 'linux new' --append once=1")
		m.Type("reboot\r")
		m.target(want{kernelOf(t, debian.Newer), newEntryCmdline + " once=1", all})
	})
}

// A user of a busybox that cannot distinguish a reboot from a poweroff is shown that. For
// him reboot goes through the firmware, kexec-reboot exec through kexec, and
// poweroff powers off.
func TestOpenRCOldBusybox(t *testing.T) {
	t.Parallel()
	t.Run("reboot", func(t *testing.T) {
		m := startOpenRC(t, oldInit, vm.Snapshot)
		out, code := m.shCode("kexec-reboot status")
		if code != "3" || !strings.Contains(out, "kexec-reboot exec only") {
			t.Errorf("status: exit code %s\n%s", code, out)
		}
		out = m.sh("kexec-reboot uninstall && kexec-reboot install")
		if !strings.Contains(out, "left out  ::reboot:") {
			t.Errorf("install does not leave out what this busybox calls a bad entry:\n%s", out)
		}
		m.Type("reboot\r")
		m.firmware()
		m.notIn("Loading the kernel to reboot into")
	})
	t.Run("kexec-reboot exec", func(t *testing.T) {
		needEverything(t)
		m := startOpenRC(t, oldInit, vm.Snapshot)
		m.Type("kexec-reboot exec\r")
		m.target(want{kernelOf(t, debian.Older), openrcCmdline, map[string]string{"who": "default", "microcode": "first"}})
		m.notIn(restarting)
	})
	t.Run("poweroff", func(t *testing.T) {
		needEverything(t)
		m := startOpenRC(t, oldInit, vm.Snapshot)
		m.Type("poweroff\r")
		m.Await(downLimit, vm.InLog(powerDown))
		m.AwaitEnd(time.Minute)
	})
}

// A user in a hurry types kexec-reboot exec --now on the running system, with
// files open for writing: the next kernel comes at once, and the disks are
// whole.
func TestOpenRCNow(t *testing.T) {
	m := startOpenRC(t, newInit, vm.Writeable)
	m.sh("ifconfig eth0 10.0.2.15 up; true")
	m.sh("{ (exec 3> /root/open; echo written >&3; exec sleep 1000) & }")
	m.sh("kexec-reboot -l /boot/vmlinuz-new --initrd /boot/extra.img --initrd=/boot/initramfs-alpboot --append='console=ttyS0 no_timer_check by=flags'")
	m.Type("kexec-reboot exec --now\r")
	m.target(want{kernelOf(t, debian.Newer), "console=ttyS0 no_timer_check by=flags", map[string]string{"who": "default", "extra": "third"}})
	if !strings.Contains(m.Serial(0).Log(), "/ is in use: it is frozen instead of read-only") {
		t.Error("nothing is said about the busy filesystem")
	}
	for _, disk := range []string{"root.img", "boot.img"} {
		if clean, err := openrc.Clean(filepath.Join(m.Dir(), disk)); err != nil || !clean {
			t.Errorf("%s is not whole (%v)", disk, err)
		}
	}
}
