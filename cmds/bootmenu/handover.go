package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device/mountinfo"
)

// handOver leaves the machine as the next kernel, or the firmware, wants it:
// everything written, nothing mounted that somebody has mounted in a shell, and
// no network card that still writes to memory. What is in the way of that is
// logged and left: there is nobody to ask.
func handOver(log *slog.Logger) {
	unix.Sync()
	b, _ := os.ReadFile("/" + mountinfo.Path)
	for _, m := range slices.Backward(mountinfo.Parse(string(b))) {
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
	unix.Sync()
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
