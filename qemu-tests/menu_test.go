package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/device/luks/lukstest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// without waits until no row of the screen holds text.
func (m machine) without(text string) {
	m.t.Helper()
	m.Await(drawLimit, vm.ScreenIs(fmt.Sprintf("no %q on the screen", text), func(s vm.Screen) bool {
		return !strings.Contains(flowing(s), text)
	}))
}

// notBooted fails when a target has started already.
func (m machine) notBooted(k debian.Kernel) {
	m.t.Helper()
	// The menu's kernel may be of the same release.
	if strings.Count(m.Serial(0).Log(), "] Linux version ") > 1 {
		m.t.Fatalf("%s was booted unasked:\n%s", k.Release, m.Serial(0).Screen().Framed())
	}
}

// A user whose Alpine is on an encrypted disk types its passphrase into the
// menu: a wrong one is refused, the right one unlocks the disk, and its entry
// boots and need not ask again, as that was asked for.
func TestEncryptedDisk(t *testing.T) {
	needQEMU(t)
	if _, err := exec.LookPath(lukstest.Programs); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Parallel()
	const uuid, passphrase = "11111111-2222-4333-8444-555555555555", "pass phrase"
	k := kernelOf(t, debian.Older)
	in := disk.Install{
		Options: "cryptroot=UUID=" + uuid + " cryptdm=root quiet no_timer_check",
		Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, map[string]string{"flavour": "lts"})}},
	}
	layout := disk.OneRoot(in)
	layout.Partitions[0].Size += 16
	// As cryptsetup does it by itself, but for less memory and time.
	layout.Partitions[0].FS.In = []disk.Volume{disk.LUKS2(passphrase, "--uuid", uuid,
		"--pbkdf", "argon2id", "--pbkdf-memory", "32768", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1")}
	file := write(t, layout)
	before := sum(t, file)
	m := start(t, anyKernel, "alpboot.timeout=-1 alpboot.hand-on-passphrase", vm.Drive{File: file, Access: vm.Writeable})
	m.row(menuLimit, "vda1", "encrypted")
	m.Type(vm.Enter)
	m.text(drawLimit, "Nothing of it is shown.")
	m.text(drawLimit, "[x] Pass it on")
	m.Type("no idea", vm.Enter)
	m.text(drawLimit, "This passphrase does not unlock vda1. Tries left: 2.")
	m.Type(passphrase, vm.Enter)
	m.row(drawLimit, "Linux lts", inList(k.Release))
	m.Type(vm.Home, vm.Enter)
	m.target(want{k, in.Cmdline("UUID="+disk.RootUUID) + " cryptkey=/crypto_keyfile.bin",
		map[string]string{"flavour": "lts", "crypto_keyfile.bin": passphrase}})
	if shown, _, _ := strings.Cut(m.Serial(0).Log(), report.FirstLine); strings.Contains(shown, passphrase) {
		t.Error("the passphrase was shown")
	}
	if after := sum(t, file); after != before {
		t.Errorf("the disk has changed: SHA-256 %s, was %s", after, before)
	}
}

// A user who does nothing sees the default entry count down and boot. A stray byte
// on the line stops that, and does not hang a machine that nobody attends to: after
// a while the countdown starts again.
func TestCountdownAndStrayByte(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, _ := twoKernels(t)
	m := start(t, anyKernel, "alpboot.timeout=10 alpboot.rearm=5", vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.text(menuLimit, "Any key stops.")
	m.row(drawLimit, "Linux lts", inList(lts.Release), "default")
	m.Type("x")
	m.without("Any key stops.")
	at := m.Since()
	m.text(drawLimit, "Any key stops.")
	if quiet := m.Since() - at; quiet < 4*time.Second {
		t.Errorf("the countdown started again after %v, want 5 s", quiet)
	}
	m.target(want{lts, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "lts"}})
}

// With timeout 0 the machine boots at once, unless somebody holds a key down
// from the beginning: then the menu stays.
func TestHeldKey(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, _ := twoKernels(t)
	m := start(t, anyKernel, "alpboot.timeout=0", vm.Drive{File: write(t, disk.GPTDisk(in))})
	held := time.NewTicker(100 * time.Millisecond)
	defer held.Stop()
	shown := m.Serial(0).Watch(vm.OnScreen("Linux virt"))
	end := make(chan error, 1)
	go func() { _, err := shown.Result(menuLimit); end <- err }()
	for holding := true; holding; {
		select {
		case <-held.C:
			m.Type(" ")
		case err := <-end:
			if err != nil {
				t.Fatal(err)
			}
			holding = false
		}
	}
	m.selected("Linux lts")
	m.Type(vm.Down)
	m.selected("Linux virt")
	m.notBooted(lts)
}

// A hidden menu shows a line; any key shows all of it, and boots nothing.
func TestHidden(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, _ := twoKernels(t)
	m := start(t, anyKernel, "alpboot.timeout=60 alpboot.hidden", vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.Await(menuLimit, vm.ScreenIs("one line", func(s vm.Screen) bool { return flowing(s) == "Any key shows the menu." }))
	m.Type(vm.Enter)
	m.row(menuLimit, "Linux lts", "default")
	m.selected("Linux lts")
	m.notBooted(lts)
}

// What a user makes the default is remembered in a file on the volume that the
// settings name. A system that was started and never reported being up is
// passed over at the next start, and the screen says so.
func TestRememberedInAFile(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, virt := twoKernels(t)
	file := vm.Drive{File: write(t, disk.GPTDisk(in)), Access: vm.Writeable}
	const settings = " alpboot.confirm=1 alpboot.remember=UUID=" + disk.BootUUID + ":/alpboot.state"
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	t.Run("first start", func(t *testing.T) {
		m := start(t, anyKernel, "alpboot.timeout=-1"+settings, file)
		m.row(menuLimit, "Linux lts", "default")
		m.Type(vm.Down)
		m.selected("Linux virt")
		m.Type("d")
		m.text(drawLimit, "It is remembered in /alpboot.state on /dev/vda2.")
		m.Type("d")
		m.text(drawLimit, "Linux virt is booted from now on when nobody types.")
		m.row(drawLimit, "Linux virt", "default")
		m.Type(vm.Enter)
		m.target(want{virt, cmdline, map[string]string{"flavour": "virt"}})
	})
	t.Run("second start", func(t *testing.T) {
		m := start(t, anyKernel, "alpboot.timeout=600"+settings, file)
		m.text(menuLimit, "Linux virt did not boot: It was started before and never reported being up.")
		m.row(drawLimit, "Linux lts", inList(lts.Release), "default")
		m.row(drawLimit, "Linux virt", "failed")
	})
}

// On a machine with UEFI an entry can be asked for at the next start only: that
// is kept in EFI variables, and gone afterwards.
func TestNextStartInEFIVariables(t *testing.T) {
	needQEMU(t)
	const code, blank = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
	b, err := os.ReadFile(blank)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v (Debian: package ovmf)", err)
	}
	t.Parallel()
	vars := filepath.Join(t.TempDir(), "vars")
	if err := os.WriteFile(vars, b, 0o644); err != nil {
		t.Fatal(err)
	}
	in, lts, virt := twoKernels(t)
	drive := vm.Drive{File: write(t, disk.GPTDisk(in))}
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	uefi := func(o *vm.Options) { o.Flash = vm.Flash{Code: code, Vars: vars} }
	t.Run("first start", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=-1", uefi, drive)
		m.row(menuLimit, "Linux lts", "default")
		m.Type(vm.Down)
		m.selected("Linux virt")
		m.Type("d")
		m.text(drawLimit, "It is remembered in EFI variables.")
		m.Type("o")
		m.text(drawLimit, "Linux virt is booted at the next start, once.")
		m.Type("p")
		m.text(drawLimit, "restart into the setup of the firmware")
		m.Type(vm.Escape)
		m.row(drawLimit, "Linux lts", "default")
		m.Type("poo")
		m.AwaitEnd(time.Minute)
	})
	t.Run("second start", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=2", uefi, drive)
		m.target(want{virt, cmdline, map[string]string{"flavour": "virt"}})
	})
	t.Run("third start", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=600", uefi, drive)
		m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
	})
}

// The settings on the EFI system partition count, bootmenu --settings says where
// they come from, and the log is written there when the user asks for it. So are
// settings that are changed in the menu: the next start has them.
func TestSettingsAndLogOnTheESP(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, virt := twoKernels(t)
	layout := disk.GPTDisk(in)
	layout.Partitions = append(layout.Partitions, disk.Partition{Size: 34, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "1A2B3C4D",
		Files: []disk.File{{Path: "EFI/alpboot/alpboot.conf", Data: []byte("# ours\ntimeout = 77\nshell = no\n")}}}})
	start := 1
	for _, p := range layout.Partitions[:len(layout.Partitions)-1] {
		start += p.Size
	}
	file := write(t, layout)
	m := startWith(t, "", func(*vm.Options) {}, vm.Drive{File: file, Access: vm.Writeable})
	m.text(menuLimit, "Booting in 7") // of 77 seconds
	m.row(drawLimit, "Linux lts", inList(lts.Release), "default")
	m.Type("l")
	m.text(drawLimit, "shell is not taken from a volume")
	m.Type("/vda5", vm.Enter)
	m.text(drawLimit, "vda5 vfat, UUID 1A2B-3C4D nothing to note")
	m.Type("w")
	m.text(drawLimit, "One file is written there.")
	m.Type(vm.Down, vm.Down, vm.Down, vm.Down)
	m.selected("vda5")
	m.Type(vm.Enter)
	m.text(drawLimit, "The log is in the file /alpboot-log.txt on /dev/vda5.")
	m.Type(vm.Escape)
	m.row(drawLimit, "Linux lts", "default")
	m.shell()
	m.Type("bootmenu --settings\r")
	m.Await(drawLimit, vm.LogMatches(regexp.MustCompile(`\ntimeout = 77 +# /dev/vda5: /EFI/alpboot/alpboot\.conf:2\r`)))
	m.Type("exit\r")
	m.row(drawLimit, "Linux lts", inList(lts.Release), "default")

	m.Type("o")
	m.row(drawLimit, "timeout", "77", "/dev/vda5: /EFI/alpboot/alpboot")
	m.Type(vm.Enter, vm.Backspace, vm.Backspace, "88", vm.Enter, vm.Down, vm.Enter, "virt", vm.Enter, "w")
	m.text(drawLimit, "Write to /EFI/alpboot/alpboot.conf on /dev/vda5? timeout = 88 default = ")
	m.Type(vm.Enter)
	m.text(drawLimit, "The settings are in /EFI/alpboot/alpboot.conf on /dev/vda5.")
	m.row(drawLimit, "timeout", "88", "/dev/vda5: /EFI/alpboot/alpboot")
	m.Type(vm.Escape)
	m.row(drawLimit, "Linux virt", inList(virt.Release), "default")
	m.Type("poo")
	m.AwaitEnd(time.Minute)

	again := startWith(t, "", func(*vm.Options) {}, vm.Drive{File: file, Access: vm.Writeable})
	again.text(menuLimit, "Booting in 8") // of 88 seconds
	again.row(drawLimit, "Linux virt", inList(virt.Release), "default")
	again.Type("poo")
	again.AwaitEnd(time.Minute)
	conf, err := exec.Command("mtype", "-i", fmt.Sprintf("%s@@%dM", file, start), "::EFI/alpboot/alpboot.conf").Output()
	if text := string(conf); err != nil || !strings.HasPrefix(text, "# ours\ntimeout = 88\nshell = no\ndefault = ") || strings.Count(text, "\n") != 4 {
		t.Errorf("the settings are %q, %v", text, err)
	}

	out, err := exec.Command("mtype", "-i", fmt.Sprintf("%s@@%dM", file, start), "::alpboot-log.txt").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Software:", "Settings:\n  timeout = 77 (/dev/vda5: /EFI/alpboot/alpboot.conf:2)", "1. Linux lts", "Log:", "kernel: Linux version", "starts"} {
		if !strings.Contains(string(out), text) {
			t.Errorf("the log lacks %q:\n%s", text, out)
		}
	}
}
