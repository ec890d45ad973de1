package pointer

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is a file of /dev/input.
type device struct{ *os.File }

// Open opens the device file at a path. Reading waits for events until it is closed or
// the device is gone.
func Open(name string) (Device, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return device{f}, nil
}

// Axis implements [Device].
func (d device) Axis(code uint16) (value, least, most int32, err error) {
	c, err := d.SyscallConn()
	if err != nil {
		return 0, 0, 0, err
	}
	var b [24]byte
	cerr := c.Control(func(fd uintptr) {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(ioctl(code)), uintptr(unsafe.Pointer(&b))); errno != 0 {
			err = errno
		}
	})
	value, least, most = parseAxis(b)
	return value, least, most, errors.Join(cerr, err)
}
