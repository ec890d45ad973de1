package boottest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedTools skips a test that needs outside programs where one of them is
// missing. CI must have them all: there the test fails.
func NeedTools(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			Skip(t, err)
		}
	}
}

// Tool runs an outside program, which must succeed. Where it is missing the
// test is skipped, as by [NeedTools].
func Tool(t testing.TB, program string, args ...string) {
	t.Helper()
	NeedTools(t, program)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // labels are not all ASCII
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// NeedRoot skips a test that only root can run; CI must be root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "this needs root rights")
	}
}

// NeedFilesystem skips a test that mounts filesystems of a type which the
// running kernel does not have, and those that only root may mount.
func NeedFilesystem(t testing.TB, fstype string) {
	t.Helper()
	NeedRoot(t)
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		Skip(t, "this kernel cannot mount", fstype)
	}
	unix.Close(fd)
}

// Skip skips a test whose surroundings lack something. In CI they must not
// lack it: there the test fails.
func Skip(t testing.TB, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// BzImage returns as much of a 64-bit x86 kernel of that release as is
// checked before it is loaded.
func BzImage(release string) []byte {
	b := make([]byte, 8*512)
	le := binary.LittleEndian
	b[0x1f1] = 3                            // setup_sects
	le.PutUint32(b[0x1f4:], 4*512/16)       // syssize
	copy(b[0x1fe:], "\x55\xaa\xeb\x6aHdrS") // boot_flag, jump, header
	le.PutUint16(b[0x206:], 0x20f)          // version
	le.PutUint16(b[0x20e:], 0x300)          // kernel_version, less 0x200
	b[0x236] = 1                            // xloadflags: XLF_KERNEL_64
	copy(b[0x500:], release+"\x00")
	return b
}
