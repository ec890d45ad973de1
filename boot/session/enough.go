package session

import (
	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// enough is what is under way to find out whether the scan may stop waiting for
// further disks.
type enough struct {
	inHand bool
	again  bool // something has come meanwhile
}

// letGo has the scan wait for no further disk where the default that somebody has
// asked for is there. What the volumes have of settings and memory is read for that, and
// once more, to go by, when the scan has settled.
func (s *session) letGo() {
	inv := s.view.inventory
	if inv.Settled || !inv.Answered || s.firmwareAwaited || s.view.before != nil || s.Settings.Settle > settings.Default().Settle {
		return
	}
	if s.enough.inHand {
		s.enough.again = true
		return
	}
	s.enough = enough{inHand: true}
	scan, filesystems := s.view.scan, s.view.filesystems()
	if s.Settings.SettingsVolume == settings.File && len(filesystems.Find(s.Settings.SettingsFile.Volume, boot.Volume{})) == 0 {
		s.enough.inHand = false
		return
	}
	onVolume := s.onVolume() && !s.memory.state.Kept
	s.wg.Go(func() {
		asked := s.Settings.WithVolumes(filesystems)
		var state remember.State
		known := true
		if onVolume {
			var err error
			state, err = s.storeOn(scan, filesystems, inv.Entries).Load()
			known = err == nil && (state.Kept || s.Settings.Remember != settings.File)
		}
		s.later(func() {
			again := s.enough.again
			s.enough = enough{}
			switch {
			case s.view.stopped(scan) || s.view.inventory.Settled:
			case again:
				s.letGo()
			case known && s.view.inventory.Answered:
				w := s.wants()
				w.Default, w.Confirm, w.Removable = asked.Default, asked.Confirm, asked.Removable
				if onVolume {
					w.State = state.Opened(asked.Confirm)
				}
				if choice.Default(s.view.inventory, w).Asked {
					s.wg.Go(func() { scan.Enough("the default that was asked for is there") })
				}
			}
		})
	})
}
