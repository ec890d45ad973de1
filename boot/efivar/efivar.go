// Package efivar reads and writes the variables of UEFI firmware: the boot
// options, the request for the firmware's setup, and those that boot loaders
// share.
//
// What they hold is laid down in the UEFI specification 2.10, sections 3.1.3
// (load options), 3.3 (global variables) and 10.3 (device paths).
package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf16"
)

// Path is where efivarfs is mounted, from the root of a system.
const Path = "sys/firmware/efi/efivars"

// GUIDs of vendors.
const (
	Global = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // the UEFI specification's own
	Loader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" // systemd-boot's: systemd.io/BOOT_LOADER_INTERFACE
)

// BootCountPath is the variable of [Loader] that names the file of the entry which
// was started, if that has a boot counter. By it systemd-bless-boot takes the
// counter off when the system is up. Once the firmware's boot services have ended
// only a variable that lasts can be made, so that it is deleted when anything else
// is started.
const BootCountPath = "LoaderBootCountPath"

// Variables are those of UEFI firmware. A vendor is a GUID in lower case. Errors
// name the variable.
type Variables interface {
	// Get returns the value of a variable; the error is [fs.ErrNotExist] when
	// there is none.
	Get(name, vendor string) ([]byte, error)
	// Set makes or changes a variable that lasts.
	Set(name, vendor string, value []byte) error
	// SetSigned makes or changes one of Secure Boot by a signed update, which begins with a
	// time and a signature (EFI_VARIABLE_AUTHENTICATION_2).
	SetSigned(name, vendor string, update []byte) error
	// Delete removes one; that there is none is not an error.
	Delete(name, vendor string) error
}

// maxVariable is more than firmware keeps in one variable that is read here.
const maxVariable = 64 << 10

// Read returns the value of the variable in a file NAME-GUID of vars, the root
// of an efivarfs.
func Read(vars fs.FS, file string) ([]byte, error) {
	name, _, _ := strings.Cut(file, "-")
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("reading the EFI variable %s: %w", name, err)
	}
	f, err := vars.Open(file)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxVariable+1))
	switch {
	case err != nil:
		return fail(err)
	case len(b) > maxVariable:
		return fail(fmt.Errorf("it is too large, with more than %d bytes", maxVariable))
	case len(b) == 0: // a file that no variable came of
		return fail(fs.ErrNotExist)
	case len(b) < 4:
		return fail(errShort)
	}
	return b[4:], nil
}

// Text returns the UTF-16 text of a value, up to a NUL or its end.
func Text(b []byte) string {
	units := Numbers(b)
	if end := slices.Index(units, 0); end >= 0 {
		units = units[:end]
	}
	return string(utf16.Decode(units))
}

// AppendText appends text in UTF-16 with a NUL.
func AppendText(b []byte, text string) []byte {
	return AppendNumbers(b, append(utf16.Encode([]rune(text)), 0))
}

// Numbers returns the numbers of two bytes that a value such as BootOrder is.
func Numbers(b []byte) []uint16 {
	var list []uint16
	for ; len(b) >= 2; b = b[2:] {
		list = append(list, binary.LittleEndian.Uint16(b))
	}
	return list
}

// AppendNumbers appends a list of numbers of two bytes.
func AppendNumbers(b []byte, list []uint16) []byte {
	for _, n := range list {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// What the firmware can be asked for at its next start: UEFI specification,
// section 8.5.4.
const (
	indicationsSupported = "OsIndicationsSupported"
	indications          = "OsIndications"
	bootToSetup          = 0x1 // EFI_OS_INDICATIONS_BOOT_TO_FW_UI
)

// HasSetup reports whether the firmware can be asked to show its setup.
func HasSetup(vars Variables) bool {
	bits, err := bits(vars, indicationsSupported)
	return err == nil && bits&bootToSetup != 0
}

// RequestSetup asks the firmware to show its setup at the next start.
func RequestSetup(vars Variables) error {
	bits, err := bits(vars, indications)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return vars.Set(indications, Global, binary.LittleEndian.AppendUint64(nil, bits|bootToSetup))
}

func bits(vars Variables, name string) (uint64, error) {
	b, err := vars.Get(name, Global)
	if err != nil || len(b) < 8 {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}
