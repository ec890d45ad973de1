package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload/efi"
	"github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/securekeys"
)

// option is a boot option of the firmware.
type option struct {
	efivar.BootOption
	path   string // of its file, from the root of the partition
	volume boot.Volume
	seen   bool // the partition is mounted
	gone   bool // there is no such partition
	image  []byte
	err    error // why there is no image
}

// ours reports whether the option is alpboot's.
func (o option) ours() bool {
	return strings.HasPrefix(strings.ToLower(o.path), "efi/alpboot/") || o.image != nil && esp.Ours(o.image)
}

func (o option) name() string { return fmt.Sprintf("%q", boot.Clean(o.Description)) }

// options returns the boot options in the firmware's order that name a file.
func (x *examination) options() []option {
	if x.listed {
		return x.list
	}
	x.listed = true
	order, err := efivar.BootOrder(x.Vars)
	if err != nil {
		x.find(Warning, "firmware", "See efibootmgr.", "The firmware's boot order cannot be read: %v.", err)
	}
	for _, n := range order {
		o, err := efivar.Option(x.Vars, n)
		if err != nil || o.File == "" || o.Partition.UUID() == "" || o.Attributes&(efivar.Hidden|efivar.Category) != 0 {
			continue
		}
		one := option{BootOption: efivar.BootOption{Number: n, LoadOption: o}, path: strings.Trim(strings.ReplaceAll(o.File, `\`, "/"), "/")}
		one.gone = x.knowsPartitions() && !slices.ContainsFunc(x.Devices, func(d Device) bool { return strings.EqualFold(d.PartUUID, o.Partition.UUID()) })
		for _, v := range x.Inventory.Volumes {
			if strings.EqualFold(v.Volume.PartUUID, o.Partition.UUID()) {
				one.volume, one.seen = v.Volume, true
				one.image, one.err = x.program(v.Volume, one.path)
			}
		}
		x.list = append(x.list, one)
	}
	return x.list
}

// knowsPartitions reports whether the UUIDs of partitions are known.
func (x *examination) knowsPartitions() bool {
	return slices.ContainsFunc(x.Devices, func(d Device) bool { return d.PartUUID != "" })
}

// starts reports whether the firmware would start the option, as far as is known.
func (o option) starts() bool {
	return o.Attributes&efivar.Active != 0 && !o.gone && (!o.seen || o.err == nil)
}

// program reads an EFI program.
func (x *examination) program(v boot.Volume, name string) ([]byte, error) {
	f, err := x.Open(v, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// bootedByUs reports whether the firmware starts alpboot, as far as is known.
func (x *examination) bootedByUs() bool {
	return x.Vars != nil && slices.ContainsFunc(x.options(), option.ours)
}

// firmware checks what the firmware starts.
func (x *examination) firmware() {
	if x.Vars == nil {
		return
	}
	const install = "Run alpboot install."
	options := x.options()
	i := slices.IndexFunc(options, option.ours)
	if i < 0 {
		x.withoutOption(options)
		return
	}
	for _, o := range options[:i] {
		if o.starts() {
			x.find(Warning, "firmware", "alpboot install puts it first, and so does efibootmgr -o.", "The firmware starts %s before alpboot.", o.name())
			break
		}
	}
	o := options[i]
	file := fmt.Sprintf("/%s on %s", o.path, o.volume.Device)
	switch {
	case o.Attributes&efivar.Active == 0:
		x.find(Warning, "firmware", fmt.Sprintf("Run efibootmgr -a -b %04X.", o.Number), "The firmware's boot option %s is switched off.", o.name())
	case o.gone:
		x.find(Broken, "firmware", install, "The firmware's boot option %s names a partition that is not there.", o.name())
		return
	case !o.seen:
		x.find(Warning, "firmware", "Mount it, for instance at /boot/efi.", "The partition with alpboot's image is not mounted, so that it was not checked.")
		return
	case errors.Is(o.err, fs.ErrNotExist):
		x.find(Broken, "firmware", install, "%s is gone, which the firmware starts.", file)
		return
	case o.err != nil:
		x.find(Broken, "firmware", install, "%s cannot be read: %v.", file, o.err)
		return
	}
	x.image(file, o.image)
}

// removable returns alpboot's image at the path for removable media, where it needs no
// boot option. It is nil when there is none; there is set when another program is.
func (x *examination) removable() (file string, image []byte, there bool) {
	name := esp.Fallback(x.Arch)
	for _, v := range x.Inventory.Volumes {
		if v.Volume.Type != superblock.VFAT || v.Volume.Removable || name == "" {
			continue
		}
		b, err := x.program(v.Volume, name)
		if err == nil && esp.Ours(b) {
			return fmt.Sprintf("/%s on %s", name, v.Volume.Device), b, true
		}
		there = there || err == nil
	}
	return "/" + name, nil, there
}

// withoutOption checks a machine whose boot order has no alpboot.
func (x *examination) withoutOption(options []option) {
	const install = "Run alpboot install."
	file, image, there := x.removable()
	if image != nil {
		x.image(file, image)
		return
	}
	for _, o := range options {
		if o.starts() {
			file, there = o.name(), true
			break
		}
	}
	switch {
	case !there:
		x.find(Broken, "firmware", install, "The firmware has nothing to start: no boot option names a file that is there.")
	case !x.onTrial():
		x.find(Warning, "firmware", install, "The firmware's boot order has no alpboot: it starts %s.", file)
	}
}

// onTrial reports whether this start or the next one is that of an image which is
// tried: the boot order gets it once the system says good.
func (x *examination) onTrial() bool {
	for _, name := range []string{"BootNext", "BootCurrent"} {
		if o, ok := efivar.OptionIn(x.Vars, name); ok && esp.Names(o, esp.Trial) {
			return true
		}
	}
	return false
}

// image checks alpboot's own image.
func (x *examination) image(file string, b []byte) {
	const install = "Run alpboot install."
	r, err := inspect.Bytes(file, b)
	if err != nil {
		x.find(Broken, "firmware", install, "%s: %v.", file, err)
		return
	}
	if r.Cmdline != nil && !r.Opaque {
		x.menu = r
	}
	secure := x.secureBoot()
	for _, p := range r.Problems {
		if !strings.Contains(p, "its signature") { // which are checked below
			x.find(Broken, "firmware", install, "%s: %s.", file, strings.TrimSuffix(p, "."))
		}
	}
	if !secure {
		return
	}
	const sign = "Sign it by a key in the firmware's db (mkpayload uki --sign), or switch Secure Boot off."
	program, err := efi.Parse(b)
	if err != nil {
		return // reported
	}
	list, _ := program.Signatures()
	trusted, known := x.trusted()
	switch i := slices.IndexFunc(list, func(s efi.Signature) bool { return s.Problem == "" }); {
	case len(list) == 0:
		x.find(Broken, "secure-boot", sign, "%s is not signed, and Secure Boot is on.", file)
	case i < 0:
		x.find(Broken, "secure-boot", sign, "The signature of %s does not hold: %s.", file, list[0].Problem)
	case known && !slices.ContainsFunc(list, func(s efi.Signature) bool {
		return s.Problem == "" && (slices.Contains(trusted, s.Subject) || slices.Contains(trusted, s.Issuer))
	}):
		x.find(Broken, "secure-boot", sign, "%s is signed by %q, which is not in the firmware's db.", file, list[i].Subject)
	}
}

// secureBoot reports whether the firmware checks signatures.
func (x *examination) secureBoot() bool {
	if x.Vars == nil {
		return false
	}
	is := func(name string) bool {
		b, err := x.Vars.Get(name, efivar.Global)
		return err == nil && len(b) > 0 && b[0] == 1
	}
	return is("SecureBoot") && !is("SetupMode")
}

// trusted returns the subjects of the certificates that the firmware trusts; known is
// false when its list cannot be read, or has more than certificates, such as hashes of
// programs.
func (x *examination) trusted() (subjects []string, known bool) {
	const vendor = "d719b2cb-3d3a-4596-a3bc-dad00e67656f" // EFI_IMAGE_SECURITY_DATABASE_GUID
	b, err := x.Vars.Get("db", vendor)
	if err != nil {
		return nil, false
	}
	return certificates(b)
}

// certificates returns the subjects of the certificates in lists of signatures. It is
// false where one is of something else, or damaged.
func certificates(b []byte) (subjects []string, known bool) {
	all, err := securekeys.ParseLists(b)
	known = err == nil
	for _, e := range all {
		if !e.IsCertificate() {
			known = false
			continue
		}
		c, err := x509.ParseCertificate(e.Data)
		if err != nil {
			return subjects, false
		}
		subjects = append(subjects, c.Subject.String())
	}
	return subjects, known
}
