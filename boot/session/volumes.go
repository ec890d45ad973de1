package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// volumes is what is read from all volumes for the menu itself: settings,
// keyboard layouts, what is remembered, and alpboot's own image.
type volumes struct {
	seq   int            // of the last time that they were read
	scan  *discover.Scan // then
	names string         // then
	ready bool           // settings and memory are known, or have taken too long

	// The disks have been let go of since, and what is remembered on them, or owed to
	// them, has to wait until they are read again.
	behind bool
}

// ready reports whether a default may be booted.
func (s *session) ready() bool { return s.volumes.ready && !s.firmwareAwaited }

// readVolumes reads the volumes of the inventory, unless they are those that
// were read last. A disk that does not answer any more must not keep the machine
// from booting.
func (s *session) readVolumes() {
	var names strings.Builder
	for _, v := range s.view.inventory.Volumes {
		fmt.Fprintf(&names, "%s %s %t %q\n", v.Volume.Device, v.Volume.UUID, v.Locked, v.Problem)
	}
	scan, filesystems, entries := s.view.scan, s.view.filesystems(), s.view.inventory.Entries
	if v := &s.volumes; v.scan == scan && v.names == names.String() {
		return
	}
	s.volumes.scan, s.volumes.names = scan, names.String()
	s.volumes.seq++
	seq := s.volumes.seq
	current := func(do func()) { // unless there are other volumes by now, or will be
		s.later(func() {
			if s.volumes.seq == seq && !s.view.stopped(scan) {
				do()
			}
		})
	}
	s.wg.Go(func() {
		asked := s.Settings.WithVolumes(filesystems)
		var store remember.Store
		var state remember.State
		var err error
		if s.onVolume() {
			store = s.storeOn(scan, filesystems, entries)
			state, err = store.Load()
		}
		current(func() { s.takeSettings(asked, store, state, err) })

		names := keymap.Names(s.Root)
		for _, v := range filesystems {
			names = append(names, keymap.Names(v.FS)...)
		}
		self := ownImage(s.Root, filesystems)
		current(func() {
			s.keymaps.names, s.self = withOwn(names), self
			s.configure()
			s.startKeymap(filesystems)
		})
	})
	if s.ready() && !s.volumes.behind {
		return
	}
	limit := s.asked.DeviceLimit
	s.wg.Go(func() {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(limit):
		}
		current(func() {
			if !s.ready() {
				s.notes = append(s.notes, "The volumes or the firmware took too long to answer: settings, and what is remembered there, may be missing.")
				s.volumes.ready, s.firmwareAwaited = true, false
				s.show()
			}
			s.caughtUp()
		})
	})
}

// takeSettings takes in what was read from the volumes; store is nil when
// nothing is remembered on one.
func (s *session) takeSettings(asked settings.Settings, store remember.Store, state remember.State, err error) {
	if asked.Confirm != s.asked.Confirm { // what is remembered means something else by that
		state := s.memory.stored.Opened(asked.Confirm)
		state.Next = s.memory.state.Next
		s.memory.state = state
	}
	s.asked = asked
	s.restyle()
	switch {
	case store == nil:
	case s.memory.state.Kept: // what is in memory is newer
		s.memory.move(store, state.Kept)
	default:
		s.openMemory(store, state, err)
	}
	s.configure()
	if !s.volumes.ready { // later on, what is remembered is of this session
		s.lookBack()
	}
	s.noteWatchdog()
	s.volumes.ready = true
	s.show()
	s.catchUp()
}

// VolumeSettings returns asked with the settings on a volume, as a session has
// them once scan has settled.
func VolumeSettings(scan *discover.Scan, asked settings.Settings) settings.Settings {
	return asked.WithVolumes(scan.Filesystems(scan.Settled()))
}
