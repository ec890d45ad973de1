package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/chart"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// loader loads and starts one entry at a time.
type loader struct {
	pending *menu.Boot       // chosen, and to be loaded when its disk has been found again
	job     *job             // nil when nothing is being loaded
	counted *counting        // a start that did not happen, and is still counted in the name of a file
	vars    efivar.Variables // of the firmware, that answer and can be written; nil for none
}

// job is an entry that is being loaded.
type job struct {
	ctx       context.Context
	cancel    context.CancelFunc
	committed bool           // it is too late for cancel
	scan      *discover.Scan // to read it from
	choice    *menu.Boot     // nil for alpboot itself

	entry      boot.Entry
	found      boot.Entry // the same, as the disks have it
	cmdline    string     // for the kernel
	passphrase []byte     // for the target; nil for none. Wiped when it is loaded
	watched    watched
	verdict    verdict

	// What is to be remembered of the start, and what was before. With first it
	// must be saved before anything else happens that what was asked for at this
	// start only is done.
	memory        *memory        // nil to remember nothing
	store         remember.Store // of memory
	spent, before remember.State
	last          bool // what is started is remembered
	confirm       int  // how often it may be, without reporting that it is up
	first         bool
	saved         bool           // state is what the store has
	state         remember.State // that was saved last
	saveErr       error

	counting counting
	measure  measuring
}

// boot loads an entry and, when that has worked, starts it. While its disk is
// being scanned again, as after a shell, that is waited for.
func (s *session) boot(a menu.Boot) {
	switch {
	case s.view.awaits(a.Entry):
		s.loader.pending = &a
		s.update(menu.StatusMsg{Text: fmt.Sprintf("Looking for %s again ...", a.Entry.Volume.Device)})
		return
	case s.memory.saving && !a.Unattended: // what is saved for this boot would be without it
		s.loader.pending = &a
		s.update(menu.StatusMsg{Text: "Remembering the default ..."})
		return
	case s.volumes.behind:
		s.loader.pending = &a
		s.update(menu.StatusMsg{Text: "Reading what is remembered again ..."})
		return
	}
	e := a.Entry
	e.Cmdline = s.withAdded(a)
	j := &job{choice: &a, entry: e, found: s.view.entry(e), memory: s.memory, store: s.memory.store, spent: s.spent(), before: s.memory.stored}
	j.last, j.confirm = s.asked.RemembersLast(), s.asked.Confirm
	j.first = s.choice.Once && e.ID == s.choice.ID
	j.cmdline, j.passphrase = s.secrets.handOn(e, s.view.volumes(), s.trust.enforces() && !a.Edited)
	j.watched = s.watch(a)
	j.verdict = s.trust.judge(a.Entry, s.withConsoles([]boot.Entry{j.found})[0])
	s.log.Info("booting", "entry", a.Entry.ID, "kernel", a.Entry.Kernel, "on", a.Entry.Volume.Device, "initrds", a.Entry.Initrds, "cmdline", j.cmdline, "unattended", a.Unattended)
	s.load(j)
}

// bootPending boots what waited to be booted, if it need not wait any more.
func (s *session) bootPending() {
	if p := s.loader.pending; p != nil && !s.memory.saving && !s.volumes.behind && !s.view.awaits(p.Entry) {
		s.loader.pending = nil
		s.boot(*p)
	}
}

// cancel stops what is being loaded, or waits to be.
func (s *session) cancel() {
	switch l := &s.loader; {
	case l.job != nil && !l.job.committed:
		l.job.cancel()
	case l.job == nil && l.pending != nil:
		l.pending = nil
		s.cancelled()
	}
}

// cancelled shows that nothing is being booted any more.
func (s *session) cancelled() {
	s.update(menu.StatusMsg{})
	s.update(menu.CancelledMsg{})
}

// withConsoles returns entries with the command lines that they are booted with:
// what the menu shows, and what an edit begins with, is what the target gets. An
// edited line is then left as it was typed. A guessed line that names no console
// gets those of the menu, whatever the policy: the kernel would leave a serial
// line silent.
func (s *session) withConsoles(entries []boot.Entry) []boot.Entry {
	policy := map[string]cmdline.Consoles{settings.Keep: cmdline.KeepConsoles, settings.Add: cmdline.AddConsoles, settings.Replace: cmdline.ReplaceConsoles}[s.asked.ConsolePolicy]
	entries = slices.Clone(entries)
	for i := range entries {
		line, policy := cmdline.Parse(entries[i].Cmdline).WithoutLoader(), policy
		if entries[i].Guessed && entries[i].Problem == "" && policy == cmdline.KeepConsoles && !line.Has("console") && !slices.Equal(s.targets, []string{"tty0"}) {
			policy = cmdline.AddConsoles
		}
		entries[i].Cmdline = line.WithConsoles(policy, s.targets...).String()
	}
	return entries
}

// load loads j in a goroutine; loaded goes on.
func (s *session) load(j *job) {
	if s.loader.job != nil {
		clear(j.passphrase)
		return
	}
	s.loader.job = j
	s.ahead.end()
	j.scan = s.view.scan
	j.counting = s.counting(j)
	j.measure = s.measure
	j.ctx, j.cancel = context.WithCancel(s.ctx)
	name := path.Base(j.entry.Kernel)
	s.update(menu.StatusMsg{Text: fmt.Sprintf("Loading %s ...", name)})
	loader := &kexec.Loader{Kernel: s.Kexec, Root: s.Root, Method: method(s.asked)}
	loader.Progress = func(stage string, done, total int64) {
		s.send(menu.ProgressMsg{ID: j.entry.ID, Stage: stage + " " + name, Done: done, Total: total})
	}
	if j.choice != nil {
		loader.Note = func() string { return s.begun(j.entry.ID) }
	}
	s.wg.Go(func() {
		err := j.load(loader)
		clear(j.passphrase)
		s.later(func() { s.loaded(j, err) })
	})
}

// begun logs that the files of an entry are read, and returns when what ran until then,
// for the system that is started.
func (s *session) begun(id string) string {
	s.log.Info(id + " is read")
	return chart.Marshal(chart.Read(s.Log.text()))
}

func method(asked settings.Settings) kexec.Method {
	switch asked.Method {
	case settings.File:
		return kexec.FileLoad
	case settings.Load:
		return kexec.Load
	}
	return kexec.Auto
}

// load saves what is to be remembered and loads the files. Stopped at whatever
// point, it leaves nothing loaded and the memory as it was.
func (j *job) load(loader *kexec.Loader) error {
	if j.first {
		if j.save(j.spent); j.saveErr != nil && j.choice.Unattended {
			return fmt.Errorf("it was to be booted once, and would be booted every time, as that it was done cannot be remembered (%w). Enter boots it all the same", j.saveErr)
		}
	}
	err := j.ctx.Err()
	if err == nil {
		err = onceMore(func() error { return j.loadFiles(loader) })
	}
	if err == nil {
		j.save(j.spent.Booting(j.found.ID, j.fingerprint(), j.last, j.confirm, attempt(j.found)))
	}
	if err == nil && j.ctx.Err() == nil {
		j.counting.count()
	}
	if j.ctx.Err() != nil {
		if err == nil {
			loader.Unload()
		}
		j.undo()
		return j.ctx.Err()
	}
	return err
}

// fingerprint returns that of the entry as the disks have it, "" where that
// cannot be read: what was edited to start all the same.
func (j *job) fingerprint() string {
	if j.memory == nil || j.confirm == 0 {
		return ""
	}
	text, err := kexec.FingerprintOf(j.ctx, j.found, j.scan.FilesOf(j.found))
	if err != nil {
		return ""
	}
	return text
}

func (j *job) save(state remember.State) {
	if j.memory != nil {
		if j.saveErr = j.store.Save(state); j.saveErr == nil {
			j.state, j.saved = state, true
		}
	}
}

// undo has the memory and the entry's boot counter as they were before.
func (j *job) undo() {
	j.counting.undo()
	if j.saved {
		j.saveErr = j.store.Save(j.before)
		j.saved = j.saveErr != nil
	}
}

// loaded starts what was loaded, or shows why there is nothing to start.
func (s *session) loaded(j *job, err error) {
	if j.verdict.wrong != "" {
		s.log.Warn(j.verdict.wrong, "entry", j.entry.ID)
	}
	switch {
	case err == nil && s.leaving:
		s.wg.Go(func() {
			(&kexec.Loader{Kernel: s.Kexec, Root: s.Root}).Unload()
			j.undo()
			s.later(func() { s.ended(j, errors.New("the machine is restarting already")) })
		})
	case err == nil:
		s.log.Info(strings.TrimSpace(j.entry.ID + " is loaded. " + j.verdict.signed))
		s.jump(j)
	case j.ctx.Err() == nil && s.view.stopped(j.scan) && j.choice != nil && (errors.Is(err, fs.ErrClosed) || errors.Is(err, context.Canceled)):
		// Its disk was unmounted for a shell or a rescan: once more, when it is back.
		s.release(j)
		s.boot(*j.choice)
	default:
		s.ended(j, err)
	}
}

// release makes room for the next job, and takes in what this one has saved.
func (s *session) release(j *job) {
	j.cancel()
	s.loader.job = nil
	s.measure = j.measure
	if j.saveErr != nil {
		s.log.Warn("what is booted was not remembered", "error", j.saveErr)
	}
	if j.saved {
		j.memory.saved(j.state)
	}
	if j.counting.err != nil {
		s.log.Warn("the boot counter", "error", j.counting.err)
	}
}

// ended shows why a job has ended without a start.
func (s *session) ended(j *job, err error) {
	stopped := !j.committed && j.ctx.Err() != nil
	s.release(j)
	if stopped {
		s.log.Info("loading was stopped")
		s.cancelled()
		if j.saved {
			s.update(menu.ResultMsg{Text: fmt.Sprintf("Nothing was booted, but what is remembered says that it was: %v.", j.saveErr), Bad: true})
		}
		return
	}
	s.log.Error("it could not be started", "entry", j.entry.ID, "error", err)
	s.update(menu.StatusMsg{})
	if j.choice == nil {
		s.update(menu.ResultMsg{Text: sentence(err), Bad: true})
		return
	}
	s.failed[j.entry.ID] = true
	s.update(menu.FailedMsg{ID: j.entry.ID, Reason: sentence(err)})
	s.show() // with another default
}

// jump starts what is loaded. Until the consoles are closed the user may still
// stop it.
func (s *session) jump(j *job) {
	loader := &kexec.Loader{Kernel: s.Kexec, Root: s.Root}
	text := fmt.Sprintf("Starting %s. The screen may stay dark for a moment.%s", boot.Clean(j.entry.Name()), j.watched)
	for _, p := range []string{j.counting.problem(), j.verdict.wrong, j.measure.problem()} {
		if p != "" {
			text = p + " " + text
		}
	}
	s.depart(text, j.cmdline, j.commit, func() error { return s.exec(loader, j.watched) }, func(err error) {
		if j.committed {
			s.takeBack(j)
		}
		s.wg.Go(func() {
			if !j.committed {
				loader.Unload()
				j.undo()
			} else if j.counting.to != "" {
				j.counting.publish("") // nothing has been started
			}
			s.later(func() { s.ended(j, err) })
		})
	})
}

// takeBack has a start that the kernel refused not count as one: what was remembered
// of it at once, and what was written as soon as the volumes are there again. What was
// asked for at this start only is done.
func (s *session) takeBack(j *job) {
	if j.saved {
		if j.saved = false; j.first {
			j.memory.saved(j.spent)
		}
		j.memory.owed, s.volumes.behind = true, true
	}
	if j.counting.to != "" {
		counted := j.counting
		s.loader.counted, s.volumes.behind = &counted, true
	}
}

// catchUp writes what is owed to the volumes that have been read just now, and
// goes on with what has waited for them.
func (s *session) catchUp() {
	m, counted, scan := s.memory, s.loader.counted, s.view.scan
	if m.saving || !m.owed && counted == nil {
		s.caughtUp()
		return
	}
	store, state, owed := m.store, m.stored, m.owed
	m.saving, m.owed, s.loader.counted = true, false, nil
	s.wg.Go(func() {
		var saveErr, countErr error
		if owed {
			saveErr = store.Save(state)
		}
		if counted != nil {
			counted.write = func(do func(*os.Root) error) error { return scan.Write(s.ctx, counted.entry.Volume.Device, do) }
			counted.undo()
			countErr = counted.err
		}
		s.later(func() {
			if m.saving = false; saveErr != nil || countErr != nil {
				s.log.Warn("a start that did not happen counts as one", "error", errors.Join(saveErr, countErr))
			}
			s.caughtUp()
		})
	})
}

// caughtUp goes on with what has waited for the volumes to be read again.
func (s *session) caughtUp() {
	s.volumes.behind = false
	s.bootPending()
}

// commit makes it too late to stop the job, unless it was stopped before: then it
// returns why.
func (j *job) commit() error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	j.committed = true
	return nil
}

// depart closes the consoles, each with text and what line means for it (see
// suspend), unmounts everything and leaves the machine with
// how. Back comes done, with the menu as it was: when how fails, or commit did,
// which is called when nobody can type any more, with nothing unmounted yet.
func (s *session) depart(text, line string, commit, how func() error, done func(error)) {
	s.leaving = true
	back := func(err error) {
		s.leaving = false
		done(err)
	}
	s.wg.Go(func() {
		s.suspend(text, line)
		s.later(func() {
			if commit != nil {
				if err := commit(); err != nil {
					s.wg.Go(func() {
						s.resume()
						s.later(func() { back(err) })
					})
					return
				}
			}
			s.restart(func() error {
				s.Machine.HandOver(s.log)
				err := how()
				s.resume()
				return err
			}, back)
		})
	})
}

// loadFiles loads the kernel and initrds of a job.
func (j *job) loadFiles(loader *kexec.Loader) error {
	t, done, err := j.openFiles(loader)
	defer done()
	if err != nil {
		return err
	}
	t.Cmdline = j.cmdline
	// Not what is added below: a digest of the passphrase would help to guess it.
	events, err := j.measure.digest(j.ctx, t, func(done, total int64) { loader.Progress("Measuring", done, total) })
	if err != nil {
		return err
	}
	if j.passphrase != nil {
		archive := luks.Archive(j.passphrase)
		defer clear(archive)
		f, err := kexec.MemFile("passphrase", bytes.NewReader(archive))
		if err != nil {
			return fmt.Errorf("passing the passphrase to the system: %w", err)
		}
		defer f.Close()
		t.Initrds = append(t.Initrds, f)
		defer f.WriteAt(make([]byte, len(archive)), 0)
	}
	return j.measure.load(j.ctx, loader, t, events)
}
