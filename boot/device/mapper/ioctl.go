package mapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands and flags of include/uapi/linux/dm-ioctl.h.
const (
	devCreate    = 3
	devRemove    = 4
	devSuspend   = 6
	tableLoad    = 9
	listVersions = 13

	readOnlyFlag       = 1 << 0
	bufferFullFlag     = 1 << 8
	secureDataFlag     = 1 << 15
	deferredRemoveFlag = 1 << 17
)

// leaveAlone is what udev's rules of device-mapper and LVM find in the uevents
// of a mapping, as DM_COOKIE: the flags of libdevmapper that switch off the rules
// of device-mapper (which would link to it from /dev/mapper), of its subsystem,
// of disks (which would read it) and all others, shifted as in that library.
// There is no cookie beside them, as nobody waits.
const leaveAlone = (disableDMRules | disableSubsystemRules | disableDiskRules | disableOtherRules | primarySource) << 16

const (
	disableDMRules        = 1 << 0
	disableSubsystemRules = 1 << 1
	disableDiskRules      = 1 << 2
	disableOtherRules     = 1 << 3
	primarySource         = 1 << 6
)

// Layout of struct dm_ioctl, the same for all processors, and of struct
// dm_target_spec.
const (
	headerSize = 312
	specSize   = 40

	offDataSize  = 12
	offDataStart = 16
	offTargets   = 20
	offFlags     = 28
	offEvent     = 32
	offDev       = 40
	offName      = 48
	offUUID      = 176
)

// request is what goes to the kernel.
type request struct {
	name, uuid string
	flags      uint32
	event      uint32
	targets    int
	data       []byte // behind the header
	room       int    // bytes for the answer behind the header, if more than data
}

// reply is what comes back.
type reply struct {
	name  string
	dev   uint64
	flags uint32
	data  []byte // behind the header
}

// encode writes the targets of a table.
func encode(t Table) []byte {
	size := 0
	for _, target := range t {
		size += targetSize(target)
	}
	b := make([]byte, 0, size) // grown, it would leave a copy of a key behind
	for _, target := range t {
		at, next := len(b), targetSize(target)
		b = binary.NativeEndian.AppendUint64(b, target.Start)
		b = binary.NativeEndian.AppendUint64(b, target.Length)
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = binary.NativeEndian.AppendUint32(b, uint32(next))
		b = b[:at+next]
		copy(b[at+24:at+specSize], target.Type)
		copy(b[at+specSize:], target.Params)
	}
	return b
}

// targetSize is the length of a target with its parameters, a NUL, and what
// aligns the next one.
func targetSize(t Target) int { return (specSize + len(t.Params) + 1 + 7) &^ 7 }

// encode writes a request as the kernel takes it.
func (r request) encode() []byte {
	b := make([]byte, headerSize+max(len(r.data), r.room))
	ne := binary.NativeEndian
	ne.PutUint32(b, 4) // major version; the minor ones stay 0, which all kernels take
	ne.PutUint32(b[offDataSize:], uint32(len(b)))
	ne.PutUint32(b[offDataStart:], headerSize)
	ne.PutUint32(b[offTargets:], uint32(r.targets))
	ne.PutUint32(b[offFlags:], r.flags)
	ne.PutUint32(b[offEvent:], r.event)
	copy(b[offName:offName+maxName], r.name)
	copy(b[offUUID:offUUID+maxUUID], r.uuid)
	copy(b[headerSize:], r.data)
	return b
}

// control is the open control node of device-mapper.
type control struct{ *os.File }

// errNone is what open returns where device-mapper is not in the kernel.
var errNone = errors.New("this kernel has no device-mapper (driver dm-mod)")

func open() (control, error) {
	f, err := os.OpenFile(directory+"/control", os.O_RDWR, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return control{}, fmt.Errorf("%w: %w", errNone, bare(err))
	case err != nil:
		return control{}, fmt.Errorf("opening %s/control: %w", directory, reason(bare(err)))
	}
	return control{f}, nil
}

// do sends a request. Its error is a plain errno.
func (c control) do(command uintptr, r request) (reply, error) {
	const write, read = 1, 2
	number := (read|write)<<30 | headerSize<<16 | 0xfd<<8 | command
	for try := 0; ; try++ {
		b := r.encode()
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, c.Fd(), number, uintptr(unsafe.Pointer(&b[0])))
		if errno == unix.EINTR && try < 16 {
			clear(b)
			continue
		}
		if errno != 0 {
			clear(b)
			return reply{}, errno
		}
		if r.flags&secureDataFlag != 0 {
			clear(b[headerSize:])
		}
		return decode(b), nil
	}
}

func decode(b []byte) reply {
	ne := binary.NativeEndian
	name, _, _ := bytes.Cut(b[offName:offName+maxName+1], []byte{0})
	start := min(int(ne.Uint32(b[offDataStart:])), len(b))
	return reply{name: string(name), dev: ne.Uint64(b[offDev:]), flags: ne.Uint32(b[offFlags:]), data: b[start:]}
}

// targetTypes lists the types of targets that the kernel has loaded.
func (c control) targetTypes() ([]string, error) {
	r, err := c.do(listVersions, request{room: 16 << 10})
	if err != nil {
		return nil, err
	}
	if r.flags&bufferFullFlag != 0 {
		return nil, unix.ENOSPC
	}
	return decodeTypes(r.data), nil
}

// decodeTypes reads a list of struct dm_target_versions.
func decodeTypes(b []byte) []string {
	const nameOffset = 16
	var types []string
	for len(b) > nameOffset {
		name, _, _ := bytes.Cut(b[nameOffset:], []byte{0})
		types = append(types, string(name))
		next := binary.NativeEndian.Uint32(b)
		if next < nameOffset || uint64(next) > uint64(len(b)) {
			break
		}
		b = b[next:]
	}
	return types
}

// loadError returns why a table could not be loaded.
func (c control) loadError(err error, t Table) error {
	switch err {
	case unix.EINVAL:
		have, lerr := c.targetTypes()
		for _, target := range t {
			if lerr == nil && !slices.Contains(have, target.Type) {
				return fmt.Errorf("this kernel has no mapping of the type %s (driver %s): %w", target.Type, driver(target.Type), err)
			}
		}
		return fmt.Errorf("the kernel does not take its table, perhaps because a device under it is too small; see the kernel's messages: %w", err)
	case unix.EBUSY:
		return fmt.Errorf("a device under it is in use, mounted or part of an array: %w", err)
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		for _, target := range t {
			if target.Type == "crypt" { // which does so for its cipher, too
				return fmt.Errorf("the device under it is gone, or the kernel has not got its cipher: %w", err)
			}
		}
		return fmt.Errorf("a device under it is gone: %w", err)
	}
	return fmt.Errorf("loading its table: %w", reason(err))
}

// reason adds to an errno what it means here.
func reason(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("not allowed (are you root?): %w", err)
	}
	return err
}

// bare takes the path and the operation off an error of package os.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
