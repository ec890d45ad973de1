package device

import (
	"io/fs"
	"path"
	"strings"
)

// Fixed reports whether the whole disk with the device node disk, /dev/sda, is
// built into the machine, according to sysfs (os.DirFS("/sys")): it and what
// it is attached to are not removable, and it is neither on USB or FireWire nor
// a memory card. What is made of other devices is built in when all of these
// are; what is made of a file is not, nor what sysfs has nothing about.
func Fixed(sysfs fs.FS, disk string) bool {
	name, ok := strings.CutPrefix(disk, "/dev/")
	return ok && name != "" && fixed(sysfs, strings.ReplaceAll(name, "/", "!"), 0)
}

// maxStacked is how many devices can be made of one another.
const maxStacked = 16

// fixed is [Fixed] for the device, or partition, that the kernel calls name.
func fixed(sysfs fs.FS, name string, depth int) bool {
	link, err := fs.ReadLink(sysfs, path.Join("class/block", name))
	if err != nil || depth > maxStacked {
		return false
	}
	dir := path.Join("class/block", link)
	switch {
	case !strings.HasPrefix(dir, "devices/"):
		return false
	case strings.HasPrefix(dir, "devices/virtual/nvme-subsystem/"): // a disk that may be reached in several ways
		return multipath(sysfs, path.Dir(dir))
	case strings.HasPrefix(dir, "devices/virtual/"):
		parts, _ := fs.ReadDir(sysfs, path.Join(dir, "slaves"))
		for _, part := range parts {
			if !fixed(sysfs, part.Name(), depth+1) {
				return false
			}
		}
		return len(parts) > 0
	}
	return attached(sysfs, dir) && attribute(sysfs, path.Join(dir, "device/type")) != "SD" // a card; "MMC" is soldered
}

// multipath reports whether all controllers of an NVMe subsystem are built in.
func multipath(sysfs fs.FS, subsystem string) bool {
	ways, _ := fs.Glob(sysfs, path.Join(subsystem, "nvme*"))
	found := false
	for _, way := range ways {
		link, err := fs.ReadLink(sysfs, way)
		if err != nil {
			continue // the disk itself
		}
		if found = attached(sysfs, path.Join(path.Dir(way), link)); !found {
			return false
		}
	}
	return found
}

// attached reports whether the device in dir and what it is attached to are
// built in.
func attached(sysfs fs.FS, dir string) bool {
	for at := dir; strings.HasPrefix(at, "devices/"); at = path.Dir(at) {
		if base := path.Base(at); strings.HasPrefix(base, "usb") || strings.HasPrefix(base, "fw") {
			return false
		}
		switch attribute(sysfs, path.Join(at, "removable")) {
		case "1", "removable": // of a block device; of one on USB or PCI
			return false
		}
	}
	return true
}

func attribute(sysfs fs.FS, file string) string {
	b, _ := fs.ReadFile(sysfs, file)
	return strings.TrimSpace(string(b))
}
