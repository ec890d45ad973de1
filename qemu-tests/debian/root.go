package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mirror is where debootstrap gets a system from.
const mirror = "http://deb.debian.org/debian"

// basis are the packages that every root has, besides those that Debian calls
// required and apt.
const basis = "systemd-sysv,udev,kmod,initramfs-tools,e2fsprogs"

// Root returns a directory with the root filesystem of a small Debian 12 that systemd
// runs, with a kernel and further packages. It is made by debootstrap, which needs
// root rights, stays in cache, and must not be changed.
func Root(cache string, kernel Line, packages ...string) (dir string, err error) {
	if os.Geteuid() != 0 {
		return "", errors.New("debootstrap needs root rights")
	}
	deb, err := kernel.Package(cache)
	if err != nil {
		return "", err
	}
	base := filepath.Join(cache, "root-"+digest(basis))
	err = once(base, func(work string) error {
		if err := run("", "debootstrap", "--variant=minbase", "--include="+basis, "bookworm", work, mirror); err != nil {
			return err
		}
		return run("", "chroot", work, "apt-get", "-q", "update")
	})
	if err != nil {
		return "", fmt.Errorf("making a root filesystem of Debian 12: %w", err)
	}
	dir = filepath.Join(cache, "root-"+digest(basis, filepath.Base(deb), strings.Join(packages, ",")))
	return dir, once(dir, func(work string) error {
		if err := run("", "cp", "-a", base+"/.", work); err != nil {
			return err
		}
		const inside = "kernel.deb"
		if err := run("", "cp", deb, filepath.Join(work, inside)); err != nil {
			return err
		}
		for _, command := range [][]string{
			append([]string{"apt-get", "-q", "install", "-y", "--no-install-recommends", "linux-base"}, packages...),
			{"dpkg", "-i", "/" + inside},
			{"apt-get", "clean"},
			{"rm", "/" + inside},
		} {
			if err := run("", "chroot", append([]string{work, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}, command...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Package returns the newest kernel package of a line as a file.
func (l Line) Package(cache string) (file string, err error) {
	name, version, err := l.resolve()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "package-"+name+"_"+strings.ReplaceAll(version, ":", "%3a"))
	err = once(dir, func(work string) error {
		_, err := download(work, name, version)
		return err
	})
	if err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("%s holds %d packages, not one", dir, len(debs))
	}
	return debs[0], nil
}

// once makes a directory, unless it is there already: whole or not at all.
func once(dir string, make func(work string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".make-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := make(work); err != nil {
		return err
	}
	// Another process may have been faster; its result is as good.
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func digest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:6])
}
