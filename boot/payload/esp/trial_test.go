package esp

import (
	"fmt"
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload"
)

// firmware are variables each write of which is an operation of a filesystem, so
// that power may go at it.
type firmware struct {
	boottest.Variables
	m *fatModel
}

func (f *firmware) Set(name, guid string, value []byte) error {
	if err := f.m.op(); err != nil {
		return err
	}
	return f.Variables.Set(name, guid, value)
}

func (f *firmware) Delete(name, guid string) error {
	if err := f.m.op(); err != nil {
		return err
	}
	return f.Variables.Delete(name, guid)
}

// boot returns what the firmware starts, and notes which entry that is of: the one
// for the next start if its file is whole, else the first in its order that is.
func (f *firmware) boot(t *testing.T) string {
	t.Helper()
	numbers := append(efivar.Numbers([]byte(f.Values["BootNext"])), efivar.Numbers([]byte(f.Values["BootOrder"]))...)
	delete(f.Values, "BootNext")
	for _, n := range numbers {
		o, err := efivar.ParseLoadOption([]byte(f.Values[efivar.OptionName(n)]))
		if err != nil {
			continue
		}
		if what := f.m.starts(strings.Trim(strings.ReplaceAll(o.File, `\`, "/"), "/")); what != "" {
			f.Values["BootCurrent"] = string(efivar.AppendNumbers(nil, []uint16{n}))
			return what
		}
	}
	return ""
}

// good is what a system does that has come up.
func (f *firmware) good() (bool, error) {
	o, err := efivar.Option(f, efivar.Numbers([]byte(f.Values["BootCurrent"]))[0])
	if err != nil {
		return false, err
	}
	if o.File != dosPath(Trial) && o.File != dosPath(Current) { // as Commit has it
		return false, nil
	}
	return commit(f.m, f, part, "amd64", o.File == dosPath(Trial), payload.Output{Progress: func(string, ...any) {}})
}

func (f *firmware) clone() *firmware {
	m := &fatModel{disk: f.m.disk.clone(), memory: f.m.memory.clone(), pending: map[string][]func(*fatState){}, freeBytes: f.m.freeBytes}
	return &firmware{boottest.Variables{Values: maps.Clone(f.Values)}, m}
}

const grubFile = "EFI/grub/grubx64.efi"

// tryIt installs a version to be tried.
func (f *firmware) tryIt(n int) error {
	if _, err := InstallTrial(f.m, version(n)); err != nil {
		return err
	}
	return RegisterOnce(f, part, trialEntry)
}

// machines are one with another boot loader, and one with alpboot.
func machines(t *testing.T) map[string]*firmware {
	t.Helper()
	list := map[string]*firmware{}
	for _, name := range []string{"beside GRUB", "an update"} {
		f := &firmware{boottest.Variables{Values: map[string]string{}}, newFAT()}
		f.m.put(grubFile, theirs)
		wanted := []Entry{{"GRUB", grubFile}}
		if name == "an update" {
			f.m.put(Current, version(1))
			wanted = slices.Insert(wanted, 0, entries()[0])
		}
		if err := Register(f, part, wanted...); err != nil {
			t.Fatal(err)
		}
		list[name] = f
	}
	return list
}

// An image on trial is started once. It stays when the system says good, and else
// everything is as it was.
func TestTrial(t *testing.T) {
	for name, f := range machines(t) {
		before, order := f.boot(t), f.Values["BootOrder"]
		if err := f.tryIt(2); err != nil {
			t.Fatal(err)
		}
		if done, err := f.good(); done || err != nil {
			t.Errorf("%s: a system that was started by something else says good: %v, %v", name, done, err)
		}
		if got := f.boot(t); got != string(version(2)) || f.Values["BootOrder"] != order {
			t.Errorf("%s: the trial is not started, or the boot order has changed", name)
		}
		if got := f.boot(t); got != before {
			t.Errorf("%s: after a trial that never said good it starts another one", name)
		}
		if done, err := f.good(); done || err != nil {
			t.Errorf("%s: the system of before says good: %v, %v", name, done, err)
		}
		if err := f.tryIt(3); err != nil {
			t.Fatal(err)
		}
		f.boot(t)
		if done, err := f.good(); !done || err != nil {
			t.Errorf("%s: it says good: %v, %v", name, done, err)
		}
		if got := f.boot(t); got != string(version(3)) || strings.Contains(f.m.names(), Trial) || strings.Contains(fmt.Sprint(f.Values), "t\x00r\x00i\x00a\x00l") {
			t.Errorf("%s: what was tried is not what starts now, or is left: %s, %q", name, f.m.names(), f.Values)
		}
		if done, err := f.good(); done || err != nil {
			t.Errorf("%s: again: %v, %v", name, done, err)
		}
		if name == "an update" && !strings.Contains(f.m.names(), Previous+"=v1") {
			t.Errorf("the image before is not kept: %s", f.m.names())
		}
		if err := f.tryIt(4); err != nil {
			t.Fatal(err)
		}
		if r, err := Uninstall(Target{Files: f.m}, true); err != nil || !slices.Contains(r.Removed, Trial) || r.Left != nil {
			t.Errorf("%s: uninstalling: %+v, %v", name, r, err)
		}
	}
}

// Whenever power goes, the firmware starts what it started before, or what is tried;
// and doing it again ends it.
func TestTrialPowerCuts(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	cuts := 0
	for name, f := range machines(t) {
		before := f.boot(t)
		f.m.put(Trial, version(8)) // of a trial before
		for stage, do := range map[string]func(f *firmware) error{
			"installing": func(f *firmware) error { return f.tryIt(2) },
			"committing": func(f *firmware) error { _, err := f.good(); return err },
		} {
			for at := 1; ; at++ {
				ended := false
				for range 20 {
					now := f.clone()
					if stage == "committing" {
						if err := now.tryIt(2); err != nil {
							t.Fatal(err)
						}
						now.boot(t)
					}
					now.m.step, now.m.cutAt = 0, at
					cut, err := run(func() error { return do(now) })
					if !cut {
						if err != nil {
							t.Fatal(err)
						}
						ended = true
						break
					}
					cuts++
					now.m = now.m.cut(rng)
					first := now.boot(t)
					if first != before && first != string(version(2)) {
						t.Fatalf("%s, %s, power cut in operation %d: it starts %q; there are %s", name, stage, at, first, now.m.names())
					}
					if _, err := now.good(); err != nil {
						t.Fatalf("%s, %s, power cut in operation %d: then %v", name, stage, at, err)
					}
					if then := now.boot(t); then != first {
						t.Fatalf("%s, %s, power cut in operation %d: what said good is not what starts next; there are %s", name, stage, at, now.m.names())
					}
				}
				if ended {
					break
				}
			}
		}
	}
	if cuts < 100 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// What says good is found by the firmware's variables and by what is mounted.
func TestCommit(t *testing.T) {
	dir := t.TempDir()
	files := Mounted(dir)
	vars := &boottest.Variables{Values: map[string]string{}}
	mounts := []Mounted{"/"}
	m := Machine{
		Arch: "amd64",
		Partition: func(m Mounted) (efivar.Partition, error) {
			if string(m) != dir {
				return efivar.Partition{}, fmt.Errorf("not on a disk")
			}
			return part, nil
		},
		Variables: func(string) Variables { return vars },
		Mounts:    func() []Mounted { return mounts },
	}
	good := func() (bool, error) { return Commit(m, "", payload.Output{}) }
	if done, err := good(); done || err != nil {
		t.Errorf("without UEFI: %v, %v", done, err)
	}
	if _, err := InstallTrial(files, version(2)); err != nil {
		t.Fatal(err)
	}
	if err := RegisterOnce(vars, part, trialEntry); err != nil {
		t.Fatal(err)
	}
	if vars.Values["BootNext"] == "" || vars.Values["BootOrder"] != "" {
		t.Errorf("variables %q", vars.Values)
	}
	vars.Values["BootCurrent"] = vars.Values["BootNext"]
	if done, err := good(); done || err == nil || !strings.Contains(err.Error(), "mount the EFI system partition") {
		t.Errorf("it is not mounted: %v, %v", done, err)
	}
	mounts = append(mounts, files)
	if done, err := good(); !done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, Directory, "*")); len(names) != 1 || filepath.Base(names[0]) != "alpboot.efi" {
		t.Errorf("left %q", names)
	}
	if vars.Values["BootOrder"] == "" || len(vars.Values) != 3 {
		t.Errorf("variables %q", vars.Values)
	}
}
