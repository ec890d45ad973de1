package reboot

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

func mountFor(t *testing.T, source, point, fstype, data string) {
	t.Helper()
	boottest.NeedRoot(t)
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, point, fstype, 0, data); err != nil {
		boottest.Skip(t, "mounting ", fstype, ": ", err)
	}
	t.Cleanup(func() { unix.Unmount(point, unix.MNT_DETACH) })
}

// /boot on a filesystem of its own must not be seen twice: as a volume, and as
// a directory of the root volume.
func TestOpenStandaloneHidesOtherMounts(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mountFor(t, "tmpfs", dir, "tmpfs", "")
	if err := os.Mkdir(filepath.Join(dir, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	put("boot/below")
	mountFor(t, "tmpfs", filepath.Join(dir, "boot"), "tmpfs", "")
	put("boot/above")

	fsys, err := openStandalone(mountinfo.Mount{Point: dir, Root: "/", Type: "tmpfs"})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	names, err := fs.Glob(fsys, "boot/*")
	if err != nil || len(names) != 1 || names[0] != "boot/below" {
		t.Errorf("boot holds %q (%v), want what lies below the mount", names, err)
	}
}

// A configuration on a btrfs takes its paths from the top, and the system runs
// from a subvolume.
func TestOpenStandaloneShowsTheTopOfABtrfs(t *testing.T) {
	boottest.NeedRoot(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mkfs.btrfs", "-q", image)
	loop := writeableLoop(t, image)
	top := filepath.Join(dir, "top")
	mountFor(t, loop, top, "btrfs", "")
	createSubvolume(t, top, "@")
	if err := os.WriteFile(filepath.Join(top, "@", "vmlinuz"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, "sub")
	mountFor(t, loop, sub, "btrfs", "subvol=@")

	fsys, err := openStandalone(mountinfo.Mount{Point: sub, Root: "/@", Type: "btrfs", Source: loop})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	if b, err := fs.ReadFile(fsys, "@/vmlinuz"); string(b) != "x" {
		t.Errorf("read %q (%v)", b, err)
	}
	// Only the view is read-only.
	if err := os.WriteFile(filepath.Join(sub, "new"), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// writeableLoop attaches an image to a loop device.
func writeableLoop(t *testing.T, image string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		boottest.Skip(t, err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		boottest.Skip(t, err)
	}
	name := fmt.Sprintf("/dev/loop%d", n)
	loop, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		boottest.Skip(t, err)
	}
	defer loop.Close()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(f.Fd())); err != nil {
		boottest.Skip(t, err)
	}
	t.Cleanup(func() {
		if l, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
			unix.IoctlSetInt(int(l.Fd()), unix.LOOP_CLR_FD, 0)
			l.Close()
		}
	})
	return name
}

// createSubvolume is BTRFS_IOC_SUBVOL_CREATE.
func createSubvolume(t *testing.T, dir, name string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var args struct {
		fd   int64
		name [4088]byte
	}
	copy(args.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), 0x5000940e, uintptr(unsafe.Pointer(&args))); errno != 0 {
		t.Fatal(errno)
	}
}

// Devices are distinguished by their numbers: names may be links or made up.
func TestMountedDevices(t *testing.T) {
	all := []device.Block{
		{Path: "/dev/sda1", Disk: "/dev/sda", Partition: 1, PartUUID: "p1"},
		{Path: "/dev/sda3", Disk: "/dev/sda", Partition: 3},
		{Path: "/dev/dm-0"},
		{Path: "/dev/sdb1", Disk: "/dev/sdb", Partition: 1},
	}
	numbers := map[string]string{"/dev/sda1": "8:1", "/dev/sda3": "8:3", "/dev/dm-0": "254:0", "/dev/sdb1": "8:17", "/dev/mapper/vg0-lv_root": "254:0"}
	mounts := mountinfo.Parse(`1 0 254:0 / / rw - ext4 /dev/mapper/vg0-lv_root rw
2 1 8:1 / /boot rw - ext4 /dev/root rw
3 1 8:3 /srv /media/part rw - ext4 /dev/sda3 rw
4 1 8:3 / /media/whole rw - ext4 /dev/sda3 rw
5 1 0:31 /@ /media/btrfs rw - btrfs /dev/sdb1 rw
6 1 8:2 / /srv rw - ext4 /dev/sda2 rw
7 1 0:9 / /media/tmp rw - tmpfs tmpfs rw
8 1 7:9 / /media/iso ro - iso9660 /dev/loop9 ro
`)
	m := newMounted(mounts, all, func(node string) string { return numbers[node] })
	got := map[string]string{}
	for _, b := range m.blocks {
		got[b.Path] = m.mounts[b.Path].Point
	}
	want := map[string]string{"/dev/dm-0": "/", "/dev/sda1": "/boot", "/dev/sda3": "/media/whole", "/dev/sdb1": "/media/btrfs", "/dev/loop9": "/media/iso"}
	for path, point := range want {
		if got[path] != point {
			t.Errorf("%s is seen at %q, want %q", path, got[path], point)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if m.blocks[1].PartUUID != "p1" {
		t.Errorf("what is known of the partition is lost: %+v", m.blocks[1])
	}

	// Another user than root may not read the device, and sees the entries all the same.
	m.probe = func(string) (superblock.Superblock, error) { return superblock.Superblock{}, fs.ErrPermission }
	if sb, err := m.Probe("/dev/sda1"); err != nil || sb.Type != "ext4" {
		t.Errorf("got %+v, %v", sb, err)
	}
	m.probe = func(string) (superblock.Superblock, error) {
		return superblock.Superblock{Type: "ext4", UUID: "u"}, nil
	}
	if sb, err := m.Probe("/dev/sda1"); err != nil || sb.UUID != "u" {
		t.Errorf("got %+v, %v", sb, err)
	}
}
