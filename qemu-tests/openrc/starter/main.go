// Starter is the init of an initramfs for a kernel that has the drivers of the
// root filesystem as modules: it loads them, mounts what root= names, and goes on
// with the init that is there.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/module"
)

func main() {
	fmt.Fprintln(os.Stderr, "starter:", start())
	// The kernel panics when its init ends, which a test sees.
}

// start does not return, but for an error.
func start() error {
	for _, m := range []struct{ kind, at string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	modules, err := module.Open(os.DirFS("/"), unix.ByteSliceToString(uts.Release[:]))
	if err != nil {
		return err
	}
	for _, name := range []string{"virtio_pci", "virtio_blk", "ext4"} {
		if err := modules.Load(name); err != nil {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	// What the system may want to mount later, where the root filesystem has no modules.
	for _, name := range []string{"vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8", "efivarfs"} {
		modules.Load(name) // without it that mount fails
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	root, init := "", "/sbin/init"
	for _, p := range strings.Fields(string(cmdline)) {
		switch name, value, _ := strings.Cut(p, "="); name {
		case "root":
			root = value
		case "init":
			init = value
		}
	}
	const top = "/root"
	if err := os.MkdirAll(top, 0o755); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if err = unix.Mount(root, top, "ext4", unix.MS_RDONLY, ""); err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("mounting %s: %w", root, err)
		}
	}
	for _, at := range []string{"/proc", "/sys"} { // the system mounts its own
		if err := unix.Unmount(at, 0); err != nil {
			return fmt.Errorf("unmounting %s: %w", at, err)
		}
	}
	// As the kernel does it where it mounts the root filesystem itself.
	if err := unix.Mount("/dev", top+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving /dev: %w", err)
	}
	if err := unix.Chdir(top); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root filesystem: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return fmt.Errorf("starting %s: %w", init, unix.Exec(init, []string{init}, os.Environ()))
}
