package esp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/remember"
)

// Setup is what is installed where, or removed from there.
type Setup struct {
	Dir       string // mount point of the EFI system partition
	UKI       string
	Efivars   string // where the EFI variables are mounted
	Removable bool
	Try       bool // at the next start only, until the system that it boots calls [Commit]
	Remember  bool // make a file for what the menu remembers, where there are no EFI variables
	Force     bool // uninstall even if nothing is left to boot
	DryRun    bool
}

// Variables are EFI variables of which it is known whether they can be written.
type Variables interface {
	efivar.Variables
	Writable() error
}

// Machine is what a [Setup] asks of the machine.
type Machine struct {
	Arch      string // of its firmware, as GOARCH spells it
	Partition func(Mounted) (efivar.Partition, error)
	Variables func(dir string) Variables
	Mounts    func() []Mounted // of all filesystems
}

// NewMachine returns the machine whose files are below root, and that runs here.
func NewMachine(root string) Machine {
	return Machine{
		Arch:      runtime.GOARCH,
		Partition: Mounted.Partition,
		Variables: func(dir string) Variables { return efivar.Dir(dir) },
		Mounts: func() []Mounted {
			var list []Mounted
			for _, m := range mountinfo.Read(os.DirFS(root)) {
				list = append(list, Mounted(filepath.Join(root, m.Point)))
			}
			return list
		},
	}
}

// entries are our boot entries; the second one is for the previous image.
func entries() []Entry {
	return []Entry{{Title: "alpboot", File: Current}, {Title: "alpboot (previous)", File: Previous}}
}

// place is where a Setup goes.
type place struct {
	files     Files
	partition efivar.Partition
	variables Variables
}

// open finds out what the boot entries need. One for the removable path does
// without, if need be.
func (s Setup) open(m Machine, out payload.Output) (p place, err error) {
	mounted := Mounted(s.Dir)
	if st, err := os.Stat(s.Dir); err != nil {
		return p, err
	} else if !st.IsDir() {
		return p, fmt.Errorf("%s is not a directory", s.Dir)
	}
	p.variables = m.Variables(s.Efivars)
	if p.partition, err = m.Partition(mounted); err != nil && !s.Removable {
		return p, err
	}
	if err := p.variables.Writable(); err != nil && !s.Removable {
		return p, fmt.Errorf("no boot entry can be made: %w; use --removable, which does without", err)
	}
	p.files = mounted
	if s.DryRun {
		p.files = Rehearse(mounted, out)
	}
	return p, nil
}

// Install installs the UKI, or replaces the one that is there, and sees to the
// boot entries.
func (s Setup) Install(m Machine, out payload.Output) error {
	program, err := os.ReadFile(s.UKI)
	if err != nil {
		return err
	}
	parsed, err := efi.Parse(program)
	if err != nil {
		return fmt.Errorf("%s: %w", s.UKI, err)
	}
	for _, name := range []string{".linux", ".initrd"} {
		if !slices.ContainsFunc(parsed.Sections(), func(s efi.Section) bool { return s.Name == name }) {
			return fmt.Errorf("%s is not a unified kernel image, as it lacks %s: firmware would start it, and no menu would come; make one with mkpayload uki", s.UKI, name)
		}
	}
	if !s.Removable && parsed.Arch() != m.Arch {
		return fmt.Errorf("%s is for %s, and this machine is %s: its firmware would not start it", s.UKI, parsed.Arch(), m.Arch)
	}
	p, err := s.open(m, out)
	if err != nil {
		return err
	}
	if !Mounted(s.Dir).IsFAT() {
		out.Progress("%s is not a FAT filesystem: few firmwares read others", s.Dir)
	}
	if s.Try {
		return s.try(p, program, out)
	}
	r, err := Install(Target{Files: p.files, Arch: parsed.Arch(), Removable: s.Removable}, program)
	for _, n := range r.Notes {
		out.Progress("%s", n)
	}
	if err != nil {
		return err
	}
	what, previous := "is installed as", ""
	switch {
	case s.DryRun:
		what = "would become"
	case r.Same:
		what = "was there already, as"
	}
	if r.Previous {
		previous = "; the previous image is " + Previous
	}
	out.Printf("%s %s %s%s\n", s.UKI, what, r.Path, previous)
	if err := s.prepareMemory(p, out); err != nil {
		return err
	}
	if s.Removable {
		return nil
	}
	wanted := entries()
	if !r.Previous {
		wanted = wanted[:1]
	}
	if s.DryRun {
		out.Printf("would see to %d boot entries, new ones first\n", len(wanted))
		return nil
	}
	if err := Register(p.variables, p.partition, wanted...); err != nil {
		return fmt.Errorf("the file is installed, but firmware does not know of it: %w", err)
	}
	out.Printf("the firmware's boot entries are in order; new ones are tried first\n")
	return nil
}

// prepareMemory makes a file for what the menu remembers, if that was asked for and
// there are no EFI variables for it.
func (s Setup) prepareMemory(p place, out payload.Output) error {
	const file = Directory + "/" + remember.FileName
	why := p.variables.Writable()
	switch {
	case why == nil && s.Remember:
		out.Printf("the menu remembers in EFI variables: no file is needed\n")
	case why == nil:
	case !s.Remember:
		out.Progress("the menu can remember nothing (%v): --remember makes a file for it", why)
	case s.DryRun:
		out.Printf("would make %s.0 and .1, in which the menu remembers\n", file)
	default:
		if err := remember.Make(s.Dir, file); err != nil {
			return fmt.Errorf("making the file in which the menu remembers: %w", err)
		}
		out.Printf("the menu remembers in %s.0 and .1\n", file)
	}
	return nil
}

// Uninstall undoes Install, but for a file in which the menu remembers.
func (s Setup) Uninstall(m Machine, out payload.Output) error {
	p, err := s.open(m, out)
	if err != nil {
		return err
	}
	t := Target{Files: p.files, Removable: s.Removable}
	if t.Arch, err = s.arch(p.files); err != nil {
		return err
	}
	main, err := t.Path()
	if err != nil {
		return err
	}
	exists := func(at efivar.Partition, file string) bool {
		if same(at, p.partition) {
			ours := slices.ContainsFunc([]string{main, Previous, Trial}, func(name string) bool { return strings.EqualFold(file, name) })
			return !ours && isProgram(p.files, file)
		}
		return slices.ContainsFunc(m.Mounts(), func(mounted Mounted) bool {
			there, err := m.Partition(mounted)
			return err == nil && same(at, there) && isProgram(mounted, file)
		})
	}
	other, err := Bootable(p.variables, exists)
	if err != nil && !s.Removable {
		return err
	}
	// Entries go last: without a file an entry is passed over, while a file
	// without an entry is not found when all else fails.
	r, err := Uninstall(t, s.Force || other != "")
	for _, n := range r.Notes {
		out.Progress("%s", n)
	}
	if err != nil {
		return err
	}
	removed := "removed"
	if s.DryRun {
		removed = "would remove"
	}
	if r.Removed != nil {
		out.Printf("%s %s\n", removed, strings.Join(r.Removed, ", "))
	}
	if r.PutBack {
		out.Printf("%s is again what it was before alpboot\n", main)
	} else if !slices.Contains(r.Removed, main) {
		out.Printf("there was no %s\n", main)
	}
	switch {
	case s.Removable:
	case s.DryRun:
		out.Printf("would remove alpboot's boot entries\n")
	default:
		n, err := Unregister(p.variables, p.partition, Current, Previous, Trial)
		if err != nil {
			return fmt.Errorf("the files are removed, but boot entries may be left: %w", err)
		}
		if n == 0 {
			out.Printf("the firmware had no boot entry of alpboot\n")
		} else {
			out.Printf("removed %d boot entries of alpboot\n", n)
		}
	}
	if len(r.Left) > 0 {
		out.Printf("%s stays, with %s\n", Directory, strings.Join(r.Left, ", "))
	}
	return nil
}

// same reports whether two partitions are the same one, whose start and size may
// have changed.
func same(a, b efivar.Partition) bool {
	return a.Signature != [16]byte{} && a.Signature == b.Signature && a.GPT == b.GPT && (a.GPT || a.Number == b.Number)
}

// isProgram reports whether a file is an EFI program that firmware can start.
func isProgram(files Files, name string) bool {
	b, err := files.Read(name)
	return err == nil && whole(b)
}

// arch returns the processor that alpboot is installed for at the path for
// removable media; where it is not, the one that another program there is for.
func (s Setup) arch(files Files) (string, error) {
	if !s.Removable {
		return "", nil
	}
	found := ""
	for _, arch := range slices.Sorted(maps.Keys(removable)) {
		program, err := Read(files, removable[arch])
		switch {
		case err != nil:
			return "", err
		case program != nil && Ours(program):
			return arch, nil
		case program != nil && found == "":
			found = arch
		}
	}
	if found == "" {
		found = "amd64"
	}
	return found, nil
}

// Rehearse returns files of which what would be done to them is reported, and kept
// in memory.
func Rehearse(files Files, out payload.Output) Files {
	return &rehearsal{Files: files, out: out, changed: map[string][]byte{}}
}

type rehearsal struct {
	Files
	out     payload.Output
	changed map[string][]byte // nil for one that is gone
}

func (r *rehearsal) say(what ...string) {
	r.out.Printf("  %s\n", strings.Join(what, " "))
}

func (r *rehearsal) Read(name string) ([]byte, error) {
	if b, ok := r.changed[name]; ok {
		if b == nil {
			return nil, fs.ErrNotExist
		}
		return b, nil
	}
	return r.Files.Read(name)
}

func (r *rehearsal) Write(name string, data []byte) error {
	r.say("write", name+",", payload.Size(int64(len(data))))
	r.changed[name] = data
	return nil
}

func (r *rehearsal) Rename(from, to string) error {
	r.say("rename", from, "to", to)
	b, err := r.Read(from)
	r.changed[to], r.changed[from] = b, nil
	return err
}

func (r *rehearsal) Exchange(a, b string) error {
	r.say("exchange", a, "and", b)
	x, errX := r.Read(a)
	y, errY := r.Read(b)
	r.changed[a], r.changed[b] = y, x
	return errors.Join(errX, errY)
}

func (r *rehearsal) Remove(name string) error {
	r.say("remove", name)
	r.changed[name] = nil
	return nil
}

func (r *rehearsal) Sync() error { return nil }

func (r *rehearsal) List(dir string) ([]string, error) {
	names, err := r.Files.List(dir)
	for name, b := range r.changed {
		if path.Dir(name) == dir {
			names = slices.DeleteFunc(names, func(n string) bool { return n == path.Base(name) })
			if b != nil {
				names = append(names, path.Base(name))
			}
		}
	}
	return names, err
}
