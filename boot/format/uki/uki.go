// Package uki finds unified kernel images: EFI programs that hold a kernel,
// its initrds and its command line (Boot Loader Specification, Type #2).
//
// They are recognised by their sections, never by their names: boot loaders and other
// EFI programs in the same directories are passed over, and so is alpboot. Each
// profile is an entry. Device trees and system extensions are not used,
// signatures are not checked; see [kernel.UKI] and [efiprogram.AddAddons].
package uki

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/bls"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
	"github.com/alpboot/alpboot/boot/kernel"
)

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFiles    = 200     // files that are looked into
	maxProfiles = 16      // of one image
	maxText     = 4 << 20 // bytes of command lines and titles; one image has 64 KiB of each at most
)

// dirs are the places of images in each [bls.Boot]: EFI/Linux is that of the
// specification, Alpine and EFI/Alpine are those of Alpine's secureboot-hook, and
// other systems have a directory of their own in EFI.
var dirs = [...]string{"EFI/Linux", "EFI/*", "Alpine", ""}

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: "uki", Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys, vol)
	}}
}

// Parse finds the images *.efi in EFI/Linux, in the other directories of EFI, in
// Alpine and at the top of every [bls.Boot] on the volume whose root is fsys, in the order of
// [bls.Boot.Arrange]: by the ID of their os-release, then the newest kernel
// first. The title is PRETTY_NAME, with the version of the kernel where several
// are equal. An image *.efi.bak, which secureboot-hook keeps of the one before,
// comes after the others and is never the default.
//
// An image that is damaged is listed with nothing but its name; package
// discover adds what is wrong with it.
//
// The error is about directories that could not be read, when nothing else was
// found.
func Parse(fsys fs.FS, vol boot.Volume) (boot.Listing, error) {
	boots, err := bls.Boots(fsys, vol)
	if err != nil {
		return boot.Listing{}, err
	}
	r := &reader{fsys: fsys, filesLeft: maxFiles, textLeft: maxText, looked: map[string]bool{}}
	var entries []boot.Entry
	for _, b := range boots {
		entries = append(entries, b.Arrange(r.items(b))...)
	}
	if r.filesLeft < 0 {
		r.notes.Add(boot.Source{}, fmt.Sprintf("There are more than %d EFI programs on this volume; only the first have been looked into.", maxFiles))
	}
	if r.textLeft < 0 {
		r.notes.Add(boot.Source{}, fmt.Sprintf("The images on this volume have more than %d MiB of command lines and titles; only the first have been looked into.", maxText>>20))
	}
	return r.notes.Listing(entries, r.errs...)
}

// reader is one call of Parse: the volume, and what may still be taken from it.
type reader struct {
	fsys      fs.FS
	filesLeft int             // negative once some had to be left out
	textLeft  int             // likewise
	looked    map[string]bool // directories; that called EFI is a $BOOT of its own, too
	notes     boot.Notes
	errs      []error
}

// items looks into the EFI programs of one $BOOT.
func (r *reader) items(b *bls.Boot) []bls.Item {
	var files []string
	for _, place := range dirs {
		for _, dir := range b.Directories(place) {
			if r.looked[dir] {
				continue
			}
			r.looked[dir] = true
			programs, err := b.Files(dir, ".efi")
			if err != nil {
				r.errs = append(r.errs, err)
			}
			backups, _ := b.Files(dir, ".efi.bak")
			files = append(append(files, programs...), backups...)
		}
	}
	inBoot := func(file string) bool { return strings.EqualFold(path.Base(path.Dir(file)), "BOOT") }
	files = slices.Concat(slices.DeleteFunc(slices.Clone(files), inBoot), slices.DeleteFunc(files, func(f string) bool { return !inBoot(f) }))
	var items []bls.Item
	for _, file := range files {
		if r.filesLeft--; r.filesLeft < 0 || r.textLeft < 0 {
			break
		}
		profiles, err := r.profiles(b, file)
		if err != nil {
			r.notes.Add(boot.Source{File: file}, fmt.Sprintf("The file cannot be used: %v.", err))
		}
		for _, it := range profiles {
			r.textLeft -= len(it.Entry.Cmdline) + len(it.Entry.Title) + len(it.SortKey) + len(it.Version)
			isCopy := inBoot(file) && slices.ContainsFunc(items, func(o bls.Item) bool {
				return o.Entry.Title == it.Entry.Title && o.Entry.Cmdline == it.Entry.Cmdline && o.Version == it.Version && o.Profile == it.Profile
			})
			if r.textLeft >= 0 && !isCopy { // EFI/BOOT often has a copy, for firmware without boot options
				items = append(items, it)
			}
		}
	}
	return items
}

// profiles returns the entries of an image, one for each of its profiles, and
// none for any other file, with an error if that should be an image and is not.
func (r *reader) profiles(b *bls.Boot, file string) ([]bls.Item, error) {
	in, u, err := kernel.Describe(r.fsys, file)
	if in.Format != kernel.UnifiedImage {
		var pe *fs.PathError
		switch {
		case err == kernel.ErrNotKernel: // a wrapped one has the reason
			err = nil
		case errors.As(err, &pe): // the path stands in the note already
			err = pe.Err
		}
		return nil, err
	}
	var items []bls.Item
	for n := range maxProfiles {
		it := bls.Item{Entry: boot.Entry{Format: "uki", Source: boot.Source{File: file}, Kernel: file, UKI: true, Profile: n}, Profile: n}
		if n > 0 {
			if _, u, _ = kernel.DescribeProfile(r.fsys, file, n); u == nil || n >= u.Profiles {
				break
			}
		}
		if !strings.EqualFold(path.Ext(file), ".efi") {
			it.Demoted = "It is the backup of an image that has been replaced since."
		}
		if u != nil {
			release := osRelease(u.OSRelease)
			if release["ID"] == "alpboot" {
				return nil, nil // as a default it would start itself for ever
			}
			r.complete(&it, b, u, release)
			if it.Entry.Cmdline == "" && !startsAlone(file) {
				it.Entry.Suspect = "The image has no command line, and no configuration that was found adds one."
				it.Demoted = cmp.Or(it.Demoted, it.Entry.Suspect)
			}
		}
		items = append(items, it)
		if u == nil || u.Profiles == 0 {
			break
		}
	}
	return items, nil
}

// startsAlone reports whether boot loaders or firmware start an image where it is without
// a configuration that names it. Elsewhere, as in EFI/ubuntu of Ubuntu Core, something
// else starts it and adds what its command line lacks.
func startsAlone(file string) bool {
	dir := path.Base(path.Dir(file))
	return strings.EqualFold(dir, "Linux") || strings.EqualFold(dir, "BOOT")
}

// complete adds to an entry what the image states about itself.
func (r *reader) complete(it *bls.Item, b *bls.Boot, u *kernel.UKI, release map[string]string) {
	it.Entry.Title = cmp.Or(release["PRETTY_NAME"], release["NAME"])
	switch {
	case u.ProfileTitle != "":
		it.Entry.Title += " (" + u.ProfileTitle + ")"
	case it.Profile > 0:
		it.Entry.Title += fmt.Sprintf(" (profile %s)", cmp.Or(u.ProfileID, strconv.Itoa(it.Profile)))
	}
	it.Entry.Cmdline, it.Entry.Notes = u.Cmdline, u.Notes()
	efiprogram.AddAddons(&it.Entry, r.fsys, b.Dir)
	it.SortKey = cmp.Or(release["IMAGE_ID"], release["ID"])
	it.Version = cmp.Or(u.Version, release["VERSION_ID"])
}

// osRelease reads os-release(5): lines NAME=value as a shell takes them, quotes
// only around the whole value.
func osRelease(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		var b strings.Builder
		for i := 0; i < len(value); i++ {
			if value[i] == '\\' && i+1 < len(value) {
				i++
			}
			b.WriteByte(value[i])
		}
		vars[name] = b.String()
	}
	return vars
}
