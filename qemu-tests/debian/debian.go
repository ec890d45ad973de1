// Package debian gets kernels that Debian built, for the tests to boot: real
// ones, of two versions, with their modules. They are downloaded by apt-get and
// unpacked, never installed, so that no rights are needed.
//
// On another system, or to test with other kernels, ALPBOOT_KERNEL_A (newer)
// and ALPBOOT_KERNEL_B (older) name kernel images of one's own; their modules
// are looked for in lib/modules/RELEASE beside the image's boot directory, then in
// /lib/modules/RELEASE.
package debian

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alpboot/alpboot/boot/kernel"
)

// Kernel is a distribution's kernel.
type Kernel struct {
	Release string // as uname -r will print
	Image   string // path of vmlinuz
	Modules string // directory lib/modules/RELEASE; "" when there is none
}

// Line is one of the series of kernels that Debian keeps up to date.
type Line struct {
	Metapackage string // depends on the newest kernel package of the line
	Variable    string // environment variable that names an image instead
}

// The two kernels of Debian 12 for virtual machines: from backports' security
// line, and its own.
var (
	Newer = Line{Metapackage: "linux-image-6.12-cloud-amd64", Variable: "ALPBOOT_KERNEL_A"}
	Older = Line{Metapackage: "linux-image-cloud-amd64", Variable: "ALPBOOT_KERNEL_B"}
)

// Get returns the newest kernel of a line. What it downloads stays in cache, in a
// directory for each version, and is used again while that is the newest.
func (l Line) Get(cache string) (Kernel, error) {
	if image := os.Getenv(l.Variable); image != "" {
		k, err := open(image)
		if err != nil {
			return Kernel{}, fmt.Errorf("%s: %w", l.Variable, err)
		}
		return k, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return Kernel{}, fmt.Errorf("the tests boot Debian's kernels, and there is no apt-get here to download them: set ALPBOOT_KERNEL_A and ALPBOOT_KERNEL_B to two kernel images of different versions (Alpine: /boot/vmlinuz-virt)")
	}
	name, version, err := l.resolve()
	if err != nil {
		return Kernel{}, err
	}
	whole := func(tree string) error { _, err := find(tree); return err }
	dir, err := fetch(cache, name, version, whole)
	if err != nil {
		return Kernel{}, err
	}
	return find(dir)
}

// Unpack returns the directory with the files of the newest package of a name. It
// stays in cache, as kernels do.
func Unpack(cache, name string) (dir string, err error) {
	version, err := newest(name)
	if err != nil {
		return "", err
	}
	return fetch(cache, name, version, func(tree string) error { _, err := os.Stat(tree); return err })
}

// fetch returns the directory with the files of a package, of which whole reports
// what it lacks.
func fetch(cache, name, version string, whole func(tree string) error) (dir string, err error) {
	dir = filepath.Join(cache, name+"_"+strings.ReplaceAll(version, ":", "%3a"))
	if whole(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, ".download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	deb, err := download(work, name, version)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(work, "tree")
	if err := run(work, "dpkg-deb", "-x", deb, tree); err != nil {
		return "", err
	}
	if err := whole(tree); err != nil {
		return "", err
	}
	// Another process may have been faster; its copy is as good.
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

// download gets a package into dir.
func download(dir, name, version string) (deb string, err error) {
	if err := run(dir, "apt-get", "download", "-q", name+"="+version); err != nil {
		return "", fmt.Errorf("downloading Debian's package %s (if its lists are old, run apt-get update as root): %w", name, err)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages", name, len(debs))
	}
	return debs[0], nil
}

// dependency is the line of apt-cache depends that names the kernel package.
var dependency = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\d\S*)$`)

// candidate is the line of apt-cache policy with the version to download.
var candidate = regexp.MustCompile(`(?m)^\s*Candidate: (\S+)$`)

// resolve finds the package and version that the metapackage stands for.
func (l Line) resolve() (name, version string, err error) {
	out, err := exec.Command("apt-cache", "depends", l.Metapackage).Output()
	m := dependency.FindSubmatch(out)
	if err != nil || m == nil {
		return "", "", fmt.Errorf("apt knows no kernel package %s: run apt-get update as root on Debian 12, or set %s to a kernel image", l.Metapackage, l.Variable)
	}
	name = string(m[1])
	version, err = newest(name)
	return name, version, err
}

// newest returns the version of a package that apt would download.
func newest(name string) (version string, err error) {
	out, err := exec.Command("apt-cache", "policy", name).Output()
	m := candidate.FindSubmatch(out)
	if err != nil || m == nil || string(m[1]) == "(none)" {
		return "", fmt.Errorf("apt cannot download %s: run apt-get update as root", name)
	}
	return string(m[1]), nil
}

// find opens the only kernel in an unpacked package.
func find(tree string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("%s holds %d kernels, not one", tree, len(images))
	}
	return open(images[0])
}

func open(image string) (Kernel, error) {
	f, err := os.Open(image)
	if err != nil {
		return Kernel{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Kernel{}, err
	}
	info, err := kernel.Identify(f, st.Size())
	if err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", image, err)
	}
	k := Kernel{Release: info.Version, Image: image}
	for _, root := range []string{filepath.Dir(filepath.Dir(image)), "/"} {
		dir := filepath.Join(root, "lib/modules", k.Release)
		if _, err := os.Stat(dir); err == nil {
			k.Modules = dir
			break
		}
	}
	return k, nil
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
