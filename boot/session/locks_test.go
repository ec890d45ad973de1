package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/settings"
)

// secretHash is a hash of "secret".
const secretHash = "grub.pbkdf2.sha512.10.0EF274A917CB66B8.42915885150BA3A33AA3BC5ADA483FE1"

// The password of the image opens what it locks; nothing else does. Neither it nor its
// hash is on a screen or in the log. An entry that may not be edited starts with panic=,
// unless it was edited by who may.
func TestPasswordOfTheImage(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.files[settings.ImageFile] = boottest.File("password = " + secretHash + "\n")
		b.start(byHand)
		for _, key := range []string{"e", "s", "o", "d"} {
			b.press(key)
			b.shows("Password for")
			b.press(menu.KeyEsc)
		}
		b.press("p")
		b.shows("restart the machine")
		b.press(menu.KeyEsc, menu.KeyDown, menu.KeyEnter)
		b.shows("Password for starting Linux virt")
		b.press("wrong", menu.KeyEnter)
		b.shows("This password is wrong. Tries left: 2.")
		b.press(menu.KeyEsc, menu.KeyUp)
		b.did()
		b.press(menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did(booted...)
		if want := "root=UUID=u1 panic=30"; b.hw.cmdline != want {
			t.Errorf("the default has the command line %q, want %q", b.hw.cmdline, want)
		}
		b.press("s", "secret", menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did("shell on /dev/ttyS0 with 0 mounted")
		b.press("e", " single", menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did(booted...)
		if want := "root=UUID=u1 single"; b.hw.cmdline != want {
			t.Errorf("what was edited has the command line %q, want %q", b.hw.cmdline, want)
		}
		for where, text := range map[string]string{"log": b.logged(), "screen": b.screen.text()} {
			if strings.Contains(text, "secret") || strings.Contains(text, secretHash) {
				t.Errorf("the %s has the password, or its hash:\n%s", where, text)
			}
		}
		if text := b.logged(); !strings.Contains(text, "a wrong password was typed") {
			t.Errorf("the log:\n%s", text)
		}
	})
}

// A shell that the password locks is not opened when nothing is left to start either.
func TestNoShellWithoutPassword(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.files[settings.ImageFile] = boottest.File("password = *\n")
		b.start("alpboot.timeout=0 alpboot.exhausted=shell")
		b.wait(3 * time.Second)
		b.shows("Restarting in")
		b.wait(6 * time.Minute)
		b.did(slices.Concat(booted, bootedVirt(), []string{"hand over", "restart"})...)
	})
}

// grubDisk makes a disk whose entries Linux lts, the default, and Linux virt GRUB starts
// with these options.
func grubDisk(t *testing.T, path, uuid, lts, virt string) hardware.Device {
	d := bootDisk(t, path, uuid, "")
	if err := os.Remove(filepath.Join(d.Dir, "boot/extlinux.conf")); err != nil {
		t.Fatal(err)
	}
	conf := "set timeout=0\nset superusers=root\npassword_pbkdf2 root " + secretHash + "\npassword alice of-alice\n"
	for i, options := range []string{lts, virt} {
		flavour := []string{"lts", "virt"}[i]
		conf += fmt.Sprintf("menuentry 'Linux %s' --id %s %s {\nlinux /boot/vmlinuz-%s root=UUID=%s\ninitrd /boot/initramfs-%s\n}\n", flavour, flavour, options, flavour, uuid, flavour)
	}
	writeFile(t, filepath.Join(d.Dir, "boot/grub/grub.cfg"), conf+"set default=lts\n")
	return d
}

// What GRUB asks for a password is started and edited with it, and does not start by
// itself. Other entries of the volume are edited with it, those of other disks without.
func TestPasswordOfGRUB(t *testing.T) {
	disk := grubDisk(t, "/dev/sda1", "u1", "--users alice", "--unrestricted")
	writeFile(t, filepath.Join(disk.Dir, "boot/vmlinuz-edge"), string(boottest.BzImage("6.13.0-0-edge")))
	writeFile(t, filepath.Join(disk.Dir, "boot/initramfs-edge"), "\x1f\x8b\x08\x00 initramfs of edge")
	writeFile(t, filepath.Join(disk.Dir, "etc/os-release"), "ID=alpine\nPRETTY_NAME=\"Guessed Linux\"\n")
	other := bootDisk(t, "/dev/sdb1", "u2", "other")
	other.Block.Disk = "/dev/sdb"
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("alpboot.timeout=0")
		b.wait(time.Minute)
		b.did()
		b.shows("Linux lts (on /dev/sda1) is not booted by itself: its own menu asks for a password first.")
		for _, e := range b.session.view.inventory.Entries {
			l := e.Lock
			switch {
			case e.Volume.Device == "/dev/sdb1":
				if l != nil {
					t.Errorf("%s on another disk is locked", e.Title)
				}
			case l == nil || len(l.Edit) != 1 || l.Asks != (e.Title != "Linux virt"):
				t.Errorf("%s: %+v", e.Title, l)
			}
		}
		b.press("1", menu.KeyEnter, "of-bob", menu.KeyEnter)
		b.shows("This password is wrong.")
		b.press("of-alice", menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did(booted...)
		b.press("e")
		b.shows("Password for editing Linux lts")
		b.press("of-alice", menu.KeyEnter)
		b.shows("This password is wrong.")
		b.press("secret", menu.KeyEnter, "x", menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did(booted...)
	}, disk, other)
}

// An entry that GRUB starts without a password does here, too.
func TestUnrestrictedStarts(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("alpboot.timeout=0 alpboot.exhausted=wait")
		b.wait(2 * time.Second)
		b.did(booted...)
	}, grubDisk(t, "/dev/sda1", "u1", "--unrestricted", ""))
}

// An entry that two menus have asks for the password that one of them has. What a stick
// has about another volume locks and opens nothing there.
func TestLocksOfSeveralMenus(t *testing.T) {
	disk := bootDisk(t, "/dev/sda1", "u1", "")
	conf := "menuentry 'Linux lts' {\nlinux /boot/vmlinuz-lts root=UUID=u1\ninitrd /boot/initramfs-lts\n}\n"
	writeFile(t, filepath.Join(disk.Dir, "boot/grub/grub.cfg"), conf)
	replace("boot/extlinux.conf", "LABEL virt", " MENU PASSWD x\nLABEL virt")(t, disk.Dir)
	stick := hardware.Device{Block: device.Block{Path: "/dev/sdb1", Disk: "/dev/sdb", Size: 1 << 30, Partition: 1, Removable: true}, Superblock: superblock.Superblock{Type: "ext4", UUID: "u2"}, Dir: t.TempDir()}
	writeFile(t, filepath.Join(stick.Dir, "boot/grub/grub.cfg"), "set superusers=eve\npassword eve evil\nsearch --set=root --fs-uuid u1\nmenuentry Evil {\nlinux /boot/vmlinuz-virt init=/bin/sh\n}\n")
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		for _, e := range b.session.view.inventory.Entries {
			if e.Removable {
				continue
			}
			if l := e.Lock; l == nil || l.Asks != (e.Title == "Linux lts") || !slices.Equal(l.Edit, []boot.Secret{"plain:x"}) {
				t.Errorf("%s: %+v", e.Title, l)
			}
		}
	}, disk, stick)
}
