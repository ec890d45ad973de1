package session

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// memory is what is remembered from one start to the next, and where. Another
// place is another memory: what is saved late in the one before does not count.
type memory struct {
	store  remember.Store
	stored remember.State // what the store has
	state  remember.State // what that means to this menu: see [remember.State.Opened]
	next   string         // asked for at the next start only, in this session
	saving bool           // a default is being saved
	owed   bool           // the store has a start that did not happen: stored is still to be saved
}

const (
	textReading = "What is remembered has not been read yet."
	textAwaited = "The volume on which it is remembered has not been found yet."
)

// openMemory takes the place where things are remembered, with what was read
// there. One that could not be read is left alone: what it has must not be
// replaced by nothing.
func (s *session) openMemory(store remember.Store, state remember.State, err error) {
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf("What is remembered cannot be used: %v.", err))
		if !state.Kept {
			store = &remember.Nowhere{Why: "what is there cannot be read"}
		}
	}
	s.memory = &memory{store: store, stored: state, state: state.Opened(s.asked.Confirm), next: s.memory.next}
	s.lookBack()
	m := s.memory.state
	s.log.Info("what is remembered", "where", store.Where(), "default", m.Default, "next", m.Next, "last", m.Last, "tries", m.Tries)
}

// move goes on with what is remembered in another store, which has the same or
// older things: it is that of another scan, or kept is false where there is none
// any more.
func (m *memory) move(store remember.Store, kept bool) {
	m.store, m.stored.Kept, m.state.Kept = store, kept, kept
}

// aboutMemory is where a default is remembered, as a sentence; "" for nowhere.
func (s *session) aboutMemory() string {
	switch {
	case s.memory.state.Kept:
		return fmt.Sprintf("It is remembered in %s.", s.memory.store.Where())
	case s.memoryAwaited():
		return textAwaited
	case s.firmwareAwaited:
		return textReading
	}
	return ""
}

// memoryAwaited reports whether the volume on which things are remembered may
// still be found.
func (s *session) memoryAwaited() bool {
	return s.onVolume() && !s.volumes.ready
}

// spent returns the state to save before an entry is started by hand or by the
// countdown, as far as it does not depend on which: what was asked for at this
// start only is not in it any more, even when the volumes have not all answered yet.
func (s *session) spent() remember.State {
	inv := s.view.inventory
	complete := inv.Settled && !slices.ContainsFunc(inv.Volumes, func(v boot.VolumeStatus) bool { return v.Busy })
	inv.Settled = true
	state := choice.Default(inv, s.wants()).State
	if !complete {
		// What a disk that has not answered asks for has been done all the same:
		// forgotten, it would be done again.
		done := slices.DeleteFunc(slices.Clone(s.memory.state.Used), func(key string) bool { return slices.Contains(state.Used, key) })
		state.Used = slices.Concat(done, state.Used)
	}
	state.Next = s.memory.next
	return state
}

// saved takes in that a state was saved. What it has for the next start is not
// for this one.
func (m *memory) saved(state remember.State) {
	m.stored, m.state, m.owed = state, state, false
	m.state.Next = ""
}

// setDefault remembers an entry as the user asked.
func (s *session) setDefault(a menu.SetDefault) {
	m := s.memory
	switch {
	case s.memoryAwaited():
		s.update(menu.ResultMsg{Text: textAwaited, Bad: true})
		return
	case m.saving || s.loader.job != nil: // one of the two would undo the other
		s.update(menu.ResultMsg{Text: "Something else is being loaded or remembered: try again when that is done.", Bad: true})
		return
	case s.firmwareAwaited, s.volumes.behind:
		s.update(menu.ResultMsg{Text: textReading, Bad: true})
		return
	}
	if a.Make != (menu.MemoryPlace{}) {
		s.makeMemory(a)
		return
	}
	stored, next := m.stored, m.next
	switch {
	case a.Once:
		next = a.ID
	case a.ID == "":
		stored.Default, next = "", ""
	default:
		stored.Default = a.ID
	}
	stored.Next = cmp.Or(next, m.state.Next)
	if a.ID == "" {
		stored.Next = ""
	}
	m.saving = true
	store := m.store
	s.wg.Go(func() {
		err := store.Save(stored)
		s.later(func() {
			m.saving = false
			defer s.bootPending()
			if err != nil {
				s.log.Warn("the default was not saved", "error", err)
				s.update(menu.ResultMsg{Text: fmt.Sprintf("That could not be remembered: %v.", err), Bad: true})
				return
			}
			m.stored, m.next, m.owed = stored, next, false
			m.state.Default = stored.Default
			if a.ID == "" {
				m.state.Next = ""
			}
			s.show()
			text := s.aboutDefault(a)
			s.log.Info(text)
			s.update(menu.ResultMsg{Text: text})
		})
	})
}

// makeMemory makes the file that things are remembered in from now on, and goes on
// with what the user asked for.
func (s *session) makeMemory(a menu.SetDefault) {
	m, scan, place := s.memory, s.view.scan, a.Make
	v := s.view.volume(place.Device)
	m.saving = true
	s.wg.Go(func() {
		err := scan.Write(s.ctx, place.Device, func(root *os.Root) error { return remember.Prepare(root, place.Path) })
		store := s.storeIn(scan, settings.StatePlace{MountedVolume: boot.MountedVolume{Volume: v, FS: scan.FS(v)}, Path: place.Path})
		var state remember.State
		if err == nil {
			state, err = store.Load()
		}
		s.later(func() {
			m.saving = false
			if err != nil {
				s.log.Warn("the file for what is remembered was not made", "error", err)
				s.update(menu.ResultMsg{Text: fmt.Sprintf("%s was not made: %v.", place, err), Bad: true})
				s.bootPending()
				return
			}
			s.volumes.places = nil
			s.openMemory(store, state, nil)
			s.wrote(place.Device)
			s.setDefault(menu.SetDefault{ID: a.ID, Once: a.Once})
		})
	})
}

// aboutDefault returns what came of making an entry the default.
func (s *session) aboutDefault(a menu.SetDefault) string {
	title, held := a.ID, ""
	for _, e := range s.view.known().Entries {
		if e.ID == a.ID {
			title = boot.Clean(e.Name())
			if e.Removable {
				held = s.choice.Held
			}
		}
	}
	switch {
	case a.ID == "":
		return "No default is remembered any more."
	case held != "":
		return title + " is remembered. " + held
	case a.Once:
		return title + " is booted at the next start, once."
	case s.asked.Default != "":
		return fmt.Sprintf("%s is remembered as the default, but the settings name another one (default = %s), and that counts more.", title, s.asked.Default)
	}
	return title + " is booted from now on when nobody types."
}
