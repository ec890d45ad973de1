package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Event is a message of the kernel about a device (a "uevent").
type Event struct {
	Action    string // add, change, remove, bind, ...
	DevPath   string // below /sys: /devices/pci0000:00/...
	Subsystem string // block, tty, usb, ...
	DevType   string // disk, partition, ...
	DevName   string // node below /dev, without it: sda1
	Modalias  string // what modules.alias is to be searched for; "" when there is a driver already or none is needed

	MediaChange  bool // a medium was put into or taken out of the drive DevName
	EjectRequest bool // somebody pressed its button while it was in use

	// Lost is set, and all else empty, when messages did not fit the socket's
	// buffer: list the devices again.
	Lost bool
}

// Events returns the messages of the kernel from now on, until ctx ends: then
// the channel is closed. Messages that other processes send are left out.
func Events(ctx context.Context) (<-chan Event, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listening for devices: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "uevents") // non-blocking: Close ends a read
	const buffer = 4 << 20                       // a hub full of disks; the default holds some hundred messages
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) // unprivileged: as much as allowed
	}
	const kernelGroup = 1 // 2 is what udev sends on
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		socket.Close()
		return nil, fmt.Errorf("listening for devices: %w", err)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("listening for devices: %w", err)
	}
	events := make(chan Event, 64)
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	go func() {
		defer close(events)
		defer stop()
		defer socket.Close()
		buf := make([]byte, 16<<10) // a message holds 2 KiB of variables, UEVENT_BUFFER_SIZE
		for {
			var n int
			var from unix.Sockaddr
			var err error
			closed := raw.Read(func(fd uintptr) bool {
				n, from, err = unix.Recvfrom(int(fd), buf, 0)
				return err != unix.EAGAIN
			})
			var event Event
			switch {
			case closed != nil:
				return
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.ENOBUFS):
				event.Lost = true
			case err != nil:
				return
			default:
				sender, ok := from.(*unix.SockaddrNetlink)
				if !ok || sender.Pid != 0 {
					continue
				}
				if event, ok = parseEvent(buf[:n]); !ok {
					continue
				}
			}
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, nil
}

// parseEvent reads a message as lib/kobject_uevent.c sends it: ACTION@DEVPATH,
// then KEY=VALUE pairs, each with a NUL after it.
func parseEvent(msg []byte) (Event, bool) {
	head, pairs, ok := bytes.Cut(msg, []byte{0})
	if !ok {
		return Event{}, false
	}
	action, devpath, ok := bytes.Cut(head, []byte("@"))
	if !ok || len(action) == 0 || len(devpath) == 0 || devpath[0] != '/' {
		return Event{}, false
	}
	e := Event{Action: string(action), DevPath: string(devpath)}
	eachPair(pairs, 0, func(key, value string) {
		switch key {
		case "SUBSYSTEM":
			e.Subsystem = value
		case "DEVTYPE":
			e.DevType = value
		case "DEVNAME":
			e.DevName = value
		case "MODALIAS":
			e.Modalias = value
		case "DISK_MEDIA_CHANGE":
			e.MediaChange = value == "1"
		case "DISK_EJECT_REQUEST":
			e.EjectRequest = value == "1"
		}
	})
	return e, true
}
