// Package readonly reads the filesystems of media, FAT and ISO 9660, without the
// help of the kernel: on a host whose kernel lacks their drivers, or where nobody
// has the right to mount.
//
// It is for tools on a host, not for the menu. Links, resource forks and
// relocated directories are left out.
package readonly

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/device/superblock"
)

// What is read, so that no image can use up memory.
const (
	maxDirectory = 4 << 20 // bytes of one directory
	maxListed    = 1 << 20 // files and directories that are kept
	maxPieces    = 1 << 16 // of one file
)

// FS is a filesystem on r.
type FS struct {
	r      io.ReaderAt
	size   int64
	format format
	root   *node

	mu     sync.Mutex
	listed map[*node][]*node
	left   int // how many more may be kept
}

// format is how one of the filesystems is laid out.
type format interface {
	// list returns what is in a directory.
	list(*node) ([]*node, error)
	// pieces returns where the bytes of a file are, in order.
	pieces(*node) ([]piece, error)
	// fold returns what names are compared by.
	fold(name string) string
}

// node is a file or directory.
type node struct {
	name    string
	isDir   bool
	size    int64
	cluster uint32  // FAT: the first one
	extents []piece // ISO 9660
}

// piece is a run of bytes on the device.
type piece struct{ start, size int64 }

// Open opens the filesystem of that type, as package superblock calls it, on the
// size bytes of r.
func Open(r io.ReaderAt, size int64, fstype string) (*FS, error) {
	f := &FS{r: r, size: size, listed: map[*node][]*node{}, left: maxListed}
	var err error
	switch fstype {
	case superblock.VFAT:
		f.format, f.root, err = openFAT(r, size)
	case superblock.ISO9660:
		f.format, f.root, err = openISO(r, size)
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s without a driver: %w", fstype, err)
	}
	return f, nil
}

// Close implements [device.Filesystem]. The reader stays open.
func (f *FS) Close() error { return nil }

// Open implements [fs.FS].
func (f *FS) Open(name string) (fs.File, error) {
	n, err := f.find(name)
	var pieces []piece
	if err == nil && !n.isDir {
		pieces, err = f.format.pieces(n)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if n.isDir {
		return &directory{info: info{n, path.Base(name)}, fsys: f, path: name}, nil
	}
	return &file{SectionReader: io.NewSectionReader(scattered{f.r, pieces}, 0, n.size), info: info{n, path.Base(name)}}, nil
}

// Stat implements [fs.StatFS].
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{n, path.Base(name)}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find(name)
	var list []*node
	if err == nil {
		list, err = f.list(n)
	}
	entries := make([]fs.DirEntry, len(list))
	for i, n := range list {
		entries[i] = fs.FileInfoToDirEntry(info{n, n.name})
	}
	if err != nil {
		err = &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return entries, err
}

// find returns the node of that path.
func (f *FS) find(name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	at := f.root
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		list, err := f.list(at)
		if err != nil && len(list) == 0 {
			return nil, err
		}
		part = f.format.fold(part)
		i := slices.IndexFunc(list, func(n *node) bool { return f.format.fold(n.name) == part })
		if i < 0 {
			return nil, fs.ErrNotExist
		}
		at = list[i]
	}
	return at, nil
}

// list returns what is in a directory, sorted by name.
func (f *FS) list(dir *node) ([]*node, error) {
	if !dir.isDir {
		return nil, errors.New("not a directory")
	}
	f.mu.Lock()
	defer f.mu.Unlock() // a directory is small
	if list, ok := f.listed[dir]; ok {
		return list, nil
	}
	list, err := f.format.list(dir)
	list = slices.DeleteFunc(list, func(n *node) bool {
		return !fs.ValidPath(n.name) || n.name == "." || strings.Contains(n.name, "/") || n.size < 0
	})
	slices.SortStableFunc(list, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	if err == nil && len(list) < f.left {
		f.left -= len(list) + 1
		f.listed[dir] = list
	}
	return list, err
}

// info implements [fs.FileInfo].
type info struct {
	*node
	called string
}

func (i info) Name() string       { return i.called }
func (i info) Size() int64        { return i.size }
func (i info) IsDir() bool        { return i.isDir }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// file is an open file.
type file struct {
	*io.SectionReader
	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// directory is an open directory.
type directory struct {
	info info
	fsys *FS
	path string
	rest []fs.DirEntry
	read bool
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *directory) Close() error               { return nil }
func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

// ReadDir implements [fs.ReadDirFile].
func (d *directory) ReadDir(n int) (list []fs.DirEntry, err error) {
	if !d.read {
		if d.rest, err = d.fsys.ReadDir(d.path); err != nil {
			return nil, err
		}
		d.read = true
	}
	if n <= 0 {
		list, d.rest = d.rest, nil
		return list, nil
	}
	if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	list, d.rest = d.rest[:n], d.rest[n:]
	return list, nil
}

// scattered reads pieces of a device as if they were one.
type scattered struct {
	r      io.ReaderAt
	pieces []piece
}

func (s scattered) ReadAt(b []byte, off int64) (n int, err error) {
	for _, p := range s.pieces {
		if off >= p.size {
			off -= p.size
			continue
		}
		part := b[n:min(len(b), n+int(min(p.size-off, int64(len(b)-n))))]
		m, err := s.r.ReadAt(part, p.start+off)
		if n += m; m < len(part) {
			return n, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		if n == len(b) {
			return n, nil
		}
		off = 0
	}
	return n, io.EOF
}

// readAll returns the bytes of pieces of a directory.
func readAll(r io.ReaderAt, pieces []piece) ([]byte, error) {
	var size int64
	for _, p := range pieces {
		size += p.size
	}
	if size > maxDirectory {
		return nil, fmt.Errorf("a directory has %d bytes", size)
	}
	b := make([]byte, size)
	n, err := scattered{r, pieces}.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}
