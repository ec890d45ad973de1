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
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/pointer"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// target is what the fake kexec loads and starts, on a fake machine.
type target struct {
	disks *hardware.Machine
	mu    sync.Mutex
	done  []string // what was done to the machine

	always func(what string) // called for each of these

	kernel        string // what was loaded last
	initrd        string
	cmdline       string
	loadErr       error
	bad           int           // how many loads fail first, because a disk cannot be read
	held          chan struct{} // FileLoad waits for it; nil does not wait
	jumpErr       error         // nil: the machine is another one from then on
	left          chan struct{} // closed when that one ends
	shell         chan error    // what a shell ends with; nil ends at once
	shellMessages bool          // in the shell
	messages      bool          // the kernel prints its messages on the consoles
	stuck         time.Duration // how long reading or writing a firmware variable takes
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
	if err := get(h, func() error {
		if h.bad > 0 {
			h.bad--
			return syscall.EIO
		}
		return h.loadErr
	}); err != nil {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(kernel, 0, 1<<20))
	if err != nil {
		return err
	}
	h.kernel, h.cmdline, h.initrd = string(b), cmdline, ""
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

// Reboot implements kexec.Syscalls: the jump.
func (h *target) Reboot() error {
	h.note("jump with %d mounted", h.disks.Mounted())
	if h.jumpErr == nil {
		<-h.left
	}
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

// view returns the screen.
func (c *screenshot) view() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.model.View(menu.Size{W: 100, H: 40}, menu.ASCII).String()
}

// text returns the screen, with every run of white space as one blank.
func (c *screenshot) text() string { return strings.Join(strings.Fields(c.view()), " ") }

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

// fixture is a session that runs, and what is around it.
type fixture struct {
	t       *testing.T
	hw      *target
	disks   *hardware.Machine
	vars    efiVariables
	screen  *screenshot
	session *session
	files   fstest.MapFS // of the image, sysfs and procfs

	late    time.Time          // when the driver of the TPM has found it
	dog     *boottest.Watchdog // nil: it cannot be opened
	tpm     *tpmtest.Fake      // nil: it cannot be opened
	first   io.ReadWriteCloser // what is opened first in its place, if set
	pointer func(name string) (pointer.Device, error)

	mu       sync.Mutex
	unlocked [][]byte      // passphrases that were tried
	layout   [128]uint16   // of the keyboard
	slowKeys time.Duration // that a key of it takes
	slow     bool          // a disk takes longer than the end of a scan waits
	stop     func()
}

// lateTPM are files, of which those of a TPM come later.
type lateTPM struct {
	files fstest.MapFS
	at    time.Time
}

func (l lateTPM) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, "sys/class/tpm") && time.Now().Before(l.at) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return l.files.Open(name)
}

// root is the running system.
func (b *fixture) root() fs.FS {
	if b.late.IsZero() {
		return b.files
	}
	return lateTPM{b.files, b.late}
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

// newFixture makes a machine with disks, where each step takes 100 ms.
func newFixture(t *testing.T, disks ...hardware.Device) *fixture {
	m := hardware.New(disks...)
	m.Latency = 100 * time.Millisecond
	hw := &target{disks: m, always: func(string) {}, jumpErr: errors.New("the jump failed")}
	b := &fixture{
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

// byHand is the kernel parameter of a menu that boots nothing by itself.
const byHand = "alpboot.timeout=-1"

// onDisk runs do with a machine that has one disk, with entries Linux lts and
// Linux virt, in a bubble of package synctest.
func onDisk(t *testing.T, do func(t *testing.T, b *fixture)) {
	t.Helper()
	onDisks(t, do, bootDisk(t, "/dev/sda1", "u1", ""))
}

// onDisks is the same with other disks.
func onDisks(t *testing.T, do func(t *testing.T, b *fixture), disks ...hardware.Device) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newFixture(t, disks...)) })
}

// maker is the machine, and records passphrases and writing.
type maker struct {
	*hardware.Machine
	fixture *fixture
}

func (m maker) Unlock(ctx context.Context, node string, passphrase []byte) (device.Made, error) {
	m.fixture.mu.Lock()
	m.fixture.unlocked = append(m.fixture.unlocked, passphrase)
	m.fixture.mu.Unlock()
	return m.Machine.Unlock(ctx, node, passphrase)
}

func (m maker) Write(node string, do func(*os.Root) error) error {
	m.fixture.hw.note("write %s", node)
	return m.Machine.Write(node, do)
}

// The rest implements Machine.

func (b *fixture) Scan(ctx context.Context, asked settings.Settings) *discover.Scan {
	return (&discover.Scanner{Machine: maker{b.disks, b}, Maker: maker{b.disks, b}, Formats: all.Formats(nil), Events: b.disks.Events, Settle: asked.Settle, Limit: asked.DeviceLimit,
		Own: func() string { return efivar.StartedFrom(b.vars) }}).Start(ctx)
}

func (b *fixture) Shell(console string) error {
	b.hw.note("shell on %s with %d mounted", console, b.disks.Mounted())
	b.hw.set(func(h *target) { h.shellMessages = h.messages })
	if ended := get(b.hw, func() chan error { return b.hw.shell }); ended != nil {
		return <-ended
	}
	return nil
}

func (b *fixture) Keyboard() (Keyboard, error) { return &keys{fixture: b}, nil }
func (b *fixture) KernelMessages(on bool)      { b.hw.set(func(h *target) { h.messages = on }) }
func (b *fixture) HandOver(*slog.Logger)       { b.hw.note("hand over") }
func (b *fixture) Watchdog(name string) (watchdog.Running, error) {
	b.hw.note("open %s", name)
	if b.dog == nil {
		return nil, errors.New("it is in use")
	}
	return b.dog, nil
}
func (b *fixture) TPM(string) (io.ReadWriteCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if first := b.first; first != nil {
		b.first = nil
		return first, nil
	}
	if b.tpm == nil {
		return nil, errors.New("it is in use")
	}
	return b.tpm.Open(), nil
}
func (b *fixture) Restart() error  { b.hw.note("restart"); return errors.New("the machine stays") }
func (b *fixture) PowerOff() error { b.hw.note("power off"); return nil }

// start starts the menu, in a bubble of package synctest, with kernel
// parameters; one that is running ends.
func (b *fixture) start(cmdline string) {
	b.t.Helper()
	b.stop()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.screen = &screenshot{events: make(chan menu.Msg, 64)}
	b.session = newSession(Config{
		Machine: b, Root: b.root(), Kexec: b.hw, KexecAllowed: true,
		Firmware: Firmware{Vars: b.vars, ReadOnly: b.vars.Fail != nil, Store: remember.SystemdBoot{Store: remember.EFI{Vars: b.vars}, Vars: b.vars}},
		Settings: settings.Read(b.files, "alpboot.method=file "+cmdline), Cmdline: cmdline,
		Consoles: []Console{{b.screen, "/dev/ttyS0"}}, Log: &LogBuffer{}, Pointer: b.pointer,
	})
	if b.pointer != nil {
		b.session.Consoles[0] = Console{sized{b.screen}, screen}
	}
	ended, left := make(chan struct{}), make(chan struct{})
	b.hw.left = left
	go func() { b.session.run(ctx); close(ended) }()
	b.stop = func() {
		cancel()
		close(left)
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
// scan was left behind with a slow disk, the kernel refuses to write to that, and
// to remove what the next scan has mounted.
func (b *fixture) faultless(err error) {
	b.t.Helper()
	if err == nil {
		return
	}
	for what := range strings.SplitSeq(err.Error(), "; ") {
		if !b.slow || !strings.HasSuffix(what, "was written to while it was mounted") && !strings.HasSuffix(what, "was removed while it was mounted") {
			b.t.Error(what)
		}
	}
}

// wait lets time pass and everything settle.
func (b *fixture) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// press presses keys; letters in text are typed.
func (b *fixture) press(keys ...any) {
	for _, k := range keys {
		b.burst(k)
		b.wait(time.Second)
	}
}

// burst types keys without waiting for what they do.
func (b *fixture) burst(keys ...any) {
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
func (b *fixture) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if got := b.screen.text(); !strings.Contains(got, text) {
			b.t.Errorf("the screen lacks %q:\n%s", text, b.screen.view())
		}
	}
}

// did checks what was done to the machine, and forgets it.
func (b *fixture) did(want ...string) {
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

// encrypted is a disk that "right" opens; its entries have initramfs-init
// open it.
func encrypted(t *testing.T) hardware.Device {
	in := bootDisk(t, "/dev/mapper/luks-c1", "u1", "cryptroot=UUID=c1 cryptdm=root")
	in.Block.Partition = 0
	return hardware.Device{Block: device.Block{Path: "/dev/sda2", Disk: "/dev/sda", Size: 1 << 30, Partition: 2}, Superblock: superblock.Superblock{Type: "crypto_LUKS", UUID: "c1"}, Inside: &in}
}

// idOf returns the ID of the entry with a title, from the screen's details.
func (b *fixture) idOf(title string) string {
	b.t.Helper()
	for _, e := range b.session.view.inventory.Entries {
		if e.Title == title {
			return e.ID
		}
	}
	b.t.Fatalf("there is no %q", title)
	return ""
}

// addESP adds an EFI system partition with files to the machine, on a disk that
// is built in.
func (b *fixture) addESP(files map[string]string) string {
	dir := b.t.TempDir()
	for name, text := range files {
		writeFile(b.t, filepath.Join(dir, name), text)
	}
	b.disks.Plug(hardware.Device{Block: device.Block{Path: "/dev/sda9", Disk: "/dev/sda", Size: 1 << 30, Partition: 9}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1234-ABCD"}, Dir: dir})
	b.files["sys/class/block/sda"] = boottest.Link("../../devices/pci0000:00/0000:00:1f.2/ata1/block/sda")
	b.files["sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sda/removable"] = boottest.File("0\n")
	return dir
}

// keys is the keyboard table of the fake machine: what its key 30 types.
type keys struct{ fixture *fixture }

func (k *keys) Entry(table, key uint8) (uint16, error) {
	if table > 0 {
		return 0x27f, nil
	}
	return get(k.fixture.hw, func() uint16 { return k.fixture.layout[key] }), nil
}

func (k *keys) SetEntry(table, key uint8, value uint16) error {
	if table > 0 {
		return nil
	}
	time.Sleep(k.fixture.slowKeys)
	k.fixture.hw.set(func(*target) { k.fixture.layout[key] = value })
	if key == 30 {
		k.fixture.hw.note("key 30 is %d", value)
	}
	return nil
}

func (k *keys) Close() error { return nil }

// bkeymap is a layout in which the value of every key is its number and 1000.
func bkeymap() string {
	b := make([]byte, 7+256)
	copy(b, "bkeymap\x01")
	for k := range 128 {
		b = binary.LittleEndian.AppendUint16(b, uint16(1000+k))
	}
	return string(b)
}
