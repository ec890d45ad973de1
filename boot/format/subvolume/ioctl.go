package subvolume

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/btrfs.h and btrfs_tree.h.
const (
	getFlags   = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS, _IOR(0x94, 25, __u64)
	treeSearch = 0xd0009411 // BTRFS_IOC_TREE_SEARCH, _IOWR(0x94, 17, struct of 4096 bytes)
	inoLookup  = 0xd0009412 // BTRFS_IOC_INO_LOOKUP, _IOWR(0x94, 18, struct of 4096 bytes)

	readOnly = 1 << 1 // BTRFS_SUBVOL_RDONLY

	rootTree    = 1   // BTRFS_ROOT_TREE_OBJECTID
	fsTree      = 5   // BTRFS_FS_TREE_OBJECTID: the volume's own root
	rootTreeDir = 6   // BTRFS_ROOT_TREE_DIR_OBJECTID
	dirItem     = 84  // BTRFS_DIR_ITEM_KEY
	rootBackref = 144 // BTRFS_ROOT_BACKREF_KEY
)

// searchArgs is struct btrfs_ioctl_search_args.
type searchArgs struct {
	tree                   uint64
	minObject, maxObject   uint64
	minOffset, maxOffset   uint64
	minTransid, maxTransid uint64
	minType, maxType       uint32
	items, _               uint32
	_, _, _, _             uint64
	buf                    [3992]byte
}

// lookupArgs is struct btrfs_ioctl_ino_lookup_args.
type lookupArgs struct {
	tree, object uint64
	name         [4080]byte
}

var errNoDescriptor = errors.New("the filesystem has no file descriptor to query")

// ioctl asks btrfs about the directory dir.
func (w *walk) ioctl(dir string, request uintptr, arg unsafe.Pointer) error {
	f, err := w.fsys.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	opened, ok := f.(syscall.Conn)
	if !ok {
		return errNoDescriptor
	}
	conn, err := opened.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	if err := conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg))
	}); err != nil {
		return err
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// isReadOnly reports whether the subvolume dir has the flag. It is false when the
// filesystem returns no descriptor to ask by.
func (w *walk) isReadOnly(dir string) bool {
	var flags uint64
	return w.ioctl(dir, getFlags, unsafe.Pointer(&flags)) == nil && flags&readOnly != 0
}

// search returns the first item of the root tree with that object and type, and
// the offset in its key.
func (w *walk) search(object uint64, kind uint32) (item []byte, offset uint64, err error) {
	const most = ^uint64(0)
	a := searchArgs{tree: rootTree, minObject: object, maxObject: object, maxOffset: most, maxTransid: most, minType: kind, maxType: kind, items: 1}
	if err := w.ioctl(".", treeSearch, unsafe.Pointer(&a)); err != nil {
		return nil, 0, err
	}
	const header = 32 // struct btrfs_ioctl_search_header
	size := binary.NativeEndian.Uint32(a.buf[28:])
	if a.items == 0 || size > uint32(len(a.buf)-header) {
		return nil, 0, fs.ErrNotExist
	}
	return a.buf[header : header+size], binary.NativeEndian.Uint64(a.buf[16:]), nil
}

// defaultSubvolume returns the path of the subvolume that is mounted when none is
// named; "" when that is the volume's own root, or cannot be found out, as
// without the rights of root.
func (w *walk) defaultSubvolume() string {
	// struct btrfs_dir_item begins with the key that it leads to.
	item, _, err := w.search(rootTreeDir, dirItem)
	if err != nil || len(item) < 30 || !strings.HasPrefix(string(item[30:]), "default") {
		return ""
	}
	dir := ""
	id := binary.LittleEndian.Uint64(item)
	for range 16 { // subvolumes in subvolumes
		if id == fsTree {
			return dir
		}
		// struct btrfs_root_ref: the directory in its parent, a number, and its name.
		item, parent, err := w.search(id, rootBackref)
		if err != nil || len(item) < 18 || len(item) < 18+int(binary.LittleEndian.Uint16(item[16:])) {
			return ""
		}
		name := string(item[18 : 18+binary.LittleEndian.Uint16(item[16:])])
		a := lookupArgs{tree: parent, object: binary.LittleEndian.Uint64(item)}
		if err := w.ioctl(".", inoLookup, unsafe.Pointer(&a)); err != nil {
			return ""
		}
		in, _, _ := strings.Cut(string(a.name[:]), "\x00")
		dir = path.Join(in, name, dir)
		if !fs.ValidPath(dir) {
			return ""
		}
		id = parent
	}
	return ""
}
