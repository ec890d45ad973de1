package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/signature"
)

// executable makes a file of the system one that can be run.
func (f *fake) executable(t *testing.T, name, text string) {
	t.Helper()
	f.write(t, map[string]string{name: text})
	if err := os.Chmod(f.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// An upgrade goes on whatever becomes of the hook, and its user reads nothing but
// what keep prints.
func TestHookNeverFails(t *testing.T) {
	hook := service(t, "alpboot-keep.hook")
	for _, tt := range []struct{ name, program, want string }{
		{name: "the program is gone"},
		{name: "it fails", program: "#!/bin/sh\necho defect >&2\nexit 1\n"},
		{name: "it is killed", program: "#!/bin/sh\nkill -9 $$\n"},
		{name: "it cannot be run", program: "\x7fELF of another machine"},
		{name: "there is no room", program: "#!/bin/sh\necho \"alpboot: $*\"\n", want: "alpboot: keep pre-commit\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, nil)
			if tt.program != "" {
				f.executable(t, "/bin/kexec-reboot", tt.program)
			}
			cmd := exec.Command("/bin/sh", "-c", hook, "alpboot-keep", "pre-commit")
			cmd.Env = []string{"PATH=" + f.path("/bin")}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != tt.want {
				t.Errorf("%v: %q, want %q", err, out, tt.want)
			}
		})
	}
}

// apk calls the hook before and after it replaces the kernel: then the one before is
// listed, with the command line of its entry, without what was added to it for
// this start.
func TestKeep(t *testing.T) {
	needAMD64(t)
	f := newFake(t, with(alpine(), "/proc/1/root", "-> ../..", "/usr/share/kernel/lts/kernel.release", release,
		"/lib/modules/"+release+"/kernel/ext4.ko.gz", "ext4", "/proc/cmdline", "root=UUID=1 of=lts single panic=30 alpboot.watchdog=iTCO_wdt\n"))
	f.do(t, exitDone, "keep", "pre-commit")
	f.write(t, map[string]string{
		"/boot/vmlinuz-lts.new": string(boottest.BzImage("6.12.2-0-lts")), "/boot/initramfs-lts": initramfs + "new",
		"/usr/share/kernel/lts/kernel.release": "6.12.2-0-lts", "/lib/modules/6.12.2-0-lts/modules.dep": "",
	})
	if err := errors.Join(os.Rename(f.path("/boot/vmlinuz-lts.new"), f.path("/boot/vmlinuz-lts")), os.RemoveAll(f.path("/lib/modules/"+release))); err != nil {
		t.Fatal(err)
	}
	f.do(t, exitDone, "keep", "post-commit")
	if got := f.read("/lib/modules/" + release + "/kernel/ext4.ko.gz"); got != "ext4" {
		t.Errorf("the module is %q", got)
	}
	f.kexecReboot([]string{"status"})
	if !strings.Contains(f.out.String(), "Linux lts, previous ("+release+")") {
		t.Errorf("status lists\n%s", f.out.String())
	}
	out, _ := f.do(t, exitDone, "load", "--entry", "Linux lts, previous", "--dry-run")
	if !strings.Contains(out, "cmdline  root=UUID=1 of=lts\n") {
		t.Errorf("it would be loaded as\n%s", out)
	}
	if out, _ := f.do(t, exitDone, "load", "--entry", "default", "--dry-run"); strings.Contains(out, "alpboot/") {
		t.Errorf("the kept kernel is the default:\n%s", out)
	}
	_, stderr := f.do(t, exitFailed, "keep", "later")
	if !strings.Contains(stderr, "pre-commit or post-commit") {
		t.Errorf("says %q", stderr)
	}
	f.do(t, exitDone, "install", "--root", f.root)
	_, stderr = f.do(t, exitDone, "uninstall", "--root", f.root)
	if !strings.Contains(stderr, "is running") || !f.exists("/lib/modules/"+release+"/kernel") {
		t.Errorf("uninstall says %q and has removed what is running", stderr)
	}
	f.Release = "6.12.2-0-lts"
	f.do(t, exitDone, "install", "--root", f.root)
	f.do(t, exitDone, "uninstall", "--root", f.root)
	if f.exists("/boot/alpboot") || f.exists("/lib/modules/.alpboot") || f.exists("/lib/modules/"+release+"/kernel") {
		t.Error("uninstall has left what was kept")
	}
}

// Before an upgrade replaces what is signed, what was kept is signed: the manifest then
// lets both start, and a power cut in between leaves one that does.
func TestKeepSigns(t *testing.T) {
	needAMD64(t)
	boottest.NeedTools(t, "minisign")
	key := filepath.Join(t.TempDir(), "key")
	boottest.Tool(t, "minisign", "-G", "-W", "-p", key+".pub", "-s", key)
	f := newFake(t, with(alpine(), "/proc/1/root", "-> ../..", "/usr/share/kernel/lts/kernel.release", release,
		"/lib/modules/"+release+"/kernel/ext4.ko.gz", "ext4", "/proc/cmdline", "root=UUID=1 of=lts\n", "/etc/alpboot/sign.key", "-> "+key))
	f.uuids = map[string]string{"/dev/sda3": "1"}
	if out, _ := f.do(t, exitDone, "keep", "pre-commit"); out != "Signed /boot/alpboot.manifest: 3 entries, 6 files, epoch 1\n" {
		t.Errorf("says %q", out)
	}
	m := f.signed(t, signature.Minisig, key+".pub")
	const dir = "boot/alpboot/" + release + "/"
	if err := m.Allows("boot", manifest.Entry{Kernel: dir + "kernel", Initrds: []string{dir + "initramfs"}, Cmdline: "root=UUID=1 of=lts alpboot.previous"}); err != nil {
		t.Errorf("what was kept: the manifest %v", err)
	}
	if err := m.Allows("boot", manifest.Entry{Kernel: "boot/vmlinuz-lts", Initrds: []string{"boot/initramfs-lts"}, Cmdline: "root=UUID=1 of=lts"}); err != nil {
		t.Errorf("what is installed: the manifest %v", err)
	}
	if out, _ := f.do(t, exitDone, "keep", "pre-commit"); out != "" {
		t.Errorf("of what is kept already it says %q", out)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	f.write(t, map[string]string{"/boot/initramfs-lts": initramfs + "new"})
	if out, _ := f.do(t, exitDone, "keep", "post-commit"); !strings.HasPrefix(out, "alpboot: what starts next is not signed: the key: ") || !strings.HasSuffix(out, "; run alpboot sign\n") {
		t.Errorf("without its key it says %q", out)
	}
}

// Of a kernel that no configuration names, what the menu has added for this start
// is left out as well, but for the consoles.
func TestKeepWithoutConfiguration(t *testing.T) {
	needAMD64(t)
	const line = "root=UUID=1234-ABCD modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4"
	f := newFake(t, with(alpine(), "/proc/1/root", "-> ../..", "/boot/extlinux.conf", "", "/etc/os-release", "ID=alpine\n", "/etc/fstab", "UUID=1234-ABCD / ext4 rw 0 1\n",
		"/proc/cmdline", line+" console=tty0 console=ttyS0 panic=30 watchdog.open_timeout=60 alpboot.watchdog=i6300esb\n"))
	f.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	f.do(t, exitDone, "keep", "pre-commit")
	if got := f.read("/boot/alpboot/" + release + "/entry"); !strings.HasSuffix(got, "\noptions "+line+" console=tty0 console=ttyS0") {
		t.Errorf("kept is\n%s", got)
	}
}

// A reboot of a system that runs its previous kernel does not start the successor,
// which has failed, without the menu.
func TestPreviousKernelIsNotLeftByKexec(t *testing.T) {
	needAMD64(t)
	f := newFake(t, with(alpine(), "/proc/cmdline", "root=UUID=1 of=lts alpboot.previous panic=30\n"))
	_, stderr := f.do(t, exitFailed, "load", "--conf")
	if !strings.Contains(stderr, "the boot menu decides") || f.kernel.loads > 0 {
		t.Errorf("says %q, %d loads", stderr, f.kernel.loads)
	}
	if code := f.kexecReboot([]string{"status"}); code != exitFirmware || !strings.Contains(f.out.String(), "the boot menu decides") {
		t.Errorf("status: exit code %d\n%s", code, f.out.String())
	}
	f.do(t, exitDone, "load", "--entry", "Linux virt")
}

// What is left out of an installation is not there, the rest is.
func TestInstallWithout(t *testing.T) {
	f := newFake(t, alpine())
	_, stderr := f.do(t, exitMisuse, "install", "--without", "sound", "--root", f.root)
	if !strings.Contains(stderr, "kexec, keep, watchdog, health") {
		t.Errorf("says %q", stderr)
	}
	f.do(t, exitDone, "install", "--without", "kexec,watchdog", "--root", f.root)
	for name, want := range map[string]bool{
		"/etc/init.d/kexec-load": false, "/etc/init.d/alpboot-watchdog": false, "/etc/conf.d/kexec-load": false,
		"/etc/init.d/alpboot-health": true, "/etc/apk/commit_hooks.d/alpboot-keep": true, "/etc/runlevels/boot/alpboot-keep": true,
	} {
		if f.exists(name) != want {
			t.Errorf("%s is there: %v, want %v", name, !want, want)
		}
	}
	if f.read("/etc/inittab") != strings.TrimSpace(inittabText) {
		t.Error("/etc/inittab was changed")
	}
	g := newFake(t, with(alpine(), "/etc/apk/world", ""))
	g.do(t, exitDone, "install", "--root", g.root)
	if g.exists("/etc/apk") {
		t.Error("a system without apk has its hook")
	}
}

// On systemd the health unit is installed and enabled, and goes again.
func TestInstallOnSystemd(t *testing.T) {
	f := newFake(t, map[string]string{"/proc/1/exe": "-> /usr/lib/systemd/systemd", "/etc/systemd/system/other.service": ""})
	before := f.all(t)
	f.installLive(t)
	target, err := os.Readlink(f.path("/etc/systemd/system/multi-user.target.wants/alpboot-health.service"))
	if err != nil || !f.exists(target) || !slices.Equal(f.ran, []string{"systemctl daemon-reload"}) {
		t.Errorf("the unit is not enabled: %q (%v), ran %q", target, err, f.ran)
	}
	if err := f.Uninstall("", false); err != nil {
		t.Fatal(err)
	}
	if after := f.all(t); len(after) != len(before) || f.exists("/etc/systemd/system/multi-user.target.wants") {
		t.Errorf("left: %v", after)
	}
}

// The boot menu is told that the system is up when its services are started and its
// checks pass; otherwise a machine that was started unattended is restarted,
// and never by kexec. What the menu does not wait for changes nothing.
func TestHealth(t *testing.T) {
	const unattended, byHand = "root=UUID=1 panic=30\n", "root=UUID=1\n"
	up := []string{"/run/openrc/softlevel", "default"}
	check := func(text string) []string { return []string{"/etc/alpboot/check.d/10-x", "#!/bin/sh\n" + text} }
	for _, tt := range []struct {
		name     string
		trying   string
		release  string // of what was tried, where that is known
		cmdline  string
		files    []string
		good     bool // the menu is told
		restarts bool
		says     string
		late     int32 // how often the disk with the memory fails
	}{
		{name: "all is well", trying: "lts", cmdline: unattended, files: up, good: true, says: "know that lts is up"},
		{name: "the checks pass", trying: "lts", cmdline: byHand, files: slices.Concat(up, check("exit 0\n")), good: true},
		{name: "not executable", trying: "lts", cmdline: unattended, files: slices.Concat(up, []string{"/etc/alpboot/check.d/README", "exit 1"}), good: true},
		{name: "a check fails", trying: "lts", cmdline: unattended, files: slices.Concat(up, check("exit 1\n")), restarts: true, says: "/etc/alpboot/check.d/10-x: exit status 1"},
		{name: "a check hangs", trying: "lts", cmdline: unattended, files: slices.Concat(up, check("sleep 1000 & wait\n")), restarts: true, says: "has not ended within"},
		{name: "a check is never ready", trying: "lts", cmdline: unattended, files: slices.Concat(up, check("exit 75\n")), restarts: true, says: "has not succeeded within"},
		{name: "a check is ready later", trying: "lts", cmdline: unattended, files: slices.Concat(up, check("[ -e \"$0.again\" ] || { : >\"$0.again\"; exit 75; }\n")), good: true},
		{name: "the disk answers later", trying: "lts", cmdline: unattended, files: up, good: true, late: 3},
		{name: "the disk does not answer", trying: "lts", cmdline: unattended, files: up, says: "is not mounted", late: 1 << 30},
		{name: "by hand", trying: "lts", cmdline: byHand, files: slices.Concat(up, check("exit 1\n")), says: "it was started by hand, and is not restarted"},
		{name: "panic=0", trying: "lts", cmdline: "panic=0\n", files: slices.Concat(up, check("exit 1\n")), says: "by hand"},
		{name: "the services hang", trying: "lts", cmdline: unattended, files: []string{"/run/openrc/softlevel", "default", "/run/openrc/rc.starting/x", "x"}, restarts: true, says: "have not all been started"},
		{name: "the runlevel boot hangs", trying: "lts", cmdline: unattended, files: []string{"/run/openrc/softlevel", "boot"}, restarts: true},
		{name: "this kernel was tried", trying: "lts", release: release, cmdline: unattended, files: up, good: true},
		{name: "another kernel was tried", trying: "lts", release: "6.12.9-0-virt", cmdline: unattended, files: slices.Concat(up, check("exit 1\n"))},
		{name: "nothing is waited for", cmdline: unattended, files: slices.Concat(up, check("exit 1\n"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := withMemory(t, remember.State{Last: "lts", Trying: tt.trying, Attempt: remember.Attempt{Time: 1, Release: tt.release}}, append([]string{"/proc/cmdline", tt.cmdline}, tt.files...)...)
			if file := f.path("/etc/alpboot/check.d/10-x"); f.exists("/etc/alpboot/check.d/10-x") {
				if err := os.Chmod(file, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			f.late.Store(tt.late)
			limit := 2 * time.Second // for what never comes
			if tt.good || tt.restarts && strings.Contains(tt.says, "check.d") {
				limit = time.Minute
			}
			o := reboot.HealthOptions{Limit: limit, CheckLimit: limit / 2, Pause: time.Millisecond, DownLimit: time.Millisecond}
			if tt.name == "a check hangs" {
				o.Limit, o.CheckLimit = time.Minute, 100*time.Millisecond
			}
			err := f.Health(context.Background(), o)
			said := f.out.String() + f.err.String()
			if err != nil {
				said += err.Error()
			}
			if !strings.Contains(said, tt.says) {
				t.Errorf("says %q, want %q", said, tt.says)
			}
			state, err := f.file().Load()
			if err != nil || (state.Trying == "") != (tt.good || tt.trying == "") {
				t.Errorf("it remembers %+v (%v)", state, err)
			}
			if got := slices.Contains(f.ran, "reboot") && f.restarts == 1 && f.exists("/run/kexec-reboot.failed"); got != tt.restarts || !tt.restarts && f.restarts > 0 {
				t.Errorf("ran %q, %d restarts without a shutdown; want a restart: %v", f.ran, f.restarts, tt.restarts)
			}
		})
	}
}

// The watchdog's service loads the driver that the menu names, and feeds the device
// of that driver; without the parameter it does nothing.
func TestWatchdogService(t *testing.T) {
	for _, tt := range []struct {
		name, cmdline, service, want string
	}{
		{name: "started", cmdline: "root=x alpboot.watchdog=i6300esb quiet", want: "modprobe -q i6300esb\nwatchdog -F -T 60 -t 10 /dev/watchdog1\n"},
		{name: "another driver", cmdline: "alpboot.watchdog=iTCO_wdt", want: "modprobe -q iTCO_wdt\nwatchdog -F -T 60 -t 10 /dev/watchdog\n"},
		{name: "by another service", cmdline: "alpboot.watchdog=i6300esb", service: "/etc/runlevels/default/watchdog", want: "modprobe -q i6300esb\n"},
		{name: "not started", cmdline: "root=x quiet"},
		{name: "no name of a module", cmdline: "alpboot.watchdog=../x;y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, map[string]string{"/proc/cmdline": tt.cmdline + "\n", "/dev/watchdog": "", "/dev/watchdog1": "",
				"/sys/class/watchdog/watchdog1/device/driver/module": "-> ../../../../../module/i6300esb", "/sys/module/i6300esb/x": ""})
			if tt.service != "" {
				f.write(t, map[string]string{tt.service: ""})
			}
			for _, name := range []string{"modprobe", "watchdog"} {
				f.executable(t, "/bin/"+name, "#!/bin/sh\necho \"${0##*/} $*\" >>"+f.path("/run/asked")+"\n")
			}
			script := "ebegin() { :; }; eend() { return $1; }; ewarn() { echo \"$*\"; }\n" + service(t, "alpboot-watchdog") + "\nstart && wait\n"
			for _, dir := range []string{"/run/", "/sys/", "/proc/", "/etc/", "/dev/watchdog", "/dev/$"} {
				script = strings.ReplaceAll(script, dir, f.root+dir)
			}
			script = strings.ReplaceAll(script, "! -c", "! -e")
			cmd := exec.Command("/bin/sh", "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+f.path("/bin")+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
			asked, _ := os.ReadFile(filepath.Join(f.root, "run/asked"))
			if got := strings.ReplaceAll(string(asked), f.root, ""); got != tt.want {
				t.Errorf("ran\n%swant\n%s", got, tt.want)
			}
		})
	}
}
