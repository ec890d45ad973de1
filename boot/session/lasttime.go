package session

import (
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/lasttime"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
)

// lastTime is what is known of a start that was never confirmed. Records are read
// and left as they are.
type lastTime struct {
	id      string // of the entry; "" when the last start was confirmed
	attempt remember.Attempt

	read     bool     // what the kernel and the watchdog have left was read
	searched bool     // its root volume was found, and is searched for its log
	complete bool     // so it was, or there is no such volume so far
	known    []string // sentences
	shown    bool
}

// lookBack begins to find out what is known of the start that is remembered, if
// that was never confirmed.
func (s *session) lookBack() {
	state := s.memory.stored
	if state.Trying == "" || s.asked.Confirm == 0 || s.last.id != "" {
		return
	}
	s.last = lastTime{id: state.Trying, attempt: state.Attempt}
	root, since := s.Root, state.Attempt.Time
	s.wg.Go(func() {
		f := lasttime.Records(root, since)
		s.later(func() {
			s.last.read = true
			s.lastKnown(f)
			s.lookForLog()
		})
	})
}

// lastKnown takes in what was found, and shows it when there is something to show,
// or nothing more to come.
func (s *session) lastKnown(f lasttime.Finding) {
	l := &s.last
	for _, line := range f.Lines {
		s.log.Log(s.ctx, slog.LevelWarn, "last start: "+boot.Clean(line))
	}
	l.known = append(l.known, f.Known...)
	switch {
	case l.shown:
		if len(f.Known) > 0 {
			s.notes = append(s.notes, f.Known...)
			s.show()
		}
		return
	case !l.read || !l.complete && len(l.known) == 0:
		return
	}
	l.shown = true
	text := l.attemptText() + " " + strings.Join(l.known, " ")
	if len(l.known) == 0 {
		text += "Nothing was kept of it"
		if _, err := fs.Stat(s.Root, efivar.Path); err != nil {
			text += ": no EFI variables"
		}
		text += "."
	}
	s.log.Warn(text)
	s.update(menu.NoticeMsg{Text: text})
}

// attemptText is which start it was, as a sentence.
func (l *lastTime) attemptText() string {
	a := l.attempt
	if a == (remember.Attempt{}) {
		return "The system that was started last did not report that it is up."
	}
	title := cmp.Or(a.Title, l.id)
	if a.Release != "" && !strings.Contains(title, a.Release) {
		title += ", " + a.Release
	}
	return fmt.Sprintf("%s did not come up, try %d of %d at %s.", boot.Clean(title), a.Try, a.Of, lasttime.Clock(a.Time))
}

// lookForLog searches the root volume of the system that did not come up for its
// log, as soon as that can be read: it may have to be unlocked first.
func (s *session) lookForLog() {
	l := &s.last
	if l.id == "" || l.searched || !s.view.inventory.Settled {
		return
	}
	done := func(f lasttime.Finding) {
		l.complete = true
		s.lastKnown(f)
	}
	entries, mounted := s.view.inventory.Entries, s.view.filesystems()
	i := slices.IndexFunc(entries, func(e boot.Entry) bool { return e.ID == l.id })
	if i < 0 {
		done(lasttime.Finding{})
		return
	}
	at := rootVolume(entries[i], s.view.volumes())
	j := slices.IndexFunc(mounted, func(v boot.MountedVolume) bool { return v.Volume == at })
	if j < 0 {
		done(lasttime.Finding{})
		return
	}
	l.searched = true
	line, since := entries[i].Cmdline, l.attempt.Time
	s.wg.Go(func() {
		f := ownLog(mounted[j], line, since)
		s.later(func() { done(f) })
	})
}

// ownLog returns the end of the log that OpenRC keeps, if it is newer than a time.
func ownLog(v boot.MountedVolume, line string, since int64) lasttime.Finding {
	const name = lasttime.LogName
	names := []string{name, "@/" + name, "@log/rc.log", "@var_log/rc.log"}
	flags, _ := cmdline.Parse(line).Get("rootflags")
	for flag := range strings.SplitSeq(flags, ",") {
		if dir, ok := strings.CutPrefix(flag, "subvol="); ok {
			names = slices.Insert(names, 0, path.Join(strings.Trim(dir, "/"), name))
		}
	}
	for _, name := range names {
		if !fs.ValidPath(name) {
			continue
		}
		if f, err := lasttime.Log(v.FS, name, fmt.Sprintf("/%s on %s", name, v.Volume.Device), since); err == nil {
			return f
		}
	}
	return lasttime.Finding{}
}
