// Package extlinux reads the configuration files of syslinux, extlinux and
// isolinux, and those that u-boot reads under the name extlinux.conf.
//
// The language is the one of syslinux 6 (doc/syslinux.txt, doc/menu.txt and
// com32/elflink/ldlinux/readconfig.c there) with u-boot's additions
// (boot/pxe_utils.c). What only draws the menu is skipped. Entries that hand
// over to the firmware, to a boot sector or to a syslinux module are listed
// with a Problem; those that reboot, power off or test memory are left out.
// Passwords are the Lock of an entry. Device trees and SYSAPPEND are not acted on, and mentioned in a
// note. KASLRSEED needs nothing: kexec passes new random numbers to each kernel.
//
// A FIT image (KERNEL image.itb#conf) is named, and not taken apart: what is in it
// may be signed, compressed in any of six ways and for another board than its
// configuration says, and a reader of device trees adds 20 kB to every image for
// what distributions do not install. Its kernel and initrd can lie beside it.
package extlinux

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFile    = 1 << 20 // bytes of one file
	maxTotal   = 8 << 20 // bytes of all files, included ones each time
	maxFiles   = 256     // files, included ones each time
	maxDepth   = 16      // INCLUDE and CONFIG inside each other, as in syslinux
	maxLine    = 4096    // bytes of a line, as in syslinux
	maxLabels  = 1000    // labels and submenus of all files
	maxInitrds = 32      // of one entry
	maxSteps   = 1 << 17 // parts of all paths that are followed
	maxUp      = 8       // directories below which an absolute path is looked for
)

// directories are the places of configuration files. Names are compared without
// regard to case, since FAT and ISO9660 have none.
var dirs = [...]string{
	"",
	"boot",
	"extlinux",
	"boot/extlinux",
	"syslinux",
	"boot/syslinux",
	"isolinux",
	"boot/isolinux",
	"efi/syslinux",
	"efi/boot",
	"boot/efi/syslinux",
}

// fileNames are the names of configuration files in these directories.
var fileNames = [...]string{"extlinux.conf", "syslinux.cfg", "isolinux.cfg", "syslx64.cfg"}

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: "extlinux", Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys, vol)
	}}
}

// Parse reads all configuration files on the volume whose root is fsys. One
// that can be reached in several ways, as through Alpine's link /boot/boot, is
// read once if fsys is an [fs.ReadLinkFS]; symlinks are followed inside the
// volume only. Entries that are equal in kernel, initrds, command line,
// title and submenu are listed once.
//
// Kernel and initrd paths are those of the configuration, with the directory's
// symlinks resolved; whether the files exist is not checked, except that an
// absolute path which does not is looked for below the directories that the
// configuration is in: u-boot's configuration on Alpine has /vmlinuz-lts
// also when that is /boot/vmlinuz-lts.
//
// At most one entry of a file is its default: the one that ONTIMEOUT, DEFAULT
// or MENU DEFAULT names, in this order. Timeout is TIMEOUT, or TOTALTIMEOUT if
// that is shorter; TIMEOUT 0 means to wait for ever.
//
// The error is about files that could not be read, when nothing else was
// found; it wraps [boot.ErrTooLarge] for one of more than 1 MiB.
func Parse(fsys fs.FS, vol boot.Volume) (boot.Listing, error) {
	r := &reader{fsys: fsys, bytesLeft: maxTotal, filesLeft: maxFiles, labelsLeft: maxLabels, stepsLeft: maxSteps, configs: map[string]bool{}}
	files, err := r.find(vol)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	for _, f := range files {
		r.configs[f] = true
	}
	var entries []boot.Entry
	for _, f := range files {
		entries = append(entries, r.entries(f)...)
	}
	subvolume.Mark(entries, vol)
	return r.notes.Listing(boot.Unique(entries, boot.Entry.Key), r.errs...)
}

// reader is one call of Parse: the volume, and what may still be taken from it.
type reader struct {
	fsys                 fs.FS
	bytesLeft, filesLeft int
	labelsLeft           int             // negative once something had to be left out
	configs              map[string]bool // files that are, were or will be read on their own
	stepsLeft            int
	notes                boot.Notes
	errs                 []error
}

// find returns the paths of all configuration files on the volume, free of
// symlinks, each once.
func (r *reader) find(vol boot.Volume) ([]string, error) {
	var files []string
	var errs []error
	searched := map[string]bool{}
	roots, _ := subvolume.Roots(r.fsys, vol)
	for _, root := range roots {
		if root.Snapshot {
			continue // its configuration is an old copy, and names what is current
		}
		for _, place := range dirs {
			for _, dir := range fspath.Directories(r.fsys, root.Dir, place, r.step) {
				if searched[dir] {
					continue
				}
				searched[dir] = true
				found, err := r.configsIn(dir)
				if err != nil {
					errs = append(errs, fmt.Errorf("the directory /%s cannot be read: %w", strings.TrimPrefix(dir, "."), err))
				}
				for _, f := range found {
					if !slices.Contains(files, f) {
						files = append(files, f)
					}
				}
			}
		}
	}
	return files, errors.Join(errs...)
}

// configsIn returns the configuration files in the directory dir.
func (r *reader) configsIn(dir string) ([]string, error) {
	list, err := fs.ReadDir(r.fsys, dir)
	var found []string
	for _, name := range fileNames {
		for _, e := range list {
			if !strings.EqualFold(e.Name(), name) {
				continue
			}
			p, err := r.resolve(path.Join(dir, e.Name()))
			if err != nil {
				r.notes.Add(boot.Source{File: path.Join(dir, e.Name())}, "The link leads nowhere.")
				continue
			}
			if st, err := fs.Stat(r.fsys, p); err == nil && st.IsDir() {
				continue
			}
			found = append(found, p)
		}
	}
	if len(list) > 0 {
		err = nil // part of a damaged directory is better than nothing
	}
	return found, err
}

// entries returns the entries of the configuration file and of all that it
// includes.
func (r *reader) entries(file string) []boot.Entry {
	before := len(r.errs)
	p := newParser(r, path.Dir(file))
	p.file(file)
	p.endLabel()
	entries := p.list(nil)
	if len(entries) == 0 && len(r.errs) == before && p.labels == 0 {
		r.notes.Add(boot.Source{File: file}, "The file holds no entry.")
	}
	return entries
}

// read returns the contents of a file, within what is left to read.
func (r *reader) read(name string) (string, error) {
	if r.filesLeft == 0 {
		return "", fmt.Errorf("more than %d configuration files, included ones counted each time", maxFiles)
	}
	r.filesLeft--
	b, err := boot.ReadFile(r.fsys, name, maxFile)
	if err != nil {
		return "", err
	}
	if len(b) > r.bytesLeft {
		return "", fmt.Errorf("%w: more than %d MiB of configuration files, included ones counted each time", boot.ErrTooLarge, maxTotal>>20)
	}
	r.bytesLeft -= len(b)
	return strings.TrimPrefix(string(b), "\ufeff"), nil
}
