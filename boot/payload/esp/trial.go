package esp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
)

// trialEntry is the boot entry for an image that is tried. It is in no boot order.
var trialEntry = Entry{Title: "alpboot (trial)", File: Trial}

// InstallTrial puts a program at [Trial], in place of another one that is there.
// It is never renamed, and changes places with nothing: that would be a second way
// for two names to lead to the same clusters.
func InstallTrial(files Files, program []byte) (Result, error) {
	r := Result{Path: Trial}
	old, err := Read(files, Trial)
	if err == nil && bytes.Equal(old, program) {
		r.Same = true
		return r, nil
	}
	if old != nil || err != nil { // it cannot be read where power went while it was removed
		if err := Remove(files, Trial); err != nil {
			return r, err
		}
	}
	if err := (Target{Files: files}).makeRoom(len(program), nil, nil, false); err != nil {
		return r, err
	}
	if err := WriteChecked(files, Trial, program); err != nil {
		return r, err
	}
	return r, files.Sync()
}

// dropTrial removes an image that is tried, or the file that it was cut short at.
func (r *Result) dropTrial(files Files) error {
	if b, err := Read(files, Trial); err == nil && b == nil {
		return nil
	}
	r.Removed = append(r.Removed, Trial)
	return Remove(files, Trial)
}

// try is [Setup.Install] for one start.
func (s Setup) try(p place, program []byte, out payload.Output) error {
	current, err := Read(p.files, Current)
	if err != nil {
		return err
	}
	if bytes.Equal(current, program) {
		return fmt.Errorf("%s is installed as %s already: there is nothing to try", s.UKI, Current)
	}
	r, err := InstallTrial(p.files, program)
	if err != nil {
		return err
	}
	if s.DryRun {
		out.Printf("%s would become %s, and the firmware would be asked to start it once\n", s.UKI, Trial)
		return nil
	}
	if err := RegisterOnce(p.variables, p.partition, trialEntry); err != nil {
		return fmt.Errorf("the file is installed, but firmware does not know of it: %w", err)
	}
	what := "is installed as"
	if r.Same {
		what = "was there already, as"
	}
	out.Printf("%s %s %s; the firmware starts it once\n", s.UKI, what, Trial)
	return nil
}

// OnTrial reports whether the running system was started by an image that was
// installed to be tried.
func OnTrial(vars efivar.Variables) bool {
	o, ok := efivar.OptionIn(vars, "BootCurrent")
	return ok && Names(o, Trial)
}

// Commit makes the image that was installed to be tried the one that firmware
// starts from now on, if the running system was started by it. It reports whether
// that was done, or still had to be after a power cut. The system calls it when it
// is up.
func Commit(m Machine, efivars string, out payload.Output) (bool, error) {
	vars := m.Variables(efivars)
	o, ok := efivar.OptionIn(vars, "BootCurrent") // without UEFI nothing is tried
	tried := ok && Names(o, Trial)
	if !ok || !tried && !Names(o, Current) {
		return false, nil
	}
	var partition efivar.Partition
	mounts := m.Mounts()
	i := slices.IndexFunc(mounts, func(mounted Mounted) bool {
		var err error
		partition, err = m.Partition(mounted)
		return err == nil && same(o.Partition, partition)
	})
	switch {
	case i < 0 && tried:
		return false, errors.New("this system was started by an image of alpboot that is on trial: mount the EFI system partition that it is on, and call this again, or the next start is as before")
	case i < 0:
		return false, nil
	}
	return commit(mounts[i], vars, partition, m.Arch, tried, out)
}

// commit is Commit on a partition.
func commit(files Files, vars efivar.Variables, p efivar.Partition, arch string, tried bool, out payload.Output) (bool, error) {
	program, err := Read(files, Trial)
	if program == nil || err != nil && !tried {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	current, err := Read(files, Current)
	if err != nil {
		return false, err
	}
	if !tried && !bytes.Equal(program, current) {
		return false, nil // it was, or is still to be
	}
	r, err := Install(Target{Files: files, Arch: arch}, program)
	for _, n := range r.Notes {
		out.Progress("%s", n)
	}
	if err != nil {
		return false, err
	}
	wanted := entries()
	if !r.Previous {
		wanted = wanted[:1]
	}
	if err := Register(vars, p, wanted...); err != nil {
		return false, err
	}
	// Last what has been started, so that all of this is done again after a power cut.
	if _, err := Unregister(vars, p, Trial); err != nil {
		return false, err
	}
	if err := Remove(files, Trial); err != nil {
		return false, err
	}
	return true, nil
}
