package device

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a mounted filesystem or a directory as an [fs.FS] that cannot be left:
// a symlink, absolute or with "..", is resolved by the kernel with the root
// taken for "/", as it would be on the system that is there.
//
// Opened regular files are [*os.File], so that their descriptors can be handed
// to kexec_file_load. Nothing but regular files and directories can be opened: a
// FIFO or a device node on a hostile stick is refused without being touched.
//
// A Root may be used by several goroutines. Files stay usable after Close, and
// keep a mounted filesystem mounted.
type Root struct {
	dir     *os.File // O_PATH
	release func()   // what to undo after dir is closed; may be nil
}

var (
	_ fs.ReadDirFS  = (*Root)(nil)
	_ fs.StatFS     = (*Root)(nil)
	_ fs.ReadLinkFS = (*Root)(nil)
)

// maxDirEntries is how many entries of a directory are read.
const maxDirEntries = 1 << 16

// Directory opens a directory of the running system as a Root.
func Directory(name string) (*Root, error) {
	f, err := os.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the directory %s: %w", name, reason(err))
	}
	return &Root{dir: f}, nil
}

// Close returns up the root, and with it the mount.
func (r *Root) Close() error {
	err := r.dir.Close()
	if err == nil && r.release != nil {
		r.release()
	}
	return err
}

// Open opens a regular file or a directory for reading.
func (r *Root) Open(name string) (fs.File, error) {
	// Its type is checked first: opening some device nodes acts already.
	st, err := r.stat("open", name, 0)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && !st.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	f, err := r.openat("open", name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return &directory{f, r, name}, nil
	}
	return f, nil
}

var errNotRegular = errors.New("neither a regular file nor a directory")

// Stat follows symlinks inside the root.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat("stat", name, 0) }

// Lstat does not follow a symlink in the last element.
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	return r.stat("lstat", name, unix.O_NOFOLLOW)
}

// ReadLink returns the target of a symlink as it is written there, which may be
// absolute or hold "..".
func (r *Root) ReadLink(name string) (string, error) {
	f, err := r.openat("readlink", name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	var n int
	if cerr := control(f, func(fd int) { n, err = unix.Readlinkat(fd, "", buf) }); cerr != nil {
		err = cerr
	}
	switch {
	case errors.Is(err, unix.ENOENT): // how readlinkat reports what is not a symlink
		err = fs.ErrInvalid
	case err == nil && n == len(buf):
		err = unix.ENAMETOOLONG
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// ReadDir lists a directory, sorted by name.
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dir, ok := f.(*directory)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: unix.ENOTDIR}
	}
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func (r *Root) stat(op, name string, flags int) (fs.FileInfo, error) {
	f, err := r.openat(op, name, unix.O_PATH|flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: reason(err)}
	}
	return named{st, path.Base(name)}, nil
}

// openat opens name below the root.
func (r *Root) openat(op, name string, flags int) (*os.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	var fd int
	var err error
	cerr := control(r.dir, func(dir int) {
		for range 64 {
			fd, err = unix.Openat2(dir, name, &how)
			// EAGAIN: something was renamed while ".." was being resolved.
			if err != unix.EINTR && err != unix.EAGAIN {
				return
			}
		}
	})
	switch {
	case cerr != nil:
		err = fs.ErrClosed
	case err == unix.ENOSYS:
		err = fmt.Errorf("openat2: %w (Linux 5.6 or newer is needed)", err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// named is a FileInfo under the name that was asked for.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// directory is an open directory. The entries that os.File returns look their FileInfo
// up by path from the working directory, so they are wrapped.
type directory struct {
	*os.File
	root *Root
	name string
}

func (f *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	limit := maxDirEntries + 1
	if n > 0 {
		limit = min(n, maxDirEntries)
	}
	entries, err := f.File.ReadDir(limit)
	for i, e := range entries {
		entries[i] = entry{e, f.root, path.Join(f.name, e.Name())}
	}
	if n > 0 {
		return entries, err
	}
	if err == io.EOF {
		err = nil
	}
	if len(entries) > maxDirEntries {
		err = &fs.PathError{Op: "readdir", Path: f.name, Err: fmt.Errorf("more than %d entries", maxDirEntries)}
	}
	return entries, err
}

type entry struct {
	fs.DirEntry
	root *Root
	path string
}

func (e entry) Info() (fs.FileInfo, error) { return e.root.Lstat(e.path) }
