package reboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/lasttime"
)

// Log prints what is known of the last starts: what the boot menu remembers of
// them, what kernels that panicked and the watchdogs have left, and the end of this
// system's log.
func (s *System) Log(ctx context.Context) error {
	b := s.bootMenu(ctx)
	defer b.close()
	if err := s.sayStarts(b); err != nil {
		return err
	}
	root := os.DirFS(s.path("/"))
	found := lasttime.Records(root, 0)
	for _, text := range found.Known {
		s.say("%s", text)
	}
	for _, line := range found.Lines {
		s.say("%s", line)
	}
	if len(found.Known)+len(found.Lines) == 0 {
		s.say("No kernel and no watchdog has left a record.")
	}
	f, err := lasttime.Log(root, lasttime.LogName, "/"+lasttime.LogName, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.manager() == systemd:
		s.say("journalctl --boot=-1 prints the log of the start before this one.")
		return nil
	case errors.Is(err, fs.ErrNotExist):
		s.say("There is no /%s: OpenRC keeps it with rc_logger=\"YES\" in /etc/rc.conf.", lasttime.LogName)
		return nil
	case err != nil:
		return err
	}
	for _, line := range f.Lines {
		s.say("%s", line)
	}
	return nil
}

// sayStarts prints what the boot menu remembers of the last starts.
func (s *System) sayStarts(b *bootMenu) error {
	state, err := b.store.Load()
	if err != nil {
		return err
	}
	if !state.Kept {
		s.say("The boot menu %s.", s.remembersNothing(b))
		return nil
	}
	if last := cmp.Or(state.Trying, state.Last); last != "" {
		s.say("Started last: %s.", b.nameOf(last))
	}
	if a := state.Attempt; state.Trying != "" && a.Time != 0 {
		s.say("That was try %d of %d, %s%s at %s. It has not reported that it is up.", a.Try, a.Of, boot.Clean(a.Title), inParentheses(boot.Clean(a.Release)), lasttime.Clock(a.Time))
	}
	for _, t := range state.Tries {
		what := "it is passed over"
		if t.Left > 0 {
			what = fmt.Sprintf("it is started unattended %d times at most until it does", t.Left)
		}
		s.say("%s has not reported that it was up: %s.", b.nameOf(t.ID), what)
	}
	if state.Rounds > 0 {
		s.say("Nothing was left to start %d times in a row.", state.Rounds)
	}
	return nil
}
