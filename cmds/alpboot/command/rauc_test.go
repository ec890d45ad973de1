package command

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/boot/remember"
)

// busConfig is that of a message bus on which everybody may do everything.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
`

// handlerRoot names, to the test program that RAUC calls as its backend, the directory
// that stands for /.
const handlerRoot = "ALPBOOT_TEST_RAUC"

func TestMain(m *testing.M) {
	root := os.Getenv(handlerRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	f := fake{root: root, uuids: map[string]string{"/dev/sda3": "1234-ABCD"}}
	c := command{System: &reboot.System{Machine: os.DirFS("/"), Root: root, Release: release, Probe: f.probe, Stdout: os.Stdout, Stderr: os.Stderr}}
	os.Exit(c.kexecReboot(append([]string{"slot"}, os.Args[1:]...)))
}

// The real RAUC takes kexec-reboot slot for a boot loader: rauc status shows which
// slot is the primary one and which is bad, and mark-good, mark-bad and mark-active
// change what the menu remembers.
func TestRAUC(t *testing.T) {
	needAMD64(t)
	boottest.NeedRoot(t) // as RAUC does
	for _, name := range []string{"rauc", "dbus-daemon"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err) // it brings systemd with it: only make test-all installs it
		}
	}
	probe := newFake(t, alpine())
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	virt, lts := probe.idOf(t, "Linux virt"), probe.idOf(t, "Linux lts")
	f := withMemory(t, remember.State{Default: lts, Last: lts, Trying: lts, Attempt: remember.Attempt{Time: 1}, Tries: []remember.Try{{ID: lts, Left: 1}, {ID: virt}}})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	asked, errs := f.path("/run/asked"), f.path("/run/errors")
	t.Cleanup(func() {
		if b, err := os.ReadFile(errs); err == nil && t.Failed() {
			t.Logf("the handler: %s", b)
		}
	})
	f.write(t, map[string]string{
		"/etc/alpboot.conf": stateConf + "confirm = yes\n",
		// With the race detector a program sleeps for a second when it ends: RAUC asks
		// often, and gives up after 25.
		"/etc/rauc/handler": fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nGORACE=atexit_sleep_ms=0 %s=%s exec %s \"$@\" 2>>%s\n", asked, handlerRoot, f.root, program, errs),
		"/etc/rauc/system.conf": fmt.Sprintf("[system]\ncompatible=test\nbootloader=custom\n[handlers]\nbootloader-custom-backend=%s\n"+
			"[slot.rootfs.0]\ndevice=/dev/null\nbootname=%s\n[slot.rootfs.1]\ndevice=/dev/zero\nbootname=%s\n", f.path("/etc/rauc/handler"), lts, virt),
	})
	if err := os.Chmod(f.path("/etc/rauc/handler"), 0o755); err != nil {
		t.Fatal(err)
	}

	bus := filepath.Join(t.TempDir(), "bus")
	f.write(t, map[string]string{"/etc/bus.conf": fmt.Sprintf(busConfig, bus)})
	env := append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+bus, "LC_ALL=C")
	background(t, env, "dbus-daemon", "--nofork", "--nopidfile", "--config-file="+f.path("/etc/bus.conf"))
	conf := "--conf=" + f.path("/etc/rauc/system.conf")
	background(t, env, "rauc", conf, "service", "--override-boot-slot="+lts)
	rauc := func(args ...string) (string, error) {
		cmd := exec.Command("rauc", append([]string{conf}, args...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	status := func() (text string) {
		t.Helper()
		var err error
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) { // bus and service may be on their way
			if text, err = rauc("status", "--output-format=shell"); err == nil {
				return text
			}
		}
		t.Fatalf("rauc status: %v\n%s", err, text)
		return ""
	}
	expect := func(primary, stateOfLTS, stateOfVirt string) {
		t.Helper()
		values := map[string]string{}
		for line := range strings.Lines(status()) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = strings.Trim(value, "'")
		}
		got := []string{values["RAUC_BOOT_PRIMARY"], "", ""}
		for _, n := range strings.Fields(values["RAUC_SLOTS"]) { // in any order
			state := values["RAUC_SLOT_BOOT_STATUS_"+n]
			if values["RAUC_SLOT_BOOTNAME_"+n] == lts {
				got[1] = state
			} else {
				got[2] = state
			}
		}
		if want := []string{primary, stateOfLTS, stateOfVirt}; !slices.Equal(got, want) {
			t.Errorf("primary slot and states: %q, want %q", got, want)
		}
	}
	do := func(args ...string) {
		t.Helper()
		if out, err := rauc(args...); err != nil {
			t.Errorf("rauc %q: %v\n%s", args, err, out)
		}
	}
	remembers := func(want remember.State) {
		t.Helper()
		got, err := f.file().Load()
		if got.Kept = false; err != nil || !got.Equal(want) {
			t.Errorf("it remembers %+v (%v), want %+v", got, err, want)
		}
	}
	expect("rootfs.0", "good", "bad")
	do("status", "mark-good", "booted")
	remembers(remember.State{Default: lts, Last: lts, Tries: []remember.Try{{ID: virt}}})
	do("status", "mark-active", "other")
	remembers(remember.State{Default: virt, Last: lts})
	expect("rootfs.1", "good", "good")
	do("status", "mark-bad", "other")
	remembers(remember.State{Default: virt, Last: lts, Tries: []remember.Try{{ID: virt}}})
	expect("rootfs.0", "good", "bad")
	for _, verb := range []string{"get-primary", "set-primary " + virt, "get-state " + virt, "set-state " + lts + " good", "set-state " + virt + " bad"} {
		if !strings.Contains(f.read("/run/asked")+"\n", verb+"\n") {
			t.Errorf("RAUC never asked for %s", verb)
		}
	}
}

// background runs a program until the test ends, and then logs what it has said.
func background(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, said.String())
		}
	})
}
