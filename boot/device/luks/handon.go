package luks

import (
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cpio"
)

// keyFile is where Alpine's initramfs looks for a key by itself.
const keyFile = "/crypto_keyfile.bin"

// Archive returns an initrd, to be loaded after those of the entry, that holds
// the passphrase as /crypto_keyfile.bin, mode 0400. The caller
// clears it when it has been loaded.
//
// With the command line of [ForTarget], Alpine's initramfs opens the volume
// with it and asks nobody: initramfs-init (mkinitfs since 3.4) passes
// cryptkey=FILE on to nlplug-findfs -k, with /crypto_keyfile.bin for a bare
// cryptkey; that reads the whole file, byte for byte, as a passphrase for any
// key slot, and asks on the console only when it does not open one. It is read
// by whoever is root in the initramfs, and is gone with it at switch_root.
//
// Others are not served. dracut wants rd.luks.key=FILE:/:UUID=..., systemd's
// generator a file /etc/cryptsetup-keys.d/NAME.key or rd.luks.key=UUID=FILE,
// Debian's cryptsetup-initramfs a key file in its own /cryptroot/crypttab, which
// an archive cannot add to.
func Archive(passphrase []byte) []byte {
	return cpio.Archive(cpio.File{Name: strings.TrimPrefix(keyFile, "/"), Mode: 0o400, Data: passphrase})
}

// ForTarget reports whether the Alpine system that is booted with cmdline will ask
// for the passphrase of the LUKS volume vol, and returns the command line that has
// it take the one of [Archive] instead. It does so when cryptroot= names vol, in
// any way that nlplug-findfs knows: UUID=, LABEL=, PARTUUID=, PARTLABEL=, a link
// below /dev/disk, or the device itself, whose name may be another one under the
// target's kernel; then a wrong passphrase is tried, and it asks all the same.
//
// A command line that has a cryptkey of its own is left as it is, and so is one
// with a header elsewhere (cryptheader=).
func ForTarget(cmdline string, vol boot.Volume) (string, bool) {
	root, _ := option(cmdline, "cryptroot")
	_, hasKey := option(cmdline, "cryptkey")
	_, hasHeader := option(cmdline, "cryptheader")
	if hasKey || hasHeader || !names(root, vol) {
		return cmdline, false
	}
	return strings.TrimSpace(cmdline + " cryptkey=" + keyFile), true
}

// option reads one option as initramfs-init does: white space separates,
// whatever quotes there are; name stands for yes and noname for no; and the
// last one counts.
func option(cmdline, name string) (value string, ok bool) {
	for _, word := range strings.Fields(cmdline) {
		switch v, found := strings.CutPrefix(word, name+"="); {
		case found:
			value, ok = v, true
		case word == name:
			value, ok = "yes", true
		case word == "no"+name:
			value, ok = "no", true
		}
	}
	return value, ok
}

// names reports whether the device that a command line names is vol.
func names(device string, vol boot.Volume) bool {
	if device == "" {
		return false
	}
	for _, way := range []struct{ tag, directory, value string }{
		{"UUID=", "/dev/disk/by-uuid/", vol.UUID},
		{"LABEL=", "/dev/disk/by-label/", vol.Label},
		{"PARTUUID=", "/dev/disk/by-partuuid/", vol.PartUUID},
		{"PARTLABEL=", "/dev/disk/by-partlabel/", vol.PartLabel},
	} {
		if way.value != "" && (device == way.tag+way.value || device == way.directory+way.value) {
			return true
		}
	}
	return device == vol.Device || "/dev/"+device == vol.Device
}
