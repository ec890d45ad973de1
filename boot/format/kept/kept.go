// Package kept finds the kernels that were kept when an upgrade replaced them:
// the last release of each flavour that came up, which package keep puts into
// /boot/alpboot/RELEASE. Alpine's packages keep none.
//
// Each such directory holds the kernel, the initrds and the file entry, a
// [Record]. The names are not those of /boot: update-extlinux searches it for
// vmlinuz* in all depths, and would list a kept kernel under the name of the
// installed one.
package kept

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/subvolume"
	"github.com/alpboot/alpboot/boot/version"
)

const (
	formatName = "kept"

	// Dir is the directory below the one with the kernels.
	Dir = "alpboot"
	// Kernel, Initramfs and File are names in the directory of a release.
	Kernel, Initramfs, File = "kernel", "initramfs", "entry"
	// Parameter is on the command line of a kernel that was kept.
	Parameter = "alpboot.previous"

	maxRecord   = 16 << 10 // bytes
	maxReleases = 32       // directories that are read
	maxInitrds  = 8
)

// Record describes what was kept of a release. It is the file [File] beside it.
type Record struct {
	Release string   // as uname -r prints it
	Order   int      // of two of one flavour, the one with the higher is the later
	Initrds []string // names in the same directory, in their order
	Cmdline string   // with which it came up
}

// String returns the record as text, for [Parse].
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "release %s\norder %d\n", r.Release, r.Order)
	for _, name := range r.Initrds {
		fmt.Fprintf(&b, "initrd %s\n", name)
	}
	fmt.Fprintf(&b, "options %s\n", r.Cmdline)
	return b.String()
}

// ParseRecord reads the text of a record.
func ParseRecord(text string) (r Record, err error) {
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "release":
			r.Release = rest
		case "order":
			r.Order, err = strconv.Atoi(rest)
			if err != nil {
				return Record{}, fmt.Errorf("the order %q is not a number", rest)
			}
		case "initrd":
			if !isName(rest) || len(r.Initrds) == maxInitrds {
				return Record{}, fmt.Errorf("the initrd %q is not a file beside it, or is one too many", rest)
			}
			r.Initrds = append(r.Initrds, rest)
		case "options":
			r.Cmdline = strings.TrimSpace(rest)
		}
	}
	if !isName(r.Release) {
		return Record{}, fmt.Errorf("the release %q is not one", r.Release)
	}
	return r, nil
}

// isName reports whether s is the name of a file, and is shown as such.
func isName(s string) bool {
	return s != "" && s[0] != '.' && len(s) < 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-~") == ""
}

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: formatName, Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys, vol)
	}}
}

// Parse returns an entry for the newest kept release of each flavour below /alpboot
// and /boot/alpboot of the volume whose root is fsys, and on btrfs of its
// subvolumes. What is the same as the kernel and the initramfs that are
// installed is left out.
func Parse(fsys fs.FS, vol boot.Volume) (boot.Listing, error) { return parse(fsys, vol, false), nil }

// Hidden returns the entries that Parse leaves out: those that it will return once
// an upgrade has replaced what is installed.
func Hidden(fsys fs.FS, vol boot.Volume) []boot.Entry { return parse(fsys, vol, true).Entries }

// parse returns what is the same as what is installed, or else the rest.
func parse(fsys fs.FS, vol boot.Volume, same bool) (l boot.Listing) {
	roots, _ := subvolume.Roots(fsys, vol)
	for _, root := range roots {
		if root.Snapshot { // the snapshot itself is an older system
			continue
		}
		list, _ := fs.ReadDir(fsys, root.Dir) // what cannot be read holds nothing
		for _, d := range list {
			switch {
			case !d.IsDir(): // also the link boot/boot
			case d.Name() == Dir:
				l = read(fsys, path.Join(root.Dir, Dir), l, same)
			case d.Name() == "boot":
				l = read(fsys, path.Join(root.Dir, "boot", Dir), l, same)
			}
		}
	}
	return l
}

// read adds to l what is kept in dir, and is the same as what is installed, or is not.
func read(fsys fs.FS, dir string, l boot.Listing, same bool) boot.Listing {
	list, _ := fs.ReadDir(fsys, dir) // nearly always there is none
	type found struct {
		Record
		dir string
	}
	var newest []found // one of a flavour
	for _, d := range list[:min(len(list), maxReleases)] {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") { // not complete
			continue
		}
		at := path.Join(dir, d.Name())
		r, err := readRecord(fsys, at)
		if err != nil {
			l.Notes = append(l.Notes, boot.Note{Source: boot.Source{File: path.Join(at, File)}, Text: "The kept kernel cannot be used: " + err.Error() + "."})
			continue
		}
		i := slices.IndexFunc(newest, func(f found) bool { return version.Flavour(f.Release) == version.Flavour(r.Release) })
		switch {
		case i < 0:
			newest = append(newest, found{r, at})
		case r.Order > newest[i].Order:
			newest[i] = found{r, at}
		}
	}
	for _, f := range newest {
		if e := f.entry(f.dir); installed(fsys, e) == same {
			l.Entries = append(l.Entries, e)
		}
	}
	return l
}

func readRecord(fsys fs.FS, dir string) (Record, error) {
	b, err := boot.ReadFile(fsys, path.Join(dir, File), maxRecord)
	if err != nil {
		return Record{}, err
	}
	return ParseRecord(string(b))
}

// entry returns the entry for a record in dir.
func (r Record) entry(dir string) boot.Entry {
	e := boot.Entry{
		Title:    "Linux " + version.Flavour(r.Release) + ", previous",
		Version:  r.Release, // the images of arm64 do not have it
		Format:   formatName,
		Source:   boot.Source{File: path.Join(dir, File)},
		Kernel:   path.Join(dir, Kernel),
		Previous: true,
	}
	for _, name := range r.Initrds {
		e.Initrds = append(e.Initrds, path.Join(dir, name))
	}
	if r.Cmdline == "" {
		e.Problem = "Its command line was not kept."
		return e
	}
	e.Cmdline = r.Cmdline + " " + Parameter
	return e
}

// Replaced returns the path of the kernel that is installed in the place of one
// that was kept; "" for another entry.
func Replaced(e boot.Entry) string {
	if e.Format != formatName {
		return ""
	}
	dir := path.Dir(e.Kernel)
	release, _, _ := strings.Cut(path.Base(dir), "~")
	return path.Join(path.Dir(path.Dir(dir)), "vmlinuz-"+version.Flavour(release))
}

// installed reports whether what was kept is what is installed: booting it would
// be no different.
func installed(fsys fs.FS, e boot.Entry) bool {
	kernel := Replaced(e)
	if !Same(fsys, e.Kernel, kernel) {
		return false
	}
	initramfs := path.Join(path.Dir(kernel), "initramfs-"+strings.TrimPrefix(path.Base(kernel), "vmlinuz-"))
	return len(e.Initrds) > 0 && Same(fsys, e.Initrds[len(e.Initrds)-1], initramfs)
}

// Same reports whether two files are one and its copy: by size and time, which
// a copy keeps, on FAT to two seconds.
func Same(fsys fs.FS, a, b string) bool {
	x, err1 := fs.Stat(fsys, a)
	y, err2 := fs.Stat(fsys, b)
	return err1 == nil && err2 == nil && x.Size() == y.Size() && x.ModTime().Sub(y.ModTime()).Abs() <= 2*time.Second
}
