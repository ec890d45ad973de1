package bare

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/fstab"
	"github.com/alpboot/alpboot/boot/format/subvolume"
)

// system is a root filesystem whose command line is being made.
type system struct {
	fsys   fs.FS
	vol    boot.Volume
	dir    string
	alpine bool
	fstab  []fstab.Mount
}

// read returns the text of a file of the system, "" when there is none that can
// be read: each of them is one of several sources.
func (s system) read(name string) string {
	b, err := boot.ReadFile(s.fsys, path.Join(s.dir, name), maxConfig)
	if err != nil {
		return ""
	}
	return string(b)
}

// cmdline returns the command line for the kernels of the system, and what there
// there is to note about it. The sources in order: update-extlinux.conf if setup-disk
// has written it, default/grub, what unified kernel images are built with,
// update-extlinux.conf as its package ships it, and fstab alone.
func (s system) cmdline() (string, []string) {
	root, notes := s.root()
	ext := map[string]string{}
	if s.alpine {
		ext = assignments(s.read("etc/update-extlinux.conf"))
	}
	grub := assignments(s.read("etc/default/grub"))
	grubOpts := words(grub["GRUB_CMDLINE_LINUX"], grub["GRUB_CMDLINE_LINUX_DEFAULT"])
	uki, ukiFrom := s.ukiCmdline()

	var from string
	var line cmdline.Line
	switch {
	case ext["root"] != "" || ext["default_kernel_opts"] != "" && len(grubOpts) == 0 && uki == "":
		from = "/etc/update-extlinux.conf"
		if ext["root"] != "" {
			root.spec = ext["root"]
		}
		line = words("root="+root.spec, "modules="+ext["modules"], ext["default_kernel_opts"])
	case len(grubOpts) > 0:
		from = "/etc/default/grub and /etc/fstab"
		line = append(cmdline.Line{"root=" + root.spec, "ro"}, grubOpts...)
	case uki != "":
		from = ukiFrom
		line = words(uki)
		if !hasRoot(line) {
			line = append(cmdline.Line{"root=" + root.spec}, line...)
		}
	case s.alpine:
		from = "/etc/fstab"
		line = words("root="+root.spec, "quiet")
	default:
		from = "/etc/fstab"
		line = words("root="+root.spec, "ro")
	}
	if len(s.fstab) == 0 {
		from = strings.Replace(from, "/etc/fstab", "the volume itself", 1)
	}
	line = slices.DeleteFunc(line.WithoutLoader(), func(w string) bool { return w == "modules=" || w == "root=" })
	if !hasRoot(line) {
		return "", nil
	}
	if s.alpine {
		// Without rootfstype=, or without its module, Alpine's init cannot
		// mount the root.
		if !line.Has("modules") {
			line = slices.Insert(line, 1, "modules="+s.modules(root.fstype))
		}
		if !line.Has("rootfstype") && root.fstype != "" {
			line = with(line, "rootfstype="+root.fstype)
		}
	}
	switch {
	case root.flags == "":
	case !line.Has("rootflags"):
		line = with(line, "rootflags="+root.flags)
	case s.dir != ".":
		line = inSubvolume(line, s.dir)
	}
	switch {
	case line.Has("cryptroot"):
	case s.alpine && s.vol.Crypt != "":
		line = with(line, "cryptroot=UUID="+s.vol.Crypt, "cryptdm="+s.cryptName(root.spec))
	case s.inLUKS():
		notes = append(notes, "The root filesystem is in a LUKS container that the command line does not name: add cryptroot=UUID=... cryptdm=...")
	}
	return words(line...).String(), append([]string{"No configuration file names this kernel: its command line was made from " + from + "."}, notes...)
}

// hasRoot reports whether a command line names a root filesystem: root alone, or
// root= without a value, is nothing to a kernel.
func hasRoot(line cmdline.Line) bool {
	return slices.ContainsFunc(line.All("root"), func(value string) bool { return value != "" })
}

// with returns a command line with more parameters for the kernel: what follows --
// is for init.
func with(line cmdline.Line, words ...string) cmdline.Line {
	kernel, init := line.Split()
	return slices.Concat(kernel, words, init)
}

// rootFS is how the kernel finds its root filesystem.
type rootFS struct {
	spec   string // what comes after root=
	fstype string
	flags  string // what comes after rootflags=
}

// root returns fstab's line for /, put right where the volume itself shows
// that it has changed.
func (s system) root() (rootFS, []string) {
	line, _ := fstab.Find(s.fstab, "/")
	r := rootFS{spec: line.Source, fstype: s.vol.Type}
	if r.fstype == "" && line.Type != "auto" {
		r.fstype = line.Type
	}
	if strings.ContainsFunc(line.Source, isSpace) {
		line.Source, r.spec = "", "" // a command line cannot hold it
	}
	if line.Type == "zfs" && line.Source != "" && s.dir == "." { // a subvolume is on no ZFS
		return rootFS{spec: "ZFS=" + strings.TrimPrefix(line.Source, "ZFS="), fstype: "zfs"}, nil
	}
	switch sub := line.Option("subvol"); {
	case s.dir != ".":
		r.flags = "subvol=" + s.dir
	case sub != "":
		r.flags = "subvol=" + sub
	case line.Option("subvolid") != "":
		r.flags = "subvolid=" + line.Option("subvolid")
	}
	var notes []string
	if strings.ContainsFunc(r.flags, isSpace) {
		notes = append(notes, "The command line cannot name the subvolume of the root filesystem: its name holds white space.")
		r.flags = ""
	}
	switch own := names(line.Source, s.vol); {
	case isMapped(line.Source):
		// Only the initramfs can put it together, and goes by this name.
	case own == yes && (strings.HasPrefix(line.Source, "LABEL=") || strings.HasPrefix(line.Source, "UUID=")):
	case s.vol.UUID != "":
		if own == no {
			notes = append(notes, "/etc/fstab names another root filesystem ("+boot.Clean(line.Source)+"), so this may be a copy of another disk.")
		}
		r.spec = "UUID=" + s.vol.UUID
	case r.spec == "" && s.vol.Label != "":
		r.spec = "LABEL=" + s.vol.Label
	}
	return r, notes
}

// inSubvolume returns a command line that has rootflags= with the subvolume dir in
// them: the configuration of the system that is there may be that of what it
// was copied from, as in a snapshot.
func inSubvolume(line cmdline.Line, dir string) cmdline.Line {
	if subvolume.Flag(line.String()) == dir {
		return line
	}
	flags, _ := line.Get("rootflags")
	keep := slices.DeleteFunc(strings.Split(flags, ","), func(f string) bool {
		return strings.HasPrefix(f, "subvol=") || strings.HasPrefix(f, "subvolid=")
	})
	return line.Set("rootflags", strings.Join(append(keep, "subvol="+dir), ","))
}

// isMapped reports whether a device of fstab is one of LVM, LUKS or md.
func isMapped(source string) bool {
	name, ok := strings.CutPrefix(source, "/dev/")
	if !ok || strings.HasPrefix(name, "disk/") {
		return false
	}
	return strings.Contains(name, "/") || strings.HasPrefix(name, "md")
}

// modules returns what setup-disk puts into modules= (setup-disk.in,
// install_mounted_root).
func (s system) modules(fstype string) string {
	m := []string{"sd-mod", "usb-storage"}
	if fstype != "" {
		m = append(m, fstype)
	}
	features := s.features()
	line, _ := fstab.Find(s.fstab, "/")
	if slices.Contains(features, "raid") || strings.HasPrefix(line.Source, "/dev/md") {
		m = append(m, "raid1", "raid456") // fstab does not have the level
	}
	if slices.Contains(features, "nvme") {
		m = append(m, "nvme")
	}
	return strings.Join(m, ",")
}

// features returns what mkinitfs.conf puts into the initramfs.
func (s system) features() []string {
	return strings.Fields(assignments(s.read("etc/mkinitfs/mkinitfs.conf"))["features"])
}

// inLUKS reports whether the system seems to be in an unlocked LUKS container.
func (s system) inLUKS() bool {
	return s.alpine && strings.HasPrefix(s.vol.Device, "/dev/mapper/") && slices.Contains(s.features(), "cryptsetup")
}

// cryptName returns the name under which Alpine's initramfs is to open the LUKS
// container that the system is in, root being what comes after root=.
func (s system) cryptName(root string) string {
	// With LVM between the two, root= is the name of a logical volume.
	if name, ok := strings.CutPrefix(root, "/dev/mapper/"); ok && strings.HasPrefix(s.vol.Device, "/dev/mapper/luks-") {
		return name
	}
	return "root" // as setup-disk calls it
}

// ukiCmdline returns the command line that unified kernel images of this system
// are built with, and the file that has it (Alpine's secureboot-hook and
// systemd's ukify).
func (s system) ukiCmdline() (line, from string) {
	for _, f := range []string{"etc/kernel-hooks.d/secureboot.conf", "etc/kernel-hooks.d/ukify.conf"} {
		line := assignments(s.read(f))["cmdline"]
		if strings.HasPrefix(line, "/") || strings.HasPrefix(line, ".") {
			f = path.Clean("/" + line)[1:]
			line = withoutComments(s.read(f))
		}
		if line != "" {
			return line, "/" + f
		}
	}
	const f = "etc/kernel/cmdline"
	return withoutComments(s.read(f)), "/" + f
}

func withoutComments(text string) string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, " ")
}

// words returns the words of several parts of a command line.
func words(parts ...string) cmdline.Line { return cmdline.Parse(strings.Join(parts, " ")) }

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f }
