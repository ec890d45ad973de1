package qemutests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// virtualTime has a machine's clock follow the instructions that it executes, and
// skip what it sleeps: ten minutes pass in as many seconds, and on a busy host no
// timer runs out early.
var virtualTime = []string{"-icount", "shift=1,sleep=off", "-rtc", "clock=vm"}

// esb and tco are watchdogs that QEMU has; the second is part of the machine, and
// the strap of its chip that disables it is taken off.
var (
	esb = []string{"-device", "i6300esb", "-action", "watchdog=reset"}
	tco = []string{"-global", "ICH9-LPC.noreboot=false", "-action", "watchdog=reset"}
)

// watchdogFor is what a menu is started with that nobody types for: each system has
// one try. A disk may take long in virtual time, which does not stand still while the
// host reads or writes.
const watchdogFor = "alpboot.timeout=1 alpboot.confirm=1 watchdog.stop_on_reboot=0 alpboot.watchdog=60 alpboot.device-limit=600"

// onBoot is where the menu remembers on a machine without EFI variables.
const onBoot = " alpboot.remember=UUID=" + disk.BootUUID + ":/alpboot.state"

// menuBegins is what the menu's kernel prints once in each start, our own and
// Debian's: the systems' command lines have no such parameter.
var menuBegins = regexp.MustCompile(`Kernel command line: .*alpboot\.confirm=1`)

// badAndGood is a disk whose default does not come up, and whose second entry, with
// Debian's older kernel, powers the machine off.
func badAndGood(t *testing.T, bad disk.Kernel) (vm.Drive, debian.Kernel) {
	t.Helper()
	bad.Flavour = "lts"
	good := kernelOf(t, debian.Older)
	in := disk.Install{
		Options: targetOptions + " panic=5",
		Kernels: []disk.Kernel{bad, {Flavour: "virt", Image: good.Image, Initramfs: initramfs(t, target.Gzip, map[string]string{"flavour": "virt"})}},
	}
	return vm.Drive{File: write(t, disk.GPTDisk(in)), Access: vm.Writeable}, good
}

// fallsBack waits until the bad system has been started, what the menu says of it
// after the reset, and that the good one is booted then, all by itself. It returns
// the report of the bad one.
func (m machine) fallsBack(good debian.Kernel, says ...string) report.Report {
	m.t.Helper()
	m.Await(menuLimit+targetLimit, vm.InLog(report.LastLine))
	log := m.Serial(0).Log()
	first, err := report.Parse(log)
	if err != nil {
		m.t.Fatal(err)
	}
	m.text(menuLimit+targetLimit, "did not come up, try 1 of 1")
	for _, text := range says {
		m.text(drawLimit, text)
	}
	m.Await(targetLimit, vm.LogAfter(len(log), report.LastLine))
	m.AwaitEnd(time.Minute)
	second, err := report.Parse(m.Serial(0).Log())
	if err != nil {
		m.t.Fatal(err)
	}
	if second.Release != good.Release || second.Files["flavour"] != "virt" {
		m.t.Errorf("after that came %q with %v", second.Release, second.Files)
	}
	if n := len(menuBegins.FindAllString(m.Serial(0).Log(), -1)); n != 2 {
		m.t.Errorf("the menu's kernel was started %d times", n)
	}
	return first
}

// A system that sleeps for ever is reset by the watchdog that the menu has started,
// and another one is booted. Its kernel has no driver for the watchdog.
func TestWatchdogWithoutDriver(t *testing.T) {
	needOwnKernel(t, "Debian's kernel has no watchdog built in")
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	drive, good := badAndGood(t, disk.Kernel{Image: k.Image, Initramfs: targetImage(t, target.Image{End: report.Hang, Compression: target.Gzip})})
	m := startWith(t, watchdogFor+onBoot, func(o *vm.Options) {
		o.Resets, o.Extra = true, append(virtualTime, esb...)
	}, drive)
	r := m.fallsBack(good, "The watchdog (i6300ESB timer) reset the machine.")
	if !strings.Contains(r.Cmdline, " watchdog.open_timeout=60 alpboot.watchdog=i6300esb") {
		t.Errorf("the command line of the first system is %q", r.Cmdline)
	}
}

// The same with a driver in the system's kernel, which notices that the watchdog
// runs and feeds it for as long as it is told to. Of this one nothing is known
// afterwards.
func TestWatchdogWithDriver(t *testing.T) {
	needOwnKernel(t, "it is the system, too: Debian's has no driver for this watchdog")
	needEverything(t)
	t.Parallel()
	kernel, _, err := anyKernel()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	// The menu does not start its own kernel by itself: this one has another name
	// in its header.
	const own, other = "-alpboot (", "-another ("
	if !bytes.Contains(b, []byte(own)) {
		t.Fatalf("%s does not name itself", kernel)
	}
	image := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(image, bytes.Replace(b, []byte(own), []byte(other), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	drive, good := badAndGood(t, disk.Kernel{Image: image, Initramfs: targetImage(t, target.Image{End: report.Hang, Compression: target.Zstd})})
	m := startWith(t, watchdogFor+onBoot, func(o *vm.Options) {
		o.Resets, o.Extra = true, append(virtualTime, tco...)
	}, drive)
	m.Await(menuLimit+targetLimit, vm.InLog(report.LastLine))
	log := m.Serial(0).Log()
	if r, err := report.Parse(log); err != nil || !strings.Contains(r.Cmdline, " watchdog.open_timeout=60 alpboot.watchdog=iTCO_wdt") {
		t.Errorf("the command line of the first system is %q, %v", r.Cmdline, err)
	}
	m.text(menuLimit+targetLimit, "did not come up, try 1 of 1")
	m.text(drawLimit, "Nothing was kept of it: no EFI variables.")
	m.Await(targetLimit, vm.LogAfter(len(log), report.LastLine))
	m.AwaitEnd(time.Minute)
	if r, err := report.Parse(m.Serial(0).Log()); err != nil || r.Release != good.Release {
		t.Errorf("after that came %q, %v", r.Release, err)
	}
}

// A system that takes the watchdog over is left alone: for ten minutes of its time.
func TestWatchdogTakenOver(t *testing.T) {
	needOwnKernel(t, "Debian's kernel has no watchdog built in")
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	in := disk.Install{
		Options: targetOptions,
		Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: targetImage(t, target.Image{
			End: report.Feed, Compression: target.Gzip, Programs: modulesOf(t, k, "watchdog", "i6300esb"),
		})}},
	}
	m := startWith(t, watchdogFor, func(o *vm.Options) {
		o.Resets, o.Extra = true, append(virtualTime, esb...)
	}, vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.Await(menuLimit+2*targetLimit, vm.InLog("alpboot target: the watchdog was fed for 10m0s"))
	m.AwaitEnd(time.Minute)
	if n := len(menuBegins.FindAllString(m.Serial(0).Log(), -1)); n != 1 {
		t.Errorf("the menu's kernel was started %d times", n)
	}
}

// The text of a panic is on the next screen, on a machine with EFI variables and a
// kernel that writes them. It is not erased.
func TestPanicIsKept(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	drive, good := badAndGood(t, disk.Kernel{Image: k.Image, Initramfs: targetImage(t, target.Image{
		End: report.Exit, Compression: target.Gzip, Programs: modulesOf(t, k, "efi-pstore"),
	})})
	o := func(o *vm.Options) {
		o.Resets = true
		o.Flash = vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")}
	}
	m := startWith(t, "alpboot.timeout=3 alpboot.confirm=1", o, drive)
	m.fallsBack(good, "Kernel panic - not syncing: Attempted to kill init!")
}

// On a machine without EFI variables nothing is kept, and the screen says so.
func TestPanicIsNotKept(t *testing.T) {
	needQEMU(t)
	needEverything(t)
	t.Parallel()
	k := kernelOf(t, debian.Newer)
	drive, good := badAndGood(t, disk.Kernel{Image: k.Image, Initramfs: targetImage(t, target.Image{End: report.Exit, Compression: target.Gzip})})
	m := startWith(t, "alpboot.timeout=3 alpboot.confirm=1"+onBoot, func(o *vm.Options) { o.Resets = true }, drive)
	m.fallsBack(good, "Nothing was kept of it: no EFI variables.")
}

// modulesOf returns modules of a kernel by their names, unpacked, as the files of a
// target that loads them in this order.
func modulesOf(t *testing.T, k debian.Kernel, names ...string) map[string][]byte {
	t.Helper()
	if k.Modules == "" {
		missing(t, fs.ErrNotExist)
	}
	files := map[string][]byte{}
	for i, name := range names {
		found := ""
		err := filepath.WalkDir(k.Modules, func(file string, d fs.DirEntry, err error) error {
			base, _, _ := strings.Cut(filepath.Base(file), ".ko")
			if err == nil && !d.IsDir() && base == name && base != filepath.Base(file) {
				found = file
			}
			return err
		})
		if err != nil || found == "" {
			t.Fatalf("%s has no module %s: %v", k.Release, name, err)
		}
		b, err := os.ReadFile(found)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = bytes.NewReader(b)
		switch filepath.Ext(found) {
		case ".xz":
			r, err = xz.NewReader(r)
		case ".gz":
			r, err = gzip.NewReader(r)
		}
		if err == nil {
			b, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatalf("unpacking %s: %v", found, err)
		}
		files[fmt.Sprintf("%s/%d.ko", report.Modules, i)] = b
	}
	return files
}
