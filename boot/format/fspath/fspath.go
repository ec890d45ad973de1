// Package fspath turns what configuration files call a file into paths as
// [fs.FS] takes them: with slashes, from the root of the volume, and never out
// of it.
package fspath

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Inside returns name, with whatever slashes and dots, as a path from the root of
// a volume that cannot leave it; "." for the root itself.
func Inside(name string) string {
	if name = path.Clean("/" + name)[1:]; name == "" {
		return "."
	}
	return name
}

// InsideDOS is [Inside] for names in which a backslash is a slash, as loaders
// that start from a FAT take them.
func InsideDOS(name string) string { return Inside(strings.ReplaceAll(name, `\`, "/")) }

// maxLinks is how many symlinks one path may lead through, as in Linux.
const maxLinks = 40

// ErrTooMany is what [Resolve] returns when it may go no further.
var ErrTooMany = errors.New("too many files are looked for on this volume")

// Resolve returns the path of an existing file free of symlinks, so that one file
// has one path. They are resolved inside fsys, absolute ones from its root, as
// if it were mounted there: [fs.FS] leaves open whether links may lead out, and
// os.DirFS lets them. fsys needs to be an [fs.ReadLinkFS]; else name is taken
// as it is.
//
// Before each look into fsys step is called, so that all paths of a
// configuration can share a limit; when it returns false the error is
// [ErrTooMany].
func Resolve(fsys fs.FS, name string, step func() bool) (string, error) {
	todo := strings.Split(name, "/")
	done := "."
	links := 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done) // of "." it is "." again: the root holds
			continue
		}
		next := path.Join(done, part)
		if !step() {
			return "", ErrTooMany
		}
		st, err := fs.Lstat(fsys, next)
		if err != nil {
			return "", err
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
		}
		target, err := fs.ReadLink(fsys, next)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// maxFound is how many directories or files [Directories] and [Files] return.
const maxFound = 100

// Directories returns the directories that rel names below the directory dir, in
// whatever case, as a FAT takes names; "*" is any directory, and "" is dir
// itself. Links are followed as [Resolve] does, and no directory is returned
// twice. A directory that cannot be read holds nothing. step is that of
// [Resolve]; nil sets no limit.
func Directories(fsys fs.FS, dir, rel string, step func() bool) []string {
	found := []string{dir}
	for name := range strings.SplitSeq(rel, "/") {
		if name != "" {
			found = below(fsys, found, name, true, step)
		}
	}
	return found
}

// Files returns the files that are not directories which rel names below dir,
// as [Directories] does.
func Files(fsys fs.FS, dir, rel string, step func() bool) []string {
	i := strings.LastIndexByte(rel, '/')
	return below(fsys, Directories(fsys, dir, rel[:max(0, i)], step), rel[i+1:], false, step)
}

// below returns what name names in the directories dirs.
func below(fsys fs.FS, dirs []string, name string, isDir bool, step func() bool) []string {
	if step == nil {
		step = func() bool { return true }
	}
	var found []string
	for _, dir := range dirs {
		list, _ := fs.ReadDir(fsys, dir) // part of a damaged directory is better than nothing
		for _, d := range list {
			if name != "*" && !strings.EqualFold(d.Name(), name) || len(found) == maxFound {
				continue
			}
			p, mode := path.Join(dir, d.Name()), d.Type()
			if mode&fs.ModeSymlink != 0 {
				var err error
				if p, err = Resolve(fsys, p, step); err != nil {
					continue
				}
				st, err := fs.Stat(fsys, p)
				if err != nil {
					continue
				}
				mode = st.Mode()
			}
			if mode.IsDir() == isDir && !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	return found
}
