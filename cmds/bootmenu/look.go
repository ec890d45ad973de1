package main

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// look is one look at all volumes for what concerns the menu itself: settings,
// and what is remembered on a volume.
type look struct {
	asked settings.Settings
	store remember.Store // nil when it is not on a volume
	state remember.State
	err   error // of reading the state
}

// lookAtVolumes looks at the volumes of the inventory, unless they are those
// that were looked at last. A disk that does not answer any more must not keep
// the machine from booting.
func (s *session) lookAtVolumes(ctx context.Context) {
	var names strings.Builder
	for _, v := range s.inventory.Volumes {
		fmt.Fprintf(&names, "%s %s %t %q\n", v.Volume.Device, v.Volume.UUID, v.Locked, v.Problem)
	}
	names.WriteByte('.') // none is not the same as not looked
	if names.String() == s.looked {
		return
	}
	s.looked = names.String()
	l := &look{}
	s.look = l
	scan, inv := s.scan, s.inventory
	base, sysfs := s.base, s.sysfs()
	go func() {
		l.asked = base.WithVolumes(candidates(sysfs, scan, inv))
		if l.asked.Remember == settings.File {
			l.store = s.onVolume(ctx, scan, inv, l.asked.RememberFile)
			l.state, l.err = l.store.Load()
		}
		s.later(ctx, func() { s.takeLook(ctx, l) })

		volumes := filesystems(scan, inv)
		names := keymap.Names(s.machine.root)
		for _, v := range volumes {
			names = append(names, keymap.Names(v.FS)...)
		}
		self := ownImage(s.machine.root, volumes)
		s.later(ctx, func() {
			if s.look != l {
				return
			}
			s.keymaps, s.self = withOwn(names), self
			s.configure(ctx)
			s.startKeymap(ctx, volumes)
		})
	}()
	time.AfterFunc(s.asked.DeviceLimit, func() {
		s.later(ctx, func() {
			if s.look == l && !s.ready {
				s.notes = append(s.notes, wordSlow)
				s.ready = true
				s.show(ctx)
			}
		})
	})
}

// takeLook takes in what a look has brought.
func (s *session) takeLook(ctx context.Context, l *look) {
	if s.look != l {
		return // there are other volumes by now
	}
	s.asked = l.asked
	s.restyle()
	switch {
	case l.store == nil:
	case s.state.Kept: // what is in memory is newer
		s.store, s.state.Kept = l.store, l.state.Kept
	default:
		s.openStore(l)
	}
	s.configure(ctx)
	s.ready = true
	s.show(ctx)
}

// candidates gives the volumes on which settings may lie.
func candidates(sysfs fs.FS, scan *discover.Scan, inv boot.Inventory) []settings.Candidate {
	var list []settings.Candidate
	for _, v := range filesystems(scan, inv) {
		list = append(list, settings.Candidate{MountedVolume: v, Fixed: settings.Fixed(sysfs, v.Volume.OnDisk())})
	}
	return list
}

// sysfs gives the root of sysfs.
func (s *session) sysfs() fs.FS {
	sub, err := fs.Sub(s.machine.root, "sys")
	if err != nil {
		return s.machine.root
	}
	return sub
}
