// Package bare finds kernels that no boot loader's configuration needs to name:
// a kernel and the initramfs that belongs to it, by Alpine's names and by those
// of Debian, Fedora, Arch, Gentoo and Slackware. Their command lines are made from
// the installed system's own files, the way that Alpine's
// setup-disk would (alpine-conf, setup-disk.in); such entries are Guessed.
//
// A kernel on a boot partition of its own does not name its root
// filesystem. Parse leaves the command line of such an entry empty, and
// [Complete] fills it in once [FindRoot] has met the right root volume.
package bare

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/subvolume"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/version"
)

const (
	formatName = "bare"

	maxConfig  = 256 << 10 // bytes of a configuration file
	maxKernels = 100       // in one directory
	maxBelow   = 50        // directories in /boot
)

// noRoot is the Problem of an entry that waits for Complete.
const noRoot = "No root filesystem that belongs to this kernel has been found, so its command line is not known."

// Format returns the format for discovery.
func Format() boot.Format {
	return boot.Format{Name: formatName, Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		return Parse(fsys, vol)
	}}
}

// Parse returns an entry for each kernel at the top of the volume whose root is
// fsys, in its /boot and in the directories there, and on btrfs in the same
// places of each subvolume; also in the directories of /EFI that hold ELILO's
// configuration. Symlinks are not followed.
//
// The command line comes from the root filesystem around the directory, or is the
// one of an Alpine medium that runs from memory, or that of LILO, ELILO or Armbian.
// Otherwise it is empty and
// Problem has that: see [Complete].
//
// In each directory kernels with a version for a name come last, the newest first;
// others are in the order of their age, as only the image has their version.
//
// A kernel in a snapshot boots that snapshot, whatever its own configuration
// names as the subvolume. Those that are not read are counted in a note.
func Parse(fsys fs.FS, vol boot.Volume) (boot.Listing, error) {
	var l boot.Listing
	top, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return l, err
	}
	medium, isMedium := mediumName(fsys, top)
	var dirs []string           // the Dir of the root of each entry
	looked := map[string]bool{} // a directory boot at the top may be a subvolume
	// look takes the kernels in the directory dir of the root filesystem root.
	look := func(dir string, root subvolume.Root, list []fs.DirEntry) {
		pairs := findPairs(fsys, dir, list)
		if len(pairs) == 0 || looked[dir] {
			return
		}
		looked[dir] = true
		if len(pairs) > maxKernels {
			l.Notes = append(l.Notes, boot.Note{Text: fmt.Sprintf("There are %d kernels in /%s: only %d of them are listed.", len(pairs), strings.TrimPrefix(dir, "."), maxKernels)})
			pairs = pairs[:maxKernels]
		}
		sys, isRoot := findRoot(fsys, vol, root)
		for _, p := range pairs {
			var e boot.Entry
			switch {
			case isMedium && root.Dir == "." && p.modloop:
				e = p.mediumEntry(dir, medium)
			case isRoot:
				e = sys.complete(p.entry(dir))
				if p.missing && e.Problem == "" {
					e.Cmdline = cmdline.Parse(e.Cmdline).Set("root", rootOfKernel(vol)).String()
				}
				if dir != root.Dir && sys.shadows(dir) {
					e.Notes = append(e.Notes, "The system mounts another volume on /boot: this kernel may be out of date.")
				}
			default:
				e = p.entry(dir)
			}
			if !root.Snapshot && !(isMedium && root.Dir == "." && p.modloop) {
				e = p.configure(e, fsys, root.Dir, dir)
			}
			if below := strings.TrimPrefix(dir, path.Join(root.Dir, "boot")+"/"); below != dir {
				e.Title += ", in /boot/" + boot.Clean(below)
			}
			e.Snapshot = root.Snapshot
			l.Entries = append(l.Entries, e)
			dirs = append(dirs, root.Dir)
		}
	}
	roots, older := subvolume.Roots(fsys, vol)
	for _, root := range roots {
		list := top
		if root.Dir != "." {
			// What cannot be read here is not a directory that anybody boots from.
			if list, err = fs.ReadDir(fsys, root.Dir); err != nil {
				continue
			}
		}
		look(root.Dir, root, list)
		for _, d := range list {
			if d.IsDir() && strings.EqualFold(d.Name(), "EFI") { // where ELILO's kernels lie beside it
				systems, _ := fs.ReadDir(fsys, path.Join(root.Dir, d.Name()))
				for _, s := range systems[:min(len(systems), maxBelow)] {
					dir := path.Join(root.Dir, d.Name(), s.Name())
					if files, _ := fs.ReadDir(fsys, dir); hasFile(files, "elilo.conf") {
						look(dir, root, files)
					}
				}
			}
			if !d.IsDir() || !strings.EqualFold(d.Name(), "boot") {
				continue
			}
			dir := path.Join(root.Dir, d.Name())
			files, err := fs.ReadDir(fsys, dir)
			if err != nil {
				l.Notes = append(l.Notes, boot.Note{Source: boot.Source{File: dir}, Text: "The directory cannot be read: " + err.Error() + "."})
			}
			look(dir, root, files)
			below := 0
			for _, d := range files {
				if !d.IsDir() {
					continue
				}
				if below++; below > maxBelow {
					break
				}
				sub := path.Join(dir, d.Name())
				list, _ := fs.ReadDir(fsys, sub)
				look(sub, root, list)
			}
		}
	}
	// Two systems on one volume may have one name.
	at := map[string]string{}
	several := map[string]bool{}
	for i, e := range l.Entries {
		if dir, ok := at[e.Title]; ok && dir != dirs[i] {
			several[e.Title] = true
		}
		at[e.Title] = dirs[i]
	}
	for i := range l.Entries {
		if e := &l.Entries[i]; several[e.Title] && dirs[i] != "." {
			e.Title += ", subvolume " + boot.Clean(dirs[i])
		}
	}
	if older > 0 {
		l.Notes = append(l.Notes, boot.Note{Text: fmt.Sprintf("%d older snapshots on this volume were not read.", older)})
	}
	return l, nil
}

// mediumName reports whether the volume with that top directory is an Alpine
// ISO or stick, and what it calls itself.
func mediumName(fsys fs.FS, top []fs.DirEntry) (string, bool) {
	if hasFile(top, ".alpine-release") {
		if b, err := boot.ReadFile(fsys, ".alpine-release", maxConfig); err == nil {
			line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
			if line = boot.Clean(line); line != "" {
				return line, true
			}
		}
		return "Alpine Linux", true
	}
	_, err := fs.Stat(fsys, "apks/.boot_repository")
	return "Alpine Linux", err == nil
}

func hasFile(list []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == name && !d.IsDir() })
}

// pair is a kernel and what belongs to it, as names in one directory.
type pair struct {
	kernel  string
	initrds []string // microcode included
	missing bool     // no initramfs, only microcode if anything
	modloop bool     // the modules of an Alpine medium are there too
	changed time.Time
}

// legacy are the flavours that Alpine had before kernels were called vmlinuz-:
// the kernel is /boot/<flavour> and the initramfs /boot/<flavour>.gz.
var legacy = [...]string{"grsec", "hardened", "vanilla", "virt", "virtgrsec", "rpi", "rpi2", "vserver", "lts"}

// findPairs returns the kernels in the directory dir, which holds list: flavours,
// then versions, the newest first of each.
func findPairs(fsys fs.FS, dir string, list []fs.DirEntry) []*pair {
	var pairs []*pair // pointers, which all sort by the same code
	files := make(map[string]bool, len(list))
	for _, d := range list {
		files[d.Name()] = !d.IsDir()
	}
	for _, d := range list {
		name := d.Name()
		if !d.Type().IsRegular() || isBackup(name) {
			continue // also links: what they point to is found by itself
		}
		switch {
		case name == "vmlinuz", strings.HasPrefix(name, "vmlinuz-"), slices.Contains(legacy[:], name) && files[name+".gz"]:
		case flavour(name) == name:
			continue
		default: // other things are called kernel-something, too
			if in, _, _ := kernel.Describe(fsys, path.Join(dir, name)); in.Format == "" || in.Format == kernel.PE {
				continue
			}
		}
		p := &pair{kernel: name, missing: true}
		if st, err := d.Info(); err == nil {
			p.changed = st.ModTime()
		}
		for _, u := range []string{"intel-ucode.img", "amd-ucode.img"} {
			// They are there on x86 only. The kernel wants them first.
			if files[u] {
				p.initrds = append(p.initrds, u)
			}
		}
		for _, i := range initrdNames(name) {
			if files[i] {
				p.initrds = append(p.initrds, i)
				p.missing = false
				break
			}
		}
		p.modloop = files["modloop-"+flavour(name)]
		pairs = append(pairs, p)
	}
	slices.SortStableFunc(pairs, func(a, b *pair) int {
		av, bv := flavour(a.kernel), flavour(b.kernel)
		switch {
		case isVersion(av) && isVersion(bv):
			return version.Compare(bv, av)
		case isVersion(av):
			return 1
		case isVersion(bv):
			return -1
		}
		return b.changed.Compare(a.changed) // of one time they stay as ReadDir has sorted them
	})
	return pairs
}

// prefixes are what the names of kernels begin with, apart from legacy ones:
// Gentoo's are kernel-VERSION, and those of arm64 Image.
var prefixes = [...]string{"vmlinuz", "kernel", "bzImage", "Image"}

// flavour returns the part of a kernel's name that its initramfs has too: lts of
// vmlinuz-lts; "" of vmlinuz.
func flavour(kernel string) string {
	for _, p := range prefixes {
		if f, ok := strings.CutPrefix(kernel, p); ok && (f == "" && p != "kernel" || strings.HasPrefix(f, "-")) {
			return strings.TrimPrefix(f, "-")
		}
	}
	return kernel
}

// hasDrivers reports whether a kernel is one that brings the drivers of disks,
// as Slackware's huge one does: it needs no initramfs.
func hasDrivers(kernel string) bool { return strings.HasPrefix(flavour(kernel), "huge") }

// rootOfKernel names the volume in a way that a kernel finds without an initramfs.
func rootOfKernel(vol boot.Volume) string {
	if vol.PartUUID != "" {
		return "PARTUUID=" + vol.PartUUID
	}
	return vol.Device
}

// isVersion distinguishes 6.1.0-18-amd64 from lts.
func isVersion(flavour string) bool {
	return flavour != "" && '0' <= flavour[0] && flavour[0] <= '9'
}

// initrdNames returns the names that the initramfs of a kernel may have, the most
// likely ones first.
func initrdNames(kernel string) []string {
	f := flavour(kernel)
	switch {
	case f == kernel: // legacy
		return []string{f + ".gz"}
	case f == "":
		return []string{"initramfs", "initramfs-vanilla", "initramfs.img", "initrd.img", "initrd", "initrd.gz"}
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	return []string{
		"initramfs-" + f, "initrd.img-" + f, "initramfs-" + f + ".img", "initrd-" + f, "initrd-" + f + ".img",
		"initramfs-genkernel-" + f, "initramfs-genkernel-" + arch + "-" + f,
	}
}

// isBackup reports whether a file is one that a package manager or a person has
// put aside.
func isBackup(name string) bool {
	if strings.HasPrefix(name, ".") || strings.Contains(name, ".apk.") {
		return true
	}
	for _, s := range []string{".old", ".bak", ".new", ".apk-new", "~", ".sig", ".dpkg-bak", ".dpkg-new", ".dpkg-tmp", ".hmac"} {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// entry returns the entry for a pair in the directory dir, without a command line.
func (p pair) entry(dir string) boot.Entry {
	e := boot.Entry{
		Title:   title("Linux", p.kernel),
		Format:  formatName,
		Kernel:  path.Join(dir, p.kernel),
		Guessed: true,
		Problem: noRoot,
	}
	for _, i := range p.initrds {
		e.Initrds = append(e.Initrds, path.Join(dir, i))
	}
	if p.missing && !hasDrivers(p.kernel) {
		// Also what Alpine leaves behind when it builds unified kernel images
		// only (disable_trigger in mkinitfs.conf): those are another format.
		e.Problem = fmt.Sprintf("There is no %s beside it, and without an initramfs it does not find its root filesystem.", initrdNames(p.kernel)[0])
	}
	return e
}

// mediumEntry returns the entry for a pair on an ISO or stick of that name.
// There is no root= by intention: that makes Alpine run from the medium.
func (p pair) mediumEntry(dir, name string) boot.Entry {
	e := p.entry(dir)
	e.Title = title(name, p.kernel) + ", diskless"
	e.Cmdline = "modules=loop,squashfs,sd-mod,usb-storage quiet"
	if !p.missing {
		e.Problem = ""
	}
	e.Notes = []string{"No configuration file names this kernel: its command line is the one of Alpine's own media."}
	return e
}

// title returns what the user sees: the system and which of its kernels.
func title(name, kernel string) string {
	if f := flavour(kernel); f != "" {
		return name + " (" + boot.Clean(f) + ")"
	}
	return name
}
