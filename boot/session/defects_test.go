package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
)

// After a failed jump the next entry waits for its disk to be scanned again.
func TestFallbackAfterAFailedJump(t *testing.T) {
	for name, cmdline := range map[string]string{"unattended": "alpboot.timeout=0", "by hand": "alpboot.timeout=-1"} {
		t.Run(name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				b.disks.Latency = 300 * time.Millisecond
				b.start(cmdline)
				if name == "by hand" {
					b.burst(menu.KeyEnter)
					b.wait(time.Second)
					b.burst(menu.KeyDown, menu.KeyEnter)
				}
				b.wait(5 * time.Second)
				b.did(append(slices.Clone(booted), bootedVirt()...)...)
				b.shows("Linux virt did not boot: ", "The jump failed.")
				if text := b.screen.text(); strings.Contains(text, "gone") {
					t.Errorf("the screen: %s", text)
				}
			})
		})
	}
}

// Esc stops the start while that is being remembered, and it is not remembered
// then.
func TestEscWhileSaving(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.remember-last alpboot.confirm")
		b.hw.set(func(h *target) { h.stuck = 300 * time.Millisecond })
		b.press(menu.KeyEnter, menu.KeyEsc)
		b.shows("Stopping ...")
		b.wait(20 * time.Second)
		b.shows("Stopped. Nothing was booted.")
		b.did("load boot/vmlinuz-lts", "unload")
		if len(b.vars.Values) > 0 {
			t.Errorf("it remembers %v", b.vars.Values)
		}
	})
}

// The same for what was to be booted once: it is still to be.
func TestEscLeavesTheNextBoot(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		virt := b.idOf("Linux virt")
		b.vars.Values["AlpbootNext"] = virt
		held := make(chan struct{})
		b.hw.set(func(h *target) { h.held = held })
		b.start(byHand)
		b.press(menu.KeyEnter, menu.KeyEsc)
		close(held)
		b.wait(time.Second)
		b.did("load boot/vmlinuz-virt", "unload")
		if got := b.vars.Values["AlpbootNext"]; got != virt {
			t.Errorf("the next boot is %q, want %q", got, virt)
		}
	})
}

// Esc stops a start until the consoles are closed.
func TestEscBeforeTheJump(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand + " alpboot.remember-last")
		b.hw.always = func(what string) {
			if strings.HasPrefix(what, "load ") {
				time.AfterFunc(50*time.Millisecond, func() { b.burst(menu.KeyEsc) }) // while the console closes
			}
		}
		b.press(menu.KeyEnter)
		b.shows("Stopped. Nothing was booted.")
		b.did("load boot/vmlinuz-lts", "unload")
		if len(b.vars.Values) > 0 {
			t.Errorf("it remembers %v", b.vars.Values)
		}
	})
}

// A default that could not be read is not overwritten by a start.
func TestUnreadableMemory(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		virt := b.idOf("Linux virt")
		b.vars.Values["AlpbootDefault"] = virt
		b.vars.broken["AlpbootDefault"] = true
		b.start(byHand + " alpboot.remember-last")
		b.press(menu.KeyEnter)
		b.did(booted...)
		delete(b.vars.broken, "AlpbootDefault")
		if got := b.vars.Values["AlpbootDefault"]; got != virt {
			t.Errorf("the default is %q, want %q", got, virt)
		}
	})
}

// A slow firmware holds up neither keys nor screen, and not the machine.
func TestSlowFirmware(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.hw.set(func(h *target) { h.stuck = time.Hour })
		b.start("alpboot.timeout=2 alpboot.device-limit=3")
		b.shows("Linux lts")
		b.press("?")
		b.shows("Keys")
		b.wait(6 * time.Minute)
		b.did(append(slices.Clone(booted), bootedVirt()...)...)
	})
}

// A passphrase that another one takes the place of is wiped.
func TestPendingPassphraseIsWiped(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		first, second := []byte("first"), []byte("right")
		b.session.later(func() {
			b.session.restart(nil, func(error) {})
			b.session.act(menu.Unlock{Device: "/dev/sda2", Passphrase: first})
			b.session.act(menu.Unlock{Device: "/dev/sda2", Passphrase: second})
		})
		b.wait(5 * time.Second)
		b.shows("Linux lts")
		if text := string(first) + string(second); strings.Trim(text, "\x00") != "" {
			t.Errorf("%q is still in memory", text)
		}
	}, encrypted(t))
}

// Of several volumes that a command line names, the system gets the passphrase
// of the one that its root filesystem is in.
func TestPassphraseOfTheRoot(t *testing.T) {
	o := secrets{}
	for _, device := range []string{"/dev/sdb2", "/dev/sda2", "/dev/sdc2"} {
		k := o.own(menu.Unlock{Device: device, Passphrase: []byte(device)})
		o.keep(k, boot.Volume{Device: device, Disk: device[:8], UUID: "c" + device[7:8], Label: "crypt"})
	}
	inside := boot.Volume{Device: "/dev/mapper/luks-cc", UUID: "root", Crypt: "cc"}
	for _, tt := range []struct{ name, cmdline, want string }{
		{"by the root filesystem", "cryptroot=LABEL=crypt root=UUID=root", "/dev/sdc2"},
		{"by the disk of the entry", "cryptroot=LABEL=crypt root=/dev/mapper/root", "/dev/sdb2"},
		{"by its own name", "cryptroot=UUID=ca root=UUID=root", "/dev/sda2"},
	} {
		for range 20 {
			e := boot.Entry{Cmdline: tt.cmdline, Volume: boot.Volume{Device: "/dev/sdb1", Disk: "/dev/sdb"}}
			if _, got := o.handOn(e, []boot.Volume{inside}, false); string(got) != tt.want {
				t.Fatalf("%s: the passphrase of %s, want %s", tt.name, got, tt.want)
			}
		}
	}
}

// Layouts that are asked for at once are loaded one after the other, so that the
// kernel's own comes back.
func TestKeymapsAtOnce(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.files["usr/share/bkeymaps/de/de.bmap"] = boottest.File(bkeymap())
		b.slowKeys = time.Millisecond
		b.start(byHand)
		b.session.later(func() { b.session.setKeymap("de") })
		time.Sleep(50 * time.Millisecond) // half of it is loaded
		b.session.later(func() { b.session.setKeymap("de") })
		b.session.later(func() { b.session.setKeymap("us") })
		b.wait(time.Minute)
		b.did("key 30 is 1030", "key 30 is 30")
		if got := b.layout[31]; got != 31 {
			t.Errorf("key 31 is %d", got)
		}
	})
}
