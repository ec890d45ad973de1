package doctor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/version"
)

// maxFile is more than a kernel or an initrd has.
const maxFile = 1 << 30

// archive is an initrd that was read.
type archive struct {
	modules  map[string]bool // by name
	releases []string        // that it has modules of
	opaque   bool            // a part of it is packed in a way that is not unpacked here
	problems []string
}

// entry checks one entry.
func (x *examination) entry(e boot.Entry) []Finding {
	c := &check{examination: x, e: e, name: e.Name()}
	image := c.kernel()
	initrd := c.initrds(image)
	root, known := c.root()
	c.modules(initrd, root, known)
	return c.found
}

// check is one entry being checked.
type check struct {
	*examination
	e       boot.Entry
	name    string
	release string // of its kernel; "" when it is not known
	found   []Finding
}

// broken adds what keeps the entry from booting. It is early when the menu notices
// before it starts the entry.
func (c *check) broken(early bool, check, do, format string, args ...any) {
	c.found = append(c.found, Finding{Level: Broken, Check: check, Entry: c.e.ID, Text: c.name + ": " + fmt.Sprintf(format, args...), Do: do, early: early})
}

// file reads a file of the entry.
func (c *check) file(name string) ([]byte, error) {
	f, err := c.Open(c.e.Volume, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("it is larger than any kernel or initramfs")
	}
	if err != nil {
		return nil, fmt.Errorf("/%s on %s: %w", name, c.e.Volume.Device, err)
	}
	return b, nil
}

// kernel checks the kernel, and returns its image if it is a unified one.
func (c *check) kernel() *kernel.UKI {
	again := c.kernelAgain(c.e)
	b, err := c.file(c.e.Kernel)
	if err != nil {
		c.broken(true, "kernel", again, "its kernel cannot be read: %v.", err)
		return nil
	}
	r := strings.NewReader(string(b))
	info, err := kernel.Identify(r, r.Size())
	if err != nil {
		c.broken(true, "kernel", again, "/%s: %v.", c.e.Kernel, err)
		return nil
	}
	if c.release = info.Version; c.release == "" {
		c.release = c.e.Version
	}
	var u *kernel.UKI
	if info.Format == kernel.UnifiedImage {
		if u, err = kernel.OpenProfile(r, r.Size(), c.e.Profile); err != nil {
			c.broken(true, "kernel", again, "/%s: %v.", c.e.Kernel, err)
			return nil
		}
		if b, err = io.ReadAll(u.Linux); err != nil {
			return u
		}
	}
	if c.secureBoot() && c.bootedByUs() {
		program, err := efi.Parse(b)
		var list []efi.Signature
		if err == nil {
			list, err = program.Signatures()
		}
		good := slices.ContainsFunc(list, func(s efi.Signature) bool { return s.Problem == "" })
		if err != nil || !good {
			c.broken(true, "secure-boot", "Sign it by a key in the firmware's db (sbsign), or switch Secure Boot off.",
				"/%s is not signed, and alpboot takes no such kernel while Secure Boot is on.", c.e.Kernel)
		}
	}
	return u
}

// initrds reads the initrds of the entry, and returns what is in them together.
func (c *check) initrds(u *kernel.UKI) archive {
	all := archive{modules: map[string]bool{}}
	add := func(name string, a *archive) {
		for _, p := range a.problems {
			c.broken(false, "initramfs", c.initramfsAgain(), "/%s: %s.", name, strings.TrimSuffix(p, "."))
		}
		all.opaque = all.opaque || a.opaque || len(a.problems) > 0
		all.releases = append(all.releases, a.releases...)
		for m := range a.modules {
			all.modules[m] = true
		}
	}
	if u != nil {
		for _, r := range u.Initrds {
			if b, err := io.ReadAll(r); err == nil {
				add(c.e.Kernel, readArchive(c.e.Kernel, b))
			}
		}
	}
	for _, name := range c.e.Initrds {
		key := c.e.Volume.Device + "/" + name
		a := c.read[key]
		if a == nil {
			b, err := c.file(name)
			if err != nil {
				c.broken(true, "initramfs", c.initramfsAgain(), "its initramfs cannot be read: %v.", err)
				all.opaque = true
				continue
			}
			a = readArchive(name, b)
			c.read[key] = a
		}
		add(name, a)
	}
	return all
}

// readArchive reads what a kernel is to unpack.
func readArchive(name string, b []byte) *archive {
	a := &archive{modules: map[string]bool{}}
	b = b[kernel.InitrdStart(strings.NewReader(string(b[:min(len(b), 1<<10)])), int64(len(b))):]
	if _, err := kernel.IdentifyInitrd(strings.NewReader(string(b[:min(len(b), 1<<10)])), int64(len(b))); err != nil {
		a.problems = []string{err.Error()}
		return a
	}
	r, err := inspect.Bytes(name, b)
	if err != nil {
		a.problems = []string{err.Error()}
		return a
	}
	a.problems, a.opaque = r.Problems, r.Opaque
	for _, p := range r.Parts {
		_, file, ok := strings.Cut("/"+p.Name, "/lib/modules/")
		if !ok {
			continue
		}
		release, _, _ := strings.Cut(file, "/")
		if strings.Contains(path.Base(file), ".ko") {
			a.modules[module.NameOf(file)] = true
			if !slices.Contains(a.releases, release) {
				a.releases = append(a.releases, release)
			}
		}
	}
	return a
}

// root returns the device of the root filesystem; known is false where nothing here
// can tell which it is.
func (c *check) root() (d Device, known bool) {
	const fix = "Put it right in the configuration of the boot loader; blkid prints the UUIDs."
	words := cmdline.Parse(c.e.Cmdline)
	name, _ := words.Get("root")
	if crypt, _ := words.Get("cryptroot"); crypt != "" {
		name = crypt
	}
	if name == "" {
		b, _ := fs.ReadFile(c.Root, "proc/cmdline")
		if here, _ := cmdline.Parse(string(b)).Get("root"); here != "" {
			c.broken(false, "root", fix, "its command line has no root=, with which the running system was started.")
		}
		return d, false
	}
	found, known := c.named(name)
	switch {
	case !known:
		return d, false
	case len(found) == 0:
		c.broken(false, "root", fix, "there is no %s, which its command line names as the root filesystem.", name)
		return d, false
	case len(found) > 1:
		c.broken(false, "root", "Change the UUID of the copy (tune2fs -U random), or name a partition by PARTUUID=.", "%s is %s and %s: it is not known which of them would be the root filesystem.", name, found[0].Path, found[1].Path)
		return d, false
	}
	d = found[0]
	if t, _ := words.Get("rootfstype"); t != "" && d.Type != "" && !slices.Contains(strings.Split(t, ","), d.Type) && !isMember(d.Type) {
		c.broken(false, "root", fix, "its command line has rootfstype=%s, and %s holds %s.", t, d.Path, d.Type)
	}
	return d, true
}

// named returns the devices that a value of root= or a field of fstab names; known is
// false for what is not a block device, or not of a form that is known here.
func (x *examination) named(name string) (found []Device, known bool) {
	tag, value, tagged := strings.Cut(name, "=")
	if dir, base := path.Split(name); strings.HasPrefix(dir, "/dev/disk/by-") {
		tag, value, tagged = strings.TrimSuffix(strings.TrimPrefix(dir, "/dev/disk/by-"), "/"), base, true
	}
	value = strings.Trim(value, `"'`)
	var is func(Device) bool
	switch {
	case tagged && strings.EqualFold(tag, "uuid"):
		is = func(d Device) bool { return strings.EqualFold(d.UUID, value) }
	case tagged && strings.EqualFold(tag, "label"):
		is = func(d Device) bool { return d.Label == value }
	case tagged && strings.EqualFold(tag, "partuuid"):
		is = func(d Device) bool { return strings.EqualFold(d.PartUUID, value) }
	case tagged && strings.EqualFold(tag, "partlabel"):
		is = func(d Device) bool { return d.PartLabel == value }
	case !tagged && strings.HasPrefix(name, "/dev/"):
		is = func(d Device) bool { return d.Path == name }
		// Names that udev or an initramfs makes are not known, nor what is opened only there,
		// nor what is no disk.
		special := strings.Count(name, "/") > 2 || name == "/dev/nfs" || name == "/dev/root" || strings.HasPrefix(name, "/dev/ram")
		if !slices.ContainsFunc(x.Devices, is) && special {
			return nil, false
		}
	default:
		return nil, false
	}
	if value == "" && tagged {
		return nil, true
	}
	for _, d := range x.Devices {
		// Of the devices that make one filesystem or array one is enough.
		if is(d) && !slices.ContainsFunc(found, func(o Device) bool { return o.Type == d.Type && (isMember(d.Type) || d.Type == superblock.Btrfs) }) {
			found = append(found, d)
		}
	}
	if len(found) > 1 {
		if free := slices.DeleteFunc(slices.Clone(found), x.isUsed); len(free) > 0 {
			found = free
		}
	}
	return found, true
}

// modules checks that the kernel finds the drivers of its root filesystem in the
// initramfs, and its modules on the root filesystem that runs here.
func (c *check) modules(initrd archive, root Device, known bool) {
	if c.release == "" {
		return
	}
	here := known && c.isRunningRoot(root)
	index := c.moduleIndex(c.release)
	if here && index == nil {
		c.broken(false, "modules", c.kernelAgain(c.e), "it is Linux %s, and there is no directory /lib/modules/%s.", c.release, c.release)
	}
	if initrd.opaque {
		return
	}
	if len(initrd.releases) > 0 && !slices.Contains(initrd.releases, c.release) {
		c.broken(false, "initramfs", c.initramfsAgain(), "it is Linux %s, and its initramfs has modules of %s.", c.release, strings.Join(initrd.releases, " and "))
		return
	}
	if !known || !here || index == nil {
		return
	}
	for _, driver := range c.drivers(root) {
		needed, ok := index.Needs(driver.module)
		if !ok && c.isLoaded(driver.module) {
			c.broken(false, "modules", c.kernelAgain(c.e), "Linux %s has no module %s, which %s.", c.release, driver.module, driver.what)
		}
		for _, m := range needed {
			if initrd.modules[m] {
				continue
			}
			what := driver.what
			if m != driver.module {
				what = "is needed by " + driver.module + ", which " + what
			}
			c.broken(false, "initramfs", c.initramfsAgain(), "its initramfs lacks the module %s, which %s.", m, what)
		}
	}
}

// isRunningRoot reports whether a device is the root filesystem of the running
// system, or what that is in.
func (c *check) isRunningRoot(d Device) bool {
	b, _ := fs.ReadFile(c.Root, "proc/cmdline")
	words := cmdline.Parse(string(b))
	for _, parameter := range []string{"cryptroot", "root"} {
		name, _ := words.Get(parameter)
		if name == "" {
			continue
		}
		found, _ := c.named(name)
		return len(found) > 0 && found[0] == d
	}
	return false
}

// What puts files right, by the system that runs here.

func (x *examination) has(name string) bool {
	_, err := fs.Stat(x.Root, name)
	return err == nil
}

func (x *examination) kernelAgain(e boot.Entry) string {
	switch flavour := version.Flavour(e.Version); {
	case x.has("etc/apk") && flavour != "":
		return fmt.Sprintf("Run apk fix linux-%s.", flavour)
	case x.has("etc/apk"):
		return "Run apk fix with the name of the kernel's package."
	case x.has("etc/debian_version") && e.Version != "":
		return fmt.Sprintf("Run apt-get install --reinstall linux-image-%s.", e.Version)
	}
	return "Install the package of the kernel again, or take the entry out."
}

func (c *check) initramfsAgain() string {
	switch {
	case c.has("etc/mkinitfs") && c.release != "":
		return fmt.Sprintf("Check the features in /etc/mkinitfs/mkinitfs.conf and run mkinitfs %s.", c.release)
	case c.has("etc/initramfs-tools") && c.release != "":
		return fmt.Sprintf("Run update-initramfs -u -k %s.", c.release)
	}
	return "Make the initramfs again."
}
