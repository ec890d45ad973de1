package reboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// PrepareMemory makes the files in which the boot menu remembers on a machine
// without EFI variables, or removes them. The menu makes none itself.
func (s *System) PrepareMemory(ctx context.Context, remove, dryRun bool) error {
	b := s.bootMenu(ctx)
	defer b.close()
	if remove {
		return s.discardMemory(b, dryRun)
	}
	places := b.places()
	switch {
	case b.asked.Remember != settings.Auto:
		return errors.New("the setting remember says already where the boot menu remembers")
	case efivar.Dir(s.path(efivars)).Writable() == nil:
		s.say("The boot menu remembers in EFI variables: no file is needed")
		return nil
	case b.made != nil:
		s.say("The boot menu remembers in %s already", *b.made)
		return nil
	case len(places) == 0:
		return errors.New("the boot menu would look nowhere: no partition of a built-in disk that is mounted at / or below /boot, /efi or /media holds alpboot's image, or FAT")
	}
	p := s.bestPlace(places, b.inv)
	if dryRun {
		s.say("Would make %s", p)
		return nil
	}
	err := s.writeTo(b.m.mounts[p.Volume.Device], func(root *os.Root) error { return remember.Prepare(root, p.Path) })
	if err != nil {
		return fmt.Errorf("making %s: %w", p, err)
	}
	s.say("From its next start on the boot menu remembers in %s", p)
	return nil
}

// places returns those for a file that no setting names.
func (b *bootMenu) places() []settings.StatePlace {
	return b.asked.StatePlaces(b.volumes, b.inv.Entries)
}

// bestPlace returns the place beside settings that are there, else one beside an
// image of alpboot, else one in a directory that is there.
func (s *System) bestPlace(places []settings.StatePlace, inv boot.Inventory) settings.StatePlace {
	has := func(p settings.StatePlace, name string) bool {
		_, err := fs.Stat(p.FS, name)
		return err == nil
	}
	for _, good := range []func(p settings.StatePlace) bool{
		func(p settings.StatePlace) bool { return has(p, path.Join(path.Dir(p.Path), "alpboot.conf")) },
		func(p settings.StatePlace) bool {
			return slices.ContainsFunc(inv.Entries, func(e boot.Entry) bool {
				return e.IsOwn() && e.Volume.Device == p.Volume.Device && path.Dir(e.Kernel) == path.Dir(p.Path)
			})
		},
		func(p settings.StatePlace) bool { return has(p, path.Dir(p.Path)) },
	} {
		if i := slices.IndexFunc(places, good); i >= 0 {
			return places[i]
		}
	}
	return places[0]
}

// discardMemory removes what PrepareMemory has made.
func (s *System) discardMemory(b *bootMenu, dryRun bool) error {
	removed := false
	for _, p := range b.places() {
		if !remember.Prepared(p.FS, p.Path) {
			continue
		}
		removed = true
		if dryRun {
			s.say("Would remove %s", p)
			continue
		}
		if err := s.writeTo(b.m.mounts[p.Volume.Device], func(root *os.Root) error { return remember.Discard(root, p.Path) }); err != nil {
			return fmt.Errorf("removing %s: %w", p, err)
		}
		s.say("Removed %s", p)
	}
	if !removed {
		s.say("There is no file to remove")
	}
	return nil
}
