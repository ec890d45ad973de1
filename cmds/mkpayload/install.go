package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// installation says what is installed where.
type installation struct {
	dir       string // mount point of the EFI system partition
	uki       string
	efivars   string
	removable bool
	try       bool
	force     bool
	dryRun    bool
}

// variables are EFI variables of which it is known whether they can be written.
type variables interface {
	efivar.Variables
	Writable() error
}

// machine is what installing asks of the machine.
type machine struct {
	arch      string // of its firmware, as GOARCH spells it
	partition func(esp.Mounted) (efivar.Partition, error)
	variables func(dir string) variables
}

func thisMachine() machine {
	return machine{runtime.GOARCH, esp.Mounted.Partition, func(dir string) variables { return efivar.Dir(dir) }}
}

// flags adds the flags that installing and its undoing share.
func (i *installation) flags(flags *flag.FlagSet) {
	flags.StringVar(&i.dir, "esp", "", "`DIR` where the EFI system partition is mounted, such as /boot/efi")
	flags.BoolVar(&i.removable, "removable", false, "use the path that firmware starts without a boot entry, EFI/BOOT/BOOTX64.EFI")
	flags.StringVar(&i.efivars, "efivars", "/"+efivar.Path, "`DIR` where the EFI variables are mounted")
	flags.BoolVar(&i.dryRun, "dry-run", false, "only say what would be done")
}

func runInstall(ctx context.Context, args []string, out output) error {
	var i installation
	flags := flag.NewFlagSet("install", flag.ContinueOnError)
	i.flags(flags)
	flags.StringVar(&i.uki, "uki", "", "UKI `FILE` to install (default build/x86_64/alpboot.efi, of the checkout)")
	flags.BoolVar(&i.try, "try", false, "start it at the next start only, and after all others from then on")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if i.dir == "" {
		return misuse("--esp DIR is needed: where the EFI system partition is mounted")
	}
	if i.try && i.removable {
		return misuse("--try needs a boot entry, which --removable does without")
	}
	if err := setOutput(ctx, &i.uki, "amd64", "alpboot.efi"); err != nil {
		return fmt.Errorf("which --uki: %w", err)
	}
	return i.install(thisMachine(), out)
}

func runUninstall(_ context.Context, args []string, out output) error {
	var i installation
	flags := flag.NewFlagSet("uninstall", flag.ContinueOnError)
	i.flags(flags)
	flags.BoolVar(&i.force, "force", false, "even if nothing is left to boot")
	if err := parseFlags(flags, args, out); err != nil {
		return err
	}
	if i.dir == "" {
		return misuse("--esp DIR is needed: where the EFI system partition is mounted")
	}
	return i.uninstall(thisMachine(), out)
}

// entries are our boot entries; the second one is for the former UKI.
func entries() []esp.Entry {
	return []esp.Entry{{Title: "alpboot", File: esp.Current}, {Title: "alpboot (former)", File: esp.Former}}
}

// prepare gives where to install, and what boot entries need.
func (i installation) prepare(m machine, out output) (files esp.Files, p efivar.Partition, vars variables, err error) {
	mounted := esp.Mounted(i.dir)
	if st, err := os.Stat(i.dir); err != nil {
		return nil, p, nil, err
	} else if !st.IsDir() {
		return nil, p, nil, fmt.Errorf("%s is not a folder", i.dir)
	}
	if !i.removable {
		if p, err = m.partition(mounted); err != nil {
			return nil, p, nil, err
		}
		vars = m.variables(i.efivars)
		if err := vars.Writable(); err != nil {
			return nil, p, nil, fmt.Errorf("no boot entry can be made: %w; use --removable, which does without", err)
		}
	}
	if !mounted.IsFAT() {
		out.progress("%s is not a FAT filesystem: few firmwares read others", i.dir)
	}
	if i.dryRun {
		return &rehearsal{Files: mounted, out: out, changed: map[string][]byte{}}, p, vars, nil
	}
	return mounted, p, vars, nil
}

func (i installation) install(m machine, out output) error {
	program, err := os.ReadFile(i.uki)
	if err != nil {
		return err
	}
	parsed, err := efi.Parse(program)
	if err != nil {
		return fmt.Errorf("%s: %w", i.uki, err)
	}
	for _, name := range []string{".linux", ".initrd"} {
		if !slices.ContainsFunc(parsed.Sections(), func(s efi.Section) bool { return s.Name == name }) {
			return fmt.Errorf("%s is no unified kernel image, as it lacks %s: firmware would start it, and no menu would come; make one with mkpayload uki", i.uki, name)
		}
	}
	if !i.removable && parsed.Arch() != m.arch {
		return fmt.Errorf("%s is for %s, and this machine is %s: its firmware would not start it", i.uki, parsed.Arch(), m.arch)
	}
	files, p, vars, err := i.prepare(m, out)
	if err != nil {
		return err
	}
	r, err := esp.Install(esp.Target{Files: files, Arch: parsed.Arch(), Removable: i.removable}, program)
	for _, n := range r.Notes {
		out.progress("%s", n)
	}
	if err != nil {
		return err
	}
	what := "is installed as"
	if r.Same {
		what = "was there already, as"
	}
	if i.dryRun {
		what = "would become"
	}
	kept := ""
	if r.Former {
		kept = "; the former one is " + esp.Former
	}
	fmt.Fprintf(out.stdout, "%s %s %s%s\n", i.uki, what, r.Path, kept)
	if i.removable {
		return nil
	}
	wanted := entries()
	if !r.Former {
		wanted = wanted[:1]
	}
	order, where := esp.First, "first"
	if i.try {
		order, where = esp.Try, "at the next start only"
	}
	if i.dryRun {
		fmt.Fprintf(out.stdout, "would see to %d boot entries, new ones %s\n", len(wanted), where)
		return nil
	}
	if err := esp.Register(vars, p, wanted, order); err != nil {
		return fmt.Errorf("the file is installed, but firmware does not know of it: %w", err)
	}
	fmt.Fprintf(out.stdout, "the firmware's boot entries are in order; new ones are tried %s\n", where)
	return nil
}

func (i installation) uninstall(m machine, out output) error {
	files, p, vars, err := i.prepare(m, out)
	if err != nil {
		return err
	}
	force := i.force
	if !i.removable {
		others, err := esp.Others(vars, p, esp.Current, esp.Former)
		if err != nil {
			return err
		}
		force = force || others
	}
	arch, err := i.arch(files)
	if err != nil {
		return err
	}
	// Entries go last: without a file an entry is passed over, while a file
	// without an entry is not found when all else fails.
	r, err := esp.Uninstall(esp.Target{Files: files, Arch: arch, Removable: i.removable}, force)
	for _, n := range r.Notes {
		out.progress("%s", n)
	}
	if err != nil {
		return err
	}
	if i.dryRun {
		fmt.Fprintln(out.stdout, "would remove alpboot's boot entries")
		return nil
	}
	if !i.removable {
		if err := esp.Unregister(vars, p, esp.Current, esp.Former); err != nil {
			return fmt.Errorf("the files are gone, but boot entries may be left: %w", err)
		}
	}
	fmt.Fprintf(out.stdout, "%s is gone\n", r.Path)
	return nil
}

// arch tells for which processor alpboot is installed at the path for removable
// media; where it is not, for which one another program is.
func (i installation) arch(files esp.Files) (string, error) {
	if !i.removable {
		return "", nil
	}
	found := ""
	for _, arch := range slices.Sorted(maps.Keys(archs)) {
		p, err := esp.Target{Arch: arch, Removable: true}.Path()
		if err != nil {
			return "", err
		}
		program, err := files.Read(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", err
		case esp.Ours(program):
			return arch, nil
		case found == "":
			found = arch
		}
	}
	if found == "" {
		found = "amd64"
	}
	return found, nil
}

// rehearsal tells what would be done to files, and keeps it in memory.
type rehearsal struct {
	esp.Files
	out     output
	changed map[string][]byte // nil for one that is gone
}

func (r *rehearsal) say(what ...string) {
	fmt.Fprintln(r.out.stdout, " ", strings.Join(what, " "))
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
	r.say("write", name+",", size(int64(len(data))))
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
