// Package esp installs alpboot on an EFI system partition, replaces it by a
// newer one, and removes it again.
//
// Two things hold whatever fails, whenever power goes, and in whichever order
// [Install] and [Uninstall] are called, for the removable path or not, before
// or after other systems put their loaders there:
//
//   - There is a whole file where firmware looks.
//   - A file of another system stays as it is, at its place; or, when alpboot
//     took that place, in [Directory] with the same bytes. The Uninstall that
//     leaves the place puts it back. No other call removes it.
//
// FAT has no journal and no way to replace a file at once. What is relied on is
// this: a new file is written under a name that nobody boots, and is on the
// disk before anything else is done; then it changes places with the old one
// (RENAME_EXCHANGE, on FAT since Linux 6.0), which changes two directory
// entries and frees nothing. Should only one of them reach the disk, both names
// lead to the same whole file. Of such a pair neither is deleted, as that would
// free what the other is made of.
package esp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot/payload/efi"
)

// Files are the files of the partition. Paths are slash paths from its root.
type Files interface {
	// Read returns the content of a file, from the disk and not from memory as
	// far as that can be had; an error that is [fs.ErrNotExist] when there is none.
	Read(name string) ([]byte, error)
	// Write makes a file, and its directories, all of it on the disk when it
	// returns. The file must not be there.
	Write(name string, data []byte) error
	// Rename renames a file; the new name must be free.
	Rename(from, to string) error
	// Exchange makes two files change places; the error is [ErrNoExchange] when
	// the filesystem cannot.
	Exchange(a, b string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Sync returns when all that was done before is on the disk.
	Sync() error
	// List returns the names in a directory; none when it is not there.
	List(dir string) ([]string, error)
	// Free returns the bytes that further files may take.
	Free() (int64, error)
}

// ErrNoExchange means that two files cannot change places.
var ErrNoExchange = errors.New("this kernel cannot make two files on the partition change places, without which an update would not survive a power cut: Linux 6.0 or newer can")

// The files that are ours by their names. Loaders of others that had to make
// way are kept in Directory too: see [Target.kept].
const (
	Directory = "EFI/alpboot"
	Current   = Directory + "/alpboot.efi"
	Previous  = Directory + "/former.efi" // the image before Current, under the name that it always had
	Trial     = Directory + "/trial.efi"  // an image that is tried: see [InstallTrial]

	replaced = Directory + "/replaced" // what names of kept loaders begin with
)

// Packaged returns where packages have alpboot's image, from the root of a system.
func Packaged() []string {
	return []string{"usr/share/alpboot/alpboot.efi", "usr/lib/alpboot/alpboot.efi", "var/lib/alpboot/alpboot.efi"}
}

// Fallback returns the path that firmware starts on a disk without a boot option;
// "" for a processor whose firmware has none.
func Fallback(arch string) string { return removable[arch] }

// removable maps processors to the path that firmware starts on media without
// a boot entry (UEFI specification, chapter 3.5.1.1).
var removable = map[string]string{"amd64": "EFI/BOOT/BOOTX64.EFI", "arm64": "EFI/BOOT/BOOTAA64.EFI", "riscv64": "EFI/BOOT/BOOTRISCV64.EFI"}

// Target is where alpboot is installed.
type Target struct {
	Files     Files
	Arch      string // processor, as GOARCH spells it
	Removable bool   // at the path for removable media, instead of Current
}

// Path returns the path of the file that firmware starts.
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

// Result is what [Install] or [Uninstall] has done.
type Result struct {
	Path     string   // of the file that firmware starts
	Previous bool     // Install: the image before is kept as Previous
	Same     bool     // Install: it was there already, and nothing was written
	Removed  []string // Uninstall: files that were removed
	PutBack  bool     // Uninstall: another system's loader is back at Path
	Left     []string // Uninstall: names that are left in Directory
	Notes    []string // what somebody should see to
}

// Install makes a program the one that firmware starts, and keeps the one
// before as [Previous]. It checks what it has written by reading it.
//
// Power may go at any time: firmware then finds either the old or the new one,
// whole. The next Install clears away what was left behind, but for a file that
// is the same as another one: after a power cut both may be made of the same
// clusters, until fsck.vfat separates them.
func Install(t Target, program []byte) (Result, error) {
	main, err := t.Path()
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: main}
	if t.Removable && !Ours(program) {
		return r, errors.New("its os-release does not have ID=alpboot, which distinguishes it from other loaders at this path")
	}
	old, err := Read(t.Files, main)
	if err != nil {
		return r, err
	}
	previous, err := Read(t.Files, Previous)
	if err != nil {
		return r, err
	}
	if bytes.Equal(old, program) {
		r.Same, r.Previous = true, whole(previous)
		return r, nil
	}
	temp, err := r.clear(t.Files)
	if err != nil {
		return r, err
	}
	foreign := t.Removable && old != nil && !Ours(old)
	keepAs, keptAs := "", ""
	if foreign {
		kept, free, err := t.kept(main)
		if err != nil {
			return r, err
		}
		if n := len(kept); n > 0 && bytes.Equal(kept[n-1].data, old) {
			keptAs = kept[n-1].name
		} else if keepAs = free; free == "" {
			return r, fmt.Errorf("%s holds as many loaders of other systems as there are names for: remove those that are not needed any more (%s*)", Directory, replaced)
		}
	}
	if err := t.makeRoom(len(program), old, previous, keepAs != ""); err != nil {
		return r, err
	}
	if keepAs != "" { // whole under a name that is looked for, or not at all
		if err := WriteChecked(t.Files, temp, old); err != nil {
			return r, err
		}
		if err := t.Files.Rename(temp, keepAs); err != nil {
			return r, fmt.Errorf("keeping what %s was: %w", main, err)
		}
		if err := t.Files.Sync(); err != nil {
			return r, err
		}
	}

	if err := WriteChecked(t.Files, temp, program); err != nil {
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
	if keptAs != "" {
		r.Previous = whole(previous)
		r.stays(temp, keptAs)
		return r, nil
	}
	if foreign || !whole(old) {
		r.Previous = whole(previous)
		return r, r.remove(t.Files, file{temp, old})
	}
	if previous, err = Read(t.Files, Previous); err == nil && previous != nil { // makeRoom may have removed it
		other, err := shared(t.Files, file{Previous, previous})
		if err != nil {
			return r, err
		}
		if other != "" {
			r.Previous = whole(previous)
			r.Notes = append(r.Notes, fmt.Sprintf("the image before is %s, and not %s, which may share its clusters with %s: %s.", temp, Previous, other, repair))
			return r, nil
		}
		err = Remove(t.Files, Previous)
		if err != nil {
			return r, err
		}
	}
	if err := t.Files.Rename(temp, Previous); err != nil {
		return r, fmt.Errorf("keeping the previous image: %w", err)
	}
	r.Previous = true
	return r, t.Files.Sync()
}

// file is a file and its content.
type file struct {
	name string
	data []byte
}

// kept returns the loaders of other systems that were at the path main when
// alpboot took it, the last of them at the end, and a name for one more; that is
// "" when there is none left.
func (t Target) kept(main string) (list []file, free string, err error) {
	names := []string{replaced + ".efi"} // of whichever processor, as older versions had it
	base := replaced + "-" + strings.TrimSuffix(strings.ToLower(path.Base(main)), ".efi")
	names = append(names, base+".efi")
	for n := 2; n < 10; n++ {
		names = append(names, fmt.Sprintf("%s-%d.efi", base, n))
	}
	last := 0
	for i, name := range names {
		b, err := Read(t.Files, name)
		if err != nil {
			return nil, "", err
		}
		if b == nil {
			continue
		}
		if p, err := efi.Parse(b); i == 0 && err == nil && p.Arch() != t.Arch {
			continue
		}
		list = append(list, file{name, b})
		last = i
	}
	if last+1 < len(names) {
		free = names[last+1]
	}
	return list, free, nil
}

// leftovers returns the files that operations cut short may have left behind,
// and a name that is free; a file that cannot be read has no data.
func leftovers(files Files) (list []file, free string) {
	for i := range 10 {
		name := fmt.Sprintf("%s/new%d.efi", Directory, i)
		b, err := Read(files, name)
		if err == nil && b == nil {
			free = cmp.Or(free, name)
			continue
		}
		list = append(list, file{name, b})
	}
	return list, free
}

// shared returns the name of another file that may be made of the same clusters
// as this one, as after a power cut, or "". To remove either would destroy both.
// What is not alpboot, under a name of its own, may be any file of the partition.
func shared(files Files, f file) (string, error) {
	if f.data == nil {
		return "", nil
	}
	if (f.name == Current || f.name == Previous) && !Ours(f.data) {
		return alike(files, "", f)
	}
	list, _ := leftovers(files)
	for _, l := range list {
		if l.name != f.name && bytes.Equal(l.data, f.data) {
			return l.name, nil
		}
	}
	return "", nil
}

// repair is what somebody has to do about files that share their clusters.
const repair = "unmount the partition, let fsck.vfat -a repair it, and remove the file if it is still there"

// clear removes what an earlier try left behind, and returns a name that is free.
func (r *Result) clear(files Files) (temp string, err error) {
	list, temp := leftovers(files)
	for _, f := range list {
		if f.data == nil {
			r.Notes = append(r.Notes, fmt.Sprintf("%s cannot be read: %s.", f.name, repair))
			continue
		}
		name, err := alike(files, "", f)
		if err != nil {
			return "", err
		}
		if name != "" {
			r.stays(f.name, name)
			continue
		}
		if err := Remove(files, f.name); err != nil {
			return "", err
		}
		temp = cmp.Or(temp, f.name)
	}
	if temp == "" {
		return "", fmt.Errorf("%s is full of what earlier tries left behind: %s", Directory, repair)
	}
	return temp, nil
}

// alike returns the name of a file below a directory that begins with the same
// bytes as another one, as far as the shorter of both goes; "" when there is none.
// Trial shares its clusters with none.
func alike(files Files, dir string, f file) (string, error) {
	names, err := files.List(dir)
	if err != nil {
		return "", err
	}
	for _, n := range names {
		name := path.Join(dir, n)
		if name == f.name || name == Trial {
			continue
		}
		if b, err := files.Read(name); err == nil {
			if n := min(len(b), len(f.data)); n > 0 && bytes.Equal(b[:n], f.data[:n]) {
				return name, nil
			}
		} else if found, err := alike(files, name, f); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}

// makeRoom sees to it that there is room for a program, if need be by removing
// the previous one.
func (t Target) makeRoom(size int, old, previous []byte, keep bool) error {
	const slack = 64 << 10 // directories, and clusters that are not filled
	need := int64(size) + slack
	if keep {
		need += int64(len(old))
	}
	free, err := t.Files.Free()
	if err != nil || free >= need {
		return err
	}
	if previous != nil && whole(old) && !bytes.Equal(old, previous) && free+int64(len(previous)) >= need {
		if other, err := shared(t.Files, file{Previous, previous}); other == "" && err == nil {
			return Remove(t.Files, Previous)
		}
	}
	return fmt.Errorf("the partition has %d bytes free, and %d are needed: %d too few", free, need, need-free)
}

// remove removes a file with this content, unless that may be part of another
// one: then it notes that it stays.
func (r *Result) remove(files Files, f file) error {
	other, err := shared(files, f)
	if err != nil {
		return err
	}
	if other != "" {
		r.stays(f.name, other)
		return nil
	}
	return Remove(files, f.name)
}

// stays notes that a file is not removed, as that may destroy another one.
func (r *Result) stays(name, other string) {
	r.Notes = append(r.Notes, fmt.Sprintf("%s stays, as it may be a second name of %s after a power cut: %s.", name, other, repair))
}

// Remove removes a file, and returns when that is on the disk.
func Remove(files Files, name string) error {
	if err := files.Remove(name); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return files.Sync()
}

// Uninstall undoes [Install]: the loader that had the removable path before
// gets it back. That bootable is false means that nothing beyond these files is
// known to boot; then Uninstall looks for another loader on the partition, and
// refuses to leave it without one.
func Uninstall(t Target, bootable bool) (Result, error) {
	main, err := t.Path()
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: main}
	current, err := Read(t.Files, main)
	if err != nil {
		return r, err
	}
	previous, err := Read(t.Files, Previous)
	if err != nil {
		return r, err
	}
	var back *file // what is put back
	if t.Removable {
		kept, _, err := t.kept(main)
		if err != nil {
			return r, err
		}
		if n := len(kept); n > 0 {
			back = &kept[n-1]
		}
		if _, err := t.Files.Read(Current); err == nil {
			previous = nil // it belongs to that
		}
	}
	for _, f := range []file{{main, current}, {Previous, previous}} {
		other, err := shared(t.Files, f)
		if err != nil {
			return r, err
		}
		if other != "" {
			return r, fmt.Errorf("%s may be a second name of %s, as after a power cut: %s", other, f.name, repair)
		}
	}
	foreign := t.Removable && current != nil && !Ours(current)
	switch {
	case foreign && back != nil && bytes.Equal(current, back.data):
		// As when the power went. The copy may share its clusters with it, and stays.
		r.PutBack, back = true, nil
	case foreign:
		return r, fmt.Errorf("%s is not alpboot's, and stays", main)
	case back != nil:
		temp, err := r.clear(t.Files)
		if err != nil {
			return r, err
		}
		if err := WriteChecked(t.Files, temp, back.data); err != nil {
			return r, err
		}
		if current == nil {
			err = t.Files.Rename(temp, main)
		} else {
			err = t.Files.Exchange(temp, main)
		}
		if err != nil {
			return r, fmt.Errorf("putting back what %s was: %w", main, err)
		}
		if err := t.Files.Sync(); err != nil {
			return r, err
		}
		if err := check(t.Files, main, back.data); err != nil {
			return r, err
		}
		r.PutBack = true
		if current != nil {
			if err := Remove(t.Files, temp); err != nil {
				return r, err
			}
		}
	case current != nil:
		if !bootable {
			others, err := others(t.Files, main)
			if err != nil {
				return r, err
			}
			if len(others) == 0 {
				return r, errors.New("nothing else is known that this machine could boot: install another boot loader first, or use --force")
			}
		}
		if err := Remove(t.Files, main); err != nil {
			return r, err
		}
		r.Removed = append(r.Removed, main)
	}
	if previous != nil {
		if err := Remove(t.Files, Previous); err != nil {
			return r, err
		}
		r.Removed = append(r.Removed, Previous)
	}
	if !t.Removable {
		if err := r.dropTrial(t.Files); err != nil {
			return r, err
		}
	}
	if back != nil {
		if err := r.remove(t.Files, *back); err != nil {
			return r, err
		}
	}
	if r.Left, err = t.Files.List(Directory); err == nil && len(r.Left) == 0 {
		t.Files.Remove(Directory) // which may not be there
	}
	return r, err
}

// others returns the EFI programs on the partition that firmware or another
// boot loader starts, without main, which goes.
func others(files Files, main string) ([]string, error) {
	var list []string
	dirs := []string{"EFI"}
	for depth := 0; depth < 3; depth++ { // loaders are in EFI/NAME or a directory of it
		var next []string
		for _, dir := range dirs {
			names, err := files.List(dir)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				name := path.Join(dir, n)
				switch {
				case strings.EqualFold(name, Directory), strings.EqualFold(name, main): // started by our boot entries alone
				case !strings.HasSuffix(strings.ToLower(n), ".efi"):
					next = append(next, name)
				default:
					if b, err := files.Read(name); err == nil && whole(b) {
						list = append(list, name)
					}
				}
			}
		}
		dirs = next
	}
	return list, nil
}

// Read returns the content of a file; nil when there is none.
func Read(files Files, name string) ([]byte, error) {
	b, err := files.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

// WriteChecked writes a new file and reads it back. Half a file is removed.
func WriteChecked(files Files, name string, data []byte) error {
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

// whole reports whether a file is an EFI program of the length in its header.
func whole(b []byte) bool {
	_, err := efi.Parse(b)
	return err == nil
}

// Ours reports whether a program is a unified kernel image of alpboot.
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
