package layouttest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/qemu-tests/disk"
)

// Programs is what [Layout.Write] needs, for boottest.NeedTools.
var Programs = []string{
	"sfdisk", "mkfs.ext4", "mkfs.vfat", "mkfs.btrfs", "mkfs.xfs", "mkfs.f2fs", "sload.f2fs", "mkfs.erofs", "mksquashfs",
	"mkfs.exfat", "tune.exfat", "mkswap", "mcopy", "xorriso", "cryptsetup", "btrfs",
}

// sizes returns how many MiB a partition with a filesystem has: little of it is
// used, but some filesystems want more.
func sizes(fstype string) int {
	switch fstype {
	case "xfs":
		return 320
	case "btrfs", "f2fs":
		return 128
	}
	return 64
}

// Write makes the images of all disks of the layout in the directory dir, and returns
// the names of the files there, and how lsboot's names of what is on them, when
// it is started in dir, translate to those in the layout. Subvolumes of btrfs need
// root rights and a kernel with btrfs. What a ZFS pool is made of is a partition
// without anything in it.
func (l Layout) Write(t testing.TB, dir string) (images []string, names map[string]string) {
	t.Helper()
	disks := map[string]*disk.Layout{}
	names = map[string]string{}
	var later []func() // what is put on the finished disks
	for _, v := range l.Volumes {
		if _, ok := l.Outside(v); ok {
			continue
		}
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
		start := 1 // MiB, as package disk places partitions
		for _, p := range d.Partitions {
			start += p.Size
		}
		p := disk.Partition{Size: sizes(l.innermost(v).Type), FS: l.filesystem(t, v)}
		d.Partitions = append(d.Partitions, p)
		file := filepath.Join(dir, image)
		switch {
		case p.FS.Type == "btrfs" && len(l.Subvolumes) > 0:
			later = append(later, func() { l.fill(t, file, start, p.Size, v) })
		case p.FS.Type == "":
			if made := l.other(t, v, p.Size); made != "" {
				later = append(later, func() { place(t, file, start, made) })
			}
		}
	}
	for name, d := range disks {
		if err := d.Write(filepath.Join(dir, name+".img")); err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
	}
	for _, do := range later {
		do()
	}
	return images, names
}

// innermost returns the filesystem in v, or v when there is nothing in it or it
// is one.
func (l Layout) innermost(v boottest.Volume) boottest.Volume {
	if inner := l.Inside(v); len(inner) == 1 && len(v.FS) == 0 {
		return l.innermost(inner[0])
	}
	return v
}

// filesystem returns the filesystem of a volume as package disk makes it, with
// what it is in; none where that does not make it.
func (l Layout) filesystem(t testing.TB, v boottest.Volume) disk.FS {
	t.Helper()
	inner := l.Inside(v)
	wrapped := func(in disk.Volume) disk.FS {
		if len(inner) != 1 {
			return disk.FS{}
		}
		out := l.filesystem(t, inner[0])
		out.In = append(out.In, in)
		return out
	}
	out := disk.FS{Type: v.Type, Label: v.Label, UUID: v.UUID}
	for _, name := range slices.Sorted(maps.Keys(v.FS)) {
		if file := v.FS[name]; file.Mode&fs.ModeSymlink != 0 {
			out.Files = append(out.Files, disk.File{Path: name, Link: string(file.Data)})
		} else {
			out.Files = append(out.Files, disk.File{Path: name, Data: file.Data})
		}
	}
	switch v.Type {
	case "zfs_member", "f2fs", "erofs", "squashfs", "exfat":
		return disk.FS{}
	case "crypto_LUKS":
		return wrapped(disk.LUKS2(Passphrase, "--uuid", v.UUID))
	case "LVM2_member":
		if len(inner) != 1 {
			return disk.FS{}
		}
		group, name, _ := strings.Cut(filepath.Base(inner[0].Device), "-")
		return wrapped(disk.LVM(group, name))
	case "linux_raid_member":
		m, _ := l.Member(v)
		return wrapped(disk.RAID1(m.Version, m.Role))
	case "vfat":
		out.UUID = strings.ReplaceAll(v.UUID, "-", "")
	case "iso9660":
		out.UUID = ""
		out.Options = []string{"--modification-date=" + strings.ReplaceAll(v.UUID, "-", "")}
	case "btrfs":
		if len(l.Subvolumes) > 0 {
			out.Files = nil
		}
	}
	for _, image := range inner {
		file := filepath.Join(t.TempDir(), "image")
		iso := disk.Layout{Partitions: []disk.Partition{{FS: l.filesystem(t, image)}}}
		if err := iso.Write(file); err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		_, name, _ := strings.Cut(image.Device, ":/")
		out.Files = slices.DeleteFunc(out.Files, func(f disk.File) bool { return f.Path == name })
		out.Files = append(out.Files, disk.File{Path: name, From: file})
	}
	return out
}

// other makes what package disk does not, and returns the name of the file; "" for
// nothing.
func (l Layout) other(t testing.TB, v boottest.Volume, size int) (file string) {
	t.Helper()
	dir := t.TempDir()
	file, tree := filepath.Join(dir, "image"), filepath.Join(dir, "tree")
	empty := func(mib int) {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, int64(mib)<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	PutFiles(t, tree, v.FS)
	switch v.Type {
	case "f2fs":
		empty(size)
		boottest.Tool(t, "mkfs.f2fs", "-q", "-f", "-l", v.Label, "-U", v.UUID, file)
		boottest.Tool(t, "sload.f2fs", "-f", tree, file)
	case "erofs":
		boottest.Tool(t, "mkfs.erofs", "--quiet", "-U", v.UUID, file, tree)
	case "squashfs":
		boottest.Tool(t, "mksquashfs", tree, file, "-quiet", "-no-progress", "-noappend")
	case "exfat":
		empty(size)
		boottest.Tool(t, "mkfs.exfat", "-L", v.Label, file)
		boottest.Tool(t, "tune.exfat", "-I", "0x"+strings.ReplaceAll(v.UUID, "-", ""), file)
		if err := fillExFAT(file, v.FS); err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
	case "crypto_LUKS": // with nothing in it
		const header = 16 // MiB of LUKS2
		empty(header + 1)
		key := filepath.Join(dir, "key")
		if err := os.WriteFile(key, []byte(Passphrase), 0o600); err != nil {
			t.Fatal(err)
		}
		boottest.Tool(t, "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", v.UUID,
			"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key, file)
	default:
		return ""
	}
	return file
}

// place writes a file into a disk, start MiB from its beginning.
func place(t testing.TB, disk string, start int, file string) {
	t.Helper()
	boottest.Tool(t, "dd", "if="+file, "of="+disk, "bs=1M", fmt.Sprint("seek=", start), "conv=notrunc,sparse", "status=none")
}

// fill makes the subvolumes of a btrfs, start MiB into the image, and writes its
// files.
func (l Layout) fill(t testing.TB, image string, start, size int, v boottest.Volume) {
	t.Helper()
	boottest.NeedFilesystem(t, "btrfs")
	err := disk.Mounted(image, fmt.Sprintf(",offset=%d,sizelimit=%d", start<<20, size<<20), t.TempDir(), func(top string) error {
		for _, name := range l.Subvolumes {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
				return err
			}
			boottest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(top, name))
		}
		PutFiles(t, top, v.FS)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// PutFiles writes the files of a volume below dir.
func PutFiles(t testing.TB, dir string, files fstest.MapFS) {
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
