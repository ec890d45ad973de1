// Package reboot restarts a running Linux by kexec: it chooses and loads the
// next kernel ([System.Load]), has an orderly shutdown end in it
// ([System.Shutdown]) or jumps at once ([System.Jump]), and puts the OpenRC
// services in place that make reboot(8) do so ([System.Install]).
// docs/fast-reboot.md shows all of it from a user's side.
package reboot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
	machine "github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/tpm"
)

// System is a running system; [New] returns the real one. What was done is
// printed to Stdout, and what is not as it should be to Stderr.
type System struct {
	Name           string // of the command that says all this; "" for kexec-reboot
	Root           string // of its files: "/"
	Kernel         kexec.Syscalls
	Machine        fs.FS                   // with /proc and /sys, for the loader
	Loaded         func() bool             // whether a kernel is loaded
	Disabled       func() bool             // whether the running kernel forbids kexec
	Lockdown       func() string           // its lockdown mode
	Has            func(call uintptr) bool // whether it has a system call
	Run            func(name string, args ...string) error
	Output         func(name string, args ...string) (string, error)
	Restart        func() error // goes through the firmware, without a shutdown
	Hangup         func() error // makes PID 1 read its inittab again
	Probe          func(device string) (superblock.Superblock, error)
	TPM            func(name string) (io.ReadWriteCloser, error) // opens one by its name in /dev
	Release        string                                        // of the running kernel, as uname -r prints it
	BeforeWrite    func()                                        // when set, called before install or uninstall writes a file
	Stdout, Stderr io.Writer
}

// New returns the running system, whose files are below root.
func New(root string, stdout, stderr io.Writer) *System {
	machineFS := os.DirFS(root)
	s := &System{
		Root: root, Kernel: kexec.System{}, Machine: machineFS,
		Loaded:   func() bool { return kexec.Loaded(machineFS) },
		Disabled: func() bool { return kexec.Disabled(machineFS) },
		Lockdown: func() string { return kexec.Lockdown(machineFS) },
		Has:      hasCall, Hangup: func() error { return unix.Kill(1, unix.SIGHUP) }, Probe: (&machine.Machine{}).Probe,
		TPM: func(name string) (io.ReadWriteCloser, error) { return tpm.Open(filepath.Join(root, "dev", name)) },
		Run: func(name string, args ...string) error {
			cmd := exec.Command(name, args...)
			cmd.Stdout, cmd.Stderr = stdout, stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
			}
			return nil
		},
		Output: func(name string, args ...string) (string, error) {
			out, err := exec.Command(name, args...).Output()
			return strings.TrimSpace(string(out)), err
		},
		Stdout: stdout, Stderr: stderr,
	}
	s.Restart = s.restartNow
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Release = unix.ByteSliceToString(u.Release[:])
	}
	return s
}

// hasCall reports whether the kernel has one of kexec's two system calls. They
// are called in a way that none of them takes for a load: with unknown flags.
func hasCall(call uintptr) bool {
	const noFlags, noFile = 1 << 15, ^uintptr(0)
	_, _, errno := unix.Syscall6(call, noFile, noFile, 0, 0, noFlags, 0)
	return errno != unix.ENOSYS
}

// path returns the place of a file of the system.
func (s *System) path(name string) string { return filepath.Join(s.Root, name) }

// read returns the content of a file without white space around it, or "" when it
// cannot be read.
func (s *System) read(name string) string {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (s *System) exists(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// say prints a line about what was done. Names and command lines in it come
// from disks.
func (s *System) say(format string, args ...any) { printLines(s.Stdout, fmt.Sprintf(format, args...)) }

// Warn prints a line about what is not as it should be.
func (s *System) Warn(format string, args ...any) {
	printLines(s.Stderr, s.name()+": "+fmt.Sprintf(format, args...))
}

func (s *System) name() string { return cmp.Or(s.Name, "kexec-reboot") }

func printLines(w io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(w, boot.Visible(line))
	}
}

func (s *System) mounts() []mountinfo.Mount { return mountinfo.Parse(s.read("/" + mountinfo.Path)) }

// manager is what runs as PID 1 and leads an orderly shutdown.
type manager string

const (
	systemd    manager = "systemd"
	openrcInit manager = "openrc-init"
	busybox    manager = "busybox init"
	sysvinit   manager = "sysvinit" // with OpenRC, as on Gentoo
	unknown    manager = "unknown"
)

func (s *System) manager() manager {
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

// hasOpenRC reports whether the system is run by OpenRC.
func (s *System) hasOpenRC() bool { return s.exists("/etc/runlevels") && s.exists("/etc/init.d") }

// cannot returns the reason why this kernel cannot kexec at all, or nil.
func (s *System) cannot() error {
	switch {
	case !s.Has(unix.SYS_KEXEC_LOAD) && !s.Has(unix.SYS_KEXEC_FILE_LOAD):
		return errors.New("this kernel was built without kexec (CONFIG_KEXEC, CONFIG_KEXEC_FILE)")
	case s.Disabled():
		return errors.New("this kernel forbids kexec (sysctl kernel.kexec_load_disabled is 1), which lasts until the next reboot: add kexec_load_disabled=0 to the kernel command line in the boot loader's configuration")
	case s.lockedDown() && !s.Has(unix.SYS_KEXEC_FILE_LOAD):
		return fmt.Errorf("this kernel forbids kexec: it is locked down (%s) and has no kexec_file_load, which alone takes kernels then", s.Lockdown())
	}
	return nil
}

func (s *System) lockedDown() bool { mode := s.Lockdown(); return mode != "" && mode != "none" }
