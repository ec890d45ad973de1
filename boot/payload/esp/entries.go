package esp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/efivar"
)

// Entry is what firmware calls a boot option: a name for people and a file.
type Entry struct {
	Title string
	File  string // slash path from the partition's root
}

// known is how many numbers are searched for entries that are in no order.
const known = 0x100

// Register sees to it that firmware has these entries, in this order, and tries
// new ones first. One that is there already keeps its number, and its place in the
// boot order: whoever has changed that meant it. What was written is read back.
func Register(vars efivar.Variables, p efivar.Partition, entries ...Entry) error {
	boot, err := efivar.BootOrder(vars)
	if err != nil {
		return err
	}
	var numbers []uint16
	for _, e := range entries {
		n, err := option(vars, boot, numbers, p, e)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	changed := slices.Clone(boot)
	for i, n := range numbers {
		if slices.Contains(changed, n) {
			continue
		}
		at := 0
		if i > 0 { // after the one before
			at = slices.Index(changed, numbers[i-1]) + 1
		}
		changed = slices.Insert(changed, at, n)
	}
	if slices.Equal(changed, boot) {
		return nil
	}
	return set(vars, "BootOrder", efivar.AppendNumbers(nil, changed))
}

// RegisterOnce has the firmware start an entry at its next start only. The boot
// order stays as it is: one that is new is in none.
func RegisterOnce(vars efivar.Variables, p efivar.Partition, e Entry) error {
	boot, err := efivar.BootOrder(vars)
	if err != nil {
		return err
	}
	n, err := option(vars, boot, nil, p, e)
	if err != nil {
		return err
	}
	return set(vars, "BootNext", efivar.AppendNumbers(nil, []uint16{n}))
}

// option sees to it that firmware has an entry, and returns its number: the one
// that it has, or one that is not taken.
func option(vars efivar.Variables, boot, taken []uint16, p efivar.Partition, e Entry) (uint16, error) {
	n, old, err := find(vars, boot, p, e.File)
	if err != nil {
		return 0, err
	}
	if old == nil {
		if n, err = unused(vars, boot, taken); err != nil {
			return 0, err
		}
	}
	if option := loadOption(p, e); !bytes.Equal(old, option) {
		return n, set(vars, efivar.OptionName(n), option)
	}
	return n, nil
}

// Unregister removes the entries for these files, and returns how many there were.
func Unregister(vars efivar.Variables, p efivar.Partition, files ...string) (removed int, err error) {
	boot, err := efivar.BootOrder(vars)
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		for {
			n, old, err := find(vars, boot, p, f)
			if err != nil {
				return removed, err
			}
			if old == nil {
				break
			}
			// First what names it.
			if i := slices.Index(boot, n); i >= 0 {
				boot = slices.Delete(boot, i, i+1)
				if err := set(vars, "BootOrder", efivar.AppendNumbers(nil, boot)); err != nil {
					return removed, err
				}
			}
			if next, err := vars.Get("BootNext", efivar.Global); err == nil && bytes.Equal(next, efivar.AppendNumbers(nil, []uint16{n})) {
				if err := vars.Delete("BootNext", efivar.Global); err != nil {
					return removed, err
				}
			}
			if err := vars.Delete(efivar.OptionName(n), efivar.Global); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}

// Bootable returns the title of the first boot entry that firmware would start
// by itself and whose file is there; "" when there is none. Entries for what is
// in the firmware, such as its shell, and for whole devices name no file.
func Bootable(vars efivar.Variables, exists func(p efivar.Partition, file string) bool) (string, error) {
	boot, err := efivar.BootOrder(vars)
	if err != nil {
		return "", err
	}
	for _, n := range boot {
		o, err := efivar.Option(vars, n)
		if err == nil && o.Attributes&efivar.Active != 0 && o.Attributes&efivar.Category == 0 && o.File != "" &&
			o.Partition.Signature != [16]byte{} && exists(o.Partition, strings.Trim(strings.ReplaceAll(o.File, `\`, "/"), "/")) {
			return o.Description, nil
		}
	}
	return "", nil
}

// find returns the number and value of the entry for a file; nil when there is none.
func find(vars efivar.Variables, boot []uint16, p efivar.Partition, file string) (uint16, []byte, error) {
	numbers := slices.Clone(boot)
	for n := range uint16(known) {
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		b, err := vars.Get(efivar.OptionName(n), efivar.Global)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if names(b, p, file) {
			return n, b, nil
		}
	}
	return 0, nil, nil
}

// names reports whether a boot entry is for a file on a partition, whose start
// and size may have changed.
func names(option []byte, p efivar.Partition, file string) bool {
	o, err := efivar.ParseLoadOption(option)
	return err == nil && o.Partition.Signature == p.Signature && Names(o, file)
}

// unused returns the first number that no entry has, and none of taken.
func unused(vars efivar.Variables, boot, taken []uint16) (uint16, error) {
	for n := range uint16(0xffff) {
		if slices.Contains(boot, n) || slices.Contains(taken, n) {
			continue
		}
		if _, err := vars.Get(efivar.OptionName(n), efivar.Global); errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
	}
	return 0, errors.New("the firmware has no number left for a boot entry")
}

// set writes a variable and reads it back.
func set(vars efivar.Variables, name string, value []byte) error {
	if err := vars.Set(name, efivar.Global, value); err != nil {
		return err
	}
	got, err := vars.Get(name, efivar.Global)
	if err == nil && !bytes.Equal(got, value) {
		err = fmt.Errorf("the firmware did not keep the EFI variable %s", name)
	}
	if err != nil {
		return fmt.Errorf("checking what was written: %w", err)
	}
	return nil
}

// loadOption returns an entry as firmware keeps it.
func loadOption(p efivar.Partition, e Entry) []byte {
	return efivar.LoadOption{Attributes: efivar.Active, Description: e.Title, Partition: p, File: dosPath(e.File)}.Bytes()
}

// Names reports whether a boot option starts a file, by its path from the partition's
// root.
func Names(o efivar.LoadOption, file string) bool { return strings.EqualFold(o.File, dosPath(file)) }

// dosPath returns a path from the partition's root as firmware writes it.
func dosPath(file string) string { return `\` + strings.ReplaceAll(file, "/", `\`) }
