package initramfs

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/u-root/mkuimage/cpio"

	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/payload/checkout"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	content "github.com/alpboot/alpboot/initramfs"
)

func TestPackModules(t *testing.T) {
	dir := payloadtest.Tree(t, payloadtest.ModuleTree())
	modules := filepath.Join(dir, "lib/modules")
	for name, at := range map[string]string{"parent": modules, "own directory": filepath.Join(modules, payloadtest.Release)} {
		t.Run(name, func(t *testing.T) {
			records, err := moduleRecords(filepath.Join(dir, "vmlinuz"), at, payloadtest.Output(t.Output()))
			if err != nil {
				t.Fatal(err)
			}
			image := payloadtest.RecordsFS(t, records)
			root := "lib/modules/" + payloadtest.Release + "/"
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
				"kernel/fs/jbd2/jbd2.ko":  string(payloadtest.Module("depends=mbcache", payloadtest.Vermagic)),
				"kernel/fs/ext4/ext4.ko":  string(payloadtest.ModuleTree()[root+"kernel/fs/ext4/ext4.ko.gz"]),
				"kernel/fs/mbcache.ko":    string(payloadtest.Module("depends=", payloadtest.Vermagic)),
				"kernel/drivers/i915.ko":  "",
				"kernel/fs/mbcache.ko.gz": "",
			} {
				if got := string(image[root+file].Data); got != want {
					t.Errorf("%s: got\n%q\nwant\n%q", file, got, want)
				}
			}

			// What was written is what the image's own loader reads.
			index, err := module.Open(existing(image), payloadtest.Release)
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

func existing(l payloadtest.Lookup) fstest.MapFS {
	m := make(fstest.MapFS)
	for name, f := range l {
		m[name] = &f
	}
	return m
}

func TestPackModulesRefuses(t *testing.T) {
	m := "lib/modules/" + payloadtest.Release + "/"
	for _, tt := range []struct {
		name   string
		change func(files map[string][]byte)
		want   string
	}{
		{
			name:   "another kernel's directory",
			change: func(f map[string][]byte) { f["vmlinuz"] = payloadtest.BzImage("6.1.0-other") },
			want:   "holds no modules of Linux 6.1.0-other",
		},
		{
			name: "another kernel's module",
			change: func(f map[string][]byte) {
				f[m+"kernel/drivers/block/loop.ko"] = payloadtest.Module("vermagic=6.1.0-other SMP")
			},
			want: "loop.ko is a module of Linux 6.1.0-other, but the kernel image is Linux " + payloadtest.Release,
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
			files := payloadtest.ModuleTree()
			tt.change(files)
			dir := payloadtest.Tree(t, files)
			_, err := moduleRecords(filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "lib/modules"), payloadtest.Output(t.Output()))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestDecompress(t *testing.T) {
	want := payloadtest.Module(payloadtest.Vermagic)
	for _, ending := range []string{".ko", ".gz", ".xz", ".zst"} {
		b := payloadtest.Compressed(t, ending, want)
		got, err := decompress(bytes.NewReader(b), ending, maxModule)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", ending, len(got), err)
		}
		if ending == ".ko" {
			continue
		}
		if _, err := decompress(bytes.NewReader(b[:len(b)/2]), ending, maxModule); err == nil {
			t.Errorf("%s: half a file is not an error", ending)
		}
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add(payloadtest.Module("depends=a-b,c", "alias=x", payloadtest.Vermagic))
	f.Add(payloadtest.Module())
	f.Add(payloadtest.Module("depends=,,", "softdep=pre: a", "=", "alias"))
	huge := payloadtest.Module("depends=a")
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

// Nothing may be where the kernel looks for a modprobe of its own accord: it
// would start one for dozens of things while it boots, nearly all in vain.
func TestNoEarlyModprobe(t *testing.T) {
	module := cpio.StaticFile("lib/modules/6.12/kernel/fs/ext4/ext4.ko", "ELF", 0o644)
	binary := filepath.Join(t.TempDir(), "bb")
	if err := os.WriteFile(binary, []byte("ELF"), 0o777); err != nil {
		t.Fatal(err)
	}
	files, err := Image{Arch: "amd64"}.assemble(busybox{commands: content.Commands(checkout.Module, false)}, binary, []cpio.Record{module})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"sbin/modprobe": false, "sbin": false, "bbin/modprobe": true, module.Name: true} {
		if got := files.Contains(name); got != want {
			t.Errorf("%s: is there: %v, want %v", name, got, want)
		}
	}
}
