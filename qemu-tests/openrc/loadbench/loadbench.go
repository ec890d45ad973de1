package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// kexecTools is Debian's package, and the libraries that it was linked with.
var kexecTools = []string{
	"kexec-tools", "libxenmisc4.17", "libxencall1", "libxentoolcore1", "libxentoollog1", "libxenevtchn1",
	"libxengnttab1", "libxenforeignmemory1", "libxendevicemodel1", "zlib1g",
}

// subjects are what is compared. The kernel's name follows.
var subjects = []struct{ name, command string }{
	{"kexec-reboot", "/sbin/kexec-reboot -l"},
	{"kexec-reboot -c", "/sbin/kexec-reboot -c -l"},
	{"kexec-reboot -s", "/sbin/kexec-reboot -s -l"},
	{"kexec-tools -c", "/sbin/kexec -c -l"},
	{"kexec-tools -s", "/sbin/kexec -s -l"},
}

// rounds is how often each is run, in turn, after once that does not count:
// that brings the files into memory.
const rounds = 5

func run(stdout, stderr io.Writer) int {
	if err := measure(stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "loadbench:", err)
		return 1
	}
	return 0
}

func measure(stdout, progress io.Writer) error {
	made, err := assets.Open(progress)
	if err != nil {
		return err
	}
	kernel, err := made.Kernel()
	if err != nil {
		return err
	}
	k, err := made.Debian(debian.Newer)
	if err != nil {
		return err
	}
	init, err := made.TargetInit()
	if err != nil {
		return err
	}
	// As large as Alpine's: what is in it does not matter for loading.
	initrd, err := target.Initramfs(target.Image{Init: init, Files: map[string]string{"ballast": noise(16 << 20)}, Compression: target.Gzip})
	if err != nil {
		return err
	}
	system, err := openrc.Get(filepath.Join(made.Root(), "build", "cache", "openrc"), kexecTools...)
	if err != nil {
		return err
	}
	program := made.Path("openrc", "kexec-reboot")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmds/kexec-reboot")
	build.Dir, build.Env = made.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building kexec-reboot: %w\n%s", err, out)
	}
	root, boot := made.Path("openrc", "bench-root.img"), made.Path("openrc", "bench-boot.img")
	err = system.Write(openrc.Disks{
		Root: map[string]openrc.File{"sbin/kexec-reboot": {From: program, Mode: 0o755}},
		Boot: map[string]openrc.File{"vmlinuz": {From: k.Image}, "initrd": {Data: initrd}},
	}, root, boot)
	if err != nil {
		return err
	}
	m, err := vm.Launch(vm.Options{
		Kernel: kernel, Cmdline: "console=ttyS0 root=/dev/vda loglevel=1 no_timer_check",
		Drives: []vm.Drive{{File: root}, {File: boot}}, Memory: 1024, Dir: made.Path("openrc", "bench", "x"),
	})
	if err != nil {
		return err
	}
	defer m.Stop()
	c := m.Serial(0)
	if _, err := c.Await(2*time.Minute, vm.OnScreen("console#")); err != nil {
		return err
	}

	seconds, kib := make([][]float64, len(subjects)), make([]int, len(subjects))
	for round := range rounds + 1 {
		for i, s := range subjects {
			// No root=, so that nobody asks for modules.
			out, err := command(c, "time -f 'took %e %M' "+s.command+" /boot/vmlinuz --initrd=/boot/initrd --command-line=console=ttyS0")
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			took, peak, err := parse(out)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", s.name, err, out)
			}
			if round > 0 {
				seconds[i] = append(seconds[i], took)
				kib[i] = max(kib[i], peak)
			}
		}
	}
	st, err := os.Stat(k.Image)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "kernel %.1f MB, initrd %.1f MB, median of %d\n\n%-16s %8s %14s\n", float64(st.Size())/1e6, float64(len(initrd))/1e6, rounds, "", "seconds", "peak RSS, MiB")
	for i, s := range subjects {
		slices.Sort(seconds[i])
		fmt.Fprintf(stdout, "%-16s %8.2f %14.1f\n", s.name, seconds[i][rounds/2], float64(kib[i])/1024)
	}
	return nil
}

// noise gives n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return string(b)
}

// command runs a command in the shell of the machine, and gives what it prints.
func command(c *vm.Console, line string) (string, error) {
	before := len(c.Log())
	// What is typed is echoed, and must not be taken for the answer.
	c.Type(vm.Key(line + "; echo e''nd=$?.\r"))
	if _, err := c.Await(2*time.Minute, vm.LogAfter(before, "\r\nend=")); err != nil {
		return "", err
	}
	at := before + strings.Index(c.Log()[before:], "\r\nend=")
	if _, err := c.Await(time.Minute, vm.LogAfter(at, ".")); err != nil {
		return "", err
	}
	out, code := c.Log()[before:at], c.Log()[at+len("\r\nend="):]
	if !strings.HasPrefix(code, "0.") {
		return "", errors.New(out)
	}
	return out, nil
}

// parse reads what time has printed.
func parse(out string) (seconds float64, kib int, err error) {
	i := strings.LastIndex(out, "\ntook ")
	f := strings.Fields(out[i+1:])
	if i < 0 || len(f) < 3 {
		return 0, 0, errors.New("time has printed nothing")
	}
	if seconds, err = strconv.ParseFloat(f[1], 64); err != nil {
		return 0, 0, err
	}
	kib, err = strconv.Atoi(f[2])
	return seconds, kib, err
}
