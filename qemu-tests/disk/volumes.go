package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/alpboot/alpboot/boot/device/luks/lukstest"
	"github.com/alpboot/alpboot/boot/device/superblock/raidtest"
	"golang.org/x/sys/unix"
)

// Volume is something that a filesystem is in: an encrypted volume, a logical
// volume, an array.
type Volume struct {
	Room int // MiB of the partition that it takes for itself
	wrap func(file, work string) error
}

// LUKS2 encrypts what is in it. Args are further ones for cryptsetup; --uuid
// names the volume.
func LUKS2(passphrase string, args ...string) Volume {
	return Volume{16, func(file, work string) error {
		plain := filepath.Join(work, "plain")
		if err := os.Rename(file, plain); err != nil {
			return err
		}
		defer os.Remove(plain)
		return lukstest.Encrypt(file, plain, passphrase, args...)
	}}
}

// Then has done something with the file of the volume once it is made.
func (v Volume) Then(do func(file string) error) Volume {
	wrap := v.wrap
	v.wrap = func(file, work string) error {
		if err := wrap(file, work); err != nil {
			return err
		}
		return do(file)
	}
	return v
}

// RAID1 makes it the member number role of an array of two, with metadata of
// version 0.90, which are behind the data, or 1.2. Those of 1.2 can be newer than
// those of the other member, by so many events.
func RAID1(version string, role int, newer ...uint64) Volume {
	events := uint64(17)
	for _, n := range newer {
		events += n
	}
	return Volume{1, func(file, _ string) error {
		size, err := sizeOf(file)
		if err != nil {
			return err
		}
		switch version {
		case "0.90":
			// At the last multiple of 64 KiB that leaves room for as much.
			sb := raidtest.Version0(binary.LittleEndian, 1, raidtest.Change{4 * 8: uint32(size / 1024), 4 * 992: uint32(role), 4 * 995: uint32(role)})
			return change(file, func(f *os.File) error {
				if _, err := f.WriteAt(sb, size+mebibyte-0x10000); err != nil {
					return err
				}
				return f.Truncate(size + mebibyte)
			})
		case "1.2":
			if err := shift(file, mebibyte, mebibyte); err != nil {
				return err
			}
			sb := raidtest.Version1(4096, 1, raidtest.Change{
				80: uint64(size / 512), 128: uint64(mebibyte / 512), 136: uint64(size / 512), 160: uint32(role), 200: events})
			return change(file, func(f *os.File) error { _, err := f.WriteAt(sb, 4096); return err })
		}
		return fmt.Errorf("metadata version %s is not written here", version)
	}}
}

// LVM makes it the logical volume lv of a group vg of one device, of linear
// extents of 4 MiB. Its metadata can be newer than those of other groups made here,
// which all have the same UUIDs, by so many changes.
func LVM(vg, lv string, newer ...int) Volume {
	seqno := 2
	for _, n := range newer {
		seqno += n
	}
	return Volume{4, func(file, _ string) error {
		size, err := sizeOf(file)
		if err != nil {
			return err
		}
		const extent = 4 * mebibyte
		if size%extent != 0 {
			return fmt.Errorf("a logical volume of %d bytes is not a multiple of the extents of 4 MiB", size)
		}
		if err := shift(file, mebibyte, 4*mebibyte); err != nil {
			return err
		}
		return change(file, func(f *os.File) error { return writeLVM(f, vg, lv, seqno, size/extent, size+4*mebibyte) })
	}}
}

// writeLVM writes what LVM has before the data: lib/format_text/layout.h and
// lib/label/label.h of LVM2.
func writeLVM(f *os.File, vg, lv string, seqno int, extents, device int64) error {
	const (
		pvID     = "AlpbPv-0000-0000-0000-0000-0000-000001"
		metadata = 4096               // where the metadata area begins
		area     = mebibyte - 4096    // its size
		textAt   = metadata + 512     // after its header
		initial  = uint32(0xf597a6cf) // of LVM's checksums
	)
	checksum := func(b []byte) uint32 { return ^crc32.Update(^initial, crc32.IEEETable, b) }
	text := fmt.Appendf(nil, `%[1]s {
id = "AlpbVg-0000-0000-0000-0000-0000-000001"
seqno = %[6]d
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 8192
max_lv = 0
max_pv = 0
metadata_copies = 0

physical_volumes {
pv0 {
id = %[2]q
device = "/dev/vda1"
status = ["ALLOCATABLE"]
flags = []
dev_size = %[3]d
pe_start = 2048
pe_count = %[4]d
}
}

logical_volumes {
%[5]s {
id = "AlpbLv-0000-0000-0000-0000-0000-000001"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = 1
segment1 {
start_extent = 0
extent_count = %[4]d
type = "striped"
stripe_count = 1
stripes = [
"pv0", 0
]
}
}
}
}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "alpine"
creation_time = 1700000000
`, vg, pvID, device/512, extents, lv, seqno)
	text = append(text, 0)

	le := binary.LittleEndian
	label := make([]byte, 512)
	copy(label, "LABELONE")
	le.PutUint64(label[8:], 1)   // the sector that it is in
	le.PutUint32(label[20:], 32) // where the header of the volume begins
	copy(label[24:], "LVM2 001")
	copy(label[32:], bytes.ReplaceAll([]byte(pvID), []byte("-"), nil))
	le.PutUint64(label[64:], uint64(device))
	le.PutUint64(label[72:], mebibyte) // data: from here to the end
	le.PutUint64(label[104:], metadata)
	le.PutUint64(label[112:], area)
	le.PutUint32(label[16:], checksum(label[20:]))

	header := make([]byte, 512)
	copy(header[4:], " LVM2 x[5A%r0N*>")
	le.PutUint32(header[20:], 1) // version
	le.PutUint64(header[24:], metadata)
	le.PutUint64(header[32:], area)
	le.PutUint64(header[40:], textAt-metadata)
	le.PutUint64(header[48:], uint64(len(text)))
	le.PutUint32(header[56:], checksum(text))
	le.PutUint32(header, checksum(header[4:]))
	for at, b := range map[int64][]byte{512: label, metadata: header, textAt: text} {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
	}
	return nil
}

// shift moves the content of a file by front bytes, and makes the file larger by
// more bytes.
func shift(file string, front, more int64) error {
	moved := file + ".moved"
	dst, err := os.Create(moved)
	if err != nil {
		return err
	}
	defer dst.Close()
	size, err := sizeOf(file)
	if err != nil {
		return err
	}
	if err := dst.Truncate(size + more); err != nil {
		return err
	}
	if err := copySparse(dst, front, file); err != nil {
		return err
	}
	return os.Rename(moved, file)
}

// change has do write into a file.
func change(file string, do func(*os.File) error) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := do(f); err != nil {
		return err
	}
	return f.Close()
}

func sizeOf(file string) (int64, error) {
	st, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// CanMount reports whether this machine lets us mount a type of filesystem: what
// no mkfs program does by itself needs that.
func CanMount(fstype string) bool {
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Mounted has do work in a filesystem in a file, at a path that leads there as long as
// do runs. options are those of mount(8) for the loop device. The filesystem is nowhere
// in the tree by then, so that it is unmounted however this process ends: one that
// stayed would keep mkfs.btrfs from using its UUID again. Of all processes on this
// machine, one at a time has something mounted so: see [alone].
func Mounted(file, options, work string, do func(dir string) error) error {
	return alone(func() error { return mounted(file, options, work, do) })
}

// alone calls do while no other call of it runs, in this process or another one of
// this machine. Filesystems of tests have UUIDs that are fixed: mkfs.btrfs makes
// none whose UUID is on any device, loop devices of other test runs among them,
// and the kernel mounts no two of one UUID.
func alone(do func() error) error {
	name := filepath.Join(os.TempDir(), "alpboot-mounted.lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", name, err)
	}
	return do()
}

func mounted(file, options, work string, do func(dir string) error) error {
	dir, err := os.MkdirTemp(work, "mount-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := tool("", "mount", "-o", "loop"+options, file, dir); err != nil {
		return err
	}
	top, err := os.Open(dir)
	if err := errors.Join(err, tool("", "umount", "--lazy", dir)); err != nil {
		return err
	}
	defer top.Close() // which unmounts it
	return do(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), top.Fd()))
}

// subvolumes makes the subvolumes of a btrfs, and puts files into it.
func (fs FS) subvolumes(file, work string, files []File) error {
	return Mounted(file, "", work, func(dir string) error {
		for _, name := range fs.Subvolumes {
			if err := tool("", "btrfs", "subvolume", "create", filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		for _, f := range files {
			if err := f.stage(dir); err != nil {
				return err
			}
		}
		return nil
	})
}

// Crashed leaves an XFS as a power cut does: with a journal that wants to be
// replayed. It is only for disks that are written where [CanMount] is true.
func Crashed() Volume {
	return Volume{wrap: func(file, work string) error {
		return Mounted(file, "", work, func(dir string) error {
			if err := os.WriteFile(filepath.Join(dir, "written-last"), []byte("in the journal"), 0o644); err != nil {
				return err
			}
			return tool("", "xfs_io", "-x", "-c", "shutdown -f", dir)
		})
	}}
}
