package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// handOver leaves the machine as the next kernel, or the firmware, wants it:
// everything written, nothing mounted that somebody has mounted in a shell, no
// network card that still writes to memory, and no watchdog running. What is in
// the way of that is logged and left: there is nobody to ask.
func handOver(log *slog.Logger) {
	unix.Sync()
	for _, m := range slices.Backward(mountinfo.Read(os.DirFS("/"))) {
		if m.Point == "/" || !m.OnDisk() {
			continue
		}
		err := unix.Unmount(m.Point, unix.UMOUNT_NOFOLLOW)
		if err != nil { // busy: then what is on the disk must at least be whole
			err = unix.Mount("", m.Point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		if err != nil {
			log.Warn("a filesystem stays mounted", "on", m.Point, "error", err)
		}
	}
	if err := networkDown(); err != nil {
		log.Warn("a network card stays up", "error", err)
	}
	stopWatchdogs(os.DirFS("/"), openWatchdog, log)
	unix.Sync()
}

// openWatchdog opens a watchdog of this machine, which starts it.
func openWatchdog(name string) (watchdog.Running, error) {
	w, err := watchdog.Open("/dev/" + name)
	if err != nil {
		return nil, err // and no typed nil
	}
	return w, nil
}

// unstoppable is how many seconds a watchdog leaves the next kernel if it cannot
// be stopped.
const unstoppable = 300

// stopWatchdogs stops what the firmware may have started, as the kernel would if
// its parameters did not forbid it: they would reset a system that knows nothing of
// them.
func stopWatchdogs(root fs.FS, open func(name string) (watchdog.Running, error), log *slog.Logger) {
	if !watchdog.Survives(root) {
		return
	}
	for _, d := range watchdog.List(root) {
		if d.NoWayOut || d.Active { // opening would start it for good, or somebody has it
			continue
		}
		w, err := open(d.Name)
		if err == nil {
			if err = w.Stop(); err != nil {
				watchdog.Arm(w, unstoppable)
			}
		}
		if err != nil {
			log.Warn("a watchdog may run on", "driver", d.Driver, "error", err)
		}
	}
}

// networkDown takes all network cards down.
func networkDown() error {
	cards, _ := os.ReadDir("/sys/class/net")
	if len(cards) == 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var errs []error
	for _, c := range cards {
		req, err := unix.NewIfreq(c.Name())
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req)
		}
		if err == nil && req.Uint16()&unix.IFF_UP != 0 {
			req.SetUint16(req.Uint16() &^ unix.IFF_UP)
			err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name(), err))
		}
	}
	return errors.Join(errs...)
}
