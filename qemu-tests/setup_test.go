package qemutests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// How long things may take on a slow, busy machine that emulates another.
const (
	menuLimit   = 3 * time.Minute // from power on to the menu
	drawLimit   = time.Minute     // from a key to what it changes on the screen
	targetLimit = 3 * time.Minute // from Enter to the target's report
)

// targetOptions are kernel parameters of what the menu boots. Without
// no_timer_check a kernel panics where the host is so busy that an emulated timer
// does not tick while the kernel checks it.
const targetOptions = "console=ttyS0,115200 no_timer_check"

// menuConsoles are the menu's own, at the end of a command line that alpboot made
// itself. No configuration adds no_timer_check to that.
const menuConsoles = " console=tty0 console=ttyS0,115200"

// roomy is the memory in MiB of machines in which one kernel follows another.
// QEMU takes minutes where a kernel unpacks itself, at a random place, over code
// that has run before: each write there has to look which of its translations it
// ends. It does so whichever call has loaded the kernel. With much memory such a
// place is seldom.
const roomy = 2048

// made is what is built once for all tests.
var made *assets.Assets

func TestMain(m *testing.M) {
	flag.Parse()
	// A test that waits for its turn occupies none of the places that run.
	flag.Set("test.parallel", "64")
	var err error
	if made, err = assets.Open(os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// needQEMU skips a test where there is no QEMU; in CI that is a failure.
func needQEMU(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves virtual machines out")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("qemu-system-x86_64 is not installed (Debian: package qemu-system-x86)")
	}
}

// everything reports whether make test-all is running: tests that take long, or
// whose meaning others have but for a detail.
func everything() bool { return os.Getenv("ALPBOOT_TEST_ALL") != "" }

// needEverything skips a test that only make test-all runs.
func needEverything(t *testing.T) {
	t.Helper()
	if !everything() {
		t.Skip("make test-all runs it")
	}
}

// payload is a kernel for the menu, and an initramfs that fits it.
type payload func() (kernel, initrd string, err error)

// files returns the kernel and the initramfs, which is unpacked: packed it is part of
// the payloads that other tests start.
func (p payload) files() (kernel, initrd string, err error) {
	if kernel, initrd, err = p(); err != nil {
		return "", "", err
	}
	initrd, err = made.Unpacked(initrd)
	return kernel, initrd, err
}

// anyKernel is the one that is at hand: our own where make kernel has built it,
// else Debian's.
var anyKernel = payload(func() (string, string, error) {
	_, initrd, err := made.Menu()
	if err != nil {
		return "", "", err
	}
	kernel, err := made.StartedKernel()
	return kernel, initrd, err
})

// needOwnKernel skips a test of something that only our own kernel has, when it
// has not been built. .ci/run builds it first.
func needOwnKernel(t *testing.T, why string) {
	t.Helper()
	needQEMU(t)
	if !made.HasKernel() {
		missing(t, errors.New(why+": make kernel builds it"))
	}
}

// eachKernel runs a test with our own kernel, when it has been built, and with
// Debian's, which has modules.
func eachKernel(t *testing.T, test func(t *testing.T, p payload)) {
	needQEMU(t)
	t.Parallel()
	t.Run("own kernel", func(t *testing.T) {
		needOwnKernel(t, "the menu's own kernel has not been built")
		t.Parallel()
		test(t, anyKernel)
	})
	t.Run("Debian's kernel", func(t *testing.T) {
		t.Parallel()
		test(t, made.MenuOnDebian)
	})
}

// machine is a virtual machine that runs the menu.
type machine struct {
	*vm.Machine
	t *testing.T
}

// start starts a machine with the menu on its serial port. Parameters are
// further ones for the menu's kernel.
func start(t *testing.T, p payload, parameters string, drives ...vm.Drive) machine {
	t.Helper()
	return startOn(t, p, vm.NoDisplay, parameters, drives...)
}

// startOn is start for a machine that may have a screen too.
func startOn(t *testing.T, p payload, d vm.Display, parameters string, drives ...vm.Drive) machine {
	t.Helper()
	return launch(t, p, parameters, func(o *vm.Options) { o.Display = d }, drives)
}

// startWith starts a machine that change alters, with the kernel that is at hand.
func startWith(t *testing.T, parameters string, change func(*vm.Options), drives ...vm.Drive) machine {
	t.Helper()
	return launch(t, anyKernel, parameters, change, drives)
}

func launch(t *testing.T, p payload, parameters string, change func(*vm.Options), drives []vm.Drive) machine {
	t.Helper()
	kernel, initrd, err := p.files()
	if err != nil {
		t.Fatal(err)
	}
	takePlace(t)
	o := vm.Options{
		Kernel: kernel, Initrd: initrd, Drives: drives,
		Cmdline: strings.TrimSpace("console=ttyS0,115200 " + parameters),
		Memory:  roomy,
		// Kept by the build, so that a failed run can be examined.
		Dir: made.Path("qemu-tests", t.Name()),
	}
	change(&o)
	return machine{vm.Start(t, o), t}
}

// prompt waits for the shell's prompt at the end of the screen.
func (m machine) prompt() {
	m.t.Helper()
	m.Await(drawLimit, vm.ScreenIs("the shell's prompt", func(s vm.Screen) bool {
		lines := strings.Split(strings.TrimRight(s.String(), " \n"), "\n")
		return strings.TrimSpace(lines[len(lines)-1]) == "$"
	}))
}

// shell opens the recovery shell.
func (m machine) shell() {
	m.t.Helper()
	m.Type("s")
	m.prompt()
}

// run types a command to the shell, and waits until its output holds a text,
// which the command itself does not.
func (m machine) run(command, want string) {
	m.t.Helper()
	before := len(m.Serial(0).Log())
	m.Type(vm.Key(command), vm.Enter)
	m.Await(drawLimit, vm.LogAfter(before, want))
	m.prompt()
}

// autoload lets the kernel load the modules that a command in the shell needs. On
// our own, where all is built in, it means nothing.
const autoload = "echo /bbin/modprobe > /proc/sys/kernel/modprobe; "

// leaveShell goes back to the menu.
func (m machine) leaveShell() {
	m.t.Helper()
	m.Type("exit", vm.Enter)
	m.text(drawLimit, "Back from the shell.")
}

// row waits until one row of the screen holds all texts.
func (m machine) row(limit time.Duration, texts ...string) {
	m.t.Helper()
	m.Await(limit, vm.ScreenIs(fmt.Sprintf("a row with %q", texts), func(s vm.Screen) bool { return rowOf(s, texts...) >= 0 }))
}

// rowOf returns the first row that holds all texts, or -1.
func rowOf(s vm.Screen, texts ...string) int {
rows:
	for y, line := range s.Lines() {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue rows
			}
		}
		return y
	}
	return -1
}

// text waits until the screen holds a text, wherever its lines are broken.
func (m machine) text(limit time.Duration, text string) {
	m.t.Helper()
	m.Await(limit, vm.ScreenIs(fmt.Sprintf("%q on the screen", text), func(s vm.Screen) bool {
		return strings.Contains(flowing(s), text)
	}))
}

// flowing returns the text of the screen with every run of white space as one
// blank.
func flowing(s vm.Screen) string {
	return strings.Join(strings.Fields(s.String()), " ")
}

// inList is as much of a kernel's release as the list is sure to have room for.
func inList(release string) string {
	return release[:min(len(release), 15)]
}

// selected waits until the row that the menu marks holds text.
func (m machine) selected(text string) {
	m.t.Helper()
	m.Await(drawLimit, isSelected(text))
}

func isSelected(text string) vm.Condition {
	return vm.ScreenIs(fmt.Sprintf("%q selected", text), func(s vm.Screen) bool {
		y := rowOf(s, text)
		return y >= 0 && isMarked(s.Lines()[y])
	})
}

// isMarked reports whether a row of the menu has the mark of the selected one.
func isMarked(row string) bool {
	return strings.ContainsAny(string([]rune(row + "  ")[:2]), "►>")
}

// want is what a target must say.
type want struct {
	kernel  debian.Kernel
	cmdline string
	files   map[string]string
}

// target waits for the target's report and checks all of it.
func (m machine) target(w want) {
	m.t.Helper()
	if !slices.Contains(strings.Fields(w.cmdline), "no_timer_check") && !strings.HasSuffix(w.cmdline, menuConsoles) {
		m.t.Errorf("the command line %q lacks no_timer_check: see targetOptions", w.cmdline)
	}
	m.Await(targetLimit, vm.InLog(report.LastLine))
	m.AwaitEnd(time.Minute)
	r, err := report.Parse(m.Serial(0).Log())
	if err != nil {
		m.t.Fatal(err)
	}
	if r.Release != w.kernel.Release {
		m.t.Errorf("kernel %q was booted, want %q", r.Release, w.kernel.Release)
	}
	if !strings.HasPrefix(r.Banner, "Linux version "+w.kernel.Release+" ") {
		m.t.Errorf("the kernel's banner is %q", r.Banner)
	}
	if r.Cmdline != w.cmdline {
		m.t.Errorf("command line\n  got  %q\n  want %q", r.Cmdline, w.cmdline)
	}
	for name, content := range w.files {
		if r.Files[name] != content {
			m.t.Errorf("file %s of the initramfs is %q, want %q", name, r.Files[name], content)
		}
	}
	if len(r.Files) != len(w.files) {
		m.t.Errorf("the initramfs holds %v, want %v", r.Files, w.files)
	}
}

// kernelOf returns one of Debian's kernels.
func kernelOf(t *testing.T, l debian.Line) debian.Kernel {
	t.Helper()
	k, err := made.Debian(l)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// initramfs returns a target's initramfs that carries files.
func initramfs(t *testing.T, c target.Compression, files map[string]string) []byte {
	t.Helper()
	return targetImage(t, target.Image{Files: files, Compression: c})
}

// targetImage returns the initramfs of a target, with its init.
func targetImage(t *testing.T, im target.Image) []byte {
	t.Helper()
	var err error
	if im.Init, err = made.TargetInit(); err != nil {
		t.Fatal(err)
	}
	b, err := target.Initramfs(im)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write makes the image file of a disk, which is kept when the test fails.
func write(t *testing.T, l disk.Layout) string {
	t.Helper()
	return writeAs(t, "disk.img", l)
}

// writeAs is write for one of several disks, by the name of its file.
func writeAs(t *testing.T, name string, l disk.Layout) string {
	t.Helper()
	file := made.Path("qemu-tests", t.Name(), name)
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.Remove(file)
		}
	})
	return file
}

// sum returns the SHA-256 of a file.
func sum(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
