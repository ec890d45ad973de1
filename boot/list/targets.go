package list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/device/table"
	"github.com/alpboot/alpboot/boot/discover"
)

// Targets are directories, devices and image files, as a machine that has
// nothing else.
type Targets struct {
	system *system.Machine
	blocks []device.Block
	pieces map[string]piece // by the Path of their block; devices have none

	mu      sync.Mutex
	scanned map[string]*device.LoopDevice // pieces that the btrfs driver has been shown, by Path
	inside  map[string]piece              // images on the filesystems of others, by Node
	images  int                           // that have been in inside
}

// piece is a directory, or a part of an image file.
type piece struct {
	directory   string
	image       string
	start, size int64
	file        readerAtCloser // in place of image, on another filesystem
}

type readerAtCloser interface {
	io.ReaderAt
	io.Closer
}

// open returns what reads a piece of an image.
func (p piece) open() (readerAtCloser, error) {
	if p.file != nil {
		return nopCloser{p.file}, nil
	}
	return os.Open(p.image)
}

// nopCloser reads a file that stays open.
type nopCloser struct{ io.ReaderAt }

func (nopCloser) Close() error { return nil }

var (
	_ discover.Machine = (*Targets)(nil)
	_ discover.Maker   = (*Targets)(nil)
)

// NewTargets returns the targets named by args; devices and mounts are those of
// machine.
func NewTargets(machine *system.Machine, args []string) (*Targets, error) {
	t := &Targets{system: machine, pieces: map[string]piece{}, scanned: map[string]*device.LoopDevice{}, inside: map[string]piece{}}
	for _, arg := range args {
		if err := t.add(arg); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Targets) add(arg string) error {
	st, err := os.Stat(arg)
	switch {
	case err != nil:
		return err
	case st.IsDir():
		t.blocks = append(t.blocks, device.Block{Path: arg})
		t.pieces[arg] = piece{directory: arg}
		return nil
	case st.Mode().IsRegular():
		return t.addImage(arg, st.Size())
	case st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0:
		return t.addDevice(arg)
	}
	return fmt.Errorf("%s is neither a directory nor a block device nor an image file", arg)
}

// addImage adds an image file and its partitions: loop devices have no nodes
// for these everywhere.
func (t *Targets) addImage(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	// A filesystem on the whole image comes first: the boot sector of a FAT one
	// looks like a partition table.
	var parts []table.Partition
	if _, err := superblock.Probe(f, size); errors.Is(err, superblock.ErrUnknown) {
		if parts, err = table.Read(f, size); err != nil && len(parts) == 0 {
			return fmt.Errorf("the partition table of %s: %w", name, err)
		}
	}
	t.blocks = append(t.blocks, device.Block{Path: name, Size: size, Partitions: len(parts)})
	t.pieces[name] = piece{image: name, size: size}
	for _, p := range parts {
		path := fmt.Sprintf("%s#%d", name, p.Number)
		t.blocks = append(t.blocks, device.Block{Path: path, Disk: name, Partition: p.Number, Size: p.Size})
		t.pieces[path] = piece{image: name, start: p.Start, size: p.Size}
	}
	return nil
}

// addDevice adds a block device, by whatever path it was named, and its partitions.
func (t *Targets) addDevice(arg string) error {
	path, err := filepath.EvalSymlinks(arg)
	if err != nil {
		return err
	}
	all, _ := t.system.Devices()
	n := len(t.blocks)
	for _, b := range all {
		node, err := filepath.EvalSymlinks(b.Path)
		if err == nil && node == path || b.Disk == path {
			t.blocks = append(t.blocks, b)
		}
	}
	if len(t.blocks) == n {
		return fmt.Errorf("%s is not a device that could hold a system", arg)
	}
	return nil
}

// Devices implements [discover.Machine].
func (t *Targets) Devices() ([]device.Block, []error) { return slices.Clone(t.blocks), nil }

// piece returns the piece that a device stands for, if it is one.
func (t *Targets) piece(path string) (piece, bool) {
	if p, ok := t.pieces[path]; ok {
		return p, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.inside[path]
	return p, ok
}

// Probe implements [discover.Machine].
func (t *Targets) Probe(path string) (superblock.Superblock, error) {
	p, ok := t.piece(path)
	switch {
	case !ok:
		return t.system.Probe(path)
	case p.directory != "":
		return superblock.Superblock{}, nil
	}
	f, err := p.open()
	if err != nil {
		return superblock.Superblock{}, err
	}
	defer f.Close()
	return superblock.Probe(io.NewSectionReader(f, p.start, p.size), p.size)
}

// Mount implements [discover.Machine].
func (t *Targets) Mount(ctx context.Context, path string, sb superblock.Superblock) (discover.Filesystem, error) {
	p, ok := t.piece(path)
	switch {
	case !ok:
		return t.system.Mount(ctx, path, sb)
	case p.directory != "":
		return device.Directory(p.directory)
	}
	if sb.Type == superblock.Btrfs && sb.Devices > 1 {
		return t.mountSeveral(ctx, path, sb)
	}
	fsys, err := t.mountImage(ctx, path, p, sb)
	if err == nil {
		return fsys, nil
	}
	// Without the right to mount, or a driver, what is read here is enough.
	f, openErr := p.open()
	if openErr != nil {
		return nil, err
	}
	if fsys, ownErr := readHere(io.NewSectionReader(f, p.start, p.size), p.size, sb.Type); ownErr == nil {
		return opened{fsys, f}, nil
	}
	f.Close()
	return nil, err
}

// opened closes the image with the filesystem on it.
type opened struct {
	discover.Filesystem
	image io.Closer
}

func (o opened) Close() error { return o.image.Close() }

// mountImage mounts a piece by the driver of the kernel.
func (t *Targets) mountImage(ctx context.Context, path string, p piece, sb superblock.Superblock) (discover.Filesystem, error) {
	if p.file != nil {
		return nil, fmt.Errorf("reading %s needs root rights", path)
	}
	loop, err := p.loop(path)
	if err != nil {
		return nil, err
	}
	defer loop.Close() // the mount keeps it
	fsys, err := t.system.Mount(ctx, loop.Path, sb)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return fsys, nil
}

// mountSeveral mounts a btrfs on several images. The loop devices of all that are
// named stay until lsboot ends: the driver has to know them when it mounts one.
func (t *Targets) mountSeveral(ctx context.Context, path string, sb superblock.Superblock) (discover.Filesystem, error) {
	t.mu.Lock()
	err := t.scan(sb)
	loop := t.scanned[path]
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	fsys, err := t.system.Mount(ctx, loop.Path, sb)
	if err != nil {
		return nil, fmt.Errorf("%s belongs to a btrfs on %d devices, which is read when all of them are named: %w", path, sb.Devices, err)
	}
	return fsys, nil
}

// scan shows the images that hold a part of the filesystem sb to the btrfs driver.
func (t *Targets) scan(sb superblock.Superblock) error {
	for path, p := range t.pieces {
		if t.scanned[path] != nil || p.directory != "" {
			continue
		}
		if other, err := t.Probe(path); err != nil || other.Type != sb.Type || other.UUID != sb.UUID {
			continue
		}
		loop, err := p.loop(path)
		if err != nil {
			return err
		}
		t.scanned[path] = loop
		device.ScanBtrfs(loop.Path)
	}
	return nil
}

// loop makes a device of a part of an image file.
func (p piece) loop(path string) (*device.LoopDevice, error) {
	loop, err := device.Loop(p.image, p.start, p.size)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("reading %s needs root rights: %w", path, err)
	}
	return loop, err
}

// Member implements [discover.Maker]. The loop device of an image stays until
// lsboot ends: what is made of the set is on it.
func (t *Targets) Member(path string, sb superblock.Superblock) (assemble.Member, error) {
	if p, ok := t.pieces[path]; ok {
		loop, err := p.loop(path)
		if err != nil {
			return assemble.Member{}, err
		}
		path = loop.Path
	}
	return t.system.Member(path, sb)
}

// Map implements [discover.Maker].
func (t *Targets) Map(m assemble.Mapping) (discover.Made, error) { return t.system.Map(m) }

// Unlock implements [discover.Maker]. Nobody is asked for a passphrase here.
func (t *Targets) Unlock(ctx context.Context, path string, passphrase []byte) (discover.Made, error) {
	return t.system.Unlock(ctx, path, passphrase)
}

// Image implements [discover.Maker]. An image of which the kernel makes no device is
// read where it is.
func (t *Targets) Image(fsys discover.Filesystem, name string) (discover.Made, error) {
	made, err := t.system.Image(fsys, name)
	if err == nil {
		return made, nil
	}
	if errors.Is(err, os.ErrPermission) {
		err = errors.New("reading it needs root rights")
	}
	f, openErr := fsys.Open(name)
	if openErr != nil {
		return discover.Made{}, err
	}
	st, statErr := f.Stat()
	file, ok := f.(readerAtCloser)
	if statErr != nil || !st.Mode().IsRegular() || !ok {
		f.Close()
		return discover.Made{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.images++
	node := fmt.Sprintf("image %d, %s", t.images, name)
	t.inside[node] = piece{file: file, size: st.Size()}
	return discover.Made{Node: node, Size: st.Size(), Close: func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.inside, node)
		return file.Close()
	}}, nil
}
