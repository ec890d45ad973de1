package main

import (
	"context"
	"slices"

	"github.com/alpboot/alpboot/boot"
)

// rescan looks at all disks again. Letting go of one that hangs takes a while.
func (s *session) rescan(ctx context.Context) {
	old := s.scan
	s.inventories = nil
	s.outdate()
	go func() {
		old.Stop()
		s.later(ctx, func() {
			if s.scan == old && s.shells == 0 {
				s.startScan()
			}
		})
	}()
}

// outdate keeps what is known until the next scan has looked at everything.
func (s *session) outdate() { s.before, s.stale = s.known(), true }

// known gives what is shown: the list of the scan before stays until this one
// has settled, so that nothing vanishes under the user's hands. What is chosen
// from it waits; see toCome and lockedToCome.
func (s *session) known() boot.Inventory {
	inv := s.inventory
	if inv.Settled || len(s.before.Volumes) == 0 {
		return inv
	}
	volumes := slices.Clone(s.before.Volumes)
	for i := range volumes {
		volumes[i].Busy = true
	}
	for _, v := range inv.Volumes {
		i := slices.IndexFunc(volumes, func(old boot.VolumeStatus) bool { return old.Volume.Device == v.Volume.Device })
		switch {
		case i < 0:
			volumes = append(volumes, v)
		case !v.Busy:
			volumes[i] = v
		}
	}
	entries := slices.Clone(s.before.Entries)
	for _, e := range inv.Entries {
		i := slices.IndexFunc(entries, func(old boot.Entry) bool { return old.ID == e.ID })
		switch {
		case i < 0:
			entries = append(entries, e)
		case e.Problem == "" || entries[i].Problem != "": // its kernel may lie on a volume that is to come
			entries[i] = e
		}
	}
	inv.Volumes, inv.Entries = volumes, entries
	return inv
}

// toCome tells whether the scan has yet to find e, which one before it found.
func (s *session) toCome(e boot.Entry) bool {
	return s.stale || !s.inventory.Settled && !slices.ContainsFunc(s.inventory.Entries, func(found boot.Entry) bool {
		return found.ID == e.ID && (found.Problem == "" || e.Problem != "")
	})
}

// lockedToCome is the same for a volume that a passphrase opens.
func (s *session) lockedToCome(device string) bool {
	return s.stale || !s.inventory.Settled && !slices.ContainsFunc(s.inventory.Volumes, func(v boot.VolumeStatus) bool {
		return v.Volume.Device == device && v.Locked
	})
}
