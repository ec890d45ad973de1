package keymap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Console is the keyboard table of the kernel, reached through a virtual
// console. All virtual consoles share it. Changing it needs CAP_SYS_TTY_CONFIG.
type Console struct{ tty *os.File }

// Calls of linux/kd.h.
const (
	kdgkbent = 0x4b46
	kdskbent = 0x4b47
)

// Open opens the table through a virtual console, /dev/tty1.
func Open(device string) (*Console, error) {
	tty, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("this machine has no screen and keyboard of its own: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return &Console{tty}, nil
}

// Close closes the console. The layout stays.
func (c *Console) Close() error { return c.tty.Close() }

// kbentry is struct kbentry of linux/kd.h.
type kbentry struct {
	table, index uint8
	value        uint16
}

// Entry implements [Keyboard].
func (c *Console) Entry(table, key uint8) (uint16, error) {
	e := kbentry{table: table, index: key}
	err := c.ioctl(kdgkbent, &e)
	return e.value, err
}

// SetEntry implements [Keyboard].
func (c *Console) SetEntry(table, key uint8, value uint16) error {
	return c.ioctl(kdskbent, &kbentry{table, key, value})
}

func (c *Console) ioctl(call uintptr, e *kbentry) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.tty.Fd(), call, uintptr(unsafe.Pointer(e)))
	runtime.KeepAlive(c.tty)
	if errno != 0 {
		return errno
	}
	return nil
}
