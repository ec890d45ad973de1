// Package watchdog is about the machine's watchdogs: timers of the hardware that
// reset the machine unless somebody feeds them.
//
// What there is to know of them comes from sysfs: opening a watchdog starts it.
// The calls are described in Documentation/watchdog/watchdog-api.rst of Linux.
package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is a watchdog of the machine.
type Device struct {
	Name     string // of its node in /dev
	Driver   string // the module that drives it; "" when that is not known
	Identity string // what its driver calls it
	Active   bool   // somebody opened it, and it runs
	NoWayOut bool   // once started it cannot be stopped
	Last     Cause
}

// Cause is what a watchdog knows of how the machine was restarted last: the bits
// WDIOF_* of linux/watchdog.h. Zero is nothing, which some drivers know at best.
type Cause uint32

// The causes that drivers report.
const (
	Overheat Cause = unix.WDIOF_OVERHEAT
	Fan      Cause = unix.WDIOF_FANFAULT
	Power    Cause = unix.WDIOF_POWERUNDER
	Reset    Cause = unix.WDIOF_CARDRESET // the watchdog has reset the machine
)

// String returns what happened, to follow the name of the watchdog; "" when
// nothing is known.
func (c Cause) String() string {
	switch {
	case c&Reset != 0:
		return "reset the machine"
	case c&Overheat != 0:
		return "reports that the machine became too hot"
	case c&Fan != 0:
		return "reports that a fan failed"
	case c&Power != 0:
		return "reports that the voltage was too low"
	}
	return ""
}

// drivers are the modules of those watchdogs that the menu's own kernel drives, by
// what they call themselves: without modules, sysfs does not name the module.
var drivers = map[string]string{
	"iTCO_wdt":              "iTCO_wdt",
	"wdat_wdt":              "wdat_wdt",
	"SP5100 TCO timer":      "sp5100_tco",
	"i6300ESB timer":        "i6300esb",
	"SBSA Generic Watchdog": "sbsa_gwdt",
}

const class = "sys/class/watchdog"

// List returns the watchdogs that the kernel drives, in the order of their
// numbers. Root is that of the running system; nothing is started by it.
func List(root fs.FS) []Device {
	var list []Device
	for n := range 8 {
		name := fmt.Sprintf("watchdog%d", n)
		dir := path.Join(class, name)
		if _, err := fs.Stat(root, dir); err != nil {
			continue
		}
		text := func(file string) string {
			b, _ := fs.ReadFile(root, path.Join(dir, file))
			return strings.TrimSpace(string(b))
		}
		d := Device{Name: name, Identity: text("identity"), Active: text("state") == "active", NoWayOut: text("nowayout") == "1"}
		bits, _ := strconv.ParseUint(text("bootstatus"), 0, 32)
		d.Last = Cause(bits)
		d.Driver = drivers[d.Identity]
		if link, err := fs.ReadLink(root, path.Join(dir, "device/driver/module")); err == nil {
			d.Driver = path.Base(link)
		}
		list = append(list, d)
	}
	return list
}

// Survives reports whether the kernel leaves its watchdogs running when it jumps
// to another one, as the parameter watchdog.stop_on_reboot=0 has it. Its drivers
// would stop them.
func Survives(root fs.FS) bool {
	b, err := fs.ReadFile(root, "sys/module/watchdog/parameters/stop_on_reboot")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// Running is a watchdog that is open and runs.
type Running interface {
	// SetTimeout sets how many seconds after it was fed it resets the machine, and
	// returns how many the hardware has made of it.
	SetTimeout(seconds int) (int, error)
	Feed() error
	// Stop stops and closes it. After an error it is open and runs.
	Stop() error
}

// least is the shortest timeout that leaves a kernel the time to start.
const least = 10

// Arm has a watchdog reset the machine when nobody feeds it within seconds, or the
// longest time below that which it takes, and returns how long that is.
func Arm(w Running, seconds int) (int, error) {
	var err error
	for t := seconds; t >= min(least, seconds); t /= 2 {
		var got int
		if got, err = w.SetTimeout(t); err == nil {
			return got, w.Feed()
		}
		if !errors.Is(err, unix.EINVAL) { // "out of range" is all that a shorter one mends
			break
		}
	}
	return 0, err
}

// File is the node of a watchdog, open: it runs. It implements [Running]. Left open
// or closed, it runs on.
type File struct{ f *os.File }

// Open opens the node of a watchdog, which starts it.
func Open(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	return &File{f}, nil
}

// SetTimeout implements [Running].
func (w *File) SetTimeout(seconds int) (int, error) {
	fd := int(w.f.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return 0, fmt.Errorf("setting the watchdog to %d seconds: %w", seconds, err)
	}
	got, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return 0, fmt.Errorf("reading the timeout of the watchdog: %w", err)
	}
	return got, nil
}

// Feed implements [Running].
func (w *File) Feed() error {
	if err := unix.IoctlWatchdogKeepalive(int(w.f.Fd())); err != nil {
		return fmt.Errorf("feeding the watchdog: %w", err)
	}
	return nil
}

// Stop implements [Running]. Closing the node would not report whether it worked.
func (w *File) Stop() error {
	if err := unix.IoctlSetPointerInt(int(w.f.Fd()), unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD); err != nil {
		return fmt.Errorf("stopping the watchdog: %w", err)
	}
	// What closes without the letter V is taken for a program that died.
	w.f.WriteString("V")
	return w.f.Close()
}
