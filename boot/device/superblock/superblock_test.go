package superblock_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/device/superblock/raidtest"
	"golang.org/x/sys/unix"
)

// sparse is a device of zeros with some bytes in it.
type sparse map[int64][]byte

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for _, at := range slices.Sorted(maps.Keys(s)) {
		b := s[at]
		if from := at - off; from >= 0 && from < int64(len(p)) {
			copy(p[from:], b)
		} else if from < 0 && -from < int64(len(b)) {
			copy(p, b[-from:])
		}
	}
	return len(p), nil
}

// write makes an image file of it, for blkid.
func (s sparse) write(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range slices.Sorted(maps.Keys(s)) {
		if _, err := f.WriteAt(s[at], at); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// zfsLabel is a ZFS vdev label with that many uberblocks.
func zfsLabel(uberblocks int, order binary.ByteOrder) []byte {
	be := binary.BigEndian
	b := make([]byte, 256<<10)
	list := []byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	pair := func(name string, kind uint32, value []byte) {
		p := be.AppendUint32(nil, uint32(len(name)))
		p = append(p, name...)
		p = append(p, make([]byte, (4-len(name)%4)%4)...)
		p = be.AppendUint32(be.AppendUint32(p, kind), 1)
		p = append(p, value...)
		list = be.AppendUint32(be.AppendUint32(list, uint32(len(p)+8)), uint32(len(p)+8))
		list = append(list, p...)
	}
	pair("version", 8, be.AppendUint64(nil, 5000))
	pair("name", 9, append(be.AppendUint32(nil, 5), "bpool\x00\x00\x00"...))
	pair("pool_guid", 8, be.AppendUint64(nil, 12345678901234567890))
	pair("guid", 8, be.AppendUint64(nil, 42))
	copy(b[16<<10:], append(list, make([]byte, 8)...))
	for i := range uberblocks {
		order.PutUint64(b[128<<10+i*1024:], 0x00bab10c)
	}
	return b
}

const mib = 1 << 20

func someUUID() []byte { return []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} }

// fields is a superblock of size bytes with some bytes in it.
func fields(size int, at map[int]string) []byte {
	b := make([]byte, size)
	for off, s := range at {
		copy(b[off:], s)
	}
	return b
}

// What the tools that are not everywhere would write, as their headers have it.

const bitLockerID = "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"

func fveMetadata() []byte { return []byte("-FVE-FS-\x40\x00\x02\x00") }

func bcachefs() sparse {
	return sparse{4096: fields(1024, map[int]string{
		16: "\x1b\x00\x1b\x00", 24: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
		40: "another UUID   ", 56: string(someUUID()), 72: "tank", 104: "\x08", 120: "\x08\x00\x00\x01",
	})}
}

func jfs() []byte {
	return fields(512, map[int]string{
		0: "JFS1\x01", 8: "\x00\x70", 16: "\x00\x10\x00\x00\x0c\x00\x03\x00", 24: "\x00\x02\x00\x00\x09\x00",
		136: string(someUUID()), 152: "old",
	})
}

func apfs() []byte {
	return fields(4096, map[int]string{
		8: "\x01", 16: "\x01", 24: "\x01\x00\x00\x80", 32: "NXSB", 36: "\x00\x10\x00\x00", 40: "\x00\x40", 72: string(someUUID()),
	})
}

func nilfs2() []byte {
	b := fields(1024, map[int]string{0: "\x02", 6: "\x34\x34\x18\x01", 12: "\x05\x06\x07\x08", 20: "\x02", 24: "\x08", 48: "\x00\x08", 152: string(someUUID()), 168: "log"})
	binary.LittleEndian.PutUint64(b[32:], 64*mib)
	const seed, size = 0x08070605, 0x118
	// The kernel's crc32_le neither begins nor ends with an inversion.
	sum := uint32(seed)
	for _, c := range b[:size] {
		sum ^= uint32(c)
		for range 8 {
			sum = sum>>1 ^ 0xedb88320&-(sum&1)
		}
	}
	binary.LittleEndian.PutUint32(b[16:], sum)
	return b
}

func stratis() []byte {
	b := fields(512, map[int]string{4: "!Stra0tis\x86\xff\x02^\x41rh"})
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestMembers makes, by hand, what the tools of md and ZFS only make together
// with their drivers, and asks blkid whether it is right.
func TestMembers(t *testing.T) {
	ext4, fat := readPiece(t, "ext4"), readPiece(t, "fat32")
	tests := []struct {
		name   string
		device sparse
		size   int64
		want   superblock.Superblock
	}{
		{
			name:   "raid 1.1",
			device: sparse{0: raidtest.Version1(0, 1)}, size: 16 * mib,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: mdUUID, Label: "alpine:boot"},
		}, {
			name:   "raid 1.2",
			device: sparse{4096: raidtest.Version1(4096, 5)}, size: 16 * mib,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: mdUUID, Label: "alpine:boot"},
		}, {
			name:   "raid 1.0 mirror of ext4, at an odd size",
			device: sparse{1024: ext4.bytes, 16*mib + 4096 - 8192: raidtest.Version1(16*mib+4096-8192, 1)}, size: 16*mib + 4096 + 512,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: mdUUID, Label: "alpine:boot"},
		}, {
			name:   "raid 0.90 mirror of ext4",
			device: sparse{1024: ext4.bytes, 16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1)}, size: 16*mib + 2048,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: md0UUID},
		}, {
			name:   "raid 0.90 stripes: what shows at their beginning is a part",
			device: sparse{1024: ext4.bytes, 16*mib - 65536: raidtest.Version0(binary.LittleEndian, 0)}, size: 16 * mib,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: md0UUID},
		}, {
			name:   "raid 0.90 of a big-endian machine",
			device: sparse{16*mib - 65536: raidtest.Version0(binary.BigEndian, 1)}, size: 16 * mib,
			want: superblock.Superblock{Type: "linux_raid_member", UUID: md0UUID},
		}, {
			name: "raid 0.90 of the last partition, seen through the whole disk",
			device: sparse{
				446: {0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 8, 0, 0, 0x00, 0x78, 0, 0}, 510: {0x55, 0xaa}, // 1 MiB to the end
				16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1),
			},
			size: 16 * mib,
		}, {
			name:   "copy of a raid superblock elsewhere",
			device: sparse{4096: raidtest.Version1(0, 1)}, size: 16 * mib,
		}, {
			name:   "zfs",
			device: sparse{0: zfsLabel(4, binary.LittleEndian)}, size: 64 * mib,
			want: superblock.Superblock{Type: "zfs_member", UUID: "12345678901234567890", Label: "bpool"},
		}, {
			name:   "zfs of a big-endian machine",
			device: sparse{0: zfsLabel(8, binary.BigEndian)}, size: 64 * mib,
			want: superblock.Superblock{Type: "zfs_member", UUID: "12345678901234567890", Label: "bpool"},
		}, {
			name:   "BitLocker of Windows 7 and later",
			device: sparse{0: append([]byte("\xeb\x58\x90-FVE-FS-"), fat.bytes[11:512]...), 160: []byte(bitLockerID), 176: {0, 0x80, 0, 0, 0, 0, 0, 0}, 0x8000: fveMetadata()}, size: 64 * mib,
			want: superblock.Superblock{Type: "BitLocker"},
		}, {
			name:   "BitLocker on a stick, which looks like FAT",
			device: sparse{0: fat.bytes, 3: []byte("MSWIN4.1"), 0x1a8: []byte(bitLockerID), 0x1b8: {0, 0x80, 0, 0, 0, 0, 0, 0}, 0x8000: fveMetadata()}, size: fat.size,
			want: superblock.Superblock{Type: "BitLocker"},
		}, {
			name:   "bcachefs",
			device: bcachefs(), size: 64 * mib,
			want: superblock.Superblock{Type: "bcachefs", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", Label: "tank"},
		}, {
			name:   "jfs",
			device: sparse{32 << 10: jfs()}, size: 16 * mib,
			want: superblock.Superblock{Type: "jfs", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", Label: "old"},
		}, {
			name:   "reiserfs",
			device: sparse{64<<10 + 52: []byte("ReIsEr2Fs"), 64<<10 + 84: someUUID(), 64<<10 + 100: []byte("suse"), 64<<10 + 12: {18}, 64<<10 + 44: {0, 0x10}}, size: 64 * mib,
			want: superblock.Superblock{Type: "reiserfs", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", Label: "suse"},
		}, {
			name:   "reiser4",
			device: sparse{64 << 10: []byte("ReIsEr4"), 64<<10 + 20: someUUID(), 64<<10 + 36: []byte("four")}, size: 64 * mib,
			want: superblock.Superblock{Type: "reiser4", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", Label: "four"},
		}, {
			name:   "apfs",
			device: sparse{0: apfs()}, size: 64 * mib,
			want: superblock.Superblock{Type: "apfs", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f"},
		}, {
			name:   "nilfs2",
			device: sparse{1024: nilfs2()}, size: 64 * mib,
			want: superblock.Superblock{Type: "nilfs2", UUID: "00010203-0405-0607-0809-0a0b0c0d0e0f", Label: "log"},
		}, {
			name:   "VMFS volume",
			device: sparse{2 * mib: []byte("\x5e\xf1\xab\x2f")}, size: 64 * mib,
			want: superblock.Superblock{Type: "VMFS"},
		}, {
			name:   "Stratis",
			device: sparse{512: stratis()}, size: 64 * mib,
			want: superblock.Superblock{Type: "stratis"},
		}, {
			name:   "too few uberblocks for zfs",
			device: sparse{0: zfsLabel(3, binary.LittleEndian)}, size: 64 * mib,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := superblock.Probe(tt.device, tt.size)
			if got != tt.want {
				t.Errorf("Probe returns %+v, want %+v", got, tt.want)
			}
			if unknown := tt.want == (superblock.Superblock{}); errors.Is(err, superblock.ErrUnknown) != unknown || err != nil && !unknown {
				t.Errorf("Probe: %v", err)
			}
			switch tt.want.Type {
			case "bcachefs", "stratis":
				return // util-linux 2.38 does not know them as they are now, or has a UUID of its own
			}
			says := blkid(t, tt.device.write(t, tt.size))
			if tt.want.Type == "BitLocker" {
				says.UUID = "" // that of what lies before it
			}
			if says != tt.want {
				t.Errorf("blkid says %+v, want %+v", says, tt.want)
			}
		})
	}
}

// damage changes bytes of a device.
func (s sparse) with(at int64, b ...byte) sparse {
	c := make(sparse)
	for off, piece := range s {
		c[off] = slices.Clone(piece)
		if i := at - off; i >= 0 && i < int64(len(piece)) {
			copy(c[off][i:], b)
		}
	}
	return c
}

func TestDamaged(t *testing.T) {
	tests := []struct {
		piece string
		at    int64
		bytes []byte
		size  int64 // 0: as it was
		want  string
	}{
		{piece: "ext4", at: 1024 + 0x70, bytes: []byte{0xff, 0xff}, want: "checksum of the ext4 superblock is wrong"},
		{piece: "ext2", at: 1024 + 0x18, bytes: []byte{9}, want: "ext2 blocks of 2^19 bytes"},
		{piece: "ext4", size: 1 * mib, want: "more than the 1048576 bytes of its device"},
		{piece: "xfs", at: 40, bytes: []byte{0xff}, want: "checksum of the xfs superblock is wrong"},
		{piece: "xfs", at: 4, bytes: []byte{1, 2, 3, 4}, want: "xfs blocks of 16909060 bytes"},
		{piece: "xfs", at: 102, bytes: []byte{3, 3}, want: "xfs sectors of 771 bytes"},
		{piece: "btrfs", at: 65536 + 0x80, bytes: []byte{0xff}, want: "checksum of the btrfs superblock is wrong"},
		{piece: "btrfs", at: 65536 + 0xc4, bytes: []byte{0xff}, want: "btrfs checksums of unknown kind 255"},
		{piece: "btrfs", size: 1 * mib, want: "more than the 1048576 bytes"},
		{piece: "squashfs", size: 128, want: "more than the 128 bytes"},
		{piece: "exfat", at: 200, bytes: []byte{1}, want: "checksum of the exfat boot sectors is wrong"},
		{piece: "exfat", at: 0x6c, bytes: []byte{31}, want: "exfat sectors of 2^31 bytes"},
		{piece: "f2fs", at: 1024 + 16, bytes: []byte{40}, want: "f2fs blocks of 2^40 bytes"},
		{piece: "erofs", at: 1024 + 20, bytes: []byte{0xff}, want: "checksum of the erofs superblock is wrong"},
		{piece: "erofs", at: 1024 + 12, bytes: []byte{200}, want: "erofs blocks of 2^200 bytes"},
		{piece: "luks2", at: 7, bytes: []byte{9}, want: "LUKS of unknown version 9"},
		{piece: "lvm2", at: 512 + 40, bytes: []byte{'!'}, want: "checksum of the LVM2 label is wrong"},
		{piece: "swap", at: 1024, bytes: []byte{7}, want: "swap space of version 7"},
	}
	for _, tt := range tests {
		t.Run(tt.piece+": "+tt.want, func(t *testing.T) {
			p := readPiece(t, tt.piece)
			size := p.size
			if tt.size != 0 {
				size = tt.size
			}
			got, err := superblock.Probe(p.device().with(tt.at, tt.bytes...), size)
			if !errors.Is(err, superblock.ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got.Type != p.want.Type {
				t.Errorf("type %q, want %q", got.Type, p.want.Type)
			}
		})
	}
}

func TestAmbiguous(t *testing.T) {
	ext4, btrfs, fat := readPiece(t, "ext4"), readPiece(t, "btrfs"), readPiece(t, "fat12")
	both := sparse{ext4.at: ext4.bytes, btrfs.at: btrfs.bytes}
	tests := []struct {
		name   string
		device sparse
		size   int64
		want   superblock.Superblock
		says   string
	}{
		{"two that are intact", both, btrfs.size, ext4.want, "ext4 and btrfs"},
		{"the first of two is damaged", both.with(1024+0x70, 0xff), btrfs.size, btrfs.want, "ext4 and btrfs"},
		{"a FAT boot sector before ext4", sparse{0: fat.bytes[:512], ext4.at: ext4.bytes}, ext4.size, ext4.want, "ext4 and vfat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := superblock.Probe(tt.device, tt.size)
			if !errors.Is(err, superblock.ErrAmbiguous) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestNotFAT has sectors that end like a FAT boot sector and are none.
func TestNotFAT(t *testing.T) {
	fat := readPiece(t, "fat12")
	tests := []struct {
		name   string
		device sparse
	}{
		{"the MBR that GRUB writes", sparse{0: {0xeb, 0x63, 0x90}, 446: {0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0}, 510: {0x55, 0xaa}}},
		{"the MBR that sfdisk writes", sparse{446: {0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0}, 510: {0x55, 0xaa}}},
		{"the boot sector of HPFS", sparse{0: fat.bytes}.with(0x36, []byte("HPFS    ")...)},
		{"no FATs", sparse{0: fat.bytes}.with(0x10, 0)},
		{"no reserved sectors", sparse{0: fat.bytes}.with(0x0e, 0, 0)},
		{"no sectors", sparse{0: fat.bytes}.with(0x13, 0, 0)},
		{"clusters of three sectors", sparse{0: fat.bytes}.with(0x0d, 3)},
		{"sectors of 513 bytes", sparse{0: fat.bytes}.with(0x0b, 1, 2)},
		{"media byte of nothing", sparse{0: fat.bytes}.with(0x15, 0x12)},
		{"a FAT larger than the volume", sparse{0: fat.bytes}.with(0x16, 0xff, 0xff)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := superblock.Probe(tt.device, fat.size)
			if !errors.Is(err, superblock.ErrUnknown) {
				t.Errorf("got %+v, %v", got, err)
			}
			if says := blkid(t, tt.device.write(t, fat.size)); says.Type != "" {
				t.Errorf("blkid says %+v", says)
			}
		})
	}
}

func TestHostileLabel(t *testing.T) {
	ext2 := readPiece(t, "ext2")
	device := ext2.device().with(1024+0x78, []byte("\x1b[2J\xff ok \n  \x00hidden")...)
	got, err := superblock.Probe(device, ext2.size)
	if want := "?[2J? ok ?"; err != nil || got.Label != want {
		t.Errorf("label %q, %v; want %q", got.Label, err, want)
	}
}

// failing is a device that cannot be read between two offsets.
type failing struct {
	io.ReaderAt
	from, to int64
	reads    int
	bytes    int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	f.reads++
	f.bytes += len(p)
	if off < f.to && off+int64(len(p)) > f.from {
		return 0, unix.EIO
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestUnreadable(t *testing.T) {
	ext4, iso := readPiece(t, "ext4"), readPiece(t, "iso9660")
	tests := []struct {
		name     string
		piece    piece
		from, to int64
		known    bool
	}{
		{"all of it", ext4, 0, ext4.size, false},
		{"its superblock", ext4, 1024, 1536, false},
		{"a sector beside its superblock", ext4, 4096, 4608, true},
		{"its end, where an array's superblock would be", ext4, ext4.size - 65536*2, ext4.size, true},
		{"the end of a disc", iso, iso.size - 8192, iso.size, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &failing{ReaderAt: tt.piece.device(), from: tt.from, to: tt.to}
			got, err := superblock.Probe(f, tt.piece.size)
			if tt.known && (err != nil || got != tt.piece.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.piece.want)
			}
			if !tt.known && (!errors.Is(err, unix.EIO) || got.Type != "") {
				t.Errorf("got %+v, %v; want an I/O error", got, err)
			}
			if f.reads > 40 {
				t.Errorf("%d reads", f.reads)
			}
		})
	}
}

// TestReadsLittle asserts how much of a device is read: under emulation it shows.
func TestReadsLittle(t *testing.T) {
	for _, name := range []string{"ext4", "xfs", "btrfs", "fat32"} {
		p := readPiece(t, name)
		f := &failing{ReaderAt: p.device()}
		if got, err := superblock.Probe(f, p.size); err != nil || got != p.want {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if f.reads > 13 || f.bytes > 32<<10 {
			t.Errorf("%s: %d reads of %d bytes in all", name, f.reads, f.bytes)
		}
	}
}

// TestShort probes devices that end anywhere, among them ones that are shorter
// than they state.
func TestShort(t *testing.T) {
	for _, p := range pieces {
		whole := readPiece(t, p.name)
		b := make([]byte, whole.at+int64(len(whole.bytes)))
		copy(b[whole.at:], whole.bytes)
		for _, size := range []int64{0, 1, 511, 512, 1023, 1024, 1025, 4096, 5000, 65536, 65537, 69000} {
			got, err := superblock.Probe(bytes.NewReader(b[:min(size, int64(len(b)))]), size)
			if err == nil && got != whole.want && got.Label != "" {
				t.Errorf("%s cut at %d: %+v", p.name, size, got)
			}
			_, _ = superblock.Probe(bytes.NewReader(b[:min(size, int64(len(b)))]), 1<<40)
		}
	}
}
