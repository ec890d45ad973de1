package session

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
)

// prepare makes the files of a state in a directory, as their user has it done.
func prepare(t *testing.T, dir, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := remember.Prepare(root, path); err != nil {
		t.Fatal(err)
	}
}

// noVariables is a machine with BIOS.
func (b *fixture) noVariables() { b.vars.Fail = errors.New("this machine has no EFI variables") }

// addOwn adds an entry for alpboot itself to a disk of bootDisk.
func (b *fixture) addOwn(d hardware.Device) {
	writeFile(b.t, filepath.Join(d.Dir, "boot/alpboot/bzImage"), string(boottest.BzImage("6.12.1-alpboot")))
	writeFile(b.t, filepath.Join(d.Dir, "boot/extlinux.conf"), "DEFAULT alpboot\nLABEL alpboot\n LINUX alpboot/bzImage\nLABEL lts\n MENU LABEL Linux lts\n LINUX vmlinuz-lts\n INITRD initramfs-lts\nLABEL virt\n MENU LABEL Linux virt\n LINUX vmlinuz-virt\n INITRD initramfs-virt\n")
}

// Without EFI variables the menu remembers in a file that somebody has made beside
// its settings or its image, and makes none itself.
func TestFileThatWasMade(t *testing.T) {
	for _, tt := range []struct {
		name, path, where, device string
		own                       bool
	}{
		{name: "beside the settings", path: "EFI/alpboot/alpboot.state", where: "/EFI/alpboot/alpboot.state on /dev/sda9", device: "/dev/sda9"},
		{name: "beside the image", path: "boot/alpboot/alpboot.state", where: "/boot/alpboot/alpboot.state on /dev/sda1", device: "/dev/sda1", own: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := bootDisk(t, "/dev/sda1", "u1", "")
			onDisks(t, func(t *testing.T, b *fixture) {
				b.noVariables()
				b.hw.jumpErr = nil
				dir := d.Dir
				if tt.own {
					b.addOwn(d)
				} else {
					dir = b.addESP(map[string]string{"x": ""})
				}
				prepare(t, dir, tt.path)
				before := listing(t, filepath.Join(dir, filepath.Dir(tt.path)))
				b.start(byHand + " alpboot.confirm=1")
				b.press(menu.KeyEnd)
				b.press("d")
				b.shows("It is remembered in " + tt.where + ".")
				b.press("d")
				b.shows("Linux virt is booted from now on")
				b.did("write " + tt.device)

				b.start("alpboot.timeout=3 alpboot.confirm=1") // never reports that it is up
				b.wait(4 * time.Second)
				b.did(append([]string{"load boot/vmlinuz-virt", "write " + tt.device}, "hand over", "jump with 0 mounted")...)
				b.start(byHand + " alpboot.confirm=1")
				b.shows("never reported being up")
				if after := listing(t, filepath.Join(dir, filepath.Dir(tt.path))); after != before {
					t.Errorf("there was %s and is %s", before, after)
				}
			}, d)
		})
	}
}

// Where none was made, nothing is remembered, and nothing written.
func TestNoFileWasMade(t *testing.T) {
	for name, prepared := range map[string]func(t *testing.T, b *fixture){
		"none": func(t *testing.T, b *fixture) {},
		"one half": func(t *testing.T, b *fixture) {
			dir := b.addESP(map[string]string{"x": ""})
			prepare(t, dir, "alpboot.state")
			os.Remove(filepath.Join(dir, "alpboot.state.1"))
		},
		"on a stick": func(t *testing.T, b *fixture) {
			dir := t.TempDir()
			prepare(t, dir, "alpboot.state")
			b.disks.Plug(hardware.Device{Block: device.Block{Path: "/dev/sdb1", Disk: "/dev/sdb", Size: 1 << 30, Partition: 1, Removable: true}, Superblock: superblock.Superblock{Type: "vfat", UUID: "5678-ABCD"}, Dir: dir})
		},
		"two": func(t *testing.T, b *fixture) {
			dir := b.addESP(map[string]string{"x": ""})
			prepare(t, dir, "alpboot.state")
			prepare(t, dir, "EFI/alpboot/alpboot.state")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				b.noVariables()
				prepared(t, b)
				b.start(byHand)
				b.press("d")
				if name == "one half" { // it can be made whole
					b.shows("Where to remember it")
				} else {
					b.shows("A default cannot be remembered")
				}
				b.start(byHand + " alpboot.confirm=1")
				b.press(menu.KeyEnter)
				b.did(booted...) // and nothing was written
			})
		})
	}
}
