package reboot

import (
	"context"
	"fmt"
	"os"

	"github.com/alpboot/alpboot/boot/settings"
)

// timeout is the setting that [System.SetTimeout] writes.
const timeout = "timeout"

// ShowTimeout prints how long the boot menu counts down, and where that is from.
func (s *System) ShowTimeout(ctx context.Context) {
	b := s.bootMenu(ctx)
	defer b.close()
	s.say("%s", b.timeout())
}

func (b *bootMenu) timeout() string {
	for _, v := range b.asked.Values() {
		if v.Name == timeout {
			return fmt.Sprintf("%s (%s)", v.Value, v.Source)
		}
	}
	return ""
}

// SetTimeout writes how long the boot menu counts down to its file of settings, as
// the menu does.
func (s *System) SetTimeout(ctx context.Context, value string) error {
	if !settings.Accepts(timeout, value) {
		return fmt.Errorf("%q is no timeout that a file may have: it takes whole seconds up to 86400, 0 to boot at once, or auto", value)
	}
	b := s.bootMenu(ctx)
	defer b.close()
	place, err := b.asked.VolumeFile(b.volumes)
	if err != nil {
		return fmt.Errorf("there is no file for settings: %w", err)
	}
	change := settings.Change{Name: timeout, Value: value}
	err = s.writeTo(b.m.mounts[place.Volume.Device], func(root *os.Root) error {
		return settings.WriteFile(root, place.Path, []settings.Change{change})
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", place, err)
	}
	s.say("%s is in %s from now on; a kernel parameter of the menu counts more", change, place)
	return nil
}
