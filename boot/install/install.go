// Package install makes alpboot what a machine starts, and undoes that: on the EFI
// system partition, by package esp, or as the first entry of another boot loader's
// menu, whose configuration it edits.
//
// Whatever fails and whenever power goes, what the firmware or that loader starts is
// there, whole. A configuration is replaced at once, by one of which alpboot's own
// parser has found that it starts alpboot and keeps every other entry. What it names
// is on the disk before it, and is removed after it.
package install

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// Setup is what is asked for.
type Setup struct {
	Image     string // file: a unified kernel image, or a kernel as Initramfs has it; "" for the one of the package
	Initramfs string // file; "" where Image is a unified kernel image, or a kernel with one built in
	Cmdline   string // for a kernel with Initramfs; "" for the usual one

	ESP       string // where the EFI system partition is mounted; "" to look for it
	Loader    string // the boot loader in whose menu alpboot is to be; "" for UEFI itself, or the one that is there
	Removable bool   // UEFI: at the path for removable media
	Try       bool   // UEFI: at the next start only, until the system says good
	Force     bool   // install an older one; uninstall even if nothing is left to boot
	DryRun    bool
}

// Machine is the system that it is done on.
type Machine struct {
	Root   string // of its files: "/"
	ESP    esp.Machine
	Mounts func() []mountinfo.Mount
	Open   func(dir string) Files
	// Sectors returns what the disk and the partition of a filesystem begin with,
	// where boot loaders have their first part.
	Sectors func(m mountinfo.Mount) (disk, partition []byte)
	// Volume returns what the filesystem of a mount is. GRUB's configurations look for
	// it by UUID or label.
	Volume func(m mountinfo.Mount) boot.Volume
}

// New returns the system whose files are below root, and that runs here.
func New(root string) Machine {
	return Machine{
		Root:    root,
		ESP:     esp.NewMachine(root),
		Mounts:  func() []mountinfo.Mount { return mountinfo.Read(os.DirFS(root)) },
		Open:    func(dir string) Files { return mounted{esp.Mounted(dir)} },
		Sectors: func(m mountinfo.Mount) (disk, partition []byte) { return sectors(root, m) },
		Volume:  func(m mountinfo.Mount) boot.Volume { return volume(root, m) },
	}
}

func (m Machine) path(name string) string { return filepath.Join(m.Root, name) }

func (m Machine) isUEFI() bool {
	_, err := os.Stat(m.path("sys/firmware/efi"))
	return err == nil
}

// image returns the file to install.
func (s Setup) image(m Machine) (string, error) {
	if s.Image != "" {
		return s.Image, nil
	}
	beside, _ := os.Executable()
	for _, name := range append([]string{filepath.Join(filepath.Dir(beside), "alpboot.efi")}, m.paths(esp.Packaged())...) {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			return name, nil
		}
	}
	return "", fmt.Errorf("there is no alpboot.efi beside this program or in /%s: name it with --image", filepath.Dir(esp.Packaged()[0]))
}

func (m Machine) paths(names []string) (list []string) {
	for _, n := range names {
		list = append(list, m.path(n))
	}
	return list
}

// Install makes alpboot what the machine starts next.
func (s Setup) Install(m Machine, out payload.Output) error {
	file, err := s.image(m)
	if err != nil {
		return err
	}
	if s.Loader == "" && (m.isUEFI() || s.Removable) {
		return s.onESP(m, file, out)
	}
	c, err := m.config(s.Loader)
	if err != nil {
		return err
	}
	p, err := s.program(file)
	if err != nil {
		return err
	}
	return s.beside(c, p, false, out)
}

// ErrNotInstalled is what Update and Uninstall wrap where alpboot is not installed.
var ErrNotInstalled = errors.New("alpboot is not installed")

// Update replaces what is installed, where it is, by a newer one.
func (s Setup) Update(m Machine, out payload.Output) error {
	file, err := s.image(m)
	if err != nil {
		return err
	}
	where, err := s.installed(m)
	if err != nil {
		return err
	}
	if where.config != nil {
		p, err := s.program(file)
		if err != nil {
			return err
		}
		return s.beside(where.config, p, true, out)
	}
	s.ESP, s.Removable = where.esp, where.removable
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if bytes.Equal(b, where.program) {
		out.Printf("%s is %s, which is installed already: nothing newer is there.\n", file, versioned(b))
		return nil
	}
	if err := s.notOlder(file, versionOf(b), versionOf(where.program)); err != nil {
		return err
	}
	return s.onESP(m, file, out)
}

// Uninstall takes alpboot away again.
func (s Setup) Uninstall(m Machine, out payload.Output) error {
	where, err := s.installed(m)
	if err != nil {
		return err
	}
	if where.config != nil {
		return s.takeAway(where.config, out)
	}
	e := esp.Setup{Dir: where.esp, Efivars: m.path(efivar.Path), Removable: where.removable, Force: s.Force, DryRun: s.DryRun}
	if err := e.Uninstall(m.ESP, out); err != nil {
		return err
	}
	if !s.DryRun {
		out.Printf("alpboot is gone from the EFI system partition. The next start is what the firmware starts without it. alpboot install brings it back.\n")
	}
	return nil
}

// A place is where alpboot is installed.
type place struct {
	config    *config // of another boot loader; nil for the EFI system partition
	esp       string
	removable bool
	program   []byte
}

// installed finds where alpboot is installed, among what was asked for.
func (s Setup) installed(m Machine) (place, error) {
	var tried []string
	if s.Loader == "" {
		if dir, err := m.partition(s.ESP); err == nil {
			for _, removable := range []bool{false, true} {
				name := esp.Current
				if removable {
					if name, err = (esp.Target{Arch: m.ESP.Arch, Removable: true}).Path(); err != nil {
						continue
					}
				}
				b, err := esp.Mounted(dir).Read(name)
				trial := false
				if err != nil && !removable {
					_, err = esp.Mounted(dir).Read(esp.Trial)
					trial = err == nil
				}
				if (trial || err == nil && esp.Ours(b)) && (removable || !s.Removable) {
					return place{esp: dir, removable: removable, program: b}, nil
				}
			}
			tried = append(tried, dir)
		}
	}
	for _, l := range loaders() {
		if s.Loader != "" && s.Loader != l.name {
			continue
		}
		for _, c := range m.configs(l) {
			text, err := c.read()
			if err != nil {
				return place{}, err
			}
			if _, found, err := without(text); err != nil {
				return place{}, fmt.Errorf("%s: %w: remove alpboot's lines by hand", c.path(), err)
			} else if found {
				return place{config: c}, nil
			}
			tried = append(tried, c.path())
		}
	}
	if tried == nil {
		return place{}, fmt.Errorf("%w: there is neither an EFI system partition nor a boot loader that it knows", ErrNotInstalled)
	}
	return place{}, fmt.Errorf("%w in %s: alpboot install does that", ErrNotInstalled, strings.Join(tried, ", "))
}

// onESP installs on the EFI system partition.
func (s Setup) onESP(m Machine, file string, out payload.Output) error {
	dir, err := m.partition(s.ESP)
	if err != nil {
		return err
	}
	e := esp.Setup{Dir: dir, UKI: file, Efivars: m.path(efivar.Path), Removable: s.Removable, Try: s.Try, DryRun: s.DryRun}
	if err := e.Install(m.ESP, out); err != nil || s.DryRun {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	undo := "alpboot uninstall undoes this."
	switch {
	case s.Try:
		out.Printf("%s is on trial. The next start, and only that one, shows its menu; it stays when the system that it boots runs alpboot good, and else everything stays as it was. %s\n", versioned(b), undo)
	case s.Removable:
		out.Printf("%s is what the firmware starts from this disk. The next start shows its menu, where the firmware starts the disk without a boot entry of another system. %s\n", versioned(b), undo)
	default:
		out.Printf("%s is installed on the EFI system partition. The next start shows its menu%s. %s\n", versioned(b), m.unlessBehind(), undo)
	}
	return nil
}

// unlessBehind is what to add where the firmware tries something else first.
func (m Machine) unlessBehind() string {
	vars := m.ESP.Variables(m.path(efivar.Path))
	order, err := efivar.BootOrder(vars)
	if err != nil || len(order) == 0 {
		return ""
	}
	if o, err := efivar.Option(vars, order[0]); err == nil && !esp.Names(o, esp.Current) {
		return fmt.Sprintf(", once its boot entry comes before %q in the firmware's order, where it was moved by somebody (efibootmgr -o)", boot.Visible(o.Description))
	}
	return ""
}

// partition returns where the EFI system partition is mounted, unless dir is that.
func (m Machine) partition(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	var list []string
	for _, mount := range m.Mounts() {
		if mount.Type != superblock.VFAT || slices.Contains(list, m.path(mount.Point)) {
			continue
		}
		if st, err := os.Stat(filepath.Join(m.path(mount.Point), "EFI")); err == nil && st.IsDir() {
			list = append(list, m.path(mount.Point))
		}
	}
	for _, usual := range []string{"boot/efi", "efi", "boot"} {
		if slices.Contains(list, m.path(usual)) {
			return m.path(usual), nil
		}
	}
	if len(list) > 0 {
		return "", fmt.Errorf("%s may be the EFI system partition of this machine, or a stick: name it with --esp", strings.Join(list, " or "))
	}
	return "", errors.New("no EFI system partition is mounted: mount it at /boot/efi, or name where it is with --esp")
}

// A program is what is installed beside another boot loader.
type program struct {
	file  string
	data  map[string][]byte // by name
	image image
}

// program reads the image, and takes a unified kernel image apart, which no loader
// but UEFI starts.
func (s Setup) program(file string) (program, error) {
	p := program{file: file, data: map[string][]byte{}}
	b, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	k, initramfs, cmdline := b, []byte(nil), s.Cmdline
	if u, err := efi.Parse(b); err == nil {
		sections := map[string][]byte{}
		for _, s := range u.Sections() {
			sections[s.Name] = s.Data
		}
		if sections[".linux"] != nil {
			k, initramfs = sections[".linux"], sections[".initrd"]
			cmdline = cmp.Or(cmdline, strings.TrimRight(string(sections[".cmdline"]), "\x00\n "))
			if initramfs == nil {
				return p, fmt.Errorf("%s has no initramfs: no menu would come", file)
			}
		}
	}
	if s.Initramfs != "" {
		if initramfs, err = payload.ReadInitramfs(s.Initramfs); err != nil {
			return p, err
		}
		cmdline = cmp.Or(cmdline, payload.DefaultCmdline("amd64"))
	}
	in, err := kernel.Identify(bytes.NewReader(k), int64(len(k)))
	switch {
	case err != nil:
		return p, fmt.Errorf("%s: %w", file, err)
	case in.Arch != "amd64":
		return p, fmt.Errorf("%s is for %s: extlinux, GRUB and limine of a BIOS start kernels for amd64", file, in.Arch)
	case strings.ContainsFunc(cmdline, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"'$\`, r) }):
		return p, fmt.Errorf("the command line %q has characters that do not mean the same to every boot loader", cmdline)
	}
	p.image = image{kernel: nameOf("bzImage", k), cmdline: cmdline, version: versionOf(b)}
	p.data[p.image.kernel] = k
	if initramfs != nil {
		p.image.initramfs = nameOf("initramfs", initramfs)
		p.data[p.image.initramfs] = initramfs
	}
	return p, nil
}

// versionOf returns the version of alpboot in an image; "" where it has none.
func versionOf(b []byte) string {
	u, err := kernel.OpenUKI(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return ""
	}
	return boot.Visible(u.Release("VERSION_ID"))
}

func versioned(b []byte) string { return strings.TrimSpace("alpboot " + versionOf(b)) }

// config is the configuration of another boot loader on a machine.
type config struct {
	loader
	m     Machine
	dir   string // with it, without symbolic links
	name  string // the file that is edited
	files Files  // of dir
	mount mountinfo.Mount
	rel   string // dir, from the root of what is mounted
}

func (c *config) path() string { return filepath.Join(c.dir, c.name) }

// read returns the text of the file that is edited; "" when there is none.
func (c *config) read() (string, error) {
	b, err := esp.Read(c.files, c.name)
	return string(b), err
}

// configs returns the configurations of a loader.
func (m Machine) configs(l loader) (list []*config) {
	for _, name := range l.files {
		file, err := filepath.EvalSymlinks(m.path(name))
		if err != nil {
			continue
		}
		if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
			continue
		}
		c := &config{loader: l, m: m, dir: filepath.Dir(file), name: filepath.Base(file)}
		if slices.ContainsFunc(list, func(o *config) bool { return o.dir == c.dir }) {
			continue
		}
		c.files = m.Open(c.dir)
		for _, mount := range m.Mounts() {
			rel, err := filepath.Rel(m.path(mount.Point), c.dir)
			if err == nil && filepath.IsLocal(rel) && len(mount.Point) >= len(c.mount.Point) { // the last one covers others
				c.mount, c.rel = mount, filepath.ToSlash(rel)
			}
		}
		if l.name == "grub" {
			// What grub-mkconfig writes goes on with this file, and never writes it.
			if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), "custom.cfg") {
				c.name = "custom.cfg"
			}
		}
		list = append(list, c)
	}
	return list
}

// config returns the configuration that the machine starts by, or the one of a
// loader.
func (m Machine) config(name string) (*config, error) {
	var found []*config
	var others []string
	for _, l := range loaders() {
		if name == "" || name == l.name {
			found = append(found, m.configs(l)...)
		}
		others = append(others, l.files...)
	}
	if len(found) > 1 { // by what is in the boot sectors
		started := slices.DeleteFunc(slices.Clone(found), func(c *config) bool {
			disk, partition := m.Sectors(c.mount)
			return !c.isStarted(disk, partition)
		})
		if len(started) > 0 {
			found = started
		}
	}
	switch {
	case name != "" && !strings.Contains(", "+loaderNames()+",", ", "+name+","):
		return nil, fmt.Errorf("%q is not a boot loader that alpboot knows: use one of %s", name, loaderNames())
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("there is no configuration of %s in /boot", name)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no boot loader that alpboot could be started by: none of /%s is there", strings.Join(others, ", /"))
	case len(found) > 1:
		var names []string
		for _, c := range found {
			names = append(names, c.path())
		}
		return nil, fmt.Errorf("it is not clear which of these the machine starts by: %s. Name the boot loader with --loader", strings.Join(names, ", "))
	}
	return found[0], nil
}

// isStarted reports whether a loader is what the first sectors of a disk or of a
// partition start.
func (l loader) isStarted(disk, partition []byte) bool {
	is := func(b []byte, at int, text string) bool { return len(b) > at && bytes.HasPrefix(b[at:], []byte(text)) }
	inGRUB := bytes.Contains(disk[:min(len(disk), 512)], []byte("GRUB"))
	switch l.name {
	case "grub":
		return inGRUB
	case "extlinux":
		return !inGRUB && (is(partition, 3, "EXTLINUX") || is(partition, 3, "SYSLINUX"))
	}
	return !inGRUB && bytes.Contains(bytes.ToLower(disk), []byte("limine"))
}

// list returns the entries of the configuration with files, whose names are from
// dir, in the place of those that are there.
func (c *config) list(files map[string][]byte) (boot.Listing, error) {
	l, err := c.format.Parse(c.over(files), c.m.Volume(c.mount), nil)
	if err != nil {
		return l, fmt.Errorf("%s: %w", c.path(), err)
	}
	return l, nil
}

func (c *config) over(files map[string][]byte) fs.FS {
	over := overlay{os.DirFS(c.m.path(c.mount.Point)), map[string][]byte{}}
	for name, b := range files {
		over.files[path.Join(c.rel, name)] = b
	}
	return over
}

// onDisk returns dir from the root of the filesystem.
func (c *config) onDisk() string { return strings.Trim(filepath.Join("/", c.mount.Root, c.rel), "/") }
