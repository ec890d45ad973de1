package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/menu"
)

// plugged is a stick with entries of other kernels than those of bootDisk.
func plugged(t *testing.T, uuid string) hardware.Device {
	t.Helper()
	d := bootDisk(t, "/dev/sdb1", uuid, "")
	d.Block.Disk, d.Block.Removable = "/dev/sdb", true
	for old, name := range map[string]string{"boot/vmlinuz-lts": "boot/vmlinuz-stick", "boot/initramfs-lts": "boot/initramfs-stick"} {
		if err := os.Rename(filepath.Join(d.Dir, old), filepath.Join(d.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(d.Dir, "boot/vmlinuz-virt")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(d.Dir, "boot/extlinux.conf"), "TIMEOUT 10\nDEFAULT stick\nLABEL stick\n MENU LABEL 1\n LINUX vmlinuz-stick\n INITRD initramfs-stick\n APPEND root=/dev/sdb1\n")
	return d
}

// didFirst is did, whatever was done after that: where a jump fails, others follow.
func (b *fixture) didFirst(want ...string) {
	b.t.Helper()
	synctest.Wait()
	b.hw.mu.Lock()
	b.hw.done = b.hw.done[:min(len(b.hw.done), max(len(want), 1))]
	b.hw.mu.Unlock()
	b.did(want...)
}

const aboutSticks = "What is plugged in (/dev/sdb) is not booted by itself: "

// A stick with a default beside a system that has only guessed entries is not
// counted down into; its entry says why, and Enter boots it all the same.
func TestStickIsNotCountedDownInto(t *testing.T) {
	disk := bootDisk(t, "/dev/sda1", "u1", "")
	if err := os.Remove(filepath.Join(disk.Dir, "boot/extlinux.conf")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(disk.Dir, "etc/os-release"), "ID=alpine\n")
	writeFile(t, filepath.Join(disk.Dir, "etc/fstab"), "UUID=u1 / ext4 rw 0 1\n")
	// Of kernels that no configuration names the newest is the default.
	if err := os.Chtimes(filepath.Join(disk.Dir, "boot/vmlinuz-virt"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for _, parameters := range []string{"", "alpboot.default=1"} {
		onDisks(t, func(t *testing.T, b *fixture) {
			b.start(parameters)
			b.wait(10 * time.Second)
			b.did(booted...)
		}, plugged(t, "u2"), disk)
	}
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		b.press(menu.KeyEnd)
		b.shows(aboutSticks)
		b.press("dd")
		b.shows("1 is remembered. " + aboutSticks)
		b.press(menu.KeyEnter)
		b.did("load boot/vmlinuz-stick", "hand over", "jump with 0 mounted")
	}, plugged(t, "u2"), disk)
}

// While a disk that is built in has not answered, nothing is booted, and the
// machine is to restart; when it answers, what is on it is booted.
func TestStickBesideASlowDisk(t *testing.T) {
	slow := bootDisk(t, "/dev/sda1", "u1", "")
	slow.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: time.Minute}}
	onDisks(t, func(t *testing.T, b *fixture) {
		b.slow = true
		b.start("")
		b.wait(40 * time.Second)
		b.did()
		b.shows("Restarting in 269 s: /dev/sda1 has not answered: what is plugged in")
		b.wait(40 * time.Second)
		b.did(booted...)
	}, plugged(t, "u2"), slow)
}

// The setting removable, and the stick that alpboot was started from.
func TestRemovableSetting(t *testing.T) {
	fromStick := []string{"load boot/vmlinuz-stick", "hand over", "jump with 0 mounted"}
	for _, tt := range []struct {
		parameters string
		own        bool
		alone      bool
		want       []string
	}{
		{"alpboot.default=1", false, false, booted},
		{"alpboot.default=1", true, false, fromStick}, // it is the title of an entry
		{"", false, true, fromStick},
		{"alpboot.removable=no", false, true, nil},
		{"alpboot.removable=no", true, true, fromStick},
		{"alpboot.removable=yes alpboot.default=1", false, true, fromStick},
		{"alpboot.removable=yes alpboot.default=1", false, false, booted},
	} {
		stick := plugged(t, "u2")
		stick.Block.PartUUID = "0000-01"
		disks := []hardware.Device{stick}
		if !tt.alone {
			disks = append([]hardware.Device{bootDisk(t, "/dev/sda1", "u1", "")}, disks...)
		}
		onDisks(t, func(t *testing.T, b *fixture) {
			if tt.own {
				b.vars.Values["LoaderDevicePartUUID"] = string(efivar.AppendText(nil, "0000-01"))
			}
			b.start(tt.parameters)
			b.wait(10 * time.Second)
			b.didFirst(tt.want...)
			if tt.want == nil {
				b.shows(" s: removable = no: what is plugged in is not boot")
			}
		}, disks...)
	}
}

// What may start the wrong system is not counted down into, and the screen says
// why.
func TestCopyIsNotCountedDownInto(t *testing.T) {
	copied := bootDisk(t, "/dev/sdb1", "u1", "")
	copied.Block.Disk = "/dev/sdb"
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("")
		b.wait(time.Minute)
		b.did()
		b.shows("Linux lts is not booted by itself: 2 volumes have the UUID u1")
		b.press(menu.KeyEnter)
		b.did(booted...)
	}, bootDisk(t, "/dev/sda1", "u1", ""), copied)
}

// What a stick's grubenv asks for at the next boot does not come before the default
// of the settings, and is not spent.
func TestNextEntryOfAStick(t *testing.T) {
	stick := plugged(t, "u2")
	if err := os.Remove(filepath.Join(stick.Dir, "boot/extlinux.conf")); err != nil {
		t.Fatal(err)
	}
	env := "# GRUB Environment Block\nnext_entry=stick\n"
	writeFile(t, filepath.Join(stick.Dir, "boot/grub/grubenv"), env+strings.Repeat("#", 1024-len(env)))
	writeFile(t, filepath.Join(stick.Dir, "boot/grub/grub.cfg"), "load_env\nset timeout=1\nset default=\"$next_entry\"\nset next_entry=\nsave_env next_entry\n"+
		"menuentry Stick --id stick {\nlinux /boot/vmlinuz-stick root=/dev/sdb1\ninitrd /boot/initramfs-stick\n}\n")
	writeFile(t, filepath.Join(stick.Dir, "boot/vmlinuz-stick"), string(boottest.BzImage("6.12.1-0-stick")))
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("alpboot.default=1")
		b.wait(10 * time.Second)
		b.didFirst(booted...)
		if used := b.vars.Values["AlpbootUsed"]; used != "" {
			t.Errorf("it counts as met: %q", used)
		}
	}, stick, bootDisk(t, "/dev/sda1", "u1", ""))
}
