package device_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
)

// What is written through a mount for writing is there at the next mount, also
// where a journal had to be replayed first, and nothing stays mounted.
func TestWrite(t *testing.T) {
	boottest.NeedRoot(t)
	clean := func(size int64, command ...string) func(*testing.T) string {
		return func(t *testing.T) string { return makeImage(t, size, command...) }
	}
	for _, tt := range []struct {
		name, driver string
		image        func(*testing.T) string
	}{
		{"ext2", "ext4", clean(8*mib, "mkfs.ext2", "-q", "-d", "DIR", "IMAGE")},
		{"ext4", "ext4", clean(8*mib, "mkfs.ext4", "-q", "-d", "DIR", "IMAGE")},
		{"ext4 with a journal to replay", "ext4", func(t *testing.T) string { return dirty(t, 8*mib, "mkfs.ext4", "-q", "IMAGE") }},
		{"btrfs", "btrfs", clean(128*mib, "mkfs.btrfs", "-q", "--rootdir", "DIR", "IMAGE")},
		{"xfs", "xfs", clean(320*mib, "mkfs.xfs", "-q", "IMAGE")},
		{"vfat", "vfat", clean(8*mib, "mkfs.vfat", "IMAGE")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !kernelHas(t, tt.driver) {
				t.Skipf("this kernel has no %s", tt.driver)
			}
			image := tt.image(t)
			dev := writableLoop(t, image)
			m := device.Mounter{BlockReadOnly: true}
			sb := probe(t, dev)
			must(t, m.Write(dev, sb, func(root *os.Root) error {
				if _, err := root.Stat("../etc/passwd"); err == nil {
					t.Error("the root can be left")
				}
				return root.WriteFile("log.txt", []byte("written"), 0o644)
			}))
			wanted := errors.New("as it went")
			if err := m.Write(dev, sb, func(*os.Root) error { return wanted }); err != wanted {
				t.Errorf("got %v, want the error of the function", err)
			}
			root, err := m.Mount(t.Context(), dev, sb) // fails while it is mounted for writing
			must(t, err)
			if b, err := fs.ReadFile(root, "log.txt"); string(b) != "written" || err != nil {
				t.Errorf("the file holds %q, %v", b, err)
			}
			if err := m.Write(dev, sb, func(*os.Root) error { return nil }); err == nil {
				t.Error("it can be written to while it is mounted read-only")
			}
			must(t, root.Close())
		})
	}
}

func TestWriteErrors(t *testing.T) {
	boottest.NeedRoot(t)
	m := device.Mounter{}
	for _, tt := range []struct {
		name, fstype string
		image        func(t *testing.T) string
		want         string
	}{
		{"read-only device", "ext4", func(t *testing.T) string {
			loop, err := device.Loop(makeImage(t, 8*mib, "mkfs.ext4", "-q", "IMAGE"), 0, 0)
			must(t, err)
			t.Cleanup(func() { loop.Close() })
			return loop.Path
		}, "can only be read"},
		{"squashfs", "squashfs", func(t *testing.T) string {
			return makeImage(t, 0, "mksquashfs", "DIR", "IMAGE", "-quiet", "-no-progress")
		}, "which is only ever read"},
		{"swap", "swap", func(t *testing.T) string { return makeImage(t, mib, "mkswap", "-q", "IMAGE") }, "which alpboot does not write to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := tt.image(t)
			sb := probe(t, image)
			if sb.Type != tt.fstype {
				t.Fatalf("it is %q", sb.Type)
			}
			err := m.Write(image, sb, func(*os.Root) error { t.Error("called"); return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), image) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
