package device_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"golang.org/x/sys/unix"
)

// kernelHas reports whether the running kernel can mount a filesystem.
func kernelHas(t *testing.T, fstype string) bool {
	t.Helper()
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// content is a directory as a system has it.
func content(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "boot/grub"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "boot/vmlinuz-lts"), []byte("kernel"), 0o644))
	must(t, os.Symlink("/boot/vmlinuz-lts", filepath.Join(dir, "vmlinuz")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "escape")))
	return dir
}

// makeImage runs a tool, with IMAGE and DIR replaced in its arguments.
func makeImage(t *testing.T, size int64, command ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if size > 0 {
		must(t, os.WriteFile(image, nil, 0o644))
		must(t, os.Truncate(image, size))
	}
	replace := strings.NewReplacer("IMAGE", image, "DIR", content(t))
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = replace.Replace(arg)
	}
	boottest.Tool(t, args[0], args[1:]...)
	return image
}

func checksum(t *testing.T, image string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(image)
	must(t, err)
	return sha256.Sum256(b)
}

func probe(t *testing.T, path string) superblock.Superblock {
	t.Helper()
	f, err := device.Open(path)
	must(t, err)
	defer f.Close()
	sb, err := superblock.Probe(f, f.Size)
	must(t, err)
	return sb
}

const mib = 1 << 20

// mountable are filesystems that hold content.
var mountable = []struct {
	name    string
	size    int64
	command []string
	driver  string
}{
	{"ext2", 8 * mib, []string{"mkfs.ext2", "-q", "-d", "DIR", "IMAGE"}, "ext4"},
	{"ext3", 8 * mib, []string{"mkfs.ext3", "-q", "-d", "DIR", "IMAGE"}, "ext4"},
	{"ext4", 8 * mib, []string{"mkfs.ext4", "-q", "-d", "DIR", "IMAGE"}, "ext4"},
	{"ext4 that wants a panic on errors", 8 * mib, []string{"mkfs.ext4", "-q", "-e", "panic", "-d", "DIR", "IMAGE"}, "ext4"},
	{"btrfs", 128 * mib, []string{"mkfs.btrfs", "-q", "--rootdir", "DIR", "IMAGE"}, "btrfs"},
	{"squashfs", 0, []string{"mksquashfs", "DIR", "IMAGE", "-quiet", "-no-progress"}, "squashfs"},
	{"erofs", 0, []string{"mkfs.erofs", "--quiet", "IMAGE", "DIR"}, "erofs"},
}

// TestMount mounts filesystems and reads files from them, and checks that no
// byte of them has changed and that no mount can be seen.
func TestMount(t *testing.T) {
	boottest.NeedRoot(t)
	for _, tt := range mountable {
		t.Run(tt.name, func(t *testing.T) {
			if !kernelHas(t, tt.driver) {
				t.Skipf("this kernel has no %s", tt.driver)
			}
			image := makeImage(t, tt.size, tt.command...)
			before := checksum(t, image)
			var needed []string
			m := device.Mounter{Need: func(driver string) error {
				needed = append(needed, driver)
				if driver == "crc32c_generic" {
					return errors.New("no such module") // is not fatal
				}
				return nil
			}}
			root, err := m.Mount(t.Context(), image, probe(t, image))
			must(t, err)
			checkContent(t, root)
			loops := loopsOver(t, image)
			if len(loops) != 1 {
				t.Errorf("the loop devices are %q, want one", loops)
			}
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			must(t, err)
			for _, loop := range loops {
				if strings.Contains(string(mounts), loop+" ") {
					t.Errorf("the mount can be seen:\n%s", mounts)
				}
			}
			must(t, root.Close())
			if loops := loopsOver(t, image); len(loops) > 0 {
				t.Errorf("%q stay", loops)
			}
			if checksum(t, image) != before {
				t.Error("the image has changed")
			}
			if len(needed) < 2 || needed[0] != tt.driver || needed[len(needed)-1] != "loop" {
				t.Errorf("Need was asked for %q", needed)
			}
		})
	}
}

func checkContent(t *testing.T, root *device.Root) {
	t.Helper()
	for _, name := range []string{"boot/vmlinuz-lts", "vmlinuz"} {
		if b, err := fs.ReadFile(root, name); string(b) != "kernel" || err != nil {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if _, err := fs.ReadFile(root, "escape"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a symlink to the host's files returned %v", err)
	}
	entries, err := root.ReadDir("boot")
	if err != nil || len(entries) != 2 || !entries[0].IsDir() || entries[1].Name() != "vmlinuz-lts" {
		t.Errorf("ReadDir returned %v, %v", entries, err)
	}
}

// dirty makes an image of a filesystem as it is on disk while it is mounted
// and written to, with a file that is deleted and still open.
func dirty(t *testing.T, size int64, command ...string) string {
	t.Helper()
	image := makeImage(t, size, command...)
	mnt := t.TempDir()
	boottest.Tool(t, "mount", "-o", "loop", image, mnt)
	mounted := true
	defer func() {
		if mounted {
			boottest.Tool(t, "umount", mnt)
		}
	}()
	must(t, os.MkdirAll(filepath.Join(mnt, "boot/grub"), 0o755))
	must(t, os.WriteFile(filepath.Join(mnt, "boot/vmlinuz-lts"), []byte("kernel"), 0o644))
	_ = os.Symlink("/boot/vmlinuz-lts", filepath.Join(mnt, "vmlinuz"))
	_ = os.Symlink("/etc/passwd", filepath.Join(mnt, "escape"))
	orphan, err := os.Create(filepath.Join(mnt, "orphan"))
	must(t, err)
	_, err = orphan.Write(make([]byte, 256<<10))
	must(t, err)
	must(t, orphan.Sync())
	must(t, os.Remove(orphan.Name()))
	// All so far goes to its place, and so does the list of deleted files: to
	// finish with these, ext4 writes even where it replays no journal.
	boottest.Tool(t, "fsfreeze", "-f", mnt)
	boottest.Tool(t, "fsfreeze", "-u", mnt)
	late, err := os.Create(filepath.Join(mnt, "late"))
	must(t, err)
	must(t, late.Sync()) // commits the journal
	must(t, late.Close())
	copied := filepath.Join(t.TempDir(), "copy")
	boottest.Tool(t, "cp", "--sparse=always", image, copied)
	must(t, orphan.Close())
	boottest.Tool(t, "umount", mnt)
	mounted = false
	return copied
}

// TestMountLeavesJournals mounts filesystems that were not unmounted. Their
// drivers would write to them if they could, and that ruins a hibernated
// system.
func TestMountLeavesJournals(t *testing.T) {
	boottest.NeedRoot(t)
	tests := []struct {
		name    string
		size    int64
		command []string
		mark    func(t *testing.T, image string) bool // that it needs recovery
	}{
		{"ext3", 8 * mib, []string{"mkfs.ext3", "-q", "IMAGE"}, needsRecovery},
		{"ext4", 8 * mib, []string{"mkfs.ext4", "-q", "IMAGE"}, needsRecovery},
		{"xfs", 320 * mib, []string{"mkfs.xfs", "-q", "IMAGE"}, nil},
		{"btrfs", 128 * mib, []string{"mkfs.btrfs", "-q", "IMAGE"}, nil},
	}
	for _, tt := range tests {
		if tt.name != "ext3" && !kernelHas(t, tt.name) {
			continue
		}
		for _, blockReadOnly := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{false: " through a loop device", true: " with the device made read-only"}[blockReadOnly], func(t *testing.T) {
				image := dirty(t, tt.size, tt.command...)
				if tt.mark != nil && !tt.mark(t, image) {
					t.Fatal("the image does not need recovery: nothing is tested")
				}
				before := checksum(t, image)
				path, sb := image, probe(t, image)
				if blockReadOnly {
					path = writableLoop(t, image)
				}
				m := device.Mounter{BlockReadOnly: blockReadOnly}
				root, err := m.Mount(t.Context(), path, sb)
				must(t, err)
				checkContent(t, root)
				if blockReadOnly && !isReadOnly(t, path) {
					t.Errorf("%s can be written to while it is mounted", path)
				}
				must(t, root.Close())
				if blockReadOnly && isReadOnly(t, path) {
					t.Errorf("%s stays read-only", path)
				}
				unix.Sync()
				if checksum(t, image) != before {
					t.Error("the image has changed")
				}
			})
		}
	}
}

// needsRecovery reports whether an ext filesystem has a journal to be replayed
// and an inode that was deleted while open.
func needsRecovery(t *testing.T, image string) bool {
	t.Helper()
	f, err := os.Open(image)
	must(t, err)
	defer f.Close()
	var sb [1024]byte
	_, err = f.ReadAt(sb[:], 1024)
	must(t, err)
	return sb[0x60]&0x4 != 0 && binary.LittleEndian.Uint32(sb[0xe8:]) != 0
}

// writableLoop puts a writable block device over an image.
func writableLoop(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		t.Skipf("no loop device can be had: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { boottest.Tool(t, "losetup", "-d", loop) })
	return loop
}

func isReadOnly(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile("/sys/class/block/" + filepath.Base(path) + "/ro")
	must(t, err)
	return strings.TrimSpace(string(b)) == "1"
}

// TestMountDuplicate mounts a filesystem and its copy, as after a disk was
// cloned, which xfs refuses without an option.
func TestMountDuplicate(t *testing.T) {
	boottest.NeedRoot(t)
	if !kernelHas(t, "xfs") {
		t.Skip("this kernel has no xfs")
	}
	image := makeImage(t, 320*mib, "mkfs.xfs", "-q", "IMAGE")
	copied := filepath.Join(t.TempDir(), "copy")
	boottest.Tool(t, "cp", "--sparse=always", image, copied)
	var m device.Mounter
	for _, path := range []string{image, copied} {
		root, err := m.Mount(t.Context(), path, probe(t, path))
		must(t, err)
		defer root.Close()
	}
}

// TestMountImage mounts a partition of an image, in a boot loader too.
func TestMountImage(t *testing.T) {
	boottest.NeedRoot(t)
	image := filepath.Join(t.TempDir(), "image")
	b, err := os.ReadFile(makeImage(t, 8*mib, "mkfs.ext4", "-q", "-d", "DIR", "IMAGE"))
	must(t, err)
	const start = 1*mib + 512
	must(t, os.WriteFile(image, append(make([]byte, start), b...), 0o644))
	loop, err := device.Loop(image, start, int64(len(b)))
	must(t, err)
	for _, blockReadOnly := range []bool{false, true} {
		m := device.Mounter{BlockReadOnly: blockReadOnly}
		root, err := m.Mount(t.Context(), loop.Path, probe(t, loop.Path))
		must(t, err)
		checkContent(t, root)
		must(t, root.Close())
		if !isReadOnly(t, loop.Path) {
			t.Errorf("%s can be written to after the mount", loop.Path)
		}
		root, err = m.Mount(t.Context(), filepath.Join(filepath.Dir(image), "image"), superblock.Superblock{Type: "ext4"})
		if err == nil {
			root.Close()
			t.Error("mounted what does not begin with a filesystem")
		}
	}
	root, err := new(device.Mounter).Mount(t.Context(), loop.Path, probe(t, loop.Path))
	must(t, err)
	must(t, loop.Close())
	checkContent(t, root) // the mount keeps the loop device
	must(t, root.Close())
	if loops := loopsOver(t, image); len(loops) > 0 {
		t.Errorf("%q stay", loops)
	}
}

// TestMountBtrfsOfSeveralDevices mounts a filesystem over three devices, which
// works as soon as all of them have been seen.
func TestMountBtrfsOfSeveralDevices(t *testing.T) {
	boottest.NeedRoot(t)
	if !kernelHas(t, "btrfs") {
		t.Skip("this kernel has no btrfs")
	}
	devices := make([]string, 3)
	for i := range devices {
		image := filepath.Join(t.TempDir(), "image")
		must(t, os.WriteFile(image, nil, 0o644))
		must(t, os.Truncate(image, 128*mib))
		devices[i] = writableLoop(t, image)
	}
	boottest.Tool(t, "mkfs.btrfs", append([]string{"-q", "-d", "raid0", "-m", "raid1"}, devices...)...)
	boottest.Tool(t, "btrfs", append([]string{"-q", "device", "scan", "--forget"}, devices...)...)
	t.Cleanup(func() { boottest.Tool(t, "btrfs", append([]string{"-q", "device", "scan", "--forget"}, devices...)...) })
	sb := probe(t, devices[0])
	m := device.Mounter{BlockReadOnly: true}
	for _, path := range devices[:2] {
		_, err := m.Mount(t.Context(), path, sb)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "spans several devices") {
			t.Errorf("without the others: %v", err)
		}
		if isReadOnly(t, path) {
			t.Errorf("%s stays read-only", path)
		}
	}
	root, err := m.Mount(t.Context(), devices[2], sb)
	must(t, err)
	must(t, root.Close())
}

// TestMountBtrfsDefaultSubvolume examines the whole tree, whatever is mounted
// by default.
func TestMountBtrfsDefaultSubvolume(t *testing.T) {
	boottest.NeedRoot(t)
	if !kernelHas(t, "btrfs") {
		t.Skip("this kernel has no btrfs")
	}
	image := makeImage(t, 128*mib, "mkfs.btrfs", "-q", "IMAGE")
	mnt := t.TempDir()
	boottest.Tool(t, "mount", "-o", "loop", image, mnt)
	boottest.Tool(t, "btrfs", "-q", "subvolume", "create", mnt+"/@")
	must(t, os.WriteFile(mnt+"/@/inside", []byte("kernel"), 0o644))
	boottest.Tool(t, "btrfs", "-q", "subvolume", "set-default", mnt+"/@")
	boottest.Tool(t, "umount", mnt)
	var m device.Mounter
	root, err := m.Mount(t.Context(), image, probe(t, image))
	must(t, err)
	defer root.Close()
	if b, err := fs.ReadFile(root, "@/inside"); string(b) != "kernel" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestMountErrors(t *testing.T) {
	boottest.NeedRoot(t)
	ext4 := makeImage(t, 8*mib, "mkfs.ext4", "-q", "-O", "^metadata_csum", "IMAGE")
	patch := func(at int64, b ...byte) string {
		image := filepath.Join(t.TempDir(), "patched")
		boottest.Tool(t, "cp", ext4, image)
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(b, at)
		must(t, err)
		must(t, f.Close())
		return image
	}
	sb := superblock.Superblock{Type: "ext4"}
	short := patch(0)
	must(t, os.Truncate(short, 1*mib))
	zeros := filepath.Join(t.TempDir(), "zeros")
	must(t, os.WriteFile(zeros, make([]byte, mib), 0o644))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		m    device.Mounter
		path string
		sb   superblock.Superblock
		want []string
		err  error
	}{
		{name: "LUKS", path: ext4, sb: superblock.Superblock{Type: "crypto_LUKS"}, want: []string{ext4, "crypto_LUKS", "which alpboot cannot read"}},
		{name: "a driver that cannot be loaded", m: device.Mounter{Need: func(string) error { return errors.New("no such module") }}, path: ext4, sb: sb, want: []string{ext4, "ext4", "no such module"}},
		{name: "no such device", path: "/dev/nowhere", sb: sb, want: []string{"/dev/nowhere"}, err: fs.ErrNotExist},
		{name: "a feature of the future", path: patch(1024+0x60, 0xff, 0xff, 0xff, 0xff), sb: sb, want: []string{"does not accept its ext4 superblock"}, err: unix.EINVAL},
		{name: "a group descriptor of zeros", path: patch(2048, make([]byte, 64)...), sb: sb, want: []string{"the ext4 filesystem is damaged"}, err: unix.EUCLEAN},
		{name: "not what it is taken for", path: zeros, sb: sb, want: []string{zeros, "does not accept"}, err: unix.EINVAL},
		{name: "an image that was cut off", path: short, sb: sb, want: []string{short}},
		{name: "the caller has given up", ctx: ended, path: ext4, sb: sb, want: []string{ext4, "given up"}, err: context.Canceled},
		{name: "no loop device over a directory", path: t.TempDir(), sb: sb, want: []string{"loop device"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			root, err := tt.m.Mount(tt.ctx, tt.path, tt.sb)
			if err == nil {
				root.Close()
				t.Fatal("mounted")
			}
			t.Log(err)
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not have %q", err, want)
				}
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%v is not %v", err, tt.err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("several lines: %q", err)
			}
		})
	}
}

// TestMountWithoutDriver takes what this kernel cannot mount; the fixed types
// of the kernel here may differ elsewhere.
func TestMountWithoutDriver(t *testing.T) {
	boottest.NeedRoot(t)
	image := makeImage(t, 8*mib, "mkfs.ext4", "-q", "IMAGE")
	tested := false
	for _, fstype := range []string{"vfat", "iso9660", "f2fs", "exfat"} {
		if kernelHas(t, fstype) {
			continue
		}
		tested = true
		var m device.Mounter
		_, err := m.Mount(t.Context(), image, superblock.Superblock{Type: fstype})
		want := "this kernel has no support for " + fstype + ", needed by " + image
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, unix.ENODEV) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if !tested {
		t.Skip("this kernel mounts everything")
	}
}

// TestMountsEnd checks that neither a closed nor a failed mount keeps a loop
// device.
func TestMountsEnd(t *testing.T) {
	boottest.NeedRoot(t)
	image := makeImage(t, 8*mib, "mkfs.ext4", "-q", "-d", "DIR", "IMAGE")
	var m device.Mounter
	for range 20 { // more than there are loop devices at first
		root, err := m.Mount(t.Context(), image, superblock.Superblock{Type: "ext4"})
		must(t, err)
		must(t, root.Close())
		if _, err := m.Mount(t.Context(), image, superblock.Superblock{Type: "squashfs"}); err == nil {
			t.Fatal("mounted as squashfs")
		}
	}
	if loops := loopsOver(t, image); len(loops) > 0 {
		t.Errorf("%q stay", loops)
	}
}

// loopsOver returns the loop devices over an image.
func loopsOver(t *testing.T, image string) (loops []string) {
	t.Helper()
	names, err := filepath.Glob("/sys/class/block/loop*/loop/backing_file")
	must(t, err)
	for _, name := range names {
		if b, _ := os.ReadFile(name); strings.HasPrefix(string(b), image) {
			loops = append(loops, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(name))))
		}
	}
	return loops
}
