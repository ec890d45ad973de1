package remember

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/alpboot/alpboot/boot/efivar"
)

// Vendor is the GUID of our variables. Their names are AlpbootDefault and the
// like, their values text: IDs with spaces between them.
const Vendor = "ca794364-4ce4-428a-85d3-57c1e51796db"

// EFI keeps a State in EFI variables, one for each part that is set. A part that
// has not changed is not written: the memory behind them wears out.
type EFI struct{ Vars efivar.Variables }

// Firmware returns the store for the EFI variables of this machine, those of
// systemd-boot included, dir being where efivarfs is mounted. Where they cannot
// be written it is [Nowhere] with the reason.
func Firmware(dir string) Store {
	vars := efivar.Dir(dir)
	if err := vars.Writable(); err != nil {
		return SystemdBoot{Store: &Nowhere{Why: err.Error()}, Vars: vars, ReadOnly: true}
	}
	return SystemdBoot{Store: EFI{vars}, Vars: vars}
}

// Where implements [Store].
func (EFI) Where() string { return "EFI variables" }

// variable returns the name of the variable for f.
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
			errs = append(errs, err)
		}
	}
	return s, errors.Join(errs...)
}

// Save implements [Store]. A variable that cannot be read is only ever replaced,
// never deleted.
func (e EFI) Save(s State) error {
	old, readErr := e.Load()
	was, is := old.fields(), s.fields()
	for _, deleting := range []bool{true, false} { // first what makes room
		for i, f := range is {
			text := f.text()
			if text == was[i].text() && readErr == nil || deleting != (text == "") {
				continue
			}
			name, err := f.variable(), error(nil)
			if deleting {
				if _, err := e.Vars.Get(name, Vendor); err != nil {
					continue // it is not there, or cannot be read: then it must not be lost
				}
				err = e.Vars.Delete(name, Vendor)
			} else {
				err = e.Vars.Set(name, Vendor, []byte(text))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
