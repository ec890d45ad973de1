package doctor

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/module"
)

// driver is a module that the way to a device needs.
type driver struct {
	module string
	what   string // what it does, to follow "which"
}

// filesystems are the modules of what root filesystems hold, where the names differ.
var filesystems = map[string]string{superblock.Ext2: "ext4", superblock.Ext3: "ext4", superblock.LUKS: "dm_crypt", superblock.LVMMember: "dm_mod"}

// isMember reports whether a type is that of a container: others may have its UUID.
func isMember(t string) bool {
	return slices.Contains([]string{superblock.LUKS, superblock.LVMMember, superblock.RAIDMember}, t)
}

// drivers returns the modules that drive a device now, and that of its filesystem.
func (x *examination) drivers(d Device) []driver {
	var list []driver
	add := func(name, what string) {
		if name != "" && !slices.ContainsFunc(list, func(o driver) bool { return o.module == name }) {
			list = append(list, driver{name, what})
		}
	}
	x.driving(d.Name, 0, func(name string) { add(name, "drives "+d.Path+", the root filesystem") })
	if name, ok := filesystems[d.Type]; ok {
		add(name, "reads "+d.Type+", which "+d.Path+" holds")
	} else if d.Type != "" && !isMember(d.Type) {
		add(module.NameOf(d.Type), "reads "+d.Type+", which "+d.Path+" holds")
	}
	return list
}

// maxStacked is how many devices can be made of one another.
const maxStacked = 16

// driving calls f with the modules that drive the block device called name, and what
// it is made of.
func (x *examination) driving(name string, depth int, f func(module string)) {
	const class = "sys/class/block"
	link, err := fs.ReadLink(x.Root, path.Join(class, name))
	if err != nil || depth > maxStacked {
		return
	}
	dir := path.Join(class, link)
	uuid, _ := boot.ReadFile(x.Root, path.Join(dir, "dm/uuid"), 64<<10)
	level, _ := boot.ReadFile(x.Root, path.Join(dir, "md/level"), 64<<10)
	switch {
	case strings.HasPrefix(string(uuid), "CRYPT-"):
		f("dm_crypt")
	case len(uuid) > 0:
		f("dm_mod")
	case len(level) > 0:
		f(strings.TrimSpace(string(level)))
	}
	parts, _ := fs.ReadDir(x.Root, path.Join(dir, "slaves"))
	for _, part := range parts {
		x.driving(part.Name(), depth+1, f)
	}
	for ; strings.HasPrefix(dir, "sys/devices/"); dir = path.Dir(dir) {
		link, err := fs.ReadLink(x.Root, path.Join(dir, "driver"))
		if err != nil {
			continue
		}
		at := path.Join(dir, link)
		if link, err = fs.ReadLink(x.Root, path.Join(at, "module")); err == nil {
			f(path.Base(link))
		}
	}
}

// moduleIndex returns the modules of a release on the root filesystem, nil when there
// are none.
func (x *examination) moduleIndex(release string) *module.Index {
	for _, dir := range []string{".", "usr"} {
		root, err := fs.Sub(x.Root, dir)
		if err != nil {
			continue
		}
		if st, err := fs.Stat(root, path.Join("lib/modules", release)); err != nil || !st.IsDir() {
			continue
		}
		if index, err := module.Open(root, release); err == nil {
			return index
		}
		return &module.Index{} // as damaged as an empty one
	}
	return nil
}

// isLoaded reports whether the running kernel has loaded a module. One that is built
// in may be part of another kernel under another name.
func (x *examination) isLoaded(name string) bool {
	b, _ := boot.ReadFile(x.Root, "proc/modules", 1<<20)
	return strings.Contains("\n"+string(b), "\n"+name+" ")
}

// isUsed reports whether something is made of a block device, which then has what
// that has: a path of several to one disk, or what an encrypted volume is on.
func (x *examination) isUsed(d Device) bool {
	list, err := fs.ReadDir(x.Root, path.Join("sys/class/block", d.Name, "holders"))
	return err == nil && len(list) > 0
}
