// Init is the first process of a target: the system that a test boots instead
// of Alpine. It writes a report of what was booted to the consoles (see package
// target for its form), and switches the machine off, or waits for a person.
//
// It is PID 1 of a kernel without modules: it must not end, and what it cannot
// do it says and leaves.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(run(os.Stdin))
}

func run(stdin io.Reader) int {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		os.MkdirAll(m[1], 0o755)
		unix.Mount(m[0], m[1], m[0], 0, "")
	}
	// From here on only emergencies: the report must not be cut by messages.
	// The system call takes the level where others have the length of a buffer.
	unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, 1))

	terminals := consoles()
	var all []io.Writer
	for _, f := range terminals {
		all = append(all, f)
	}
	out := io.MultiWriter(all...)
	r, err := report.Collect(os.DirFS("/"))
	if err != nil {
		fmt.Fprintln(out, "alpboot target:", err)
	}
	io.WriteString(out, r.String())
	if r.Stay {
		fmt.Fprintf(out, "\nThis is the system that the menu has booted: %s.\nIts command line: %s\n\nPress Enter to switch the machine off.\n", r.Release, r.Cmdline)
		bufio.NewReader(stdin).ReadString('\n')
	}
	// What a terminal has not sent yet would be lost with the power.
	for _, f := range terminals {
		unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) // tcdrain(3)
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// consoles returns every console that the kernel uses, and the first serial port
// even when it is none: the test looks there.
func consoles() []*os.File {
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	names := strings.Fields(string(active))
	if !slices.Contains(names, "ttyS0") {
		names = append(names, "ttyS0")
	}
	var all []*os.File
	for _, n := range names {
		if f, err := os.OpenFile("/dev/"+n, os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
			all = append(all, f)
		}
	}
	return all
}
