package qemutests

import (
	"os"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a disk on which almost everything is broken, the menu shows each broken
// entry as one that cannot boot and says why, has a note on each volume that it
// cannot use, and boots the one entry that is good.
func TestBadInput(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	k := kernelOf(t, debian.Older)
	image, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"still": "boots"}
	good := disk.Kernel{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)}
	m := start(t, anyKernel, "alpboot.timeout=-1", vm.Drive{File: write(t, disk.BadDisk(good, image))})

	m.row(menuLimit, disk.GoodTitle, inList(k.Release))
	for _, tt := range []struct{ title, why string }{
		{disk.TruncatedTitle, "/vmlinuz-truncated cannot be used"},
		{disk.EmptyInitramfsTitle, "/initramfs-empty cannot be used"},
		{disk.MissingInitramfsTitle, "/initramfs-missing is missing"},
	} {
		m.row(drawLimit, tt.title, "cannot boot")
		m.Type(vm.Down)
		m.selected(tt.title)
		m.text(drawLimit, tt.why)
	}

	// A kernel among links that go in circles is still found, and found once.
	m.text(drawLimit, "5 entries")
	m.Type(vm.Down)
	m.selected("guessed")
	m.text(drawLimit, "Cannot boot: No root filesystem that belongs to this kernel has been found")

	// The notes say what is wrong with the volumes.
	m.Type("l")
	for _, why := range []string{
		"/dev/vda2 cannot be used: damaged superblock",
		"/dev/vda3 holds NTFS, the filesystem of Windows, which alpboot cannot read",
		"/dev/vda4 holds no filesystem that alpboot knows",
		"/dev/vda5: the extlinux configuration cannot be used",
	} {
		m.text(drawLimit, why)
	}
	for _, tt := range []struct{ words, why string }{
		{"10485760", "10485760 bytes"},
		{"nowhere", "/extlinux.conf: The link leads nowhere. /boot/extlinux/extlinux.conf: The link leads nowhere."},
	} {
		m.Type("/"+vm.Key(tt.words), vm.Enter)
		m.text(drawLimit, tt.why)
	}
	m.Type(vm.Escape)

	m.row(drawLimit, disk.GoodTitle)
	m.Type(vm.Home)
	m.selected(disk.GoodTitle)
	m.Type(vm.Enter)
	m.target(want{k, "root=UUID=" + disk.RootUUID + " " + targetOptions, files})
}
