package superblock_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/device/superblock/raidtest"
)

// pieces are the superblocks kept in testdata, cut out of images of the tests
// above, so that they can be probed where there are no tools, and fuzzed.
var pieces = []struct {
	name   string
	image  string // name in images
	at, to int64
}{
	{"ext2", "ext2", 1024, 2048},
	{"ext3", "ext3", 1024, 2048},
	{"ext4", "ext4", 1024, 2048},
	{"fat12", "fat12", 0, 33 * 512},
	{"fat32", "fat32", 0, 4096},
	{"xfs", "xfs", 0, 512},
	{"btrfs", "btrfs", 64 << 10, 68 << 10},
	{"iso9660", "iso9660 labelled as Alpine does, longer than Joliet can", 32 << 10, 40 << 10},
	{"squashfs", "squashfs", 0, 96},
	{"luks1", "luks1", 0, 1024},
	{"luks2", "luks2", 0, 1024},
	{"swap", "swap", 0, 4096},
	{"f2fs", "f2fs", 0, 4096},
	{"exfat", "exfat", 0, 12 * 512},
	{"erofs", "erofs", 0, 4096},
	{"lvm2", "", 0, 1024}, // of pvcreate, which wants a block device
	// Of mdadm 4.2 with the md driver of Linux 6.1.
	{"md-1.2", "", 4096, 8192},
	{"md-1.0", "", 24*mib - 8192, 24*mib - 4096},
	{"md-0.90", "", 24*mib - 65536, 24*mib - 61440},
}

// piece is a part of a real device, and what its superblock holds.
type piece struct {
	at, size int64
	bytes    []byte
	want     superblock.Superblock
}

func (p piece) device() sparse { return sparse{p.at: p.bytes} }

// readPiece reads testdata/NAME.gz, and its line in testdata/pieces.txt:
// name, offset, size of the device, then type, UUID and label with | between.
func readPiece(t testing.TB, name string) piece {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("testdata", "pieces.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var p piece
	for line := range strings.Lines(string(list)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) == 6 && f[0] == name {
			if _, err := fmt.Sscan(f[1]+" "+f[2], &p.at, &p.size); err != nil {
				t.Fatal(err)
			}
			p.want = superblock.Superblock{Type: f[3], UUID: f[4], Label: f[5]}
		}
	}
	if p.size == 0 {
		t.Fatalf("%s is not in testdata/pieces.txt", name)
	}
	packed, err := os.ReadFile(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if p.bytes, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPieces(t *testing.T) {
	if boottest.Update() { // with the mkfs tools
		updatePieces(t)
	}
	for _, tt := range pieces {
		t.Run(tt.name, func(t *testing.T) {
			p := readPiece(t, tt.name)
			got, err := superblock.Probe(p.device(), p.size)
			if err != nil || got != p.want {
				t.Errorf("got %+v, %v; want %+v", got, err, p.want)
			}
		})
	}
}

// updatePieces makes the images again. blkid reports what they hold.
func updatePieces(t *testing.T) {
	var list strings.Builder
	for _, p := range pieces {
		packed := filepath.Join("testdata", p.name+".gz")
		if p.image == "" {
			kept := readPiece(t, p.name)
			fmt.Fprintf(&list, "%s|%d|%d|%s|%s|%s\n", p.name, kept.at, kept.size, kept.want.Type, kept.want.UUID, kept.want.Label)
			continue
		}
		for _, i := range images {
			if i.name != p.image {
				continue
			}
			image := makeImage(t, i.size, i.make)
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			says := blkid(t, image)
			if p.name == "fat32" || p.name == "exfat" {
				says.Label = "" // is in the root directory, outside the piece
			}
			fmt.Fprintf(&list, "%s|%d|%d|%s|%s|%s\n", p.name, p.at, len(b), says.Type, says.UUID, says.Label)
			var out bytes.Buffer
			z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.Write(b[p.at:min(p.to, int64(len(b)))]); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(packed, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join("testdata", "pieces.txt"), []byte(list.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzProbe puts bytes somewhere on a device of zeros of some size.
func FuzzProbe(f *testing.F) {
	for _, p := range pieces {
		kept := readPiece(f, p.name)
		f.Add(kept.bytes, uint32(kept.at), uint32(kept.size))
	}
	f.Add(raidtest.Version1(0, 1), uint32(0), uint32(16*mib))
	f.Add(raidtest.Version1(16*mib-8192, 1), uint32(16*mib-8192), uint32(16*mib))
	f.Add(zfsLabel(4, binary.LittleEndian)[16<<10:][:256], uint32(16<<10), uint32(16*mib))
	for at, b := range bcachefs() {
		f.Add(b, uint32(at), uint32(16*mib))
	}
	f.Add(jfs(), uint32(32<<10), uint32(16*mib))
	f.Add(apfs(), uint32(0), uint32(16*mib))
	f.Add(nilfs2(), uint32(1024), uint32(16*mib))
	f.Add(stratis(), uint32(512), uint32(16*mib))
	f.Fuzz(func(t *testing.T, b []byte, at, size uint32) {
		counted := &failing{ReaderAt: sparse{int64(at): b}}
		got, err := superblock.Probe(counted, int64(size))
		if err == nil && got.Type == "" {
			t.Error("neither a type nor an error")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has several lines: %q", err)
		}
		for _, s := range []string{got.UUID, got.Label} {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("control characters in %+v", got)
			}
		}
		if counted.reads > 600 {
			t.Errorf("%d reads", counted.reads)
		}
	})
}

// FuzzProbeZFS puts bytes where a ZFS label has its list of names.
func FuzzProbeZFS(f *testing.F) {
	f.Add(zfsLabel(4, binary.LittleEndian)[16<<10:][:256])
	f.Fuzz(func(t *testing.T, list []byte) {
		got, _ := superblock.Probe(sparse{0: zfsLabel(4, binary.LittleEndian), 16 << 10: list[:min(len(list), 4096)]}, 64*mib)
		if got.Type != "" && got.Type != "zfs_member" {
			t.Errorf("%+v", got)
		}
	})
}
