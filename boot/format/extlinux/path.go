package extlinux

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// canonical gives the path of an existing file free of symlinks. They are
// resolved inside fsys, absolute ones from its root, as if it were mounted
// there. It needs an fs.ReadLinkFS; else name is taken as it is.
//
// fs.FS leaves open whether links may lead out of it, and os.DirFS lets them.
func (r *reader) canonical(name string) (string, error) {
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
		if r.stepsLeft--; r.stepsLeft < 0 {
			return "", errors.New("too many paths on this volume have been followed")
		}
		st, err := fs.Lstat(r.fsys, next)
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
		target, err := fs.ReadLink(r.fsys, next)
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

// locate gives the path of the file that the configuration calls name. dir is
// the folder from which relative paths count; file is where the name stands.
// The symlinks of its folder are resolved, so that one file has one path; a
// file that does not exist keeps the path it was given.
func (r *reader) locate(name, dir, file string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	name, fromRoot := strings.CutPrefix(name, "::") // syslinux's way to say: of this volume
	var tries []string
	if fromRoot || strings.HasPrefix(name, "/") {
		// First as it is said, then below each folder that the configuration
		// lies in, outermost first.
		up := ""
		for i, d := range append([]string{""}, strings.Split(path.Dir(file), "/")...) {
			if up = path.Join(up, d); i <= maxUp {
				tries = append(tries, inside(path.Join(up, name)))
			}
		}
	} else {
		tries = []string{inside(path.Join(dir, name)), inside(path.Join(path.Dir(file), name))}
	}
	for _, t := range tries {
		folder, err := r.canonical(path.Dir(t))
		if err != nil {
			continue
		}
		p := path.Join(folder, path.Base(t))
		// A link is enough: what it points to is for those who open it.
		if _, err := fs.Lstat(r.fsys, p); err == nil {
			return p
		}
	}
	return tries[0]
}

// inside makes p a path as fs.FS takes it, which cannot leave the root.
func inside(p string) string {
	if p = path.Clean("/" + p)[1:]; p == "" {
		return "."
	}
	return p
}
