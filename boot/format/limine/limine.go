// Package limine reads the configuration of the Limine boot loader:
// limine.conf of version 8 and later, and limine.cfg of those before.
//
// The language is the one of Limine's CONFIG.md; where that leaves something
// open, common/lib/config.c, common/lib/uri.c and common/menu.c there (version
// 12) decide. Only entries with "protocol: linux" can be booted, others are
// listed with a Problem. What only draws the menu is skipped. Hashes of files
// are not verified and device trees not acted on; both are mentioned in a note.
package limine

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

const formatName = "limine"

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFile    = 1 << 20 // bytes of one file
	maxText    = 4 << 20 // bytes of all files with their macros expanded
	maxFiles   = 64
	maxLine    = 4096 // bytes of a line; Limine cuts a value off at 4095
	maxNodes   = 1000 // entries and directories of all files
	maxInitrds = 32   // of one entry
	maxLookups = 1000 // paths of all files that may be on other volumes
)

// places are the directories in which Limine looks, in its order; * is the one that
// its EFI program was started from. Names are compared without regard to case,
// as Limine does on every filesystem.
var places = [...]string{"EFI/*", "boot/limine", "boot", "limine", ""}

// Format returns the format for discovery.
func Format() boot.Format { return boot.Format{Name: formatName, Parse: Parse} }

// Parse reads every limine.conf on the volume whose root is fsys, and only if
// there is none every limine.cfg. Limine itself takes the first one; the others
// may be what another copy of it starts from.
// Entries that are equal in kernel, initrds, command line, title and directory
// are listed once.
//
// A path on another volume is looked up in others: by partition for boot(N),
// by UUID of the filesystem or the partition for guid(...), by label for
// fslabel(...). hdd(D:P) and odd(D:P) count drives as the firmware does, which
// nobody else knows: such a path is taken from the first volume with that
// partition number that holds the file, for drive 1 one on vol's own disk
// before others, else the other way round, and a note has which it was.
//
// The default of a file is the one that default_entry names, by Limine's way
// of counting what its menu shows at first; the first one when it has no setting.
// Limine does not show everything under every firmware: it is taken to be UEFI
// when the volume has a directory EFI, else BIOS.
//
// The error is about files that could not be read, when nothing else was
// found; it wraps [boot.ErrTooLarge] for one of more than 1 MiB.
func Parse(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
	r := &reader{fsys: fsys, vol: vol, others: others, firmware: "BIOS", textLeft: maxText, nodesLeft: maxNodes, lookupsLeft: maxLookups}
	top, err := fs.ReadDir(fsys, ".")
	if err != nil && len(top) == 0 {
		return boot.Listing{}, err
	}
	if slices.ContainsFunc(top, func(d fs.DirEntry) bool { return d.IsDir() && strings.EqualFold(d.Name(), "EFI") }) {
		r.firmware = "UEFI"
	}
	lang := conf
	files := r.find("limine.conf")
	if len(files) == 0 {
		lang, files = cfg, r.find("limine.cfg")
	}
	var entries []boot.Entry
	var errs []error
	for _, file := range files {
		found, err := r.file(lang, file)
		if err != nil {
			errs = append(errs, fmt.Errorf("/%s cannot be used: %w", file, err))
		}
		entries = append(entries, found...)
	}
	subvolume.Mark(entries, vol)
	l, err := r.notes.Listing(boot.Unique(entries, boot.Entry.Key), errs...)
	l.Unresolved = r.unresolved
	return l, err
}

// reader is one call of Parse: the volume, and what may still be taken from it.
type reader struct {
	fsys        fs.FS
	vol         boot.Volume
	others      boot.Volumes
	firmware    string // UEFI or BIOS
	textLeft    int
	nodesLeft   int // negative once something had to be left out
	lookupsLeft int
	notes       boot.Notes
	unresolved  bool
}

// find returns the paths of the files of that name in all places.
func (r *reader) find(name string) []string {
	var files []string
	for _, place := range places {
		for _, f := range fspath.Files(r.fsys, ".", path.Join(place, name), nil) {
			if !slices.Contains(files, f) && len(files) < maxFiles {
				files = append(files, f)
			}
		}
	}
	return files
}

// file returns the entries of one configuration file.
func (r *reader) file(lang language, name string) ([]boot.Entry, error) {
	b, err := boot.ReadFile(r.fsys, name, maxFile)
	if err != nil {
		return nil, err
	}
	c := &config{reader: r, language: lang, name: name}
	if err := c.parse(strings.TrimPrefix(string(b), "\ufeff")); err != nil {
		return nil, err
	}
	entries := c.entries(c.tree, nil)
	if len(c.tree) == 0 {
		r.notes.Add(boot.Source{File: name}, "The file holds no entry.")
	}
	return entries, nil
}
