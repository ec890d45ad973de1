// Package refind reads refind_linux.conf, in which the rEFInd boot manager
// keeps the options for the kernels in the same directory, and the stanzas in
// rEFInd's own refind.conf.
//
// The languages are those of rEFInd's documentation ("Methods of Booting Linux"
// and "Creating Manual Boot Stanzas"); refind/config.c and refind/linux.c there
// (version 0.14) decide where that leaves something open.
package refind

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/efivars"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

const formatName = "refind"

// What is read of one volume, so that no stick can keep the menu waiting.
const (
	maxFile    = 128 << 10 // bytes of one file, as in rEFInd
	maxDirs    = 200       // directories that are looked into
	maxLines   = 64        // lines of options in one file
	maxKernels = 64        // in one directory
	maxEntries = 1000
	maxInitrds = 32 // of one entry

	maxConfigs    = 16      // files refind.conf
	maxConfigText = 1 << 20 // bytes of these, included ones each time
	maxStanzas    = 500     // of all of them, submenuentries among them
	maxLookups    = 1000    // names of volumes
)

// fileNames are the names of the file, the first that exists counts. They are
// compared without regard to case, since FAT has none.
var fileNames = [...]string{"refind_linux.conf", "refind-linux.conf"}

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: formatName, Parse: Parse}
}

// Parse reads the stanzas of each refind.conf in a directory of EFI on the volume
// whose root is fsys, and the options in each refind_linux.conf.
//
// A stanza and each of its submenuentries is an entry, but for those that are
// disabled. Its volume is looked for among others. An EFI program that is not a
// kernel is a Problem. The default is what default_selection names by title.
//
// Of refind_linux.conf it reads the files at the top of the volume, in /boot,
// in the directories of /boot and of /EFI, and on btrfs the same in each subvolume
// but snapshots: 200 directories at most. Symlinks are not followed.
//
// The newest kernel in the directory has an entry for each line of options, and
// every other kernel one with the first line. As in rEFInd the newest is the
// one that was changed last; of the same age, the one with the higher version.
// Its first line is the default.
//
// Kernels are recognised by their names, as rEFInd does. A line that names no initrd
// gets the one that goes with the kernel: rEFInd's rule is that both have the
// same digits and what is between them in their names. Where there are none,
// rEFInd takes the shortest name, which on Alpine can be that of another
// flavour; here it must be of the same.
//
// The error is about files that could not be read, when nothing else was
// found; it wraps [boot.ErrTooLarge] for one of more than 128 KiB.
func Parse(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
	top, err := fs.ReadDir(fsys, ".")
	if err != nil && len(top) == 0 {
		return boot.Listing{}, err
	}
	r := &reader{fsys: fsys, vol: vol, others: others, dirsLeft: maxDirs, configLeft: maxConfigText, stanzasLeft: maxStanzas, lookupsLeft: maxLookups}
	r.configs()
	roots, _ := subvolume.Roots(fsys, vol)
	for _, root := range roots {
		switch {
		case root.Dir == ".":
			r.root(root.Dir, top)
		case !root.Snapshot && !isHome(root.Dir): // the volume's own boot has been read
			r.root(root.Dir, r.list(root.Dir))
		}
	}
	subvolume.Mark(r.entries, vol)
	l, err := r.notes.Listing(r.entries, r.errs...)
	l.Unresolved = r.unresolved
	return l, err
}

// reader is one call of Parse.
type reader struct {
	fsys                                           fs.FS
	vol                                            boot.Volume
	others                                         boot.Volumes
	dirsLeft, configLeft, stanzasLeft, lookupsLeft int
	entries                                        []boot.Entry
	notes                                          boot.Notes
	errs                                           []error
	unresolved                                     bool
}

// list returns what is in a directory; nothing when it cannot be read.
func (r *reader) list(dir string) []fs.DirEntry {
	if r.dirsLeft--; r.dirsLeft < 0 {
		return nil
	}
	list, _ := fs.ReadDir(r.fsys, dir)
	return list
}

// isHome distinguishes the directories in which kernels are from others beside them.
func isHome(name string) bool {
	return strings.EqualFold(name, "boot") || strings.EqualFold(name, "EFI")
}

// root looks in the directory dir, and in those below it that hold kernels.
func (r *reader) root(dir string, list []fs.DirEntry) {
	r.directory(dir, list)
	for _, home := range list {
		if !home.IsDir() || !isHome(home.Name()) {
			continue
		}
		dir := path.Join(dir, home.Name())
		list := r.list(dir)
		r.directory(dir, list)
		for _, d := range list {
			if d.IsDir() {
				sub := path.Join(dir, d.Name())
				r.directory(sub, r.list(sub))
			}
		}
	}
}

// directory returns the entries of a directory that has the file.
func (r *reader) directory(dir string, list []fs.DirEntry) {
	file := ""
	for _, name := range slices.Backward(fileNames[:]) {
		for _, d := range list {
			if d.Type().IsRegular() && strings.EqualFold(d.Name(), name) {
				file = path.Join(dir, d.Name())
			}
		}
	}
	if file == "" {
		return
	}
	b, err := boot.ReadFile(r.fsys, file, maxFile)
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("/%s cannot be used: %w", file, err))
		return
	}
	lines := r.lines(file, decode(b))
	kernels := findKernels(list)
	if len(kernels) > maxKernels {
		r.notes.Add(boot.Source{File: file}, fmt.Sprintf("There are %d kernels in the directory: only %d of them are listed.", len(kernels), maxKernels))
		kernels = kernels[:maxKernels]
	}
	switch {
	case len(lines) == 0:
		r.notes.Add(boot.Source{File: file}, "The file holds no options.")
		return
	case len(kernels) == 0:
		r.notes.Add(boot.Source{File: file}, "There is no kernel in its directory.")
	}
	for i, kernel := range kernels {
		for j, line := range lines {
			if i > 0 && j > 0 {
				break
			}
			if len(r.entries) == maxEntries {
				r.notes.Add(line.src, fmt.Sprintf("There are more than %d entries: from here on they are left out.", maxEntries))
				return
			}
			e := line.entry(dir, kernel, findInitrd(kernel, list))
			e.Default = i == 0 && j == 0
			r.entries = append(r.entries, e)
		}
	}
}

// line is one line of the file.
type line struct {
	src            boot.Source
	label, options string
}

// lines reads the text of a file. Like rEFInd it ends at a line of one word.
func (r *reader) lines(file, text string) []line {
	var lines []line
	n := 0
	for s := range strings.SplitSeq(text, "\n") {
		n++
		src := boot.Source{File: file, Line: n}
		words := tokens(s)
		switch {
		case len(words) == 0:
			continue
		case len(words) == 1:
			r.notes.Add(src, fmt.Sprintf("%s has no options behind it: rEFInd does not read on from here.", boot.Quote(words[0])))
			return lines
		case len(words) > 2:
			r.notes.Add(src, fmt.Sprintf("%s is not in quotes with the rest of the options: rEFInd does not take it.", boot.Quote(words[2])))
		}
		if len(lines) == maxLines {
			r.notes.Add(src, fmt.Sprintf("There are more than %d lines of options: from here on they are left out.", maxLines))
			return lines
		}
		lines = append(lines, line{src, boot.Clean(words[0]), words[1]})
	}
	return lines
}

// tokens splits a line into words: at white space, commas and =, outside of
// double quotes. Two quotes inside them are one that counts as text. # begins
// a comment.
func tokens(s string) []string {
	const separators = " \t\r=,"
	var words []string
	for {
		s = strings.TrimLeft(s, separators)
		if s == "" || s[0] == '#' {
			return words
		}
		var w strings.Builder
		quoted := s[0] == '"'
		if quoted {
			s = s[1:]
		}
		for s != "" {
			switch {
			case strings.HasPrefix(s, `""`):
				s = s[1:]
			case s[0] == '"', !quoted && strings.IndexByte(separators+"#", s[0]) >= 0:
				goto end
			}
			w.WriteByte(s[0])
			s = s[1:]
		}
	end:
		s = strings.TrimPrefix(s, `"`)
		words = append(words, w.String())
	}
}

// decode returns the text of a file in UTF-8, or in UTF-16 with a byte order
// mark, as Windows writes it.
func decode(b []byte) string {
	s := string(b)
	if !strings.HasPrefix(s, "\xff\xfe") {
		return strings.TrimPrefix(s, "\ufeff")
	}
	u := make([]uint16, len(b)/2-1)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2+2*i:])
	}
	return string(utf16.Decode(u))
}

// entry returns the entry of a kernel in the directory dir with the options of l.
// The initrd found beside it is "" when there is none.
func (l line) entry(dir, kernel, initrd string) boot.Entry {
	e := boot.Entry{
		Title:  l.label,
		Format: formatName,
		Source: l.src,
		Kernel: path.Join(dir, kernel),
	}
	if name := boot.Clean(kernel); e.Title == "" {
		e.Title = name
	} else {
		e.Title += " (" + name + ")"
	}
	options := l.options
	if v := digits(kernel); v != "" {
		options = strings.ReplaceAll(options, "%v", v)
	}
	e.Cmdline, e.Initrds = efivars.LoadOptions(options)
	if len(e.Initrds) > maxInitrds {
		e.Problem = fmt.Sprintf("It names %d initrds, more than the %d that alpboot reads.", len(e.Initrds), maxInitrds)
		e.Initrds = e.Initrds[:maxInitrds]
	}
	if initrd != "" && !strings.Contains(strings.ToLower(l.options), "initrd=") {
		e.Initrds = []string{path.Join(dir, initrd)}
	}
	return e
}
