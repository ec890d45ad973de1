package reboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/kexec"
)

// JumpOptions are how to jump.
type JumpOptions struct {
	DryRun      bool // only print what would be done
	KeepNetwork bool // leave it up, as kexec-tools' -x
}

// How long the steps before the jump may take. A disk that is gone must not
// hold it up.
const (
	syncLimit  = 20 * time.Second
	mountLimit = 5 * time.Second // for one filesystem
)

// Jump jumps to what is loaded: what was written is on the disks, these are
// read-only or frozen, and the network is down. Should the jump fail, all of
// this is undone.
func (s *System) Jump(ctx context.Context, o JumpOptions) error {
	if !s.Loaded() {
		return errors.New("no kernel is loaded: kexec-reboot load loads one")
	}
	mounts := s.mounts()
	if o.DryRun {
		for _, m := range toSettle(mounts) {
			s.say("would make %s read-only", m.Point)
		}
		s.say("would jump to the loaded kernel")
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The terminal may go down with the network; there is no way back then.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)

	undo := []func(){s.forgetCounter()}
	if err := within(syncLimit, func() error { unix.Sync(); return nil }); err != nil {
		s.Warn("writing everything out: %v", err)
	}
	var busy []mountinfo.Mount
	for _, m := range toSettle(mounts) {
		if err := within(mountLimit, func() error { return remount(m, unix.MS_RDONLY) }); err != nil {
			busy = append(busy, m)
			continue
		}
		undo = append(undo, func() { remount(m, 0) }) // nothing can be done about a failure
	}
	if !o.KeepNetwork && !slices.ContainsFunc(mounts, func(m mountinfo.Mount) bool { return m.OnNetwork() && (m.Point == "/" || m.Point == "/usr") }) {
		undo = append(undo, s.networkDown())
	}
	// Files that are open for writing keep a filesystem writeable. Frozen, it
	// is whole on the disk all the same. Nothing can be written there any more:
	// also not by this program, so all is printed before.
	for _, m := range busy {
		s.say("%s is in use: it is frozen instead of read-only", m.Point)
	}
	for _, m := range busy {
		thaw, err := freeze(m.Point)
		if err != nil {
			continue // a filesystem that cannot be frozen was at least written out
		}
		undo = append(undo, thaw)
	}
	err := (&kexec.Loader{Kernel: s.Kernel, Root: s.Machine}).Exec()
	for _, f := range slices.Backward(undo) {
		f()
	}
	return err
}

// within runs f, and stops waiting for it after a limit.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("no answer within %v", limit)
	}
}

// toSettle returns the filesystems that can still be written to, each once, those
// that were mounted last first: an image before the disk that it is on.
func toSettle(mounts []mountinfo.Mount) []mountinfo.Mount {
	var list []mountinfo.Mount
	seen := map[string]bool{}
	for _, m := range slices.Backward(mounts) {
		if m.OnDisk() && !m.ReadOnly() && !seen[m.Device] {
			seen[m.Device] = true
			list = append(list, m)
		}
	}
	return list
}

// remount changes whether a filesystem may be written to.
func remount(m mountinfo.Mount, readOnly uintptr) error {
	return unix.Mount("", m.Point, "", unix.MS_REMOUNT|readOnly|flags(m), "")
}

// flags returns the options that belong to a mount, which a remount would
// forget.
func flags(m mountinfo.Mount) uintptr {
	var flags uintptr
	for _, o := range m.Options {
		flags |= map[string]uintptr{
			"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
			"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
		}[o]
	}
	return flags
}

// ioctls of include/uapi/linux/fs.h.
const (
	ioctlFreeze = 0xc0045877 // FIFREEZE
	ioctlThaw   = 0xc0045878 // FITHAW
)

// freeze writes a filesystem out with its journal and stops all writing to it.
func freeze(point string) (thaw func(), err error) {
	dir, err := os.OpenFile(point, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	err = within(mountLimit, func() error { return unix.IoctlSetInt(int(dir.Fd()), ioctlFreeze, 0) })
	if err != nil {
		dir.Close()
		return nil, err
	}
	return func() {
		unix.IoctlSetInt(int(dir.Fd()), ioctlThaw, 0)
		dir.Close()
	}, nil
}

// networkDown takes the network interfaces down, so that no card writes into
// memory that belongs to the next kernel. up brings them back.
func (s *System) networkDown() (up func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return func() {} // a kernel without a network
	}
	var down []*unix.Ifreq
	links, _ := os.ReadDir(s.path("/sys/class/net"))
	for _, l := range links {
		req, err := unix.NewIfreq(l.Name())
		if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req) != nil || req.Uint16()&(unix.IFF_UP|unix.IFF_LOOPBACK) != unix.IFF_UP {
			continue
		}
		req.SetUint16(req.Uint16() &^ unix.IFF_UP)
		if unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req) == nil {
			down = append(down, req)
		}
	}
	return func() {
		for _, req := range down {
			req.SetUint16(req.Uint16() | unix.IFF_UP)
			unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
		}
		unix.Close(fd)
	}
}
