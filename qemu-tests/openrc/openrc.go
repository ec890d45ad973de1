// Package openrc makes the disks of a small system that is run by the real
// OpenRC: Debian's packages of OpenRC and busybox, with busybox as init, and
// inittab and runlevels laid out as on Alpine. It is for tests of the services
// of kexec-reboot, where Alpine itself cannot be downloaded.
//
// Debian leaves OpenRC's own services out of its package. Those in the directory
// tree have their names, places in the runlevels and order, and do as much of
// their work as a system on two disks needs.
package openrc

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed tree
var tree embed.FS

// packages are those of Debian that the system consists of.
var packages = []string{
	"openrc", "busybox-static",
	"libeinfo1", "librc1", "libc6", "libpam0g", "libaudit1", "libcap-ng0", "libselinux1", "libpcre2-8-0",
}

// services are the runlevels of Alpine, of what this system has.
var services = map[string][]string{
	"sysinit":  {"sysfs"},
	"boot":     {"root", "localmount"},
	"default":  {},
	"shutdown": {"killprocs", "savecache", "mount-ro"},
}

// NewInit is the path of a busybox init that knows the reboot action. /sbin/init
// is that of Debian, which does not.
const NewInit = "/sbin/new/init"

// System is what the system is made of.
type System struct {
	packages string // directory with all packages unpacked
	init     string // busybox with the reboot action
}

// Get downloads and builds what the system is made of, with more packages of
// Debian where they are asked for. It stays in cache. apt-get must be able to
// download, and gcc and make to build busybox.
func Get(cache string, more ...string) (System, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return System{}, err
	}
	dir, err := unpacked(cache, slices.Concat(packages, more))
	if err != nil {
		return System{}, err
	}
	init, err := buildInit(cache)
	return System{dir, init}, err
}

// Packages returns a directory with packages of Debian unpacked, for their files
// alone. It stays in cache.
func Packages(cache string, names ...string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	return unpacked(cache, names)
}

// candidate are the lines of apt-cache policy with a package's name and the
// version to download.
var candidate = regexp.MustCompile(`(?m)^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)$`)

// unpacked returns a directory with all packages unpacked, of the versions that apt
// knows now.
func unpacked(cache string, packages []string) (string, error) {
	out, err := exec.Command("apt-cache", append([]string{"policy"}, packages...)...).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache policy: %w", err)
	}
	var versions []string
	for _, m := range candidate.FindAllStringSubmatch(string(out), -1) {
		versions = append(versions, m[1]+"="+m[2])
	}
	if len(versions) != len(packages) {
		return "", fmt.Errorf("apt knows %d of the packages %s: run apt-get update as root on Debian", len(versions), strings.Join(packages, " "))
	}
	sum := sha256.Sum256([]byte(strings.Join(versions, " ")))
	dir := filepath.Join(cache, "packages-"+hex.EncodeToString(sum[:6]))
	return dir, once(cache, dir, func(work string) error {
		debs := filepath.Join(work, "debs")
		if err := os.MkdirAll(debs, 0o755); err != nil {
			return err
		}
		if err := run(debs, "apt-get", append([]string{"download", "-q"}, versions...)...); err != nil {
			return err
		}
		all, err := filepath.Glob(filepath.Join(debs, "*.deb"))
		if err != nil || len(all) != len(packages) {
			return fmt.Errorf("apt-get download left %d packages, not %d", len(all), len(packages))
		}
		for _, deb := range all {
			if err := run(work, "dpkg-deb", "-x", deb, filepath.Join(work, "out")); err != nil {
				return err
			}
		}
		return nil
	})
}

// once makes dir by a function that leaves its result in the directory out of a
// working directory, unless it is there already.
func once(cache, dir string, make func(work string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	work, err := os.MkdirTemp(cache, ".make-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := make(work); err != nil {
		return err
	}
	// Another process may have been faster; its result is as good.
	if err := os.Rename(filepath.Join(work, "out"), dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Disks are the two disks of a system.
type Disks struct {
	Root map[string]File // besides the system itself
	Boot map[string]File // on /boot
	// BootOptions are further arguments for the mkfs of /boot.
	BootOptions []string
	// Prepare is called with the directory that becomes the root filesystem.
	Prepare func(root string) error
}

// File is a file on a disk: Data, the content of the file From, or for a name
// that ends in a slash a directory.
type File struct {
	Data []byte
	From string
	Mode fs.FileMode // 0644
}

// Write makes the images root and boot: ext4 on the whole of a disk, to be
// /dev/vda and /dev/vdb.
func (s System) Write(d Disks, root, boot string) error {
	work, err := os.MkdirTemp("", "openrc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	top := filepath.Join(work, "root")
	if err := s.stage(top); err != nil {
		return err
	}
	if err := stage(top, d.Root); err != nil {
		return err
	}
	if d.Prepare != nil {
		if err := d.Prepare(top); err != nil {
			return err
		}
	}
	if err := mkfs(root, top, 160); err != nil {
		return err
	}
	top = filepath.Join(work, "boot")
	if err := errors.Join(os.Mkdir(top, 0o755), stage(top, d.Boot)); err != nil {
		return err
	}
	return mkfs(boot, top, 96, d.BootOptions...)
}

// leftOut are directories of the packages that the system does not need.
var leftOut = []string{"usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit"}

// stage puts the system itself into the directory root.
func (s System) stage(root string) error {
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "boot", "root", "sbin/new", "usr/bin", "usr/sbin", "lib/modules", "etc/conf.d", "etc/runlevels/sysinit", "etc/runlevels/boot", "etc/runlevels/default", "etc/runlevels/shutdown"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := copyTree(root, os.DirFS(s.packages), leftOut); err != nil {
		return err
	}
	own, err := fs.Sub(tree, "tree")
	if err != nil {
		return err
	}
	if err := copyTree(root, own, nil); err != nil {
		return err
	}
	for _, pattern := range []string{"etc/init.d/*", "sbin/console"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, name := range names {
			if err := os.Chmod(name, 0o755); err != nil {
				return err
			}
		}
	}
	link := func(target, name string) error {
		err := os.Symlink(target, filepath.Join(root, name))
		if errors.Is(err, fs.ErrExist) { // OpenRC's own
			return nil
		}
		return err
	}
	applets, err := exec.Command(filepath.Join(s.packages, "bin/busybox"), "--list-full").Output()
	if err != nil {
		return fmt.Errorf("busybox --list-full: %w", err)
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755), link("/bin/busybox", name)); err != nil {
			return err
		}
	}
	if err := link("/bin/busybox", "sbin/init"); err != nil {
		return err
	}
	init, err := os.ReadFile(s.init)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox-init"), init, 0o755); err != nil {
		return err
	}
	if err := link("/bin/busybox-init", NewInit); err != nil {
		return err
	}
	for level, names := range services {
		for _, name := range names {
			if err := link("/etc/init.d/"+name, filepath.Join("etc/runlevels", level, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTree copies files, directories and symbolic links with their modes.
func copyTree(dst string, src fs.FS, leftOut []string) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dst, name)
		switch {
		case d.IsDir():
			for _, out := range leftOut {
				if name == out {
					return fs.SkipDir
				}
			}
			return os.MkdirAll(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(src, name)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		b, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		os.Remove(to)
		return os.WriteFile(to, b, st.Mode().Perm()|0o200)
	})
}

func stage(root string, files map[string]File) error {
	for name, f := range files {
		to := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		data := f.Data
		if f.From != "" {
			var err error
			if data, err = os.ReadFile(f.From); err != nil {
				return err
			}
		}
		mode := f.Mode
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(to, data, mode); err != nil {
			return err
		}
	}
	return nil
}

// mkfs makes an image of some MiB that holds the directory top.
func mkfs(image, top string, size int64, options ...string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size<<20), f.Close()); err != nil {
		return err
	}
	program := "mkfs.ext4"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/mkfs.ext4"
	}
	return run("", program, append(append([]string{"-q", "-F", "-d", top}, options...), image)...)
}

// Clean reports whether the ext4 filesystem of an image was unmounted in order:
// its journal is empty and nothing was left open.
func Clean(image string) (bool, error) {
	f, err := os.Open(image)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, 1024)
	if _, err := f.ReadAt(b, 1024); err != nil {
		return false, err
	}
	// Documentation/filesystems/ext4/super.rst
	const magic, state, incompat = 0x38, 0x3a, 0x60
	if !bytes.Equal(b[magic:magic+2], []byte{0x53, 0xef}) {
		return false, fmt.Errorf("%s holds no ext4", image)
	}
	const valid, recover = 1, 4
	return b[state]&valid != 0 && b[incompat]&recover == 0, nil
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
