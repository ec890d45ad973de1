package reboot

import "github.com/alpboot/alpboot/boot/efivar"

// forgetCounter deletes the EFI variable by which systemd-bless-boot would take
// the boot counter off the entry that this system was started by: what is started
// now says nothing about that. It returns how that is undone.
func (s *System) forgetCounter() (undo func()) {
	vars := efivar.Dir(s.path(efivars))
	old, err := vars.Get(efivar.BootCountPath, efivar.Loader)
	if err != nil { // as a rule it is not there
		return func() {}
	}
	if err := vars.Delete(efivar.BootCountPath, efivar.Loader); err != nil {
		return func() {} // systemd-boot's own, which only the firmware could delete
	}
	return func() { vars.Set(efivar.BootCountPath, efivar.Loader, old) } // nothing can be done about a failure
}
