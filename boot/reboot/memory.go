package reboot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/device/mountinfo"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// menuMemory is the settings of the boot menu, as far as they are on this
// system, and what it remembers.
type menuMemory struct {
	asked settings.Settings
	store remember.Store
	done  func() // closes what the store is read through

	volumes boot.Volumes
	made    *settings.StatePlace // the file that is used and no setting names
	missing error                // why the file that a setting names cannot be read
}

// bootMenu is what the boot menu would go by here.
type bootMenu struct {
	menuMemory
	m    *mounted
	scan *discover.Scan
	inv  boot.Inventory
}

// bootMenu reads all filesystems where kernels are, and finds the memory of the
// boot menu there. The caller closes it.
func (s *System) bootMenu(ctx context.Context) *bootMenu {
	b := &bootMenu{m: s.machine()}
	b.scan, b.inv = s.scan(ctx, b.m)
	b.menuMemory = s.menuMemory(b.m, b.inv)
	return b
}

// unread returns why what the menu remembers may be somewhere that has not been read;
// nil where there is no such place.
func (b *bootMenu) unread() error {
	for _, v := range b.inv.Volumes {
		if v.Overdue {
			return errors.New(v.Problem)
		}
	}
	return b.missing
}

// nameOf returns the name of the entry with an ID, or the ID where it is not there.
func (b *bootMenu) nameOf(id string) string {
	if e, ok := choice.Find(b.inv.Entries, id); ok {
		return e.Name()
	}
	return id
}

func (b *bootMenu) close() {
	b.done()
	b.scan.Stop()
}

// menuMemory finds the memory of the boot menu on the filesystems of a scan.
// What is only in the image of the menu or its kernel parameters is not known
// here.
func (s *System) menuMemory(m *mounted, inv boot.Inventory) menuMemory {
	var list boot.Volumes
	var open []discover.Filesystem
	for _, v := range inv.Volumes {
		if v.Volume.Type == "" || v.Busy || v.Locked {
			continue
		}
		fsys, err := m.open(m.mounts[v.Volume.Device])
		if err != nil {
			continue // the scan has reported it
		}
		open = append(open, fsys)
		list = append(list, boot.MountedVolume{Volume: v.Volume, FS: fsys})
	}
	mem := menuMemory{asked: settings.Read(os.DirFS(s.path("/")), "").WithVolumes(list), volumes: list}
	mem.done = func() {
		for _, fsys := range open {
			fsys.Close()
		}
	}
	for _, note := range mem.asked.Notes {
		s.Warn("%s", note)
	}
	vars := efivar.Dir(s.path(efivars))
	file := func(p settings.StatePlace) remember.Store {
		return &remember.File{
			Path: p.Path, Volume: p.Volume.Device, FS: p.FS,
			Write: func(do func(*os.Root) error) error { return s.writeTo(m.mounts[p.Volume.Device], do) },
		}
	}
	why := vars.Writable()
	switch {
	case mem.asked.Remember == settings.Off:
		mem.store = &remember.Nowhere{}
	case mem.asked.Remember == settings.File, mem.asked.Remember == settings.Auto && why != nil:
		place, err := mem.asked.StateFile(list, inv.Entries)
		switch {
		case err == nil:
			mem.store = file(place)
		case mem.asked.Remember == settings.File:
			mem.missing = fmt.Errorf("the volume of %s is not mounted at / or below /boot, /efi or /media", mem.asked.RememberFile)
			mem.store = &remember.Nowhere{Why: mem.missing.Error()}
		}
		if why = err; mem.asked.Remember == settings.Auto && err == nil {
			mem.made = &place
		}
	}
	switch {
	case mem.store != nil:
	case s.exists(efivars):
		mem.store = remember.EFI{Vars: vars}
	default:
		mem.store = &remember.Nowhere{Why: why.Error()}
	}
	if s.exists(efivars) { // systemd-boot's are read all the same, and never written
		mem.store = remember.SystemdBoot{Store: mem.store, Vars: vars, ReadOnly: true}
	}
	return mem
}

const efivars = "/" + efivar.Path

// writeTo calls do with the root of a mounted filesystem.
func (s *System) writeTo(m mountinfo.Mount, do func(*os.Root) error) error {
	switch {
	case m.Root != "/":
		return fmt.Errorf("%s shows only %s of its filesystem", m.Point, m.Root)
	case m.ReadOnly():
		return fmt.Errorf("%s is mounted read-only", m.Point)
	}
	root, err := os.OpenRoot(s.path(m.Point))
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root)
}

// wants returns what bears on the default entry besides the entries. What the
// menu shall do once, when it starts next, is left to it.
func (s *System) wants(ctx context.Context, b *bootMenu) choice.Wants {
	all, err := b.store.Load()
	if err != nil {
		s.Warn("what the boot menu remembers cannot be read: %v", err)
	}
	w := choice.Wants{Default: b.asked.Default, Removable: settings.Yes, State: remember.State{Default: all.Default, Last: all.Last, LoaderDefault: all.LoaderDefault, LoaderPreferred: all.LoaderPreferred}}
	if w.Confirm = b.asked.Confirm; w.Confirm > 0 {
		w.State.Tries = all.Tries
		w.Fingerprints = fingerprints(ctx, b.scan, b.inv, all)
	}
	if b.m.rootIsBuiltIn() { // else the running system is on a stick itself
		w.Removable = b.asked.Removable
	}
	return w
}

// fingerprints returns what the entries start that have no tries left: it may be
// something else than what has failed.
func fingerprints(ctx context.Context, scan *discover.Scan, inv boot.Inventory, state remember.State) map[string]string {
	texts := map[string]string{}
	for _, e := range inv.Entries {
		if t, tried := state.Try(e.ID); !tried || t.Left > 0 || e.Problem != "" {
			continue
		}
		texts[e.ID], _ = kexec.FingerprintOf(ctx, e, scan.FilesOf(e)) // what cannot be read has not been replaced
	}
	return texts
}

// ConfirmBoot reports to the boot menu that the system which it has started
// last is up. An image of alpboot that was on trial is what the firmware starts
// from then on.
func (s *System) ConfirmBoot(ctx context.Context) error {
	return errors.Join(s.commitTrial(), s.confirmBoot(ctx))
}

// onTrial reports whether this system was started by an image of alpboot that is on
// trial.
func (s *System) onTrial() bool { return esp.OnTrial(efivar.Dir(s.path(efivars))) }

// commitTrial ends the trial of an image of alpboot, when this system was started by
// it.
func (s *System) commitTrial() error {
	done, err := esp.Commit(esp.NewMachine(s.Root), s.path(efivars), payload.Output{Stdout: s.Stdout, Progress: s.Warn})
	if err != nil {
		return fmt.Errorf("ending the trial of a new alpboot: %w", err)
	}
	if done {
		s.say("The alpboot that was on trial stays: the firmware starts it from now on")
	}
	return nil
}

func (s *System) confirmBoot(ctx context.Context) error {
	b := s.bootMenu(ctx)
	defer b.close()
	state, err := s.kept(b)
	switch {
	case err != nil:
		return err
	case state.Trying == "":
		s.say("The boot menu does not wait for a report that a system is up")
		return nil
	}
	if err := b.store.Save(state.Confirmed()); err != nil {
		return err
	}
	s.say("The boot menu will know that %s is up", state.Trying)
	return nil
}
