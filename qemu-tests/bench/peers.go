package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/openrc"
	"github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target"
)

// What other boot loaders start from is made here as their installers leave it.

// listed is the title of the target in all menus.
const listed = "Linux lts"

// packageFiles returns the directory with the files of packages of Debian.
func packageFiles(a *assets.Assets, names ...string) (string, error) {
	return openrc.Packages(filepath.Join(a.Root(), "build", "cache", "openrc"), names...)
}

// theTarget returns what is booted: a kernel and its initramfs.
func theTarget(a *assets.Assets) (kernel string, initramfs []byte, err error) {
	k, err := a.Debian(debian.Newer)
	if err != nil {
		return "", nil, err
	}
	init, err := a.TargetInit()
	if err != nil {
		return "", nil, err
	}
	initramfs, err = target.Initramfs(target.Image{Init: init, Compression: target.Gzip})
	return k.Image, initramfs, err
}

// grubUUID is that of the filesystem with GRUB's own files.
const grubUUID = "6a1d3f0e-52c4-4b0b-8f5e-3a2f9b7c1d20"

// grubDisk makes a disk that GRUB starts from on BIOS, in front of the first partition, and
// on UEFI. Its menu has one entry, what is on a disk of [diskWith] with parameters, and
// waits so many seconds.
func grubDisk(a *assets.Assets, name, timeout, parameters string) (string, error) {
	// UEFI firmware reads the serial port too: what it takes comes by its console.
	config := fmt.Sprintf(`serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial
timeout=%s
search --no-floppy --set=root --fs-uuid %s
menuentry "%s" {
	linux /vmlinuz-lts %s
	initrd /initramfs-lts
}
`, timeout, disk.BootUUID, listed, disk.Install{Options: targetOptions(parameters)}.Cmdline("UUID="+disk.RootUUID))
	files := []disk.File{{Path: "grub/grub.cfg", Data: []byte(config)}}
	core := map[string]string{}
	var bootSector []byte
	for _, g := range []struct {
		format, pkg string
		modules     []string
	}{
		{"i386-pc", "grub-pc-bin", []string{"biosdisk"}},
		{"x86_64-efi", "grub-efi-amd64-bin", nil},
	} {
		format := g.format
		dir, err := packageFiles(a, g.pkg)
		if err != nil {
			return "", err
		}
		dir = filepath.Join(dir, "usr/lib/grub", format)
		modules, err := filepath.Glob(filepath.Join(dir, "*.[ml][os][dt]"))
		if err != nil {
			return "", err
		}
		for _, m := range modules {
			files = append(files, disk.File{Path: "grub/" + format + "/" + filepath.Base(m), From: m})
		}
		if format == "i386-pc" {
			if bootSector, err = os.ReadFile(filepath.Join(dir, "boot.img")); err != nil {
				return "", err
			}
		}
		// As grub-install does it: the image finds the filesystem and reads the rest from there.
		script := a.Path("bench", "grub-"+format+".cfg")
		if err := os.WriteFile(script, []byte("search.fs_uuid "+grubUUID+" root\nset prefix=($root)/grub\n"), 0o644); err != nil {
			return "", err
		}
		core[format] = a.Path("bench", "grub-"+format)
		args := append([]string{"-O", format, "-d", dir, "-p", "/grub", "-c", script, "-o", core[format], "part_msdos", "ext2", "search_fs_uuid"}, g.modules...)
		if _, err := payload.Run("", "grub-mkimage", args...); err != nil {
			return "", err
		}
	}
	file := a.Path("bench", name)
	l := disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{
		{Size: 40, Type: "ef", FS: disk.FS{Type: "vfat", Files: []disk.File{{Path: "EFI/BOOT/BOOTX64.EFI", From: core["x86_64-efi"]}}}},
		{Size: 48, Bootable: true, FS: disk.FS{Type: "ext4", UUID: grubUUID, Files: files}},
	}}
	if err := l.Write(file); err != nil {
		return "", err
	}
	return file, putGRUB(file, bootSector, core["i386-pc"])
}

// putGRUB puts GRUB's code in front of the first partition of a disk: that of the first
// sector finds the rest in those behind it.
func putGRUB(file string, bootSector []byte, core string) error {
	const code, room = 440, 1<<20 - 512 // what follows the code is the partition table
	rest, err := os.ReadFile(core)
	if err != nil {
		return err
	}
	if len(bootSector) < code || len(rest) > room {
		return fmt.Errorf("%s does not fit in front of the first partition", core)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for at, b := range map[int64][]byte{0: bootSector[:code], 512: rest} {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
	}
	return f.Close()
}

// systemdBootDisk makes a disk that systemd-boot starts from on UEFI, as bootctl leaves
// it, with the target beside it: it reads no other filesystem than that of the firmware.
func systemdBootDisk(a *assets.Assets, name, timeout, parameters string) (string, error) {
	dir, err := packageFiles(a, "systemd-boot-efi")
	if err != nil {
		return "", err
	}
	kernel, initramfs, err := theTarget(a)
	if err != nil {
		return "", err
	}
	entry := fmt.Sprintf("title %s\nlinux /vmlinuz-lts\ninitrd /initramfs-lts\noptions %s\n", listed, targetOptions(parameters))
	file := a.Path("bench", name)
	return file, disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 96, Type: "U", FS: disk.FS{Type: "vfat", Files: []disk.File{
			{Path: "EFI/BOOT/BOOTX64.EFI", From: filepath.Join(dir, "usr/lib/systemd/boot/efi/systemd-bootx64.efi")},
			{Path: "loader/loader.conf", Data: []byte("timeout " + timeout + "\n")},
			{Path: "loader/entries/lts.conf", Data: []byte(entry)},
			{Path: "vmlinuz-lts", From: kernel}, {Path: "initramfs-lts", Data: initramfs},
		}}},
	}}.Write(file)
}

// targetOptions is the beginning of the target's command line.
func targetOptions(parameters string) string {
	return strings.TrimSpace("console=ttyS0,115200 " + parameters)
}
