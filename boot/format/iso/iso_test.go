package iso_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/extlinux"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/iso"
)

// TestTrees does what discovery does: it looks for images on each volume, and
// parses the filesystem in each. That is a volume of the tree with the name
// as [boot.Volume.ImageDevice] names it.
func TestTrees(t *testing.T) {
	boottest.Run(t, "testdata/*.txtar", func(t *testing.T, tree boottest.Tree) string {
		var b strings.Builder
		parsed := 0
		for _, outer := range tree.Volumes {
			for _, file := range iso.Find(outer.FS) {
				i := slices.IndexFunc(tree.Volumes, func(v boottest.Volume) bool { return v.Device == outer.ImageDevice(file) })
				if i < 0 {
					t.Fatalf("no volume is called %s", outer.ImageDevice(file))
				}
				inner := tree.Volumes[i]
				image := iso.Image{Path: file, Outer: outer.Volume, FS: inner.FS}
				fmt.Fprintf(&b, "image %s\n", inner.Device)
				for _, f := range iso.Formats(image, []boot.Format{grub.Format(), extlinux.Format()}) {
					l, err := f.Parse(inner.FS, inner.Volume, tree.All())
					b.WriteString(boottest.Text(l, err))
				}
				parsed++
			}
		}
		images := 0
		for _, v := range tree.Volumes {
			if v.InImage() {
				images++
			}
		}
		if parsed != images {
			t.Errorf("%d of %d images were found", parsed, images)
		}
		return b.String()
	})
}

func TestFind(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, name := range []string{
		"b.iso", "A.ISO", "boot/c.Iso", "ISO/d.iso", "isos/e.iso", "Boot-ISOs/f.iso",
		"other/x.iso", "iso.txt", ".x.iso", "iso/x.iso.part", "iso/deep/x.iso", "boot/directory.iso/x", ".iso",
	} {
		fsys[name] = boottest.File("an image")
	}
	fsys["link.iso"] = boottest.Link("b.iso")
	fsys["iso-link"] = boottest.Link("isos")
	want := "A.ISO b.iso Boot-ISOs/f.iso ISO/d.iso boot/c.Iso isos/e.iso"
	if got := strings.Join(iso.Find(fsys), " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	many := fstest.MapFS{}
	for i := range 500 {
		many[fmt.Sprintf("iso/%03d.iso", i)] = boottest.File("")
	}
	if got := iso.Find(many); len(got) != 64 {
		t.Errorf("of many %d", len(got))
	}
}

func TestAdapt(t *testing.T) {
	outer := boot.Volume{Device: "/dev/sdb1", UUID: "CAFE-0001", PartUUID: "p-1"}
	noUUID, noNames := outer, outer
	noUUID.UUID = ""
	noNames.UUID, noNames.PartUUID = "", ""
	for _, tt := range []struct {
		name    string
		outer   boot.Volume
		file    string // in the image; the kernel
		cmdline string
		want    string
		note    string // contained in the only note; "" for none
	}{
		{"by the command line", outer, "x", "boot=live quiet", "boot=live quiet findiso=/iso/a.iso", ""},
		{"by the kernel", outer, "live/vmlinuz", "quiet", "quiet findiso=/iso/a.iso", ""},
		{"the command line is surer", outer, "live/vmlinuz", "boot=casper", "boot=casper iso-scan/filename=/iso/a.iso", ""},
		{"value left out", outer, "x", "boot=live findiso= quiet", "boot=live quiet findiso=/iso/a.iso", ""},
		{"value set", outer, "x", "boot=live findiso=/iso/a.iso", "boot=live findiso=/iso/a.iso", ""},
		{"before ---", outer, "casper/vmlinuz", "quiet --- splash", "quiet iso-scan/filename=/iso/a.iso --- splash", ""},
		{"dracut", outer, "x", "root=live:CDLABEL=X rd.live.image", "root=live:CDLABEL=X rd.live.image iso-scan/filename=/iso/a.iso", ""},
		{"Arch", outer, "x", "archisobasedir=arch", "archisobasedir=arch img_dev=/dev/disk/by-uuid/CAFE-0001 img_loop=/iso/a.iso", ""},
		{"Arch by partition", noUUID, "x", "misobasedir=manjaro", "misobasedir=manjaro img_dev=/dev/disk/by-partuuid/p-1 img_loop=/iso/a.iso", ""},
		{"Arch in a directory", noNames, "x", "archisobasedir=arch", "archisobasedir=arch", "has no UUID"},
		{"dracut without a UUID", noUUID, "x", "root=live:CDLABEL=X", "root=live:CDLABEL=X", "has no UUID"},
		{"SystemRescue", outer, "x", "archisobasedir=sysresccd archisosearchuuid=2026-01-01", "archisobasedir=sysresccd archisosearchuuid=2026-01-01 img_dev=/dev/disk/by-uuid/CAFE-0001 img_loop=/iso/a.iso", ""},
		{"Void and openSUSE live", outer, "x", "root=live:CDLABEL=VOID_LIVE ro init=/sbin/init", "root=live:CDLABEL=VOID_LIVE ro init=/sbin/init iso-scan/filename=/iso/a.iso", ""},
		{"Fedora's installer", outer, "images/pxeboot/vmlinuz", "inst.stage2=hd:LABEL=Fedora-S-dvd-x86_64-43 quiet", "inst.stage2=hd:LABEL=Fedora-S-dvd-x86_64-43 quiet iso-scan/filename=/iso/a.iso", ""},
		{"Fedora's live images, where openSUSE's installer has its kernel", outer, "boot/x86_64/loader/linux", "quiet rhgb root=live:CDLABEL=Fedora-WS-Live-43 rd.live.image",
			"quiet rhgb root=live:CDLABEL=Fedora-WS-Live-43 rd.live.image iso-scan/filename=/iso/a.iso", ""},
		{"Ubuntu's desktop", outer, "casper/vmlinuz", "--- quiet splash", "iso-scan/filename=/iso/a.iso --- quiet splash", ""},
		{"openSUSE's Agama", outer, "boot/x86_64/loader/linux", "root=live:CDLABEL=Install-Leap-x86_64 rd.live.image quiet", "root=live:CDLABEL=Install-Leap-x86_64 rd.live.image quiet iso-scan/filename=/iso/a.iso", ""},
		{"NixOS", outer, "nix-store.squashfs", "init=/nix/store/x/init root=LABEL=nixos", "init=/nix/store/x/init root=LABEL=nixos findiso=/iso/a.iso", ""},
		{"NixOS with its own grub.cfg", outer, "x", "findiso= init=/nix/store/x/init", "init=/nix/store/x/init findiso=/iso/a.iso", ""},
		{"Mint", outer, "casper/vmlinuz", "boot=casper uuid=1 quiet splash --", "boot=casper uuid=1 quiet splash iso-scan/filename=/iso/a.iso --", ""},
		{"Clonezilla", outer, "live/vmlinuz", "boot=live union=overlay live-media-path= bootfrom=", "boot=live union=overlay live-media-path= bootfrom= findiso=/iso/a.iso", ""},
		{"Gentoo", outer, "boot/gentoo", "dokeymap looptype=squashfs loop=/image.squashfs cdroot", "dokeymap looptype=squashfs loop=/image.squashfs cdroot isoboot=/iso/a.iso", ""},
		{"openSUSE's installer", outer, "boot/x86_64/loader/linux", "splash=silent", "splash=silent install=hd:/iso/a.iso", ""},
		{"Debian's installer", outer, "install.amd/vmlinuz", "vga=788 --- quiet", "vga=788 --- quiet", "hd-media"},
		{"Alpine", outer, "apks/.boot_repository", "modules=loop quiet", "modules=loop quiet", "copy its directories boot and apks"},
		{"Alpine from the net", outer, ".alpine-release", "alpine_repo=http://x", "alpine_repo=http://x", ""},
		{"unknown", outer, "x", "quiet", "quiet", "not known how"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := iso.Image{Path: "iso/a.iso", Outer: tt.outer, FS: fstest.MapFS{tt.file: boottest.File("")}}
			e := iso.Adapt(boot.Entry{Kernel: tt.file, Cmdline: tt.cmdline}, image)
			notes := strings.Join(e.Notes, "\n")
			if e.Cmdline != tt.want || !strings.Contains(notes, tt.note) || (notes == "") != (tt.note == "") || e.Problem != "" {
				t.Errorf("got %s", boottest.EntryText(e))
			}
		})
	}
}

// FuzzAdapt asserts that the command line stays the words that it was, and that
// whatever is added is about this image.
func FuzzAdapt(f *testing.F) {
	f.Add("boot=live quiet --- splash", "iso/a.iso", "x")
	f.Add("archisobasedir=arch img_dev= img_loop=", "my live.iso", "casper/x")
	f.Add(`root=live:X "a b`, "x\".iso", "apks/.boot_repository")
	f.Fuzz(func(t *testing.T, cmdline, path, file string) {
		if !fs.ValidPath(path) || !fs.ValidPath(file) || file == "." {
			return
		}
		image := iso.Image{Path: path, Outer: boot.Volume{UUID: "u"}, FS: fstest.MapFS{file: boottest.File("")}}
		e := iso.Adapt(boot.Entry{Title: "T", Kernel: file, Cmdline: boot.Plain(cmdline)}, image)
		boottest.Check(t, boot.Listing{Entries: []boot.Entry{e}}, nil)
		if e.Cmdline != boot.Plain(cmdline) && !strings.Contains(e.Cmdline, "/"+path) {
			t.Errorf("%q has become %q", cmdline, e.Cmdline)
		}
	})
}
