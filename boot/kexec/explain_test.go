package kexec

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestRefusals asserts for each errno of both calls the message, and whether
// the other call is tried: all of kernel/kexec.c, kernel/kexec_file.c,
// kernel/kexec_core.c and the signature checks.
func TestRefusals(t *testing.T) {
	needAMD64(t)
	disabled := map[string]string{"proc/sys/kernel/kexec_load_disabled": "1\n"}
	small := map[string]string{"proc/meminfo": "MemTotal:         196608 kB\nMemAvailable:      20480 kB\n"}
	tests := []struct {
		errno   syscall.Errno
		machine map[string]string
		first   string // the call that refuses
		says    string
		other   bool // the other call is tried
	}{
		{errno: syscall.ENOSYS, first: "load", says: "built without this call", other: true},
		{errno: syscall.ENOSYS, first: "file", says: "built without this call", other: true},
		{errno: syscall.EOPNOTSUPP, first: "file", says: "cannot do this", other: true},
		{errno: 524, first: "file", says: "cannot do this", other: true},
		{errno: syscall.EPERM, first: "load", machine: disabled, says: "kexec_load_disabled=0"},
		{errno: syscall.EPERM, first: "file", machine: disabled, says: "kexec_load_disabled=0"},
		{errno: syscall.EPERM, first: "file", machine: lockedIntegrity, says: "locked down (integrity)"},
		{errno: syscall.EPERM, first: "file", machine: map[string]string{"proc/sys/kernel/kexec_load_limit_reboot": "0\n"}, says: "kexec_load_limit_reboot"},
		{errno: syscall.EPERM, first: "load", says: "root rights", other: true}, // lockdown may be there, and securityfs not mounted
		{errno: syscall.EPERM, first: "file", says: "root rights"},
		{errno: syscall.EACCES, first: "load", says: "IMA"},
		{errno: syscall.EBUSY, first: "load", says: "another kexec load"},
		{errno: syscall.EBUSY, first: "file", says: "another kexec load"},
		{errno: syscall.ENOEXEC, first: "file", says: "image format", other: true},
		{errno: syscall.EINVAL, first: "load", says: "refused the image", other: true},
		{errno: syscall.EINVAL, first: "file", says: "refused the image", other: true},
		{errno: syscall.EINVAL, first: "file", machine: small, says: "take 178 MiB, and the running kernel lets them have half of the memory, 96 MiB: 82 MiB are missing", other: true},
		{errno: syscall.EADDRNOTAVAIL, first: "file", machine: small, says: "82 MiB are missing", other: true},
		{errno: syscall.EADDRNOTAVAIL, first: "load", says: "no free piece", other: true},
		{errno: syscall.ENOMEM, first: "load", says: "memory ran out", other: true},
		{errno: syscall.ENOMEM, first: "file", machine: small, says: "takes about 178 MiB and 20 MiB are free, so 158 MiB are missing", other: true},
		{errno: syscall.ENODATA, first: "file", says: "not signed", other: true},
		{errno: syscall.ENODATA, first: "file", machine: lockedIntegrity, says: "not signed"},
		{errno: syscall.ENOKEY, first: "file", says: "does not trust", other: true},
		{errno: syscall.ENOKEY, first: "file", machine: lockedIntegrity, says: "does not trust"},
		{errno: syscall.ENOPKG, first: "file", says: "cannot check", other: true},
		{errno: syscall.ELIBBAD, first: "file", machine: lockedIntegrity, says: "cannot check"},
		{errno: syscall.EKEYREJECTED, first: "file", says: "not valid"},
		{errno: syscall.EKEYREJECTED, first: "file", machine: lockedIntegrity, says: "not valid"},
		{errno: syscall.EBADMSG, first: "file", says: "not valid"},
		{errno: syscall.EKEYEXPIRED, first: "file", says: "no longer valid"},
		{errno: syscall.EKEYREVOKED, first: "file", says: "no longer valid"},
		{errno: syscall.EFBIG, first: "file", says: "too large", other: true},
		{errno: syscall.ETXTBSY, first: "file", says: "being written", other: true},
		{errno: syscall.EIO, first: "file", says: "could not be read"},
		{errno: syscall.EFAULT, first: "load", says: "could not be read"},
		{errno: syscall.EBADF, first: "file", says: "has gone"},
		{errno: syscall.EINTR, first: "file", says: "interrupted"},
		{errno: syscall.E2BIG, first: "file", says: "refused to load"},
	}
	kernel := testKernel(64 << 10)
	kernel[0x260+3] = 0x0b // init_size: about 177 MiB
	for _, tt := range tests {
		t.Run(tt.first+" "+tt.errno.Error(), func(t *testing.T) {
			root := machineWith(tt.machine)
			target := Target{Kernel: file(t, "vmlinuz", kernel), Initrds: []*os.File{file(t, "initrd", []byte("070701"))}}

			// The sentence, from that call alone.
			k := &fakeKernel{fileErrs: []error{tt.errno}, loadErrs: []error{tt.errno}}
			l := &Loader{Kernel: k, Method: map[string]Method{"load": Load, "file": FileLoad}[tt.first], Root: root}
			err := l.Load(context.Background(), target)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !errors.Is(err, tt.errno) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			// Whether there is another way is asked in either order.
			if got := otherMayDo(root, err); got != tt.other {
				t.Errorf("the other call is tried: %v, want %v", got, tt.other)
			}
		})
	}
}

func TestExplainKeepsErrno(t *testing.T) {
	l := &Loader{Root: machineWith(nil)}
	for errno := syscall.Errno(1); errno < 134; errno++ {
		if err := l.explain("kexec_load", errno, nil, Load); !errors.Is(err, errno) || strings.HasPrefix(err.Error(), " ") {
			t.Errorf("errno %d: %v", errno, err)
		}
	}
	if err := l.explain("kexec_load", nil, nil, Load); err != nil {
		t.Error(err)
	}
}

// A signature that is wrong or asked for is not got around by the other call.
func TestSignaturesUnderLockdown(t *testing.T) {
	needAMD64(t)
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENODATA, syscall.ENOKEY, syscall.EKEYREJECTED, syscall.EBADMSG, syscall.ELIBBAD, syscall.ENOPKG} {
		k := &fakeKernel{fileErrs: []error{errno}}
		err := (&Loader{Kernel: k, Root: machineWith(lockedIntegrity)}).Load(context.Background(), Target{Kernel: file(t, "vmlinuz", testKernel(4096))})
		if err == nil || strings.Join(k.calls, " ") != "file" {
			t.Errorf("%v: %v, calls %q", errno, err, k.calls)
		}
	}
}
