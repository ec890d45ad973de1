// Package layouttest reads the trees in cmds/lsboot/testdata/layouts, and makes
// disk images of them: the ways in which an Alpine system is on a disk.
//
// What lsboot --json prints for a tree is the file beside it with the ending
// json. A tree's comment describes it; besides the directives of package
// boottest it may hold
//
//	table sda: gpt
//	subvolumes NAME: @ @home
//	inside OUTER: INNER
//
// for the partition table of the disk /dev/sda, for the directories of the volume
// NAME that are subvolumes of btrfs, and for what there is in an encrypted
// volume, a member of an array or a volume group: the volume INNER, whose device
// is its name (/dev/mapper/vg0-lv_root). Where OUTER is a filesystem,
// INNER is in an ISO file on it, which its device names (/dev/sdb1:/a.iso).
//
//	member OUTER: 1.2 0
//
// is which version of metadata a member of an array of RAID1 has, and which of
// its two devices it is. Passphrase opens what is encrypted. A volume of the type
// efivarfs holds the variables of UEFI firmware, as hexadecimal digits.
//
// Kernels, initramfs and the like stand in the tree as the words in contents.
package layouttest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

// Passphrase is that of every encrypted volume.
const Passphrase = "secret"

// Layout is one of the trees.
type Layout struct {
	Name    string
	About   string // in plain words
	Volumes []boottest.Volume
	EFIVars fs.FS // nil for a machine without such variables

	// Subvolumes are the directories of the only volume that has some.
	Subvolumes []string

	tables  map[string]string   // by the name of the disk
	inside  map[string][]string // the names of volumes by that of the one that they are in
	members map[string]Member
}

// Member is a member of an array of two devices.
type Member struct {
	Version string // of the metadata
	Role    int
}

// Load reads all trees in a directory, with the files in them that contents stands
// for.
func Load(t testing.TB, dir string) []Layout {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("no layouts", err)
	}
	var all []Layout
	for _, file := range files {
		tree := boottest.Load(t, file)
		l := Layout{
			Name:   strings.TrimSuffix(filepath.Base(file), ".txtar"),
			tables: map[string]string{}, inside: map[string][]string{}, members: map[string]Member{},
		}
		var about []string
		for _, line := range tree.Comment() {
			word, rest, ok := strings.Cut(line, ": ")
			directive, name, _ := strings.Cut(word, " ")
			switch {
			case ok && directive == "table":
				l.tables[name] = rest
			case ok && directive == "subvolumes":
				l.Subvolumes = strings.Fields(rest)
			case ok && directive == "inside":
				l.inside[name] = append(l.inside[name], rest)
			case ok && directive == "member":
				var m Member
				if _, err := fmt.Sscan(rest, &m.Version, &m.Role); err != nil {
					t.Fatalf("%s: member %s: %v", file, name, err)
				}
				l.members[name] = m
			default:
				about = append(about, line)
			}
		}
		l.About = strings.TrimSpace(strings.Join(about, " "))
		for _, v := range tree.Volumes {
			for name, f := range v.FS {
				if f.Mode.IsRegular() {
					f.Data = content(t, file+": "+name, v.Type, f.Data)
				}
			}
			if v.Type == "efivarfs" {
				l.EFIVars = v.FS
				continue
			}
			l.Volumes = append(l.Volumes, v)
		}
		for outer, names := range l.inside {
			for _, name := range append(names, outer) {
				if !slices.ContainsFunc(l.Volumes, func(v boottest.Volume) bool { return v.Name == name }) {
					t.Fatalf("%s: there is no volume %s", file, name)
				}
			}
		}
		all = append(all, l)
	}
	return all
}

// Inside returns what there is in a volume.
func (l Layout) Inside(outer boottest.Volume) []boottest.Volume {
	var inner []boottest.Volume
	for _, v := range l.Volumes {
		if slices.Contains(l.inside[outer.Name], v.Name) {
			inner = append(inner, v)
		}
	}
	return inner
}

// Outside returns what a volume is in, the first where it is in several.
func (l Layout) Outside(inner boottest.Volume) (outer boottest.Volume, ok bool) {
	for _, v := range l.Volumes {
		if slices.Contains(l.inside[v.Name], inner.Name) {
			return v, true
		}
	}
	return boottest.Volume{}, false
}

// Member returns what a volume states as a member of an array.
func (l Layout) Member(v boottest.Volume) (Member, bool) {
	m, ok := l.members[v.Name]
	return m, ok
}

// Locked reports whether the layout needs a passphrase to be seen as a whole.
func (l Layout) Locked() bool {
	return slices.ContainsFunc(l.Volumes, func(v boottest.Volume) bool {
		return v.Type == "crypto_LUKS" && len(l.inside[v.Name]) > 0
	})
}

// contents returns the file that a line in a tree stands for.
var contents = map[string]func() []byte{
	"initramfs":   initramfs,
	"microcode":   trailer,
	"arm64 image": arm64Image,
	"zboot image": zboot,
}

// trailer returns a cpio archive without files.
func trailer() []byte {
	return []byte("070701" + strings.Repeat("0", 8*11) + "0000000b" + "00000000" + "TRAILER!!!\x00\x00\x00\x00")
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func initramfs() []byte { return gzipped(trailer()) }

// arm64Image returns the header of arch/arm64/include/asm/image.h, and no code.
func arm64Image() []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(b))) // image_size
	copy(b[0x38:], "ARM\x64")
	return b
}

// zboot returns what Alpine's kernels for aarch64 are: a PE file around a packed
// Image (drivers/firmware/efi/libstub/zboot-header.S).
func zboot() []byte {
	payload := gzipped(arm64Image())
	b := make([]byte, 0x200, 0x200+len(payload))
	le := binary.LittleEndian
	copy(b, "MZ\x00\x00zimg")
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint32(b[12:], uint32(len(payload)))
	copy(b[24:], "gzip")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00\x64\xaa")
	return append(b, payload...)
}

// content returns what a file of a tree is to hold, on a volume of that type.
func content(t testing.TB, name, fstype string, text []byte) []byte {
	t.Helper()
	if fstype == "efivarfs" {
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	line, rest, _ := strings.Cut(string(text), "\n")
	if make := contents[line]; make != nil {
		return make()
	}
	if release, ok := strings.CutPrefix(line, "kernel "); ok {
		return boottest.BzImage(release)
	}
	if line == "unified" {
		b, err := ukitest.FromText(rest)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	return text
}
