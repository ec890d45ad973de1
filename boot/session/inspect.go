package session

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/sysinfo"
	"github.com/alpboot/alpboot/boot/version"
)

// inspect reads what kind of files an entry has, and what its kernel may lack.
func (s *session) inspect(e boot.Entry) {
	scan, volumes, found, tpm := s.view.scan, s.view.volumes(), s.view.entry(e), s.measure
	s.wg.Go(func() {
		msg := menu.InspectedMsg{ID: e.ID, Notes: kernel.Lacks(s.Root, scan.FS(e.Volume), e, volumes)}
		if about := s.trust.about(s.ctx, scan, found, tpm); about != "" {
			msg.Notes = append(msg.Notes, about)
		}
		if e.Kernel != "" {
			msg.Files = append(msg.Files, inspectFile(scan, e.Volume, e.Kernel, aboutKernel))
		}
		for _, name := range e.Initrds {
			msg.Files = append(msg.Files, inspectFile(scan, e.Volume, name, aboutInitrd))
		}
		s.send(msg)
	})
}

// inspectFile returns what a file is; about is what it is as a kernel or initrd.
func inspectFile(scan *discover.Scan, v boot.Volume, name string, about func(r readerAt, size int64) (string, error)) menu.File {
	f := menu.File{Path: name, Size: -1}
	file, err := scan.OpenFile(v, name)
	if err == nil {
		defer file.Close()
		var st fs.FileInfo
		if st, err = file.Stat(); err == nil {
			f.Size, f.Made = st.Size(), st.ModTime()
			f.About, err = about(file, st.Size())
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist // in fewer words
	}
	if err != nil {
		f.Problem = err.Error()
	}
	return f
}

type readerAt interface {
	ReadAt(p []byte, off int64) (n int, err error)
}

func aboutKernel(r readerAt, size int64) (string, error) {
	info, err := kernel.Identify(r, size)
	text := info.Format
	if info.Arch != "" {
		text += " for " + info.Arch
	}
	if info.Version != "" {
		text += ", Linux " + info.Version
	}
	return text, err
}

func aboutInitrd(r readerAt, size int64) (string, error) { return kernel.IdentifyInitrd(r, size) }

// systemLines returns a function that returns what there is to know about the
// machine, and which settings are not the built-in ones.
func (s *session) systemLines() func() []string {
	asked, memory, trusted := s.asked, "A default is remembered in "+s.memory.store.Where(), s.trust.what(kexec.Lockdown(s.Root))
	return func() []string {
		lines := sysinfo.Lines(s.Root, slices.Concat([]string{"alpboot " + version.String(), memory}, s.pcrLines())...)
		if trusted != "" {
			lines = append(lines, "What starts: "+trusted)
		}
		head := false
		for _, v := range asked.Values() {
			if v.Source == (settings.Source{}) {
				continue // built in
			}
			if !head {
				head = true
				lines = append(lines, "Settings:")
			}
			lines = append(lines, fmt.Sprintf("%s (%s)", v, v.Source))
		}
		return lines
	}
}

// complete finds the paths on a volume that begin as what was typed.
func (s *session) complete(a menu.Complete) {
	fsys := s.view.scan.FS(a.Volume)
	s.wg.Go(func() { s.send(menu.CompletionMsg{Seq: a.Seq, Names: completions(fsys, a.Prefix)}) })
}

// completions returns the paths on fsys that begin with prefix, in order;
// directories end in a slash.
func completions(fsys fs.FS, prefix string) []string {
	const most = 1000 // more than anybody reads
	dir, base := path.Split(prefix)
	where := path.Clean("./" + dir)
	if !fs.ValidPath(where) {
		return nil
	}
	entries, _ := fs.ReadDir(fsys, where)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || len(names) == most {
			continue
		}
		name := path.Join(where, e.Name())
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			st, err := fs.Stat(fsys, name)
			isDir = err == nil && st.IsDir()
		}
		if isDir {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
