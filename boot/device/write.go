package device

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/device/superblock"
	"golang.org/x/sys/unix"
)

// Write mounts the filesystem sb on the block device at path for writing, calls
// do with its root, waits until all is on the disk and unmounts it again: for
// what a user has asked to be written, such as a log. The kernel replays the
// journal first. It must not be mounted already. The error is that of do, or a
// sentence that names the device.
func (m *Mounter) Write(path string, sb superblock.Superblock, do func(root *os.Root) error) error {
	drv, ok := driverFor(sb.Type)
	if !ok {
		return fmt.Errorf("%s holds %s, which alpboot does not write to", path, sb.Type)
	}
	writing, ok := drv.writing()
	if !ok {
		return fmt.Errorf("%s holds %s, which is only ever read", path, sb.Type)
	}
	if err := m.need(drv.name); err != nil {
		return fmt.Errorf("loading the driver for %s, needed by %s: %w", drv.name, path, err)
	}
	for _, helper := range drv.helpers {
		_ = m.need(helper)
	}
	var dir *os.File
	var err error
	for _, options := range writing {
		dir, err = mountQuiet(drv.name, path, options)
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s can only be read: %w", path, err)
	case err != nil:
		return mountError(err, path, sb.Type)
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s can only be read: its filesystem must be checked first", path)
	}
	// The one way to a root that cannot be left, and that files are made in.
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer root.Close()
	if err := do(root); err != nil {
		return err
	}
	top, err := root.Open(".")
	if err == nil {
		err = unix.Syncfs(int(top.Fd()))
		top.Close()
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", path, err)
	}
	return nil
}

// writing returns the sets of options of a mount for writing; false for a
// filesystem that cannot be written to.
func (d driver) writing() ([][]string, bool) {
	var sets [][]string
	switch d.name {
	case superblock.Squashfs, superblock.EROFS, superblock.ISO9660:
		return nil, false
	case superblock.Ext4:
		return [][]string{{"errors=remount-ro"}}, true
	}
	for _, options := range d.options {
		options = slices.DeleteFunc(slices.Clone(options), func(o string) bool {
			return o == "norecovery" || strings.HasSuffix(o, "nologreplay")
		})
		if d.name == superblock.VFAT {
			// A file that is renamed must have its new name on the disk before it
			// loses the old one: no journal would bring it back.
			options = append(options, "dirsync")
		}
		sets = append(sets, options)
	}
	return sets, true
}

// mountQuiet mounts for writing. A filesystem that was mounted until now may be
// busy for a moment still.
func mountQuiet(fstype, source string, options []string) (dir *os.File, err error) {
	for range 20 {
		dir, err = mountDetached(fstype, source, 0, options)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return dir, err
}
