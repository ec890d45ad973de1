package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/kept"
)

const (
	older   = "6.18.31-0-lts"
	running = "6.18.32-0-lts"
	newer   = "6.18.35-0-lts"
	newest  = "6.18.36-0-lts"
)

// tight is room for one release and an upgrade, whose kernel is a link.
var tight = 64<<10 + 2*int64(len("initramfs of "+running)) + int64(len(boottest.BzImage(running)))

// alpine is an Alpine system in a directory, which runs a kernel, and what apk and
// mkinitfs do to it.
type alpine struct {
	t       *testing.T
	root    string
	clock   time.Time // of the files
	waiting bool
	free    int64
	Keeper
}

func newAlpine(t *testing.T, release string) *alpine {
	t.Helper()
	a := &alpine{t: t, root: t.TempDir(), clock: time.Unix(1_700_000_000, 0), free: 1 << 30}
	a.Root = a.root
	a.quick = true
	a.Space = func(dir string) (int64, error) {
		free := a.free
		for _, r := range a.records() {
			free -= a.size(r)
		}
		return free, nil
	}
	a.Standing = func(string) (bool, string) { return a.waiting, "root=UUID=1 quiet" }
	a.write("/proc/self/mountinfo", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
	if err := os.MkdirAll(a.at("/proc/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(a.root, a.at("/proc/1/root")); err != nil {
		t.Fatal(err)
	}
	a.write("/boot/intel-ucode.img", "microcode")
	a.install("", release)
	a.boot(release, "root=UUID=1 quiet panic=30")
	return a
}

func (a *alpine) at(name string) string { return filepath.Join(a.root, name) }

func (a *alpine) write(name, text string) {
	a.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(a.at(name)), 0o755), os.WriteFile(a.at(name), []byte(text), 0o644), os.Chtimes(a.at(name), a.clock, a.clock)); err != nil {
		a.t.Fatal(err)
	}
}

// boot starts a release; what is written from then on is later.
func (a *alpine) boot(release, cmdline string) {
	a.clock = a.clock.Add(time.Hour)
	a.Release = release
	a.write("/proc/stat", fmt.Sprintf("cpu 1 2\nbtime %d\n", a.clock.Unix()))
	a.write("/proc/cmdline", cmdline+"\n")
	os.RemoveAll(a.at("/run"))
	a.write("/run/utmp", "")
	a.clock = a.clock.Add(time.Hour)
}

// modules are the files of a release: the package's, and those of depmod.
func modules(release string) map[string]string {
	return map[string]string{
		"modules.order": "kernel/ext4.ko\n", "kernel/fs/ext4/ext4.ko.gz": "ext4 of " + release, "kernel/net/virtio_net.ko.gz": "virtio_net of " + release,
		"modules.dep": "ext4.ko: of " + release, "modules.alias": "alias of " + release,
	}
}

// install does what apk does between its two calls of the hooks, and mkinitfs as
// its trigger.
func (a *alpine) install(old, release string) {
	a.t.Helper()
	a.clock = a.clock.Add(time.Minute)
	replace := func(name, text string) { // apk extracts beside the file, and renames
		a.write(name+".apk.0123", text)
		if err := os.Rename(a.at(name+".apk.0123"), a.at(name)); err != nil {
			a.t.Fatal(err)
		}
	}
	replace("/boot/vmlinuz-lts", string(boottest.BzImage(release)))
	replace("/usr/share/kernel/lts/kernel.release", release+"\n")
	for name, text := range modules(release) {
		replace("/lib/modules/"+release+"/"+name, text)
	}
	if old != "" && old != release {
		for name := range modules(old) {
			if name != "modules.dep" && name != "modules.alias" { // not of the package
				if err := os.Remove(a.at("/lib/modules/" + old + "/" + name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					a.t.Fatal(err)
				}
			}
		}
		for _, dir := range []string{"/kernel/fs/ext4", "/kernel/fs", "/kernel/net", "/kernel"} {
			os.Remove(a.at("/lib/modules/" + old + dir))
		}
		a.write("/lib/modules/"+old+"/modules.dep", "") // depmod, called for a directory that has changed
	}
	a.write("/boot/initramfs-lts", "initramfs of "+release) // in place
}

// before and after are the two calls of the hook.
func (a *alpine) before() string {
	a.t.Helper()
	said, err := a.Before()
	if err != nil {
		a.t.Fatal(err)
	}
	return said
}

func (a *alpine) after() {
	a.t.Helper()
	if err := a.After(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *alpine) upgrade(release string) {
	a.t.Helper()
	old := a.read("/usr/share/kernel/lts/kernel.release")
	a.before()
	a.install(old, release)
	a.after()
}

// entries returns what the menu lists of what is kept.
func (a *alpine) entries() []boot.Entry {
	a.t.Helper()
	l, err := kept.Parse(os.DirFS(a.root), boot.Volume{})
	if err != nil || len(l.Notes) > 0 {
		a.t.Fatal(err, l.Notes)
	}
	return l.Entries
}

// whole asserts that all that is listed can be booted: kernel and initramfs are of
// one release, and its modules are there or will be put back.
func (a *alpine) whole() {
	a.t.Helper()
	for _, e := range a.entries() {
		var got []string
		for _, name := range append([]string{e.Kernel}, e.Initrds...) {
			got = append(got, a.read("/"+name))
		}
		dir, _, _ := strings.Cut(filepath.Base(filepath.Dir(e.Kernel)), "~")
		want := []string{strings.TrimSpace(string(boottest.BzImage(dir))), "microcode", "initramfs of " + dir}
		if !slices.Equal(got, want) {
			a.t.Errorf("%s: kernel, microcode and initramfs are not those of %s", e.Source.File, dir)
		}
		if e.Cmdline != "root=UUID=1 quiet alpboot.previous" {
			a.t.Errorf("%s: command line %q", e.Source.File, e.Cmdline)
		}
		for name, text := range modules(dir) {
			if a.read("/lib/modules/"+dir+"/"+name) != strings.TrimSpace(text) && a.read(linksDir+"/"+dir+"/"+name) != strings.TrimSpace(text) {
				a.t.Errorf("%s: the module file %s of %s is lost", e.Source.File, name, dir)
			}
		}
	}
}

// previous asserts that one release is listed, with all its modules in place, and
// that nothing else was left behind.
func (a *alpine) previous(release string) {
	a.t.Helper()
	a.whole()
	var got []string
	for _, e := range a.entries() {
		dir, _, _ := strings.Cut(filepath.Base(filepath.Dir(e.Kernel)), "~")
		got = append(got, dir)
	}
	if !slices.Equal(got, []string{release}) {
		a.t.Fatalf("%q are listed, want %s", got, release)
	}
	for name, text := range modules(release) {
		if got := a.read("/lib/modules/" + release + "/" + name); got != strings.TrimSpace(text) {
			a.t.Errorf("/lib/modules/%s/%s is %q", release, name, got)
		}
	}
	dirs, _ := filepath.Glob(a.at("/boot/alpboot/*"))
	hidden, _ := filepath.Glob(a.at("/boot/alpboot/.*"))
	if all := append(dirs, hidden...); len(all) != 1 {
		a.t.Errorf("left in /boot/alpboot: %q", all)
	}
	have := map[string]bool{release: true, a.read("/usr/share/kernel/lts/kernel.release"): true, a.Release: true}
	for _, pattern := range []string{modulesDir + "/[0-9]*", linksDir + "/*"} {
		list, _ := filepath.Glob(a.at(pattern))
		for _, name := range list {
			if out, _ := exec.Command("find", name, "-name", "*.ko*").Output(); len(out) > 0 && !have[filepath.Base(name)] {
				a.t.Errorf("%s was left", name)
			}
		}
	}
}

// TestUpgrade asserts that after an upgrade the kernel that was running before is
// listed and has its modules, and that there is never more than one.
func TestUpgrade(t *testing.T) {
	a := newAlpine(t, running)
	a.before() // some other package
	a.after()
	if got := a.entries(); len(got) != 0 {
		t.Errorf("what is installed is listed as the previous kernel: %v", got)
	}
	a.upgrade(newer)
	a.previous(running)
	a.upgrade(newest) // before a reboot: newer has never been booted
	a.previous(running)
	a.boot(newest, "root=UUID=1 quiet")
	a.upgrade(older) // a downgrade
	a.previous(newest)
}

// TestFallback asserts that the previous kernel stays while it is what runs, whatever
// is tried in the place of the one that did not boot.
func TestFallback(t *testing.T) {
	a := newAlpine(t, running)
	a.upgrade(newer)
	a.boot(running, "root=UUID=1 quiet alpboot.previous panic=30")
	a.upgrade(newest)
	a.previous(running)
	a.upgrade(running) // the very release again, with a new initramfs
	a.boot(running, "root=UUID=1 quiet")
	a.upgrade(newer)
	a.previous(running)
}

// TestInitramfs asserts that an initramfs which was made since the start is not
// taken for the one that booted, and that one which has booted is.
func TestInitramfs(t *testing.T) {
	a := newAlpine(t, running)
	a.before()
	a.write("/boot/initramfs-lts", "one that does not boot")
	a.upgrade(running)
	a.write("/boot/initramfs-lts", "one that does not boot")
	a.previous(running)
	a.write("/boot/initramfs-lts", "another initramfs")
	a.boot(running, "root=UUID=1 quiet")
	a.before()
	a.write("/boot/initramfs-lts", "one that does not boot")
	l := a.entries()
	if len(l) != 1 || a.read("/"+l[0].Initrds[1]) != "another initramfs" {
		t.Errorf("what is listed is not what has booted last: %v", l)
	}
}

// TestUnconfirmed asserts that a system which has not reported that it is up does
// not take the place of one that has.
func TestUnconfirmed(t *testing.T) {
	a := newAlpine(t, older)
	a.upgrade(running)
	a.boot(running, "root=UUID=1 quiet")
	a.waiting = true
	a.upgrade(newer)
	a.previous(older)
	b := newAlpine(t, running)
	b.waiting = true
	b.upgrade(newer)
	b.previous(running) // better than nothing
}

// TestModulePackage asserts that modules which another package brings or takes
// away are kept as they were.
func TestModulePackage(t *testing.T) {
	a := newAlpine(t, running)
	extra := func(text string) {
		a.clock = a.clock.Add(time.Minute)
		a.write("/lib/modules/"+running+"/modules.dep", text)
	}
	a.before()
	a.write("/lib/modules/"+running+"/extra/zfs.ko", "zfs")
	a.write("/lib/modules/"+running+"/extra/wl.ko", "wl")
	extra("zfs.ko: wl.ko: ext4.ko:")
	a.after()
	a.before()
	os.Remove(a.at("/lib/modules/" + running + "/extra/wl.ko"))
	extra("ext4.ko: of " + running)
	a.after()
	if a.read("/lib/modules/"+running+"/extra/wl.ko") != "" {
		t.Error("what was uninstalled is back")
	}
	a.before()
	os.RemoveAll(a.at("/lib/modules/" + running + "/extra"))
	a.install(running, newer)
	a.after()
	a.previous(running)
	if got := a.read("/lib/modules/" + running + "/extra/zfs.ko"); got != "zfs" {
		t.Errorf("the module of another package is %q", got)
	}
	if got := a.read("/lib/modules/" + running + "/extra/wl.ko"); got != "" {
		t.Errorf("the module that was uninstalled is %q", got)
	}
}

// TestNoRoom asserts that a user reads once that there is no room, that an older
// kernel gives way where that is enough, and that an upgrade still fits.
func TestNoRoom(t *testing.T) {
	a := newAlpine(t, running)
	a.free = 100 << 10
	a.write("/boot/initramfs-lts", strings.Repeat("i", 60<<10))
	a.boot(running, "root=UUID=1 quiet")
	if got := a.before(); !strings.Contains(got, "there is no room in /boot to keep Linux "+running) || !strings.Contains(got, "no previous kernel") {
		t.Errorf("%q", got)
	}
	if got := a.before(); got != "" {
		t.Errorf("said again: %q", got)
	}
	if list, _ := os.ReadDir(a.at(keptDir)); len(list) > 0 {
		t.Errorf("%v was left", list)
	}
	a.install(running, newer)
	a.after()

	b := newAlpine(t, older)
	b.upgrade(running)
	b.boot(running, "root=UUID=1 quiet")
	b.free = tight
	b.upgrade(newer)
	b.previous(running)
}

// TestPassedOver asserts that nothing is kept of a system whose kernel is another's.
func TestPassedOver(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(a *alpine)
	}{
		{"diskless", "runs from memory", func(a *alpine) {
			a.write("/proc/self/mountinfo", "1 1 0:1 / / rw - tmpfs tmpfs rw\n2 1 8:1 / /media/sda1 ro - vfat /dev/sda1 ro\n")
		}},
		{"modloop", "modloop", func(a *alpine) {
			os.RemoveAll(a.at(modulesDir))
			os.Symlink("/.modloop/modules", a.at(modulesDir))
		}},
		{"chroot", "", func(a *alpine) { os.Remove(a.at("/proc/1/root")); os.Symlink("/", a.at("/proc/1/root")) }},
		{"no initramfs", "/boot/initramfs-lts is missing", func(a *alpine) { os.Remove(a.at("/boot/initramfs-lts")) }},
		{"another system's kernel", "", func(a *alpine) { a.Release = "6.1.0-18-amd64" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAlpine(t, running)
			tt.change(a)
			if got := a.before(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("said %q", got)
			}
			a.after()
			if len(a.records()) > 0 {
				t.Error("something is kept")
			}
		})
	}
}

// TestForget asserts that nothing is left when the hook goes, but what is running.
func TestForget(t *testing.T) {
	a := newAlpine(t, running)
	a.upgrade(newer)
	a.boot(newer, "root=UUID=1 quiet")
	if err := a.Forget(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("find", a.at("/boot/alpboot"), a.at(linksDir), a.at("/lib/modules/"+running)).Output()
	if len(out) > 0 {
		t.Errorf("left (%v):\n%s", err, out)
	}
	b := newAlpine(t, running)
	b.upgrade(newer)
	b.boot(running, "root=UUID=1 quiet alpboot.previous")
	if err := b.Forget(); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("the running kernel was removed: %v", err)
	}
	b.previous(running)
}

// errPower is a power cut.
var errPower = errors.New("power cut")

// TestPowerCut asserts that after a power cut at any change what is listed is
// whole, and that the next run of the hook puts all right. Before it, an older
// release is kept.
func TestPowerCut(t *testing.T) {
	for _, room := range []int64{1 << 30, tight} {
		for cut := 1; ; cut++ {
			a := newAlpine(t, older)
			a.upgrade(running)
			a.boot(running, "root=UUID=1 quiet")
			a.free = room
			done, left := false, cut
			step := func() {
				if left--; left == 0 {
					panic(errPower)
				}
			}
			upgraded := false
			func() {
				defer func() {
					if r := recover(); r != nil && r != any(errPower) {
						panic(r)
					}
				}()
				a.Step = step
				a.before()
				a.install(running, newer)
				upgraded = true
				a.after()
				done = true
			}()
			a.Step = nil
			a.whole()
			if done {
				if cut < 20 {
					t.Errorf("only %d changes were seen", cut)
				}
				a.previous(running)
				break
			}
			if upgraded { // newer is started, or what was kept
				if n := len(a.entries()); n != 1 {
					t.Fatalf("cut %d: %d previous kernels are listed", cut, n)
				}
				a.boot(running, "root=UUID=1 quiet alpboot.previous")
				a.after() // the service at the start
				a.previous(running)
				a.boot(newer, "root=UUID=1 quiet")
				a.upgrade(newest)
				a.previous(newer)
			} else {
				a.boot(running, "root=UUID=1 quiet")
				a.upgrade(newer)
				a.previous(running)
			}
			if t.Failed() {
				t.Fatalf("cut at change %d", cut)
			}
		}
	}
}
