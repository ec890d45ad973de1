package command

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/reboot"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// fakeKernel takes note of what it is asked for.
type fakeKernel struct {
	kexec.Syscalls // what is not faked must not be called

	loads, unloads, jumps int
	cmdline               string
	image                 []byte // the kernel that was loaded
	err, unloadErr        error
}

func (k *fakeKernel) FileLoad(kernel, _ *os.File, cmdline string) error {
	k.loads, k.cmdline = k.loads+1, cmdline
	k.image, _ = io.ReadAll(io.NewSectionReader(kernel, 0, 1<<20))
	return k.err
}

// Load is not there: what is in the segments is for the tests of package kexec.
func (k *fakeKernel) Load(uint64, []kexec.Segment) error { return syscall.ENOSYS }
func (k *fakeKernel) Unload() error {
	if k.unloadErr == nil {
		k.unloads++
	}
	return k.unloadErr
}
func (k *fakeKernel) Reboot() error { k.jumps++; return k.err }

// fake is a system in a directory, whose kernel is loaded when a test sets that.
type fake struct {
	command
	root       string
	kernel     *fakeKernel
	isLoaded   bool
	isDisabled bool
	lacks      map[uintptr]bool  // system calls that are not there
	uuids      map[string]string // by device
	late       atomic.Int32      // how many probes fail first
	probes     atomic.Int32      // how many there were
	ran        []string
	hangups    int
	restarts   int // without a shutdown
	out, err   bytes.Buffer
}

const release = "6.12.1-0-lts"

// newFake returns a system with files, which runs the kernel of the flavour lts.
func newFake(t *testing.T, files map[string]string) *fake {
	t.Helper()
	f := &fake{kernel: &fakeKernel{}, lacks: map[uintptr]bool{}}
	f.root = t.TempDir()
	f.System = &reboot.System{
		Machine: os.DirFS("/"), // how a kernel is laid out goes by the machine that runs the test
		Root:    f.root, Kernel: f.kernel, Release: release,
		Loaded:   func() bool { return f.isLoaded || f.kernel.loads > f.kernel.unloads },
		Disabled: func() bool { return f.isDisabled },
		Lockdown: func() string { return "" },
		Has:      func(call uintptr) bool { return !f.lacks[call] },
		Hangup:   func() error { f.hangups++; return nil },
		Probe:    f.probe,
		Stdout:   &f.out, Stderr: &f.err,
	}
	f.Run = func(name string, args ...string) error {
		f.ran = append(f.ran, strings.Join(append([]string{name}, args...), " "))
		return nil
	}
	f.Output = func(name string, args ...string) (string, error) { return "", exec.ErrNotFound }
	f.Restart = func() error { f.restarts++; return nil }
	f.write(t, files)
	f.write(t, map[string]string{"/run/utmp": ""})
	return f
}

// withTPM adds a TPM to the system.
func (f *fake) withTPM(t *testing.T, chip *tpmtest.Fake) {
	t.Helper()
	f.write(t, map[string]string{"/sys/class/tpmrm/tpmrm0/dev": "253:65536"})
	f.TPM = func(string) (io.ReadWriteCloser, error) { return chip.Open(), nil }
}

func (f *fake) probe(device string) (superblock.Superblock, error) {
	f.probes.Add(1)
	if uuid := f.uuids[device]; uuid != "" && f.late.Add(-1) < 0 {
		return superblock.Superblock{Type: "ext4", UUID: uuid}, nil
	}
	return superblock.Superblock{}, superblock.ErrUnknown
}

// The files that users and services find, and what install adds to inittab.
const (
	marker      = "/run/kexec-reboot"
	choiceFile  = "/run/kexec-reboot.choice"
	confFile    = "/etc/conf.d/kexec-load"
	journalFile = "/etc/kexec-reboot/installed"
	savedDir    = "/etc/kexec-reboot/saved"
	rebootLine  = "::reboot:/sbin/openrc reboot"
)

var (
	confNames = []string{"BOOTPART", "KERNEL", "INITRD", "UCODE", "APPEND", "ENTRY"}
	runlevels = map[string]string{
		"kexec-load": "default", "kexec-exec": "shutdown", "alpboot-keep": "boot", "alpboot-watchdog": "boot", "alpboot-health": "boot",
	}
)

func kexecLoad(t *testing.T) string { return service(t, "kexec-load") }
func kexecExec(t *testing.T) string { return service(t, "kexec-exec") }

// service returns the script of a service.
func service(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../boot/reboot/openrc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func (f *fake) path(name string) string { return filepath.Join(f.root, name) }

func (f *fake) exists(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

// read returns the content of a file without white space around it.
func (f *fake) read(name string) string {
	b, _ := os.ReadFile(f.path(name))
	return strings.TrimSpace(string(b))
}

func (f *fake) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := f.path(name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// all returns every file of the system with its content, mode and, of a link, its
// target.
func (f *fake) all(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(f.root, func(name string, st os.FileInfo, err error) error {
		if err != nil || st.IsDir() {
			return err
		}
		short := strings.TrimPrefix(name, f.root)
		if st.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			files[short] = "-> " + target
			return err
		}
		b, err := os.ReadFile(name)
		files[short] = st.Mode().String() + " " + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// inittabText is that of Alpine's alpine-baselayout, shortened.
const inittabText = `# /etc/inittab

::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default

# Set up a couple of getty's
tty1::respawn:/sbin/getty 38400 tty1

# Stuff to do for the 3-finger salute
::ctrlaltdel:/sbin/reboot

# Stuff to do before rebooting
::shutdown:/sbin/openrc shutdown

`

// What the busybox of Alpine holds from 1.37.0-r13 on, and before.
const (
	newBusybox = "ctrlaltdel\x00shutdown\x00reboot\x00restart\x00"
	oldBusybox = "ctrlaltdel\x00shutdown\x00restart\x00"
)

const initramfs = "\x1f\x8b\x08\x00"

// microcode is the beginning of an archive as Alpine's intel-ucode has it.
var microcode = "070701" + strings.Repeat("0", 104) + "kernel/x86/microcode/GenuineIntel.bin\x00"

// alpine is a system with /boot on its root volume.
func alpine() map[string]string {
	return map[string]string{
		"/proc/1/exe":                              "-> ../../bin/busybox",
		"/proc/cmdline":                            "BOOT_IMAGE=vmlinuz-lts root=UUID=1 modules=ext4 quiet initrd=initramfs-lts\n",
		"/proc/self/mountinfo":                     "21 1 8:3 / / rw,relatime - ext4 /dev/sda3 rw\n",
		"/bin/busybox":                             newBusybox,
		"/etc/inittab":                             inittabText,
		"/etc/init.d/killprocs":                    "",
		"/etc/apk/world":                           "linux-lts\n",
		"/etc/runlevels/default/crond":             "-> /etc/init.d/crond",
		"/etc/runlevels/shutdown/killprocs":        "-> /etc/init.d/killprocs",
		"/etc/conf.d/crond":                        "",
		"/sbin/openrc":                             "",
		"/lib/modules/" + release + "/modules.dep": "",
		"/lib/modules/6.12.9-0-virt/modules.dep":   "",
		"/boot/vmlinuz-lts":                        string(boottest.BzImage(release)),
		"/boot/initramfs-lts":                      initramfs,
		"/boot/vmlinuz-virt":                       string(boottest.BzImage("6.12.9-0-virt")),
		"/boot/initramfs-virt":                     initramfs,
		"/boot/extlinux.conf": `DEFAULT menu.c32
LABEL virt
  MENU LABEL Linux virt
  LINUX vmlinuz-virt
  INITRD initramfs-virt
  APPEND root=UUID=1 of=virt
LABEL lts
  MENU LABEL Linux lts
  LINUX vmlinuz-lts
  INITRD initramfs-lts
  APPEND root=UUID=1 of=lts
`,
	}
}

// with returns files with some changed; an empty value leaves one out.
func with(files map[string]string, changes ...string) map[string]string {
	for i := 0; i < len(changes); i += 2 {
		if files[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(files, changes[i])
		}
	}
	return files
}
