package list

import (
	"context"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// Failed returns the entries, by ID, that the menu passes over because they were
// started as often as they may be without reporting that they are up. It knows of
// them by what the menu remembers: in vars, those of this machine, nil for none, or in
// a file on one of the volumes of scan. asked are the settings without those of a
// volume.
func Failed(ctx context.Context, scan *discover.Scan, inv boot.Inventory, asked settings.Settings, vars efivar.Variables) (map[string]bool, error) {
	volumes := scan.Filesystems(inv)
	asked = asked.WithVolumes(volumes)
	var store remember.Store = remember.EFI{Vars: vars}
	switch {
	case asked.Remember == settings.Off, asked.Remember == settings.EFI && vars == nil:
		return nil, nil
	case asked.Remember == settings.File, asked.Remember == settings.Auto && vars == nil:
		place, err := asked.StateFile(volumes, inv.Entries)
		if err != nil { // as a rule there is none
			return nil, nil
		}
		store = &remember.File{Path: place.Path, Volume: place.Volume.Device, FS: place.FS}
	}
	state, err := store.Load()
	if err != nil {
		return nil, err
	}
	// How often an entry may be started may stand on the command line of the menu only.
	// What is counted has been asked for.
	confirm := max(asked.Confirm, 1)
	w := choice.Wants{State: state.Opened(confirm), Confirm: confirm, Fingerprints: map[string]string{}}
	failed := map[string]bool{}
	for _, e := range inv.Entries {
		if t, tried := w.State.Try(e.ID); !tried || t.Left > 0 {
			continue
		}
		w.Fingerprints[e.ID], _ = kexec.FingerprintOf(ctx, e, scan.FilesOf(e)) // what cannot be read has not been replaced
		failed[e.ID] = w.HasFailed(e)
	}
	return failed, nil
}
