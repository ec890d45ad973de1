package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/settings"
)

// The first process of the image mounts what everything else stands on and
// keeps the menu running in a process of its own: the kernel panics when the
// first process ends, and nothing in Go survives a panic in just any goroutine.
// It prints nothing unless the menu ends.

// mounts are the filesystems of the image, in order. Those that are optional
// may be missing from the kernel or the machine.
var mounts = [...]struct {
	fstype, target, options string
	optional                bool
}{
	{"devtmpfs", "/dev", "", false},
	{"proc", "/proc", "", false},
	{"sysfs", "/sys", "", false},
	{"tmpfs", "/tmp", "mode=1777", false},
	{"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", true},
	{"tmpfs", "/dev/shm", "mode=1777", true},
	{"securityfs", "/sys/kernel/security", "", true},
	{"debugfs", "/sys/kernel/debug", "", true},
	{"efivarfs", efiVars, "", true},
}

// environment is what the menu and its shell start with, besides what the
// kernel passes, TERM among it.
var environment = [...]string{"PATH=/bbin:/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "USER=root"}

// pid1 is what the kernel starts. It never returns.
func pid1() {
	// The kernel ignores signals to the first process, unless it handles them,
	// which every Go program does: SIGTERM would end it. Ignoring them would be
	// inherited.
	signal.Notify(make(chan os.Signal, 1))
	notes := mountAll()
	loopbackUp() // without it, nothing but the shell's own network is missing
	line := kernelCmdline()
	if level := consoleLevel(line, printkLevel()); level > 0 {
		const setLevel = 8 // SYSLOG_ACTION_CONSOLE_LEVEL
		unix.Syscall(unix.SYS_SYSLOG, setLevel, 0, uintptr(level))
	}
	i := supervisor{
		menu: func() *exec.Cmd {
			cmd := exec.Command("/proc/self/exe")
			cmd.Args = []string{"bootmenu"}
			return cmd
		},
		shell:    startShell,
		consoles: consoleDevices(os.DirFS("/"), nil),
		locked: func() bool {
			asked, _ := readSettings(os.DirFS("/"))
			return asked.Verify == settings.Enforce || asked.Asks(settings.LockShell)
		},
		messages: kernelMessages,
		quiet:    line.Has("quiet"),
		pause:    3 * time.Second,
		restart: func() {
			unix.Sync()
			unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
		},
	}
	if !hasShell() {
		i.shell = nil
	}
	if len(notes) > 0 {
		i.print(notes...)
	}
	i.run()
}

// mountAll mounts the filesystems of the image, and returns what went wrong.
func mountAll() (failed []string) {
	for _, m := range mounts {
		os.MkdirAll(m.target, 0o755) // fails in sysfs, where the kernel makes them
		err := unix.Mount(m.fstype, m.target, m.fstype, 0, m.options)
		if err == unix.ENODEV && m.fstype == "efivarfs" {
			// The driver may be a module, which the kernel cannot ask for here.
			if _, none := os.Stat(m.target); none == nil {
				if drivers, none := openDrivers(); none == nil && drivers.Load("efivarfs") == nil {
					err = unix.Mount(m.fstype, m.target, m.fstype, 0, m.options)
				}
			}
		}
		if err != nil && !m.optional {
			failed = append(failed, fmt.Sprintf("alpboot: mounting %s: %v", m.target, err))
		}
	}
	for _, e := range environment {
		name, value, _ := strings.Cut(e, "=")
		os.Setenv(name, value)
	}
	return failed
}

// loopbackUp starts the interface lo.
func loopbackUp() {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return // a kernel without a network
	}
	defer unix.Close(s)
	if lo, err := unix.NewIfreq("lo"); err == nil && unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, lo) == nil {
		lo.SetUint16(lo.Uint16() | unix.IFF_UP)
		unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
	}
}

// kernelCmdline returns the command line of the running kernel.
func kernelCmdline() cmdline.Line {
	b, _ := os.ReadFile("/proc/cmdline")
	return cmdline.Parse(strings.TrimSpace(string(b)))
}

// printkLevel returns below which level messages of the kernel are on the
// consoles; 0 when that is not known.
func printkLevel() (level int) {
	b, _ := os.ReadFile("/proc/sys/kernel/printk")
	fmt.Sscan(string(b), &level)
	return level
}

// consoleLevel returns the level to set instead, so that what is less than a
// warning stays off the consoles; 0 to leave it, as where the command line asks
// for more or quiet has set less.
func consoleLevel(line cmdline.Line, level int) int {
	const warnings = 5
	if level <= warnings || slices.ContainsFunc([]string{"debug", "loglevel", "ignore_loglevel"}, line.Has) {
		return 0
	}
	return warnings
}

// supervisor keeps the menu running.
type supervisor struct {
	menu     func() *exec.Cmd
	shell    func(dev string) (*exec.Cmd, error) // nil where there is none
	locked   func() bool                         // reports whether none is started all the same; nil for never
	consoles []string                            // devices to report on
	messages func(on bool)                       // of the kernel are printed on the consoles
	quiet    bool                                // but not on the prompt of a shell
	pause    time.Duration
	restart  func() // the machine; returns when that fails
}

// shortLived is how long a menu runs at least that is worth starting again, and
// tries how often one in a row is started that does not.
const (
	shortLived = time.Minute
	tries      = 3
)

// run starts the menu, and starts it again when it ends. When it does so again
// and again, it starts a shell on every console, and the menu when one of them
// ends; without a shell, or with a locked one, it restarts the machine.
func (i *supervisor) run() {
	modes := i.modes()
	for failed := 0; ; {
		started := time.Now()
		why, printed := i.runMenu()
		if time.Since(started) > shortLived {
			failed = 0
		}
		failed++
		i.restore(modes)
		i.print(append(printed, "", "alpboot: the menu ended: "+why)...)
		switch {
		case failed < tries:
			i.print("It starts again.")
			time.Sleep(i.pause)
		case i.shell != nil && (i.locked == nil || !i.locked()):
			failed = 0
			i.print("This is a shell; exit starts the menu again.")
			i.messages(!i.quiet)
			i.runShells()
			i.restore(modes)
		default:
			i.print("The machine restarts.")
			time.Sleep(i.pause)
			i.restart()
			failed = 0
		}
	}
}

// runMenu runs the menu until it ends, and returns why it did, and the last
// that it wrote.
func (i *supervisor) runMenu() (why string, printed []string) {
	cmd := i.menu()
	// Without a terminal of its own no Ctrl-C on a console is for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		return err.Error(), nil
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	text := make(chan string)
	go func() { text <- lastOf(r) }()
	err = cmd.Start()
	w.Close()
	if err == nil {
		why = reap(cmd)
	} else {
		why = err.Error()
	}
	killAll()
	r.SetReadDeadline(time.Now().Add(time.Second))
	lines := strings.Split(strings.TrimSpace(<-text), "\n")
	// A panic prints first what is wrong, then where.
	return why, lines[:min(len(lines), 20)]
}

// lastOf reads r to its end, and returns its last panic and what follows, else
// its last bytes.
func lastOf(r io.Reader) string {
	const most = 64 << 10
	var text, b []byte
	b = make([]byte, 4<<10)
	for {
		n, err := r.Read(b)
		text = append(text, b[:n]...)
		if at := strings.LastIndex(string(text), "\npanic: "); at > 0 {
			text = text[at+1:]
		}
		if err != nil {
			return string(text)
		}
		if len(text) > most {
			text = slices.Clone(text[:most/2])
		}
	}
}

// runShells runs a shell on every console until one of them ends.
func (i *supervisor) runShells() {
	var shells []*exec.Cmd
	for _, dev := range i.consoles {
		if cmd, err := i.shell(dev); err == nil {
			shells = append(shells, cmd)
		} else {
			i.print(fmt.Sprintf("alpboot: no shell on %s: %v", dev, err))
		}
	}
	if len(shells) == 0 {
		time.Sleep(i.pause)
		i.restart()
		return
	}
	reap(shells...)
	killAll()
}

// reap waits until one of the commands has ended, and returns how. Meanwhile it
// collects whatever else has ended: the first process inherits all orphans.
func reap(cmds ...*exec.Cmd) string {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err.Error()
		case slices.ContainsFunc(cmds, func(c *exec.Cmd) bool { return c.Process.Pid == pid }):
			if status.Signaled() {
				return "signal: " + status.Signal().String()
			}
			return fmt.Sprintf("exit status %d", status.ExitStatus())
		}
	}
}

// killAll ends all other processes, which may hold consoles and disks.
func killAll() {
	unix.Kill(-1, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}

// each calls f with each console that can be opened.
func (i *supervisor) each(f func(dev string, tty *os.File)) {
	for _, dev := range i.consoles {
		if tty, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0); err == nil {
			tty.SetWriteDeadline(time.Now().Add(i.pause)) // a serial line may be stuck
			f(dev, tty)
			tty.Close()
		}
	}
}

// print writes lines on all consoles.
func (i *supervisor) print(lines ...string) {
	i.each(func(_ string, tty *os.File) {
		for _, l := range lines {
			io.WriteString(tty, boot.Visible(l)+"\r\n")
		}
	})
}

// modes returns the modes of the consoles.
func (i *supervisor) modes() map[string]*unix.Termios {
	modes := make(map[string]*unix.Termios)
	for _, dev := range i.consoles {
		if mode, err := terminalMode(dev); err == nil {
			modes[dev] = mode
		}
	}
	return modes
}

// restore sets the modes of the consoles, and undoes what a menu that was
// killed has left: a cursor that is hidden, and messages of the kernel.
func (i *supervisor) restore(modes map[string]*unix.Termios) {
	i.messages(true)
	i.each(func(dev string, tty *os.File) {
		if mode := modes[dev]; mode != nil {
			unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode)
		}
		io.WriteString(tty, "\x1b[m\x1b[?25h\x1b[r\x1b[999H\r\n")
	})
}
