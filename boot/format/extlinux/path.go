package extlinux

import (
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot/format/fspath"
)

// resolve returns the path of an existing file free of symlinks.
func (r *reader) resolve(name string) (string, error) {
	return fspath.Resolve(r.fsys, name, r.step)
}

// step counts a look into the volume, and reports whether there may be more.
func (r *reader) step() bool {
	r.stepsLeft--
	return r.stepsLeft >= 0
}

// locate returns the path of the file that the configuration calls name. dir is
// the directory from which relative paths count; file is where the name stands.
// The symlinks of its directory are resolved, so that one file has one path; a
// file that does not exist keeps its path.
func (r *reader) locate(name, dir, file string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	name, fromRoot := strings.CutPrefix(name, "::") // to syslinux: of this volume
	var tries []string
	if fromRoot || strings.HasPrefix(name, "/") {
		// First as it stands, then below each directory that the configuration
		// is in, outermost first.
		up := ""
		for i, d := range append([]string{""}, strings.Split(path.Dir(file), "/")...) {
			if up = path.Join(up, d); i <= maxUp {
				tries = append(tries, fspath.Inside(path.Join(up, name)))
			}
		}
	} else {
		tries = []string{fspath.Inside(path.Join(dir, name)), fspath.Inside(path.Join(path.Dir(file), name))}
	}
	for _, t := range tries {
		dir, err := r.resolve(path.Dir(t))
		if err != nil {
			continue
		}
		p := path.Join(dir, path.Base(t))
		// A link is enough: what it points to is for those who open it.
		if _, err := fs.Lstat(r.fsys, p); err == nil {
			return p
		}
	}
	return tries[0]
}
