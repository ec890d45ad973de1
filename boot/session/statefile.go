package session

import (
	"os"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// onVolume reports whether things are remembered in a file on a volume, if anywhere.
func (s *session) onVolume() bool {
	asked := s.Settings.Remember
	return asked == settings.File || asked == settings.Auto && (s.Firmware.Vars == nil || s.Firmware.ReadOnly)
}

// storeOn returns the store in a file on one of the volumes.
func (s *session) storeOn(scan *discover.Scan, volumes boot.Volumes, entries []boot.Entry) remember.Store {
	place, err := s.Settings.StateFile(volumes, entries)
	if err != nil {
		return s.withSystemdBoot(&remember.Nowhere{Why: err.Error()})
	}
	return s.storeIn(scan, place)
}

// storeIn returns the store in a file.
func (s *session) storeIn(scan *discover.Scan, place settings.StatePlace) remember.Store {
	device := place.Volume.Device
	return s.withSystemdBoot(&remember.File{
		Path: place.Path, Volume: device, FS: place.FS,
		Write: func(do func(*os.Root) error) error { return scan.Write(s.ctx, device, do) },
	})
}

func (s *session) withSystemdBoot(store remember.Store) remember.Store {
	return remember.SystemdBoot{Store: store, Vars: s.Firmware.Vars, ReadOnly: s.Firmware.ReadOnly}
}
