package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// target is what the fake kexec loads and starts, on a fake machine.
type target struct {
	disks *hardware.Machine
	mu    sync.Mutex
	done  []string // what was done to the machine

	always func(what string) // called for each of these

	initrd  string // what was loaded last
	cmdline string
	loadErr error
	held    chan struct{} // FileLoad waits for it; nil does not wait
	jumpErr error
	shell   chan error    // what a shell ends with; nil ends at once
	stuck   time.Duration // how long reading or writing a firmware variable takes
}

func (h *target) note(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	h.mu.Lock()
	h.done = append(h.done, what)
	h.mu.Unlock()
	h.always(what)
}

// get returns what do has read, and set lets it change, what the machine does.
func get[T any](h *target, do func() T) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return do()
}

func (h *target) set(do func(*target)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do(h)
}

// FileLoad implements kexec.Syscalls.
func (h *target) FileLoad(kernel, initrd *os.File, cmdline string) error {
	if held := get(h, func() chan struct{} { return h.held }); held != nil {
		<-held
	}
	if err := get(h, func() error { return h.loadErr }); err != nil {
		return err
	}
	h.cmdline, h.initrd = cmdline, ""
	if initrd != nil {
		b, err := io.ReadAll(io.NewSectionReader(initrd, 0, 1<<20))
		if err != nil {
			return err
		}
		h.initrd = string(b)
	}
	h.note("load %s", kernel.Name())
	return nil
}

func (h *target) Load(uint64, []kexec.Segment) error { return errors.ErrUnsupported }
func (h *target) Unload() error                      { h.note("unload"); return nil }

// Reboot implements kexec.Syscalls: the jump. Then the machine is another one:
// here it fails.
func (h *target) Reboot() error {
	h.note("jump with %d mounted", h.disks.Mounted())
	return h.jumpErr
}

// screenshot is a console whose screen is asked for.
type screenshot struct {
	mu     sync.Mutex
	model  menu.Model
	last   string // of Suspend
	events chan menu.Msg

	suspended bool
}

func (c *screenshot) Events() <-chan menu.Msg { return c.events }
func (c *screenshot) Draw(m menu.Model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.suspended {
		c.model = m
	}
}
func (c *screenshot) Redraw() {}
func (c *screenshot) Suspend(last string) error {
	time.Sleep(100 * time.Millisecond) // a serial line takes its time
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.suspended = last, true
	return nil
}
func (c *screenshot) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended = false
	return nil
}

// typed delivers a key, unless the menu does not listen or is overrun.
func (c *screenshot) typed(msg menu.KeyMsg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.suspended {
		select {
		case c.events <- msg:
		default:
		}
	}
}
func (c *screenshot) Close() error { close(c.events); return nil }
func (c *screenshot) Err() error   { return nil }

// text returns the screen, with every run of white space as one blank.
func (c *screenshot) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(strings.Fields(c.model.View(menu.Size{W: 100, H: 40}, menu.ASCII).String()), " ")
}

// efiVariables take their time, and some cannot be read.
type efiVariables struct {
	*boottest.Variables
	hw     *target // stuck is how long an access takes
	broken map[string]bool
}

func (v efiVariables) use() (unlock func()) {
	time.Sleep(get(v.hw, func() time.Duration { return v.hw.stuck }))
	v.hw.mu.Lock()
	return v.hw.mu.Unlock
}

func (v efiVariables) Get(name, vendor string) ([]byte, error) {
	defer v.use()()
	if v.broken[name] {
		return nil, errors.New("input/output error")
	}
	return v.Variables.Get(name, vendor)
}

func (v efiVariables) Set(name, vendor string, value []byte) error {
	defer v.use()()
	return v.Variables.Set(name, vendor, value)
}

func (v efiVariables) Delete(name, vendor string) error {
	defer v.use()()
	return v.Variables.Delete(name, vendor)
}

// rig is a session that runs, and what is around it.
type rig struct {
	t       *testing.T
	hw      *target
	disks   *hardware.Machine
	vars    efiVariables
	screen  *screenshot
	session *session
	files   fstest.MapFS // of the image, sysfs and procfs

	mu       sync.Mutex
	unlocked [][]byte      // passphrases that were tried
	layout   [128]uint16   // of the keyboard
	slowKeys time.Duration // that a key of it takes
	slow     bool          // a disk takes longer than the end of a scan waits
	stop     func()
}

// bootDisk makes a disk with entries Linux lts and Linux virt.
func bootDisk(t *testing.T, path, uuid, options string) hardware.Device {
	t.Helper()
	dir := t.TempDir()
	conf := "TIMEOUT 30\nDEFAULT lts\n"
	for _, flavour := range []string{"lts", "virt"} {
		writeFile(t, filepath.Join(dir, "boot/vmlinuz-"+flavour), string(boottest.BzImage("6.12.1-0-"+flavour)))
		writeFile(t, filepath.Join(dir, "boot/initramfs-"+flavour), "\x1f\x8b\x08\x00 initramfs of "+flavour)
		conf += fmt.Sprintf("LABEL %s\n MENU LABEL Linux %s\n LINUX vmlinuz-%s\n INITRD initramfs-%s\n APPEND root=UUID=%s %s\n", flavour, flavour, flavour, flavour, uuid, options)
	}
	writeFile(t, filepath.Join(dir, "boot/extlinux.conf"), conf)
	return hardware.Device{Block: device.Block{Path: path, Disk: "/dev/sda", Size: 1 << 30, Partition: 1}, Superblock: superblock.Superblock{Type: "ext4", UUID: uuid}, Dir: dir}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newRig makes a machine with disks, where each step takes 100 ms.
func newRig(t *testing.T, disks ...hardware.Device) *rig {
	m := hardware.New(disks...)
	m.Latency = 100 * time.Millisecond
	hw := &target{disks: m, always: func(string) {}, jumpErr: errors.New("the jump failed")}
	b := &rig{
		t: t, hw: hw, disks: m,
		vars:  efiVariables{&boottest.Variables{Values: map[string]string{}}, hw, map[string]bool{}},
		stop:  func() {},
		files: fstest.MapFS{"proc/sys/kernel/osrelease": boottest.File("6.12.1-alpboot\n")},
	}
	for key := range b.layout {
		b.layout[key] = uint16(key)
	}
	return b
}

// maker is the machine, and records passphrases and writing.
type maker struct {
	*hardware.Machine
	rig *rig
}

func (m maker) Unlock(ctx context.Context, node string, passphrase []byte) (device.Made, error) {
	m.rig.mu.Lock()
	m.rig.unlocked = append(m.rig.unlocked, passphrase)
	m.rig.mu.Unlock()
	return m.Machine.Unlock(ctx, node, passphrase)
}

func (m maker) Write(node string, do func(*os.Root) error) error {
	m.rig.hw.note("write %s", node)
	return m.Machine.Write(node, do)
}

// The rest implements Machine.

func (b *rig) Scan(ctx context.Context, asked settings.Settings) *discover.Scan {
	return (&discover.Scanner{Machine: maker{b.disks, b}, Maker: maker{b.disks, b}, Formats: all.Formats(nil), Events: b.disks.Events, Settle: asked.Settle, Limit: asked.DeviceLimit}).Start(ctx)
}

func (b *rig) Shell(console string) error {
	b.hw.note("shell on %s with %d mounted", console, b.disks.Mounted())
	if ended := get(b.hw, func() chan error { return b.hw.shell }); ended != nil {
		return <-ended
	}
	return nil
}

func (b *rig) Keyboard() (Keyboard, error) { return &keys{rig: b}, nil }
func (b *rig) KernelMessages(bool)         {}
func (b *rig) HandOver(*slog.Logger)       { b.hw.note("hand over") }
func (b *rig) Restart() error              { b.hw.note("restart"); return errors.New("the machine stays") }
func (b *rig) PowerOff() error             { b.hw.note("power off"); return nil }

// start starts the menu, in a bubble of package synctest, with kernel
// parameters; one that is running ends.
func (b *rig) start(cmdline string) {
	b.t.Helper()
	b.stop()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.screen = &screenshot{events: make(chan menu.Msg, 64)}
	b.session = newSession(Config{
		Machine: b, Root: b.files, Kexec: b.hw, KexecAllowed: true,
		Firmware: Firmware{Vars: b.vars, ReadOnly: b.vars.Fail != nil, Store: remember.SystemdBoot{Store: remember.EFI{Vars: b.vars}, Vars: b.vars}},
		Settings: settings.Read(b.files, "alpboot.method=file "+cmdline), Cmdline: cmdline,
		Consoles: []Console{{b.screen, "/dev/ttyS0"}}, Log: &LogBuffer{},
	})
	ended := make(chan struct{})
	go func() { b.session.run(ctx); close(ended) }()
	b.stop = func() {
		cancel()
		<-ended
		b.disks.Release()
		b.wait(time.Minute) // what was given up ends too
		b.faultless(b.disks.CheckStopped())
		b.stop = func() {}
	}
	b.t.Cleanup(func() { b.stop() })
	b.wait(2 * time.Second)
}

// faultless checks that nothing was done to the machine that must not be. Where a
// scan was left behind with a slow disk, the kernel refuses to write to that.
func (b *rig) faultless(err error) {
	b.t.Helper()
	if err == nil {
		return
	}
	for what := range strings.SplitSeq(err.Error(), "; ") {
		if !b.slow || !strings.HasSuffix(what, "was written to while it was mounted") {
			b.t.Error(what)
		}
	}
}

// wait lets time pass and everything settle.
func (b *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// press presses keys; letters in text are typed.
func (b *rig) press(keys ...any) {
	for _, k := range keys {
		b.burst(k)
		b.wait(time.Second)
	}
}

// burst types keys without looking at what they do.
func (b *rig) burst(keys ...any) {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			for _, r := range k {
				b.screen.typed(menu.KeyMsg{Key: menu.KeyRune, Rune: r, Console: "/dev/ttyS0", Size: menu.Size{W: 100, H: 40}})
			}
		case menu.Key:
			b.screen.typed(menu.KeyMsg{Key: k, Console: "/dev/ttyS0", Size: menu.Size{W: 100, H: 40}})
		}
	}
}

// shows checks that the screen has texts.
func (b *rig) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if got := b.screen.text(); !strings.Contains(got, text) {
			b.t.Errorf("the screen lacks %q:\n%s", text, b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII))
		}
	}
}

// did checks what was done to the machine, and forgets it.
func (b *rig) did(want ...string) {
	b.t.Helper()
	synctest.Wait()
	b.hw.mu.Lock()
	defer b.hw.mu.Unlock()
	if !slices.Equal(b.hw.done, want) {
		b.t.Errorf("was done\n  %q\nwant\n  %q", b.hw.done, want)
	}
	b.hw.done = nil
}

var booted = []string{"load boot/vmlinuz-lts", "hand over", "jump with 0 mounted"}

func bootedVirt() []string {
	return []string{"load boot/vmlinuz-virt", "hand over", "jump with 0 mounted"}
}

// A command line that was made gets the consoles of the menu, whatever the
// policy: an installed system of which nothing names a console came up silently
// on a serial line. One that a configuration has stays as it is.
func TestConsolesOfGuessedEntries(t *testing.T) {
	const made = "root=UUID=u1 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4"
	for _, tt := range []struct{ kernel, conf, want string }{
		{"console=ttyS0,9600", "", made + " console=ttyS0,9600"},
		{"", "", made + " console=ttyS0"},
		{"console=ttyS0,9600", "default_kernel_opts=\"quiet console=ttyS1\"\n", "root=UUID=u1 modules=sd-mod,usb-storage,ext4 quiet console=ttyS1 rootfstype=ext4"},
	} {
		synctest.Test(t, func(t *testing.T) {
			disk := bootDisk(t, "/dev/sda1", "u1", "quiet")
			if err := os.Remove(filepath.Join(disk.Dir, "boot/extlinux.conf")); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(disk.Dir, "etc/os-release"), "ID=alpine\n")
			writeFile(t, filepath.Join(disk.Dir, "etc/fstab"), "UUID=u1 / ext4 rw 0 1\n")
			if tt.conf != "" {
				writeFile(t, filepath.Join(disk.Dir, "etc/update-extlinux.conf"), tt.conf)
			}
			b := newRig(t, disk)
			b.start("alpboot.timeout=-1 " + tt.kernel)
			b.press(menu.KeyEnter)
			if b.hw.cmdline != tt.want {
				t.Errorf("%q: command line\n%q, want\n%q", tt.kernel, b.hw.cmdline, tt.want)
			}
		})
	}
}

func TestBooting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
		b.start("alpboot.timeout=-1 alpboot.console-policy=add console=ttyS0,9600")
		b.shows("Linux lts", "default")
		b.press(menu.KeyDown, menu.KeyEnter)
		b.did(bootedVirt()...)
		if want := "root=UUID=u1 quiet console=ttyS0,9600 console=tty0"; b.hw.cmdline != want {
			t.Errorf("command line %q, want %q", b.hw.cmdline, want)
		}
		if want := "\x1f\x8b\x08\x00 initramfs of virt"; b.hw.initrd != want {
			t.Errorf("initrd %q, want %q", b.hw.initrd, want)
		}
		if !strings.Contains(b.screen.last, "Starting Linux virt.") {
			t.Errorf("the last words are %q", b.screen.last)
		}
		// The jump failed: the menu is there again, and says so.
		b.shows("Linux virt did not boot: ", "The jump failed.", "Linux lts")
		if len(b.vars.Values) > 0 {
			t.Errorf("unasked, it remembers %v", b.vars.Values)
		}
	})
}

// An entry that is chosen before its disk has been scanned again is booted
// when that has been done.
func TestBootingWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.shows("Linux virt")
		b.burst("r", menu.KeyEnter)
		b.wait(time.Second)
		b.did(booted...)
	})
}

// What was listed stays while all disks are scanned again, until it is certain
// that it has gone.
func TestListWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""), encrypted(t))
		b.start("alpboot.timeout=-1")
		for _, path := range b.disks.Paths() {
			b.disks.SetFault(path, hardware.Probe, hardware.Fault{Hang: true})
		}
		b.press("r", menu.KeyEnd)
		b.shows("Linux lts", "Linux virt", "sda1: still being read", "sda2 is encrypted: Enter unlocks it")
		b.press(menu.KeyEnter, "right", menu.KeyEnter)
		b.shows("Unlocking sda2")
		b.wait(time.Minute)
		b.shows("/dev/sda2: the volume is gone.", "has not answered")
		if text := b.screen.text(); strings.Contains(text, "Linux lts") {
			t.Errorf("what has gone is shown: %s", text)
		}
		if b.unlocked != nil {
			t.Errorf("tried %q", b.unlocked)
		}
		b.did()
	})
}

// What the menu shows is what is booted, and what was typed is taken as it is.
func TestEditedCommandLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
		b.start("alpboot.timeout=-1 alpboot.console-policy=replace console=ttyS0,9600")
		b.shows("root=UUID=u1 quiet console=ttyS0,9600")
		b.press("e")
		b.shows("root=UUID=u1 quiet console=ttyS0,9600")
		for range len(" console=ttyS0,9600") {
			b.press(menu.KeyBackspace)
		}
		b.press("  console=ttyS7 initrd=x  BOOT_IMAGE=y", menu.KeyEnter)
		b.did(booted...)
		if want := "root=UUID=u1 quiet  console=ttyS7 initrd=x  BOOT_IMAGE=y"; b.hw.cmdline != want {
			t.Errorf("command line %q, want %q", b.hw.cmdline, want)
		}
	})
}

// Details say what the kernel may lack, where its configuration tells.
func TestAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		writeFile(t, filepath.Join(d.Dir, "boot/config-lts"), "#\nCONFIG_SMP=y\n")
		b := newRig(t, d)
		b.start("alpboot.timeout=-1")
		b.press("i")
		b.shows("The kernel was built without", "ext4")
	})
}

func TestUnattended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("")
		b.did()
		b.wait(4 * time.Second) // as its configuration says
		b.did(booted...)
		b.shows("Linux lts did not boot")
		b.wait(5 * time.Second) // the next one, which has no reason to fail
		b.did(bootedVirt()...)
		b.wait(time.Hour)
		b.did()
	})
}

// TestOwnEntry: the entry by which a boot loader starts alpboot is not booted
// unattended, for ever, whoever makes it the default; by hand it is.
func TestOwnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		writeFile(t, filepath.Join(d.Dir, "boot/alpboot/vmlinuz"), string(boottest.BzImage("6.12.1-alpboot")))
		file := filepath.Join(d.Dir, "boot/extlinux.conf")
		conf, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, strings.Replace(string(conf), "DEFAULT lts", "DEFAULT alpboot\nLABEL alpboot\n MENU LABEL alpboot\n LINUX alpboot/vmlinuz", 1))
		b := newRig(t, d)
		b.start("alpboot.timeout=3 alpboot.default=alpboot")
		b.shows("alpboot", "Linux lts")
		b.wait(3 * time.Second)
		b.did(booted...)
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyHome, menu.KeyEnter)
		b.did("load boot/alpboot/vmlinuz", "hand over", "jump with 0 mounted")
	})
}

func TestFailureToLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.hw.loadErr = errors.New("no room")
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter)
		b.did()
		b.shows("Linux lts did not boot", "o room")
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.hw.held = make(chan struct{})
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter, menu.KeyEsc)
		close(b.hw.held)
		b.wait(time.Second)
		b.shows("Stopped. Nothing was booted.")
		b.did("load boot/vmlinuz-lts", "unload")
		b.press(menu.KeyEnter)
		b.did(booted...)
	})
}

// encrypted is a disk that "right" opens; its entries tell initramfs-init to
// open it.
func encrypted(t *testing.T) hardware.Device {
	in := bootDisk(t, "/dev/mapper/luks-c1", "u1", "cryptroot=UUID=c1 cryptdm=root")
	in.Block.Partition = 0
	return hardware.Device{Block: device.Block{Path: "/dev/sda2", Disk: "/dev/sda", Size: 1 << 30, Partition: 2}, Superblock: superblock.Superblock{Type: "crypto_LUKS", UUID: "c1"}, Inside: &in}
}

func TestUnlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.shows("sda2", "encrypted")
		b.press(menu.KeyEnter, "wrong", menu.KeyEnter)
		b.shows("This passphrase does not unlock sda2. Tries left: 2.")
		b.press("right", menu.KeyEnter)
		b.shows("Linux lts", "sda2 is unlocked")
		for i, p := range b.unlocked {
			if strings.Trim(string(p), "\x00") != "" {
				t.Errorf("passphrase %d is still in memory: %q", i, p)
			}
		}
		b.press(menu.KeyEnter, menu.KeyEnter) // it came under the cursor by itself
		b.did(booted...)
		if strings.Contains(b.hw.cmdline, "cryptkey") || strings.Contains(b.hw.initrd, "right") {
			t.Errorf("the passphrase was handed on unasked: %q, %q", b.hw.cmdline, b.hw.initrd)
		}
	})
}

// A volume is opened when its disk has been scanned again.
func TestUnlockingWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.burst("r", menu.KeyEnter, "right", menu.KeyEnter)
		b.wait(time.Second)
		b.shows("Linux lts", "sda2 is unlocked")
	})
}

// A volume that is open is offered no more, even before what is in it is known.
func TestOpenIsNotLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter)
		b.session.later(func() {
			b.session.model, _ = b.session.model.Update(menu.KeyMsg{Key: menu.KeyRune, Rune: 'x'})
			b.session.model, _ = b.session.model.Update(menu.KeyMsg{Key: menu.KeyEnter})
			b.session.unlocked("/dev/sda2", nil)
		})
		synctest.Wait()
		b.shows("sda2 is unlocked")
		if text := b.screen.text(); strings.Contains(text, "Enter unlocks it") {
			t.Errorf("it can be opened again: %s", text)
		}
	})
}

func TestHandingOn(t *testing.T) {
	for _, tt := range []struct {
		name, cmdline string
		keys          []any
		handed        bool
	}{
		{name: "by the setting", cmdline: "alpboot.hand-on-passphrase", keys: []any{menu.KeyEnter, "right", menu.KeyEnter}, handed: true},
		{name: "by Tab", keys: []any{menu.KeyEnter, menu.KeyTab, "right", menu.KeyEnter}, handed: true},
		{name: "not, by Tab", cmdline: "alpboot.hand-on-passphrase", keys: []any{menu.KeyEnter, menu.KeyTab, "right", menu.KeyEnter}},
		{name: "after a rescan", cmdline: "alpboot.hand-on-passphrase", keys: []any{menu.KeyEnter, "right", menu.KeyEnter, "r"}, handed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, encrypted(t))
				b.start("alpboot.timeout=-1 " + tt.cmdline)
				b.press(tt.keys...)
				b.shows("Linux lts")
				b.press(menu.KeyHome, menu.KeyEnter)
				b.did(booted...)
				handed := strings.HasSuffix(b.hw.cmdline, " cryptkey=/crypto_keyfile.bin") && strings.Contains(b.hw.initrd, "crypto_keyfile.bin") && strings.Contains(b.hw.initrd, "right") &&
					strings.Contains(b.hw.initrd, "initramfs of lts")
				if handed != tt.handed {
					t.Errorf("handed on: %v, want %v: %q, %q", handed, tt.handed, b.hw.cmdline, b.hw.initrd)
				}
			})
		})
	}
}

func TestUnlockingWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.disks.SetFault("/dev/sda2", hardware.Unlock, hardware.Fault{Err: fmt.Errorf("%w: key slot 0 needs 1.0 GiB", luks.ErrMemory)})
		b.press(menu.KeyEnter, "whatever", menu.KeyEnter)
		b.shows("/dev/sda2: not enough memory: key slot 0 needs 1.0 GiB.")
	})
}

// idOf returns the ID of the entry with a title, from the screen's details.
func (b *rig) idOf(title string) string {
	b.t.Helper()
	for _, e := range b.session.view.inventory.Entries {
		if e.Title == title {
			return e.ID
		}
	}
	b.t.Fatalf("there is no %q", title)
	return ""
}

func TestRemembering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		virt := b.idOf("Linux virt")
		b.press(menu.KeyDown, "dd")
		b.shows("Linux virt is booted from now on when nobody types.")
		if got := b.vars.Values; len(got) != 1 || got["AlpbootDefault"] != virt {
			t.Fatalf("the variables are %q", got)
		}
		b.start("alpboot.timeout=3")
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)

		// With a setting that says otherwise, that is said.
		b.start("alpboot.timeout=-1 alpboot.default=1")
		b.press(menu.KeyDown, "dd")
		b.shows("the settings name another one (default = 1)")
		b.press("df")
		b.shows("No default is remembered any more.")
		if got := b.vars.Values; len(got) != 0 {
			t.Errorf("the variables are %q", got)
		}
	})
}

func TestNextOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.remember-last")
		lts, virt := b.idOf("Linux lts"), b.idOf("Linux virt")
		b.press(menu.KeyDown, "do")
		b.shows("Linux virt is booted at the next start, once.")
		// Not at this one, whatever is booted.
		b.press(menu.KeyUp, menu.KeyEnter)
		b.did(booted...)
		if got := b.vars.Values; got["AlpbootNext"] != virt || got["AlpbootLast"] != lts {
			t.Errorf("the variables are %q", got)
		}
		for _, want := range [][]string{bootedVirt(), booted} {
			b.start("alpboot.timeout=2")
			b.wait(2 * time.Second)
			b.did(want...)
			if got, ok := b.vars.Values["AlpbootNext"]; ok {
				t.Errorf("%s is still to be booted", got)
			}
		}
	})
}

// What is to be booted once is not booted by itself where that cannot be
// written down.
func TestOnceThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.vars.Values["AlpbootNext"] = b.idOf("Linux virt")
		b.vars.Fail = fs.ErrPermission
		b.start("alpboot.timeout=2")
		b.wait(2 * time.Second)
		b.did()
		b.shows("Linux virt did not boot", "It was to be booted once, and that it has been cannot be remembered")
		b.press(menu.KeyDown, menu.KeyEnter)
		b.did(bootedVirt()...)
	})
}

// TestDefaultAndBootAtOnce: a default is kept although an entry is booted before
// it has been written, or while one is being loaded.
func TestDefaultAndBootAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.hw.stuck = 300 * time.Millisecond // a Save takes seconds
		b.hw.held = make(chan struct{})
		time.AfterFunc(6*time.Second, func() { close(b.hw.held) })
		b.burst(menu.KeyDown, "dd", menu.KeyHome, menu.KeyEnter)
		b.wait(time.Second)
		b.did()
		b.shows("Remembering the default")
		b.wait(10 * time.Second)
		b.did(booted...)
		if got := b.vars.Values["AlpbootDefault"]; !strings.HasPrefix(got, "linux-virt") {
			t.Errorf("the default is %q", got)
		}

		b.hw.held = make(chan struct{})
		b.burst(menu.KeyEnd, menu.KeyEnter)
		b.wait(time.Second)
		b.press(menu.KeyHome, "dd")
		b.shows("try again when that is done")
		close(b.hw.held)
		b.wait(10 * time.Second)
		b.did(bootedVirt()...)
		if got := b.vars.Values["AlpbootDefault"]; !strings.HasPrefix(got, "linux-virt") {
			t.Errorf("the default is %q", got)
		}
	})
}

// TestMetOnce: a request of GRUB that has been met stays so while its disk has not
// answered. It is forgotten when all have, and none asks for it any more.
func TestMetOnce(t *testing.T) {
	lts := boot.Entry{ID: "lts", Title: "Linux lts"}
	for _, tt := range []struct {
		name string
		inv  boot.Inventory
		want []string
	}{
		{"before all disks have been found", boot.Inventory{Entries: []boot.Entry{lts}}, []string{"met"}},
		{"with one that is slow", boot.Inventory{Entries: []boot.Entry{lts}, Settled: true, Volumes: []boot.VolumeStatus{{Busy: true}}}, []string{"met"}},
		{"with all there", boot.Inventory{Entries: []boot.Entry{lts}, Settled: true, Volumes: []boot.VolumeStatus{{}}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &session{view: view{inventory: tt.inv}, memory: &memory{state: remember.State{Kept: true, Used: []string{"met"}}}}
			if got := s.starting("lts").Used; !slices.Equal(got, tt.want) {
				t.Errorf("met: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=2 alpboot.confirm")
		b.wait(2 * time.Second)
		b.did(booted...)
		if got := b.vars.Values["AlpbootTrying"]; got != b.idOf("Linux lts") {
			t.Fatalf("AlpbootTrying is %q", got)
		}
		b.start("alpboot.timeout=3 alpboot.confirm")
		b.shows("Linux lts did not boot", "never reported being up", "Booting in", "Linux virt")
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)
	})
}

func TestRememberingInAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		b := newRig(t, d)
		const file = "alpboot.timeout=3 alpboot.remember=UUID=u1:/alpboot.state"
		b.start(file)
		b.press(menu.KeyDown, "d")
		b.shows("It is remembered in /alpboot.state on /dev/sda1.")
		b.press("d")
		b.shows("Linux virt is booted from now on")
		b.did("write /dev/sda1")
		b.press("r", menu.KeyUp, "dd") // by way of another scan
		b.shows("Linux lts is booted from now on")
		b.press(menu.KeyDown, "dd")
		b.did("write /dev/sda1", "write /dev/sda1")
		if len(b.vars.Values) > 0 {
			t.Errorf("it remembers %v too", b.vars.Values)
		}
		b.start(file)
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)

		b.start("alpboot.timeout=-1 alpboot.remember=UUID=nowhere:/alpboot.state")
		b.press("d")
		b.shows("A default cannot be remembered")
		b.start("alpboot.timeout=-1 alpboot.remember=off")
		b.press("d")
		b.shows("A default cannot be remembered")
	})
}

// addESP adds an EFI system partition with files to the machine, on a disk that
// is built in.
func (b *rig) addESP(files map[string]string) string {
	dir := b.t.TempDir()
	for name, text := range files {
		writeFile(b.t, filepath.Join(dir, name), text)
	}
	b.disks.Plug(hardware.Device{Block: device.Block{Path: "/dev/sda9", Disk: "/dev/sda", Size: 1 << 30, Partition: 9}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1234-ABCD"}, Dir: dir})
	b.files["sys/class/block/sda"] = boottest.Link("../../devices/pci0000:00/0000:00:1f.2/ata1/block/sda")
	b.files["sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sda/removable"] = boottest.File("0\n")
	return dir
}

func TestSettingsOnAVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", "console=ttyS9"))
		b.addESP(map[string]string{"EFI/alpboot/alpboot.conf": "timeout = 30\ndefault = Linux virt\nshell = no\ntheme = nonsense\n"})
		b.start("")
		b.wait(20 * time.Second) // the configuration would have it after 3
		b.did()
		b.press("l")
		b.shows("shell is not taken from a volume", "Theme: \"nonsense\" is none of")
		b.press(menu.KeyEsc)
		b.wait(5*time.Minute + 31*time.Second)
		b.did(bootedVirt()...)
	})
}

// A disk that does not answer when it is asked for settings does not keep the
// machine from booting.
func TestDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.disks.Plug(hardware.Device{Block: device.Block{Path: "/dev/sdb", Size: 1 << 30}, Faults: map[hardware.Step]hardware.Fault{hardware.Probe: {Hang: true}}})
		b.start("alpboot.timeout=2 alpboot.device-limit=3")
		b.did()
		b.wait(4 * time.Second)
		b.did(booted...)
	})
}

func TestSavingTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		b := newRig(t, d)
		b.start(`alpboot.timeout=-1 alpboot.default="A # B"`)
		b.did()
		b.press("l", "w", menu.KeyEnter)
		b.shows("The log is in the file /alpboot-log.txt on /dev/sda1.")
		b.press("w", menu.KeyEnter)
		b.shows("The log is in the file /alpboot-log-2.txt on /dev/sda1.")
		b.did("write /dev/sda1", "write /dev/sda1")
		text, err := os.ReadFile(filepath.Join(d.Dir, "alpboot-log.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"Software:\n  alpboot ", "\nSettings:\n  timeout = -1 (kernel parameter)\n", "\n  default = \"A # B\" (kernel parameter)\n", "\n  /dev/sda1 ext4 UUID=u1 LABEL=\n",
			"\n  1. Linux lts (linux-lts-", "\nLog:\nINFO ",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the log lacks %q:\n%s", want, text)
			}
		}
		b.press(menu.KeyEsc, menu.KeyEnter) // the volume can be read again
		b.did(booted...)
	})
}

func TestFirmwareSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("p")
		if strings.Contains(b.screen.text(), "firmware") {
			t.Error("a setup is offered that the firmware does not have")
		}
		b.vars.Values["OsIndicationsSupported"] = string(binary.LittleEndian.AppendUint64(nil, 1))
		b.vars.Values["OsIndications"] = string(binary.LittleEndian.AppendUint64(nil, 4))
		b.start("alpboot.timeout=-1")
		b.press("pf")
		b.did("hand over", "restart")
		if got := binary.LittleEndian.Uint64([]byte(b.vars.Values["OsIndications"])); got != 5 {
			t.Errorf("OsIndications is %#x, want 5", got)
		}
		b.press(menu.KeyEsc)
		b.shows("The machine stays.")
	})
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("pa")
		b.did() // it does not know itself
		b.addESP(map[string]string{"EFI/alpboot/alpboot.efi": string(ukitest.Image(
			ukitest.Section{Name: ".osrel", Data: []byte("ID=alpboot\n")},
			ukitest.Section{Name: ".linux", Data: boottest.BzImage("6.12.1-alpboot")},
			ukitest.Section{Name: ".initrd", Data: []byte("070701 of alpboot")}))})
		b.start("BOOT_IMAGE=x quiet alpboot.timeout=-1")
		b.press("pa")
		b.did("load EFI/alpboot/alpboot.efi", "hand over", "jump with 0 mounted")
		if b.hw.cmdline != "quiet alpboot.timeout=-1" || b.hw.initrd != "070701 of alpboot" {
			t.Errorf("it was started with %q and %q", b.hw.cmdline, b.hw.initrd)
		}
		if len(b.vars.Values) > 0 {
			t.Errorf("it remembers %v", b.vars.Values)
		}
	})
}

func TestPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("po")
		b.did("hand over", "power off")
		if !strings.Contains(b.screen.last, "Powering off") {
			t.Errorf("the last words are %q", b.screen.last)
		}
	})
}

func TestShellNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.shell=no")
		b.press("s")
		b.shows("The settings do not allow a shell here.")
	})
}

func TestDetailsAndMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.rearm=60")
		b.press("i")
		b.shows("/boot/vmlinuz-lts, bzImage for amd64, Linux 6.12.1-0-lts, 4096 bytes", "/boot/initramfs-lts, gzip, 21 bytes")
		b.press(menu.KeyEsc, "m")
		b.shows("Linux 6.12.1-alpboot", "A default is remembered in EFI variables", "rearm = 60 (kernel parameter)")
	})
}

func TestCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("e", menu.KeyTab) // to the kernel's path
		for range len("boot/vmlinuz-lts") + 1 {
			b.press(menu.KeyBackspace)
		}
		b.press("bo", menu.KeyTab, "v", menu.KeyTab, "v", menu.KeyTab, menu.KeyF10)
		b.did(bootedVirt()...)
	})
}

func TestCompletions(t *testing.T) {
	fsys := fstest.MapFS{"boot/vmlinuz-lts": boottest.File(""), "boot/vmlinuz-virt": boottest.File(""), "boot/grub/grub.cfg": boottest.File(""), "bin/sh": boottest.File(""), "vmlinuz": boottest.File("")}
	for prefix, want := range map[string]string{
		"":              "bin/ boot/ vmlinuz",
		"b":             "bin/ boot/",
		"boot/":         "boot/grub/ boot/vmlinuz-lts boot/vmlinuz-virt",
		"boot/vmlinuz-": "boot/vmlinuz-lts boot/vmlinuz-virt",
		"none/":         "",
		"../":           "",
		"/":             "bin/ boot/ vmlinuz",
	} {
		if got := strings.Join(completions(fsys, prefix), " "); got != want {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
}

// keys is the keyboard table of the fake machine: what its key 30 gives.
type keys struct{ rig *rig }

func (k *keys) Entry(table, key uint8) (uint16, error) {
	if table > 0 {
		return 0x27f, nil
	}
	return get(k.rig.hw, func() uint16 { return k.rig.layout[key] }), nil
}

func (k *keys) SetEntry(table, key uint8, value uint16) error {
	if table > 0 {
		return nil
	}
	time.Sleep(k.rig.slowKeys)
	k.rig.hw.set(func(*target) { k.rig.layout[key] = value })
	if key == 30 {
		k.rig.hw.note("key 30 is %d", value)
	}
	return nil
}

func (k *keys) Close() error { return nil }

// bkeymap is a layout in which every key gives its number and 1000.
func bkeymap() string {
	b := make([]byte, 7+256)
	copy(b, "bkeymap\x01")
	for k := range 128 {
		b = binary.LittleEndian.AppendUint16(b, uint16(1000+k))
	}
	return string(b)
}

func TestKeymaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda2", "u1", "")
		writeFile(t, filepath.Join(d.Dir, "usr/share/bkeymaps/de/de.bmap"), bkeymap())
		swap := hardware.Device{Block: device.Block{Path: "/dev/sda1", Disk: "/dev/sda", Size: 1 << 30, Partition: 1}, Superblock: superblock.Superblock{Type: "swap", UUID: "u0"}}
		b := newRig(t, swap, d)
		b.start("alpboot.timeout=-1 alpboot.keymap=de")
		b.did("key 30 is 1030") // from the installed system
		b.press("K", "us", menu.KeyEnter)
		b.did("key 30 is 30")
		b.press("K", "de", menu.KeyEnter)
		b.did("key 30 is 1030")

		b.start("alpboot.timeout=-1 alpboot.keymap=xy")
		b.did()
		b.press("l")
		b.shows("The keyboard layout xy cannot be used")
	})
}

func TestSnapshots(t *testing.T) {
	inv := boot.Inventory{Entries: []boot.Entry{{ID: "a"}, {ID: "b", Snapshot: true}}}
	for asked, want := range map[string]int{"": 1, "alpboot.snapshots": 2} {
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t)
			b.start(asked)
			b.session.later(func() { b.session.take(inv) })
			synctest.Wait()
			if got := len(b.session.view.inventory.Entries); got != want {
				t.Errorf("%q: %d entries, want %d", asked, got, want)
			}
		})
	}
}
