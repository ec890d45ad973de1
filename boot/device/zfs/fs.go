package zfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// FS is the files of a dataset or of a snapshot. A symlink, absolute or with "..",
// cannot leave it: the root is taken for "/", as it would be on the system that is
// there. Only regular files and directories can be opened; regular files implement
// [io.ReaderAt] and [io.Seeker]. It may be used by several goroutines.
type FS struct {
	set  *objset
	root uint64
	id   uint64 // of the dataset

	// How attributes are laid out in files of newer pools (sa_impl.h).
	attributes map[string]uint16
	lengths    map[uint16]int // 0 for those whose length each file has
	layouts    map[uint16][]uint16
}

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

const (
	masterObject  = 1       // of what a dataset's files are found by
	maxDirEntries = 1 << 16 // that are listed of a directory
	maxLinks      = 40      // symlinks on the way to a file
	maxTarget     = 4096    // bytes of a symlink
	maxLayouts    = 1 << 12 // of attributes, and names of them
)

// FS opens the files of a dataset or of a snapshot.
func (d *Dataset) FS() (*FS, error) {
	f, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("the ZFS dataset %s cannot be read: %w", d.Name, err)
	}
	return f, nil
}

func (d *Dataset) open() (*FS, error) {
	k := d.keys
	if d.Snapshot {
		k = d.parent.keys
	}
	if d.Encrypted && k == nil {
		return nil, ErrEncrypted
	}
	set, err := d.pool.objset(&d.root, k)
	if err != nil {
		return nil, err
	}
	if set.kind != objsetFiles {
		return nil, errors.New("it holds no files")
	}
	f := &FS{set: set, id: d.object}
	var attrs uint64
	err = set.zap(masterObject, func(e zapEntry) bool {
		switch e.name {
		case "ROOT":
			f.root = e.uint()
		case "SA_ATTRS":
			attrs = e.uint()
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if attrs != 0 {
		if err := f.readLayouts(attrs); err != nil {
			return nil, fmt.Errorf("how attributes are laid out: %w", err)
		}
	}
	root, err := f.node(f.root)
	if err != nil {
		return nil, err
	}
	if !root.mode.IsDir() {
		return nil, errors.New("its root is not a directory")
	}
	return f, nil
}

// readLayouts reads which attributes there are, and in which orders files have them.
func (f *FS) readLayouts(object uint64) error {
	var registry, layouts uint64
	err := f.set.zap(object, func(e zapEntry) bool {
		switch e.name {
		case "REGISTRY":
			registry = e.uint()
		case "LAYOUTS":
			layouts = e.uint()
		}
		return true
	})
	if err != nil {
		return err
	}
	f.attributes, f.lengths, f.layouts = map[string]uint16{}, map[uint16]int{}, map[uint16][]uint16{}
	err = f.set.zap(registry, func(e zapEntry) bool {
		v := e.uint() // number, how it is swapped, length
		f.attributes[e.name], f.lengths[uint16(v)] = uint16(v), int(v>>24&0xffff)
		return len(f.attributes) < maxLayouts
	})
	if err != nil {
		return err
	}
	return f.set.zap(layouts, func(e zapEntry) bool {
		n, err := strconv.ParseUint(e.name, 10, 16)
		if err != nil || e.width != 2 {
			return true
		}
		var list []uint16
		for v := e.value; len(v) >= 2; v = v[2:] {
			list = append(list, uint16(v[0])<<8|uint16(v[1]))
		}
		f.layouts[uint16(n)] = list
		return len(f.layouts) < maxLayouts
	})
}

// node is a file, a directory or a symlink.
type node struct {
	object uint64
	dnode  *dnode
	mode   fs.FileMode
	size   int64
	mtime  time.Time
	target string // of a symlink
}

// node reads the attributes of an object.
func (f *FS) node(object uint64) (*node, error) {
	d, err := f.set.object(object)
	if err != nil {
		return nil, err
	}
	n := &node{object: object, dnode: d}
	if d.kind != typeFile && d.kind != typeDirectory {
		return nil, fmt.Errorf("the object %d is not a file", object)
	}
	switch d.bonusKind {
	case typeZnode:
		err = f.znode(n)
	case typeSA:
		err = f.system(n)
	default:
		return nil, fmt.Errorf("alpboot does not know attributes of the type %d", d.bonusKind)
	}
	if err != nil {
		return nil, err
	}
	if n.size < 0 {
		return nil, errDnode
	}
	return n, nil
}

// znode reads attributes as file systems before version 5 have them (zfs_znode.h).
func (f *FS) znode(n *node) error {
	const mtimeAt, modeAt, sizeAt, size = 16, 72, 80, 264
	b, o := n.dnode.bonus, n.dnode.order
	if len(b) < size {
		return errDnode
	}
	n.mtime = time.Unix(int64(o.Uint64(b[mtimeAt:])), int64(o.Uint64(b[mtimeAt+8:])))
	n.mode, n.size = fileMode(o.Uint64(b[modeAt:])), int64(o.Uint64(b[sizeAt:]))
	if n.mode&fs.ModeSymlink == 0 {
		return nil
	}
	if n.size > maxTarget || n.size < 0 {
		return errDnode
	}
	target := b[size:]
	if int64(len(target)) < n.size { // it has no room there
		target = make([]byte, n.size)
		if err := f.set.pool.readAt(n.dnode, target, 0); err != nil {
			return err
		}
	}
	n.target = string(target[:n.size])
	return nil
}

// system reads the system attributes of newer file systems.
func (f *FS) system(n *node) error {
	found := false
	set := func(name string, value []byte) {
		switch {
		case name == "ZPL_MODE" && len(value) >= 8:
			found, n.mode = true, fileMode(n.dnode.order.Uint64(value))
		case name == "ZPL_SIZE" && len(value) >= 8:
			n.size = int64(n.dnode.order.Uint64(value))
		case name == "ZPL_MTIME" && len(value) >= 16:
			n.mtime = time.Unix(int64(n.dnode.order.Uint64(value)), int64(n.dnode.order.Uint64(value[8:])))
		case name == "ZPL_SYMLINK" && len(value) <= maxTarget:
			n.target = string(value)
		}
	}
	if err := f.eachAttribute(n.dnode.bonus, n.dnode, set); err != nil {
		return err
	}
	if n.dnode.spill != nil {
		b, err := f.set.pool.block(n.dnode.spill, n.dnode.keys)
		if err != nil {
			return err
		}
		if err := f.eachAttribute(b, n.dnode, set); err != nil {
			return err
		}
	}
	if !found {
		return errDnode
	}
	return nil
}

// eachAttribute calls set for each attribute that a dataset has a name for: a header
// with the number of the layout, then the attributes in its order.
func (f *FS) eachAttribute(b []byte, d *dnode, set func(name string, value []byte)) error {
	const magic = 0x2f505a
	if len(b) < 8 || d.order.Uint32(b) != magic {
		return errDnode
	}
	info := d.order.Uint16(b[4:])
	layout, ok := f.layouts[info&1023]
	header := int(info>>10) << 3
	if !ok || header < 8 || header > len(b) {
		return errDnode
	}
	lengths := b[6:header]
	values := b[header:]
	for _, number := range layout {
		n, ok := f.lengths[number]
		if !ok {
			return errDnode
		}
		if n == 0 {
			if len(lengths) < 2 {
				return errDnode
			}
			n, lengths = int(d.order.Uint16(lengths)), lengths[2:]
		}
		padded := (n + 7) &^ 7
		if n > len(values) {
			return errDnode
		}
		for _, name := range []string{"ZPL_MODE", "ZPL_SIZE", "ZPL_MTIME", "ZPL_SYMLINK"} {
			if at, ok := f.attributes[name]; ok && at == number {
				set(name, values[:n])
			}
		}
		values = values[min(padded, len(values)):]
	}
	return nil
}

// fileMode returns the mode of a Unix system as Go has it.
func fileMode(mode uint64) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
	case syscall.S_IFDIR:
		m |= fs.ModeDir
	case syscall.S_IFLNK:
		m |= fs.ModeSymlink
	case syscall.S_IFIFO:
		m |= fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		m |= fs.ModeSocket
	case syscall.S_IFBLK:
		m |= fs.ModeDevice
	case syscall.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	default:
		m |= fs.ModeIrregular
	}
	if mode&syscall.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&syscall.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&syscall.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// objectOf returns the number that an entry of a directory has, without its type.
func objectOf(value uint64) uint64 { return value & (1<<48 - 1) }

// walk returns what name is. A symlink at its end is followed when follow is set.
func (f *FS) walk(name string, follow bool) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	root, err := f.node(f.root)
	if err != nil {
		return nil, err
	}
	above, at := []*node{}, root // directories above at
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		element := todo[0]
		todo = todo[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if len(above) > 0 {
				above, at = above[:len(above)-1], above[len(above)-1]
			}
			continue
		}
		if !at.mode.IsDir() {
			return nil, syscall.ENOTDIR
		}
		e, ok, err := f.set.lookup(at.object, element)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fs.ErrNotExist
		}
		next, err := f.node(objectOf(e.uint()))
		if err != nil {
			return nil, err
		}
		if next.mode&fs.ModeSymlink == 0 || len(todo) == 0 && !follow {
			above, at = append(above, at), next
			continue
		}
		if links++; links > maxLinks {
			return nil, syscall.ELOOP
		}
		if strings.HasPrefix(next.target, "/") {
			above, at = above[:0], root
		}
		todo = append(strings.Split(next.target, "/"), todo...)
	}
	return at, nil
}

func (f *FS) find(op, name string, follow bool) (*node, error) {
	n, err := f.walk(name, follow)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

// Open opens a regular file or a directory.
func (f *FS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	info := f.info(n, name)
	switch {
	case n.mode.IsDir():
		return &directory{fsys: f, node: n, info: info}, nil
	case n.mode.IsRegular():
		return &file{pool: f.set.pool, node: n, info: info}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("neither a regular file nor a directory")}
}

// Stat follows symlinks inside the dataset.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return f.info(n, name), nil
}

// Lstat does not follow a symlink in the last element.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return f.info(n, name), nil
}

// ReadLink returns the target of a symlink as it is written there.
func (f *FS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.target, nil
}

// ReadDir lists a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	return f.list(n, name)
}

// list lists a directory.
func (f *FS) list(n *node, name string) ([]fs.DirEntry, error) {
	var list []fs.DirEntry
	err := f.set.zap(n.object, func(e zapEntry) bool {
		if e.name == "" || e.name == "." || e.name == ".." || strings.Contains(e.name, "/") {
			return true
		}
		v := e.uint()
		list = append(list, &entry{fsys: f, name: e.name, object: objectOf(v), mode: v >> 60 << 12})
		return len(list) <= maxDirEntries
	})
	if err == nil && len(list) > maxDirEntries {
		list, err = list[:maxDirEntries], fmt.Errorf("more than %d entries", maxDirEntries)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	if err != nil {
		return list, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return list, nil
}

func (f *FS) info(n *node, name string) info {
	return info{path.Base(name), n, f.id}
}

// info is the [fs.FileInfo] of a node. Its Sys is a [syscall.Stat_t] whose numbers of the
// device and of the inode distinguish files of a pool from each other.
type info struct {
	name    string
	node    *node
	dataset uint64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.node.size }
func (i info) Mode() fs.FileMode  { return i.node.mode }
func (i info) ModTime() time.Time { return i.node.mtime }
func (i info) IsDir() bool        { return i.node.mode.IsDir() }
func (i info) Sys() any           { return &syscall.Stat_t{Dev: i.dataset, Ino: i.node.object} }

// entry is an entry of a directory.
type entry struct {
	fsys   *FS
	name   string
	object uint64
	mode   uint64 // only the type; 0 when the directory does not have it
}

func (e *entry) Name() string { return e.name }
func (e *entry) IsDir() bool  { return e.Type().IsDir() }
func (e *entry) Info() (fs.FileInfo, error) {
	n, err := e.fsys.node(e.object)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: e.name, Err: err}
	}
	return e.fsys.info(n, e.name), nil
}
func (e *entry) Type() fs.FileMode {
	if e.mode != 0 {
		return fileMode(e.mode).Type()
	}
	n, err := e.fsys.node(e.object)
	if err != nil {
		return fs.ModeIrregular
	}
	return n.mode.Type()
}
func (e *entry) String() string { return fs.FormatDirEntry(e) }

// directory is an open directory.
type directory struct {
	fsys *FS
	node *node
	info info
	list []fs.DirEntry
	read bool
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *directory) Close() error               { return nil }
func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: syscall.EISDIR}
}
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.fsys.list(d.node, d.info.name)
		if err != nil {
			return nil, err
		}
		d.list, d.read = list, true
	}
	count := len(d.list)
	if n > 0 {
		if count == 0 {
			return nil, io.EOF
		}
		count = min(n, count)
	}
	list := d.list[:count]
	d.list = d.list[count:]
	return list, nil
}

// file is an open regular file.
type file struct {
	pool   *Pool
	node   *node
	info   info
	at     int64
	closed atomic.Bool
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error {
	if f.closed.Swap(true) {
		return fs.ErrClosed
	}
	return nil
}

func (f *file) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.at)
	f.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	fail := func(err error) (int, error) {
		return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: err}
	}
	switch {
	case f.closed.Load():
		return fail(fs.ErrClosed)
	case off < 0:
		return fail(fs.ErrInvalid)
	case len(b) == 0:
		return 0, nil
	case off >= f.node.size:
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), f.node.size-off))
	if err := f.pool.readAt(f.node.dnode, b[:n], uint64(off)); err != nil {
		return fail(err)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Seek implements [io.Seeker].
func (f *file) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.at
	case io.SeekEnd:
		if off > math.MaxInt64-f.node.size {
			off = -1
		} else {
			off += f.node.size
		}
	}
	if off < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, &fs.PathError{Op: "seek", Path: f.info.name, Err: fs.ErrInvalid}
	}
	f.at = off
	return off, nil
}
