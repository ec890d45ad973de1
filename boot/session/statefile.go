package session

import (
	"fmt"
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
	place, err := s.stateFile(volumes, entries)
	var store remember.Store
	if err != nil {
		store = &remember.Nowhere{Why: err.Error()}
	} else {
		device := place.Volume.Device
		store = &remember.File{
			Path: place.Path, Volume: device, FS: place.FS,
			Write: func(do func(*os.Root) error) error { return scan.Write(s.ctx, device, do) },
		}
	}
	return remember.SystemdBoot{Store: store, Vars: s.Firmware.Vars, ReadOnly: s.Firmware.ReadOnly}
}

// stateFile returns the place of the file: the one that the settings name, or with
// remember = auto one that somebody has made.
func (s *session) stateFile(volumes boot.Volumes, entries []boot.Entry) (settings.StatePlace, error) {
	if s.Settings.Remember == settings.Auto {
		return s.Settings.StateFile(volumes, entries)
	}
	named := s.Settings.RememberFile
	place, ok := named.On(volumes)
	if !ok {
		return place, fmt.Errorf("the volume of remember = %s is not there", named)
	}
	return place, nil
}
