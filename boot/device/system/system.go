// Package system is the running machine as package discover sees it: its block
// devices, what is on them, and what can be made of them, all read-only but
// for what somebody asks to be written.
package system

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
	"github.com/alpboot/alpboot/boot/device/table"
)

// Machine is the running machine.
type Machine struct {
	Sysfs   fs.FS // the root of sysfs: os.DirFS("/sys")
	Mounter device.Mounter
}

// Devices implements discover.Machine.
func (m *Machine) Devices() ([]device.Block, []error) { return device.List(m.Sysfs) }

// Probe implements discover.Machine.
func (m *Machine) Probe(node string) (superblock.Superblock, error) {
	f, err := device.Open(node)
	if err != nil {
		return superblock.Superblock{}, err
	}
	defer f.Close()
	f.Prefetch(0, superblock.Beginning)
	return superblock.Probe(f, f.Size)
}

// PartUUID implements discover.Partitioner.
func (m *Machine) PartUUID(disk string, number int) (string, error) {
	f, err := device.Open(disk)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return table.UUID(f, f.Size, number)
}

// Mount implements discover.Machine.
func (m *Machine) Mount(ctx context.Context, node string, sb superblock.Superblock) (device.Filesystem, error) {
	root, err := m.Mounter.Mount(ctx, node, sb)
	if err != nil {
		return nil, err
	}
	return root, nil
}

// Member implements discover.Maker.
func (m *Machine) Member(node string, sb superblock.Superblock) (assemble.Member, error) {
	f, err := device.Open(node)
	if err != nil {
		return assemble.Member{}, err
	}
	defer f.Close()
	if m.held(f) {
		return assemble.Member{}, device.ErrInUse
	}
	member := assemble.Member{Path: node}
	switch sb.Type {
	case superblock.RAIDMember:
		array, err := superblock.ReadRAID(f, f.Size)
		member.RAID = &array
		return member, err
	case superblock.LVMMember:
		pv, err := lvm.Read(f, f.Size)
		member.PV = &pv
		if pv.UUID != "" {
			err = nil // what its metadata do not record, those of another device may
		}
		return member, err
	}
	return member, fmt.Errorf("%s is a member of no kind of set that is known", sb.Type)
}

// held reports whether another device is made of this one already.
func (m *Machine) held(f *device.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return false
	}
	holders, err := fs.ReadDir(m.Sysfs, fmt.Sprintf("dev/block/%d:%d/holders", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	return err == nil && len(holders) > 0
}

// Map implements discover.Maker.
func (m *Machine) Map(set assemble.Mapping) (device.Made, error) {
	return m.create(set.Name, set.UUID, set.Table)
}

// create makes a mapping.
func (m *Machine) create(name, uuid string, table mapper.Table) (device.Made, error) {
	dm := mapper.Mapper{Need: m.Mounter.Need}
	d, err := dm.Create(name, uuid, table)
	if err != nil {
		return device.Made{}, err
	}
	return device.Made{Node: d.Path, Size: int64(table.Sectors()) * 512, Close: d.Close}, nil
}

// Tokens implements discover.TokenReader.
func (m *Machine) Tokens(node string) ([]map[string]any, error) {
	f, err := device.Open(node)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header, err := luks.Open(f, f.Size)
	if err != nil {
		return nil, err
	}
	return header.Tokens, nil
}

// spare is how many bytes of memory opening a key slot must leave.
const spare = 64 << 20

// Unlock implements discover.Maker. The mapping has the name that systemd uses,
// luks-UUID.
func (m *Machine) Unlock(ctx context.Context, node string, passphrase []byte) (device.Made, error) {
	f, err := device.Open(node)
	if err != nil {
		return device.Made{}, err
	}
	defer f.Close()
	header, err := luks.Open(f, f.Size)
	if err != nil {
		return device.Made{}, err
	}
	debug.FreeOSMemory() // what the last try took
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return device.Made{}, fmt.Errorf("asking how much memory is free: %w", err)
	}
	free := (uint64(info.Freeram) + uint64(info.Bufferram)) * uint64(info.Unit)
	key, err := header.Unlock(ctx, passphrase, luks.Options{Memory: int64(free) - spare})
	if err != nil {
		return device.Made{}, err
	}
	defer key.Wipe()
	start, length, params := key.Table(mapper.Escape(node))
	uuid := fmt.Sprintf("CRYPT-LUKS%d-%s", header.Version, strings.ReplaceAll(header.UUID, "-", ""))
	made, err := m.create(mapper.Name("luks-"+header.UUID), uuid,
		mapper.Table{{Start: start, Length: length, Type: "crypt", Params: params, Secret: true}})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w (its cipher %s needs %s)", err, header.Cipher, strings.Join(header.Needs(), ", "))
	}
	return made, err
}

// Image implements discover.Maker.
func (m *Machine) Image(fsys device.Filesystem, name string) (device.Made, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return device.Made{}, err
	}
	defer f.Close() // the loop device keeps it
	file, ok := f.(*os.File)
	if !ok {
		return device.Made{}, errors.New("not a regular file")
	}
	st, err := file.Stat()
	if err != nil {
		return device.Made{}, err
	}
	if m.Mounter.Need != nil {
		if err := m.Mounter.Need("loop"); err != nil {
			return device.Made{}, err
		}
	}
	loop, err := device.LoopFile(file)
	if err != nil {
		return device.Made{}, err
	}
	return device.Made{Node: loop.Path, Size: st.Size(), Close: loop.Close}, nil
}

// Write implements discover.Writer.
func (m *Machine) Write(node string, do func(root *os.Root) error) error {
	sb, err := m.Probe(node)
	if err != nil {
		return err
	}
	return m.Mounter.Write(node, sb, do)
}
