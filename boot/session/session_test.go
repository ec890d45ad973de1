package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/chart"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/pointer"
	"github.com/alpboot/alpboot/boot/remember"
)

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
		disk := bootDisk(t, "/dev/sda1", "u1", "quiet")
		if err := os.Remove(filepath.Join(disk.Dir, "boot/extlinux.conf")); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(disk.Dir, "etc/os-release"), "ID=alpine\n")
		writeFile(t, filepath.Join(disk.Dir, "etc/fstab"), "UUID=u1 / ext4 rw 0 1\n")
		if tt.conf != "" {
			writeFile(t, filepath.Join(disk.Dir, "etc/update-extlinux.conf"), tt.conf)
		}
		onDisks(t, func(t *testing.T, b *fixture) {
			b.start(byHand + " " + tt.kernel)
			b.press(menu.KeyEnter)
			if b.hw.cmdline != tt.want {
				t.Errorf("%q: command line\n%q, want\n%q", tt.kernel, b.hw.cmdline, tt.want)
			}
		}, disk)
	}
}

func TestBooting(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.console-policy=add console=ttyS0,9600")
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
	}, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
}

// The system that is started gets when what ran, up to when its files were read.
func TestStartIsHandedOn(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.method=load")
		b.press(menu.KeyEnter)
		if log := b.session.Log.text(); !strings.Contains(log, " is read\n") {
			t.Errorf("what has loaded it did not ask for that:\n%s", log)
		}
		var names []string
		for _, s := range chart.Unmarshal(b.session.begun("lts")) {
			names = append(names, s.Name)
		}
		for _, want := range []string{"/dev/sda1", "menu", "reading lts"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s is not in %q", want, names)
			}
		}
	}, bootDisk(t, "/dev/sda1", "u1", "quiet"))
}

// What was listed stays while all disks are scanned again, until it is certain
// that it has gone.
func TestListWhileLooking(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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
	}, bootDisk(t, "/dev/sda1", "u1", ""), encrypted(t))
}

// What the menu shows is what is booted, and what was typed is taken as it is.
func TestEditedCommandLine(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.console-policy=replace console=ttyS0,9600")
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
	}, bootDisk(t, "/dev/sda1", "u1", "quiet console=tty0"))
}

// TestKeys: what keys do in a menu that boots nothing by itself, and what the
// screen has then.
func TestKeys(t *testing.T) {
	one := bootDisk(t, "/dev/sda1", "u1", "")
	advised := bootDisk(t, "/dev/sda1", "u1", "")
	writeFile(t, filepath.Join(advised.Dir, "boot/config-lts"), "#\nCONFIG_SMP=y\n")
	for _, tt := range []struct {
		name    string
		disk    hardware.Device
		cmdline string
		before  func(b *fixture)
		keys    []any
		atOnce  bool // nobody waits between the keys
		did     []string
		shows   []string
		last    string // the last line on the console
	}{
		{name: "details", disk: one, keys: []any{"i"},
			shows: []string{"/boot/vmlinuz-lts, bzImage for amd64, Linux 6.12.1-0-lts, 4096 bytes", "/boot/initramfs-lts, gzip, 21 bytes"}},
		{name: "details of a kernel whose configuration shows what it lacks", disk: advised, keys: []any{"i"},
			shows: []string{"The kernel was built without", "ext4"}},
		{name: "machine", disk: one, cmdline: " alpboot.rearm=60", keys: []any{"m"},
			shows: []string{"Linux 6.12.1-alpboot", "A default is remembered in EFI variables", "rearm = 60 (kernel parameter)"}},
		{name: "completed path", disk: one, did: bootedVirt(), shows: []string{"Linux lts did not boot"},
			keys: slices.Concat([]any{"e", menu.KeyTab}, slices.Repeat([]any{menu.KeyBackspace}, len("boot/vmlinuz-lts")+1), []any{"bo", menu.KeyTab, "v", menu.KeyTab, "v", menu.KeyTab, menu.KeyF10})},
		{name: "failure to load", disk: one, before: func(b *fixture) { b.hw.loadErr = errors.New("no room") }, keys: []any{menu.KeyEnter},
			shows: []string{"Linux lts did not boot", "o room"}},
		{name: "chosen before its disk has been scanned again", disk: one, keys: []any{"r", menu.KeyEnter}, atOnce: true, did: booted},
		{name: "unlocked before its disk has been scanned again", disk: encrypted(t), keys: []any{"r", menu.KeyEnter, "right", menu.KeyEnter}, atOnce: true,
			shows: []string{"Linux lts", "sda2 is unlocked"}},
		{name: "not enough memory to unlock", disk: encrypted(t), keys: []any{menu.KeyEnter, "whatever", menu.KeyEnter},
			before: func(b *fixture) {
				b.disks.SetFault("/dev/sda2", hardware.Unlock, hardware.Fault{Err: fmt.Errorf("%w: key slot 0 needs 1.0 GiB", luks.ErrMemory)})
			},
			shows: []string{"/dev/sda2: not enough memory: key slot 0 needs 1.0 GiB."}},
		{name: "no shell", disk: one, cmdline: " alpboot.shell=no", keys: []any{"s"}, shows: []string{"The settings do not allow a shell here."}},
		{name: "power off", disk: one, keys: []any{"poo"}, did: []string{"hand over", "power off"}, last: "Powering off"},
		// A machine that stays although reboot(2) reports no error is reported.
		{name: "power off that fails", disk: one, keys: []any{"poo", menu.KeyEsc, menu.KeyEsc}, did: []string{"hand over", "power off"},
			shows: []string{"The machine did not power off.", "Linux lts"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, b *fixture) {
				if tt.before != nil {
					tt.before(b)
				}
				b.start(byHand + tt.cmdline)
				if tt.atOnce {
					b.burst(tt.keys...)
					b.wait(time.Second)
				} else {
					b.press(tt.keys...)
				}
				b.did(tt.did...)
				b.shows(tt.shows...)
				if !strings.Contains(b.screen.last, tt.last) {
					t.Errorf("the last line is %q", b.screen.last)
				}
			}, tt.disk)
		})
	}
}

func TestUnattended(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start("")
		b.did()
		b.wait(4 * time.Second) // as its configuration says
		b.did(booted...)
		b.shows("Linux lts did not boot")
		b.wait(5 * time.Second) // the next one, which has no reason to fail
		b.did(bootedVirt()...)
		b.wait(4 * time.Minute)
		b.did()
		b.shows("Restarting in", "Every entry has failed.", "Any key stops.")
		b.wait(time.Minute)
		b.did("hand over", "restart")
	})
}

// TestOwnEntry: the entry by which a boot loader starts alpboot is not booted
// unattended, for ever, whoever makes it the default; by hand it is.
func TestOwnEntry(t *testing.T) {
	d := bootDisk(t, "/dev/sda1", "u1", "")
	writeFile(t, filepath.Join(d.Dir, "boot/alpboot/vmlinuz"), string(boottest.BzImage("6.12.1-alpboot")))
	file := filepath.Join(d.Dir, "boot/extlinux.conf")
	conf, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(string(conf), "DEFAULT lts", "DEFAULT alpboot\nLABEL alpboot\n MENU LABEL alpboot\n LINUX alpboot/vmlinuz", 1))
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("alpboot.timeout=3 alpboot.default=alpboot")
		b.shows("alpboot", "Linux lts")
		b.wait(3 * time.Second)
		b.did(booted...)
		b.start(byHand)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.did("load boot/alpboot/vmlinuz", "hand over", "jump with 0 mounted")
	}, d)
}

func TestCancel(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.hw.held = make(chan struct{})
		b.start(byHand)
		b.press(menu.KeyEnter, menu.KeyEsc)
		close(b.hw.held)
		b.wait(time.Second)
		b.shows("Stopped. Nothing was booted.")
		b.did("load boot/vmlinuz-lts", "unload")
		b.press(menu.KeyEnter)
		b.did(booted...)
	})
}

func TestUnlocking(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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
	}, encrypted(t))
}

// A volume that is open is offered no more, even before what is in it is known.
func TestOpenIsNotLocked(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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
	}, encrypted(t))
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
			onDisks(t, func(t *testing.T, b *fixture) {
				b.start(byHand + " " + tt.cmdline)
				b.press(tt.keys...)
				b.shows("Linux lts")
				b.press(menu.KeyHome, menu.KeyEnter)
				b.did(booted...)
				handed := strings.HasSuffix(b.hw.cmdline, " cryptkey=/crypto_keyfile.bin") && strings.Contains(b.hw.initrd, "crypto_keyfile.bin") && strings.Contains(b.hw.initrd, "right") &&
					strings.Contains(b.hw.initrd, "initramfs of lts")
				if handed != tt.handed {
					t.Errorf("handed on: %v, want %v: %q, %q", handed, tt.handed, b.hw.cmdline, b.hw.initrd)
				}
			}, encrypted(t))
		})
	}
}

func TestRemembering(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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
		b.start(byHand + " alpboot.default=1")
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
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.remember-last")
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
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		b.vars.Values["AlpbootNext"] = b.idOf("Linux virt")
		b.start("alpboot.timeout=3")
		b.hw.set(func(*target) { b.vars.Fail = fs.ErrPermission }) // they could be written until now
		b.wait(3 * time.Second)
		b.did()
		b.shows("Linux virt did not boot", "It was to be booted once, and would be booted every time")
		b.press(menu.KeyDown, menu.KeyEnter)
		b.did(bootedVirt()...)
	})
}

// TestDefaultAndBootAtOnce: a default is kept although an entry is booted before
// it has been written, or while one is being loaded.
func TestDefaultAndBootAtOnce(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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
			if got := s.spent().Used; !slices.Equal(got, tt.want) {
				t.Errorf("met: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPassedOver(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.hw.jumpErr = nil
		b.start("alpboot.timeout=2 alpboot.confirm=1")
		b.wait(2 * time.Second)
		b.did(booted...)
		if got := b.vars.Values["AlpbootTrying"]; !strings.HasPrefix(got, "linux-lts") {
			t.Fatalf("AlpbootTrying is %q", got)
		}
		b.start("alpboot.timeout=3 alpboot.confirm=1")
		b.shows("Linux lts did not boot", "never reported being up", "Booting in", "Linux virt")
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)
	})
}

func TestRememberingInAFile(t *testing.T) {
	d := bootDisk(t, "/dev/sda1", "u1", "")
	onDisks(t, func(t *testing.T, b *fixture) {
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

		b.start(byHand + " alpboot.remember=UUID=nowhere:/alpboot.state")
		b.press("d")
		b.shows("A default cannot be remembered")
		b.start(byHand + " alpboot.remember=off")
		b.press("d")
		b.shows("A default cannot be remembered")
	}, d)
}

func TestSettingsOnAVolume(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.addESP(map[string]string{"EFI/alpboot/alpboot.conf": "timeout = 30\ndefault = Linux virt\nshell = no\ntheme = nonsense\n"})
		b.start("")
		b.wait(20 * time.Second) // the configuration would have it after 3
		b.did()
		b.press("l")
		b.shows("shell is not taken from a volume", "Theme: \"nonsense\" is none of")
		b.press(menu.KeyEsc)
		b.wait(5*time.Minute + 31*time.Second)
		b.did(bootedVirt()...)
	}, bootDisk(t, "/dev/sda1", "u1", "console=ttyS9"))
}

// Settings that are changed in the menu are written to the file that is read, and
// count from then on, in this session and in the next.
func TestWritingSettings(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		dir := b.addESP(map[string]string{"EFI/alpboot/alpboot.conf": "# ours\ntimeout = 30\n"})
		b.start("alpboot.rearm=0 alpboot.snapshots=no")
		b.press("o")
		b.shows("/EFI/alpboot/alpboot.conf on /dev/sda9", "timeout 30 /dev/sda9: /EFI/alpboot/alpboot.conf:2", "snapshots no kernel parameter")
		b.press(menu.KeyEnter, menu.KeyBackspace, menu.KeyBackspace, "-1", menu.KeyEnter)
		b.shows("or not taken from a file on a volume")
		b.press(menu.KeyBackspace, menu.KeyBackspace, "20", menu.KeyEnter, menu.KeyDown, menu.KeyEnter, "virt", menu.KeyEnter, "w")
		b.shows("timeout = 20", "default = "+b.idOf("Linux virt"))
		b.did()
		b.press(menu.KeyEnter)
		b.did("write /dev/sda9")
		b.shows("The settings are in /EFI/alpboot/alpboot.conf on /dev/sda9.", "timeout 20 /dev/sda9: /EFI/alpboot/alpboot.conf:2")
		want := "# ours\ntimeout = 20\ndefault = " + b.idOf("Linux virt") + "\n"
		if got, err := os.ReadFile(filepath.Join(dir, "EFI/alpboot/alpboot.conf")); string(got) != want || err != nil {
			t.Errorf("the file has %q, %v, want %q", got, err, want)
		}
		b.start("")
		b.wait(10 * time.Second)
		b.did()
		b.wait(11 * time.Second)
		b.did(bootedVirt()...)

		b.disks.SetFault("/dev/sda9", hardware.Write, hardware.Fault{Err: errors.New("it is write-protected")})
		b.start(byHand)
		b.press("o", menu.KeyEnter, menu.KeyBackspace, menu.KeyBackspace, "5", menu.KeyEnter, "w", menu.KeyEnter)
		b.shows("The settings were not written", "it is write-protected", "changed, not written yet")
	}, bootDisk(t, "/dev/sda1", "u1", ""))

	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		b.press("ow")
		b.shows("Settings cannot be written: no disk that is built in has a partition with FAT")
	})
}

// A machine without EFI variables is offered a file on a volume to remember a default
// in, which is made only then.
func TestMakingMemory(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.vars.Fail = errors.New("read-only file system")
		dir := b.addESP(map[string]string{"EFI/alpboot/readme": ""})
		b.start(byHand)
		b.press("m")
		b.shows("A default is remembered in memory only: there are no EFI variables")
		b.press(menu.KeyEsc, menu.KeyDown, "d")
		b.shows("/EFI/alpboot/alpboot.state on /dev/sda9")
		b.press(menu.KeyEnter)
		b.shows("two small files that are made now")
		b.did()
		b.press("d")
		b.shows("Linux virt is booted from now on")
		b.did("write /dev/sda9", "write /dev/sda9")
		if list, err := os.ReadDir(filepath.Join(dir, "EFI/alpboot")); len(list) != 3 {
			t.Errorf("in its directory are %v, %v", list, err)
		}
		b.press("d")
		b.shows("It is remembered in /EFI/alpboot/alpboot.state on /dev/sda9.")
		b.press(menu.KeyEsc, "m")
		b.shows("A default is remembered in /EFI/alpboot/alpboot.state on /dev/sda9")
		b.start("alpboot.timeout=3")
		b.wait(4 * time.Second)
		b.did(bootedVirt()...)
	}, bootDisk(t, "/dev/sda1", "u1", ""))
}

// A disk that does not answer when it is asked for settings does not keep the
// machine from booting.
func TestDiskThatHangs(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.disks.Plug(hardware.Device{Block: device.Block{Path: "/dev/sdb", Size: 1 << 30}, Faults: map[hardware.Step]hardware.Fault{hardware.Probe: {Hang: true}}})
		b.start("alpboot.timeout=2 alpboot.device-limit=3")
		b.did()
		b.wait(4 * time.Second)
		b.did(booted...)
	})
}

// Nor does one that hangs when it is written down what is booted.
func TestSavingThatHangs(t *testing.T) {
	for _, step := range []hardware.Step{hardware.Unmount, hardware.Write, hardware.Flush} {
		onDisk(t, func(t *testing.T, b *fixture) {
			b.disks.SetFault("/dev/sda1", step, hardware.Fault{Hang: true})
			b.start("alpboot.timeout=2 alpboot.device-limit=3 alpboot.remember-last alpboot.remember=UUID=u1:/alpboot.state")
			b.wait(6 * time.Second)
			b.hw.mu.Lock()
			done := strings.Join(b.hw.done, ", ")
			b.hw.mu.Unlock()
			if !strings.HasPrefix(done, "load boot/vmlinuz-lts, ") || !strings.Contains(done, "hand over, jump") {
				t.Errorf("%s: was done: %q", step, done)
			}
		})
	}
}

// The messages of the kernel tear no menu. Nor are they on the prompt of a shell
// when it was started with quiet; else they are.
func TestKernelMessages(t *testing.T) {
	for cmdline, inShell := range map[string]bool{"": true, " quiet": false} {
		onDisk(t, func(t *testing.T, b *fixture) {
			b.start(byHand + cmdline)
			b.press("s")
			if got := get(b.hw, func() bool { return b.hw.shellMessages }); got != inShell {
				t.Errorf("%q: they are shown in the shell: %t", cmdline, got)
			}
			if get(b.hw, func() bool { return b.hw.messages }) {
				t.Errorf("%q: they are shown after the shell", cmdline)
			}
			b.hw.always = func(what string) {
				if strings.HasPrefix(what, "jump") && !get(b.hw, func() bool { return b.hw.messages }) {
					t.Errorf("%q: they are not shown during the jump", cmdline)
				}
			}
			b.press(menu.KeyEnter)
			if get(b.hw, func() bool { return b.hw.messages }) {
				t.Errorf("%q: they are shown after a jump that failed", cmdline)
			}
		})
	}
}

func TestSavingTheLog(t *testing.T) {
	d := bootDisk(t, "/dev/sda1", "u1", "")
	onDisks(t, func(t *testing.T, b *fixture) {
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
	}, d)
}

func TestFirmwareSetup(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		b.press("p")
		if strings.Contains(b.screen.text(), "firmware") {
			t.Error("a setup is offered that the firmware does not have")
		}
		b.vars.Values["OsIndicationsSupported"] = string(binary.LittleEndian.AppendUint64(nil, 1))
		b.vars.Values["OsIndications"] = string(binary.LittleEndian.AppendUint64(nil, 4))
		b.start(byHand)
		b.press("pf")
		b.did("hand over", "restart")
		if got := binary.LittleEndian.Uint64([]byte(b.vars.Values["OsIndications"])); got != 5 {
			t.Errorf("OsIndications is %#x, want 5", got)
		}
		b.press(menu.KeyEsc)
		b.shows("The machine stays.")
	})
}

func TestStartOther(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		order := string(efivar.AppendNumbers(nil, []uint16{7, 3}))
		b.vars.Values["BootOrder"] = order
		b.vars.Values["BootCurrent"] = "\x07\x00"
		b.vars.Values["Boot0003"] = string(efivar.LoadOption{Attributes: efivar.Active, Description: "Windows Boot Manager"}.Bytes())
		b.vars.Values["Boot0007"] = string(efivar.LoadOption{Attributes: efivar.Active, Description: "alpboot"}.Bytes())
		b.start(byHand)
		b.press("p")
		b.shows("1", "restart into Windows Boot Manager")
		b.press("1")
		b.did("hand over", "restart")
		if b.vars.Values["BootNext"] != "\x03\x00" || b.vars.Values["BootOrder"] != order {
			t.Errorf("BootNext is %q, BootOrder %q", b.vars.Values["BootNext"], b.vars.Values["BootOrder"])
		}
	})
}

func TestAgain(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
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

func TestKeymaps(t *testing.T) {
	d := bootDisk(t, "/dev/sda2", "u1", "")
	writeFile(t, filepath.Join(d.Dir, "usr/share/bkeymaps/de/de.bmap"), bkeymap())
	swap := hardware.Device{Block: device.Block{Path: "/dev/sda1", Disk: "/dev/sda", Size: 1 << 30, Partition: 1}, Superblock: superblock.Superblock{Type: "swap", UUID: "u0"}}
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.keymap=de")
		b.did("key 30 is 2913", "key 30 is 1030") // a built-in one, until that of the installed system is known
		b.press("K", "us", menu.KeyEnter)
		b.did("key 30 is 30")
		b.press("K", "de", menu.KeyEnter)
		b.did("key 30 is 1030")

		b.press("K", "fr", menu.KeyEnter)
		b.did("key 30 is 2929") // q

		b.start(byHand + " alpboot.keymap=xy")
		b.did()
		b.press("l")
		b.shows("The keyboard layout xy cannot be used")
	}, swap, d)
}

// Volume buttons are arrow keys; the power button is Enter where there is no keyboard.
func TestButtons(t *testing.T) {
	const keyboard = "I: Bus=0011\nB: PROP=0\nB: EV=120013\n\n"
	const button = "I: Bus=0019\nB: PROP=0\nB: EV=3\nB: KEY=10000000000000 0\n"
	for devices, want := range map[string][3]uint16{"": {114, 115, 116}, button: {0x600, 0x603, 0x201}, keyboard + button: {0x600, 0x603, 116}} {
		onDisk(t, func(t *testing.T, b *fixture) {
			if devices != "" {
				b.files["proc/bus/input/devices"] = boottest.File(devices)
			}
			b.start(byHand)
			if got := get(b.hw, func() [3]uint16 { return [3]uint16(b.layout[114:117]) }); got != want {
				t.Errorf("with %q the buttons are %#x, want %#x", devices, got, want)
			}
		})
	}
}

// touchscreen is one with axes from 0 to 100.
type touchscreen struct {
	events chan []byte
	closed chan struct{}
}

func (d *touchscreen) Axis(uint16) (value, least, most int32, err error) { return 0, 0, 100, nil }
func (d *touchscreen) Close() error                                      { close(d.closed); return nil }
func (d *touchscreen) Read(b []byte) (int, error) {
	select {
	case e := <-d.events:
		return copy(b, e), nil
	case <-d.closed:
		return 0, io.EOF
	}
}

// touch has it touched.
func (d *touchscreen) touch(x, y int32) {
	var b []byte
	for _, e := range [][3]int32{{3, 0, x}, {3, 1, y}, {1, 0x14a, 1}, {0, 0, 0}, {1, 0x14a, 0}, {0, 0, 0}} {
		b = append(b, make([]byte, 16)...)
		b = binary.NativeEndian.AppendUint16(b, uint16(e[0]))
		b = binary.NativeEndian.AppendUint16(b, uint16(e[1]))
		b = binary.NativeEndian.AppendUint32(b, uint32(e[2]))
	}
	d.events <- b
}

// sized is a screen with a size.
type sized struct{ *screenshot }

func (sized) Size() menu.Size { return menu.Size{W: 100, H: 50} }

// What is touched on the machine's own screen is selected, and touched again it boots.
func TestTouch(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		const dir = "sys/devices/input5/event3"
		b.files["sys/class/input/event3"] = boottest.Link("../../devices/input5/event3")
		b.files[dir+"/device/capabilities/abs"] = boottest.File("3\n")
		b.files[dir+"/device/capabilities/key"] = boottest.File("400 0 0 0 0 0\n")
		d := &touchscreen{make(chan []byte), make(chan struct{})}
		b.pointer = func(name string) (pointer.Device, error) {
			if name != "event3" {
				t.Errorf("%s was opened", name)
			}
			return d, nil
		}
		b.start(byHand)
		row := int32(-1)
		for i, line := range strings.Split(b.screen.model.View(menu.Size{W: 100, H: 50}, menu.ASCII).String(), "\n") {
			if strings.Contains(line, "Linux virt") {
				row = int32(i)
			}
		}
		d.touch(20, 2*row+1)
		b.wait(time.Second)
		b.did()
		d.touch(20, 2*row+1)
		b.wait(5 * time.Second)
		b.did(bootedVirt()...)
	})
}

func TestSnapshots(t *testing.T) {
	inv := boot.Inventory{Entries: []boot.Entry{{ID: "a"}, {ID: "b", Snapshot: true}}}
	for asked, want := range map[string]int{"": 1, "alpboot.snapshots": 2} {
		onDisks(t, func(t *testing.T, b *fixture) {
			b.start(asked)
			b.session.later(func() { b.session.take(inv) })
			synctest.Wait()
			if got := len(b.session.view.inventory.Entries); got != want {
				t.Errorf("%q: %d entries, want %d", asked, got, want)
			}
		})
	}
}
