package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
	"github.com/alpboot/alpboot/qemu-tests/disk"
)

// The trees in testdata/layouts are the ways in which an Alpine system lies on
// a disk. What lsboot --json prints for each is the file beside it with the
// ending json. A tree's comment says what it is; besides the directives of
// package boottest it may hold
//
//	table sda: gpt
//	subvolumes NAME: @ @home
//
// for the images that TestLayoutImages makes of it: the partition table of the
// disk /dev/sda, and which folders of the volume NAME are subvolumes of btrfs.
// Kernels, initramfs and the like stand in the tree as the words in contents.
type layout struct {
	name       string
	tree       boottest.Tree
	about      string            // in plain words
	tables     map[string]string // by the name of the disk
	subvolumes []string          // of the only volume that has some
}

// contents gives the file that a line in a tree stands for.
var contents = map[string]func() []byte{
	"initramfs":   initramfs,
	"microcode":   trailer,
	"arm64 image": func() []byte { return arm64Image },
	"zboot image": zboot,
}

// trailer gives a cpio archive without files.
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

// arm64Image is the header of arch/arm64/include/asm/image.h, and no code.
var arm64Image = func() []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(b))) // image_size
	copy(b[0x38:], "ARM\x64")
	return b
}()

// zboot gives what Alpine's kernels for aarch64 are: a PE file around a packed
// Image (drivers/firmware/efi/libstub/zboot-header.S).
func zboot() []byte {
	payload := gzipped(arm64Image)
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

// loadLayouts reads all trees, with the files in them that contents stands for.
func loadLayouts(t *testing.T) []layout {
	t.Helper()
	files, err := filepath.Glob("testdata/layouts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no layouts", err)
	}
	var all []layout
	for _, file := range files {
		l := layout{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), tree: boottest.Load(t, file), tables: map[string]string{}}
		var about []string
		for _, line := range l.tree.Comment() {
			word, rest, ok := strings.Cut(line, ": ")
			directive, name, _ := strings.Cut(word, " ")
			switch {
			case ok && directive == "table":
				l.tables[name] = rest
			case ok && directive == "subvolumes":
				l.subvolumes = strings.Fields(rest)
			default:
				about = append(about, line)
			}
		}
		l.about = strings.TrimSpace(strings.Join(about, " "))
		for _, v := range l.tree.Volumes {
			for name, f := range v.FS {
				if f.Mode.IsRegular() {
					f.Data = content(t, file+": "+name, f.Data)
				}
			}
		}
		all = append(all, l)
	}
	return all
}

// content gives what a file of a tree is to hold.
func content(t *testing.T, name string, text []byte) []byte {
	t.Helper()
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

// layoutMachine is a machine that has the volumes of a layout.
type layoutMachine struct{ volumes []boottest.Volume }

var _ discover.Machine = layoutMachine{}

func (m layoutMachine) Devices() ([]device.Block, []error) {
	const size = 1 << 30
	var blocks []device.Block
	at := map[string]int{} // whole disks in blocks
	for _, v := range m.volumes {
		if v.Disk != "" {
			if _, ok := at[v.Disk]; !ok {
				at[v.Disk] = len(blocks)
				blocks = append(blocks, device.Block{Path: v.Disk, Size: size})
			}
			blocks[at[v.Disk]].Partitions++
		}
		blocks = append(blocks, device.Block{Path: v.Device, Disk: v.Disk, Partition: v.Partition, Size: size, PartUUID: v.PartUUID, PartLabel: v.PartLabel})
	}
	return blocks, nil
}

func (m layoutMachine) volume(path string) (boottest.Volume, bool) {
	i := slices.IndexFunc(m.volumes, func(v boottest.Volume) bool { return v.Device == path })
	if i < 0 {
		return boottest.Volume{}, false
	}
	return m.volumes[i], true
}

func (m layoutMachine) Probe(path string) (superblock.Superblock, error) {
	v, ok := m.volume(path)
	if !ok {
		return superblock.Superblock{}, superblock.ErrUnknown
	}
	return superblock.Superblock{Type: v.Type, UUID: v.UUID, Label: v.Label}, nil
}

func (m layoutMachine) Mount(_ context.Context, path string, _ superblock.Superblock) (discover.Filesystem, error) {
	v, _ := m.volume(path)
	return mountedTree{v.FS}, nil
}

type mountedTree struct{ fstest.MapFS }

func (mountedTree) Close() error { return nil }

// TestLayouts asserts what lsboot --json prints for each layout, and that
// docs/layouts.md says the same. With -update both are written anew.
func TestLayouts(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(docHead)
	for _, l := range loadLayouts(t) {
		t.Run(l.name, func(t *testing.T) {
			inv := look(&discover.Scanner{Machine: layoutMachine{l.tree.Volumes}, Formats: discover.Formats(nil), Limit: deviceLimit})
			var got bytes.Buffer
			if err := printJSON(&got, inv.Entries); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata/layouts", l.name+".json"), got.String())
			fmt.Fprintf(&doc, "| %s | %s | %s | %s | [%s.json](../cmds/lsboot/testdata/layouts/%[5]s.json) |\n",
				l.name, cell(l.about), configurations(inv.Entries), shown(inv.Entries), l.name)
		})
	}
	golden(t, "../../docs/layouts.md", doc.String())
}

const docHead = `# Layouts

The ways in which Alpine's installers, media and users lay out a disk, and what alpboot makes of each. A row is a test: a tree
of files in ` + "`cmds/lsboot/testdata/layouts`" + `, and beside it what ` + "`lsboot --json`" + ` prints for it. This page is written by
` + "`go test ./cmds/lsboot -run TestLayouts -update`" + `.

In the last column but one, * marks the default of its configuration, ? an entry whose command line was put together because
no configuration gives one, ! one that cannot be booted, with the reason.

| layout | where the files lie | configuration | what alpboot shows | golden file |
|---|---|---|---|---|
`

// golden compares got with a file, or writes it there.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if boottest.Update() {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// cell makes text fit for a table of Markdown.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// configurations names the files that the entries come from.
func configurations(entries []boot.Entry) string {
	var all []string
	for _, e := range entries {
		name := e.Format + " `/" + e.Source.File + "`"
		if e.Source.File == "" {
			name = "none"
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return cell(strings.Join(all, "<br>"))
}

// shown gives a line for each entry.
func shown(entries []boot.Entry) string {
	var all []string
	for _, e := range entries {
		line := boottest.Path(e)
		if mark := markOf(e); mark != "" {
			line = `\` + mark + " " + line
		}
		if e.Version != "" {
			line += ", " + e.Version
		}
		if e.Snapshot {
			line += ", a snapshot"
		}
		if e.Problem != "" {
			line += ": " + e.Problem
		}
		all = append(all, line)
	}
	if len(all) == 0 {
		return "nothing"
	}
	return cell(strings.Join(all, "<br>"))
}

// TestLayoutFolders asserts that lsboot finds the same configured entries when
// each volume is a plain folder, copied from a disk. Guessed ones need the UUIDs
// of the volumes, and subvolumes a btrfs.
func TestLayoutFolders(t *testing.T) {
	for _, l := range loadLayouts(t) {
		if len(l.subvolumes) > 0 {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata/layouts", l.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			var dirs []string
			for _, v := range l.tree.Volumes {
				dir := filepath.Base(v.Device)
				dirs = append(dirs, dir)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				putFiles(t, dir, v.FS)
			}
			_, got, stderr := lsboot(append([]string{"--json"}, dirs...)...)
			if d := cmp.Diff(configured(t, want), configured(t, []byte(got))); d != "" {
				t.Errorf("-golden +folders:\n%s\n%s", d, stderr)
			}
		})
	}
}

// configured gives the entries that lsboot has printed but for guessed ones, and
// without what says which volume they are on.
func configured(t *testing.T, text []byte) (entries []map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		delete(e, "id")
		delete(e, "volume")
	}
	return slices.DeleteFunc(entries, func(e map[string]any) bool { return e["guessed"] == true })
}

// putFiles writes the files of a volume below dir.
func putFiles(t *testing.T, dir string, files fstest.MapFS) {
	t.Helper()
	for name, f := range files {
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		switch {
		case err != nil:
		case f.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(string(f.Data), file)
		default:
			err = os.WriteFile(file, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// unmounted are the types of volumes that are not mounted.
var unmounted = [...]string{"swap", "crypto_LUKS", "LVM2_member", "zfs_member"}

// TestLayoutImages asserts that lsboot prints the same when the layouts are
// filesystems on real disk images. Volumes that nobody can make here without a
// kernel's help (LVM, ZFS) are partitions without a filesystem.
func TestLayoutImages(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes about thirty disk images")
	}
	boottest.NeedRoot(t)
	boottest.NeedTools(t, "sfdisk", "mkfs.ext4", "mkfs.vfat", "mkfs.btrfs", "mkfs.xfs", "mkswap", "mcopy", "xorriso", "cryptsetup", "btrfs")
	for _, l := range loadLayouts(t) {
		t.Run(l.name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata/layouts", l.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range l.tree.Volumes {
				if !slices.Contains(unmounted[:], v.Type) {
					boottest.NeedFilesystem(t, v.Type)
				}
			}
			t.Chdir(t.TempDir())
			images, names := l.write(t)
			_, got, stderr := lsboot(append([]string{"--json"}, images...)...)
			for image, name := range names {
				got = strings.ReplaceAll(got, `"`+image+`"`, `"`+name+`"`)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-golden +images:\n%s\n%s", d, stderr)
			}
		})
	}
}

// write makes the images of all disks of the layout in the working directory,
// and gives their names, and how lsboot's names of what is on them translate to
// those in the layout.
func (l layout) write(t *testing.T) (images []string, names map[string]string) {
	t.Helper()
	const size = 300 // MiB, of which little is used: as much as mkfs.xfs wants
	disks := map[string]*disk.Layout{}
	names = map[string]string{}
	for _, v := range l.tree.Volumes {
		path := v.Disk
		if path == "" {
			path = v.Device
		}
		name := filepath.Base(path)
		image := name + ".img"
		d := disks[name]
		if d == nil {
			d = &disk.Layout{Table: disk.Table(l.tables[name])}
			disks[name] = d
			images = append(images, image)
			names[image] = path
		}
		if v.Partition > 0 {
			names[fmt.Sprintf("%s#%d", image, v.Partition)] = v.Device
		}
		for len(d.Partitions) < v.Partition-1 { // those without a filesystem are not in the tree
			d.Partitions = append(d.Partitions, disk.Partition{Size: 1})
		}
		d.Partitions = append(d.Partitions, disk.Partition{Size: size, FS: l.filesystem(t, v)})
	}
	for name, d := range disks {
		if err := d.Write(name + ".img"); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range l.tree.Volumes {
		name := filepath.Base(v.Disk)
		start := 1 // MiB, as package disk places partitions
		if v.Partition > 0 {
			for _, p := range disks[name].Partitions[:v.Partition-1] {
				start += p.Size
			}
		}
		switch {
		case v.Type == "btrfs" && len(l.subvolumes) > 0:
			l.fill(t, name+".img", start, size, v)
		case v.Type == "crypto_LUKS":
			encrypt(t, name+".img", start, v)
		}
	}
	return images, names
}

// filesystem gives the filesystem of a volume as package disk makes it.
func (l layout) filesystem(t *testing.T, v boottest.Volume) disk.FS {
	t.Helper()
	out := disk.FS{Type: v.Type, Label: v.Label, UUID: v.UUID}
	for _, name := range slices.Sorted(maps.Keys(v.FS)) {
		f := disk.File{Path: name, Data: v.FS[name].Data}
		if v.FS[name].Mode&fs.ModeSymlink != 0 {
			f.Link, f.Data = string(f.Data), nil
		}
		out.Files = append(out.Files, f)
	}
	switch v.Type {
	case "crypto_LUKS", "LVM2_member", "zfs_member":
		return disk.FS{}
	case "vfat":
		out.UUID = strings.ReplaceAll(v.UUID, "-", "")
	case "iso9660":
		out.UUID = ""
		out.Options = []string{"--modification-date=" + strings.ReplaceAll(v.UUID, "-", "")}
	case "btrfs":
		if len(l.subvolumes) > 0 {
			out.Files = nil
		}
	}
	return out
}

// encrypt makes an empty LUKS volume, start MiB into the image.
func encrypt(t *testing.T, image string, start int, v boottest.Volume) {
	t.Helper()
	const header = 16 // MiB of LUKS2
	if err := os.WriteFile("key", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("luks", make([]byte, (header+1)<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", v.UUID,
		"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "key", "luks")
	boottest.Tool(t, "dd", "if=luks", "of="+image, "bs=1M", fmt.Sprint("seek=", start), "conv=notrunc", "status=none")
}

// fill makes the subvolumes of a btrfs, start MiB into the image, and writes its
// files.
func (l layout) fill(t *testing.T, image string, start, size int, v boottest.Volume) {
	t.Helper()
	top := filepath.Join(t.TempDir(), "mount")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mount", "-o", fmt.Sprintf("loop,offset=%d,sizelimit=%d", start<<20, size<<20), image, top)
	defer boottest.Tool(t, "umount", top)
	for _, name := range l.subvolumes {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		boottest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(top, name))
	}
	putFiles(t, top, v.FS)
}
