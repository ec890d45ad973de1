package limine

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
)

// entries returns the entries of nodes, which are in submenu, and of the
// directories among them.
func (c *config) entries(nodes []*node, submenu []string) []boot.Entry {
	var list []boot.Entry
	for _, n := range nodes {
		if len(n.sub) > 0 {
			list = append(list, c.entries(n.sub, boot.Within(submenu, n.name))...)
			continue
		}
		if _, gone := c.hidden(n); !gone {
			list = append(list, c.entry(n, submenu))
		}
	}
	return list
}

// entry returns the entry of a node that is not a directory.
func (c *config) entry(n *node, submenu []string) boot.Entry {
	e := boot.Entry{
		Title:   cmp.Or(boot.Clean(n.name), "Entry without a name"),
		Submenu: submenu,
		Format:  formatName,
		Source:  n.src,
		Default: n == c.chosen || n == c.besides,
		Problem: n.broken,
	}
	if c.timeout != nil {
		d := *c.timeout
		e.Timeout = &d
	}
	if f := n.options.first("if_fw_type"); f != "" && !strings.EqualFold(f, c.firmware) {
		e.Notes = append(e.Notes, fmt.Sprintf("Limine shows it only when it was started by %s firmware.", boot.Clean(f)))
	}
	problem := func(s string) {
		if e.Problem == "" {
			e.Problem = s
		}
	}
	if s := noLinux(n.options); s != "" {
		problem(s)
		return e
	}
	file := n.options.first("path", "kernel_path", "image_path")
	if file == "" {
		problem("It names no kernel.")
		return e
	}
	kernel := c.resolve(file)
	options := boot.Plain(n.options.first("kernel_cmdline", "cmdline"))
	if isEFI(n.options) {
		c.program(&e, kernel, options)
		return e
	}
	modules := n.options.all("module_path")
	if len(modules) > maxInitrds {
		problem(fmt.Sprintf("It names %d modules, more than the %d that alpboot reads.", len(modules), maxInitrds))
		modules = modules[:maxInitrds]
	}
	take := func(l location) {
		c.unresolved = c.unresolved || l.unresolved
		if l.problem != "" {
			problem(l.problem)
		}
		for _, s := range l.notes {
			if !slices.Contains(e.Notes, s) {
				e.Notes = append(e.Notes, s)
			}
		}
	}
	take(kernel)
	e.Kernel = kernel.file
	if kernel.volume != c.vol {
		e.Volume = kernel.volume
	}
	for _, m := range modules {
		l := c.resolve(m)
		take(l)
		if l.problem == "" && kernel.problem == "" && l.volume != kernel.volume {
			problem(fmt.Sprintf("Its module /%s is on %s and its kernel on %s: alpboot reads both from one volume only.", boot.Clean(l.file), l.volume.Device, kernel.volume.Device))
		}
		if l.file != "" {
			e.Initrds = append(e.Initrds, l.file)
		}
	}
	e.Cmdline = strings.TrimSpace(options)
	dtb := n.options.first("dtb_path")
	if dtb == "" {
		dtb = c.globals.first("global_dtb")
	}
	if dtb != "" {
		e.Notes = append(e.Notes, fmt.Sprintf("Its device tree %s is not passed on: the kernel gets the one that this machine runs with.", boot.Clean(dtb)))
	}
	return e
}

// program completes an entry that starts an EFI program.
func (c *config) program(e *boot.Entry, l location, options string) {
	c.unresolved = c.unresolved || l.unresolved
	e.Problem, e.Kernel, e.Notes = cmp.Or(e.Problem, l.problem), l.file, append(e.Notes, l.notes...)
	fsys := c.fsys
	if l.volume != c.vol {
		e.Volume = l.volume
		for _, o := range c.others {
			if o.Volume == l.volume {
				fsys = o.FS
			}
		}
	}
	if e.Problem == "" {
		efiprogram.Complete(e, fsys, ".", options)
	}
}

// isEFI reports whether an entry starts an EFI program.
func isEFI(o options) bool {
	return slices.Contains([]string{"efi", "uefi", "efi_chainload"}, strings.ToLower(o.first("protocol")))
}

// noLinux returns why an entry is not a Linux kernel; "" when it may be one.
func noLinux(o options) string {
	switch protocol := strings.ToLower(o.first("protocol")); protocol {
	case "linux", "efi", "uefi", "efi_chainload":
		return ""
	case "":
		return "It names no protocol, without which Limine boots nothing."
	case "limine", "multiboot", "multiboot1", "multiboot2", "stivale", "stivale2":
		return fmt.Sprintf("It is a kernel for the protocol %s, which alpboot cannot start.", protocol)
	case "efi_boot_entry":
		return fmt.Sprintf("It reboots into the firmware's own entry %s (protocol %s): choose that system's own entry.", boot.Quote(o.first("entry")), protocol)
	case "bios", "bios_chainload", "chainload", "chainload_next":
		return fmt.Sprintf("It starts the boot sector of another disk through the firmware (protocol %s), which a running Linux cannot do.", protocol)
	default:
		return fmt.Sprintf("Its protocol %s is none that alpboot knows.", boot.Quote(protocol))
	}
}

// location is what a path of the configuration leads to.
type location struct {
	volume     boot.Volume
	file       string // slash path on the volume; "" when it could not be read
	problem    string // why it cannot be used
	notes      []string
	unresolved bool // its volume was not there
}

// splitPath splits resource(argument):/file.
func splitPath(s string) (resource, argument, file string, ok bool) {
	if resource, s, ok = strings.Cut(s, "("); ok {
		argument, file, ok = strings.Cut(s, "):/")
	}
	return resource, argument, file, ok
}

// splitURI splits resource://argument/file, as until version 7.
func splitURI(s string) (resource, argument, file string, ok bool) {
	if resource, s, ok = strings.Cut(s, "://"); ok {
		argument, file, ok = strings.Cut(s, "/")
	}
	return resource, argument, file, ok
}

// resolve finds the file that a path leads to.
func (c *config) resolve(s string) (l location) {
	l.volume = c.vol
	resource, argument, file, ok := c.splitPath(s)
	resource, isGzip := strings.CutPrefix(resource, "$")
	hash := ""
	if i := strings.LastIndexByte(file, '#'); i >= 0 {
		file, hash = file[:i], file[i:]
	}
	l.file = path.Clean("/" + file)[1:]
	if !ok || l.file == "" {
		l.file, l.problem = "", fmt.Sprintf("%s is not a path of Limine's.", boot.Quote(s))
		return l
	}
	if isGzip {
		l.notes = append(l.notes, fmt.Sprintf("Limine would uncompress /%s first; alpboot takes it as it is.", boot.Clean(l.file)))
	}
	switch {
	case hash == "":
	case isHash(hash[1:]):
		l.notes = append(l.notes, fmt.Sprintf("Limine would check the hash of /%s; alpboot does not.", boot.Clean(l.file)))
	default:
		l.problem = fmt.Sprintf("What follows # in %s is not a hash, and Limine boots nothing without one there.", boot.Quote(s))
	}

	if resource == "boot" && argument == "" {
		return l
	}
	if c.lookupsLeft--; c.lookupsLeft < 0 {
		l.problem = fmt.Sprintf("There are more than %d paths on other volumes: its own is not looked for.", maxLookups)
		return l
	}
	var found []boot.MountedVolume
	name := fmt.Sprintf("%s(%s)", resource, argument)
	switch resource {
	case "boot":
		if n, err := strconv.ParseUint(argument, 10, 8); err == nil {
			if int(n) == c.vol.Partition {
				return l
			}
			disk := c.vol.Disk
			if disk == "" {
				disk = c.vol.Device
			}
			found = onPartition(c.others.Find(boot.VolumeRef{Disk: disk}, c.vol), int(n))
		}
	case "hdd", "odd":
		if found = c.onDrive(resource, argument, l.file); len(found) > 0 {
			l.notes = append(l.notes, fmt.Sprintf("%s counts drives as the firmware does: /%s is taken from %s.", boot.Clean(name), boot.Clean(l.file), found[0].Volume.Device))
		}
	case "guid", "uuid":
		if found = c.lookUp(boot.VolumeRef{UUID: argument}, l.file); len(found) == 0 {
			found = c.lookUp(boot.VolumeRef{PartUUID: argument}, l.file)
		}
	case "fslabel":
		found = c.lookUp(boot.VolumeRef{Label: argument}, l.file)
	case "tftp":
		l.problem = fmt.Sprintf("The file %s is on the network.", boot.Clean(s))
		return l
	default:
		l.problem = fmt.Sprintf("%s is not a path of Limine's.", boot.Quote(s))
		return l
	}
	if len(found) == 0 {
		l.unresolved = true
		l.problem = fmt.Sprintf("The volume %s, which it names, has not been found.", boot.Clean(name))
		return l
	}
	l.volume = found[0].Volume
	return l
}

// lookUp returns the volumes that ref names, if there are any with that file only
// those.
func (c *config) lookUp(ref boot.VolumeRef, file string) []boot.MountedVolume {
	if ref == (boot.VolumeRef{}) {
		return nil
	}
	with := ref
	with.File = file
	if found := c.others.Find(with, c.vol); len(found) > 0 {
		return found
	}
	return c.others.Find(ref, c.vol)
}

// onDrive returns the volumes that DRIVE:PARTITION may mean, the likeliest first:
// they hold the file. No partition means the whole drive.
func (c *config) onDrive(resource, argument, file string) []boot.MountedVolume {
	d, p, ok := strings.Cut(argument, ":")
	drive, err := strconv.ParseUint(d, 10, 16)
	if !ok || err != nil || drive == 0 {
		return nil
	}
	partition := uint64(0)
	if p != "" {
		if partition, err = strconv.ParseUint(p, 10, 16); err != nil {
			return nil
		}
	}
	found := onPartition(c.others.Find(boot.VolumeRef{File: file}, c.vol), int(partition))
	found = slices.DeleteFunc(found, func(m boot.MountedVolume) bool {
		return (m.Volume.Type == superblock.ISO9660) != (resource == "odd")
	})
	if drive > 1 && resource == "hdd" {
		var own, others []boot.MountedVolume
		for _, m := range found {
			if m.Volume.Disk == c.vol.Disk && m.Volume.Disk != "" || m.Volume.Device == c.vol.Device {
				own = append(own, m)
			} else {
				others = append(others, m)
			}
		}
		found = append(others, own...)
	}
	return found
}

// onPartition returns those of vs with that partition number; 0 is a whole disk.
func onPartition(vs []boot.MountedVolume, number int) []boot.MountedVolume {
	return slices.DeleteFunc(vs, func(m boot.MountedVolume) bool { return m.Volume.Partition != number })
}

// isHash reports whether s has the form of a hash that Limine takes: BLAKE2b of
// 64 bytes, or since version 12 BLAKE3 of 32 or 128.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && (len(b) == 32 || len(b) == 64 || len(b) == 128)
}
