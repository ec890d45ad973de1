// Package disk writes disk images for virtual machines without root rights: a
// [Layout] is what is on the disk, [Layout.Write] makes the file, with the
// mkfs programs, sfdisk and xorriso of the machine it runs on.
//
// Images are sparse, and hold the UUIDs and labels that the layout names. They
// are not the same byte for byte each time: mke2fs stores the time.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Layout is the content of a disk.
type Layout struct {
	Table      Table
	Partitions []Partition // exactly one for a disk without a table
}

// Table is a kind of partition table, as sfdisk names it.
type Table string

const (
	Whole Table = ""    // none: the filesystem begins with the disk's first byte
	GPT   Table = "gpt" //
	MBR   Table = "dos"
)

// Partition is a part of a disk, and the filesystem on it.
type Partition struct {
	FS       FS
	Size     int    // MiB
	Type     string // as sfdisk takes it, such as L, U, S or a GUID; L when empty
	Name     string // GPT only
	Bootable bool   // active on MBR, LegacyBIOSBootable on GPT
}

// FS is a filesystem and what it holds.
type FS struct {
	Type    string // ext4, vfat, btrfs, xfs, iso9660, swap, exfat, ntfs, minix; "" leaves the space empty
	Label   string
	UUID    string   // for vfat eight hexadecimal digits, as mkfs.vfat -i takes them
	Options []string // further arguments for its mkfs
	Files   []File
	Tree    string  // a directory of this machine that it holds instead of Files, with owners and modes
	Patches []Patch // written over the finished filesystem, to damage it

	// Subvolumes are directories of a btrfs that shall be subvolumes. The disk can
	// only be written where [CanMount] is true then.
	Subvolumes []string

	In []Volume // what it is in, the innermost first; their room is taken from the size
}

// File is a file, directory or symbolic link on a filesystem. Directories that are
// not named are made.
type File struct {
	Path string
	Data []byte
	From string // a file of this machine whose content is taken instead of Data
	Link string // target of a symbolic link
}

// Patch is bytes at an offset from the filesystem's start.
type Patch struct {
	Offset int64
	Data   []byte
}

const mebibyte = 1 << 20

// Write makes the image file, replacing an older one.
func (l Layout) Write(file string) error {
	work, err := os.MkdirTemp(filepath.Dir(file), ".disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	image := filepath.Join(work, "image")

	if l.Table == Whole {
		if len(l.Partitions) != 1 {
			return errors.New("a disk without a partition table holds one filesystem")
		}
		p := l.Partitions[0]
		if err := p.FS.write(image, p.Size, work); err != nil {
			return err
		}
		return os.Rename(image, file)
	}

	// Partitions begin at the first MiB, as sfdisk would have it, and a GPT
	// wants some room for its copy at the end.
	script := "label: " + string(l.Table) + "\nunit: sectors\n"
	start := 1
	for _, p := range l.Partitions {
		kind := p.Type
		if kind == "" {
			kind = "L"
		}
		script += fmt.Sprintf("start=%d, size=%d, type=%s", start*mebibyte/512, p.Size*mebibyte/512, kind)
		if p.Name != "" {
			script += fmt.Sprintf(", name=%q", p.Name)
		}
		switch {
		case p.Bootable && l.Table == GPT:
			script += ", attrs=LegacyBIOSBootable"
		case p.Bootable:
			script += ", bootable"
		}
		script += "\n"
		start += p.Size
	}
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(start+1) * mebibyte); err != nil {
		return err
	}
	if err := tool(script, "sfdisk", "--quiet", image); err != nil {
		return err
	}
	offset := int64(mebibyte)
	for i, p := range l.Partitions {
		if p.FS.Type != "" {
			part := filepath.Join(work, fmt.Sprintf("part%d", i+1))
			if err := p.FS.write(part, p.Size, work); err != nil {
				return fmt.Errorf("partition %d: %w", i+1, err)
			}
			if err := copySparse(f, offset, part); err != nil {
				return err
			}
		}
		offset += int64(p.Size) * mebibyte
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(image, file)
}

// write makes a file that holds the filesystem. A Size of 0 lets its mkfs
// choose, where it can (iso9660).
func (fs FS) write(file string, size int, work string) error {
	for _, v := range fs.In {
		size -= v.Room
	}
	if fs.Type != "iso9660" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		err = f.Truncate(int64(size) * mebibyte)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	tree, err := os.MkdirTemp(work, "tree-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	staged := fs.Files
	if len(fs.Subvolumes) > 0 {
		fs.Files = nil // these come later
	}
	for _, file := range fs.Files {
		if err := file.stage(tree); err != nil {
			return err
		}
	}
	if fs.Tree != "" {
		tree = fs.Tree
	}
	if err := fs.make(file, tree); err != nil {
		return fmt.Errorf("making %s: %w", fs.Type, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, p := range fs.Patches {
		if _, err := f.WriteAt(p.Data, p.Offset); err != nil {
			f.Close()
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if len(fs.Subvolumes) > 0 {
		if err := fs.subvolumes(file, work, staged); err != nil {
			return err
		}
	}
	for _, v := range fs.In {
		if err := v.wrap(file, work); err != nil {
			return err
		}
	}
	return nil
}

func (f File) stage(tree string) error {
	name := filepath.Join(tree, f.Path)
	if strings.HasSuffix(f.Path, "/") {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	switch {
	case f.Link != "":
		return os.Symlink(f.Link, name)
	case f.From != "":
		// Not a link to it: some mkfs store the link count.
		b, err := os.ReadFile(f.From)
		if err != nil {
			return err
		}
		return os.WriteFile(name, b, 0o644)
	}
	return os.WriteFile(name, f.Data, 0o644)
}

// copySparse copies a file into another at an offset and leaves out blocks of
// zeros.
func copySparse(dst *os.File, offset int64, file string) error {
	src, err := os.Open(file)
	if err != nil {
		return err
	}
	defer src.Close()
	block, zeros := make([]byte, mebibyte/4), string(make([]byte, mebibyte/4))
	for {
		n, err := io.ReadFull(src, block)
		if string(block[:n]) != zeros[:n] {
			if _, err := dst.WriteAt(block[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packages names what to install on Debian for a program that is missing.
var packages = map[string]string{
	"sfdisk": "fdisk", "mkfs.ext4": "e2fsprogs", "mkfs.vfat": "dosfstools", "mcopy": "mtools",
	"mkfs.btrfs": "btrfs-progs", "mkfs.xfs": "xfsprogs", "xorriso": "xorriso",
	"mkswap": "util-linux", "mkfs.minix": "util-linux", "mkfs.exfat": "exfatprogs", "btrfs": "btrfs-progs", "xfs_io": "xfsprogs", "mkfs.ntfs": "ntfs-3g",
}

// tool runs a program with a text as its input. Its output is part of the
// error when it fails.
func tool(input, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		// Other users than root often lack the directories of the mkfs programs.
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err = exec.LookPath(filepath.Join(dir, name)); err == nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s is not installed (Debian: package %s)", name, packages[name])
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // labels and names are not all ASCII
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
