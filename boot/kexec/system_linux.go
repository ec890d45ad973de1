package kexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/sysinfo"
)

// System is the running kernel.
type System struct{}

var _ Syscalls = System{}

// FileLoad implements [Syscalls].
func (System) FileLoad(kernel, initrd *os.File, cmdline string) error {
	if initrd == nil {
		return unix.KexecFileLoad(int(kernel.Fd()), 0, cmdline, unix.KEXEC_FILE_NO_INITRAMFS)
	}
	return unix.KexecFileLoad(int(kernel.Fd()), int(initrd.Fd()), cmdline, 0)
}

// kexecArch is the KEXEC_ARCH_* of the running kernel (linux/kexec.h): ELF's
// machine number in the upper half.
func kexecArch() uintptr {
	switch runtime.GOARCH {
	case "amd64":
		return 62 << 16
	case "arm64":
		return 183 << 16
	}
	return 0 // KEXEC_ARCH_DEFAULT
}

// kexecSegment is struct kexec_segment of linux/kexec.h.
type kexecSegment struct {
	buf   unsafe.Pointer
	bufsz uintptr
	mem   uintptr
	memsz uintptr
}

// Load implements [Syscalls].
func (System) Load(entry uint64, segments []Segment) error {
	raw := make([]kexecSegment, len(segments))
	for i, s := range segments {
		raw[i] = kexecSegment{unsafe.Pointer(unsafe.SliceData(s.Data)), uintptr(len(s.Data)), uintptr(s.Phys), uintptr(s.Size)}
	}
	return rawLoad(uintptr(entry), raw)
}

// Unload implements [Syscalls].
func (System) Unload() error {
	return unload(
		func() error { return rawLoad(0, nil) }, // no segments means to forget those loaded
		func() error { return unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD) })
}

// unload forgets what is loaded by the first call that the kernel lets pass: a
// kernel may lack kexec_load, and one that is locked down refuses it, also for
// this.
func unload(load, fileLoad func() error) error {
	err := load()
	if (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM)) && fileLoad() == nil {
		return nil
	}
	return err
}

func rawLoad(entry uintptr, raw []kexecSegment) error {
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, entry, uintptr(len(raw)),
		uintptr(unsafe.Pointer(unsafe.SliceData(raw))), kexecArch(), 0, 0)
	runtime.KeepAlive(raw)
	if errno != 0 {
		return errno
	}
	return nil
}

// Reboot implements [Syscalls].
func (System) Reboot() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC) }

// now returns this moment.
func now() moment {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return moment{sysinfo.Counter(), uint64(t.Nano())}
}

// random returns n random bytes; nil when the kernel has none yet.
func random(n int) []byte {
	b := make([]byte, n)
	if got, err := unix.Getrandom(b, unix.GRND_NONBLOCK); err != nil || got != n {
		return nil
	}
	return b
}

// memfile returns an unnamed file in memory. The kernel's name for it has a limit, and
// is the same for all.
func memfile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("alpboot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal has the kernel refuse to change a file of memfile from now on.
func seal(f *os.File) error {
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, all); err != nil {
		return fmt.Errorf("sealing a copy in memory: %w", err)
	}
	return nil
}

// mapFile maps size bytes of f at off, a multiple of the page size.
func mapFile(f *os.File, off, size int64) (b []byte, unmap func(), err error) {
	b, err = unix.Mmap(int(f.Fd()), off, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, func() { unix.Munmap(b) }, nil
}
