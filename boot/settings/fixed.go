package settings

import (
	"io/fs"
	"path"
	"strings"
)

// Fixed reports whether the whole disk with the device node disk, /dev/sda, is
// built into the machine, according to sysfs (os.DirFS("/sys")): it and what
// it is attached to are not removable, and it is neither on USB or FireWire nor
// a memory card, nor made of other devices or of a file. Where sysfs does not
// has nothing, it is not.
func Fixed(sysfs fs.FS, disk string) bool {
	name, ok := strings.CutPrefix(disk, "/dev/")
	if !ok || name == "" {
		return false
	}
	link, err := fs.ReadLink(sysfs, path.Join("class/block", strings.ReplaceAll(name, "/", "!")))
	if err != nil {
		return false
	}
	dir := path.Join("class/block", link)
	if !strings.HasPrefix(dir, "devices/") || strings.HasPrefix(dir, "devices/virtual/") {
		return false
	}
	for at := dir; at != "devices"; at = path.Dir(at) {
		if base := path.Base(at); strings.HasPrefix(base, "usb") || strings.HasPrefix(base, "fw") {
			return false
		}
		switch value(sysfs, path.Join(at, "removable")) {
		case "1", "removable": // of a block device; of one on USB or PCI
			return false
		}
	}
	return value(sysfs, path.Join(dir, "device/type")) != "SD" // a card; "MMC" is soldered
}

func value(sysfs fs.FS, file string) string {
	b, _ := fs.ReadFile(sysfs, file)
	return strings.TrimSpace(string(b))
}
