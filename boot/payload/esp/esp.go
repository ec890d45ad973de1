// Package esp installs alpboot on an EFI system partition, replaces it by a
// newer one, and takes it away again, so that whatever fails and whenever power
// goes there is a whole file where firmware looks.
//
// FAT has no journal and no way to replace a file at once. What is relied on is
// this: a new file is written under a name that nobody boots, and is on the
// disk before anything else is done; then it changes places with the old one
// (RENAME_EXCHANGE, on FAT since Linux 6.0), which changes two directory
// entries and frees nothing. Should only one of them reach the disk, both names
// lead to the same whole file. Such a pair must never be deleted one by one,
// as that would free what the other is made of: see [Install].
package esp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot/payload/efi"
)

// Files are the files of the partition. Paths are slash paths from its root.
type Files interface {
	// Read gives the content of a file, from the disk and not from memory as
	// far as that can be had; an error that is [fs.ErrNotExist] when there is none.
	Read(name string) ([]byte, error)
	// Write makes a file, and its folders, all of it on the disk when it
	// returns. The file must not be there.
	Write(name string, data []byte) error
	// Rename gives a file another name, which must be free.
	Rename(from, to string) error
	// Exchange makes two files change places; the error is [ErrNoExchange] when
	// the filesystem cannot.
	Exchange(a, b string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// Sync returns when all that was done before is on the disk.
	Sync() error
	// List gives the names in a folder; none when it is not there.
	List(dir string) ([]string, error)
	// Free gives the bytes that further files may take.
	Free() (int64, error)
}

// ErrNoExchange means that two files cannot change places.
var ErrNoExchange = errors.New("this kernel cannot make two files on the partition change places, without which an update would not survive a power cut: Linux 6.0 or newer can")

// The files that are ours.
const (
	Folder   = "EFI/alpboot"
	Current  = Folder + "/alpboot.efi"
	Former   = Folder + "/former.efi"
	Replaced = Folder + "/replaced.efi" // the loader that had the removable path before
)

// removable maps processors to the path that firmware starts on media without
// a boot entry (UEFI specification, chapter 3.5.1.1).
var removable = map[string]string{"amd64": "EFI/BOOT/BOOTX64.EFI", "arm64": "EFI/BOOT/BOOTAA64.EFI", "riscv64": "EFI/BOOT/BOOTRISCV64.EFI"}

// Target says where alpboot is installed.
type Target struct {
	Files     Files
	Arch      string // processor, as GOARCH spells it
	Removable bool   // at the path for removable media, instead of Current
}

// Path gives the path of the file that firmware starts.
func (t Target) Path() (string, error) {
	if !t.Removable {
		return Current, nil
	}
	p, ok := removable[t.Arch]
	if !ok {
		return "", fmt.Errorf("firmware for %q knows no path for removable media", t.Arch)
	}
	return p, nil
}

// Result is what [Install] has done.
type Result struct {
	Path   string // of the file that firmware starts
	Former bool   // the one before is kept as Former
	Same   bool   // it was there already, and nothing was written
	Notes  []string
}

// Install makes a program the one that firmware starts, and keeps the one
// before as [Former]. It checks what it has written by reading it.
//
// Power may go at any time: firmware then finds either the old or the new one,
// whole. The next Install clears away what was left behind, but for a file that
// is the same as one that is booted: after a power cut both may be made of the
// same clusters, until fsck.vfat takes them apart.
func Install(t Target, program []byte) (Result, error) {
	main, err := t.Path()
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: main}
	if t.Removable && !Ours(program) {
		return r, errors.New("its os-release does not say ID=alpboot, by which it is told from other loaders at this path")
	}
	old, err := read(t.Files, main)
	if err != nil {
		return r, err
	}
	former, err := read(t.Files, Former)
	if err != nil {
		return r, err
	}
	if bytes.Equal(old, program) {
		r.Same, r.Former = true, whole(former)
		return r, nil
	}
	temp, err := r.clear(t.Files, old, former)
	if err != nil {
		return r, err
	}
	// Another's loader is kept apart: it comes back when alpboot goes.
	replaced, err := read(t.Files, Replaced)
	if err != nil {
		return r, err
	}
	foreign := t.Removable && old != nil && replaced == nil && !Ours(old)
	if err := t.makeRoom(len(program), old, former, foreign); err != nil {
		return r, err
	}
	if foreign {
		if err := writeChecked(t.Files, Replaced, old); err != nil {
			return r, err
		}
	}

	if err := writeChecked(t.Files, temp, program); err != nil {
		return r, err
	}
	if old == nil {
		err = t.Files.Rename(temp, main)
	} else {
		err = t.Files.Exchange(temp, main)
	}
	if err == nil {
		err = t.Files.Sync()
	}
	if err != nil {
		// Which of both was done is not known: nothing more is touched, unless
		// nothing was.
		if errors.Is(err, ErrNoExchange) {
			t.Files.Remove(temp)
		}
		return r, fmt.Errorf("putting %s in its place: %w", main, err)
	}
	if err := check(t.Files, main, program); err != nil {
		if old != nil {
			err = errors.Join(err, t.Files.Exchange(temp, main), t.Files.Sync())
		}
		return r, err
	}
	if old == nil {
		return r, nil
	}

	// The old one is in temp now.
	if foreign || !whole(old) {
		r.Former = whole(former)
		return r, t.Files.Remove(temp)
	}
	if _, err := t.Files.Read(Former); err == nil {
		if err := t.remove(Former); err != nil {
			return r, err
		}
	}
	if err := t.Files.Rename(temp, Former); err != nil {
		return r, fmt.Errorf("keeping the former one: %w", err)
	}
	r.Former = true
	return r, t.Files.Sync()
}

// clear removes what an earlier try left behind, and gives a name that is free.
func (r *Result) clear(files Files, booted ...[]byte) (temp string, err error) {
	for i := range 10 {
		name := fmt.Sprintf("%s/new%d.efi", Folder, i)
		b, err := read(files, name)
		switch {
		case err != nil:
			r.Notes = append(r.Notes, fmt.Sprintf("%s cannot be read (%v): unmount the partition, and let fsck.vfat -a repair it.", name, err))
		case b == nil:
			if temp == "" {
				temp = name
			}
		case bytes.Equal(b, booted[0]) || bytes.Equal(b, booted[1]):
			r.Notes = append(r.Notes, fmt.Sprintf("%s may be a second name of a file that is booted, as after a power cut: unmount the partition, and let fsck.vfat -a repair it.", name))
		default:
			if err := files.Remove(name); err != nil {
				return "", fmt.Errorf("clearing away %s: %w", name, err)
			}
			if err := files.Sync(); err != nil {
				return "", err
			}
			if temp == "" {
				temp = name
			}
		}
	}
	if temp == "" {
		return "", fmt.Errorf("%s is full of what earlier tries left behind: unmount the partition, and let fsck.vfat -a repair it", Folder)
	}
	return temp, nil
}

// makeRoom sees to it that there is room for a program, if need be by removing
// the former one.
func (t Target) makeRoom(size int, old, former []byte, foreign bool) error {
	const slack = 64 << 10 // folders, and clusters that are not filled
	need := int64(size) + slack
	if foreign {
		need += int64(len(old))
	}
	free, err := t.Files.Free()
	if err != nil || free >= need {
		return err
	}
	if former != nil && whole(old) && !bytes.Equal(old, former) && free+int64(len(former)) >= need {
		return t.remove(Former)
	}
	return fmt.Errorf("the partition has %d bytes free, and %d are needed: %d too few", free, need, need-free)
}

func (t Target) remove(name string) error {
	if err := t.Files.Remove(name); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return t.Files.Sync()
}

// Uninstall undoes [Install]: the loader that had the removable path before
// gets it back. It refuses to leave a partition without anything to boot,
// unless force is set.
func Uninstall(t Target, force bool) (Result, error) {
	main, err := t.Path()
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: main}
	current, err := read(t.Files, main)
	if err != nil {
		return r, err
	}
	former, err := read(t.Files, Former)
	if err != nil {
		return r, err
	}
	replaced, err := read(t.Files, Replaced)
	if err != nil {
		return r, err
	}
	switch {
	case t.Removable && current != nil && !Ours(current):
		// As it is when the power went while it was put back.
		if !whole(current) || former == nil && replaced == nil {
			return r, fmt.Errorf("%s is not alpboot's", main)
		}
	case t.Removable && current != nil && replaced != nil:
		temp, err := r.clear(t.Files, current, former)
		if err != nil {
			return r, err
		}
		if err := writeChecked(t.Files, temp, replaced); err != nil {
			return r, err
		}
		if err := t.Files.Exchange(temp, main); err != nil {
			return r, fmt.Errorf("putting back what %s was: %w", main, err)
		}
		if err := t.Files.Sync(); err != nil {
			return r, err
		}
		if err := check(t.Files, main, replaced); err != nil {
			return r, err
		}
		if err := t.remove(temp); err != nil {
			return r, err
		}
	case current != nil:
		if !force {
			others, err := others(t.Files)
			if err != nil {
				return r, err
			}
			if len(others) == 0 {
				return r, errors.New("nothing else on the partition could be booted: install another boot loader first, or use --force")
			}
		}
		if err := t.remove(main); err != nil {
			return r, err
		}
	}
	for _, name := range []string{Former, Replaced} {
		if _, err := t.Files.Read(name); err == nil {
			if err := t.remove(name); err != nil {
				return r, err
			}
		}
	}
	if names, err := t.Files.List(Folder); err == nil && len(names) == 0 {
		t.Files.Remove(Folder) // an empty folder does no harm either
	}
	return r, nil
}

// others gives the EFI programs on the partition that are not ours.
func others(files Files) ([]string, error) {
	var list []string
	folders := []string{"EFI"}
	for depth := 0; depth < 3; depth++ { // loaders lie in EFI/NAME or a folder of it
		var next []string
		for _, dir := range folders {
			names, err := files.List(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				name := path.Join(dir, n)
				if !strings.HasSuffix(strings.ToLower(n), ".efi") {
					next = append(next, name)
					continue
				}
				b, err := files.Read(name)
				if err == nil && whole(b) && !Ours(b) {
					list = append(list, name)
				}
			}
		}
		folders = next
	}
	return list, nil
}

// read gives the content of a file; nil when there is none.
func read(files Files, name string) ([]byte, error) {
	b, err := files.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

// writeChecked writes a file and reads it back.
func writeChecked(files Files, name string, data []byte) error {
	if err := files.Write(name, data); err != nil {
		files.Remove(name) // half a file is of no use
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := check(files, name, data); err != nil {
		return errors.Join(err, files.Remove(name))
	}
	return nil
}

// check reads a file back.
func check(files Files, name string, want []byte) error {
	got, err := files.Read(name)
	if err != nil {
		return fmt.Errorf("reading %s back: %w", name, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not what was written: the disk may be failing", name)
	}
	return nil
}

// whole tells whether a file is an EFI program, with all that its header says.
func whole(b []byte) bool {
	_, err := efi.Parse(b)
	return err == nil
}

// Ours tells whether a program is a unified kernel image of alpboot.
func Ours(b []byte) bool {
	p, err := efi.Parse(b)
	if err != nil {
		return false
	}
	for _, s := range p.Sections() {
		if s.Name == ".osrel" {
			return strings.Contains("\n"+string(s.Data), "\nID=alpboot\n")
		}
	}
	return false
}
