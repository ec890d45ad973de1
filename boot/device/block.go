package device

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot/version"
)

// Block is one block device as sysfs shows it.
type Block struct {
	Name       string // as the kernel calls it: sda1, nvme0n1p2, dm-0
	Path       string // its node as the kernel makes it, /dev/sda1; that of a device-mapper device by its name, /dev/mapper/vg0-lv_root
	Disk       string // Path of the whole disk it is on; "" when it is one itself
	Partition  int    // number of the partition, from 1; 0 for a whole disk
	Partitions int    // how many partitions the kernel found on it
	Size       int64  // bytes
	Removable  bool   // it is not built in: see [Fixed]
	Model      string // of the disk: "Samsung SSD 980"; "" where the driver has none
	Seq        string // number of the medium, of which the kernel never uses one again; "" for kernels before 5.15
	PartUUID   string // as in PARTUUID=; "" for a whole disk, and for kernels that do not list it, as 6.12
	PartLabel  string // name of a GPT partition
}

// List returns the block devices of sysfs (os.DirFS("/sys")), sorted as a human
// counts: sda2 before sda10. A device that cannot be understood, or that
// vanishes meanwhile, costs one error and not the others.
//
// Left out is what cannot hold a system: RAM disks, zram, floppies, raw flash
// (mtdblock), the boot areas of an eMMC, devices that the kernel hides (paths
// of a multipath NVMe) and those without a size, such as an unbound loop.
func List(sysfs fs.FS) ([]Block, []error) {
	const class = "class/block"
	dir, err := fs.ReadDir(sysfs, class)
	if err != nil {
		return nil, []error{fmt.Errorf("listing block devices: %w", err)}
	}
	byName := make(map[string]*Block)
	var errs []error
	var disks []string
	for _, e := range dir {
		name := e.Name()
		if ignored(name) {
			continue
		}
		b, err := readBlock(sysfs, path.Join(class, name), name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // pulled out just now
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		case b == nil:
			continue
		}
		byName[name] = b
		if b.Partition == 0 {
			disks = append(disks, name)
		}
	}
	// A partition is a directory inside its disk's. Going down from the disk finds
	// the pairs without following a symlink upwards, which an fs.FS cannot.
	for _, disk := range disks {
		sub, err := fs.ReadDir(sysfs, path.Join(class, disk))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("listing the partitions of %s: %w", disk, err))
		}
		d := byName[disk]
		for _, e := range sub {
			if p := byName[e.Name()]; p != nil && p.Partition > 0 && e.IsDir() {
				p.Disk, p.Model, p.Removable, p.Seq = d.Path, d.Model, d.Removable, d.Seq
				d.Partitions++
			}
		}
	}
	blocks := make([]Block, 0, len(byName))
	for _, b := range byName {
		blocks = append(blocks, *b)
	}
	slices.SortStableFunc(blocks, func(a, b Block) int { return version.Compare(a.Name, b.Name) })
	return blocks, errs
}

// ignored reports whether a name is that of a device that never holds a system.
func ignored(name string) bool {
	for _, driver := range []string{"ram", "zram", "fd", "mtdblock"} {
		if rest, ok := strings.CutPrefix(name, driver); ok && strings.Trim(rest, "0123456789") == "" {
			return true
		}
	}
	if rest, ok := strings.CutPrefix(name, "mmcblk"); ok {
		rest = strings.TrimLeft(rest, "0123456789")
		return strings.HasPrefix(rest, "boot") || strings.HasPrefix(rest, "rpmb") || strings.HasPrefix(rest, "gp")
	}
	return false
}

// readBlock reads the attributes of one device. It returns nil for a device that
// is left out.
func readBlock(sysfs fs.FS, dir, name string) (*Block, error) {
	attr := func(file string) (string, error) {
		b, err := fs.ReadFile(sysfs, path.Join(dir, file))
		return strings.TrimSpace(string(b)), err
	}
	optional := func(file string) string {
		s, _ := attr(file)
		return s
	}
	size, err := attr("size")
	if err != nil {
		return nil, fmt.Errorf("block device %s: %w", name, err)
	}
	sectors, err := strconv.ParseInt(size, 10, 64)
	if err != nil || sectors < 0 || sectors > 1<<54 {
		return nil, fmt.Errorf("block device %s: its size in sysfs is %q", name, size)
	}
	if sectors == 0 {
		return nil, nil
	}
	b := &Block{
		Name: name,
		Path: "/dev/" + strings.ReplaceAll(name, "!", "/"), // cciss!c0d0
		Size: sectors * 512,                                // whatever the device's own sector size
	}
	uevent, err := fs.ReadFile(sysfs, path.Join(dir, "uevent"))
	if err != nil {
		return nil, fmt.Errorf("block device %s: %w", name, err)
	}
	var kind, number string
	eachPair(uevent, '\n', func(key, value string) {
		switch key {
		case "DEVNAME":
			b.Path = "/dev/" + value
		case "DEVTYPE":
			kind = value
		case "DISKSEQ":
			b.Seq = value
		case "PARTN":
			number = value
		case "PARTUUID":
			b.PartUUID = value
		case "PARTNAME":
			b.PartLabel = value
		}
	})
	if number == "" && kind != "disk" {
		number = optional("partition")
	}
	if number != "" { // what follows it has not: there may be hundreds of them
		if b.Partition, err = strconv.Atoi(number); err != nil || b.Partition < 1 {
			return nil, fmt.Errorf("block device %s: its partition number in sysfs is %q", name, number)
		}
		return b, nil
	}
	if optional("hidden") == "1" {
		return nil, nil
	}
	b.Removable = !fixed(sysfs, name, 0)
	b.Model = strings.Join(strings.Fields(optional("device/model")), " ")
	if b.Model == "" {
		b.Model = optional("device/name") // memory cards: "SD32G"
	}
	if mapping := optional("dm/name"); mapping != "" {
		b.Path = "/dev/mapper/" + mapping
	}
	return b, nil
}

// eachPair calls f for every KEY=VALUE of a uevent, whose pairs are separated
// by sep: a newline in sysfs, a NUL in a message of the kernel.
func eachPair(b []byte, sep byte, f func(key, value string)) {
	for pair := range bytes.SplitSeq(b, []byte{sep}) {
		if key, value, ok := bytes.Cut(pair, []byte("=")); ok && len(key) > 0 {
			f(string(key), string(value))
		}
	}
}
