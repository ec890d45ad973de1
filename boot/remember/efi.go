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
	earlier := false // a variable of an earlier version is there, whose content Load has under another name
	for _, f := range is {
		earlier = earlier || f.old && e.has(f)
	}
	for _, deleting := range []bool{true, false} { // first what makes room
		for i, f := range is {
			text := f.text()
			if text == was[i].text() && readErr == nil && !earlier || deleting != (text == "") {
				continue
			}
			var err error
			switch {
			case !deleting:
				err = e.Vars.Set(f.variable(), Vendor, []byte(text))
			case e.has(f): // one that cannot be read must not be lost
				err = e.Vars.Delete(f.variable(), Vendor)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// has reports whether the variable for f is there and can be read.
func (e EFI) has(f field) bool {
	_, err := e.Vars.Get(f.variable(), Vendor)
	return err == nil
}
