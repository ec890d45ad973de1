// Package assets makes what the tests, the demo and the benchmark boot: the
// initramfs, the menu's kernels, the kernels of targets and their initramfs.
// Each is made when it is first asked for, by the command that a user would
// run, and is below build/ of the checkout afterwards.
package assets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/target"
)

// Assets makes things in one checkout. Its methods may be called at the same
// time; each thing is made once.
type Assets struct {
	root     string
	progress io.Writer

	mu      sync.Mutex
	made    map[string]*result
	kernels map[string]debian.Kernel // by metapackage
}

type result struct {
	once sync.Once
	err  error
}

// Open finds the checkout that the current directory is in. Lines about what is
// being made, and how long that takes, go to progress.
func Open(progress io.Writer) (*Assets, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module github.com/alpboot/alpboot\n") {
			return &Assets{root: dir, progress: progress, made: map[string]*result{}, kernels: map[string]debian.Kernel{}}, nil
		}
		if dir == filepath.Dir(dir) {
			return nil, errors.New("run this inside a checkout of alpboot")
		}
		dir = filepath.Dir(dir)
	}
}

// Root returns the directory of the checkout.
func (a *Assets) Root() string { return a.root }

// Path returns a path below build/x86_64, and makes its directory.
func (a *Assets) Path(elem ...string) string {
	p := filepath.Join(append([]string{a.root, "build", "x86_64"}, elem...)...)
	os.MkdirAll(filepath.Dir(p), 0o755) // whoever writes there will report what is wrong
	return p
}

// once runs make for a key the first time, and returns its error each time.
func (a *Assets) once(key, saying string, make func() error) error {
	a.mu.Lock()
	r := a.made[key]
	if r == nil {
		r = &result{}
		a.made[key] = r
	}
	a.mu.Unlock()
	r.once.Do(func() {
		start := time.Now()
		if saying != "" {
			fmt.Fprintf(a.progress, "%s ...\n", saying)
		}
		r.err = make()
		if took := time.Since(start); saying != "" && r.err == nil {
			fmt.Fprintf(a.progress, "%s: done in %.0f s\n", saying, took.Seconds())
		}
	})
	return r.err
}

// command runs a program in the checkout.
func (a *Assets) command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = a.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// mkpayload runs cmds/mkpayload, unless file is newer than everything that it
// is made from in this checkout.
func (a *Assets) mkpayload(file, saying string, args ...string) (string, error) {
	if a.upToDate(file) {
		return file, nil
	}
	return file, a.once(file, saying, func() error {
		return a.command("go", append([]string{"run", "./cmds/mkpayload"}, append(args, "-o", file)...)...)
	})
}

// upToDate reports whether a file is newer than all sources of what goes into an
// initramfs.
func (a *Assets) upToDate(file string) bool {
	st, err := os.Stat(file)
	if err != nil {
		return false
	}
	newer := errors.New("newer")
	for _, dir := range []string{"boot", "cmds", "initramfs", "go.mod"} {
		err := filepath.WalkDir(filepath.Join(a.root, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, "_test.go") || d.IsDir() {
				return nil
			}
			info, err := d.Info()
			if err == nil && info.ModTime().After(st.ModTime()) {
				return newer
			}
			return err
		})
		if err != nil {
			return false
		}
	}
	return true
}

// Initramfs returns the menu's initramfs for a kernel that needs no modules.
func (a *Assets) Initramfs() (string, error) {
	return a.mkpayload(a.Path("initramfs.cpio.xz"), "Building the initramfs (about half a minute)")
}

// MinimalInitramfs returns the one without a shell.
func (a *Assets) MinimalInitramfs() (string, error) {
	return a.mkpayload(a.Path("initramfs-minimal.cpio.xz"), "Building the minimal initramfs (about half a minute)", "--minimal")
}

// ForDisks returns the menu's kernel and initramfs as make payloads packs them for a disk.
func (a *Assets) ForDisks() (kernel, initrd string, err error) {
	kernel = a.Path("vmlinuz-zstd")
	err = a.once(kernel, "Building the menu's kernel for disks (up to ten minutes on two cores, unless it is in the cache)", func() error {
		return a.command("go", "run", "./cmds/mkpayload", "kernel", "--compress", "zstd", "-o", kernel)
	})
	if err != nil {
		return "", "", err
	}
	initrd, err = a.mkpayload(a.Path("initramfs.cpio.zst"), "Building the initramfs for disks (about half a minute)", "--compress", "zstd")
	return kernel, initrd, err
}

// ModulesInitramfs returns the menu's initramfs with the modules that it needs
// of a distribution's kernel.
func (a *Assets) ModulesInitramfs(k debian.Kernel) (string, error) {
	if k.Modules == "" {
		return "", fmt.Errorf("kernel %s has no directory of modules beside it", k.Image)
	}
	return a.mkpayload(a.Path("initramfs-"+k.Release+".cpio.xz"), "Building the initramfs with the modules of "+k.Release+" (about a minute)",
		"--kernel", k.Image, "--modules", k.Modules)
}

// Unpacked returns an initramfs without its xz, which an emulated processor takes a
// second or two for at each start.
func (a *Assets) Unpacked(initrd string) (string, error) {
	file := strings.TrimSuffix(initrd, ".xz")
	return file, a.once(file, "", func() error {
		b, err := exec.Command("xz", "-dc", initrd).Output()
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", initrd, err)
		}
		// Whole or not at all: another run of tests may be starting a machine with it.
		if err := os.WriteFile(file+".new", b, 0o644); err != nil {
			return err
		}
		return os.Rename(file+".new", file)
	})
}

// kernelVariable is an environment variable that names a kernel for the menu
// instead of the one that make kernel builds. The value debian stands for that
// of Debian.
const kernelVariable = "ALPBOOT_MENU_KERNEL"

// HasKernel reports whether the menu's own kernel is there, built or named, so
// that nobody has to wait for its compiler.
func (a *Assets) HasKernel() bool {
	switch os.Getenv(kernelVariable) {
	case "":
		return a.cachedKernel(a.Path("vmlinuz"))
	case "debian":
		return false
	}
	return true
}

// cachedKernel takes the menu's own kernel from the cache, and reports whether it is
// there.
func (a *Assets) cachedKernel(file string, args ...string) bool {
	return a.once("cached "+file, "", func() error {
		return a.command("go", append([]string{"run", "./cmds/mkpayload", "kernel", "--cached", "-o", file}, args...)...)
	}) == nil
}

// StartedKernel returns a kernel for the menu that is at hand, as [Assets.Menu] does, to be
// started by QEMU itself: packed by zstd, where that one has been built. An emulated
// processor unpacks it a second sooner.
func (a *Assets) StartedKernel() (string, error) {
	if os.Getenv(kernelVariable) == "" && a.HasKernel() {
		if file := a.Path("vmlinuz-zstd"); a.cachedKernel(file, "--compress", "zstd") {
			return file, nil
		}
	}
	kernel, _, err := a.Menu()
	return kernel, err
}

// Kernel returns the menu's own kernel. It is built when it is not there.
func (a *Assets) Kernel() (string, error) {
	if a.HasKernel() {
		if file := os.Getenv(kernelVariable); file != "" {
			return filepath.Abs(file)
		}
		return a.Path("vmlinuz"), nil
	}
	file := a.Path("vmlinuz")
	return file, a.once(file, "Building the menu's kernel (up to ten minutes on two cores)", func() error {
		return a.command("go", "run", "./cmds/mkpayload", "kernel", "-o", file)
	})
}

// Menu returns a kernel for the menu that is at hand, with an initramfs that
// fits it: the menu's own where it is there, else Debian's.
func (a *Assets) Menu() (kernel, initrd string, err error) {
	if !a.HasKernel() {
		return a.MenuOnDebian()
	}
	if initrd, err = a.Initramfs(); err != nil {
		return "", "", err
	}
	kernel, err = a.Kernel()
	return kernel, initrd, err
}

// MenuOnDebian is Menu with Debian's kernel, whose modules are in the initramfs.
func (a *Assets) MenuOnDebian() (kernel, initrd string, err error) {
	k, err := a.Debian(debian.Newer)
	if err != nil {
		return "", "", err
	}
	initrd, err = a.ModulesInitramfs(k)
	return k.Image, initrd, err
}

// Debian returns one of Debian's kernels.
func (a *Assets) Debian(l debian.Line) (debian.Kernel, error) {
	err := a.once(l.Metapackage, "Getting Debian's kernel "+l.Metapackage+" (30 MB, unless it is in the cache)", func() error {
		k, err := l.Get(filepath.Join(a.root, "build", "cache", "debian"))
		a.mu.Lock()
		defer a.mu.Unlock()
		a.kernels[l.Metapackage] = k
		return err
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kernels[l.Metapackage], err
}

// TargetInit returns the program of a target's initramfs.
func (a *Assets) TargetInit() ([]byte, error) {
	file := a.Path("target-init")
	if err := a.once(file, "", func() error { return target.BuildInit(file, "amd64") }); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}
