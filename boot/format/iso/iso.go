// Package iso makes systems bootable that are in an ISO file on a volume, as on
// a stick with several of them.
//
// The file is mounted by whoever uses this package, and its configuration read
// like that of any volume. What is different is that the system, once started,
// has to find the file again, by a parameter on its command line: GRUB's
// convention boot/grub/loopback.cfg (grub manual, "Loopback booting") has the
// image have it in it; for what has no such file this package knows the
// parameters of the usual live systems.
package iso

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/grub"
)

// maxFiles is how many images of one volume are read.
const maxFiles = 64

// directories are where images are: the top of the volume, and these directories there.
// Names are compared without regard to case.
var dirs = [...]string{"boot", "iso", "isos", "boot-isos"}

// Find returns the paths of the ISO files at the top of the volume whose root is
// fsys and in its directories boot, iso, isos and boot-isos, sorted by directory and
// name, 64 at most. Links are not followed.
func Find(fsys fs.FS) []string {
	top, _ := fs.ReadDir(fsys, ".") // what cannot be read holds no image
	files := images(".", top)
	for _, d := range top {
		isDir := func(name string) bool { return strings.EqualFold(d.Name(), name) }
		if d.IsDir() && slices.ContainsFunc(dirs[:], isDir) {
			list, _ := fs.ReadDir(fsys, d.Name())
			files = append(files, images(d.Name(), list)...)
		}
	}
	return files[:min(len(files), maxFiles)]
}

func images(dir string, list []fs.DirEntry) []string {
	var files []string
	for _, d := range list {
		name := d.Name()
		if d.Type().IsRegular() && strings.EqualFold(path.Ext(name), ".iso") && !strings.HasPrefix(name, ".") {
			files = append(files, path.Join(dir, name))
		}
	}
	return files
}

// Image is an ISO file that has been mounted.
type Image struct {
	Path  string      // of the file, from the root of its volume, without a leading slash
	Outer boot.Volume // that the file is on
	FS    fs.FS       // the root of the filesystem in it
}

// loopback is GRUB's configuration for an image that is not on a disc.
const loopback = "boot/grub/loopback.cfg"

// Formats returns the formats with which the filesystem in the image is to be
// parsed: those passed in, with [Adapt] done to their entries; but loopback.cfg
// alone where there is one that has entries.
func Formats(image Image, formats []boot.Format) []boot.Format {
	if _, err := fs.Stat(image.FS, loopback); err == nil {
		return []boot.Format{adapted(image, boot.Format{Name: grub.Format().Name, Parse: func(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
			l, err := grub.ParseFile(fsys, vol, others, loopback, map[string]string{"iso_path": "/" + image.Path})
			if len(l.Entries) > 0 || l.Unresolved {
				return l, err
			}
			return grub.Parse(fsys, vol, others)
		}})}
	}
	var all []boot.Format
	for _, f := range formats {
		all = append(all, adapted(image, f))
	}
	return all
}

// adapted returns a format whose entries are adapted to the image.
func adapted(image Image, f boot.Format) boot.Format {
	return boot.Format{Name: f.Name, Parse: func(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
		l, err := f.Parse(fsys, vol, others)
		for i, e := range l.Entries {
			l.Entries[i] = Adapt(e, image)
		}
		return l, err
	}}
}

// kind is a way in which a system finds the ISO file that it was started from.
type kind struct {
	words []string // a word of the command line that shows it: equal, or its beginning when that ends in = or :
	file  string   // else a file of the image
	dir   string   // else the directory that holds its kernels
	// params returns what goes on the command line; none when it would need to
	// know what is not known.
	params func(Image) []string
	why    string // it cannot find the file: the reason, as a sentence
}

// inFile returns params for a parameter whose value is the path of the file.
func inFile(name string) func(Image) []string {
	return func(i Image) []string { return []string{name + "=/" + i.Path} }
}

// withUUID returns params only for a file on a volume that has a UUID.
func withUUID(params func(Image) []string) func(Image) []string {
	return func(i Image) []string {
		if i.Outer.UUID == "" {
			return nil
		}
		return params(i)
	}
}

// kinds are the systems that can find it, the surer signs first. Each has the place
// in its sources that reads the parameter.
var kinds = [...]kind{
	{ // Debian, Clonezilla, GParted, Kali. live-boot, components/9990-misc-helpers.sh: check_dev tries every filesystem
		words: []string{"boot=live"}, dir: "live", params: inFile("findiso"),
	},
	{ // Ubuntu, Mint and their relatives. casper, scripts/casper-helpers: find_path does the same
		words: []string{"boot=casper"}, dir: "casper", params: inFile("iso-scan/filename"),
	},
	{ // NixOS. nixpkgs, nixos/modules/installer/cd-dvd/iso-image.nix: its grub.cfg makes it of iso_path
		words: []string{"findiso="}, file: "nix-store.squashfs", params: inFile("findiso"),
	},
	{ // Gentoo's media. genkernel, defaults/linuxrc
		words: []string{"cdroot"}, params: inFile("isoboot"),
	},
	{ // openSUSE's older installer. en.opensuse.org/SDB:Linuxrc, "install"; its source was not at hand
		dir:    "boot/x86_64/loader",
		params: func(i Image) []string { return []string{"install=hd:/" + i.Path} },
	},
	{ // Arch, SystemRescue, Manjaro. mkinitcpio-archiso, hooks/archiso_loop_mnt: nothing happens unless both are there
		words: []string{"archisobasedir=", "misobasedir="}, dir: "arch/boot",
		params: func(i Image) []string {
			switch {
			case i.Outer.UUID != "":
				return []string{"img_dev=/dev/disk/by-uuid/" + i.Outer.UUID, "img_loop=/" + i.Path}
			case i.Outer.PartUUID != "":
				return []string{"img_dev=/dev/disk/by-partuuid/" + i.Outer.PartUUID, "img_loop=/" + i.Path}
			}
			return nil
		},
	},
	{ // Fedora and its installer, openSUSE, Void. dracut, modules.d/90dmsquash-live/iso-scan.sh: tries what is in
		// /dev/disk/by-uuid. kiwi's dracut/modules.d/55kiwi-live/module-setup.sh takes that script; the kernels of
		// void-mklive (grub/grub_void.cfg.in) are started with root=live: alone.
		words: []string{"root=live:", "rd.live.image", "inst.stage2="}, params: withUUID(inFile("iso-scan/filename")),
	},
	{ // Debian's installer. Its installation guide, "Preparing files for USB memory stick booting": only the initrd of hd-media has iso-scan
		dir: "install.amd",
		why: "The installer on Debian's discs looks for its packages on a disc or stick, not inside of the ISO file %s. Write the image to a stick of its own, or start the installer's kernel and initrd of hd-media.",
	},
}

// Adapt returns an entry of the filesystem in the image with what the system
// needs on its command line to find its medium again. Where that is not known,
// or cannot be, a note has that and what to do; the entry stays as it is then,
// also one whose command line names the file already.
func Adapt(e boot.Entry, image Image) boot.Entry {
	note := func(format string, args ...any) {
		e.Notes = append(slices.Clone(e.Notes), fmt.Sprintf(format, args...))
	}
	words := cmdline.Parse(e.Cmdline)
	has := func(word string) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			return w == word || (strings.HasSuffix(word, "=") || strings.HasSuffix(word, ":")) && strings.HasPrefix(w, word)
		})
	}
	name := boot.Quote(path.Base(image.Path))
	switch {
	case e.Problem != "" || strings.Contains(e.Cmdline, image.Path):
		return e
	case image.isAlpine():
		if !has("alpine_repo=") {
			note("Alpine's initramfs looks for its packages on disks and sticks but not inside of ISO files, so it will not find those of %s. "+
				"Write the image to a stick of its own, or copy its directories boot and apks to the top of this volume, "+
				"or add ip=dhcp, alpine_repo=URL and modloop=URL to the command line.", name)
		}
		return e
	}
	k, ok := image.kindOf(e.Kernel, has)
	switch params := k.paramsFor(image); {
	case !ok:
		note("It is not known how this system finds its medium inside of the ISO file %s, and it may stop while it starts. Write the image to a stick of its own then.", name)
	case k.why != "":
		note(k.why, name)
	case strings.ContainsFunc(image.Path, func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f }):
		note("The command line cannot name the ISO file %s, because of a blank or quote in its path, and the system will not find it: rename it.", name)
	case len(params) == 0:
		note("The volume with the ISO file %s has no UUID, so the system cannot be passed its place. Write the image to a stick of its own.", name)
	default:
		// The image's own configuration may leave the value to loopback.cfg.
		words = slices.DeleteFunc(words, func(w string) bool {
			return slices.ContainsFunc(params, func(p string) bool { return strings.HasPrefix(p, w) && strings.HasSuffix(w, "=") })
		})
		// What stands behind --- is for the system that will be installed.
		at := slices.IndexFunc(words, func(w string) bool { return w == "---" || w == "--" })
		if at < 0 {
			at = len(words)
		}
		e.Cmdline = slices.Insert(words, at, params...).String()
	}
	return e
}

func (k kind) paramsFor(image Image) []string {
	if k.params == nil {
		return nil
	}
	return k.params(image)
}

// kindOf returns what a kernel belongs to: by its command line, of which has
// reports whether a word is there, else by what else the image holds and by where
// it is.
func (i Image) kindOf(kernel string, has func(word string) bool) (kind, bool) {
	for _, k := range kinds {
		if slices.ContainsFunc(k.words, has) {
			return k, true
		}
	}
	for _, k := range kinds {
		if k.file != "" && i.exists(k.file) || k.dir != "" && strings.HasPrefix(kernel, k.dir+"/") {
			return k, true
		}
	}
	return kind{}, false
}

// isAlpine reports whether the image is one of Alpine's media.
func (i Image) isAlpine() bool {
	return i.exists(".alpine-release") || i.exists("apks/.boot_repository")
}

func (i Image) exists(name string) bool {
	_, err := fs.Stat(i.FS, name)
	return err == nil
}
