package device

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is a block device or an image file, open for reading.
type File struct {
	*os.File
	Size int64 // bytes
}

// Open opens a block device or a regular file for probing. It asks neither for
// a medium nor for a tray to close: an optical drive without a medium returns an
// error at once that wraps unix.ENOMEDIUM. Anything else than a block device
// or a regular file is refused.
func Open(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &Error{"opening ", name, "", reason(err)}
	}
	size, err := sizeOf(f)
	if err != nil {
		f.Close()
		return nil, &Error{"opening ", name, "", err}
	}
	return &File{File: f, Size: size}, nil
}

// Prefetch asks the kernel to read the n bytes at off in one go, as pieces of
// them are going to be read. It waits for nothing.
func (f *File) Prefetch(off, n int64) {
	// That it could not is seen when they are read.
	_ = control(f.File, func(fd int) { _ = unix.Fadvise(fd, off, n, unix.FADV_WILLNEED) })
}

func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Mode().IsRegular() {
		return st.Size(), nil
	}
	if st.Mode()&fs.ModeType != fs.ModeDevice {
		return 0, errors.New("it is neither a block device nor a regular file")
	}
	if err := checkMedium(f, st); err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekEnd) // the device's size in bytes, as BLKGETSIZE64
	if err != nil {
		return 0, reason(err)
	}
	if size == 0 {
		return 0, unix.ENOMEDIUM
	}
	return size, nil
}

// checkMedium asks an optical drive whether it holds a disc. Opened with
// O_NONBLOCK, an empty one would only fail when it is read, and after
// seconds; opened without, it might pull its tray in.
func checkMedium(f *os.File, st fs.FileInfo) error {
	const (
		scsiCDROM        = 11     // major number, Documentation/admin-guide/devices.txt
		cdromDriveStatus = 0x5326 // CDROM_DRIVE_STATUS, include/uapi/linux/cdrom.h
		slotCurrent      = 1<<31 - 1
		noDisc           = 1
		trayOpen         = 2
	)
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || unix.Major(uint64(sys.Rdev)) != scsiCDROM {
		return nil
	}
	var status uintptr
	var errno unix.Errno
	err := control(f, func(fd int) {
		status, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), cdromDriveStatus, slotCurrent)
	})
	if err != nil {
		return err
	}
	if errno == 0 && (status == noDisc || status == trayOpen) {
		return unix.ENOMEDIUM
	}
	return nil // a drive that does not know is asked by reading
}

// control runs do with the descriptor of f, which stays open meanwhile even
// when another goroutine closes f.
func control(f *os.File, do func(fd int)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { do(int(fd)) })
}

// reason takes the path and the operation off an error of package os, for
// sentences that name the device themselves.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
