// Package flash puts a payload into edk2 firmware such as OVMF: an EFI program
// takes the place of the built-in Shell, drivers that are not needed then are
// removed, and the volume that all of it is in compressed is enlarged where
// it must.
//
// It edits images by fiano's packages and then reads back what they made. An
// image is firmware without variables, such as OVMF_CODE.fd: its first volume
// holds the compressed one with all drivers, the last one the code that the
// processor begins with. Images for boards, with regions of other chips, are
// refused.
package flash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/linuxboot/fiano/pkg/guid"
	fianolog "github.com/linuxboot/fiano/pkg/log"
	"github.com/linuxboot/fiano/pkg/uefi"
	"github.com/linuxboot/fiano/pkg/visitors"
)

// Shell is the GUID of edk2's Shell.
const Shell = "7C04A583-9E3E-4F1C-AD65-E05268D0B4D1"

// Image is a firmware image.
type Image struct {
	raw     []byte
	Volumes []Volume
	Files   []File // of all volumes, in order
}

// Volume is a firmware volume that is in the image itself.
type Volume struct {
	Offset, Size, Free int64 // bytes
}

// File is a file of a firmware volume, compressed or not.
type File struct {
	Name   string // as its user interface section has it; "" when it has none
	GUID   string // in upper case
	Type   string // such as DRIVER, APPLICATION, PEIM
	Size   int64  // bytes, uncompressed
	Nested bool   // is in a volume that is compressed

	program []byte // its EFI program, if it has one
	sum     [sha256.Size]byte
}

// ErrNotImage means that a file holds no firmware volume.
var ErrNotImage = errors.New("not an image of UEFI firmware")

// largest is the most that is parsed: flash chips have up to 64 MiB.
const largest = 64 << 20

// Parse reads an image, decompressing what is compressed in it, which takes
// seconds.
func Parse(b []byte) (*Image, error) {
	if len(b) > largest {
		return nil, fmt.Errorf("%w: %d bytes are more than any has", ErrNotImage, len(b))
	}
	if uefi.FindFirmwareVolumeOffset(b) < 0 {
		return nil, ErrNotImage
	}
	if err := volumesLieInside(b); err != nil {
		return nil, fmt.Errorf("reading the firmware: %w", err)
	}
	im := &Image{raw: b}
	err := withFiano(func() error {
		root, err := uefi.Parse(b)
		if err != nil {
			return err
		}
		region, ok := root.(*uefi.BIOSRegion)
		if !ok {
			return errors.New("it is the whole flash of an Intel board: alpboot cannot edit that")
		}
		im.collect(region)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the firmware: %w", err)
	}
	return im, nil
}

// volumesLieInside checks the sizes of an image's volumes: of one without any
// size fiano would read for ever.
func volumesLieInside(b []byte) error {
	for at := int64(0); ; {
		next := uefi.FindFirmwareVolumeOffset(b[at:])
		if next < 0 {
			return nil
		}
		at += next
		h := b[at:]
		if len(h) < uefi.FirmwareVolumeMinSize {
			return fmt.Errorf("the volume at %#x is cut off", at)
		}
		size, header := binary.LittleEndian.Uint64(h[32:]), uint64(binary.LittleEndian.Uint16(h[48:]))
		if size > uint64(len(h)) || header < uefi.FirmwareVolumeMinSize || size < header {
			return fmt.Errorf("the volume at %#x is damaged: %d bytes, %d of them header", at, size, header)
		}
		at += int64(size)
	}
}

// fiano keeps state in variables of its packages.
var fiano sync.Mutex

// withFiano runs f, which uses fiano, and makes its panics and exits errors:
// it trusts sizes in images.
func withFiano(f func() error) (err error) {
	fiano.Lock()
	defer fiano.Unlock()
	old := fianolog.DefaultLogger
	fianolog.DefaultLogger = quiet{}
	uefi.Attributes.ErasePolarity = 0xff
	defer func() {
		fianolog.DefaultLogger = old
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	return f()
}

// quiet is a logger for fiano that prints nothing and never ends the program.
type quiet struct{}

func (quiet) Warnf(string, ...any)             {}
func (quiet) Errorf(string, ...any)            {}
func (quiet) Fatalf(format string, arg ...any) { panic(fmt.Sprintf(format, arg...)) }

// collect lists what is in an image.
func (im *Image) collect(region *uefi.BIOSRegion) {
	for _, e := range region.Elements {
		if fv, ok := e.Value.(*uefi.FirmwareVolume); ok {
			im.Volumes = append(im.Volumes, Volume{int64(fv.FVOffset), int64(fv.Length), int64(fv.FreeSpace)})
		}
	}
	walk(region, 0, func(in uefi.Firmware, depth int) {
		f, ok := in.(*uefi.File)
		if !ok || f.Header.Type == uefi.FVFileTypePad {
			return
		}
		file := File{
			Name:   name(f),
			GUID:   f.Header.GUID.String(),
			Type:   strings.TrimPrefix(f.Header.Type.String(), "EFI_FV_FILETYPE_"),
			Size:   int64(f.Header.ExtendedSize),
			Nested: depth > 0,
		}
		if s := section(f, uefi.SectionTypePE32); s != nil {
			file.program = body(s)
		}
		if !holdsVolume(f) { // which changes with what is in it
			file.sum = sha256.Sum256(f.Buf()[f.HeaderLen():])
		}
		im.Files = append(im.Files, file)
	})
}

// walk calls visit for f and all that is in it, with the number of volumes around
// f's own.
func walk(f uefi.Firmware, depth int, visit func(f uefi.Firmware, depth int)) {
	visit(f, depth)
	switch f := f.(type) {
	case *uefi.BIOSRegion:
		for _, e := range f.Elements {
			walk(e.Value, depth, visit)
		}
	case *uefi.FirmwareVolume:
		for _, file := range f.Files {
			walk(file, depth, visit)
		}
	case *uefi.File:
		for _, s := range f.Sections {
			walk(s, depth+1, visit)
		}
	case *uefi.Section:
		for _, e := range f.Encapsulated {
			walk(e.Value, depth, visit)
		}
	}
}

// section returns the first section of a kind of a file, nil if it has none.
func section(f *uefi.File, kind uefi.SectionType) *uefi.Section {
	var find func(list []*uefi.Section) *uefi.Section
	find = func(list []*uefi.Section) *uefi.Section {
		for _, s := range list {
			if s.Header.Type == kind {
				return s
			}
			var inner []*uefi.Section
			for _, e := range s.Encapsulated {
				if in, ok := e.Value.(*uefi.Section); ok {
					inner = append(inner, in)
				}
			}
			if found := find(inner); found != nil {
				return found
			}
		}
		return nil
	}
	return find(f.Sections)
}

// body returns what a section holds.
func body(s *uefi.Section) []byte {
	header := 4
	if s.Header.Size == [3]uint8{0xff, 0xff, 0xff} {
		header = 8
	}
	return s.Buf()[min(header, len(s.Buf())):]
}

func name(f *uefi.File) string {
	if s := section(f, uefi.SectionTypeUserInterface); s != nil {
		return s.Name
	}
	return ""
}

func holdsVolume(f *uefi.File) bool { return section(f, uefi.SectionTypeFirmwareVolumeImage) != nil }

// Change is what to make of an image.
type Change struct {
	Replace string   // GUID of the application that is replaced; Shell when empty
	Program []byte   // the EFI program that is put there
	Remove  []string // names of drivers to leave out
	Size    int64    // bytes of the result; as few MiB as it takes, when 0
}

// NoRoomError reports that a payload does not fit.
type NoRoomError struct {
	What string // where it does not fit
	Need int64  // bytes that it takes
	Have int64
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("%s has room for %d bytes and %d are needed: %d too many", e.What, e.Have, e.Need, e.Need-e.Have)
}

// Apply returns the image with a change, checked: it is what was asked for, and
// nothing else has changed.
func (im *Image) Apply(c Change) (*Image, error) {
	if c.Replace == "" {
		c.Replace = Shell
	}
	if c.Size < 0 || c.Size > largest || c.Size%blockSize != 0 {
		return nil, fmt.Errorf("a flash image of %d bytes: it must be a multiple of %d, and at most %d", c.Size, blockSize, largest)
	}
	var out []byte
	err := withFiano(func() (err error) {
		out, err = im.edit(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	made, err := Parse(out)
	if err != nil {
		return nil, fmt.Errorf("what was made cannot be read back: %w", err)
	}
	if err := im.check(made, c); err != nil {
		return nil, fmt.Errorf("what was made is not what it should be: %w", err)
	}
	return made, nil
}

// blockSize is what flash chips erase at once, and mebibyte what sizes of
// images are rounded up to.
const (
	blockSize = 0x1000
	mebibyte  = 1 << 20
)

func (im *Image) edit(c Change) ([]byte, error) {
	root, err := uefi.Parse(im.raw)
	if err != nil {
		return nil, err
	}
	region, ok := root.(*uefi.BIOSRegion)
	if !ok {
		return nil, errors.New("not a region of its own")
	}
	main, rest, err := mainVolume(region)
	if err != nil {
		return nil, err
	}
	id, err := guid.Parse(c.Replace)
	if err != nil {
		return nil, fmt.Errorf("what to replace: %w", err)
	}
	missing := slices.Clone(c.Remove)
	remove := &visitors.Remove{Predicate: func(f uefi.Firmware) bool {
		file, ok := f.(*uefi.File)
		if !ok {
			return false
		}
		n := name(file)
		if n == "" || !slices.Contains(c.Remove, n) {
			return false
		}
		missing = slices.DeleteFunc(missing, func(s string) bool { return s == n })
		return true
	}}
	if err := remove.Run(main); err != nil {
		return nil, fmt.Errorf("removing drivers: %w", err)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("there are no drivers called %s to remove", strings.Join(missing, ", "))
	}
	replace := &visitors.ReplacePE32{Predicate: visitors.FindFileGUIDPredicate(*id), NewPE32: c.Program}
	if err := replace.Run(main); err != nil {
		return nil, fmt.Errorf("replacing %s: %w", c.Replace, err)
	}

	// The inner volume is unpacked to an address that is compiled in, and what
	// is behind that is in use: its size must stay.
	sizes := make(map[*uefi.FirmwareVolume]uint64)
	walk(main, 0, func(f uefi.Firmware, _ int) {
		if fv, ok := f.(*uefi.FirmwareVolume); ok {
			sizes[fv] = fv.Length
		}
	})
	main.Resizable = true
	if err := main.Apply(&visitors.Assemble{}); err != nil {
		return nil, fmt.Errorf("assembling it: %w", err)
	}
	for fv, size := range sizes {
		if fv != main && fv.Length != size {
			return nil, &NoRoomError{"the firmware's volume of drivers, which cannot be enlarged,", int64(fv.Length), int64(size)}
		}
	}

	// Enlarged, the main volume begins where the image begins: what the
	// processor starts with must end with it.
	used := int64(main.Length-main.FreeSpace) + int64(len(rest))
	size := c.Size
	if size == 0 {
		size = max(int64(len(im.raw)), (used+blockSize+mebibyte-1)/mebibyte*mebibyte)
	}
	length := size - int64(len(rest))
	if length < int64(main.Length-main.FreeSpace) {
		return nil, &NoRoomError{"the flash image", used, size}
	}
	b, err := resized(main, length)
	if err != nil {
		return nil, err
	}
	return append(b, rest...), nil
}

// mainVolume returns the first volume, which holds the compressed one, and what
// follows it.
func mainVolume(region *uefi.BIOSRegion) (*uefi.FirmwareVolume, []byte, error) {
	first, ok := region.Elements[0].Value.(*uefi.FirmwareVolume)
	if !ok || first.FVOffset != 0 {
		return nil, nil, errors.New("it does not begin with a firmware volume")
	}
	nested := false
	for _, f := range first.Files {
		nested = nested || holdsVolume(f)
	}
	if !nested {
		return nil, nil, errors.New("its first volume does not hold the drivers: take an image of code without variables, such as OVMF_CODE_4M.fd")
	}
	if len(region.Elements) < 2 || len(first.Blocks) != 1 || first.Blocks[0].Size == 0 {
		return nil, nil, errors.New("it is not laid out as edk2 lays out its images")
	}
	return first, region.Buf()[first.Length:], nil
}

// resized returns the content of an assembled volume with another length: its
// header states it, and free space fills it (Platform Initialization
// specification, volume 3, chapter 3.2.1).
func resized(fv *uefi.FirmwareVolume, length int64) ([]byte, error) {
	const offLength, offHeaderLength, offSum, offBlocks = 32, 48, 50, 56
	unit := int64(fv.Blocks[0].Size)
	if length%unit != 0 {
		return nil, fmt.Errorf("the main volume would have %d bytes, which is not a multiple of its blocks of %d", length, unit)
	}
	used := min(int64(len(fv.Buf())), length)
	b := append(bytes.Clone(fv.Buf()[:used]), bytes.Repeat([]byte{0xff}, int(length-used))...)
	le := binary.LittleEndian
	le.PutUint64(b[offLength:], uint64(length))
	le.PutUint32(b[offBlocks:], uint32(length/unit))
	le.PutUint16(b[offSum:], 0)
	le.PutUint16(b[offSum:], -sum16(b[:le.Uint16(b[offHeaderLength:])]))
	return b, nil
}

func sum16(b []byte) uint16 {
	var sum uint16
	for i := 0; i+1 < len(b); i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	return sum
}

// check compares an image that was made with what it was made from.
func (im *Image) check(made *Image, c Change) error {
	if len(made.Volumes) != len(im.Volumes) {
		return fmt.Errorf("it has %d volumes instead of %d", len(made.Volumes), len(im.Volumes))
	}
	tail := im.raw[im.Volumes[0].Size:]
	if !bytes.HasSuffix(made.raw, tail) || made.Volumes[0].Size+int64(len(tail)) != int64(len(made.raw)) {
		return errors.New("the code that the processor begins with has changed, or does not end with the image")
	}
	for _, v := range made.Volumes {
		h := made.raw[v.Offset:]
		if n := binary.LittleEndian.Uint16(h[48:]); sum16(h[:n]) != 0 {
			return fmt.Errorf("the checksum of the volume at %#x is wrong", v.Offset)
		}
	}
	var want []File
	for _, f := range im.Files {
		if !slices.Contains(c.Remove, f.Name) || f.Name == "" {
			want = append(want, f)
		}
	}
	if len(want) != len(made.Files) {
		return fmt.Errorf("it has %d files instead of %d", len(made.Files), len(want))
	}
	for i, f := range made.Files {
		switch {
		case f.GUID != want[i].GUID:
			return fmt.Errorf("file %s is where %s should be", f.GUID, want[i].GUID)
		case f.GUID == strings.ToUpper(c.Replace):
			if !bytes.Equal(f.program, c.Program) {
				return fmt.Errorf("%s does not hold the payload", f.GUID)
			}
		case f.sum != want[i].sum:
			return fmt.Errorf("file %s (%s) has changed", f.GUID, f.Name)
		}
	}
	return nil
}

// Bytes returns the image as the content of a file. It must not be changed.
func (im *Image) Bytes() []byte { return im.raw }

// Program returns the EFI program of the file with a GUID; nil when there is none.
func (im *Image) Program(id string) []byte {
	for _, f := range im.Files {
		if strings.EqualFold(f.GUID, id) {
			return f.program
		}
	}
	return nil
}
