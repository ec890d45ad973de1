package session

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/menu"
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
	file   settings.StatePlace // that settings are written to; no Path when there is none
	noFile string              // why there is none, as a sentence
	places []menu.MemoryPlace  // where a file for what is remembered can be made
	stale  string              // device that has been written to since
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
	if v := &s.volumes; slices.ContainsFunc(filesystems, func(m boot.MountedVolume) bool { return m.Volume.Device == v.stale }) {
		v.names, v.stale = "", ""
	}
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
		file, fileErr := s.Settings.VolumeFile(filesystems)
		var places []menu.MemoryPlace
		if s.onVolume() {
			for _, p := range s.Settings.NewStateFiles(filesystems, entries) {
				places = append(places, menu.MemoryPlace{Device: p.Volume.Device, Path: p.Path})
			}
		}
		current(func() {
			s.volumes.file, s.volumes.noFile, s.volumes.places = file, "", places
			if fileErr != nil {
				s.volumes.noFile = sentence(fmt.Errorf("settings cannot be written: %w", fileErr))
			}
			s.takeSettings(asked, store, state, err)
		})

		names := slices.Concat(keymap.BuiltIn(), keymap.Names(s.Root))
		for _, v := range filesystems {
			names = append(names, keymap.Names(v.FS)...)
		}
		var self *boot.Entry
		if !s.trust.enforces() { // its own image may have been replaced
			self = ownImage(s.Root, filesystems)
		}
		enrolment := findEnrolment(s.Firmware.writable(), s.Root, filesystems)
		current(func() {
			s.keymaps.names, s.self, s.enrolment = withOwn(names), self, enrolment
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

// wrote has a volume read again that was written to: at once, or when it has answered.
func (s *session) wrote(device string) {
	s.volumes.stale = device
	if s.view.inventory.Settled {
		s.readVolumes()
	}
}

// saveSettings writes settings to the file on a volume, as the user asked.
func (s *session) saveSettings(a menu.SaveSettings) {
	file, scan := s.volumes.file, s.view.scan
	if file.Path == "" {
		s.update(menu.SettingsSavedMsg{Text: s.noSettingsFile(), Bad: true})
		return
	}
	var changes []settings.Change
	for _, c := range a.Changes {
		changes = append(changes, settings.Change(c))
	}
	device := file.Volume.Device
	s.wg.Go(func() {
		err := scan.Write(s.ctx, device, func(root *os.Root) error { return settings.WriteFile(root, file.Path, changes) })
		s.later(func() {
			msg := menu.SettingsSavedMsg{Text: fmt.Sprintf("The settings are in %s.", file)}
			if err != nil {
				msg = menu.SettingsSavedMsg{Text: fmt.Sprintf("The settings were not written to %s: %v.", file, err), Bad: true}
			}
			s.log.Info(msg.Text, "changes", changes)
			s.wrote(device)
			s.update(msg)
		})
	})
}

// noSettingsFile is why settings cannot be written, as a sentence.
func (s *session) noSettingsFile() string {
	switch {
	case s.trust.enforces():
		return textLocked
	case s.volumes.noFile == "":
		return "The volumes have not been read yet."
	}
	return s.volumes.noFile
}

// writableSettings are the settings that can be written, as the menu shows them.
func (s *session) writableSettings() []menu.Setting {
	var all []menu.Setting
	for _, w := range s.asked.Writables() {
		all = append(all, menu.Setting{Name: w.Name, Value: w.Value, Takes: w.Takes, Help: w.Help, Words: w.Words, Source: w.Source.String(), Overridden: w.Overridden})
	}
	return all
}

// VolumeSettings returns asked with the settings on a volume, as a session has
// them once scan has settled.
func VolumeSettings(scan *discover.Scan, asked settings.Settings) settings.Settings {
	return asked.WithVolumes(scan.Filesystems(scan.Settled()))
}
