package discover

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode"
)

// view is a filesystem that remembers the directories that were listed and what was
// reported of a file. Formats look for the same few files in the same few directories,
// most of which are not there: what the listing of a directory shows to be missing
// is not asked for. Everything else goes to the filesystem below. It is for a
// filesystem that stays as it is while it is read.
//
// It may be used by several goroutines.
type view struct {
	fs.FS
	users  sync.WaitGroup // calls that use the filesystem
	mu     sync.Mutex
	closed bool // no call may begin any more
	dirs   map[string]listed
	infos  map[question]fs.FileInfo
	left   int // how many more names are kept
}

type question struct{ op, name string }

// listed is a directory as it was listed.
type listed struct {
	entries []fs.DirEntry
	names   map[string]fs.FileMode // types by names in lower case; nil when a name that is not here may be there all the same
}

// keptNames is how many names are kept of one filesystem: more than what is
// in the directories that one boots from, and at most some megabytes.
const keptNames = 4096

var (
	_ fs.ReadDirFS  = (*view)(nil)
	_ fs.StatFS     = (*view)(nil)
	_ fs.ReadLinkFS = (*view)(nil)
)

func newView(fsys fs.FS) *view {
	return &view{FS: fsys, dirs: map[string]listed{}, infos: map[question]fs.FileInfo{}, left: keptNames}
}

// enter allows a use of the filesystem until leave is called. The error is
// [fs.ErrClosed].
func (v *view) enter() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return fs.ErrClosed
	}
	v.users.Add(1)
	return nil
}

func (v *view) leave() { v.users.Done() }

// close waits until nobody uses the filesystem, and unmounts it.
func (v *view) close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.users.Wait()
	if c, ok := v.FS.(io.Closer); ok {
		c.Close()
	}
}

func (v *view) Open(name string) (fs.File, error) {
	if v.missing(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	if err := v.enter(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer v.leave()
	return v.FS.Open(name)
}

func (v *view) Stat(name string) (fs.FileInfo, error) { return v.stat("stat", fs.Stat, name) }

func (v *view) Lstat(name string) (fs.FileInfo, error) { return v.stat("lstat", fs.Lstat, name) }

func (v *view) stat(op string, ask func(fs.FS, string) (fs.FileInfo, error), name string) (fs.FileInfo, error) {
	k := question{op, name}
	v.mu.Lock()
	st := v.infos[k]
	v.mu.Unlock()
	if st != nil {
		return st, nil
	}
	if v.missing(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOENT}
	}
	if err := v.enter(); err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	defer v.leave()
	st, err := ask(v.FS, name)
	if err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.left > 0 {
			v.left--
			v.infos[k] = st
		}
	}
	return st, err
}

func (v *view) ReadLink(name string) (string, error) {
	if err := v.enter(); err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	defer v.leave()
	return fs.ReadLink(v.FS, name)
}

func (v *view) ReadDir(name string) ([]fs.DirEntry, error) {
	v.mu.Lock()
	list, ok := v.dirs[name]
	v.mu.Unlock()
	if ok {
		return slices.Clone(list.entries), nil
	}
	if v.missing(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	if err := v.enter(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer v.leave()
	entries, err := fs.ReadDir(v.FS, name)
	if err == nil {
		v.keep(name, entries)
	}
	return entries, err
}

func (v *view) keep(name string, entries []fs.DirEntry) {
	list := listed{entries: slices.Clone(entries), names: make(map[string]fs.FileMode, len(entries))}
	for _, e := range entries {
		if !isASCII(e.Name()) {
			list.names = nil
			break
		}
		list.names[strings.ToLower(e.Name())] |= e.Type()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.dirs[name]; !ok && len(entries) < v.left {
		v.left -= len(entries) + 1
		v.dirs[name] = list
	}
}

// plain reports whether name can name nothing but a file that is listed under it,
// in upper or lower case: some filesystems take these for the same. Not so on
// FAT, where a long name has a short one with a tilde besides and dots at the
// end do not count, and with other letters, of which there are several spellings.
func plain(name string) bool {
	return isASCII(name) && !strings.Contains(name, "~") && !strings.HasSuffix(name, ".")
}

func isASCII(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII })
}

// missing reports whether the directories that have been listed show that there is no
// file of that name. Where a path leads through a symlink they do not.
func (v *view) missing(name string) bool {
	if name == "." || !fs.ValidPath(name) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	dir := "."
	for part := range strings.SplitSeq(name, "/") {
		list, ok := v.dirs[dir]
		if !ok || list.names == nil || !plain(part) {
			return false
		}
		kind, ok := list.names[strings.ToLower(part)]
		if !ok {
			return true
		}
		if kind != fs.ModeDir {
			return false
		}
		dir = path.Join(dir, part)
	}
	return false
}
