// Package efivars reads the boot options of UEFI firmware that start a Linux
// kernel by itself, through its EFI stub: the command line is then nowhere but
// in the firmware's variable.
//
// What a variable holds is laid down in the UEFI specification 2.10, sections
// 3.1.3 (load options), 3.3 (BootOrder) and 10.3 (device paths). Options that
// start a boot loader or another system are passed over: their data is no
// kernel command line.
//
// It is not a format of volumes, and so has no Format.
package efivars

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/fspath"
)

const formatName = "efivars"

// What is read, so that no firmware can keep the menu waiting.
const (
	maxOptions = 256 // boot options
	maxInitrds = 32  // of one entry
)

// Parse reads the boot options in vars, the root of an efivarfs: a file
// Boot####-GUID for each, that begins with four bytes of attributes. They come
// in the order of BootOrder, then of their numbers. The default is the first
// option of BootOrder that the firmware would start, if it starts a kernel.
// Options that are not active, hidden, or of a category of their own are left
// out.
//
// Kernel and initrds are on the partition that the option names by its UUID. It
// is looked up in others; where it is missing the entry has a Problem and the
// listing is Unresolved.
//
// No variables, as on a machine with another firmware, are an empty listing.
func Parse(vars fs.FS, others boot.Volumes) (boot.Listing, error) {
	list, err := fs.ReadDir(vars, ".")
	if len(list) == 0 {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return boot.Listing{}, err
	}
	var entries []boot.Entry
	var notes boot.Notes
	note := func(file, text string) { notes.Add(boot.Source{File: file}, text) }
	unresolved := false
	files := map[uint16]string{}
	var numbers []uint16
	orderFile := ""
	for _, d := range list {
		name, guid, _ := strings.Cut(d.Name(), "-")
		if !strings.EqualFold(guid, efivar.Global) {
			continue
		}
		if name == "BootOrder" {
			orderFile = d.Name()
		}
		digits, ok := strings.CutPrefix(name, "Boot")
		if n, err := strconv.ParseUint(digits, 16, 16); ok && err == nil && len(digits) == 4 {
			files[uint16(n)] = d.Name()
			numbers = append(numbers, uint16(n))
		}
	}
	slices.Sort(numbers)
	order := readOrder(vars, orderFile, note)
	hasDefault := false
	read := map[uint16]bool{}
	for i, n := range slices.Concat(order, numbers) {
		file := files[n]
		if file == "" || read[n] {
			continue // deleted, or named twice
		}
		if len(read) == maxOptions {
			note("", fmt.Sprintf("There are more than %d boot options: the others are left out.", maxOptions))
			break
		}
		read[n] = true
		b, err := efivar.Read(vars, file)
		var o efivar.LoadOption
		if err == nil {
			o, err = efivar.ParseLoadOption(b)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // an empty file, or deleted by now
		}
		if err != nil {
			note(file, fmt.Sprintf("The boot option cannot be used: %v.", err))
			continue
		}
		if o.Attributes&(efivar.Active|efivar.Hidden|efivar.Category) != efivar.Active {
			continue
		}
		isDefault := i < len(order) && !hasDefault
		hasDefault = hasDefault || isDefault
		options, ok := o.Text()
		if !ok || !isKernel(o.File, options) {
			continue
		}
		e := entry(o, options, others, &unresolved)
		if e.Title == "" {
			e.Title, _, _ = strings.Cut(file, "-")
		}
		e.Source.File, e.Default = file, isDefault
		entries = append(entries, e)
	}
	l, err := notes.Listing(entries)
	l.Unresolved = unresolved
	return l, err
}

// readOrder returns the numbers in BootOrder.
func readOrder(vars fs.FS, file string, note func(file, text string)) []uint16 {
	if file == "" {
		return nil
	}
	b, err := efivar.Read(vars, file)
	if err != nil {
		note(file, fmt.Sprintf("The order of the boot options cannot be read: %v.", err))
	}
	return efivar.Numbers(b)
}

// entry returns the entry for an option whose data is a command line.
func entry(o efivar.LoadOption, options string, others boot.Volumes, unresolved *bool) boot.Entry {
	e := boot.Entry{
		Title:  boot.Clean(o.Description),
		Format: formatName,
		Kernel: fspath.InsideDOS(o.File),
	}
	e.Cmdline, e.Initrds = LoadOptions(options)
	if len(e.Initrds) > maxInitrds {
		e.Problem = fmt.Sprintf("It names %d initrds, more than the %d that alpboot reads.", len(e.Initrds), maxInitrds)
		e.Initrds = e.Initrds[:maxInitrds]
	}
	uuid := o.Partition.UUID()
	if uuid == "" {
		e.Problem = "The firmware's option does not name the partition that its kernel is on."
		return e
	}
	// Of copies of a disk, one that holds the kernel is better than one without.
	found := others.Find(boot.VolumeRef{PartUUID: uuid, File: e.Kernel}, boot.Volume{})
	if len(found) == 0 {
		found = others.Find(boot.VolumeRef{PartUUID: uuid}, boot.Volume{})
	}
	if len(found) == 0 {
		*unresolved = true
		e.Problem = fmt.Sprintf("Its partition, with the UUID %s, has not been found.", uuid)
		return e
	}
	e.Volume = found[0].Volume
	return e
}

// isKernel reports whether an option with that file and text starts a kernel.
func isKernel(file, options string) bool {
	base := strings.ToLower(path.Base(fspath.InsideDOS(file)))
	if base == "." {
		return false
	}
	for _, loader := range []string{"shim", "grub", "refind", "limine", "systemd-boot", "fwup", "preloader", "ipxe", "elilo", "syslinux", "bootmgfw"} {
		if strings.HasPrefix(base, loader) {
			return false
		}
	}
	// The name means little: what shim is passed is a file, not KEY=VALUE.
	for _, word := range cmdline.Parse(options) {
		if word == "quiet" || word == "ro" || word == "rw" {
			return true
		}
		key, _, ok := cmdline.Cut(word)
		if ok && key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == "" {
			return true
		}
	}
	return false
}

// LoadOptions reads the load options that a kernel with an EFI stub is started
// with, as text (drivers/firmware/efi/libstub in Linux). It returns the command
// line without what the stub takes out for itself, words parted by one space:
// initrd=FILE, a path from the root of the kernel's volume in either style, here
// as [fs.FS] takes it. BOOT_IMAGE= means nothing to the kernel and goes as well.
func LoadOptions(s string) (kernel string, initrds []string) {
	line := cmdline.Parse(s)
	for _, file := range line.All("initrd") {
		if file = fspath.InsideDOS(file); file != "." {
			initrds = append(initrds, file)
		}
	}
	return line.WithoutLoader().String(), initrds
}
