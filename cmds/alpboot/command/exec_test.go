package command

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
)

// Who leads the shutdown, and what is done for a kexec at its end.
func TestExec(t *testing.T) {
	installed := []string{"/etc/runlevels/shutdown/kexec-exec", "-> /etc/init.d/kexec-exec", "/run/openrc/started/kexec-load", "x"}
	tests := []struct {
		name   string
		files  map[string]string
		loaded bool
		ran    string // "" when it is refused
		marker bool
		says   string
	}{
		{name: "busybox init", files: with(alpine(), installed...), ran: "reboot", marker: true},
		{name: "busybox init under another name", files: with(alpine(), append(installed, "/proc/1/exe", "", "/proc/1/comm", "init\n")...), ran: "reboot", marker: true},
		{name: "an upgraded busybox", files: with(alpine(), append(installed, "/proc/1/exe", "-> /bin/busybox (deleted)")...), ran: "reboot", marker: true},
		{name: "sysvinit with OpenRC", files: with(alpine(), append(installed, "/proc/1/exe", "-> /sbin/init", "/etc/inittab", "id:3:initdefault:\n")...), ran: "reboot", marker: true},
		{name: "openrc-init", files: with(alpine(), "/proc/1/exe", "-> /sbin/openrc-init"), loaded: true, ran: "openrc-shutdown --kexec now"},
		{name: "systemd", files: with(alpine(), "/proc/1/exe", "-> /usr/lib/systemd/systemd"), loaded: true, ran: "systemctl kexec"},
		{name: "systemd with nothing loaded", files: with(alpine(), "/proc/1/exe", "-> /usr/lib/systemd/systemd"), says: "no kernel is loaded"},
		{name: "no services", files: alpine(), loaded: true, says: "kexec-reboot install"},
		{name: "service not started", files: with(alpine(), installed[:2]...), says: "no kernel is loaded"},
		{name: "service not started, loaded by hand", files: with(alpine(), installed[:2]...), loaded: true, ran: "reboot", marker: true},
		{name: "another init", files: with(alpine(), "/proc/1/exe", "-> /sbin/runit"), loaded: true, says: "--now"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			f.isLoaded = tt.loaded
			code := exitDone
			if tt.ran == "" {
				code = exitFailed
			}
			f.do(t, code, "exec", "--dry-run")
			if len(f.ran) > 0 || f.exists(marker) {
				t.Error("--dry-run did something")
			}
			_, stderr := f.do(t, code, "exec")
			if strings.Join(f.ran, "; ") != tt.ran || f.exists(marker) != tt.marker || !strings.Contains(stderr, tt.says) {
				t.Errorf("ran %q, marker %v, says %q", f.ran, f.exists(marker), stderr)
			}
			if f.kernel.jumps > 0 {
				t.Error("it jumped by itself")
			}
		})
	}
}

// A reboot that did not begin leaves no marker: the next poweroff is one.
func TestExecFails(t *testing.T) {
	f := newFake(t, with(alpine(), "/etc/runlevels/shutdown/kexec-exec", "-> /etc/init.d/kexec-exec", "/run/openrc/started/kexec-load", "x"))
	f.Run = func(string, ...string) error { return errors.New("boom") }
	_, stderr := f.do(t, exitFailed, "exec")
	if !strings.Contains(stderr, "boom") || f.exists(marker) {
		t.Errorf("says %q, marker there: %v", stderr, f.exists(marker))
	}
}

func TestExecNowNeedsALoadedKernel(t *testing.T) {
	f := newFake(t, alpine())
	for _, args := range [][]string{{"exec", "--now"}, {"-e"}} {
		if _, stderr := f.do(t, exitFailed, args...); !strings.Contains(stderr, "no kernel is loaded") || f.kernel.jumps > 0 {
			t.Errorf("%v: says %q, %d jumps", args, stderr, f.kernel.jumps)
		}
	}
	f.isLoaded = true
	if out, _ := f.do(t, exitDone, "exec", "--now", "--dry-run"); !strings.Contains(out, "would make / read-only") || f.kernel.jumps > 0 {
		t.Errorf("says %q, %d jumps", out, f.kernel.jumps)
	}
}

// The flags of kexec-tools.
func TestTools(t *testing.T) {
	needAMD64(t)
	tests := []struct {
		name, args string
		code       int
		says       string
		cmdline    string
		unloads    int
	}{
		{name: "load", args: "-l ROOT/boot/vmlinuz-lts --initrd=ROOT/boot/initramfs-lts --reuse-cmdline", cmdline: "root=UUID=1 modules=ext4 quiet"},
		{name: "append alone is all there is", args: "-l ROOT/boot/vmlinuz-lts --append='root=UUID=1 a'", cmdline: "root=UUID=1 a"},
		{name: "append to the running one", args: "--load ROOT/boot/vmlinuz-lts --reuse-cmdline --append=a", cmdline: "root=UUID=1 modules=ext4 quiet a"},
		{name: "command-line, flags before the kernel", args: "-s -l --command-line='root=UUID=1 b' ROOT/boot/vmlinuz-lts", cmdline: "root=UUID=1 b"},
		{name: "unload", args: "-u", unloads: 1},
		{name: "a crash kernel", args: "-p ROOT/boot/vmlinuz-lts", code: exitMisuse, says: "crash"},
		{name: "without -l", args: "ROOT/boot/vmlinuz-lts", code: exitMisuse, says: "is not a verb of kexec-reboot"},
		{name: "neither -l nor -e", args: "-s ROOT/boot/vmlinuz-lts", code: exitMisuse, says: "-l only loads"},
		{name: "-e with a kernel", args: "-e ROOT/boot/vmlinuz-lts", code: exitMisuse, says: "takes no kernel"},
		{name: "no kernel", args: "-l", code: exitMisuse, says: "one kernel is needed"},
		{name: "no command line", args: "-l ROOT/boot/vmlinuz-lts", code: exitFailed, says: "command line is needed"},
		{name: "unknown", args: "--fast", code: exitMisuse, says: "-fast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, alpine())
			_, stderr := f.do(t, tt.code, f.words(tt.args)...)
			if !strings.Contains(stderr, tt.says) || f.kernel.cmdline != tt.cmdline || f.kernel.unloads != tt.unloads || f.kernel.jumps > 0 {
				t.Errorf("says %q, loaded with %q, %d unloads, %d jumps", stderr, f.kernel.cmdline, f.kernel.unloads, f.kernel.jumps)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	f := newFake(t, alpine())
	if _, stderr := f.do(t, exitMisuse); !strings.Contains(stderr, "Usage:") {
		t.Errorf("says %q", stderr)
	}
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}, {"load", "--help"}, {"install", "-h"}} {
		if out, _ := f.do(t, exitDone, args...); !strings.Contains(out, "Usage:") {
			t.Errorf("%v: says %q", args, out)
		}
	}
	if out, _ := f.do(t, exitDone, "--version"); !strings.HasPrefix(out, "kexec-reboot ") {
		t.Errorf("says %q", out)
	}
	f.do(t, exitMisuse, "reload")
}

func TestStatus(t *testing.T) {
	needAMD64(t)
	ready := func() map[string]string {
		return with(alpine(), "/etc/runlevels/shutdown/kexec-exec", "-> x", "/etc/runlevels/default/kexec-load", "-> x",
			"/run/openrc/started/kexec-load", "x", "/etc/inittab", inittabText+rebootLine+"\n")
	}
	tests := []struct {
		name  string
		files map[string]string
		setUp func(*fake)
		code  int
		says  []string
		not   []string
	}{
		{name: "ready", files: ready(), code: exitDone, says: []string{"can kexec (kexec_file_load, kexec_load)", "poweroff powers off", "vmlinuz-lts", "Linux virt", "nothing"}},
		{name: "forbidden", files: ready(), setUp: func(f *fake) { f.isDisabled = true }, code: exitFailed,
			says: []string{"kexec_load_disabled=0", "of no use while this kernel cannot kexec: reboot goes through the firmware", "next      nothing"}, not: []string{"in place: reboot"}},
		{name: "forbidden after a load", files: with(ready(), choiceFile, "{}"), setUp: func(f *fake) { f.isLoaded, f.isDisabled = true, true }, code: exitFailed,
			says: []string{"reboot goes through the firmware", "next      nothing"}, not: []string{"in place: reboot"}},
		{name: "locked down without kexec_file_load", files: ready(), setUp: func(f *fake) {
			f.lacks[unix.SYS_KEXEC_FILE_LOAD] = true
			f.Lockdown = func() string { return "integrity" }
		}, code: exitFailed, says: []string{"forbids kexec: it is locked down (integrity)", "reboot goes through the firmware", "next      nothing"}, not: []string{"in place: reboot"}},
		{name: "locked down", files: ready(), setUp: func(f *fake) { f.Lockdown = func() string { return "integrity" } },
			says: []string{"can kexec (kexec_file_load)", "only kernels that are signed", "reboot starts the next kernel if it is signed"}},
		{name: "only kexec_load", files: ready(), setUp: func(f *fake) { f.lacks[unix.SYS_KEXEC_FILE_LOAD] = true }, says: []string{"can kexec (kexec_load)"}},
		{name: "no services", files: alpine(), code: exitFirmware, says: []string{"kexec-reboot install"}},
		{name: "not started", files: with(ready(), "/run/openrc/started/kexec-load", ""), code: exitFirmware, says: []string{"rc-service kexec-load start"}},
		{name: "no reboot action", files: with(ready(), "/etc/inittab", inittabText), code: exitFirmware, says: []string{"no reboot action"}},
		{name: "an older busybox", files: with(ready(), "/bin/busybox", oldBusybox), code: exitFirmware, says: []string{"kexec-reboot exec only"}},
		{name: "no modules", files: with(ready(), "/boot/vmlinuz-lts", "x"), code: exitFirmware, says: []string{"not a kernel"}},
		{name: "loaded by another program", files: ready(), setUp: func(f *fake) { f.isLoaded = true }, says: []string{"by another program", "what another program has loaded"}},
		{name: "loaded by hand", files: with(ready(), choiceFile, `{"Entry":"Linux virt"}`), setUp: func(f *fake) { f.isLoaded = true }, says: []string{"read again", "of=virt"}},
		{name: "an entry that is broken", files: with(ready(), "/boot/vmlinuz-virt", ""), says: []string{"! 1", "/boot/vmlinuz-virt is missing"}},
		{name: "an entry whose kernel is truncated", files: with(ready(), "/boot/vmlinuz-virt", string(boottest.BzImage("6.12.9-0-virt")[:2048])), says: []string{"! 1", "/boot/vmlinuz-virt cannot be used: the file is truncated"}},
		{name: "systemd", files: with(alpine(), "/proc/1/exe", "-> /lib/systemd/systemd"), code: exitFirmware, says: []string{"systemctl kexec"}},
		{name: "no OpenRC", files: map[string]string{"/proc/1/exe": "-> /sbin/runit"}, code: exitFirmware, says: []string{"no OpenRC", "no kernel was found"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.files)
			if tt.setUp != nil {
				tt.setUp(f)
			}
			before := f.all(t)
			out, _ := f.do(t, tt.code, "status")
			for _, s := range tt.says {
				if !strings.Contains(out, s) {
					t.Errorf("does not say %q:\n%s", s, out)
				}
			}
			for _, s := range tt.not {
				if strings.Contains(out, s) {
					t.Errorf("says %q:\n%s", s, out)
				}
			}
			if diff := cmp.Diff(before, f.all(t)); diff != "" {
				t.Errorf("status changed something:\n%s", diff)
			}
		})
	}
}
