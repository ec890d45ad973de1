package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/mkuimage/cpio"
	"github.com/ulikunitz/xz"

	"github.com/alpboot/alpboot/boot/module"
)

const testRelease = "6.12.1-0-test"

// elfModule makes the smallest ELF file with a .modinfo section of the given
// fields.
func elfModule(fields ...string) []byte {
	const (
		headerSize  = 64
		sectionSize = 64
		names       = "\x00.modinfo\x00.shstrtab\x00"
	)
	info := strings.Join(fields, "\x00") + "\x00"
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, headerSize-7)...)
	le.PutUint16(b[16:], 1)  // relocatable
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], uint64(headerSize+len(info)+len(names))) // section headers
	le.PutUint16(b[52:], headerSize)
	le.PutUint16(b[58:], sectionSize)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(b, info+names...)
	section := func(name, kind uint32, offset, size int) {
		s := make([]byte, sectionSize)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(offset))
		le.PutUint64(s[32:], uint64(size))
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, headerSize, len(info))
	section(10, 3, headerSize+len(info), len(names))
	return b
}

// bzImage makes the header of an x86 kernel image that names a release.
func bzImage(release string) []byte {
	b := make([]byte, 0x8000)
	le := binary.LittleEndian
	b[0x1f1] = 4                   // setup sectors
	le.PutUint32(b[0x1f4:], 0x100) // size of the rest, in 16 bytes
	le.PutUint16(b[0x1fe:], 0xaa55)
	copy(b[0x202:], "HdrS\x0f\x02")
	le.PutUint16(b[0x20e:], 0x300)
	b[0x211] = 1               // loaded high
	le.PutUint16(b[0x236:], 3) // 64 bit
	copy(b[0x500:], release+" (a@b) #1\x00")
	return b
}

func compressed(t *testing.T, ending string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case ".gz":
		w = gzip.NewWriter(&buf)
	case ".xz":
		w, err = xz.NewWriter(&buf)
	case ".zst":
		w, err = zstd.NewWriter(&buf)
	default:
		return b
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// writeTree writes files below a new folder, compressing modules by their name.
func writeTree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, compressed(t, filepath.Ext(name), b), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const vermagic = "vermagic=" + testRelease + " SMP mod_unload"

func testTree() map[string][]byte {
	m := "lib/modules/" + testRelease + "/"
	return map[string][]byte{
		"vmlinuz":                              bzImage(testRelease),
		m + "kernel/fs/ext4/ext4.ko.gz":        elfModule("alias=fs-ext4", "depends=jbd2,mbcache", "softdep=pre: crc32c_generic", vermagic, "parm=x:y"),
		m + "kernel/fs/jbd2/jbd2.ko.xz":        elfModule("depends=mbcache", vermagic),
		m + "kernel/fs/mbcache.ko.zst":         elfModule("depends=", vermagic),
		m + "kernel/crypto/crc32c_generic.ko":  elfModule("alias=crc32c", "alias=crypto-crc32c", "depends=built_in", vermagic),
		m + "kernel/drivers/block/loop.ko":     elfModule(vermagic),
		m + "kernel/drivers/gpu/drm/i915.ko":   elfModule(vermagic),
		m + "kernel/net/packet/af_packet.ko":   elfModule("alias=net-pf-17", vermagic),
		m + "kernel/drivers/hid/hid-apple.ko":  elfModule("alias=hid:b0003g*v000005ACp*", "alias=forged\nalias * evil", vermagic),
		m + "modules.builtin":                  []byte("kernel/drivers/ata/ahci.ko\n"),
		m + "kernel/drivers/ata/notes.ko.text": []byte("not a module"),
	}
}

func TestPackModules(t *testing.T) {
	dir := writeTree(t, testTree())
	modules := filepath.Join(dir, "lib/modules")
	for name, at := range map[string]string{"parent": modules, "own folder": filepath.Join(modules, testRelease)} {
		t.Run(name, func(t *testing.T) {
			records, err := packModules(filepath.Join(dir, "vmlinuz"), at, output{io.Discard, io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			image := recordsFS(t, records)
			root := "lib/modules/" + testRelease + "/"
			for file, want := range map[string]string{
				"modules.dep": `kernel/net/packet/af_packet.ko:
kernel/crypto/crc32c_generic.ko:
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko
kernel/drivers/hid/hid-apple.ko:
kernel/fs/jbd2/jbd2.ko: kernel/fs/mbcache.ko
kernel/drivers/block/loop.ko:
kernel/fs/mbcache.ko:
`,
				"modules.alias": `alias net-pf-17 af_packet
alias crc32c crc32c_generic
alias crypto-crc32c crc32c_generic
alias fs-ext4 ext4
alias hid:b0003g*v000005ACp* hid_apple
`,
				"modules.softdep":         "softdep ext4 pre: crc32c_generic\n",
				"modules.builtin":         "kernel/drivers/ata/ahci.ko\n",
				"modules.always":          "af_packet\n",
				"kernel/fs/jbd2/jbd2.ko":  string(elfModule("depends=mbcache", vermagic)),
				"kernel/fs/ext4/ext4.ko":  string(testTree()[root+"kernel/fs/ext4/ext4.ko.gz"]),
				"kernel/fs/mbcache.ko":    string(elfModule("depends=", vermagic)),
				"kernel/drivers/i915.ko":  "",
				"kernel/fs/mbcache.ko.gz": "",
			} {
				if got := string(image[root+file].Data); got != want {
					t.Errorf("%s: got\n%q\nwant\n%q", file, got, want)
				}
			}

			// What was written is what the image's own loader reads.
			index, err := module.Open(existing(image), testRelease)
			if err != nil {
				t.Fatal(err)
			}
			var loaded []string
			index.Insert = func(f fs.File, _ string) error {
				st, err := f.Stat()
				loaded = append(loaded, st.Name())
				return err
			}
			if err := index.Driver("ext4"); err != nil {
				t.Error(err)
			}
			if want := []string{"crc32c_generic.ko", "mbcache.ko", "jbd2.ko", "ext4.ko"}; !slices.Equal(loaded, want) {
				t.Errorf("loaded %q, want %q", loaded, want)
			}
		})
	}
}

// recordsFS makes records readable as a filesystem; a name that is not there
// gives an empty file to the caller's map lookup.
func recordsFS(t *testing.T, records []cpio.Record) lookup {
	t.Helper()
	m := make(lookup)
	for _, r := range records {
		b := make([]byte, r.FileSize)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		m[r.Name] = fstest.MapFile{Data: b}
	}
	return m
}

type lookup map[string]fstest.MapFile

func existing(l lookup) fstest.MapFS {
	m := make(fstest.MapFS)
	for name, f := range l {
		m[name] = &f
	}
	return m
}

func TestPackModulesRefuses(t *testing.T) {
	m := "lib/modules/" + testRelease + "/"
	for _, tt := range []struct {
		name   string
		change func(files map[string][]byte)
		want   string
	}{
		{
			name:   "another kernel's folder",
			change: func(f map[string][]byte) { f["vmlinuz"] = bzImage("6.1.0-other") },
			want:   "holds no modules of Linux 6.1.0-other",
		},
		{
			name:   "another kernel's module",
			change: func(f map[string][]byte) { f[m+"kernel/drivers/block/loop.ko"] = elfModule("vermagic=6.1.0-other SMP") },
			want:   "loop.ko is a module of Linux 6.1.0-other, but the kernel image is Linux " + testRelease,
		},
		{
			name:   "not a kernel",
			change: func(f map[string][]byte) { f["vmlinuz"] = []byte("<html>") },
			want:   "not a kernel image",
		},
		{
			name:   "no ELF",
			change: func(f map[string][]byte) { f[m+"kernel/drivers/block/loop.ko"] = []byte("<html>") },
			want:   "loop.ko: is not a kernel module",
		},
		{
			name: "broken compression",
			change: func(f map[string][]byte) {
				f[m+"kernel/fs/fat/vfat.ko.bz2"] = nil
				f[m+"kernel/fs/xfs/xfs.ko"] = []byte{0x7f, 'E', 'L', 'F'}
			},
			want: "xfs.ko: is not a kernel module",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := testTree()
			tt.change(files)
			dir := writeTree(t, files)
			_, err := packModules(filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "lib/modules"), output{io.Discard, io.Discard})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDecompress(t *testing.T) {
	want := elfModule(vermagic)
	for _, ending := range []string{".ko", ".gz", ".xz", ".zst"} {
		b := compressed(t, ending, want)
		got, err := decompress(bytes.NewReader(b), ending, maxModule)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", ending, len(got), err)
		}
		if ending == ".ko" {
			continue
		}
		if _, err := decompress(bytes.NewReader(b[:len(b)/2]), ending, maxModule); err == nil {
			t.Errorf("%s: half a file gives no error", ending)
		}
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add(elfModule("depends=a-b,c", "alias=x", vermagic))
	f.Add(elfModule())
	f.Add(elfModule("depends=,,", "softdep=pre: a", "=", "alias"))
	huge := elfModule("depends=a")
	binary.LittleEndian.PutUint64(huge[len(huge)-64*2+32:], 1<<40) // size of .modinfo
	f.Add(huge)
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parseModinfo(b)
		if err != nil {
			return
		}
		for _, s := range slices.Concat(info.depends, info.aliases, info.softdeps, []string{info.vermagic}) {
			if strings.ContainsAny(s, "\n\x00") {
				t.Errorf("%q would forge a line of the index", s)
			}
		}
		if slices.Contains(info.depends, "") {
			t.Error("a dependency without a name")
		}
	})
}
