package remember

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// File keeps a State in two files, Path.0 and Path.1, written in turn: whatever
// becomes of the one that is being written, the other holds the state before.
// The newer one that is whole counts. No file is ever renamed, cut or grown once
// it is there, so that a filesystem without a journal such as FAT has nothing
// but the content to write.
type File struct {
	Path   string // from the root of the volume, as [fs.FS] takes it
	Volume string // device of the volume, for messages
	FS     fs.FS  // root of the volume for reading

	// Write calls do with the root of the volume mounted for writing, and
	// unmounts it. It is called only when there is something to write.
	Write func(do func(root *os.Root) error) error
}

// slotSize is the size of a file. A state is never larger.
const slotSize = 4096

// slots are the endings of the two files.
var slots = [2]string{".0", ".1"}

// Where implements [Store].
func (f *File) Where() string { return fmt.Sprintf("/%s on %s", f.Path, f.Volume) }

// Load implements [Store]. No files are an empty State and no error. Kept is false
// when they cannot be read: what they have must not be replaced by nothing then.
func (f *File) Load() (State, error) {
	s, _, _, err := f.load(f.FS)
	if err != nil {
		err = fmt.Errorf("reading what is remembered in %s: %w", f.Where(), err)
	}
	var unread *fs.PathError
	s.Kept = !errors.As(err, &unread)
	return s, err
}

// load returns the newest state, its number, and the slot to write the next one
// to. The error is that of a slot that cannot be used where none can.
func (f *File) load(fsys fs.FS) (s State, seq uint64, next int, err error) {
	found := false
	var errs []error
	for i, ending := range slots {
		got, n, err := readSlot(fsys, f.Path+ending)
		switch {
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			if !found {
				next = i
			}
		case !found || int64(n-seq) > 0: // after the largest number comes 0
			s, seq, next, found = got, n, 1-i, true
		}
	}
	if found {
		return s, seq, next, nil
	}
	return State{}, 0, 0, errors.Join(errs...)
}

// readSlot reads one file. It asks for the type before it opens: opening a FIFO would wait.
func readSlot(fsys fs.FS, name string) (State, uint64, error) {
	st, err := fs.Lstat(fsys, name)
	if err != nil {
		return State{}, 0, err
	}
	if !st.Mode().IsRegular() {
		return State{}, 0, notRegular(name)
	}
	b, err := boot.ReadFile(fsys, name, 16*slotSize)
	if err != nil {
		return State{}, 0, err
	}
	return decode(b)
}

func notRegular(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
}

// Save implements [Store].
func (f *File) Save(s State) error {
	old, _, _, err := f.load(f.FS)
	old.OneShot, old.LoaderDefault, old.LoaderPreferred, old.Kept = s.OneShot, s.LoaderDefault, s.LoaderPreferred, s.Kept
	if err == nil && old.Equal(s) {
		return nil
	}
	err = f.Write(func(root *os.Root) error {
		_, seq, next, _ := f.load(root.FS()) // what is broken there is replaced
		return writeSlot(root, f.Path+slots[next], encode(s, seq+1))
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Where(), err)
	}
	return nil
}

// Prepared reports whether fsys has both files of path, made by [Prepare]: saving
// then makes no file and takes no room.
func Prepared(fsys fs.FS, path string) bool {
	whole := false
	for _, ending := range slots {
		st, err := fs.Lstat(fsys, path+ending)
		if err != nil || !st.Mode().IsRegular() || st.Size() != slotSize {
			return false
		}
		_, _, err = readSlot(fsys, path+ending)
		whole = whole || err == nil
	}
	return whole // the other one may have been cut off by the power
}

// FileName is the name of the file that the menu finds where no setting names one.
const FileName = "alpboot.state"

// Make makes the two files of path below the directory dir, as [Prepare] does, and the
// directories on the way.
func Make(dir, file string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	return Prepare(root, file)
}

// Prepare makes the two files of path, with an empty State where there is none,
// and waits until they are on the disk.
func Prepare(root *os.Root, path string) error {
	for _, ending := range slots {
		if _, _, err := readSlot(root.FS(), path+ending); err == nil {
			continue
		}
		if err := writeSlot(root, path+ending, encode(State{}, 0)); err != nil {
			return err
		}
	}
	return nil
}

// Discard removes the two files of path, if both are there and alpboot's.
func Discard(root *os.Root, path string) error {
	if !Prepared(root.FS(), path) {
		return nil
	}
	for _, ending := range slots {
		if err := root.Remove(path + ending); err != nil {
			return err
		}
	}
	return nil
}

// writeSlot writes one file and waits until it is on the disk.
func writeSlot(root *os.Root, name string, content []byte) error {
	st, err := root.Lstat(name) // first: opening would follow a link or wait for a FIFO
	isNew := errors.Is(err, fs.ErrNotExist)
	switch {
	case isNew:
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return notRegular(name)
	case st.Size() > slotSize:
		return &fs.PathError{Op: "write", Path: name, Err: errors.New("the file is not alpboot's")}
	}
	w, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.WriteAt(content, 0); err != nil {
		return err
	}
	if err := w.Sync(); err != nil {
		return err
	}
	if isNew { // its name must be on the disk too
		dir, err := root.Open(path.Dir(name))
		if err != nil {
			return err
		}
		defer dir.Close()
		return dir.Sync()
	}
	return nil
}

// A file is text: a header, the number of the writing, a line for each field
// that is set, and the CRC-32 (IEEE) of all that. Spaces fill it up.
const header = "alpboot state 1\n"

func encode(s State, seq uint64) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%sseq %d\n", header, seq)
	for _, f := range s.fields() {
		if text := f.text(); text != "" {
			fmt.Fprintf(&b, "%s %s\n", f.name, text)
		}
	}
	fmt.Fprintf(&b, "crc32 %08x\n", crc32.ChecksumIEEE([]byte(b.String())))
	fmt.Fprintf(&b, "%*s", slotSize-b.Len(), "\n")
	return []byte(b.String())
}

var errNotWhole = errors.New("the file is damaged")

// decode takes what encode returned. Lines that it does not know are passed over: a
// later alpboot may have written them.
func decode(b []byte) (s State, seq uint64, err error) {
	text := string(b[:min(len(b), slotSize)])
	at := strings.Index(text, "\ncrc32 ") + 1
	if !strings.HasPrefix(text, header) || at == 0 {
		return State{}, 0, errNotWhole
	}
	sum, _, ok := strings.Cut(text[at+len("crc32 "):], "\n")
	if !ok || sum != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text[:at]))) {
		return State{}, 0, errNotWhole
	}
	for line := range strings.Lines(text[len(header):at]) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if name == "seq" {
			if seq, err = strconv.ParseUint(value, 10, 64); err != nil {
				return State{}, 0, errNotWhole
			}
		}
		for _, f := range s.fields() {
			if f.name == name {
				f.set(value)
			}
		}
	}
	s.setTries(s.triesText()) // of two lines there may be more than is kept
	return s, seq, nil
}
