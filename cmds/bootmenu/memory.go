package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// openStore takes the place where things are remembered, and what is remembered
// there. One on a volume is known only from a look at the volumes.
func (s *session) openStore(l *look) {
	var err error
	switch {
	case l != nil:
		s.store, s.state, err = l.store, l.state, l.err
	case s.base.Remember == settings.File:
		s.store = &remember.Nowhere{} // until it is found
		s.state, err = s.store.Load()
	case s.base.Remember == settings.Off:
		s.store = remember.SystemdBoot{Store: &remember.Nowhere{}, Vars: s.machine.vars, ReadOnly: true}
		s.state, err = s.store.Load()
	default:
		s.store = s.machine.firmware
		s.state, err = s.store.Load()
	}
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf(wordNotRemembered, err))
	}
	s.state = s.state.Opened(s.asked.Confirm)
	s.log.Info("what is remembered", "where", s.store.Where(), "default", s.state.Default, "next", s.state.Next, "last", s.state.Last, "failed", s.state.Failed)
}

// storeToCome tells whether the volume on which things are remembered may still
// be found.
func (s *session) storeToCome() bool { return s.base.Remember == settings.File && !s.ready }

// onVolume gives the store in a file on a volume.
func (s *session) onVolume(ctx context.Context, scan *discover.Scan, inv boot.Inventory, place settings.Place) remember.Store {
	found := filesystems(scan, inv).Find(place.Volume, boot.Volume{})
	var store remember.Store = &remember.Nowhere{Why: fmt.Sprintf(wordNoPlace, place)}
	if len(found) > 0 {
		v := found[0]
		store = &remember.File{
			Path: place.Path, Volume: v.Volume.Device, FS: volumeFS{scan, v.Volume},
			Write: func(do func(*os.Root) error) error { return scan.Write(ctx, v.Volume.Device, do) },
		}
	}
	return remember.SystemdBoot{Store: store, Vars: s.machine.vars, ReadOnly: s.machine.varsReadOnly}
}

// starting gives the state to save before the entry id is started by hand or by
// the countdown. What was asked for at this start only is not in it any more,
// even when the volumes have not all answered yet.
func (s *session) starting(id string) remember.State {
	inv := s.inventory
	inv.Settled = true
	state := choice.Default(unattended(inv), s.wants()).State
	if !s.inventory.Settled || slices.ContainsFunc(s.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Busy }) {
		// What a disk that has not answered asks for has been met all the same:
		// forgotten, it would be met again.
		met := slices.DeleteFunc(slices.Clone(s.state.Used), func(key string) bool { return slices.Contains(state.Used, key) })
		state.Used = slices.Concat(met, state.Used)
	}
	state.Next = s.next
	return state.Booting(id, s.asked.RemembersLast(), s.asked.Confirm)
}

// saved takes in that a state was saved. What it says of the next start is not
// for this one.
func (s *session) saved(state remember.State) {
	state.Next = ""
	s.state = state
}

// setDefault remembers an entry as the user asked.
func (s *session) setDefault(ctx context.Context, a menu.SetDefault) {
	if s.storeToCome() {
		s.update(ctx, menu.ResultMsg{Text: wordNotYet, Bad: true})
		return
	}
	if s.saving || s.cancel != nil { // one of the two would undo the other
		s.update(ctx, menu.ResultMsg{Text: wordNotNow, Bad: true})
		return
	}
	state, next := s.state, s.next
	switch {
	case a.Once:
		next = a.ID
	case a.ID == "":
		state.Default, next = "", ""
	default:
		state.Default = a.ID
	}
	write := state
	write.Next = cmp.Or(next, s.state.Next)
	if a.ID == "" {
		write.Next = ""
		state.Next = ""
	}
	store := s.store
	s.saving = true
	go func() {
		err := store.Save(write)
		s.later(ctx, func() {
			s.saving = false
			defer s.bootPending(ctx)
			if err != nil {
				s.log.Warn("the default was not saved", "error", err)
				s.update(ctx, menu.ResultMsg{Text: fmt.Sprintf(wordNotWritten, err), Bad: true})
				return
			}
			s.state, s.next = state, next
			s.show(ctx)
			text := s.aboutDefault(a)
			s.log.Info(text)
			s.update(ctx, menu.ResultMsg{Text: text})
		})
	}()
}

// aboutDefault says what came of making an entry the default.
func (s *session) aboutDefault(a menu.SetDefault) string {
	title := a.ID
	if i := slices.IndexFunc(s.inventory.Entries, func(e boot.Entry) bool { return e.ID == a.ID }); i >= 0 {
		title = boot.Clean(s.inventory.Entries[i].Title)
	}
	switch {
	case a.ID == "":
		return wordForgotten
	case a.Once:
		return fmt.Sprintf(wordIsNext, title)
	case s.asked.Default != "":
		return fmt.Sprintf(wordOverruled, title, s.asked.Default)
	}
	return fmt.Sprintf(wordIsDefault, title)
}
