// Package keep keeps the kernel that an Alpine system runs, so that an upgrade
// which replaces it leaves something to boot: its kernel, initramfs and microcode in
// /boot/alpboot/RELEASE, where format kept finds them, and its modules.
//
// apk calls a program before and after it changes anything, and has removed
// /lib/modules/RELEASE by the second time. Before, the modules are linked into
// /lib/modules/.alpboot/RELEASE; after, what apk has removed is linked back.
// The initramfs is a copy, because mkinitfs writes into the file that is there.
// The kernel is a hard link where the filesystem has these: apk replaces it by
// another file.
//
// A power cut may come at any time. What is listed is always whole: it is made
// under a name with a leading dot, written out, and renamed.
package keep

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/version"
)

const (
	bootDir    = "/boot"
	keptDir    = bootDir + "/" + kept.Dir
	modulesDir = "/lib/modules"
	linksDir   = modulesDir + "/.alpboot"
	saidFile   = "/run/alpboot-keep.said"

	making   = ".new-" // what is not whole yet
	removing = ".old-" // what is whole no more
)

// Keeper keeps kernels of the system whose files are below Root.
type Keeper struct {
	Root    string
	Release string // of the running kernel

	// Standing reports whether the boot menu still waits for the report that the
	// running system is up, and the command line that a kernel file of /boot is to be kept
	// with. It may take a while.
	Standing func(kernel string) (waiting bool, cmdline string)

	// Space returns how many bytes are free for files in dir.
	Space func(dir string) (int64, error)

	// Step, when set, is called before each change on a disk: tests end there.
	Step func()

	changes int  // on the disk, so far
	made    bool // something is kept that was not before
	quick   bool // nothing is written out, in tests
}

// Space returns how many bytes are free for files in dir.
func Space(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (k *Keeper) path(name string) string { return filepath.Join(k.Root, name) }

func (k *Keeper) step() {
	k.changes++
	if k.Step != nil {
		k.Step()
	}
}

func (k *Keeper) read(name string) string {
	b, _ := os.ReadFile(k.path(name)) // what cannot be read is as good as not there
	return strings.TrimSpace(string(b))
}

// Before keeps what is running, before packages are changed. said is a sentence
// for the user, or "".
func (k *Keeper) Before() (said string, err error) {
	if why, ok := k.keeps(); !ok {
		return k.once(why), nil
	}
	k.tidy()
	flavour := version.Flavour(k.Release)
	if cmdline.Parse(k.read("/proc/cmdline")).Has(kept.Parameter) {
		return "", nil // it is kept, and the one in its place is not what runs
	}
	vmlinuz := bootDir + "/vmlinuz-" + flavour
	if k.releaseOf(vmlinuz, flavour) != k.Release {
		return "", nil // replaced already
	}
	initramfs := bootDir + "/initramfs-" + flavour
	st, err := os.Stat(k.path(initramfs))
	if err != nil {
		return k.once(fmt.Sprintf("%s is missing: Linux %s is not kept for the case that an upgrade does not boot", initramfs, k.Release)), nil
	}
	all := k.records()
	at := slices.IndexFunc(all, func(r record) bool { return version.Flavour(r.Release) == flavour })
	if at >= 0 && k.fresh(all[at], vmlinuz, initramfs) {
		return "", k.linkModules()
	}
	waiting, line := k.Standing(vmlinuz)
	// An initramfs that was made since has not been booted.
	if at >= 0 && (waiting || st.ModTime().After(k.started())) {
		return "", nil
	}
	if err := k.linkModules(); err != nil {
		return "", fmt.Errorf("keeping the modules of Linux %s: %w", k.Release, err)
	}
	r := record{Record: kept.Record{Release: k.Release, Order: 1, Cmdline: line}, dir: k.Release}
	for _, other := range all {
		r.Order = max(r.Order, other.Order+1)
	}
	for i := 2; slices.ContainsFunc(all, func(o record) bool { return o.dir == r.dir }); i++ {
		r.dir = k.Release + "~" + strconv.Itoa(i)
	}
	if said, err = k.make(&r, vmlinuz, initramfs, all); said != "" || err != nil {
		return said, err
	}
	return "", k.prune()
}

// After puts back what was kept, after packages were changed.
func (k *Keeper) After() error {
	if _, ok := k.keeps(); !ok {
		return nil
	}
	k.tidy()
	installed := k.installed()
	var errs []error
	for _, r := range k.records() {
		// Of what is installed apk has removed what it was asked to remove.
		_, err := os.Stat(k.path(modulesDir + "/" + r.Release + "/modules.dep"))
		if !slices.Contains(installed, r.Release) || r.Release == k.Release && err != nil {
			errs = append(errs, k.restore(r.Release))
		}
	}
	return errors.Join(append(errs, k.prune())...)
}

// Forget removes all that is kept, but what is running.
func (k *Keeper) Forget() error {
	var errs []error
	for _, r := range k.records() {
		if r.Release == k.Release && !slices.Contains(k.installed(), r.Release) {
			errs = append(errs, fmt.Errorf("the kept Linux %s is running, and stays in %s/%s", r.Release, keptDir, r.dir))
			continue
		}
		errs = append(errs, k.drop(r))
	}
	os.Remove(k.path(linksDir)) // when nothing is left in them
	os.Remove(k.path(keptDir))
	return errors.Join(errs...)
}

// Kept reports whether anything is kept.
func (k *Keeper) Kept() bool { return len(k.records()) > 0 }

// Made reports whether Before has kept something that was not kept before.
func (k *Keeper) Made() bool { return k.made }

// keeps reports whether this system is one whose kernels are kept, or why not;
// "" when that is not worth a word.
func (k *Keeper) keeps() (why string, ok bool) {
	own, err1 := os.Stat(k.path("/"))
	first, err2 := os.Stat(k.path("/proc/1/root"))
	if err1 != nil || err2 != nil || !os.SameFile(own, first) {
		return "", false // a chroot: what runs is another system's kernel
	}
	root := ""
	for _, m := range mountinfo.Parse(k.read("/" + mountinfo.Path)) {
		if m.Point == "/" {
			root = m.Type
		}
	}
	if slices.Contains([]string{"tmpfs", "ramfs", "rootfs", "overlay"}, root) {
		return "this system runs from memory: its kernel is that of the boot medium, and is not kept", false
	}
	if to, err := os.Readlink(k.path(modulesDir)); err == nil && strings.Contains(to, "modloop") {
		return "the kernel modules are those of a modloop, and are not kept", false
	}
	return "", true
}

// once returns text the first time since the system has started.
func (k *Keeper) once(text string) string {
	if text == "" || slices.Contains(strings.Split(k.read(saidFile), "\n"), text) {
		return ""
	}
	if f, err := os.OpenFile(k.path(saidFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, text)
		f.Close()
	}
	return text
}

// started returns when the running kernel was started.
func (k *Keeper) started() time.Time {
	for line := range strings.Lines(k.read("/proc/stat")) {
		if s, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Now()
}

// releaseOf returns the release of a kernel file: the image has it, but on arm64.
func (k *Keeper) releaseOf(file, flavour string) string {
	f, err := os.Open(k.path(file))
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	info, err := kernel.Identify(f, st.Size())
	if err != nil {
		return ""
	}
	return cmp.Or(info.Version, k.read("/usr/share/kernel/"+flavour+"/kernel.release"))
}

// installed returns the releases whose packages are installed.
func (k *Keeper) installed() []string {
	files, _ := filepath.Glob(k.path("/usr/share/kernel/*/kernel.release"))
	var list []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			list = append(list, strings.TrimSpace(string(b)))
		}
	}
	return list
}

// record is what was kept of a release, and the directory that it is in.
type record struct {
	kept.Record
	dir string
}

// records returns what is kept, the latest first.
func (k *Keeper) records() []record {
	var list []record
	dirs, _ := os.ReadDir(k.path(keptDir))
	for _, d := range dirs {
		if strings.HasPrefix(d.Name(), ".") {
			continue
		}
		r, err := kept.ParseRecord(k.read(filepath.Join(keptDir, d.Name(), kept.File)))
		if err == nil {
			list = append(list, record{r, d.Name()})
		}
	}
	slices.SortFunc(list, func(a, b record) int { return cmp.Compare(b.Order, a.Order) })
	return list
}

// fresh reports whether r is what would be kept.
func (k *Keeper) fresh(r record, vmlinuz, initramfs string) bool {
	fsys := os.DirFS(k.path(bootDir))
	same := func(name, with string) bool {
		return kept.Same(fsys, kept.Dir+"/"+r.dir+"/"+name, filepath.Base(with))
	}
	root, _ := cmdline.Parse(r.Cmdline).Get("root")
	running, _ := cmdline.Parse(k.read("/proc/cmdline")).Get("root")
	return r.Release == k.Release && root == running && same(kept.Kernel, vmlinuz) && same(kept.Initramfs, initramfs)
}

// microcode are the names of its images, as Alpine's packages have them.
var microcode = [...]string{"intel-ucode.img", "amd-ucode.img"}

// make makes the directory of r. said is why there was no room for it.
func (k *Keeper) make(r *record, vmlinuz, initramfs string, others []record) (said string, err error) {
	type file struct{ from, to string }
	files := []file{{vmlinuz, kept.Kernel}}
	for _, name := range microcode {
		if _, err := os.Stat(k.path(bootDir + "/" + name)); err == nil {
			files = append(files, file{bootDir + "/" + name, name})
			r.Initrds = append(r.Initrds, name)
		}
	}
	files = append(files, file{initramfs, kept.Initramfs})
	r.Initrds = append(r.Initrds, kept.Initramfs)

	temp := keptDir + "/" + making + r.dir
	k.step()
	if err := os.MkdirAll(k.path(temp), 0o755); err != nil {
		return "", err
	}
	linked := map[string]bool{}
	need, upgrade := int64(0), int64(0)
	for _, f := range files {
		st, err := os.Stat(k.path(f.from))
		if err != nil {
			return "", k.abandon(temp, err)
		}
		if f.to != kept.Initramfs {
			k.step()
			linked[f.to] = os.Link(k.path(f.from), k.path(temp+"/"+f.to)) == nil
		}
		if !linked[f.to] {
			need += st.Size()
		}
		if f.from == vmlinuz || f.from == initramfs {
			upgrade += st.Size() // the new ones are written beside them
		}
	}
	const small = 64 << 10 // directories, the record
	free, err := k.Space(k.path(keptDir))
	if err != nil {
		return "", k.abandon(temp, err)
	}
	if free < need+upgrade+small {
		// What came up just now is worth more than what came up before it.
		before := slices.DeleteFunc(slices.Clone(others), func(o record) bool { return version.Flavour(o.Release) != version.Flavour(r.Release) })
		room := free
		for _, o := range before {
			room += k.size(o)
		}
		if room < need+upgrade+small {
			what := "the menu will list no previous kernel"
			if len(before) > 0 {
				what = "Linux " + before[0].Release + " stays the previous one"
			}
			const mb = 1 << 20
			return k.once(fmt.Sprintf("there is no room in %s to keep Linux %s (%d MB are needed for it and an upgrade, %d are free): %s",
				bootDir, r.Release, (need+upgrade+small+mb-1)/mb, free/mb, what)), k.abandon(temp, nil)
		}
		for _, o := range before {
			if err := k.drop(o); err != nil {
				return "", k.abandon(temp, err)
			}
		}
	}
	for _, f := range files {
		if !linked[f.to] {
			if err := k.copy(f.from, temp+"/"+f.to); err != nil {
				return "", k.abandon(temp, err)
			}
		}
	}
	if err := k.write(temp+"/"+kept.File, r.String()); err != nil {
		return "", k.abandon(temp, err)
	}
	k.sync(temp)
	k.step()
	if err := os.Rename(k.path(temp), k.path(keptDir+"/"+r.dir)); err != nil {
		return "", k.abandon(temp, err)
	}
	k.sync(keptDir)
	k.sync(bootDir)
	k.made = true
	return "", nil
}

// abandon removes what was begun.
func (k *Keeper) abandon(dir string, err error) error {
	if err != nil {
		err = fmt.Errorf("keeping Linux %s: %w", k.Release, err)
	}
	return errors.Join(err, os.RemoveAll(k.path(dir)))
}

// size returns how much room r takes; what is a link takes none.
func (k *Keeper) size(r record) int64 {
	var n int64
	files, _ := os.ReadDir(k.path(keptDir + "/" + r.dir))
	for _, d := range files {
		if st, err := d.Info(); err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Nlink == 1 {
				n += st.Size()
			}
		}
	}
	return n
}

// tidy removes what a power cut has left.
func (k *Keeper) tidy() {
	list, _ := os.ReadDir(k.path(keptDir))
	for _, d := range list {
		if strings.HasPrefix(d.Name(), making) || strings.HasPrefix(d.Name(), removing) {
			k.step()
			os.RemoveAll(k.path(keptDir + "/" + d.Name())) // or the next time
		}
	}
}

// prune leaves one release a flavour, and none of a flavour that is neither
// installed nor running.
func (k *Keeper) prune() error {
	var errs []error
	seen := map[string]bool{}
	all := k.records()
	for _, r := range all {
		f := version.Flavour(r.Release)
		_, err := os.Stat(k.path(bootDir + "/vmlinuz-" + f))
		gone := err != nil && f != version.Flavour(k.Release)
		if seen[f] || gone {
			errs = append(errs, k.drop(r))
		}
		seen[f] = true
	}
	// Modules whose kernel was not kept in the end.
	links, _ := os.ReadDir(k.path(linksDir))
	for _, d := range links {
		if !slices.ContainsFunc(all, func(r record) bool { return r.Release == d.Name() }) {
			errs = append(errs, k.dropModules(d.Name()))
		}
	}
	return errors.Join(errs...)
}

// drop removes what is kept of a release: from the list at once.
func (k *Keeper) drop(r record) error {
	old := keptDir + "/" + removing + r.dir
	k.step()
	if err := os.Rename(k.path(keptDir+"/"+r.dir), k.path(old)); err != nil {
		return err
	}
	k.sync(keptDir)
	k.step()
	if err := os.RemoveAll(k.path(old)); err != nil {
		return err
	}
	if slices.ContainsFunc(k.records(), func(o record) bool { return o.Release == r.Release }) {
		return nil
	}
	return k.dropModules(r.Release)
}

// linkModules links the modules of the running kernel into our directory. What is
// there and has the same list of modules is left alone.
func (k *Keeper) linkModules() error {
	from, to := modulesDir+"/"+k.Release, linksDir+"/"+k.Release
	fsys := os.DirFS(k.path(modulesDir))
	if kept.Same(fsys, k.Release+"/modules.dep", ".alpboot/"+k.Release+"/modules.dep") {
		return nil
	}
	if _, err := os.Stat(k.path(from)); errors.Is(err, fs.ErrNotExist) {
		return nil // all is built in
	}
	if err := k.mirror(from, to, true); err != nil {
		return err
	}
	// What a package has removed meanwhile is not put back one day.
	err := filepath.WalkDir(k.path(to), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rest, err := filepath.Rel(k.path(to), name)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(k.path(from + "/" + rest)); errors.Is(err, fs.ErrNotExist) {
			k.step()
			return os.Remove(name)
		}
		return nil
	})
	k.syncAll(to)
	return err
}

// restore puts back what is missing of the modules of a release.
func (k *Keeper) restore(release string) error {
	from := linksDir + "/" + release
	if _, err := os.Stat(k.path(from)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	before := k.changes
	err := k.mirror(from, modulesDir+"/"+release, false)
	if k.changes > before {
		k.syncAll(modulesDir)
	}
	if err != nil {
		return fmt.Errorf("putting the modules of Linux %s back: %w", release, err)
	}
	return nil
}

// isIndex reports whether a file is one of those that depmod writes, into the
// file that is there: they are copied.
func isIndex(rest string) bool {
	return filepath.Dir(rest) == "." && strings.HasPrefix(rest, "modules.")
}

// mirror makes the files below from the files below to, modules as hard links.
// The list of the modules comes last: with it all is there.
func (k *Keeper) mirror(from, to string, replace bool) error {
	list := "modules.dep"
	err := filepath.WalkDir(k.path(from), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(k.path(from), name)
		if err != nil {
			return err
		}
		switch dst := to + "/" + rest; {
		case d.IsDir():
			if _, err := os.Stat(k.path(dst)); err == nil {
				return nil
			}
			k.step()
			return os.MkdirAll(k.path(dst), 0o755)
		case d.Type()&fs.ModeSymlink != 0: // to /boot, or the sources
			target, err := os.Readlink(name)
			if _, there := os.Lstat(k.path(dst)); err != nil || there == nil {
				return err
			}
			k.step()
			return os.Symlink(target, k.path(dst))
		case !d.Type().IsRegular() || rest == list:
			return nil
		default:
			return k.place(from+"/"+rest, dst, isIndex(rest), replace || isIndex(rest))
		}
	})
	if _, there := os.Stat(k.path(from + "/" + list)); err == nil && there == nil {
		err = k.place(from+"/"+list, to+"/"+list, true, true)
	}
	return err
}

// place makes the file to what from is.
func (k *Keeper) place(from, to string, copied, replace bool) error {
	a, err := os.Stat(k.path(from))
	if err != nil {
		return err
	}
	if b, err := os.Lstat(k.path(to)); err == nil {
		same := os.SameFile(a, b) || copied && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
		if same || !replace {
			return nil
		}
	}
	temp := filepath.Join(filepath.Dir(to), making+filepath.Base(to))
	os.Remove(k.path(temp)) // of a power cut
	if !copied {
		k.step()
		err := os.Link(k.path(from), k.path(temp))
		if err == nil {
			k.step()
			return os.Rename(k.path(temp), k.path(to))
		}
		if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EMLINK) {
			return err
		}
	}
	if err := k.copy(from, temp); err != nil {
		os.Remove(k.path(temp))
		return err
	}
	k.step()
	return os.Rename(k.path(temp), k.path(to))
}

// dropModules removes the modules that were kept of a release: also where they were
// put back, unless that is a release which is installed or running.
func (k *Keeper) dropModules(release string) error {
	links := linksDir + "/" + release
	if release != k.Release && !slices.Contains(k.installed(), release) {
		var dirs []string
		err := filepath.WalkDir(k.path(links), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rest, err := filepath.Rel(k.path(links), name)
			if err != nil {
				return err
			}
			own := k.path(modulesDir + "/" + release + "/" + rest)
			if d.IsDir() {
				dirs = append(dirs, own)
				return nil
			}
			k.step()
			if err := os.Remove(own); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, dir := range slices.Backward(dirs) {
			os.Remove(dir) // where somebody else has put something it stays
		}
	}
	k.step()
	return os.RemoveAll(k.path(links))
}

// copy copies a file, with its mode and time, and writes it out.
func (k *Keeper) copy(from, to string) error {
	in, err := os.Open(k.path(from))
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	k.step()
	out, err := os.OpenFile(k.path(to), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, st.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	k.step()
	return errors.Join(err, os.Chtimes(k.path(to), st.ModTime(), st.ModTime()), k.flush(out), out.Close())
}

func (k *Keeper) write(name, text string) error {
	k.step()
	f, err := os.OpenFile(k.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, k.flush(f), f.Close())
}

// flush writes a file or the names in a directory out.
func (k *Keeper) flush(f *os.File) error {
	if k.quick {
		return nil
	}
	return f.Sync()
}

// sync writes the names in a directory out. Some filesystems cannot, and keep
// the order by themselves.
func (k *Keeper) sync(dir string) {
	if d, err := os.Open(k.path(dir)); err == nil {
		_ = k.flush(d)
		d.Close()
	}
}

// syncAll writes the filesystem of a directory out: thousands of links.
func (k *Keeper) syncAll(dir string) {
	if k.quick {
		return
	}
	if d, err := os.Open(k.path(dir)); err == nil {
		_ = unix.Syncfs(int(d.Fd()))
		d.Close()
	}
}
