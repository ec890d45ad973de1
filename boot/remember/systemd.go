package remember

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
)

// Variables of systemd-boot, described in systemd-boot(7).
const (
	oneShotName    = "LoaderEntryOneShot"
	defaultName    = "LoaderEntryDefault"
	preferredName  = "LoaderEntryPreferred" // since systemd 260
	lastBootedName = "LoaderEntryLastBooted"

	maxName = 256 // bytes
)

// SystemdBoot adds to a Store what systemd-boot remembers, and what bootctl
// set-default, set-preferred and set-oneshot ask for. Of its variables only
// LoaderEntryOneShot is ever changed: it is deleted when a State without it is saved. The Store
// under it counts for all else.
type SystemdBoot struct {
	Store
	Vars     efivar.Variables
	ReadOnly bool // LoaderEntryOneShot must not be deleted: it is not loaded either
}

// Load implements [Store].
func (l SystemdBoot) Load() (State, error) {
	s, err := l.Store.Load()
	errs := []error{err}
	get := func(name string) string {
		text, err := l.get(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		return text
	}
	if !l.ReadOnly {
		s.OneShot = get(oneShotName)
	}
	pattern := func(name string) string {
		text := get(name)
		if text == "@saved" {
			text = get(lastBootedName)
		}
		if strings.HasPrefix(text, "@") {
			return "" // @current and the like are for systemd-boot alone
		}
		return text
	}
	s.LoaderDefault, s.LoaderPreferred = pattern(defaultName), pattern(preferredName)
	return s, errors.Join(errs...)
}

// Save implements [Store].
func (l SystemdBoot) Save(s State) error {
	if text, _ := l.get(oneShotName); text != "" && s.OneShot == "" && !l.ReadOnly {
		if err := l.Vars.Delete(oneShotName, efivar.Loader); err != nil {
			return err
		}
	}
	return l.Store.Save(s)
}

// get returns the text of a variable, "" for one that is not a file name.
func (l SystemdBoot) get(name string) (string, error) {
	b, err := l.Vars.Get(name, efivar.Loader)
	if err != nil {
		return "", err
	}
	text := efivar.Text(b)
	if len(text) > maxName || boot.Clean(text) != text || strings.Contains(text, "/") {
		return "", nil
	}
	return text, nil
}
