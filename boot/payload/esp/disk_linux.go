package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/efivar"
)

// Mounted is the directory of this machine where the partition is mounted.
type Mounted string

func (m Mounted) path(name string) string { return filepath.Join(string(m), filepath.FromSlash(name)) }

// Read implements [Files].
func (m Mounted) Read(name string) ([]byte, error) {
	f, err := os.Open(m.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// From the disk: what is in memory need not be what was written.
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil && !errors.Is(err, unix.ESPIPE) {
		return nil, &fs.PathError{Op: "fadvise", Path: f.Name(), Err: err}
	}
	return io.ReadAll(f)
}

// Write implements [Files].
func (m Mounted) Write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(m.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return m.Sync()
}

// Rename implements [Files].
func (m Mounted) Rename(from, to string) error {
	return m.renameat(from, to, unix.RENAME_NOREPLACE)
}

// Exchange implements [Files].
func (m Mounted) Exchange(a, b string) error {
	err := m.renameat(a, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return ErrNoExchange
	}
	return err
}

func (m Mounted) renameat(from, to string, flags uint) error {
	if err := os.MkdirAll(filepath.Dir(m.path(to)), 0o755); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, m.path(from), unix.AT_FDCWD, m.path(to), flags); err != nil {
		return &os.LinkError{Op: "rename", Old: m.path(from), New: m.path(to), Err: err}
	}
	return nil
}

// Remove implements [Files].
func (m Mounted) Remove(name string) error { return os.Remove(m.path(name)) }

// Sync implements [Files].
func (m Mounted) Sync() error {
	f, err := os.Open(string(m))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: string(m), Err: err}
	}
	return nil
}

// List implements [Files].
func (m Mounted) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(m.path(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Free implements [Files].
func (m Mounted) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(string(m), &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: string(m), Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// IsFAT reports whether what is mounted there is FAT, as firmware reads it.
func (m Mounted) IsFAT() bool {
	var st unix.Statfs_t
	return unix.Statfs(string(m), &st) == nil && st.Type == unix.MSDOS_SUPER_MAGIC
}

// Partition returns the partition that is mounted there, for boot entries.
func (m Mounted) Partition() (efivar.Partition, error) {
	var here, above unix.Stat_t
	if err := unix.Stat(string(m), &here); err != nil {
		return efivar.Partition{}, &fs.PathError{Op: "stat", Path: string(m), Err: err}
	}
	if err := unix.Stat(filepath.Join(string(m), ".."), &above); err == nil && above.Dev == here.Dev {
		return efivar.Partition{}, fmt.Errorf("%s is not where a partition is mounted: name the mount point of the EFI system partition", m)
	}
	sys, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(here.Dev), unix.Minor(here.Dev)))
	if err != nil {
		return efivar.Partition{}, fmt.Errorf("%s is not on a disk: %w", m, err)
	}
	number := func(file string) (n uint64) {
		b, readErr := os.ReadFile(filepath.Join(sys, file))
		if readErr == nil {
			n, readErr = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		}
		if err == nil {
			err = readErr
		}
		return n
	}
	p := efivar.Partition{Number: uint32(number("partition"))}
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("%s is on %s, which is not a partition: firmware has no name for it; use --removable", m, filepath.Base(sys))
	}
	block := number("../queue/logical_block_size") / 512
	start, size := number("start"), number("size")
	if err != nil || block == 0 {
		return p, fmt.Errorf("asking the kernel for the partition under %s: %w", m, err)
	}
	p.Start, p.Size = start/block, size/block
	disk, err := os.Open(filepath.Join("/dev", filepath.Base(filepath.Dir(sys))))
	if err != nil {
		return p, err
	}
	defer disk.Close()
	if err := Sign(&p, disk, int64(block)*512); err != nil {
		return p, fmt.Errorf("%s: %w", disk.Name(), err)
	}
	return p, nil
}

// Sign reads the signature of a partition, whose Number and Start are known, from
// the table of its disk, which has blocks of as many bytes.
func Sign(p *efivar.Partition, disk io.ReaderAt, block int64) error {
	le := binary.LittleEndian
	mbr := make([]byte, 512)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return err
	}
	const signature, protective, firstType = 0x1b8, 0xee, 0x1c2
	if mbr[firstType] != protective {
		copy(p.Signature[:4], mbr[signature:])
		return nil
	}
	p.GPT = true
	h := make([]byte, 92)
	if _, err := disk.ReadAt(h, block); err != nil {
		return err
	}
	if string(h[:8]) != "EFI PART" {
		return errors.New("its GPT is damaged: repair it first, with sgdisk -e or gdisk")
	}
	e := make([]byte, 128)
	at := int64(le.Uint64(h[72:]))*block + int64(p.Number-1)*int64(le.Uint32(h[84:]))
	if _, err := disk.ReadAt(e, at); err != nil {
		return err
	}
	if le.Uint64(e[32:]) != p.Start {
		return errors.New("its GPT does not have the partition where the kernel has it: restart, or run partx -u")
	}
	copy(p.Signature[:], e[16:])
	return nil
}
