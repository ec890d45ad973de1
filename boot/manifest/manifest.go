// Package manifest reads and makes alpboot.manifest: the list of what the owner of a
// machine lets start. It has the hash of each file, and the command line of each entry.
// Beside it lies a signature, which package signature verifies.
//
// It is text, a line a statement:
//
//	alpboot manifest 1
//	epoch 7
//	file 9f86d0...0a08 11726848 vmlinuz-lts
//	file 60303a...2752 17349120 initramfs-lts
//	entry
//	kernel vmlinuz-lts
//	initrd initramfs-lts
//	cmdline root=UUID=... modules=ext4 quiet
//
// Paths are those below the directory that the manifest is in, so that it means the
// same on a /boot of its own, in a subvolume and in a snapshot. The boot counter in the
// name of a unified kernel image is no part of them.
package manifest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// Name is the file, in the directory of what it lists or in one above.
const Name = "alpboot.manifest"

// New is what follows the names of a manifest and its signature while the two are being
// replaced, so that after a power cut one pair is whole.
const New = ".new"

// MaxSize is how many bytes a manifest may have.
const MaxSize = 256 << 10

const heading = "alpboot manifest 1"

// Manifest is what may start.
type Manifest struct {
	// Epoch is raised when what was signed before shall not start any more.
	Epoch   uint64
	Files   []File
	Entries []Entry
}

// File is a file that an entry needs.
type File struct {
	Path   string // below the directory of the manifest
	Size   int64
	SHA256 [sha256.Size]byte
}

// Entry is what may start together. Its paths are those of files.
type Entry struct {
	Kernel  string
	Profile int      // of a unified kernel image: the number of the profile that is booted
	Initrds []string // in order
	Cmdline string
}

// Equal reports whether both are the same.
func (e Entry) Equal(o Entry) bool {
	return e.sameFiles(o) && e.Cmdline == o.Cmdline
}

func (e Entry) sameFiles(o Entry) bool {
	return Plain(e.Kernel) == Plain(o.Kernel) && e.Profile == o.Profile && slices.Equal(e.Initrds, o.Initrds)
}

// EntryOf returns what a manifest on the volume of e has of it.
func EntryOf(e boot.Entry) Entry {
	return Entry{Kernel: e.Kernel, Profile: e.Profile, Initrds: e.Initrds, Cmdline: e.Cmdline}
}

// Plain returns a path without the boot counter in the name of a unified kernel image:
// each start changes that.
func Plain(name string) string {
	if c, ok := boot.ParseCounter(name); ok && strings.EqualFold(path.Ext(name), ".efi") {
		return c.Plain()
	}
	return name
}

// Parse reads a manifest. Whatever it does not know is an error, so that nothing is
// allowed by a misunderstanding.
func Parse(b []byte) (*Manifest, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("it is longer than %d bytes", MaxSize)
	}
	if !utf8.Valid(b) || bytes.IndexFunc(b, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) >= 0 {
		return nil, errors.New("it is not text")
	}
	m := &Manifest{}
	var entry *Entry
	seen := map[string]bool{}
	in := bufio.NewScanner(bytes.NewReader(b))
	in.Buffer(nil, MaxSize)
	for n := 1; in.Scan(); n++ {
		if n == 1 {
			if in.Text() != heading {
				return nil, fmt.Errorf("it does not begin with %q", heading)
			}
			continue
		}
		if err := m.line(in.Text(), &entry, seen); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil || len(b) == 0 {
		return nil, fmt.Errorf("it does not begin with %q", heading)
	}
	for _, e := range m.Entries {
		for _, name := range append([]string{e.Kernel}, e.Initrds...) {
			if _, ok := m.file(name); !ok {
				return nil, fmt.Errorf("an entry has %q, which is not among its files", name)
			}
		}
	}
	return m, nil
}

// line takes a line. Seen are the words that may stand once: all, and those of an entry.
func (m *Manifest) line(text string, entry **Entry, seen map[string]bool) error {
	word, rest, _ := strings.Cut(text, " ")
	once := func(name string) error {
		if seen[name] {
			return fmt.Errorf("a second %s", word)
		}
		seen[name] = true
		return nil
	}
	if *entry == nil && slices.Contains([]string{"kernel", "profile", "initrd", "cmdline"}, word) {
		return fmt.Errorf("%s before any entry", word)
	}
	switch word {
	case "epoch":
		n, err := strconv.ParseUint(rest, 10, 63)
		if err != nil {
			return errors.New("epoch takes a number")
		}
		m.Epoch = n
		return once(word)
	case "file":
		f, err := parseFile(rest)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, f)
		return once("file " + Plain(f.Path))
	case "entry":
		if rest != "" {
			return errors.New("entry stands alone")
		}
		m.Entries = append(m.Entries, Entry{})
		*entry = &m.Entries[len(m.Entries)-1]
		delete(seen, "kernel")
		delete(seen, "profile")
		delete(seen, "cmdline")
	case "kernel":
		(*entry).Kernel = rest
		return once(word)
	case "profile":
		n, err := strconv.ParseUint(rest, 10, 31)
		if err != nil || n == 0 {
			return errors.New("profile takes a number from 1")
		}
		(*entry).Profile = int(n)
		return once(word)
	case "initrd":
		(*entry).Initrds = append((*entry).Initrds, rest)
	case "cmdline":
		(*entry).Cmdline = rest
		return once(word)
	default:
		return fmt.Errorf("%.40q is not known", word)
	}
	return nil
}

func parseFile(text string) (f File, err error) {
	hash, rest, _ := strings.Cut(text, " ")
	size, name, _ := strings.Cut(rest, " ")
	b, err := hex.DecodeString(hash)
	if err != nil || len(b) != sha256.Size || hash != strings.ToLower(hash) {
		return f, errors.New("file takes a SHA-256, a size and a path")
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || !fs.ValidPath(name) || name == "." {
		return f, errors.New("file takes a SHA-256, a size and a path")
	}
	return File{name, n, [sha256.Size]byte(b)}, nil
}

// Bytes returns the manifest as a file. It can be parsed if its texts have no control
// characters and its paths are valid.
func (m *Manifest) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nepoch %d\n", heading, m.Epoch)
	for _, f := range m.Files {
		fmt.Fprintf(&b, "file %x %d %s\n", f.SHA256, f.Size, f.Path)
	}
	for _, e := range m.Entries {
		fmt.Fprintf(&b, "entry\nkernel %s\n", e.Kernel)
		if e.Profile != 0 {
			fmt.Fprintf(&b, "profile %d\n", e.Profile)
		}
		for _, name := range e.Initrds {
			fmt.Fprintf(&b, "initrd %s\n", name)
		}
		fmt.Fprintf(&b, "cmdline %s\n", e.Cmdline)
	}
	return b.Bytes()
}

func (m *Manifest) file(name string) (File, bool) {
	i := slices.IndexFunc(m.Files, func(f File) bool { return Plain(f.Path) == Plain(name) })
	if i < 0 {
		return File{}, false
	}
	return m.Files[i], true
}

// Allows returns why an entry may not start, or nil. Its paths are those of the volume;
// dir is the directory of the manifest there. The error follows "the manifest".
func (m *Manifest) Allows(dir string, e Entry) error {
	names := append([]string{e.Kernel}, e.Initrds...)
	for i, name := range names {
		rel, ok := below(dir, name)
		if _, known := m.file(rel); !ok || !known {
			return fmt.Errorf("does not list /%s", name)
		}
		names[i] = rel
	}
	e.Kernel, e.Initrds = names[0], names[1:]
	if slices.ContainsFunc(m.Entries, e.Equal) {
		return nil
	}
	if slices.ContainsFunc(m.Entries, e.sameFiles) {
		return errors.New("has another command line for these files")
	}
	profile := ""
	if e.Profile != 0 {
		profile = fmt.Sprintf(" and profile %d", e.Profile)
	}
	return fmt.Errorf("has no entry that starts /%s with these initrds%s", path.Join(dir, e.Kernel), profile)
}

// File returns what is listed of a file of the volume.
func (m *Manifest) File(dir, name string) (File, bool) {
	rel, ok := below(dir, name)
	if !ok {
		return File{}, false
	}
	return m.file(rel)
}

// below returns a path of the volume as one below dir.
func below(dir, name string) (rel string, ok bool) {
	if dir == "." {
		return name, true
	}
	return strings.CutPrefix(name, dir+"/")
}

// Dirs returns where the manifest for a file of a volume may be, the nearest first.
func Dirs(name string) (dirs []string) {
	for name != "." && fs.ValidPath(name) {
		name = path.Dir(name)
		dirs = append(dirs, name)
	}
	return dirs
}
