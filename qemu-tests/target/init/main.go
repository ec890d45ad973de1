// Init is the first process of a target: the system that a test boots instead
// of Alpine. It writes a report of what was booted to the consoles (see package
// target for its form), and powers the machine off, or ends in another way: see [report.End].
//
// It is PID 1 of a kernel without modules: it must not exit unless that is
// asked for. What it cannot do it reports and leaves.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/remember"
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
	if err := loadModules("/" + report.Modules); err != nil {
		fmt.Fprintln(out, "alpboot target:", err)
	}
	r, err := report.Collect(os.DirFS("/"))
	if err != nil {
		fmt.Fprintln(out, "alpboot target:", err)
	}
	io.WriteString(out, r.String())
	if r.Confirm != "" {
		if err := confirm(r.Confirm); err != nil {
			fmt.Fprintln(out, "alpboot target:", err)
		} else {
			fmt.Fprintln(out, "alpboot target: confirmed")
		}
	}
	switch r.End {
	case report.Stay:
		fmt.Fprintf(out, "\nThis is the system that the menu has booted: %s.\nIts command line: %s\n\nPress Enter to switch the machine off.\n", r.Release, r.Cmdline)
		bufio.NewReader(stdin).ReadString('\n')
	case report.Hang:
		sleep()
	case report.Feed:
		if err := feed(); err != nil {
			fmt.Fprintln(out, "alpboot target:", err)
		} else {
			fmt.Fprintln(out, "alpboot target: the watchdog was fed for", fedFor)
		}
	}
	// What a terminal has not sent yet would be lost with the power.
	for _, f := range terminals {
		unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) // tcdrain(3)
	}
	switch r.End {
	case report.Exit:
		return 1
	case report.Reset:
		unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	default:
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	sleep()
	return 0
}

// loadModules loads the modules in a directory, if it is there.
func loadModules(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		name := dir + "/" + f.Name()
		b, readErr := os.ReadFile(name)
		if readErr == nil {
			readErr = unix.InitModule(b, "")
		}
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("loading %s: %w", name, readErr))
		}
	}
	return err
}

const (
	fedFor    = 10 * time.Minute
	feedEvery = 5 * time.Second
)

// feed takes the watchdog over and feeds it, as a system does that is well.
func feed() error {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for range fedFor / feedEvery {
		if _, err := f.WriteString("."); err != nil {
			return err
		}
		time.Sleep(feedEvery)
	}
	_, err = f.WriteString("V") // it stops when the file is closed
	return errors.Join(err, f.Close())
}

// sleep does not return. An empty select would: with no other goroutine the
// runtime calls it a deadlock and exits.
func sleep() {
	for {
		unix.Pause()
	}
}

// confirm reports that this start has succeeded, as kexec-reboot good does.
func confirm(where string) error {
	const vars = "/sys/firmware/efi/efivars"
	device, isBless := strings.CutPrefix(where, "bless ")
	if where == "efi" || isBless {
		if err := unix.Mount("efivarfs", vars, "efivarfs", 0, ""); err != nil {
			return fmt.Errorf("mounting EFI variables: %w", err)
		}
		if isBless {
			return bless(device)
		}
		return confirmIn(remember.Firmware(vars))
	}
	var fstype, file string
	if _, err := fmt.Sscan(where, &device, &fstype, &file); err != nil {
		return fmt.Errorf("where to confirm: %q: %w", where, err)
	}
	const dir = "/remembered"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, dir, fstype, 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", device, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	err = confirmIn(&remember.File{Path: file, Volume: device, FS: root.FS(), Write: func(do func(*os.Root) error) error { return do(root) }})
	return errors.Join(err, root.Close(), unix.Unmount(dir, 0))
}

// bless has systemd-bless-boot take the boot counter off an entry on the FAT volume
// on device.
func bless(device string) error {
	const dir = "/boot"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, dir, "vfat", 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", device, err)
	}
	cmd := exec.Command("/lib/systemd/systemd-bless-boot", "--path="+dir, "good")
	cmd.Env = []string{"SYSTEMD_LOG_LEVEL=debug", "SYSTEMD_LOG_TARGET=console"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("systemd-bless-boot: %w: %s", err, out)
	}
	return errors.Join(err, unix.Unmount(dir, 0))
}

func confirmIn(store remember.Store) error {
	s, err := store.Load()
	if err != nil {
		return err
	}
	return store.Save(s.Confirmed())
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
