package device

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LoopDevice is a read-only block device over a part of a file. The kernel
// takes it down when it is closed and no longer mounted, also when this
// process dies.
type LoopDevice struct {
	Path string // /dev/loop3
	node *os.File
}

// Close returns the loop device back; a filesystem mounted from it keeps it
// until that is closed too.
func (l *LoopDevice) Close() error { return l.node.Close() }

// Loop makes size bytes of the file or block device image, from offset on,
// readable as a block device; size 0 means up to the end. Offset and size are
// multiples of 512. Nothing can be written through it.
func Loop(image string, offset, size int64) (*LoopDevice, error) {
	if offset < 0 || size < 0 || offset%512 != 0 || size%512 != 0 && size != 0 {
		return nil, &Error{"loop device over ", image, fmt.Sprintf(": offset %d and size %d are not in sectors", offset, size), nil}
	}
	back, err := os.OpenFile(image, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{"loop device over ", image, "", reason(err)}
	}
	defer back.Close() // the kernel holds its own reference
	return loop(back, image, offset, size)
}

// LoopFile makes an open image file readable as a block device, as [Loop] does.
// The file may be closed then.
func LoopFile(image *os.File) (*LoopDevice, error) { return loop(image, image.Name(), 0, 0) }

func loop(back *os.File, image string, offset, size int64) (*LoopDevice, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, &Error{"loop device over ", image, ": opening /dev/loop-control", reason(err)}
	}
	defer ctl.Close()

	info := unix.LoopInfo64{
		Offset:    uint64(offset),
		Sizelimit: uint64(size),
		Flags:     unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR,
	}
	copy(info.File_name[:len(info.File_name)-1], image)
	// Another process can take the free device between the two calls.
	const tries = 32
	for range tries {
		number, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, &Error{"loop device over ", image, ": asking for a free one", err}
		}
		path := fmt.Sprintf("/dev/loop%d", number)
		node, err := os.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			return nil, &Error{"loop device over ", image, ": opening " + path, reason(err)}
		}
		cerr := control(back, func(fd int) { err = configureLoop(int(node.Fd()), fd, info) })
		err = errors.Join(cerr, err)
		if err == nil {
			return &LoopDevice{Path: path, node: node}, nil
		}
		node.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, &Error{"loop device over ", image, ": setting up " + path, err}
		}
	}
	return nil, &Error{"loop device over ", image, ": other programs took every free one", unix.EBUSY}
}

// configureLoop ties the loop device loop to the file back.
func configureLoop(loop, back int, info unix.LoopInfo64) error {
	err := unix.IoctlLoopConfigure(loop, &unix.LoopConfig{Fd: uint32(back), Info: info})
	if err != unix.EINVAL && err != unix.ENOTTY {
		return err
	}
	// Before Linux 5.8. The device is read-only because back is.
	if err := unix.IoctlSetInt(loop, unix.LOOP_SET_FD, back); err != nil {
		return err
	}
	for range 64 {
		err = unix.IoctlLoopSetStatus64(loop, &info)
		if err != unix.EAGAIN { // the page cache is being written back
			break
		}
	}
	if err != nil {
		_, _ = unix.IoctlRetInt(loop, unix.LOOP_CLR_FD)
	}
	return err
}
