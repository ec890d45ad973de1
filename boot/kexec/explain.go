package kexec

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
)

// explained is an error of the kernel with a sentence on what to do.
// errors.Is and errors.As still see the errno.
type explained struct {
	call string
	hint string
	err  error
}

func (e *explained) Error() string { return fmt.Sprintf("%s (%s: %v)", e.hint, e.call, e.err) }
func (e *explained) Unwrap() error { return e.err }

// missing reports whether a call is not there at all.
func missing(err error) bool { return errors.Is(err, syscall.ENOSYS) }

// errNotSupported is ENOTSUPP of the kernel, which is not EOPNOTSUPP and was
// never meant to be seen outside.
const errNotSupported = syscall.Errno(524)

// otherMayDo reports whether the other system call may succeed where one failed
// with err. It is not asked where the answer would be the same (rights, another
// load, a disk that cannot be read), nor to get around a signature that is
// wrong, or is asked for by lockdown.
func otherMayDo(root fs.FS, err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		// Not the kernel's word, but that of this package: an image that it
		// cannot lay out, or a machine that does not show its memory map.
		return true
	}
	switch errno {
	case syscall.ENOSYS, syscall.EOPNOTSUPP, errNotSupported, // not there
		syscall.ENOEXEC, syscall.EINVAL, // kexec_file_load knows few formats, and a shorter command line
		syscall.ENOMEM, syscall.EADDRNOTAVAIL, // kexec_load needs less room
		syscall.ETXTBSY, syscall.EFBIG:
		return true
	case syscall.ENODATA, syscall.ENOKEY, syscall.ENOPKG, syscall.ELIBBAD:
		return !lockedDown(root)
	case syscall.EPERM:
		// Under lockdown kexec_file_load takes signed kernels, kexec_load none.
		var e *explained
		return errors.As(err, &e) && e.call == "kexec_load" && !Disabled(root)
	}
	return false
}

// explain turns the errno of a call into a sentence; nil stays nil. p is what
// was to be loaded, nil when it was nothing. The meanings are those of
// kernel/kexec.c, kernel/kexec_file.c and kernel/kexec_core.c, and of the
// signature checks that they call.
func (l *Loader) explain(call string, err error, p *plan, m Method) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	h := hint(l.Root, errno)
	switch {
	case call == "reboot" && errno == syscall.EINVAL:
		h = "no kernel is loaded that could be started"
	case p == nil:
	case errno == syscall.ENOMEM || errno == syscall.EINVAL || errno == syscall.EADDRNOTAVAIL:
		if s := shortOfMemory(l.Root, errno, p, m); s != "" {
			h = s
		}
	case errno == syscall.EFAULT: // the files are mapped memory
		h = "the kernel or initrd could not be read from its disk"
	}
	return &explained{call: call, hint: h, err: errno}
}

func hint(root fs.FS, errno syscall.Errno) string {
	switch errno {
	case syscall.ENOSYS:
		return "the running kernel was built without this call: it takes one with CONFIG_KEXEC or CONFIG_KEXEC_FILE"
	case syscall.EOPNOTSUPP, errNotSupported:
		return "the running kernel cannot do this on this machine"
	case syscall.EPERM:
		switch {
		case Disabled(root):
			return "the running kernel forbids kexec: it must be started with kexec_load_disabled=0 on its command line"
		case lockedDown(root):
			return "the running kernel is locked down (" + Lockdown(root) + ") and takes signed kernels only: sign this one with a key that the machine trusts, or switch Secure Boot off"
		case text(root, "proc/sys/kernel/kexec_load_limit_reboot") == "0":
			return "as many kernels have been loaded as the running kernel allows (kernel.kexec_load_limit_reboot): restart the machine"
		}
		return "this needs root rights (CAP_SYS_BOOT)"
	case syscall.EACCES:
		return "the integrity rules of the running kernel (IMA or another security module) do not allow this kernel"
	case syscall.EBUSY:
		return "another kexec load is under way, or a processor does not stop: try again"
	case syscall.ENOMEM:
		return "there is not enough free memory for the kernel and its initrds"
	case syscall.ENOEXEC:
		return "the running kernel does not know this kernel's image format, or it is for another machine"
	case syscall.EADDRNOTAVAIL:
		return "the kernel and its initrds fit into no free piece of memory"
	case syscall.ENODATA:
		return "the kernel image is not signed, and the running kernel takes signed ones only"
	case syscall.ENOKEY:
		return "the kernel image is signed with a key that this machine does not trust: add the key to its firmware or MOK list"
	case syscall.EKEYREJECTED, syscall.EBADMSG:
		return "the signature of the kernel image is not valid: the file was changed or damaged, so install it again"
	case syscall.EKEYEXPIRED, syscall.EKEYREVOKED:
		return "the key that the kernel image is signed with is no longer valid"
	case syscall.ENOPKG, syscall.ELIBBAD:
		return "the signature of the kernel image is of a kind that the running kernel cannot check"
	case syscall.EINVAL:
		return "the running kernel refused the image or its command line"
	case syscall.EFBIG:
		return "the kernel or initrd file is too large"
	case syscall.ETXTBSY:
		return "the kernel or initrd file is being written: try again when that has ended"
	case syscall.EIO:
		return "the kernel or initrd could not be read from its disk"
	case syscall.EBADF, syscall.ESTALE, syscall.ENODEV, syscall.ENXIO:
		return "the kernel or initrd file has gone, with its disk"
	case syscall.EINTR:
		return "loading was interrupted"
	case syscall.EFAULT:
		return "a piece of memory that belongs to the call is missing"
	}
	return "the running kernel refused to load the target"
}

const mib = 1 << 20

// shortOfMemory returns a sentence with the numbers when p may have failed for
// want of memory, else "".
func shortOfMemory(root fs.FS, errno syscall.Errno, p *plan, m Method) string {
	// What stays allocated: kexec_file_load takes room for the unpacked kernel
	// too, and while it loads it holds each file twice.
	held, peak := uint64(p.size()), uint64(p.size())
	if m == FileLoad {
		held = p.room + uint64(p.initrdSize())
		peak = held + uint64(p.size())
	}
	up := func(n uint64) uint64 { return (n + mib - 1) / mib }
	if half := meminfo(root, "MemTotal") / 2; errno != syscall.ENOMEM {
		if half == 0 || held <= half {
			return ""
		}
		return fmt.Sprintf("the kernel and its initrds take %d MiB, and the running kernel lets them have half of the memory, %d MiB: %d MiB are missing",
			up(held), half/mib, up(held)-half/mib)
	}
	free := meminfo(root, "MemAvailable")
	if free < peak {
		return fmt.Sprintf("there is not enough free memory: loading takes about %d MiB and %d MiB are free, so %d MiB are missing",
			up(peak), free/mib, up(peak)-free/mib)
	}
	return fmt.Sprintf("memory ran out: loading takes about %d MiB in large pieces, and %d MiB are free in smaller ones", up(peak), free/mib)
}

// Available returns how many bytes of memory can be had on the machine whose root
// directory is root, 0 when that is not known.
func Available(root fs.FS) uint64 { return meminfo(root, "MemAvailable") }

// meminfo returns a line of /proc/meminfo in bytes, 0 when it is not there.
func meminfo(root fs.FS, key string) uint64 {
	for line := range strings.Lines(text(root, "proc/meminfo")) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 54)
			return n << 10
		}
	}
	return 0
}

// Disabled reports whether kexec is forbidden on the running kernel, whose /proc
// root has (sysctl kernel.kexec_load_disabled). That cannot be undone without a
// reboot.
func Disabled(root fs.FS) bool { return text(root, "proc/sys/kernel/kexec_load_disabled") == "1" }

// Loaded reports whether a target is loaded (a crash kernel does not count).
func Loaded(root fs.FS) bool { return text(root, "sys/kernel/kexec_loaded") == "1" }

// Lockdown returns the lockdown mode of the running kernel (none, integrity,
// confidentiality), "" where the kernel has no such thing or securityfs is not
// mounted.
func Lockdown(root fs.FS) string {
	_, s, _ := strings.Cut(text(root, "sys/kernel/security/lockdown"), "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

func lockedDown(root fs.FS) bool {
	s := Lockdown(root)
	return s != "" && s != "none"
}

// text returns a small file of /proc or /sys without the white space around it,
// "" when it cannot be read.
func text(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
