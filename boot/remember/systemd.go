package remember

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot"
)

// loaderVendor is the GUID of systemd-boot's variables, described in
// systemd-boot(7) and systemd.io/BOOT_LOADER_INTERFACE. Values are UTF-16 and
// end in a NUL.
const loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

const (
	oneShotName    = "LoaderEntryOneShot"
	defaultName    = "LoaderEntryDefault"
	lastBootedName = "LoaderEntryLastBooted"
)

// SystemdBoot adds to a Store what systemd-boot remembers, and what bootctl
// set-default and set-oneshot ask for. Of its variables only LoaderEntryOneShot
// is ever changed: it is deleted when a State without it is saved. The Store
// under it counts for all else.
type SystemdBoot struct {
	Store
	Vars     Variables
	ReadOnly bool // LoaderEntryOneShot must not be deleted: it is not given either
}

// Load implements [Store].
func (l SystemdBoot) Load() (State, error) {
	s, err := l.Store.Load()
	errs := []error{err}
	get := func(name string) string {
		text, err := l.get(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("reading the EFI variable %s: %w", name, err))
		}
		return text
	}
	if !l.ReadOnly {
		s.OneShot = get(oneShotName)
	}
	s.LoaderDefault = get(defaultName)
	if s.LoaderDefault == "@saved" {
		s.LoaderDefault = get(lastBootedName)
	}
	if strings.HasPrefix(s.LoaderDefault, "@") {
		s.LoaderDefault = "" // @current and the like are for systemd-boot alone
	}
	return s, errors.Join(errs...)
}

// Save implements [Store].
func (l SystemdBoot) Save(s State) error {
	if text, _ := l.get(oneShotName); text != "" && s.OneShot == "" && !l.ReadOnly {
		if err := l.Vars.Delete(oneShotName, loaderVendor); err != nil {
			return fmt.Errorf("deleting the EFI variable %s: %w", oneShotName, explain(err))
		}
	}
	return l.Store.Save(s)
}

// get gives the text of a variable, "" for one that is no file name.
func (l SystemdBoot) get(name string) (string, error) {
	b, err := l.Vars.Get(name, loaderVendor)
	if err != nil {
		return "", err
	}
	var units []uint16
	for ; len(b) >= 2 && len(units) < 256; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	text := string(utf16.Decode(units))
	if boot.Clean(text) != text || strings.Contains(text, "/") {
		return "", nil
	}
	return text, nil
}
