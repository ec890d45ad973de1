package subvolume_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/format/bare"
	"github.com/alpboot/alpboot/boot/format/extlinux"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// mountBtrfs makes a btrfs in an image file and returns the directory that it is
// mounted on.
func mountBtrfs(t *testing.T) string {
	t.Helper()
	boottest.NeedFilesystem(t, "btrfs")
	boottest.NeedTools(t, "mkfs.btrfs", "btrfs", "mount", "umount")
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mkfs.btrfs", "-q", image)
	boottest.Tool(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { boottest.Tool(t, "umount", mount) })
	return mount
}

// TestBtrfs asserts that on a real btrfs subvolumes are not mistaken for directories, and
// snapshots from the system, also where they are only known by being read-only.
func TestBtrfs(t *testing.T) {
	top := mountBtrfs(t)
	at := func(name string) string { return filepath.Join(top, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		boottest.Tool(t, "btrfs", "subvolume", "create", at(name))
	}
	snapshot := func(from, to string, options ...string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(to)), 0o755); err != nil {
			t.Fatal(err)
		}
		boottest.Tool(t, "btrfs", append(append([]string{"subvolume", "snapshot"}, options...), at(from), at(to))...)
	}
	create("rootfs")
	write("rootfs/etc/os-release", "ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.23\"\n")
	write("rootfs/etc/update-extlinux.conf", "root=UUID=u-1\nmodules=btrfs\ndefault_kernel_opts='quiet rootfstype=btrfs rootflags=subvol=rootfs'\n")
	write("rootfs/boot/vmlinuz-lts", "kernel")
	write("rootfs/boot/initramfs-lts", "initramfs")
	write("rootfs/boot/extlinux.conf", "LABEL lts\nLINUX vmlinuz-lts\nINITRD initramfs-lts\nAPPEND root=UUID=u-1 rootflags=subvol=rootfs\n")
	create("rootfs/.snapshots")
	snapshot("rootfs", "rootfs/.snapshots/1/snapshot", "-r")
	snapshot("rootfs", "rootfs/.snapshots/2/snapshot")
	snapshot("rootfs", "kept", "-r")
	create("systems/debian/@")
	write("systems/debian/@/boot/grub/grub.cfg", "menuentry Debian { linux /systems/debian/@/boot/vmlinuz root=UUID=u-1 rootflags=subvol=systems/debian/@ }\n")
	write("systems/debian/@/boot/vmlinuz", "kernel")
	create("home")
	write("home/user/boot/vmlinuz-lts", "kernel") // not a system: its directory is not a subvolume
	write("copy/boot/vmlinuz-lts", "kernel")
	boottest.Tool(t, "btrfs", "filesystem", "sync", top)

	fsys, err := device.Directory(top)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	vol := boot.Volume{Device: "/dev/sda2", UUID: "u-1", Type: "btrfs"}
	roots, older := subvolume.Roots(fsys, vol)
	want := ". home rootfs systems/debian/@ [rootfs/.snapshots/2/snapshot] [rootfs/.snapshots/1/snapshot] [kept]"
	if got := list(roots); got != want || older != 0 {
		t.Errorf("got  %s (%d older)\nwant %s", got, older, want)
	}
	var readOnly []string
	for _, r := range roots {
		if r.ReadOnly {
			readOnly = append(readOnly, r.Dir)
		}
	}
	if d := cmp.Diff([]string{"rootfs/.snapshots/1/snapshot", "kept"}, readOnly); d != "" {
		t.Errorf("read-only subvolumes (-want +got):\n%s", d)
	}

	var got strings.Builder
	for _, format := range []boot.Format{extlinux.Format(), grub.Format(), bare.Format()} {
		l, err := format.Parse(fsys, vol, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Entries {
			if e.Problem != "" { // a kernel without an initramfs
				continue
			}
			got.WriteString(e.Format + ": " + e.Title + ": " + e.Kernel + ": " + subvolume.Flag(e.Cmdline) + "\n")
			if e.Snapshot != strings.Contains(e.Title, "snapshot") {
				t.Errorf("snapshot: %t: %s", e.Snapshot, boottest.EntryText(e))
			}
		}
	}
	if d := cmp.Diff(`extlinux: lts: rootfs/boot/vmlinuz-lts: rootfs
grub: Debian: systems/debian/@/boot/vmlinuz: systems/debian/@
bare: Alpine Linux v3.23 (lts): rootfs/boot/vmlinuz-lts: rootfs
bare: Alpine Linux v3.23 (lts), snapshot 2: rootfs/.snapshots/2/snapshot/boot/vmlinuz-lts: rootfs/.snapshots/2/snapshot
bare: Alpine Linux v3.23 (lts), snapshot 1: rootfs/.snapshots/1/snapshot/boot/vmlinuz-lts: rootfs/.snapshots/1/snapshot
bare: Alpine Linux v3.23 (lts), snapshot kept: kept/boot/vmlinuz-lts: kept
`, got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestDefaultSubvolume asserts that a system that runs from a snapshot, as
// openSUSE does from the first one on, is the system, and only others are
// snapshots of it; read-only as in MicroOS, or not.
func TestDefaultSubvolume(t *testing.T) {
	top := mountBtrfs(t)
	at := func(name string) string { return filepath.Join(top, name) }
	boottest.Tool(t, "btrfs", "subvolume", "create", at("@"))
	if err := os.MkdirAll(at("@/boot/grub2/x86_64-efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "btrfs", "subvolume", "create", at("@/.snapshots"))
	for _, n := range []string{"1", "2", "3"} {
		if err := os.Mkdir(at("@/.snapshots/"+n), 0o755); err != nil {
			t.Fatal(err)
		}
		root := at("@/.snapshots/" + n + "/snapshot")
		if n == "1" {
			boottest.Tool(t, "btrfs", "subvolume", "create", root)
			if err := os.MkdirAll(filepath.Join(root, "boot/grub2"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"boot/vmlinuz-6.4.0-default": "kernel", "boot/initrd-6.4.0-default": "initramfs",
				"boot/grub2/grub.cfg": "set btrfs_relative_path=y\nmenuentry openSUSE { linux /boot/vmlinuz-6.4.0-default root=UUID=u-1\n initrd /boot/initrd-6.4.0-default\n }\n",
			} {
				if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			boottest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", at("@/.snapshots/1/snapshot"), root)
		}
	}
	fsys, err := device.Directory(top)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	vol := boot.Volume{Device: "/dev/sda2", UUID: "u-1", Type: "btrfs"}
	for _, tt := range []struct{ dir, roots, grub string }{
		{".", ". @ [@/.snapshots/3/snapshot] [@/.snapshots/2/snapshot] [@/.snapshots/1/snapshot]", ""},
		{"@/.snapshots/1/snapshot", ". @ @/.snapshots/1/snapshot [@/.snapshots/3/snapshot] [@/.snapshots/2/snapshot]", "@/.snapshots/1/snapshot/boot/vmlinuz-6.4.0-default"},
		{"@/.snapshots/3/snapshot", ". @ @/.snapshots/3/snapshot [@/.snapshots/2/snapshot] [@/.snapshots/1/snapshot]", "@/.snapshots/3/snapshot/boot/vmlinuz-6.4.0-default"},
	} {
		boottest.Tool(t, "btrfs", "subvolume", "set-default", at(tt.dir))
		boottest.Tool(t, "btrfs", "filesystem", "sync", top)
		roots, _ := subvolume.Roots(fsys, vol)
		if got := list(roots); got != tt.roots {
			t.Errorf("by default %s: got\n%s, want\n%s", tt.dir, got, tt.roots)
		}
		l, err := grub.Format().Parse(fsys, vol, nil)
		if err != nil {
			t.Fatal(err)
		}
		kernels := ""
		for _, e := range l.Entries {
			kernels += e.Kernel
			if e.Problem != "" || e.Snapshot {
				t.Errorf("by default %s: %s", tt.dir, boottest.EntryText(e))
			}
		}
		if kernels != tt.grub {
			t.Errorf("by default %s: GRUB boots %q, want %q", tt.dir, kernels, tt.grub)
		}
	}
}
