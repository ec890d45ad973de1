package superblock_test

import (
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// blkid returns what blkid says of an image.
func blkid(t *testing.T, image string) superblock.Superblock {
	t.Helper()
	boottest.NeedTools(t, "blkid")
	out, err := exec.Command("blkid", "-p", "-o", "udev", image).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 { // nothing found
		return superblock.Superblock{}
	}
	if err != nil {
		t.Fatalf("blkid %s: %v", image, err)
	}
	var sb superblock.Superblock
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		value = regexp.MustCompile(`\\x..`).ReplaceAllStringFunc(value, func(s string) string {
			b, _ := hex.DecodeString(s[2:])
			return string(b)
		})
		switch key {
		case "ID_FS_TYPE":
			sb.Type = value
		case "ID_FS_UUID_ENC":
			sb.UUID = value
		case "ID_FS_LABEL_ENC":
			sb.Label = value
		}
	}
	return sb
}

func probeFile(t *testing.T, image string) (superblock.Superblock, error) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return superblock.Probe(f, st.Size())
}

// images are made by the tools that make them on a user's disk.
var images = []struct {
	name string
	size int64    // of the image before the tool runs; 0: the tool makes it
	make []string // command; IMAGE and DIR are replaced
	want string   // type
}{
	{"ext2", 4 << 20, []string{"mkfs.ext2", "-q", "-L", "boot two", "IMAGE"}, "ext2"},
	{"ext3", 8 << 20, []string{"mkfs.ext3", "-q", "-L", "alpine", "IMAGE"}, "ext3"},
	{"ext4", 8 << 20, []string{"mkfs.ext4", "-q", "-L", "sixteen-letters-", "IMAGE"}, "ext4"},
	{"ext4 as setup-disk makes /boot", 8 << 20, []string{"mkfs.ext4", "-q", "-O", "^64bit", "IMAGE"}, "ext4"},
	{"ext4 of a cloud image", 8 << 20, []string{"mkfs.ext4", "-q", "-L", "/", "IMAGE"}, "ext4"},
	{"ext4 without checksums", 8 << 20, []string{"mkfs.ext4", "-q", "-O", "^metadata_csum", "IMAGE"}, "ext4"},
	{"ext4 without a journal", 8 << 20, []string{"mkfs.ext4", "-q", "-O", "^has_journal", "IMAGE"}, "ext4"},
	{"ext4 with 1k blocks", 8 << 20, []string{"mkfs.ext4", "-q", "-b", "1024", "IMAGE"}, "ext4"},
	{"external journal", 8 << 20, []string{"mke2fs", "-q", "-O", "journal_dev", "-L", "log", "IMAGE"}, "jbd"},
	{"fat12", 1440 << 10, []string{"mkfs.vfat", "-F", "12", "-n", "FLOPPY", "IMAGE"}, "vfat"},
	{"fat16", 16 << 20, []string{"mkfs.vfat", "-F", "16", "-n", "EFI SYSTEM", "-i", "1a2b3c4d", "IMAGE"}, "vfat"},
	{"fat32", 64 << 20, []string{"mkfs.vfat", "-F", "32", "-n", "ALPINE", "-i", "00ab0001", "IMAGE"}, "vfat"},
	{"fat32 without a label", 64 << 20, []string{"mkfs.vfat", "-F", "32", "IMAGE"}, "vfat"},
	{"fat32 with 4k sectors", 280 << 20, []string{"mkfs.vfat", "-F", "32", "-S", "4096", "-n", "FOURK", "IMAGE"}, "vfat"},
	{"fat of the 512 KiB ESP of cloud images", 512 << 10, []string{"mkfs.vfat", "-n", "EFI", "IMAGE"}, "vfat"},
	{"xfs", 320 << 20, []string{"mkfs.xfs", "-q", "-L", "twelve-chars", "IMAGE"}, "xfs"},
	{"xfs version 4", 320 << 20, []string{"mkfs.xfs", "-q", "-m", "crc=0", "IMAGE"}, "xfs"},
	{"xfs with 4k sectors", 320 << 20, []string{"mkfs.xfs", "-q", "-s", "size=4096", "IMAGE"}, "xfs"},
	{"btrfs", 128 << 20, []string{"mkfs.btrfs", "-q", "-L", "a label of btrfs", "IMAGE"}, "btrfs"},
	{"btrfs with sha256", 128 << 20, []string{"mkfs.btrfs", "-q", "--csum", "sha256", "IMAGE"}, "btrfs"},
	{"btrfs with xxhash", 128 << 20, []string{"mkfs.btrfs", "-q", "--csum", "xxhash", "IMAGE"}, "btrfs"},
	{"iso9660", 0, []string{"xorriso", "-as", "mkisofs", "-quiet", "-o", "IMAGE", "-V", "ALPINE", "DIR"}, "iso9660"},
	{"iso9660 labelled as Alpine does, longer than Joliet can", 0, []string{"xorriso", "-as", "mkisofs", "-quiet", "-o", "IMAGE", "-J", "-r", "-V", "alpine-std 3.22.0 x86_64", "DIR"}, "iso9660"},
	{"iso9660 with a Joliet label", 0, []string{"xorriso", "-as", "mkisofs", "-quiet", "-o", "IMAGE", "-J", "-V", "Größe_1", "DIR"}, "iso9660"},
	{"iso9660 with a dated UUID", 0, []string{"xorriso", "-as", "mkisofs", "-quiet", "-o", "IMAGE", "--modification-date=2026010203040506", "-V", "X", "DIR"}, "iso9660"},
	{"squashfs", 0, []string{"mksquashfs", "DIR", "IMAGE", "-quiet", "-no-progress"}, "squashfs"},
	{"luks1", 16 << 20, []string{"cryptsetup", "luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", "IMAGE", "DIR/file"}, "crypto_LUKS"},
	{"luks2", 20 << 20, []string{"cryptsetup", "luksFormat", "-q", "--type", "luks2", "--label", "crypt label", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "IMAGE", "DIR/file"}, "crypto_LUKS"},
	{"swap", 8 << 20, []string{"mkswap", "-q", "-L", "swap space", "IMAGE"}, "swap"},
	{"swap of a machine with 64k pages", 8 << 20, []string{"mkswap", "-q", "-p", "65536", "IMAGE"}, "swap"},
	{"f2fs", 64 << 20, []string{"mkfs.f2fs", "-q", "-l", "flash größe", "IMAGE"}, "f2fs"},
	{"exfat", 16 << 20, []string{"mkfs.exfat", "-L", "größe", "IMAGE"}, "exfat"},
	{"exfat without a label", 16 << 20, []string{"mkfs.exfat", "IMAGE"}, "exfat"},
	{"ntfs", 16 << 20, []string{"mkfs.ntfs", "-q", "-F", "IMAGE"}, "ntfs"},
	{"erofs", 0, []string{"mkfs.erofs", "--quiet", "IMAGE", "DIR"}, "erofs"},
	{"erofs without a checksum", 0, []string{"mkfs.erofs", "--quiet", "-E", "nosbcrc", "-U", "6b1ea1d5-44c0-4f3a-95bb-6c26d3d7f9a1", "IMAGE", "DIR"}, "erofs"},
}

// makeImage runs the tool of one of images in a temporary directory.
func makeImage(t *testing.T, size int64, command []string) string {
	t.Helper()
	dir := t.TempDir()
	content := filepath.Join(dir, "content")
	image := filepath.Join(dir, "image")
	if err := os.MkdirAll(filepath.Join(content, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(content, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if size > 0 {
		if err := os.WriteFile(image, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, size); err != nil {
			t.Fatal(err)
		}
	}
	replace := strings.NewReplacer("IMAGE", image, "DIR", content)
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = replace.Replace(arg)
	}
	boottest.Tool(t, args[0], args[1:]...)
	return image
}

// TestProbeAgreesWithBlkid makes filesystems with the tools that make them and
// asks blkid about them too.
func TestProbeAgreesWithBlkid(t *testing.T) {
	for _, tt := range images {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := makeImage(t, tt.size, tt.make)
			got, err := probeFile(t, image)
			if err != nil {
				t.Errorf("Probe: %v", err)
			}
			if got.Type != tt.want {
				t.Errorf("type %q, want %q", got.Type, tt.want)
			}
			if want := blkid(t, image); got != want {
				t.Errorf("got  %+v\nwant %+v as blkid says", got, want)
			}
		})
	}
}

// A filesystem on two devices has that on each of them.
func TestBtrfsOnTwoDevices(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, name := range []string{a, b} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 128<<20); err != nil {
			t.Fatal(err)
		}
	}
	boottest.Tool(t, "mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", a, b)
	first, err1 := probeFile(t, a)
	second, err2 := probeFile(t, b)
	if err1 != nil || err2 != nil || first != second || first.Devices != 2 {
		t.Errorf("got %+v, %v and %+v, %v; want twice the same, with 2 devices", first, err1, second, err2)
	}
}
