// Package bls reads the text files of the Boot Loader Specification
// (uapi-group.org, Type #1: loader/entries/*.conf), as systemd-boot, Fedora's
// GRUB and kernel-install use them, and holds what images of Type #2 have in
// common with them: loader.conf, boot counting, order and titles.
//
// What systemd-boot keeps in EFI variables is not read. A boot counter in a file
// name shows which entries have failed; package session counts. Device trees,
// overlays, profiles and system extensions are not passed on; a note mentions
// them. Of GRUB's additions the variables of grubenv are replaced where
// $boot/grub2/grubenv or $boot/grub/grubenv is on the same volume.
package bls

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFile    = 64 << 10 // bytes of one file
	maxTotal   = 4 << 20  // bytes of all entries, and of the values of variables in them
	maxEntries = 1000
	maxInitrds = 32 // of one entry
)

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: "bls", Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys, vol)
	}}
}

// Parse reads the entries below loader/entries of every [Boot] on the volume
// whose root is fsys, in the order of [Boot.Arrange].
//
// A path is taken from the root of the volume; where no such file exists, it
// is looked for below the directories that loader is in, and below boot next to
// loader. Entries for another processor, and those that start an EFI program
// which is not a kernel, are listed with a Problem. A unified kernel image, whether
// named by uki, linux or efi, has its own command line unless the entry has
// options; initrds that the entry names come after those in the image.
//
// The error is about what could not be read, when nothing else was found; it
// wraps [boot.ErrTooLarge] for a file of more than 64 KiB.
func Parse(fsys fs.FS, vol boot.Volume) (boot.Listing, error) {
	boots, err := Boots(fsys, vol)
	if err != nil {
		return boot.Listing{}, err
	}
	r := newReader(fsys)
	var entries []boot.Entry
	for _, b := range boots {
		items := r.items(b)
		if len(items) == 0 {
			continue
		}
		for _, n := range b.Notes.All() {
			r.notes.Add(n.Source, n.Text)
		}
		for _, s := range []setting{b.preferred, b.def} {
			if s.text != "" && !slices.ContainsFunc(items, s.names) {
				r.notes.Add(s.src, fmt.Sprintf("The default %s is none of the entries in loader/entries.", boot.Quote(s.text)))
			}
		}
		entries = append(entries, b.Arrange(items)...)
	}
	subvolume.Mark(entries, vol)
	return r.notes.Listing(entries, r.errs...)
}

// reader is one call of Parse: the volume, and what may still be taken from it.
type reader struct {
	fsys        fs.FS
	bytesLeft   int // of files
	valuesLeft  int // bytes of values of variables
	entriesLeft int
	notes       boot.Notes
	errs        []error
}

func newReader(fsys fs.FS) *reader {
	return &reader{fsys: fsys, bytesLeft: maxTotal, valuesLeft: maxTotal, entriesLeft: maxEntries}
}

// items reads the entries of one $BOOT.
func (r *reader) items(b *Boot) []Item {
	var items []Item
	lookup := b.grubenv()
	for _, dir := range b.Directories("loader/entries") {
		found := r.itemsIn(b, lookup, dir)
		if len(found) > 0 {
			r.marker(b, path.Dir(dir))
		}
		items = append(items, found...)
	}
	return items
}

// itemsIn reads the entries in the directory dir.
func (r *reader) itemsIn(b *Boot, lookup Lookup, dir string) []Item {
	var items []Item
	files, err := b.Files(dir, ".conf")
	if err != nil {
		r.errs = append(r.errs, err)
	}
	for _, file := range files {
		if r.entriesLeft == 0 {
			r.errs = append(r.errs, fmt.Errorf("/%s holds more than the %d entries that alpboot reads", dir, maxEntries))
			break
		}
		r.entriesLeft--
		text, err := r.read(file)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("/%s cannot be used: %w", file, err))
			continue
		}
		if it, ok := r.item(b, lookup, file, text); ok {
			items = append(items, it)
		}
	}
	return items
}

// marker looks for the file by which other uses of the directory entries can be
// distinguished from this one.
func (r *reader) marker(b *Boot, loader string) {
	files, _ := b.Files(loader, ".srel")
	for _, file := range files {
		text, err := boot.ReadFile(r.fsys, file, maxFile)
		if rules := strings.TrimSpace(string(text)); err == nil && rules != "type1" && strings.EqualFold(path.Base(file), "entries.srel") {
			r.notes.Add(boot.Source{File: file}, fmt.Sprintf("It declares that the entries follow other rules (%s) than alpboot's.", boot.Quote(rules)))
		}
	}
}

// read returns the contents of a file, within what is left to read.
func (r *reader) read(name string) (string, error) {
	b, err := boot.ReadFile(r.fsys, name, maxFile)
	if err != nil {
		return "", err
	}
	if len(b) > r.bytesLeft {
		return "", fmt.Errorf("%w: more than %d MiB of entries", boot.ErrTooLarge, maxTotal>>20)
	}
	r.bytesLeft -= len(b)
	return string(b), nil
}

// lines calls do for every line of a file that is not a comment, with its first
// word and the rest, without the quotes around that if it has any.
func lines(text string, do func(n int, key, value string)) {
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		n++
		// After a crash while it was written, a file may end in zero bytes.
		line, _, _ = strings.Cut(line, "\x00")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		key, value := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			key, value = line[:i], strings.TrimSpace(line[i:])
		}
		if len(value) >= 2 && value[0] == '"' && strings.IndexByte(value[1:], '"') == len(value)-2 {
			value = value[1 : len(value)-1]
		}
		do(n, key, value)
	}
}
