package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// job is an entry to be loaded.
type job struct {
	entry      boot.Entry
	cmdline    string // for the kernel
	passphrase []byte // to be handed on; nil for none. Wiped when it is loaded

	// What is to be remembered, and whether that must be written before anything
	// else happens. Nil for alpboot itself.
	state *remember.State
	first bool

	unattended bool
}

// boot loads an entry and, when that has worked, starts it. While its disk is
// being looked at again, as after a shell, that is waited for.
func (s *session) boot(ctx context.Context, a menu.Boot) {
	if s.toCome(a.Entry) {
		s.pending = &a
		s.update(ctx, menu.StatusMsg{Text: fmt.Sprintf(wordToCome, a.Entry.Volume.Device)})
		return
	}
	if s.saving && !a.Unattended { // what is saved for this boot would be without it
		s.pending = &a
		s.update(ctx, menu.StatusMsg{Text: wordSaving})
		return
	}
	state := s.starting(a.Entry.ID)
	j := job{
		entry:      a.Entry,
		cmdline:    a.Entry.Cmdline,
		state:      &state,
		first:      s.choice.Once && a.Entry.ID == s.choice.ID,
		unattended: a.Unattended,
	}
	j.cmdline, j.passphrase = s.handOn(j.cmdline)
	s.log.Info("booting", "entry", a.Entry.ID, "kernel", a.Entry.Kernel, "on", a.Entry.Volume.Device, "initrds", a.Entry.Initrds, "cmdline", j.cmdline, "unattended", a.Unattended)
	s.load(ctx, j)
}

// withConsoles gives entries with the command lines that they are booted with:
// what the menu shows, and what an edit begins with, is what the target gets. An
// edited line is then left as it was typed.
func (s *session) withConsoles(entries []boot.Entry) []boot.Entry {
	policy := map[string]cmdline.Consoles{settings.Keep: cmdline.KeepConsoles, settings.Add: cmdline.AddConsoles, settings.Replace: cmdline.ReplaceConsoles}[s.asked.ConsolePolicy]
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Cmdline = cmdline.Parse(entries[i].Cmdline).WithoutLoader().WithConsoles(policy, s.ours...).String()
	}
	return entries
}

// load loads j in a goroutine; loaded goes on.
func (s *session) load(ctx context.Context, j job) {
	if s.cancel != nil {
		clear(j.passphrase)
		return
	}
	loading, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	name := path.Base(j.entry.Kernel)
	s.update(ctx, menu.StatusMsg{Text: fmt.Sprintf(wordLoading, name)})
	loader := &kexec.Loader{Sys: s.machine.kexec, Method: method(s.asked)}
	loader.Progress = func(stage string, done, total int64) {
		text, ok := map[string]string{"Reading": wordReading, "Unpacking": wordUnpacking, "Loading": wordHandingIn}[stage]
		if ok {
			s.send(ctx, menu.ProgressMsg{ID: j.entry.ID, Stage: fmt.Sprintf(text, name), Done: done, Total: total})
		}
	}
	store, scan := s.store, s.scan
	go func() {
		defer cancel()
		defer clear(j.passphrase)
		save := func() error {
			if j.state == nil {
				return nil
			}
			return store.Save(*j.state)
		}
		var saveErr error
		if j.first {
			saveErr = save()
		}
		var err error
		if saveErr != nil && j.unattended {
			err = fmt.Errorf(wordOnce, saveErr)
		} else {
			err = loadFiles(loading, loader, scan, j)
		}
		if err == nil && !j.first {
			saveErr = save()
		}
		s.later(ctx, func() {
			s.cancel = nil
			if saveErr != nil {
				s.log.Warn("what is booted was not remembered", "error", saveErr)
			} else if j.state != nil && (j.first || err == nil) {
				s.saved(*j.state)
			}
			s.loaded(ctx, j, err)
		})
	}()
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

// loaded starts what was loaded, or says why there is nothing to start.
func (s *session) loaded(ctx context.Context, j job, err error) {
	if errors.Is(err, context.Canceled) {
		s.log.Info("loading was stopped")
		s.update(ctx, menu.StatusMsg{})
		s.update(ctx, menu.CancelledMsg{})
		return
	}
	if err == nil {
		err = s.jump(j.entry) // comes back only when it failed
	}
	s.log.Error("it could not be started", "entry", j.entry.ID, "error", err)
	s.update(ctx, menu.StatusMsg{})
	if j.state == nil {
		s.update(ctx, menu.ResultMsg{Text: sentence(err), Bad: true})
		return
	}
	s.failed[j.entry.ID] = true
	s.update(ctx, menu.FailedMsg{ID: j.entry.ID, Reason: sentence(err)})
	s.show(ctx) // with another default
}

// loadFiles puts the kernel and initrds of a job into memory.
func loadFiles(ctx context.Context, loader *kexec.Loader, scan *discover.Scan, j job) error {
	e := j.entry
	t := kexec.Target{Cmdline: j.cmdline, Profile: e.Profile}
	defer func() {
		for _, f := range append(t.Initrds, t.Kernel) {
			if f != nil {
				f.Close()
			}
		}
	}()
	var err error
	if t.Kernel, err = openFile(scan, e.Volume, e.Kernel); err != nil {
		return err
	}
	for _, name := range e.Initrds {
		f, err := openFile(scan, e.Volume, name)
		if err != nil {
			return err
		}
		t.Initrds = append(t.Initrds, f)
	}
	if j.passphrase != nil {
		archive := luks.Archive(j.passphrase)
		defer clear(archive)
		f, err := kexec.MemFile("passphrase", bytes.NewReader(archive))
		if err != nil {
			return fmt.Errorf("handing the passphrase on: %w", err)
		}
		t.Initrds = append(t.Initrds, f)
		defer f.WriteAt(make([]byte, len(archive)), 0)
	}
	return loader.Load(ctx, t)
}

// openFile opens a regular file of a volume.
func openFile(scan *discover.Scan, v boot.Volume, name string) (*os.File, error) {
	f, err := scan.Open(v, name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: /%s cannot be opened: %w", v.Device, name, err)
	}
	file, ok := f.(*os.File)
	if !ok {
		f.Close()
		return nil, fmt.Errorf("%s: /%s is no regular file", v.Device, name)
	}
	return file, nil
}

// jump starts what is loaded. It comes back only when that failed, with the
// menu as it was.
func (s *session) jump(e boot.Entry) error {
	s.suspend(fmt.Sprintf(wordStarting, boot.Clean(e.Title)))
	s.scan.Stop()
	s.machine.handOver(s.log)
	err := (&kexec.Loader{Sys: s.machine.kexec}).Exec()
	s.resume()
	s.startScan()
	return err
}

// leave restarts the machine or switches it off.
func (s *session) leave(ctx context.Context, text string, how int) {
	s.suspend(text)
	s.scan.Stop()
	s.machine.handOver(s.log)
	err := s.machine.reboot(how)
	s.resume()
	s.update(ctx, menu.NoticeMsg{Text: sentence(err)})
	s.startScan()
}
