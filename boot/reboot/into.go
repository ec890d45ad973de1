package reboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
)

// RebootOptions are what to restart into; without any of them what a reboot starts.
type RebootOptions struct {
	Entry   string // by ID, title or number
	Setup   bool   // the setup of the firmware
	To      string // a boot option of the firmware, by its name or the beginning of it
	NoKexec bool   // through the firmware in any case
	DryRun  bool   // only print what would be done
}

// Reboot shuts the system down in order and restarts it into what o asks for. How
// that will be done is printed before anything is.
func (s *System) Reboot(ctx context.Context, o RebootOptions) error {
	vars := efivar.Dir(s.path(efivars))
	switch {
	case o.Setup:
		if !efivar.HasSetup(vars) {
			return errors.New("this firmware cannot be asked for its setup")
		}
		return s.throughFirmware("the setup of the firmware", o.DryRun, func() error { return efivar.RequestSetup(vars) })
	case o.To != "":
		option, err := firmwareOption(vars, o.To)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s (%s of the firmware), once", boot.Clean(option.Description), efivar.OptionName(option.Number))
		return s.throughFirmware(what, o.DryRun, func() error { return efivar.SetNext(vars, option.Number) })
	}
	title := "what is loaded"
	next := Options{DryRun: o.DryRun}
	if o.Entry != "" {
		next.menu = s.bootMenu(ctx)
		defer next.menu.close()
		e, err := s.named(next.menu.inv, o.Entry)
		if err != nil {
			return err
		}
		next.Entry, title = e.ID, e.Name()
	}
	if !o.NoKexec {
		done, err := s.byKexec(ctx, next, title)
		if done {
			return nil
		}
		s.say("Not by kexec: %v", err)
	}
	if o.Entry == "" {
		return s.throughFirmware("what the boot menu boots", o.DryRun, func() error { return nil })
	}
	return s.throughFirmware(title+", by the boot menu, once", o.DryRun, func() error { return s.setDefault(ctx, next.menu, next.Entry, true) })
}

// byKexec restarts by kexec, or returns why that cannot be done. Nothing has been
// done then.
func (s *System) byKexec(ctx context.Context, o Options, title string) (done bool, why error) {
	if _, err := s.kexecCommand(); err != nil {
		return false, err
	}
	if o.DryRun {
		t, err := s.next(ctx, o)
		switch {
		case err == nil:
			title = t.title + inParentheses(t.release)
			t.close()
		case !errors.Is(err, errForeign):
			return false, err
		}
		s.say("Would restart by kexec into %s", title)
		return true, nil
	}
	if o.Entry != "" || !s.Loaded() { // else something was chosen by hand
		if err := s.Load(ctx, o); err != nil {
			return false, err
		}
	}
	s.say("Restarting by kexec into %s", title)
	if err := s.Shutdown(false); err != nil {
		return false, errors.Join(err, s.Unload())
	}
	return true, nil
}

// throughFirmware restarts the machine through its firmware, once request has been
// made.
func (s *System) throughFirmware(what string, dryRun bool, request func() error) error {
	if dryRun {
		s.say("Would restart through the firmware into %s", what)
		return nil
	}
	if err := request(); err != nil {
		return err
	}
	s.say("Restarting through the firmware into %s", what)
	if s.Loaded() {
		if err := s.Unload(); err != nil {
			return err
		}
	}
	if s.hasOpenRC() {
		if err := os.WriteFile(s.path(failedFile), nil, 0o600); err != nil {
			return err
		}
	}
	if err := s.Run("reboot"); err != nil {
		os.Remove(s.path(failedFile)) // so that a later reboot is one by kexec
		return err
	}
	return nil
}

// firmwareOption returns the boot option of the firmware with a name, or the only
// one whose name has it in it, without regard to case.
func firmwareOption(vars efivar.Variables, name string) (efivar.BootOption, error) {
	options, err := efivar.Others(vars)
	if err != nil {
		return efivar.BootOption{}, err
	}
	var names []string
	for _, o := range options {
		if strings.EqualFold(o.Description, name) {
			return o, nil
		}
		names = append(names, fmt.Sprintf("%q", boot.Clean(o.Description)))
	}
	found := slices.DeleteFunc(slices.Clone(options), func(o efivar.BootOption) bool {
		return !strings.Contains(strings.ToLower(o.Description), strings.ToLower(name))
	})
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(options) == 0:
		return efivar.BootOption{}, errors.New("the firmware of this machine has nothing else to start")
	case len(found) > 1:
		return efivar.BootOption{}, fmt.Errorf("%q fits several boot options of the firmware: it has %s", name, strings.Join(names, ", "))
	}
	return efivar.BootOption{}, fmt.Errorf("the firmware has no boot option %q: it has %s", name, strings.Join(names, ", "))
}
