package main

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
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
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

// disk is a volume of the fake machine; its files lie in a folder.
type disk struct {
	block  device.Block
	sb     superblock.Superblock
	dir    string
	inside *disk // what a passphrase opens
	hangs  bool  // it never answers
}

// hardware is the fake machine, as discovery and kexec see it. What is done to
// it is noted.
type hardware struct {
	mu      sync.Mutex
	disks   []disk
	mounted map[string]int // by device
	done    []string

	initrd   string // what the target got
	cmdline  string
	loadErr  error
	held     chan struct{} // FileLoad waits for it; nil does not wait
	unlocked [][]byte      // passphrases that were tried
}

func (h *hardware) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, fmt.Sprintf(format, args...))
}

func (h *hardware) Devices() ([]device.Block, []error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var blocks []device.Block
	for _, d := range h.disks {
		blocks = append(blocks, d.block)
	}
	return blocks, nil
}

func (h *hardware) disk(path string) disk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disks[slices.IndexFunc(h.disks, func(d disk) bool { return d.block.Path == path })]
}

func (h *hardware) Probe(path string) (superblock.Superblock, error) {
	d := h.disk(path)
	if d.hangs {
		time.Sleep(time.Hour)
	}
	return d.sb, nil
}

// root is a mounted folder.
type root struct {
	*device.Root
	close func()
}

func (r root) Close() error { r.close(); return r.Root.Close() }

func (h *hardware) Mount(_ context.Context, path string, _ superblock.Superblock) (discover.Filesystem, error) {
	r, err := device.Folder(h.disk(path).dir)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mounted[path]++
	return root{r, func() { h.mu.Lock(); h.mounted[path]--; h.mu.Unlock() }}, nil
}

func (h *hardware) Write(path string, do func(*os.Root) error) error {
	h.mu.Lock()
	n := h.mounted[path]
	h.mu.Unlock()
	if n != 0 {
		return fmt.Errorf("%s is mounted %d times", path, n)
	}
	r, err := os.OpenRoot(h.disk(path).dir)
	if err != nil {
		return err
	}
	defer r.Close()
	h.note("write %s", path)
	return do(r)
}

func (h *hardware) Member(string, superblock.Superblock) (assemble.Member, error) {
	return assemble.Member{}, device.ErrInUse
}

func (h *hardware) Map(assemble.Mapping) (discover.Made, error) {
	return discover.Made{}, errors.ErrUnsupported
}

func (h *hardware) Image(discover.Filesystem, string) (discover.Made, error) {
	return discover.Made{}, errors.ErrUnsupported
}

func (h *hardware) Unlock(_ context.Context, path string, passphrase []byte) (discover.Made, error) {
	h.mu.Lock()
	h.unlocked = append(h.unlocked, passphrase)
	h.mu.Unlock()
	switch string(passphrase) {
	case "right":
	case "short of memory":
		return discover.Made{}, fmt.Errorf("%w: key slot 0 needs 1.0 GiB", luks.ErrMemory)
	default:
		return discover.Made{}, luks.ErrPassphrase
	}
	in := *h.disk(path).inside
	h.mu.Lock()
	defer h.mu.Unlock()
	h.disks = append(h.disks, in)
	return discover.Made{Node: in.block.Path, Close: func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.disks = slices.DeleteFunc(slices.Clone(h.disks), func(d disk) bool { return d.block.Path == in.block.Path })
		return nil
	}}, nil
}

// FileLoad implements kexec.Syscalls.
func (h *hardware) FileLoad(kernel, initrd *os.File, cmdline string) error {
	if h.held != nil {
		<-h.held
	}
	if h.loadErr != nil {
		return h.loadErr
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

func (h *hardware) Load(uint64, []kexec.Segment) error { return errors.ErrUnsupported }
func (h *hardware) Unload() error                      { h.note("unload"); return nil }

// Reboot implements kexec.Syscalls: the jump. Then the machine is another one:
// the goroutine stays here.
func (h *hardware) Reboot() error {
	h.mu.Lock()
	n := 0
	for _, m := range h.mounted {
		n += m
	}
	h.mu.Unlock()
	h.note("jump with %d mounted", n)
	return errors.New("the jump failed")
}

// screenshot is a console whose screen is asked for.
type screenshot struct {
	mu     sync.Mutex
	model  menu.Model
	last   string // of Suspend
	events chan menu.Msg
}

func (c *screenshot) Events() <-chan menu.Msg { return c.events }
func (c *screenshot) Draw(m menu.Model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.model = m
}
func (c *screenshot) Redraw() {}
func (c *screenshot) Suspend(last string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = last
	return nil
}
func (c *screenshot) Resume() error { return nil }
func (c *screenshot) Close() error  { close(c.events); return nil }
func (c *screenshot) Err() error    { return nil }

// text gives the screen, with every run of white space as one blank.
func (c *screenshot) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(strings.Fields(c.model.View(menu.Size{W: 100, H: 40}, menu.ASCII).String()), " ")
}

// efiVariables are those of a fake firmware.
type efiVariables struct {
	values   map[string]string
	readOnly bool
}

func (v efiVariables) Get(name, vendor string) ([]byte, error) {
	s, ok := v.values[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(s), nil
}

func (v efiVariables) Set(name, vendor string, value []byte) error {
	if v.readOnly {
		return fs.ErrPermission
	}
	v.values[name] = string(value)
	return nil
}

func (v efiVariables) Delete(name, vendor string) error {
	if v.readOnly {
		return fs.ErrPermission
	}
	delete(v.values, name)
	return nil
}

// bench is a session that runs, and what is around it.
type bench struct {
	t       *testing.T
	hw      *hardware
	vars    efiVariables
	screen  *screenshot
	session *session
	files   fstest.MapFS // of the image, sysfs and procfs
	stop    func()
}

// bootDisk makes a disk with entries Linux lts and Linux virt.
func bootDisk(t *testing.T, path, uuid, options string) disk {
	t.Helper()
	dir := t.TempDir()
	conf := "TIMEOUT 30\nDEFAULT lts\n"
	for _, flavour := range []string{"lts", "virt"} {
		writeFile(t, filepath.Join(dir, "boot/vmlinuz-"+flavour), string(boottest.BzImage("6.12.1-0-"+flavour)))
		writeFile(t, filepath.Join(dir, "boot/initramfs-"+flavour), "\x1f\x8b\x08\x00 initramfs of "+flavour)
		conf += fmt.Sprintf("LABEL %s\n MENU LABEL Linux %s\n LINUX vmlinuz-%s\n INITRD initramfs-%s\n APPEND root=UUID=%s %s\n", flavour, flavour, flavour, flavour, uuid, options)
	}
	writeFile(t, filepath.Join(dir, "boot/extlinux.conf"), conf)
	return disk{block: device.Block{Path: path, Disk: "/dev/sda", Size: 1 << 30, Partition: 1}, sb: superblock.Superblock{Type: "ext4", UUID: uuid}, dir: dir}
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

// newBench makes a machine with disks.
func newBench(t *testing.T, disks ...disk) *bench {
	return &bench{
		t: t, hw: &hardware{disks: disks, mounted: map[string]int{}},
		vars:  efiVariables{values: map[string]string{}},
		stop:  func() {},
		files: fstest.MapFS{"proc/sys/kernel/osrelease": boottest.File("6.12.1-alpboot\n")},
	}
}

// start starts the menu, in a bubble of package synctest, with kernel
// parameters; one that is running ends.
func (b *bench) start(cmdline string) {
	b.t.Helper()
	b.stop()
	ctx, cancel := context.WithCancel(b.t.Context())
	asked := settings.Read(b.files, "alpboot.method=file "+cmdline)
	book := &logbook{}
	b.screen = &screenshot{events: make(chan menu.Msg, 64)}
	var firmware remember.Store = remember.SystemdBoot{Store: remember.EFI{Vars: b.vars}, Vars: b.vars}
	b.session = &session{
		machine: machine{
			root: b.files,
			scan: func(asked settings.Settings) *discover.Scan {
				return (&discover.Scanner{Machine: b.hw, Maker: b.hw, Formats: all.Formats(nil), Settle: asked.Settle, Limit: asked.DeviceLimit}).Start(ctx)
			},
			kexec: b.hw, mayKexec: true, vars: b.vars, firmware: firmware,
			handOver: func(*slog.Logger) { b.hw.note("hand over") },
			reboot:   func(how int) error { b.hw.note("reboot %x", how); return errors.New("the machine stays") },
			messages: func(bool) {},
			keyboard: func() (keyboard, error) { return &keys{bench: b}, nil },
		},
		base: asked, asked: asked, cmdline: cmdline, book: book, log: slog.New(book),
		consoles: []console{{b.screen, "/dev/ttyS0"}},
	}
	ended := make(chan struct{})
	go func() { b.session.run(ctx); close(ended) }()
	b.stop = func() { cancel(); <-ended }
	b.t.Cleanup(b.stop)
	b.wait(2 * time.Second)
}

// wait lets time pass and everything settle.
func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// press presses keys; letters in text are typed.
func (b *bench) press(keys ...any) {
	for _, k := range keys {
		b.burst(k)
		b.wait(time.Second)
	}
}

// burst types keys without looking at what they do.
func (b *bench) burst(keys ...any) {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			for _, r := range k {
				b.screen.events <- menu.KeyMsg{Key: menu.KeyRune, Rune: r, Console: "/dev/ttyS0", Size: menu.Size{W: 100, H: 40}}
			}
		case menu.Key:
			b.screen.events <- menu.KeyMsg{Key: k, Console: "/dev/ttyS0", Size: menu.Size{W: 100, H: 40}}
		}
	}
}

// shows checks that the screen has texts.
func (b *bench) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if got := b.screen.text(); !strings.Contains(got, text) {
			b.t.Errorf("the screen lacks %q:\n%s", text, b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII))
		}
	}
}

// did checks what was done to the machine, and forgets it.
func (b *bench) did(want ...string) {
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

func TestBooting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
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
		if len(b.vars.values) > 0 {
			t.Errorf("unasked, it remembers %v", b.vars.values)
		}
	})
}

// An entry that is chosen before its disk has been looked at again is booted
// when that has been done.
func TestBootingWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.shows("Linux virt")
		b.burst("r", menu.KeyEnter)
		b.wait(time.Second)
		b.did(booted...)
	})
}

// What was listed stays while all disks are looked at again, until it is certain
// that it has gone.
func TestListWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""), encrypted(t))
		b.start("alpboot.timeout=-1")
		b.hw.mu.Lock()
		for i := range b.hw.disks {
			b.hw.disks[i].hangs = true
		}
		b.hw.mu.Unlock()
		b.press("r", menu.KeyEnd)
		b.shows("Linux lts", "Linux virt", "sda1: still being read", "sda2 is encrypted: Enter unlocks it")
		b.press(menu.KeyEnter, "right", menu.KeyEnter)
		b.shows("Unlocking sda2")
		b.wait(time.Minute)
		b.shows("/dev/sda2: the volume is gone.", "has not answered")
		if text := b.screen.text(); strings.Contains(text, "Linux lts") {
			t.Errorf("what has gone is shown: %s", text)
		}
		if b.hw.unlocked != nil {
			t.Errorf("tried %q", b.hw.unlocked)
		}
		b.did()
		b.wait(2 * time.Hour) // so that its goroutines end
	})
}

// What the menu shows is what is booted, and what was typed is taken as it is.
func TestEditedCommandLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
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
		writeFile(t, filepath.Join(d.dir, "boot/config-lts"), "#\nCONFIG_SMP=y\n")
		b := newBench(t, d)
		b.start("alpboot.timeout=-1")
		b.press("i")
		b.shows("The kernel was built without", "ext4")
	})
}

func TestUnattended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
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
		writeFile(t, filepath.Join(d.dir, "boot/alpboot/vmlinuz"), string(boottest.BzImage("6.12.1-alpboot")))
		file := filepath.Join(d.dir, "boot/extlinux.conf")
		conf, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, strings.Replace(string(conf), "DEFAULT lts", "DEFAULT alpboot\nLABEL alpboot\n MENU LABEL alpboot\n LINUX alpboot/vmlinuz", 1))
		b := newBench(t, d)
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
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.hw.loadErr = errors.New("no room")
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter)
		b.did()
		b.shows("Linux lts did not boot", "o room")
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
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
func encrypted(t *testing.T) disk {
	in := bootDisk(t, "/dev/mapper/luks-c1", "u1", "cryptroot=UUID=c1 cryptdm=root")
	in.block.Partition = 0
	return disk{block: device.Block{Path: "/dev/sda2", Disk: "/dev/sda", Size: 1 << 30, Partition: 2}, sb: superblock.Superblock{Type: "crypto_LUKS", UUID: "c1"}, inside: &in}
}

func TestUnlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.shows("sda2", "encrypted")
		b.press(menu.KeyEnter, "wrong", menu.KeyEnter)
		b.shows("This passphrase does not unlock sda2. Tries left: 2.")
		b.press("right", menu.KeyEnter)
		b.shows("Linux lts", "sda2 is unlocked")
		for i, p := range b.hw.unlocked {
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

// A volume is opened when its disk has been looked at again.
func TestUnlockingWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.burst("r", menu.KeyEnter, "right", menu.KeyEnter)
		b.wait(time.Second)
		b.shows("Linux lts", "sda2 is unlocked")
	})
}

// A volume that is open is offered no more, even before what is in it is known.
func TestOpenIsNotLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter)
		b.session.later(t.Context(), func() {
			b.session.model, _ = b.session.model.Update(menu.KeyMsg{Key: menu.KeyRune, Rune: 'x'})
			b.session.model, _ = b.session.model.Update(menu.KeyMsg{Key: menu.KeyEnter})
			b.session.unlocked(t.Context(), "/dev/sda2", nil)
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
				b := newBench(t, encrypted(t))
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
		b := newBench(t, encrypted(t))
		b.start("alpboot.timeout=-1")
		b.press(menu.KeyEnter, "short of memory", menu.KeyEnter)
		b.shows("/dev/sda2: not enough memory: key slot 0 needs 1.0 GiB.")
	})
}

// idOf gives the ID of the entry with a title, from the screen's details.
func (b *bench) idOf(title string) string {
	b.t.Helper()
	for _, e := range b.session.inventory.Entries {
		if e.Title == title {
			return e.ID
		}
	}
	b.t.Fatalf("there is no %q", title)
	return ""
}

func TestRemembering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		virt := b.idOf("Linux virt")
		b.press(menu.KeyDown, "dd")
		b.shows("Linux virt is booted from now on when nobody types.")
		if got := b.vars.values; len(got) != 1 || got["AlpbootDefault"] != virt {
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
		if got := b.vars.values; len(got) != 0 {
			t.Errorf("the variables are %q", got)
		}
	})
}

func TestNextOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.remember-last")
		lts, virt := b.idOf("Linux lts"), b.idOf("Linux virt")
		b.press(menu.KeyDown, "do")
		b.shows("Linux virt is booted at the next start, once.")
		// Not at this one, whatever is booted.
		b.press(menu.KeyUp, menu.KeyEnter)
		b.did(booted...)
		if got := b.vars.values; got["AlpbootNext"] != virt || got["AlpbootLast"] != lts {
			t.Errorf("the variables are %q", got)
		}
		for _, want := range [][]string{bootedVirt(), booted} {
			b.start("alpboot.timeout=2")
			b.wait(time.Second)
			b.did(want...)
			if got, ok := b.vars.values["AlpbootNext"]; ok {
				t.Errorf("%s is still to be booted", got)
			}
		}
	})
}

// What is to be booted once is not booted by itself where that cannot be
// written down.
func TestOnceThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.vars.values["AlpbootNext"] = b.idOf("Linux virt")
		b.vars.readOnly = true
		b.start("alpboot.timeout=2")
		b.wait(time.Second)
		b.did()
		b.shows("Linux virt did not boot", "It was to be booted once, and that it has been cannot be remembered")
		b.press(menu.KeyDown, menu.KeyEnter)
		b.did(bootedVirt()...)
	})
}

// slowStore is a place on a slow disk.
type slowStore struct{ remember.Store }

func (s slowStore) Save(state remember.State) error {
	time.Sleep(3 * time.Second)
	return s.Store.Save(state)
}

// TestDefaultAndBootAtOnce: a default is kept although an entry is booted before
// it has been written, or while one is being loaded.
func TestDefaultAndBootAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.session.store = slowStore{b.session.store}
		b.hw.held = make(chan struct{})
		time.AfterFunc(4*time.Second, func() { close(b.hw.held) })
		b.burst(menu.KeyDown, "dd", menu.KeyHome, menu.KeyEnter)
		b.wait(time.Second)
		b.did()
		b.shows("Remembering the default")
		b.wait(10 * time.Second)
		b.did(booted...)
		if got := b.vars.values["AlpbootDefault"]; !strings.HasPrefix(got, "linux-virt") {
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
		if got := b.vars.values["AlpbootDefault"]; !strings.HasPrefix(got, "linux-virt") {
			t.Errorf("the default is %q", got)
		}
	})
}

// TestMetOnce: a wish of GRUB that has been met stays so while its disk has not
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
			s := &session{inventory: tt.inv, state: remember.State{Kept: true, Used: []string{"met"}}}
			if got := s.starting("lts").Used; !slices.Equal(got, tt.want) {
				t.Errorf("met: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=2 alpboot.confirm")
		b.wait(time.Second)
		b.did(booted...)
		if got := b.vars.values["AlpbootTrying"]; got != b.idOf("Linux lts") {
			t.Fatalf("AlpbootTrying is %q", got)
		}
		b.start("alpboot.timeout=3 alpboot.confirm")
		b.shows("Linux lts did not boot", "never said that it is up", "Booting in", "Linux virt")
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)
	})
}

func TestRememberingInAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		b := newBench(t, d)
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
		if len(b.vars.values) > 0 {
			t.Errorf("it remembers %v too", b.vars.values)
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
func (b *bench) addESP(files map[string]string) string {
	dir := b.t.TempDir()
	for name, text := range files {
		writeFile(b.t, filepath.Join(dir, name), text)
	}
	b.hw.disks = append(b.hw.disks, disk{block: device.Block{Path: "/dev/sda9", Disk: "/dev/sda", Size: 1 << 30, Partition: 9}, sb: superblock.Superblock{Type: "vfat", UUID: "1234-ABCD"}, dir: dir})
	b.files["sys/class/block/sda"] = boottest.Link("../../devices/pci0000:00/0000:00:1f.2/ata1/block/sda")
	b.files["sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sda/removable"] = boottest.File("0\n")
	return dir
}

func TestSettingsOnAVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", "console=ttyS9"))
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
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.hw.disks = append(b.hw.disks, disk{block: device.Block{Path: "/dev/sdb", Size: 1 << 30}, hangs: true})
		b.start("alpboot.timeout=2 alpboot.device-limit=3")
		b.did()
		b.wait(4 * time.Second)
		b.did(booted...)
		b.wait(2 * time.Hour) // so that its goroutine ends
	})
}

func TestSavingTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bootDisk(t, "/dev/sda1", "u1", "")
		b := newBench(t, d)
		b.start(`alpboot.timeout=-1 alpboot.default="A # B"`)
		b.did()
		b.press("l", "w", menu.KeyEnter)
		b.shows("The log is in the file /alpboot-log.txt on /dev/sda1.")
		b.press("w", menu.KeyEnter)
		b.shows("The log is in the file /alpboot-log-2.txt on /dev/sda1.")
		b.did("write /dev/sda1", "write /dev/sda1")
		text, err := os.ReadFile(filepath.Join(d.dir, "alpboot-log.txt"))
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
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("p")
		if strings.Contains(b.screen.text(), "firmware") {
			t.Error("a setup is offered that the firmware does not have")
		}
		b.vars.values["OsIndicationsSupported"] = string(binary.LittleEndian.AppendUint64(nil, 1))
		b.vars.values["OsIndications"] = string(binary.LittleEndian.AppendUint64(nil, 4))
		b.start("alpboot.timeout=-1")
		b.press("pf")
		b.did("hand over", "reboot 1234567")
		if got := binary.LittleEndian.Uint64([]byte(b.vars.values["OsIndications"])); got != 5 {
			t.Errorf("OsIndications is %#x, want 5", got)
		}
		b.press(menu.KeyEsc)
		b.shows("The machine stays.")
	})
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
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
		if len(b.vars.values) > 0 {
			t.Errorf("it remembers %v", b.vars.values)
		}
	})
}

func TestPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1")
		b.press("po")
		b.did("hand over", "reboot 4321fedc")
		if !strings.Contains(b.screen.last, "Switching off") {
			t.Errorf("the last words are %q", b.screen.last)
		}
	})
}

func TestShellNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.shell=no")
		b.press("s")
		b.shows("The settings do not allow a shell here.")
	})
}

func TestDetailsAndMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
		b.start("alpboot.timeout=-1 alpboot.rearm=60")
		b.press("i")
		b.shows("/boot/vmlinuz-lts, bzImage for amd64, Linux 6.12.1-0-lts, 4096 bytes", "/boot/initramfs-lts, gzip, 21 bytes")
		b.press(menu.KeyEsc, "m")
		b.shows("Linux 6.12.1-alpboot", "A default is remembered in EFI variables", "rearm = 60 (kernel parameter)")
	})
}

func TestCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bootDisk(t, "/dev/sda1", "u1", ""))
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
type keys struct{ bench *bench }

func (k *keys) Entry(table, key uint8) (uint16, error) {
	if table > 0 {
		return 0x27f, nil
	}
	return uint16(key), nil
}

func (k *keys) SetEntry(table, key uint8, value uint16) error {
	if table == 0 && key == 30 {
		k.bench.hw.note("key 30 is %d", value)
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
		writeFile(t, filepath.Join(d.dir, "usr/share/bkeymaps/de/de.bmap"), bkeymap())
		swap := disk{block: device.Block{Path: "/dev/sda1", Disk: "/dev/sda", Size: 1 << 30, Partition: 1}, sb: superblock.Superblock{Type: "swap", UUID: "u0"}}
		b := newBench(t, swap, d)
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
			b := newBench(t)
			b.start(asked)
			b.session.later(t.Context(), func() { b.session.take(t.Context(), inv) })
			synctest.Wait()
			if got := len(b.session.inventory.Entries); got != want {
				t.Errorf("%q: %d entries, want %d", asked, got, want)
			}
		})
	}
}
