package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// fingerprints are what entries start now, as far as it bears on the choice:
// those of entries that have no tries left.
type fingerprints struct {
	scan   *discover.Scan // that they were read through
	of     map[string]fingerprint
	inHand bool // some are being read
}

// fingerprint is what an entry starts: that of its files and command line.
type fingerprint struct {
	entry boot.Entry
	text  string // "" where it cannot be read
}

// known returns those that are known of the entries of an inventory.
func (p *fingerprints) known(inv boot.Inventory) map[string]string {
	texts := map[string]string{}
	for _, e := range inv.Entries {
		if f, ok := p.of[e.ID]; ok && sameFiles(f.entry, e) {
			texts[e.ID] = f.text
		}
	}
	return texts
}

// sameFiles reports whether two entries start the same files, as far as can be
// known without reading them.
func sameFiles(a, b boot.Entry) bool {
	return a.Volume == b.Volume && a.Kernel == b.Kernel && slices.Equal(a.Initrds, b.Initrds) && a.Version == b.Version &&
		a.Cmdline == b.Cmdline && a.Profile == b.Profile
}

// readFingerprints reads what the entries start that have no tries left: it may be
// something else by now. A disk that does not answer must not keep the machine
// from booting.
func (s *session) readFingerprints() {
	p := &s.fingerprints
	if p.scan != s.view.scan {
		*p = fingerprints{scan: s.view.scan, of: map[string]fingerprint{}}
	}
	if p.inHand || s.view.inventories == nil || s.asked.Confirm == 0 {
		return
	}
	var wanted []boot.Entry
	known := p.known(s.view.inventory)
	for _, e := range s.view.inventory.Entries {
		t, tried := s.memory.state.Try(e.ID)
		if _, ok := known[e.ID]; tried && t.Left == 0 && t.Fingerprint != "" && e.Problem == "" && !ok {
			wanted = append(wanted, e)
		}
	}
	if len(wanted) == 0 {
		return
	}
	p.inHand = true
	scan := s.view.scan
	ctx, cancel := context.WithTimeout(s.ctx, s.asked.DeviceLimit)
	done := func(read []fingerprint) {
		s.later(func() {
			if p := &s.fingerprints; p.scan == scan && p.inHand {
				for _, f := range read {
					p.of[f.entry.ID] = f
				}
				p.inHand = false
				s.show()
			}
		})
	}
	result := make(chan []fingerprint, 1)
	s.wg.Go(func() {
		var read []fingerprint
		for _, e := range wanted {
			f := fingerprint{entry: e}
			err := onceMore(func() (err error) { f.text, err = kexec.FingerprintOf(ctx, e, scan.FilesOf(e)); return err })
			if err != nil {
				s.log.Warn("what an entry starts cannot be compared with what has failed", "entry", e.ID, "error", err)
			}
			read = append(read, f)
		}
		result <- read
	})
	s.wg.Go(func() {
		defer cancel()
		select {
		case read := <-result:
			done(read)
		case <-ctx.Done():
			var none []fingerprint
			for _, e := range wanted {
				none = append(none, fingerprint{entry: e})
			}
			done(none)
		}
	})
}

// onceMore calls do, and again where a disk could not be read.
func onceMore(do func() error) error {
	err := do()
	if errors.Is(err, syscall.EIO) {
		err = do()
	}
	return err
}

// panicSeconds is how long a kernel that was started unattended stands still after
// a panic before it restarts the machine. Alpine's initramfs then panics, too,
// where it would open a shell that nobody sees (mkinitfs 3.13.0 and later).
const panicSeconds = "30"

// withAdded returns the command line that an entry is started with: what is added
// to its own has to do with starts that nobody watches, and with the settings locked.
func (s *session) withAdded(a menu.Boot) string {
	e, text := a.Entry, a.Entry.Cmdline
	// Nor does a person get a shell who may not edit the command line.
	if a.Unattended && s.asked.Confirm > 0 || s.asked.Asks(settings.LockEdit) && !a.Edited {
		if line := cmdline.Parse(text); !line.Has("panic") {
			text = line.Set("panic", panicSeconds).String()
		}
	}
	text = s.watch(a).parameters(text)
	if len(text) > cmdlineLimit {
		return e.Cmdline // or it would be refused
	}
	return text
}

// added returns what an unattended start adds to the command lines of entries, by
// ID.
func (s *session) added(entries []boot.Entry) map[string]string {
	all := map[string]string{}
	for _, e := range entries {
		line := s.withAdded(menu.Boot{Entry: e, Unattended: true})
		if line == e.Cmdline {
			continue
		}
		own := cmdline.Parse(e.Cmdline)
		more := slices.DeleteFunc(cmdline.Parse(line), func(w string) bool { return slices.Contains(own, w) })
		if len(more) > 0 {
			all[e.ID] = more.String()
		}
	}
	return all
}

// textUncounted is shown where the setting confirm can do nothing.
const textUncounted = "Failed starts cannot be counted, as nothing can be remembered here (%s): the setting remember names a place."

// warnUncounted warns where the setting confirm can do nothing.
func (s *session) warnUncounted() {
	if s.asked.Confirm > 0 && s.ready() && !s.memory.state.Kept {
		s.update(menu.NoticeMsg{Text: fmt.Sprintf(textUncounted, s.memory.store.Where())})
	}
}

// exhausted returns what is done when nothing is left to start; nil for nothing.
func (s *session) exhausted() *menu.Exhausted {
	if !s.choice.Exhausted || s.asked.Exhausted == settings.Wait || s.nothingUnattended() {
		return nil
	}
	rounds := 1
	if s.asked.Confirm > 0 && s.memory.state.Kept {
		rounds = s.memory.state.Rounds
	}
	x := &menu.Exhausted{Why: s.choice.Wait, What: "Restarting", In: s.asked.Pause(rounds)}
	switch {
	case s.asked.Exhausted == settings.PowerOff:
		x.What = "Powering off"
	case s.opensShell():
		x.What = "Opening a shell"
	}
	return x
}

// nothingUnattended reports whether nothing is started without a key, however
// long nobody types.
func (s *session) nothingUnattended() bool {
	if s.asked.Timeout != nil {
		return *s.asked.Timeout < 0
	}
	var waits, other bool
	for _, e := range s.view.inventory.Entries {
		if e.Problem == "" {
			never := e.Timeout != nil && *e.Timeout < 0
			waits, other = waits || never, other || !never
		}
	}
	return waits && !other
}

// opensShell reports whether a shell is opened when nothing is left to start.
func (s *session) opensShell() bool {
	return s.asked.Exhausted == settings.OpenShell && s.asked.Shell && !s.asked.Asks(settings.LockShell)
}

// giveUp does what is asked for when nothing is left to start. It is counted
// first: then each entry may be started once more.
func (s *session) giveUp() {
	if s.leaving || s.loader.job != nil || s.memory.saving || s.volumes.behind {
		return // the countdown comes again
	}
	if s.opensShell() {
		s.update(menu.RequestMsg{Action: menu.Shell{}})
		return
	}
	text, what, how := "Restarting, as nothing is left to start ...", "restart", s.Machine.Restart
	if s.asked.Exhausted == settings.PowerOff {
		text, what, how = "Powering off, as nothing is left to start ...", "power off", s.Machine.PowerOff
	}
	s.log.Warn(text, "why", s.choice.Wait, "rounds", s.memory.state.Rounds)
	if s.asked.Confirm == 0 || !s.memory.state.Kept {
		s.leave(text, what, how)
		return
	}
	m := s.memory
	state := m.state.NextRound()
	m.saving = true
	store := m.store
	s.wg.Go(func() {
		err := store.Save(state)
		s.later(func() {
			m.saving = false
			if err != nil {
				s.log.Warn("that nothing was left to start was not remembered", "error", err)
			} else {
				m.saved(state)
			}
			s.leave(text, what, how)
		})
	})
}

// attempt is what is remembered of the start of e.
func attempt(e boot.Entry) remember.Attempt {
	return remember.Attempt{Time: time.Now().Unix(), Release: e.Version, Title: e.Title}
}
