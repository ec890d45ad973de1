package kexec

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// explained is an error of the kernel with the sentence that says what to do.
// errors.Is and errors.As still see the errno.
type explained struct {
	call string
	hint string
	err  error
}

func (e *explained) Error() string { return fmt.Sprintf("%s (%s: %v)", e.hint, e.call, e.err) }
func (e *explained) Unwrap() error { return e.err }

// missing tells whether a call is not there at all.
func missing(err error) bool { return errors.Is(err, syscall.ENOSYS) }

// otherCallMayDo tells whether kexec_load may succeed where kexec_file_load
// failed with err: not when memory ran out or a load is under way.
func otherCallMayDo(err error) bool {
	return !errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.EBUSY)
}

// explain turns the errno of a kexec system call into a sentence. The meanings
// are those of kernel/kexec.c, kernel/kexec_file.c and kernel/kexec_core.c.
func explain(call string, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	return &explained{call: call, hint: hint(errno), err: errno}
}

func hint(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOSYS:
		return "the running kernel was built without kexec: use one with CONFIG_KEXEC or CONFIG_KEXEC_FILE"
	case syscall.EPERM:
		switch {
		case Disabled():
			return "the running kernel forbids kexec: it must be started with kexec_load_disabled=0 on its command line"
		case Lockdown() != "" && Lockdown() != "none":
			return "the running kernel is locked down (" + Lockdown() + ") and takes signed kernels only"
		}
		return "this needs root rights"
	case syscall.EBUSY:
		return "another kexec load is under way: try again"
	case syscall.ENOMEM:
		return "there is not enough free memory for the kernel and its initrds"
	case syscall.ENOEXEC:
		return "the running kernel does not know this kernel's image format"
	case syscall.EADDRNOTAVAIL:
		return "the kernel wants memory that this machine does not have"
	case syscall.ENODATA:
		return "the kernel image is not signed, and only signed ones are allowed"
	case syscall.ENOKEY:
		return "the kernel image is signed with a key that this machine does not trust"
	case syscall.EKEYREJECTED, syscall.EBADMSG:
		return "the signature of the kernel image is not valid: the file was changed or damaged"
	case syscall.EINVAL:
		return "the running kernel refused the image or had nothing loaded"
	case syscall.EFBIG:
		return "the kernel or initrd file is too large"
	case syscall.EIO:
		return "the kernel or initrd could not be read from its disk"
	}
	return "the running kernel refused to load the target"
}

// Disabled tells whether kexec has been switched off on the running kernel
// (sysctl kernel.kexec_load_disabled), which cannot be undone without a reboot.
func Disabled() bool { return readTrimmed("/proc/sys/kernel/kexec_load_disabled") == "1" }

// Loaded tells whether a target is loaded (a crash kernel does not count).
func Loaded() bool { return readTrimmed("/sys/kernel/kexec_loaded") == "1" }

// Lockdown gives the lockdown mode of the running kernel (none, integrity,
// confidentiality), "" where the kernel has no such thing.
func Lockdown() string {
	_, s, _ := strings.Cut(readTrimmed("/sys/kernel/security/lockdown"), "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

func readTrimmed(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
