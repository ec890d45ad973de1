package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/menu"
)

const (
	rebootRestart  = unix.LINUX_REBOOT_CMD_RESTART
	rebootPowerOff = unix.LINUX_REBOOT_CMD_POWER_OFF
)

// hasFirmwareSetup tells whether the firmware can be restarted into its setup.
func (s *session) hasFirmwareSetup() bool {
	return s.machine.vars != nil && !s.machine.varsReadOnly && efivar.HasSetup(s.machine.vars)
}

// firmwareSetup restarts the machine into the setup of its firmware.
func (s *session) firmwareSetup(ctx context.Context) {
	go func() {
		err := efivar.RequestSetup(s.machine.vars)
		s.later(ctx, func() {
			if err != nil {
				s.update(ctx, menu.ResultMsg{Text: fmt.Sprintf(wordNoSetup, err), Bad: true})
				return
			}
			s.leave(ctx, wordFirmware, rebootRestart)
		})
	}()
}

// ownImage finds a unified kernel image of alpboot with the kernel that is
// running, where mkpayload install puts it or where firmware looks without being
// told. Nil when there is none: then alpboot cannot be started anew.
func ownImage(root fs.FS, volumes boot.Volumes) *boot.Entry {
	b, _ := fs.ReadFile(root, "proc/sys/kernel/osrelease")
	running := strings.TrimSpace(string(b))
	if running == "" {
		return nil
	}
	for _, v := range volumes {
		if v.Volume.Type != "vfat" {
			continue // firmware starts from nothing else
		}
		for _, pattern := range []string{"EFI/alpboot/*", "EFI/BOOT/*", "EFI/Linux/*"} {
			names, _ := fs.Glob(v.FS, pattern)
			for _, name := range names {
				if !strings.EqualFold(path.Ext(name), ".efi") {
					continue
				}
				info, uki, err := kernel.Describe(v.FS, name)
				if err == nil && uki != nil && info.Version == running && isOwn(uki.OSRelease) {
					return &boot.Entry{Title: "alpboot", Volume: v.Volume, Kernel: name, UKI: true}
				}
			}
		}
	}
	return nil
}

// isOwn tells whether an os-release is that of alpboot's images.
func isOwn(osRelease string) bool {
	for line := range strings.Lines(osRelease) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(id, `"'`) == "alpboot"
		}
	}
	return false
}

// again starts alpboot anew, with the command line that it was started with.
func (s *session) again(ctx context.Context) {
	if s.self == nil {
		return
	}
	s.log.Info("starting alpboot anew", "image", s.self.Kernel, "on", s.self.Volume.Device)
	s.load(ctx, job{entry: *s.self, cmdline: cmdline.Parse(s.cmdline).WithoutLoader().String()})
}

// handOver leaves the machine as the next kernel, or the firmware, wants it:
// everything written, nothing mounted that somebody has mounted in a shell, and
// no network card that still writes to memory. What is in the way of that is
// logged and left: there is nobody to ask.
func handOver(log *slog.Logger) {
	unix.Sync()
	b, _ := os.ReadFile("/proc/self/mounts")
	for _, point := range mountPoints(string(b)) {
		err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		if err != nil { // busy: then what is on the disk must at least be whole
			err = unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		if err != nil {
			log.Warn("a filesystem stays mounted", "on", point, "error", err)
		}
	}
	if err := networkDown(); err != nil {
		log.Warn("a network card stays up", "error", err)
	}
	unix.Sync()
}

// mountPoints gives where block devices are mounted, the last mount first, from
// the text of /proc/self/mounts.
func mountPoints(mounts string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) >= 2 && strings.HasPrefix(f[0], "/dev/") && f[1] != "/" {
			points = append(points, unescape.Replace(f[1]))
		}
	}
	slices.Reverse(points)
	return points
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
