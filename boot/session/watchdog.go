package session

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// guard is the machine's watchdog, for the systems that are started.
type guard struct {
	known    bool            // whether there is one was read
	device   watchdog.Device // the one that is used; the zero value when there is none
	survives bool            // the kernel leaves it running when it jumps

	// One that could not be stopped after a failed jump: it is fed until release is
	// called. Only exec uses these.
	held    watchdog.Running
	release context.CancelFunc
}

// watched is a start with a watchdog; the zero value is one without.
type watched struct {
	device  watchdog.Device
	seconds int
}

// String returns what is said about it.
func (w watched) String() string {
	if w.seconds == 0 {
		return ""
	}
	return fmt.Sprintf(" The watchdog (%s) restarts the machine unless it is fed within %d s.", w.device.Identity, w.seconds)
}

// parameters returns a command line with what a system needs to take the watchdog
// over: how long its kernel feeds it by itself, and which driver that takes.
func (w watched) parameters(line string) string {
	if w.seconds == 0 {
		return line
	}
	words := cmdline.Parse(line)
	for _, p := range [][2]string{{"watchdog.open_timeout", strconv.Itoa(w.seconds)}, {"alpboot.watchdog", w.device.Driver}} {
		if !words.Has(p[0]) && p[1] != "" {
			words = words.Set(p[0], p[1])
		}
	}
	return words.String()
}

// readWatchdogs finds out which watchdog there is.
func (s *session) readWatchdogs() {
	s.wg.Go(func() {
		survives, list := watchdog.Survives(s.Root), watchdog.List(s.Root)
		s.later(func() {
			g := &s.guard
			g.known, g.survives = true, survives
			if len(list) > 0 {
				g.device = list[0]
			}
			s.noteWatchdog()
		})
	})
}

// noteWatchdog notes once what becomes of the watchdog that the settings ask for.
func (s *session) noteWatchdog() {
	g := &s.guard
	if s.asked.Watchdog == 0 || !g.known {
		return
	}
	text := ""
	switch {
	case g.device.Name == "":
		text = "The settings ask for a watchdog, and this machine has none that is known: a system that hangs is not restarted."
	case !g.survives:
		text = "The settings ask for a watchdog, and this kernel stops it when it starts a system: it needs watchdog.stop_on_reboot=0 on its command line."
	default:
		when := "An unattended start"
		if s.asked.WatchdogByHand {
			when = "Each start"
		}
		text = fmt.Sprintf("%s has the watchdog (%s) run and adds to its command line: %s", when, g.device.Identity, watched{g.device, s.watchdogSeconds()}.parameters(""))
	}
	if !s.reported[text] {
		s.reported[text] = true
		s.notes = append(s.notes, text)
	}
}

func (s *session) watchdogSeconds() int { return int(s.asked.Watchdog / time.Second) }

// watch returns how an entry is watched when it is started.
func (s *session) watch(a menu.Boot) watched {
	g := &s.guard
	if g.device.Name == "" || !g.survives || !a.Unattended && !s.asked.WatchdogByHand || s.asked.Watchdog == 0 {
		return watched{}
	}
	return watched{g.device, s.watchdogSeconds()}
}

// exec jumps to what is loaded. With a watchdog, that is started at the last
// moment, and stopped when the jump fails: the menu is never reset by it.
func (s *session) exec(loader *kexec.Loader, how watched) error {
	if how.seconds == 0 {
		return loader.Exec()
	}
	w := s.guard.held
	if w == nil {
		var err error
		if w, err = s.Machine.Watchdog(how.device.Name); err != nil {
			s.log.Warn("the system is started without a watchdog", "error", err)
			return loader.Exec()
		}
	}
	got, err := watchdog.Arm(w, how.seconds)
	if err != nil {
		s.log.Warn("the system is started without a watchdog", "error", err)
		s.disarm(w)
		return loader.Exec()
	}
	s.log.Info("the watchdog runs", "driver", how.device.Driver, "seconds", got)
	err = loader.Exec()
	s.disarm(w)
	return err
}

// disarm stops a watchdog, or has it fed until the session ends.
func (s *session) disarm(w watchdog.Running) {
	err := w.Stop()
	switch {
	case err == nil && s.guard.held != nil:
		s.guard.release()
		s.guard.held = nil
	case err != nil && s.guard.held == nil:
		s.log.Warn("the menu feeds the watchdog", "error", err)
		var ctx context.Context
		ctx, s.guard.release = context.WithCancel(s.ctx)
		s.guard.held = w
		s.wg.Go(func() { s.feed(ctx, w) })
	}
}

// feed feeds a watchdog until ctx ends.
func (s *session) feed(ctx context.Context, w watchdog.Running) {
	for ctx.Err() == nil {
		if err := w.Feed(); err != nil {
			s.log.Warn("the watchdog is not fed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(feedEvery):
		}
	}
}

// feedEvery is often enough for any watchdog.
const feedEvery = 2 * time.Second
