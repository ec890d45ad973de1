// Package all is the list of the formats that alpboot reads.
package all

import (
	"io/fs"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/bare"
	"github.com/alpboot/alpboot/boot/format/bls"
	"github.com/alpboot/alpboot/boot/format/efivars"
	"github.com/alpboot/alpboot/boot/format/extlinux"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/format/limine"
	"github.com/alpboot/alpboot/boot/format/refind"
	"github.com/alpboot/alpboot/boot/format/rpi"
	"github.com/alpboot/alpboot/boot/format/uki"
)

// Formats returns the formats that are looked for, the more trusted ones first.
// A new format is one directory under boot/format and one line here. The boot
// options of UEFI firmware are read from efiVars, the root of a mounted
// efivarfs; nil leaves them out.
func Formats(efiVars fs.FS) []boot.Format {
	return []boot.Format{
		firmware(efiVars),
		uki.Format(),
		bls.Format(),
		grub.Format(),
		limine.Format(),
		extlinux.Format(),
		refind.Format(),
		rpi.Format(),
		kept.Format(),
		bare.Format(),
	}
}

// firmware makes the boot options of UEFI firmware a format of the volumes that
// they name.
func firmware(efiVars fs.FS) boot.Format {
	return boot.Format{Name: "efivars", Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		if efiVars == nil || vol.PartUUID == "" {
			return boot.Listing{}, nil
		}
		l, err := efivars.Parse(efiVars, boot.Volumes{{Volume: vol, FS: fsys}})
		var here boot.Listing // without the notes, which are about no volume
		for _, e := range l.Entries {
			if e.Volume == vol {
				here.Entries = append(here.Entries, e)
			}
		}
		return here, err
	}}
}
