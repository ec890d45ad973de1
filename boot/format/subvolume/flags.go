package subvolume

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/btrfs.h.
const (
	getFlags = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS, _IOR(0x94, 25, __u64)
	readOnly = 1 << 1     // BTRFS_SUBVOL_RDONLY
)

// isReadOnly tells whether the subvolume dir has the flag. It is false when the
// filesystem gives no descriptor to ask by.
func (w *walk) isReadOnly(dir string) bool {
	f, err := w.fsys.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	opened, ok := f.(syscall.Conn)
	if !ok {
		return false
	}
	conn, err := opened.SyscallConn()
	if err != nil {
		return false
	}
	var flags uint64
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, getFlags, uintptr(unsafe.Pointer(&flags)))
	})
	return err == nil && errno == 0 && flags&readOnly != 0
}
