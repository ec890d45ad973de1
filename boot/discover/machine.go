package discover

import (
	"context"
	"io/fs"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// System is the running machine.
type System struct {
	Sysfs   fs.FS // the root of sysfs: os.DirFS("/sys")
	Mounter device.Mounter
}

var _ Machine = (*System)(nil)

// Devices implements [Machine].
func (s *System) Devices() ([]device.Block, []error) { return device.List(s.Sysfs) }

// Probe implements [Machine].
func (s *System) Probe(path string) (superblock.Superblock, error) {
	f, err := device.Open(path)
	if err != nil {
		return superblock.Superblock{}, err
	}
	defer f.Close()
	return superblock.Probe(f, f.Size)
}

// Mount implements [Machine].
func (s *System) Mount(ctx context.Context, path string, sb superblock.Superblock) (Filesystem, error) {
	root, err := s.Mounter.Mount(ctx, path, sb)
	if err != nil {
		return nil, err
	}
	return root, nil
}
