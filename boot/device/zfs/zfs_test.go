package zfs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/alpboot/alpboot/boot/device/zfs"
)

const imageSize = 64 << 20

// images unpacks the devices of a fixture, which ZFS itself has made.
func images(t *testing.T, name string) []zfs.Device {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", name+".zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := zstd.NewReader(packed, zstd.IgnoreChecksum(true))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list []zfs.Device
	block, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; at += int64(len(block)) {
		if _, err := io.ReadFull(r, block); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		n, off := int(at/imageSize), at%imageSize
		if n == len(list) {
			f, err := os.Create(filepath.Join(t.TempDir(), fmt.Sprint(n)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			if err := f.Truncate(imageSize); err != nil {
				t.Fatal(err)
			}
			list = append(list, zfs.Device{Name: fmt.Sprintf("/dev/sd%c", 'a'+n), ReaderAt: f, Size: imageSize})
		}
		if bytes.Equal(block, zeros) {
			continue
		}
		if _, err := list[n].ReaderAt.(*os.File).WriteAt(block, off); err != nil {
			t.Fatal(err)
		}
	}
}

// open opens the pool that is on the devices.
func open(devices []zfs.Device) (*zfs.Pool, error) {
	var members []*zfs.Member
	for _, d := range devices {
		m, err := zfs.ReadMember(d)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return zfs.Open(members)
}

// fixtures are the pools in testdata.
func fixtures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("testdata/*.zst")
	if err != nil || len(list) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for i, name := range list {
		list[i] = strings.TrimSuffix(filepath.Base(name), ".zst")
	}
	return list
}

// listed is what ZFS itself has listed in a fixture, by dataset and path. In pools made
// by libzpool, each dataset has the same files.
func listed(t *testing.T, name string) map[string]string {
	t.Helper()
	file, made := name, strings.HasPrefix(name, "zpool-")
	if made {
		file = "tree"
	}
	text, err := os.ReadFile(filepath.Join("testdata", file+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if !made {
			dataset, rest, _ := strings.Cut(line, "\t")
			path, rest, _ := strings.Cut(rest, "\t")
			list[dataset+"\t"+path] = rest
			continue
		}
		path, rest, _ := strings.Cut(line, "\t")
		for _, dataset := range inPool[name] {
			list[name+"/"+dataset+"\t"+path] = rest
		}
	}
	return list
}

// inPool are the datasets in pools made by libzpool that can be read.
var inPool = map[string][]string{
	"zpool-disk":    {"lz4", "zstd", "gzip", "zle", "off", "large", "gcm", "ccm"},
	"zpool-mirror":  {"lz4"},
	"zpool-raidz1":  {"lz4"},
	"zpool-raidz2":  {"lz4"},
	"zpool-raidz3":  {"lz4"},
	"zpool-removed": {"lz4", "zstd"},
}

// secrets are what unlocks encrypted datasets.
var secrets = map[string]string{
	"kernel-mirror/gcm": "correct horse",
	"zpool-disk/gcm":    "correct horse",
	"zpool-disk/ccm":    "0123456789abcdef0123456789ABCDEF",
}

// list lists the datasets that are in want, and their snapshots, as ZFS has listed them.
func list(t *testing.T, p *zfs.Pool, want map[string]string) map[string]string {
	t.Helper()
	datasets, err := p.Datasets()
	if err != nil {
		t.Error(err)
	}
	for _, d := range slices.Clone(datasets) {
		snapshots, err := d.Snapshots()
		if err != nil {
			t.Error(err)
		}
		if secret, ok := secrets[d.Name]; ok {
			if err := d.Unlock([]byte(secret)); err != nil {
				t.Error(err)
			}
		}
		datasets = append(datasets, snapshots...)
	}
	got := map[string]string{}
	for _, d := range datasets {
		wanted := false
		for name := range want {
			wanted = wanted || strings.HasPrefix(name, d.Name+"\t")
		}
		if !wanted {
			continue
		}
		root, err := d.FS()
		if err != nil {
			t.Error(err)
			continue
		}
		maps.Copy(got, listFS(t, d.Name, root))
	}
	return got
}

func listFS(t *testing.T, name string, root *zfs.FS) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		line := ""
		switch d.Type() {
		case fs.ModeDir:
			line = "directory"
		case fs.ModeSymlink:
			target, err := root.ReadLink(path)
			if err != nil {
				return err
			}
			line = "link\t" + target
		default:
			f, err := root.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10))
			if err != nil {
				return err
			}
			line = fmt.Sprintf("file\t%d\t%s", n, hex.EncodeToString(h.Sum(nil)))
		}
		got[name+"\t"+path] = line
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return got
}

// compare compares what was listed, and prints the first differences.
func compare(t *testing.T, want, got map[string]string) {
	t.Helper()
	differ := 0
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			if differ++; differ < 10 {
				t.Errorf("%s: %q, and ZFS lists %q", name, got[name], want[name])
			}
		}
	}
	if len(want) == 0 || differ > 0 || len(got) != len(want) {
		t.Errorf("%d of %d differ, and %d were found", differ, len(want), len(got))
	}
}

// TestListing asserts that each pool is read as ZFS itself reads it.
func TestListing(t *testing.T) {
	for _, name := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			p, err := open(images(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if p.Missing != nil {
				t.Errorf("missing: %q", p.Missing)
			}
			want := listed(t, name)
			compare(t, want, list(t, p, want))
		})
	}
}

// damaged is a device whose blocks are all garbage, with labels that are whole.
type damaged struct{ io.ReaderAt }

func (d damaged) ReadAt(b []byte, off int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(b, off)
	if off >= 4<<20 && off < imageSize-512<<10 {
		for i := range b[:n] {
			b[i] ^= 0x5a
		}
	}
	return n, err
}

// tolerated is how many devices each fixture can lose.
var tolerated = map[string]int{
	"kernel-mirror": 1, "kernel-raidz1": 1, "fuse-mirror": 1, "fuse-raidz1": 1, "zpool-mirror": 1, "zpool-raidz1": 1, "zpool-raidz2": 2, "zpool-raidz3": 3,
}

// TestLost asserts that pools are read without as many devices as ZFS reads them without,
// and with as many that have garbage, and that one more ends in a sentence.
func TestLost(t *testing.T) {
	for name, n := range tolerated {
		t.Run(name, func(t *testing.T) {
			all := images(t, name)
			want := listed(t, name)
			for _, first := range []int{0, len(all) - 1} {
				broken, rest := slices.Clone(all), []zfs.Device(nil)
				for i := range all {
					if (i-first+len(all))%len(all) < n {
						broken[i].ReaderAt = damaged{all[i].ReaderAt}
					} else {
						rest = append(rest, all[i])
					}
				}
				p, err := open(rest)
				if err != nil {
					t.Fatalf("without %d from %d on: %v", n, first, err)
				}
				if len(p.Missing) != n {
					t.Errorf("missing: %q", p.Missing)
				}
				compare(t, want, list(t, p, want))
				if p, err = open(broken); err != nil {
					t.Fatalf("with %d damaged from %d on: %v", n, first, err)
				}
				if first > 0 {
					continue // garbage takes long: each block of a RAID-Z3 is reconstructed in dozens of ways
				}
				compare(t, want, list(t, p, want))
			}
			if n+1 == len(all) {
				return
			}
			_, err := open(all[n+1:])
			if err == nil || !strings.Contains(err.Error(), "the ZFS pool "+name+" cannot be read") || !strings.Contains(err.Error(), "is missing") {
				t.Errorf("without %d: %v", n+1, err)
			}
		})
	}
}

// TestIndirect asserts that blocks of a device that was removed are read from where they
// are now, which is what the fixture is for.
func TestIndirect(t *testing.T) {
	devices := images(t, "zpool-removed")
	p, err := open(devices[:len(devices)-1])
	if err != nil {
		t.Fatal(err)
	}
	if p.Missing != nil {
		t.Errorf("missing: %q", p.Missing)
	}
	want := listed(t, "zpool-removed")
	compare(t, want, list(t, p, want))
}

// opened opens the pool of a fixture, and returns its datasets.
func opened(t *testing.T, name string) (*zfs.Pool, []*zfs.Dataset) {
	t.Helper()
	p, err := open(images(t, name))
	if err != nil {
		t.Fatal(err)
	}
	datasets, err := p.Datasets()
	if err != nil {
		t.Fatal(err)
	}
	return p, datasets
}

// TestDatasets asserts what is known of datasets without their files.
func TestDatasets(t *testing.T) {
	p, datasets := opened(t, "fuse-mirror")
	var got []string
	for _, d := range datasets {
		snapshots, err := d.Snapshots()
		if err != nil {
			t.Fatal(err)
		}
		mountpoint := d.Property("mountpoint")
		if i := strings.LastIndex(mountpoint, "/"); i > 0 {
			mountpoint = mountpoint[i:] // without the directory that it was made in
		}
		got = append(got, strings.Join([]string{d.Name, mountpoint, d.Property("org.zfsbootmenu:commandline"), fmt.Sprint(len(snapshots))}, " "))
	}
	want := []string{
		"fuse-mirror /fuse-mirror  0",
		"fuse-mirror/ROOT none quiet ro 0",
		"fuse-mirror/ROOT/alpine /alpine quiet ro 1",
		"fuse-mirror/ROOT/clone /clone quiet ro 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if bootfs, err := p.BootFS(datasets); bootfs != "fuse-mirror/ROOT/alpine" || err != nil {
		t.Errorf("bootfs = %q, %v", bootfs, err)
	}
}

// TestEncrypted asserts that what is encrypted is not read without its key.
func TestEncrypted(t *testing.T) {
	_, datasets := opened(t, "zpool-disk")
	count := 0
	for _, d := range datasets {
		if !d.Encrypted {
			continue
		}
		count++
		if _, err := d.FS(); !errors.Is(err, zfs.ErrEncrypted) {
			t.Errorf("%s: %v", d.Name, err)
		}
		err := d.Unlock([]byte("0123456789abcdef0123456789abcdef"))
		if !errors.Is(err, zfs.ErrWrongKey) || !strings.Contains(err.Error(), d.Name) {
			t.Errorf("%s: %v", d.Name, err)
		}
		if _, err := d.FS(); !errors.Is(err, zfs.ErrEncrypted) {
			t.Errorf("%s after a wrong key: %v", d.Name, err)
		}
	}
	if count != 2 {
		t.Errorf("%d datasets are encrypted", count)
	}
}

// TestUnknownChecksum asserts the sentence for a dataset whose blocks cannot be verified.
func TestUnknownChecksum(t *testing.T) {
	_, datasets := opened(t, "zpool-disk")
	for _, d := range datasets {
		want := map[string]string{"zpool-disk/lzjb": "edonr"}[d.Name]
		if want == "" {
			continue
		}
		_, err := d.FS()
		if err == nil || !strings.Contains(err.Error(), "alpboot does not know the checksum "+want) {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

// TestFS asserts that a dataset's files are as those of other file systems: no symlink
// leaves it, and what is not there is that.
func TestFS(t *testing.T) {
	_, datasets := opened(t, "fuse-mirror")
	root, err := datasets[2].FS()
	if err != nil {
		t.Fatal(err)
	}
	etc, err := fs.Sub(root, "etc") // reading the large files byte by byte takes too long
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(etc, "small", "empty"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"boot/absolute": "changed\n", "boot/dir/long": "changed\n", "etc/small": "changed\n"} {
		if got, err := fs.ReadFile(root, name); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]error{"boot/none": fs.ErrNotExist, "etc/small/below": nil, "../etc": fs.ErrInvalid} {
		if _, err := root.Open(name); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := root.Open("boot/vmlinuz")
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := f.(io.ReaderAt).ReadAt(b, st.Size()-5); n != 5 || err != io.EOF || string(b[:n]) != "5000\n" {
		t.Errorf("at the end: %q, %v", b[:n], err)
	}
	if off, err := f.(io.Seeker).Seek(-5, io.SeekEnd); off != st.Size()-5 || err != nil {
		t.Errorf("seek: %d, %v", off, err)
	}
	if got, err := io.ReadAll(f); string(got) != "5000\n" || err != nil {
		t.Errorf("read: %q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(b); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

// TestBudget asserts that a pool which would keep a reader busy ends in a sentence.
func TestBudget(t *testing.T) {
	p, err := open(images(t, "fuse-mirror"))
	if err != nil {
		t.Fatal(err)
	}
	p.SetBudget(20 << 10)
	if _, err = p.Datasets(); err == nil || !strings.Contains(err.Error(), "bytes of metadata") {
		t.Error(err)
	}
}

// TestNotMember asserts the sentence for a device that is not of ZFS.
func TestNotMember(t *testing.T) {
	_, err := zfs.ReadMember(zfs.Device{Name: "/dev/sda1", ReaderAt: strings.NewReader(strings.Repeat("\x00", 9<<20)), Size: 9 << 20})
	if !errors.Is(err, zfs.ErrNotMember) || !strings.HasPrefix(err.Error(), "/dev/sda1: ") {
		t.Error(err)
	}
}
