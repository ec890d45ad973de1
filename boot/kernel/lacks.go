package kernel

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// Lacks returns sentences about what the kernel of an entry may lack on this
// machine, by the configuration that distributions put beside it: a driver for
// the screen as it is now, and for the filesystem of the volume that root= names.
// Root is the root of the running system, with sysfs; fsys is the volume with the
// kernel, volumes are all that are known. Nothing is reported of what is not known,
// and nothing of it need keep an entry from booting: the initrd may hold what the
// configuration does not.
func Lacks(root, fsys fs.FS, e boot.Entry, volumes []boot.Volume) (notes []string) {
	config := configOf(fsys, e)
	if config == nil {
		return nil
	}
	for _, n := range needs(root, e, volumes) {
		if !n.metBy(config) {
			notes = append(notes, fmt.Sprintf("The kernel was built without %s (%s): %s.", n.what, n.options[0], n.so))
		}
	}
	return notes
}

// maxConfig is more than the configuration of any kernel.
const maxConfig = 1 << 20

// configOf returns the configuration of an entry's kernel, nil when there is none
// beside it: Alpine and Debian name it after the release, others after the file.
func configOf(fsys fs.FS, e boot.Entry) []byte {
	dir, base := path.Split(e.Kernel)
	var names []string
	if e.Version != "" {
		names = append(names, e.Version)
	}
	if _, suffix, ok := strings.Cut(base, "-"); ok {
		names = append(names, suffix)
	}
	for _, name := range names {
		if file := dir + "config-" + name; fs.ValidPath(file) {
			if b, err := boot.ReadFile(fsys, file, maxConfig); err == nil && bytes.Contains(b, []byte("\nCONFIG_")) {
				return b
			}
		}
	}
	return nil
}

// need is something that a target needs. Each of options is a group that does,
// of names with + between them, each of which must be y or m.
type need struct {
	what, so string
	options  []string
}

func (n need) metBy(config []byte) bool {
groups:
	for _, group := range n.options {
		for option := range strings.SplitSeq(group, "+") {
			if !bytes.Contains(config, []byte("\n"+option+"=y\n")) && !bytes.Contains(config, []byte("\n"+option+"=m\n")) {
				continue groups
			}
		}
		return true
	}
	return false
}

// bootParams is struct boot_params of x86 as the running kernel got it.
const bootParams = "sys/kernel/boot_params/data"

// Values of orig_video_isVGA in struct screen_info (linux/screen_info.h).
const (
	offVideoType = 0x0f
	videoVGA     = 0x22
	videoVESA    = 0x23
	videoEFI     = 0x70
)

// simple are the drivers for a framebuffer that anything may have set up.
var simple = [...]string{"CONFIG_SYSFB_SIMPLEFB+CONFIG_DRM_SIMPLEDRM", "CONFIG_SYSFB_SIMPLEFB+CONFIG_FB_SIMPLE"}

func needs(root fs.FS, e boot.Entry, volumes []boot.Volume) (list []need) {
	screen := need{what: "a driver for the screen as it is now", so: "it stays dark until a driver for the graphics card is loaded, if there is one"}
	params, _ := fs.ReadFile(root, bootParams)
	if len(params) > offVideoType {
		switch params[offVideoType] {
		case videoVGA:
			screen.options = []string{"CONFIG_VGA_CONSOLE"}
		case videoVESA:
			screen.options = append([]string{"CONFIG_FB_VESA"}, simple[:]...)
		case videoEFI:
			screen.options = append([]string{"CONFIG_FB_EFI"}, simple[:]...)
		}
	}
	if screen.options != nil {
		list = append(list, screen)
	}
	if v, ok := rootVolume(e.Cmdline, volumes); ok {
		for _, f := range filesystems {
			if f.name == v.Type {
				list = append(list, need{
					what: "support for " + v.Type + ", which " + v.Device + " holds", options: []string{f.option},
					so: "it may not find its root filesystem",
				})
			}
		}
	}
	return list
}

// filesystems are what root volumes hold, and the options for that.
var filesystems = [...]struct{ name, option string }{
	{superblock.Ext2, "CONFIG_EXT4_FS"}, {superblock.Ext3, "CONFIG_EXT4_FS"}, {superblock.Ext4, "CONFIG_EXT4_FS"}, {superblock.Btrfs, "CONFIG_BTRFS_FS"},
	{superblock.XFS, "CONFIG_XFS_FS"}, {superblock.F2FS, "CONFIG_F2FS_FS"}, {superblock.EROFS, "CONFIG_EROFS_FS"}, {superblock.Squashfs, "CONFIG_SQUASHFS"},
	{superblock.LUKS, "CONFIG_DM_CRYPT"}, {superblock.LVMMember, "CONFIG_BLK_DEV_DM"}, {superblock.RAIDMember, "CONFIG_BLK_DEV_MD"},
}

// rootVolume returns the one volume that root= or cryptroot= names.
func rootVolume(line string, volumes []boot.Volume) (v boot.Volume, ok bool) {
	words := cmdline.Parse(line)
	name, _ := words.Get("cryptroot") // mkinitfs unlocks it, and finds root= inside
	if name == "" {
		name, _ = words.Get("root")
	}
	for _, x := range volumes {
		if x.Type == "" {
			continue
		}
		is := x.Device == name && name != ""
		key, value, _ := strings.Cut(name, "=")
		for _, f := range []struct{ key, has string }{{"UUID", x.UUID}, {"LABEL", x.Label}, {"PARTUUID", x.PartUUID}, {"PARTLABEL", x.PartLabel}} {
			is = is || key == f.key && value != "" && strings.EqualFold(value, f.has)
		}
		if is && ok && v.Type != x.Type {
			return boot.Volume{}, false // nobody knows which of them
		}
		if is {
			v, ok = x, true
		}
	}
	return v, ok
}
