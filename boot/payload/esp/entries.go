package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot/remember"
)

// Partition is a partition as boot entries name it (UEFI specification,
// chapter 10.3.5.1).
type Partition struct {
	Number      uint32 // from 1
	Start, Size uint64 // in blocks of the disk
	Signature   [16]byte
	GPT         bool // else Signature is that of an MBR, in its first four bytes
}

// Entry is what firmware calls a boot option: a name for people and a file.
type Entry struct {
	Title string
	File  string // slash path from the partition's root
}

// Order says where new entries go in the order in which firmware tries them.
type Order int

const (
	First Order = iota
	// Try puts them last, and first for the next start only.
	Try
)

// global is the GUID of the variables that the UEFI specification defines.
const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// known is how many numbers are searched for entries that are in no order.
const known = 0x100

// Register sees to it that firmware has these entries, in this order. One that
// is there already keeps its number, and its place in the boot order: whoever
// has changed that meant it. What was written is read back.
func Register(vars remember.Variables, p Partition, entries []Entry, order Order) error {
	boot, err := bootOrder(vars)
	if err != nil {
		return err
	}
	var numbers []uint16
	for _, e := range entries {
		n, old, err := find(vars, boot, p, e.File)
		if err != nil {
			return err
		}
		if old == nil {
			if n, err = unused(vars, boot, numbers); err != nil {
				return err
			}
		}
		numbers = append(numbers, n)
		if option := loadOption(p, e); !bytes.Equal(old, option) {
			if err := set(vars, name(n), option); err != nil {
				return err
			}
		}
	}
	changed := slices.Clone(boot)
	for i, n := range numbers {
		if slices.Contains(changed, n) {
			continue
		}
		at := 0
		switch {
		case i > 0: // after the one before
			at = slices.Index(changed, numbers[i-1]) + 1
		case order == Try:
			at = len(changed)
		}
		changed = slices.Insert(changed, at, n)
	}
	if !slices.Equal(changed, boot) {
		if err := set(vars, "BootOrder", words(changed)); err != nil {
			return err
		}
	}
	if order == Try && len(numbers) > 0 {
		return set(vars, "BootNext", words(numbers[:1]))
	}
	return nil
}

// Unregister removes the entries for these files.
func Unregister(vars remember.Variables, p Partition, files ...string) error {
	boot, err := bootOrder(vars)
	if err != nil {
		return err
	}
	for _, f := range files {
		for {
			n, old, err := find(vars, boot, p, f)
			if err != nil {
				return err
			}
			if old == nil {
				break
			}
			// First what names it.
			if i := slices.Index(boot, n); i >= 0 {
				boot = slices.Delete(boot, i, i+1)
				if err := set(vars, "BootOrder", words(boot)); err != nil {
					return err
				}
			}
			if next, err := vars.Get("BootNext", global); err == nil && bytes.Equal(next, words([]uint16{n})) {
				if err := vars.Delete("BootNext", global); err != nil {
					return fmt.Errorf("deleting the EFI variable BootNext: %w", err)
				}
			}
			if err := vars.Delete(name(n), global); err != nil {
				return fmt.Errorf("deleting the EFI variable %s: %w", name(n), err)
			}
		}
	}
	return nil
}

// Others tells whether firmware has entries for anything but these files.
func Others(vars remember.Variables, p Partition, files ...string) (bool, error) {
	boot, err := bootOrder(vars)
	if err != nil {
		return false, err
	}
	for _, n := range boot {
		b, err := vars.Get(name(n), global)
		if err == nil && !slices.ContainsFunc(files, func(f string) bool { return names(b, p, f) }) {
			return true, nil
		}
	}
	return false, nil
}

func name(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

func bootOrder(vars remember.Variables) ([]uint16, error) {
	b, err := vars.Get("BootOrder", global)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the EFI variable BootOrder: %w", err)
	}
	var list []uint16
	for ; len(b) >= 2; b = b[2:] {
		list = append(list, binary.LittleEndian.Uint16(b))
	}
	return list, nil
}

func words(list []uint16) []byte {
	var b []byte
	for _, n := range list {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// find gives the number and value of the entry for a file; nil when there is none.
func find(vars remember.Variables, boot []uint16, p Partition, file string) (uint16, []byte, error) {
	numbers := slices.Clone(boot)
	for n := range uint16(known) {
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		b, err := vars.Get(name(n), global)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, nil, fmt.Errorf("reading the EFI variable %s: %w", name(n), err)
		}
		if names(b, p, file) {
			return n, b, nil
		}
	}
	return 0, nil, nil
}

// names tells whether a boot entry is for a file on a partition, whose start
// and size may have changed.
func names(option []byte, p Partition, file string) bool {
	return bytes.Contains(option, p.Signature[:]) && bytes.Contains(option, fileNode(file))
}

// unused gives the first number that no entry has, and none of taken.
func unused(vars remember.Variables, boot, taken []uint16) (uint16, error) {
	for n := range uint16(0xffff) {
		if slices.Contains(boot, n) || slices.Contains(taken, n) {
			continue
		}
		if _, err := vars.Get(name(n), global); errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
	}
	return 0, errors.New("the firmware has no number left for a boot entry")
}

// set writes a variable and reads it back.
func set(vars remember.Variables, name string, value []byte) error {
	if err := vars.Set(name, global, value); err != nil {
		return fmt.Errorf("writing the EFI variable %s: %w", name, err)
	}
	got, err := vars.Get(name, global)
	if err == nil && !bytes.Equal(got, value) {
		err = errors.New("the firmware did not keep it")
	}
	if err != nil {
		return fmt.Errorf("reading the EFI variable %s back: %w", name, err)
	}
	return nil
}

// loadOption gives an entry as an EFI_LOAD_OPTION (UEFI specification, chapter 3.1.3).
func loadOption(p Partition, e Entry) []byte {
	le := binary.LittleEndian
	kind := byte(1)
	if p.GPT {
		kind = 2
	}
	disk := []byte{4, 1, 42, 0}
	disk = le.AppendUint32(disk, p.Number)
	disk = le.AppendUint64(disk, p.Start)
	disk = le.AppendUint64(disk, p.Size)
	disk = append(disk, p.Signature[:]...)
	disk = append(disk, kind, kind)
	devicePath := slices.Concat(disk, fileNode(e.File), []byte{0x7f, 0xff, 4, 0})
	b := le.AppendUint32(nil, 1) // active
	b = le.AppendUint16(b, uint16(len(devicePath)))
	return slices.Concat(b, ucs2(e.Title), devicePath)
}

// fileNode gives the part of a device path that names a file.
func fileNode(file string) []byte {
	text := ucs2(`\` + strings.ReplaceAll(file, "/", `\`))
	return append([]byte{4, 4, byte(len(text) + 4), byte((len(text) + 4) >> 8)}, text...)
}

func ucs2(s string) []byte {
	return words(append(utf16.Encode([]rune(s)), 0))
}
