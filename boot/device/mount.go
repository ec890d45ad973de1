package device

import (
	"context"
	"errors"
	"os"
	"strings"
	"unsafe"

	"github.com/alpboot/alpboot/boot/device/superblock"
	"golang.org/x/sys/unix"
)

// Mounter mounts filesystems where no path leads to them: a mount is reachable
// by its Root alone, and is gone when that is closed or when the process dies.
// All are read-only but those of [Mounter.Write].
type Mounter struct {
	// BlockReadOnly makes the kernel take a block device for read-only until its
	// Root is closed (BLKROSET). It is for a boot loader, which is alone with
	// its disks. Where it is not set, as on a running host, and for an image
	// file, a read-only loop device is between.
	BlockReadOnly bool

	// Need is called with the name of the driver before it is used (ext4, loop),
	// to load its module if it is one; nil when there are no modules. It is also
	// called with those that a driver asks the kernel for by itself (nls_utf8),
	// where an error only means that the driver must do without.
	Need func(driver string) error
}

// driver is how a filesystem is mounted.
type driver struct {
	name string

	// options are sets of mount options, tried in turn while the kernel answers
	// EINVAL: what it takes depends on its version and on its character sets.
	options [][]string

	// helpers are modules that it uses when they are there, and that no
	// modules.dep lists.
	helpers []string
}

// driverFor returns the driver for a type of superblock.
func driverFor(fstype string) (driver, bool) {
	switch fstype {
	case superblock.Ext2, superblock.Ext3, superblock.Ext4:
		return driver{
			name: superblock.Ext4,
			// The superblock could ask for a panic.
			options: [][]string{{"noload", "errors=continue"}},
			helpers: []string{"crc32c_generic"}, // until Linux 6.14
		}, true
	case superblock.XFS:
		return driver{
			name: superblock.XFS,
			// nouuid: a copy of a disk can be read beside the original.
			options: [][]string{{"norecovery", "nouuid"}},
			helpers: []string{"crc32c_generic"},
		}, true
	case superblock.Btrfs:
		return driver{
			name: superblock.Btrfs,
			// subvolid=5: the whole tree, whatever the default subvolume is.
			options: [][]string{
				{"rescue=nologreplay", "subvolid=5"},
				{"nologreplay", "subvolid=5"}, // before Linux 5.9
			},
			helpers: []string{"crc32c_generic"},
		}, true
	case superblock.F2FS:
		return driver{
			name:    superblock.F2FS,
			options: [][]string{{"norecovery"}},
			helpers: []string{"crc32_generic"},
		}, true
	case superblock.VFAT:
		return driver{
			name: superblock.VFAT,
			// utf8 wants a second character set all the same, and the one that the
			// kernel takes by default may be missing.
			options: [][]string{{"utf8"}, {"utf8", "iocharset=ascii"}, {"iocharset=utf8"}, {}},
			helpers: []string{"nls_cp437", "nls_ascii", "nls_utf8"},
		}, true
	case superblock.ExFAT, superblock.ISO9660:
		return driver{
			name:    fstype,
			options: [][]string{{"iocharset=utf8"}, {}},
			helpers: []string{"nls_utf8"},
		}, true
	case superblock.Squashfs, superblock.EROFS:
		return driver{name: fstype, options: [][]string{{}}}, true
	}
	return driver{}, false
}

// Mount mounts the filesystem sb on the device at path, without replaying its
// journal. Errors are sentences that name the device and what can be done.
//
// It blocks as long as the device does. It takes no lock, and returns the mount
// back when ctx has ended meanwhile, so that a caller need not wait for it.
func (m *Mounter) Mount(ctx context.Context, path string, sb superblock.Superblock) (*Root, error) {
	drv, ok := driverFor(sb.Type)
	if !ok {
		return nil, &Error{"", path, " holds " + superblock.Name(sb.Type) + ", which alpboot cannot read", nil}
	}
	if err := m.need(drv.name); err != nil {
		return nil, &Error{"loading the driver for " + drv.name + ", needed by ", path, "", err}
	}
	for _, helper := range drv.helpers {
		_ = m.need(helper)
	}
	source, release, err := m.readOnly(path)
	if err != nil {
		return nil, err
	}
	var dir *os.File
	if drv.name == superblock.Btrfs && source == path && !ScanBtrfs(path) {
		release()
		return nil, mountError(unix.ENOENT, path, sb.Type)
	}
	for _, options := range drv.options {
		if err = ctx.Err(); err != nil {
			break
		}
		dir, err = mountDetached(drv.name, source, unix.MOUNT_ATTR_RDONLY, append([]string{"ro"}, options...))
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err == nil && ctx.Err() != nil {
		dir.Close()
		err = ctx.Err()
	}
	if err != nil {
		release()
		return nil, mountError(err, path, sb.Type)
	}
	return &Root{dir: dir, release: release}, nil
}

func (m *Mounter) need(driver string) error {
	if m.Need == nil {
		return nil
	}
	return m.Need(driver)
}

// readOnly returns a block device with the bytes of path that the kernel does
// not write to, and a function that undoes what was done for it.
func (m *Mounter) readOnly(path string) (source string, release func(), err error) {
	dev, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, &Error{"opening ", path, "", reason(err)}
	}
	fd := int(dev.Fd())
	readOnly, err := unix.IoctlGetInt(fd, unix.BLKROGET)
	block := err == nil
	switch {
	case block && readOnly != 0: // as a loop device over an image, or an optical disc
		return path, func() { dev.Close() }, nil
	case block && m.BlockReadOnly:
		if err := unix.IoctlSetPointerInt(fd, unix.BLKROSET, 1); err != nil {
			dev.Close()
			return "", nil, &Error{"making ", path, " read-only", err}
		}
		return path, func() {
			_ = unix.IoctlSetPointerInt(fd, unix.BLKROSET, 0)
			dev.Close()
		}, nil
	}
	dev.Close()
	if err := m.need("loop"); err != nil {
		return "", nil, &Error{"loading the loop driver, without which ", path, " would not be safe from writes", err}
	}
	loop, err := Loop(path, 0, 0)
	if err != nil {
		return "", nil, err
	}
	return loop.Path, func() { loop.Close() }, nil
}

// ScanBtrfs shows a device to the btrfs driver, and reports whether the driver now
// knows all devices of its filesystem. A mount of one too few would make it
// forget them again. In doubt the answer is yes, and the mount fails.
func ScanBtrfs(path string) bool {
	const devicesReady = 0x90009427 // BTRFS_IOC_DEVICES_READY, include/uapi/linux/btrfs.h
	var args struct {
		fd   int64
		name [4088]byte
	}
	if len(path) >= len(args.name) {
		return true
	}
	copy(args.name[:], path)
	ctl, err := os.OpenFile("/dev/btrfs-control", os.O_RDONLY, 0)
	if err != nil {
		return true
	}
	defer ctl.Close()
	missing, _, errno := unix.Syscall(unix.SYS_IOCTL, ctl.Fd(), devicesReady, uintptr(unsafe.Pointer(&args)))
	return errno != 0 || missing == 0
}

// mountDetached mounts source and returns the root directory of the mount, which has
// no mount point (fsopen(2), fsmount(2)). Attributes are further ones of the
// mount.
func mountDetached(fstype, source string, attributes int, options []string) (*os.File, error) {
	fsfd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, &mountStepError{"fsopen", err, ""}
	}
	defer unix.Close(fsfd)
	fail := func(step string, err error) error {
		return &mountStepError{step, err, fsLog(fsfd)}
	}
	if err := unix.FsconfigSetString(fsfd, "source", source); err != nil {
		return nil, fail("source", err)
	}
	for _, option := range options {
		key, value, hasValue := strings.Cut(option, "=")
		if hasValue {
			err = unix.FsconfigSetString(fsfd, key, value)
		} else {
			err = unix.FsconfigSetFlag(fsfd, key)
		}
		if err != nil {
			return nil, fail("option "+option, err)
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, fail("mount", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC,
		attributes|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fail("fsmount", err)
	}
	return os.NewFile(uintptr(fd), source), nil
}

// mountStepError is a failed step of a mount, with the kernel's message.
type mountStepError struct {
	step string
	err  error
	log  string
}

func (e *mountStepError) Error() string {
	if e.log == "" {
		return e.step + ": " + e.err.Error()
	}
	return e.step + ": " + e.err.Error() + " (" + e.log + ")"
}

func (e *mountStepError) Unwrap() error { return e.err }

// fsLog reads the messages that the kernel left for a filesystem context. Each
// is a letter for its severity, a space and text.
func fsLog(fsfd int) string {
	var messages []string
	buf := make([]byte, 4096)
	for range 16 {
		n, err := unix.Read(fsfd, buf)
		if err != nil || n < 3 { // ENODATA: that was all
			break
		}
		messages = append(messages, strings.TrimSpace(string(buf[2:n])))
	}
	return strings.Join(messages, "; ")
}

// mountError makes a sentence of a failed mount.
func mountError(err error, path, fstype string) error {
	var step *mountStepError
	opening := errors.As(err, &step) && step.step == "fsopen"
	var why string
	switch {
	case opening && errors.Is(err, unix.ENODEV):
		return &Error{"this kernel has no support for " + fstype + ", needed by ", path, "", unix.ENODEV}
	case opening && errors.Is(err, unix.ENOSYS):
		return &Error{"this kernel is older than 5.2 and cannot mount ", path, "", unix.ENOSYS}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		why = "given up"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		why = "not allowed (are you root?)"
	case errors.Is(err, unix.EBUSY):
		why = "it is in use, mounted for writing or part of an array"
	case errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EBADMSG):
		why = "the " + fstype + " filesystem is damaged; check it with fsck from a running system"
	case errors.Is(err, unix.EINVAL):
		why = "the kernel does not accept its " + fstype + " superblock or a feature it names"
	case errors.Is(err, unix.ENOENT) && fstype == superblock.Btrfs:
		why = "it spans several devices, and not all of them are there"
	case errors.Is(err, unix.EEXIST):
		why = "a filesystem with its UUID is mounted already"
	case errors.Is(err, unix.EIO):
		why = "the device cannot be read"
	case errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		why = "the device or its medium is gone"
	default:
		why = "as " + fstype
	}
	return &Error{"mounting ", path, " failed: " + why, err}
}
