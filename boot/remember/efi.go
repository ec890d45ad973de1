package remember

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Variables are those of UEFI firmware. A vendor is a GUID in lower case.
type Variables interface {
	// Get gives the value of a variable; an error that is [fs.ErrNotExist] when
	// there is none.
	Get(name, vendor string) ([]byte, error)
	// Set makes or changes a variable that lasts.
	Set(name, vendor string, value []byte) error
	// Delete removes one; that there is none is no error.
	Delete(name, vendor string) error
}

// Vendor is the GUID of our variables. Their names are AlpbootDefault and the
// like, their values text: IDs with spaces between them.
const Vendor = "ca794364-4ce4-428a-85d3-57c1e51796db"

// EFI keeps a State in EFI variables, one for each part that is set. A part that
// has not changed is not written: the memory behind them wears out.
type EFI struct{ Vars Variables }

// Firmware gives the store for the EFI variables of this machine, those of
// systemd-boot included, dir being where efivarfs is mounted. Where they cannot
// be written it is [Nowhere], and says why.
func Firmware(dir string) Store {
	vars := Efivarfs{Dir: dir}
	if err := vars.Writable(); err != nil {
		return SystemdBoot{Store: &Nowhere{Why: err.Error()}, Vars: vars, ReadOnly: true}
	}
	return SystemdBoot{Store: EFI{vars}, Vars: vars}
}

// Where implements [Store].
func (EFI) Where() string { return "EFI variables" }

// variable gives the name of the variable for f.
func (f field) variable() string { return "Alpboot" + strings.ToUpper(f.name[:1]) + f.name[1:] }

// Load implements [Store].
func (e EFI) Load() (State, error) {
	s := State{Kept: true}
	var errs []error
	for _, f := range s.fields() {
		b, err := e.Vars.Get(f.variable(), Vendor)
		switch {
		case err == nil:
			f.set(strings.TrimRight(string(b), "\x00")) // written with one by tools in C
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("reading the EFI variable %s: %w", f.variable(), err))
		}
	}
	return s, errors.Join(errs...)
}

// Save implements [Store].
func (e EFI) Save(s State) error {
	old, err := e.Load()
	was, is := old.fields(), s.fields()
	for _, deleting := range []bool{true, false} { // first what makes room
		for i, f := range is {
			text := f.text()
			if text == was[i].text() && err == nil || deleting != (text == "") {
				continue
			}
			name := f.variable()
			if deleting {
				if err := e.Vars.Delete(name, Vendor); err != nil {
					return fmt.Errorf("deleting the EFI variable %s: %w", name, explain(err))
				}
				continue
			}
			if err := e.Vars.Set(name, Vendor, []byte(text)); err != nil {
				return fmt.Errorf("writing the EFI variable %s: %w", name, explain(err))
			}
		}
	}
	return nil
}

// explain says what some errors of firmware mean.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("the firmware has no room for it; old boot options and crash dumps take some, and efibootmgr removes them (%w)", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("the firmware or the kernel protects its variables (%w)", err)
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the firmware refuses it (%w)", err)
	}
	return err
}
