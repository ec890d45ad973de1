package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/lvm"
	"github.com/alpboot/alpboot/boot/device/mapper"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// System is the running machine.
type System struct {
	Sysfs   fs.FS // the root of sysfs: os.DirFS("/sys")
	Mounter device.Mounter
}

var (
	_ Machine = (*System)(nil)
	_ Maker   = (*System)(nil)
)

// Devices implements [Machine].
func (s *System) Devices() ([]device.Block, []error) { return device.List(s.Sysfs) }

// Probe implements [Machine].
func (s *System) Probe(node string) (superblock.Superblock, error) {
	f, err := device.Open(node)
	if err != nil {
		return superblock.Superblock{}, err
	}
	defer f.Close()
	f.Prefetch(0, superblock.Beginning)
	return superblock.Probe(f, f.Size)
}

// Mount implements [Machine].
func (s *System) Mount(ctx context.Context, node string, sb superblock.Superblock) (Filesystem, error) {
	root, err := s.Mounter.Mount(ctx, node, sb)
	if err != nil {
		return nil, err
	}
	return root, nil
}

// Member implements [Maker].
func (s *System) Member(node string, sb superblock.Superblock) (assemble.Member, error) {
	f, err := device.Open(node)
	if err != nil {
		return assemble.Member{}, err
	}
	defer f.Close()
	if s.held(f) {
		return assemble.Member{}, ErrInUse
	}
	m := assemble.Member{Path: node}
	switch sb.Type {
	case "linux_raid_member":
		array, err := superblock.ReadRAID(f, f.Size)
		m.RAID = &array
		return m, err
	case "LVM2_member":
		pv, err := lvm.Read(f, f.Size)
		m.PV = &pv
		if pv.UUID != "" {
			err = nil // what its metadata do not tell, those of another device may
		}
		return m, err
	}
	return m, fmt.Errorf("%s is a member of no kind of set that is known", sb.Type)
}

// held tells whether another device is made of this one already.
func (s *System) held(f *device.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return false
	}
	holders, err := fs.ReadDir(s.Sysfs, fmt.Sprintf("dev/block/%d:%d/holders", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	return err == nil && len(holders) > 0
}

// Map implements [Maker].
func (s *System) Map(m assemble.Mapping) (Made, error) {
	return s.create(m.Name, m.UUID, m.Table)
}

// create makes a mapping.
func (s *System) create(name, uuid string, table mapper.Table) (Made, error) {
	m := mapper.Mapper{Need: s.Mounter.Need}
	d, err := m.Create(name, uuid, table)
	if err != nil {
		return Made{}, err
	}
	return Made{Node: d.Path, Size: int64(table.Sectors()) * 512, Close: d.Close}, nil
}

// spare is how many bytes of memory opening a key slot must leave.
const spare = 64 << 20

// Unlock implements [Maker]. The mapping has the name that systemd gives it,
// luks-UUID.
func (s *System) Unlock(ctx context.Context, node string, passphrase []byte) (Made, error) {
	f, err := device.Open(node)
	if err != nil {
		return Made{}, err
	}
	defer f.Close()
	header, err := luks.Open(f, f.Size)
	if err != nil {
		return Made{}, err
	}
	debug.FreeOSMemory() // what the last try took
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Made{}, fmt.Errorf("asking how much memory is free: %w", err)
	}
	free := (uint64(info.Freeram) + uint64(info.Bufferram)) * uint64(info.Unit)
	key, err := header.Unlock(ctx, passphrase, luks.Options{Memory: int64(free) - spare})
	if err != nil {
		return Made{}, err
	}
	defer key.Wipe()
	start, length, params := key.Table(mapper.Escape(node))
	uuid := fmt.Sprintf("CRYPT-LUKS%d-%s", header.Version, strings.ReplaceAll(header.UUID, "-", ""))
	made, err := s.create(mapper.Name("luks-"+header.UUID), uuid,
		mapper.Table{{Start: start, Length: length, Type: "crypt", Params: params, Secret: true}})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w (its cipher %s needs %s)", err, header.Cipher, strings.Join(header.Needs(), ", "))
	}
	return made, err
}

// Image implements [Maker].
func (s *System) Image(fsys Filesystem, name string) (Made, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return Made{}, err
	}
	defer f.Close() // the loop device keeps it
	file, ok := f.(*os.File)
	if !ok {
		return Made{}, errors.New("it is no regular file")
	}
	st, err := file.Stat()
	if err != nil {
		return Made{}, err
	}
	if s.Mounter.Need != nil {
		if err := s.Mounter.Need("loop"); err != nil {
			return Made{}, err
		}
	}
	loop, err := device.LoopFile(file)
	if err != nil {
		return Made{}, err
	}
	return Made{Node: loop.Path, Size: st.Size(), Close: loop.Close}, nil
}
