package session

import (
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
)

// view is what a session knows of the disks: the running scan, its last
// inventory, and what the scan before had found.
//
// While the disks are held (by a shell, a jump, a rescan that unmounts) there is
// no scan, and afterwards a new one. Until that has settled, the list of the one
// before stays, so that nothing vanishes under the user's hands; what is chosen
// from it waits: see awaits and awaitsLocked.
type view struct {
	start       func() *discover.Scan
	scan        *discover.Scan
	inventories <-chan boot.Inventory // of scan; nil once that has been stopped
	inventory   boot.Inventory        // the last one of scan, without what is not to be listed
	before      *boot.Inventory       // known before scan; nil once scan has settled
	holders     int                   // of the disks
}

// begin starts a scan.
func (v *view) begin() {
	v.scan = v.start()
	v.inventories = v.scan.Inventories()
}

// hold sets aside what is known, and returns the scan that is to be stopped.
func (v *view) hold() *discover.Scan {
	before := v.known()
	v.before = &before
	v.inventory, v.inventories = boot.Inventory{}, nil
	v.holders++
	return v.scan
}

// release starts the next scan when nobody holds the disks any more.
func (v *view) release() {
	if v.holders--; v.holders == 0 {
		v.begin()
	}
}

// stopped reports whether scan has been stopped, to be followed by another one.
func (v *view) stopped(scan *discover.Scan) bool { return scan != v.scan || v.holders > 0 }

// take takes in an inventory of the scan.
func (v *view) take(inv boot.Inventory) {
	v.inventory = inv
	if inv.Settled {
		v.before = nil
	}
}

// known returns what is shown.
func (v *view) known() boot.Inventory {
	if v.before == nil {
		return v.inventory
	}
	inv := boot.Inventory{Volumes: slices.Clone(v.before.Volumes), Entries: slices.Clone(v.before.Entries)}
	for i := range inv.Volumes {
		inv.Volumes[i].Busy = true
	}
	for _, found := range v.inventory.Volumes {
		i := slices.IndexFunc(inv.Volumes, func(old boot.VolumeStatus) bool { return old.Volume.Device == found.Volume.Device })
		switch {
		case i < 0:
			inv.Volumes = append(inv.Volumes, found)
		case !found.Busy:
			inv.Volumes[i] = found
		}
	}
	for _, found := range v.inventory.Entries {
		i := slices.IndexFunc(inv.Entries, func(old boot.Entry) bool { return old.ID == found.ID })
		switch {
		case i < 0:
			inv.Entries = append(inv.Entries, found)
		case found.Problem == "" || inv.Entries[i].Problem != "": // its kernel may be on a volume that is still awaited
			inv.Entries[i] = found
		}
	}
	return inv
}

// entry returns e, which may have been edited, as the disks have it.
func (v *view) entry(e boot.Entry) boot.Entry {
	for _, found := range v.inventory.Entries {
		if found.ID == e.ID {
			return found
		}
	}
	return e
}

// awaits reports whether the scan has yet to find e, which one before it found.
func (v *view) awaits(e boot.Entry) bool {
	return !v.inventory.Settled && !slices.ContainsFunc(v.inventory.Entries, func(found boot.Entry) bool {
		return found.ID == e.ID && (found.Problem == "" || e.Problem != "")
	})
}

// awaitsLocked is the same for a volume that a passphrase unlocks.
func (v *view) awaitsLocked(device string) bool {
	return !v.inventory.Settled && !slices.ContainsFunc(v.inventory.Volumes, func(v boot.VolumeStatus) bool {
		return v.Volume.Device == device && v.Locked
	})
}

// volume returns what is known of a device.
func (v *view) volume(device string) boot.Volume {
	for _, found := range v.inventory.Volumes {
		if found.Volume.Device == device {
			return found.Volume
		}
	}
	return boot.Volume{Device: device}
}

// volumes returns all volumes that are known.
func (v *view) volumes() []boot.Volume {
	var list []boot.Volume
	for _, found := range v.known().Volumes {
		list = append(list, found.Volume)
	}
	return list
}

// unlocked takes in that a volume is locked no more, where that is known before
// the inventory which has it so: it must not be asked for twice. It reports
// whether that was news.
func (v *view) unlocked(device string) bool {
	i := slices.IndexFunc(v.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Locked && v.Volume.Device == device })
	if i < 0 {
		return false
	}
	v.inventory.Volumes = slices.Clone(v.inventory.Volumes)
	v.inventory.Volumes[i].Locked, v.inventory.Volumes[i].Problem = false, ""
	v.inventory.Settled = false // what is in it is still awaited
	return true
}

// filesystems returns the volumes that can be read, with their roots.
func (v *view) filesystems() boot.Volumes { return v.scan.Filesystems(v.inventory) }

// restart is how everything that needs the disks to itself gets them, and how
// the user has them scanned again. It stops the scan, calls between, if any,
// with all volumes unmounted, and starts a new scan. Then done is called, in
// run, with the error of between. Stopping takes a while when a disk hangs.
func (s *session) restart(between func() error, done func(error)) {
	scan := s.view.hold()
	s.volumes.behind = s.volumes.behind || s.onVolume() && s.memory.state.Kept
	s.wg.Go(func() {
		scan.Stop()
		var err error
		if between != nil {
			err = between()
		}
		s.later(func() {
			s.view.release()
			done(err)
		})
	})
}
