package session

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/pstore"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/watchdog"
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
	told     bool
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
		f := records(root, since)
		s.later(func() {
			s.last.read = true
			s.lastKnown(f)
			s.lookForLog()
		})
	})
}

// finding is what was found in one place.
type finding struct {
	known []string // sentences
	lines []string // of the log, whole
}

// records returns what the kernel that was started at a time, in seconds since
// 1970, and the watchdog have left.
func records(root fs.FS, since int64) (f finding) {
	vars, err := fs.Sub(root, efivar.Path)
	var dumps []pstore.Dump
	if err == nil {
		dumps, err = pstore.Read(vars)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.lines = append(f.lines, fmt.Sprintf("what kernels have left in EFI variables: %v", err))
	}
	reason := ""
	for _, d := range dumps {
		if d.Time.Unix() < since {
			continue
		}
		reason = cmp.Or(d.Reason(), reason, "Its kernel has left a record")
		f.lines = append(f.lines, "left by the kernel in EFI variables at "+clock(d.Time.Unix())+":")
		for line := range strings.Lines(d.Text) {
			f.lines = append(f.lines, "  "+strings.TrimRight(line, "\n"))
		}
	}
	if reason != "" {
		f.known = append(f.known, boot.Clean(reason)+".")
	}
	for _, d := range watchdog.List(root) {
		if did := d.Last.String(); did != "" {
			f.known = append(f.known, fmt.Sprintf("The watchdog (%s) %s.", d.Identity, did))
		}
	}
	return f
}

// lastKnown takes in what was found, and shows it when there is something to show,
// or nothing more to come.
func (s *session) lastKnown(f finding) {
	l := &s.last
	for _, line := range f.lines {
		s.log.Log(s.ctx, slog.LevelWarn, "last start: "+boot.Clean(line))
	}
	l.known = append(l.known, f.known...)
	switch {
	case l.told:
		if len(f.known) > 0 {
			s.notes = append(s.notes, f.known...)
			s.show()
		}
		return
	case !l.read || !l.complete && len(l.known) == 0:
		return
	}
	l.told = true
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
	return fmt.Sprintf("%s did not come up, try %d of %d at %s.", boot.Clean(title), a.Try, a.Of, clock(a.Time))
}

func clock(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// lookForLog searches the root volume of the system that did not come up for its
// log, as soon as that can be read: it may have to be unlocked first.
func (s *session) lookForLog() {
	l := &s.last
	if l.id == "" || l.searched || !s.view.inventory.Settled {
		return
	}
	done := func(f finding) {
		l.complete = true
		s.lastKnown(f)
	}
	entries, mounted := s.view.inventory.Entries, s.view.filesystems()
	i := slices.IndexFunc(entries, func(e boot.Entry) bool { return e.ID == l.id })
	if i < 0 {
		done(finding{})
		return
	}
	at := rootVolume(entries[i], s.view.volumes())
	j := slices.IndexFunc(mounted, func(v boot.MountedVolume) bool { return v.Volume == at })
	if j < 0 {
		done(finding{})
		return
	}
	l.searched = true
	line, since := entries[i].Cmdline, l.attempt.Time
	s.wg.Go(func() {
		f := ownLog(mounted[j], line, since)
		s.later(func() { done(f) })
	})
}

// ownLog returns the end of the log that OpenRC keeps with rc_logger="YES", if it
// is newer than a time.
func ownLog(v boot.MountedVolume, line string, since int64) finding {
	const name = "var/log/rc.log"
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
		text, at, err := tail(v.FS, name)
		if err != nil {
			continue
		}
		where := fmt.Sprintf("/%s on %s", name, v.Volume.Device)
		if at.Unix() < since {
			return finding{lines: []string{where + " is older than that start"}}
		}
		f := finding{lines: []string{"the end of " + where + ":"}}
		last := ""
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(boot.Clean(line)); line != "" {
				last = line
				f.lines = append(f.lines, "  "+line)
			}
		}
		f.known = append(f.known, fmt.Sprintf("The last line of its rc.log: %s", last))
		return f
	}
	return finding{}
}

// maxTail is how much of a log is shown.
const maxTail = 16 << 10

// tail returns the last whole lines of a file, and when it was written.
func tail(fsys fs.FS, name string) (text string, at time.Time, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", time.Time{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", time.Time{}, err
	}
	if !st.Mode().IsRegular() {
		return "", time.Time{}, fmt.Errorf("%s is not a regular file", name)
	}
	skip := st.Size() - maxTail
	if skip > 0 {
		seeker, ok := f.(io.Seeker)
		if !ok {
			return "", time.Time{}, fmt.Errorf("%s is too large", name)
		}
		if _, err := seeker.Seek(skip, io.SeekStart); err != nil {
			return "", time.Time{}, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTail))
	text = string(b)
	if skip > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text, st.ModTime(), err
}
