package doctor

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// Starts is what starts a machine.
type Starts struct {
	Firmware string // what it is and in which order it starts what
	Menu     string // alpboot: its name, its kernel, its file, who signed it
	Newer    string // an image that is here and is not what is installed; "" for none
}

// WhatStarts returns what starts a machine.
func WhatStarts(m Machine) Starts {
	x := &examination{Machine: m}
	if x.Vars == nil {
		return Starts{Firmware: "without UEFI, or UEFI's variables", Menu: x.entryOfOurs()}
	}
	secure := "off"
	if x.secureBoot() {
		secure = "on"
	}
	s := Starts{Firmware: "UEFI, Secure Boot is " + secure}
	var names []string
	for _, o := range x.options() {
		if o.Attributes&efivar.Active != 0 {
			names = append(names, o.name())
		}
		if !o.ours() || s.Menu != "" {
			continue
		}
		file := "/" + o.path
		switch {
		case !o.seen:
			s.Menu = file + " on a partition that is not mounted"
		case o.err != nil:
			s.Menu = fmt.Sprintf("%s on %s: %v", file, o.volume.Device, o.err)
		default:
			s.Menu = fmt.Sprintf("%s on %s: %s", file, o.volume.Device, describe(o.image))
			s.Newer = x.newer(o.image)
		}
	}
	if s.Menu == "" {
		s.Menu = "not among what the firmware starts from a disk"
		if file, image, _ := x.removable(); image != nil {
			s.Menu, s.Newer = file+": "+describe(image), x.newer(image)
		}
	}
	if len(names) > 0 {
		s.Firmware += "; it starts " + strings.Join(names, ", then ")
	}
	if o, ok := efivar.OptionIn(x.Vars, "BootNext"); ok {
		s.Firmware += fmt.Sprintf("; at the next start %q, once", boot.Clean(o.Description))
	}
	return s
}

// entryOfOurs returns the entry by which another boot loader starts alpboot.
func (x *examination) entryOfOurs() string {
	for _, e := range x.Inventory.Entries {
		if e.IsOwn() {
			return fmt.Sprintf("/%s on %s: Linux %s, an entry of %s on %s", e.Kernel, e.Volume.Device, e.Version, e.Format, e.Source)
		}
	}
	return "not found on the disks"
}

// describe returns what an image of alpboot is and who signed it.
func describe(b []byte) string {
	var words []string
	if u, err := kernel.OpenUKI(bytes.NewReader(b), int64(len(b))); err == nil {
		if name := u.Release("PRETTY_NAME"); name != "" {
			words = append(words, name)
		}
		words = append(words, "Linux "+u.Version)
	} else {
		words = append(words, err.Error())
	}
	signed := "not signed"
	if p, err := efi.Parse(b); err == nil {
		if list, _ := p.Signatures(); len(list) > 0 {
			if signed = fmt.Sprintf("signed by %q", list[0].Subject); list[0].Problem != "" {
				signed += ", which does not hold: " + list[0].Problem
			}
		}
	}
	return strings.Join(append(words, signed), ", ")
}

// newer returns the image of a package that is not the installed one.
func (x *examination) newer(installed []byte) string {
	for _, name := range esp.Packaged() {
		b, err := boot.ReadFile(x.Root, name, maxFile)
		if err == nil && !bytes.Equal(b, installed) {
			return fmt.Sprintf("/%s: %s", name, describe(b))
		}
	}
	return ""
}
