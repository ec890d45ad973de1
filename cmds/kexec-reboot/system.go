package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	machine "github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/kexec"
)

// system is the running system. Tests give it a folder as its root, and a
// kernel that only takes notes.
type system struct {
	root           string // "/"
	kernel         kexec.Syscalls
	loaded         func() bool
	disabled       func() bool
	lockdown       func() string
	has            func(call uintptr) bool // whether the kernel has a system call
	run            func(name string, args ...string) error
	hangup         func() error // makes PID 1 read its inittab again
	probe          func(device string) (superblock.Superblock, error)
	release        string // of the running kernel, as uname -r gives it
	stdout, stderr io.Writer
}

func realSystem(stdout, stderr io.Writer) *system {
	s := &system{
		root: "/", kernel: kexec.System{}, loaded: kexec.Loaded, disabled: kexec.Disabled, lockdown: kexec.Lockdown,
		has: hasCall, hangup: func() error { return unix.Kill(1, unix.SIGHUP) }, stdout: stdout, stderr: stderr,
	}
	s.probe = (&machine.Machine{}).Probe
	s.run = func(name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
		return nil
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.release = unix.ByteSliceToString(u.Release[:])
	}
	return s
}

// hasCall tells whether the kernel has one of kexec's two system calls. They
// are called in a way that none of them takes for a load: with unknown flags.
func hasCall(call uintptr) bool {
	const noFlags, noFile = 1 << 15, ^uintptr(0)
	_, _, errno := unix.Syscall6(call, noFile, noFile, 0, 0, noFlags, 0)
	return errno != unix.ENOSYS
}

// path gives the place of a file of the system.
func (s *system) path(name string) string { return filepath.Join(s.root, name) }

// read gives the content of a file without white space around it; "" when it
// cannot be read.
func (s *system) read(name string) string {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (s *system) exists(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// say prints a line about what was done, warn one about what is not as it
// should be. Names and command lines in them come from disks.
func (s *system) say(format string, args ...any) { printLines(s.stdout, fmt.Sprintf(format, args...)) }
func (s *system) warn(format string, args ...any) {
	printLines(s.stderr, "kexec-reboot: "+fmt.Sprintf(format, args...))
}

func printLines(w io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(w, boot.Visible(line))
	}
}

func (s *system) mounts() []mount { return parseMountinfo(s.read("/proc/self/mountinfo")) }

// flavour gives what tells the packages of a distribution's kernels apart:
// lts of 6.12.1-0-lts, cloud-amd64 of 6.1.0-56-cloud-amd64.
func flavour(release string) string {
	for i := len(release) - 1; i > 0; i-- {
		if release[i] == '-' && release[i-1] >= '0' && release[i-1] <= '9' {
			return release[i+1:]
		}
	}
	return release
}

// manager is what runs as PID 1 and leads an orderly shutdown.
type manager string

const (
	systemd    manager = "systemd"
	openrcInit manager = "openrc-init"
	busybox    manager = "busybox init"
	sysvinit   manager = "sysvinit" // with OpenRC, as on Gentoo
	unknown    manager = "unknown"
)

func (s *system) manager() manager {
	exe, err := os.Readlink(s.path("/proc/1/exe"))
	if err != nil {
		exe = s.read("/proc/1/comm") // only root may ask
	}
	name := strings.TrimSuffix(filepath.Base(exe), " (deleted)") // an upgrade has replaced it
	switch {
	case name == "systemd" || s.exists("/run/systemd/system"):
		return systemd
	case name == "openrc-init":
		return openrcInit
	case strings.HasPrefix(name, "busybox"):
		return busybox
	case name != "init" || !s.hasOpenRC():
		return unknown
	case busyboxTab(s.read(inittab)):
		return busybox
	}
	return sysvinit
}

// hasOpenRC tells whether the system is run by OpenRC.
func (s *system) hasOpenRC() bool { return s.exists("/etc/runlevels") && s.exists("/etc/init.d") }

// cannot says why this kernel cannot kexec at all; nil when it can.
func (s *system) cannot() error {
	switch {
	case !s.has(unix.SYS_KEXEC_LOAD) && !s.has(unix.SYS_KEXEC_FILE_LOAD):
		return errors.New("this kernel was built without kexec (CONFIG_KEXEC, CONFIG_KEXEC_FILE)")
	case s.disabled():
		return errors.New("this kernel forbids kexec (sysctl kernel.kexec_load_disabled is 1), which lasts until it is booted anew: add kexec_load_disabled=0 to the kernel command line in the boot loader's configuration")
	case s.lockedDown() && !s.has(unix.SYS_KEXEC_FILE_LOAD):
		return fmt.Errorf("this kernel forbids kexec: it is locked down (%s) and has no kexec_file_load, which alone takes kernels then", s.lockdown())
	}
	return nil
}

func (s *system) lockedDown() bool { mode := s.lockdown(); return mode != "" && mode != "none" }
