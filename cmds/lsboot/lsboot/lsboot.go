// Package lsboot is the command lsboot: the same discovery as in the menu, without
// the menu. It is part of the image of the menu.
package lsboot

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/list"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
)

// Exit codes, as documented in docs/reference.md.
const (
	Found = iota
	None
	Misuse
)

// DeviceLimit is how long one device may take.
const DeviceLimit = 10 * time.Second

// Flags are what lsboot takes besides the names of directories, devices and images.
type Flags struct{ JSON, Version bool }

// Set returns the set of flags, which prints errors and its usage to w.
func (f *Flags) Set(w io.Writer) *flag.FlagSet {
	set := flag.NewFlagSet("lsboot", flag.ContinueOnError)
	set.SetOutput(w)
	set.BoolVar(&f.JSON, "json", false, "print an array of objects, one an entry")
	set.BoolVar(&f.Version, "version", false, "print the version")
	set.Usage = func() {
		fmt.Fprintf(w, "Usage: lsboot [--json] [DIR|DEVICE|IMAGE...]\n\n%s\n\n", About)
		set.VisitAll(func(f *flag.Flag) { fmt.Fprintf(w, "  --%-9s %s\n", f.Name, f.Usage) })
		fmt.Fprintf(w, "\n%s\n", Exit)
	}
	return set
}

// What the help and the manual page have.
const (
	About = `Lists what can be booted. A directory is taken as the root of a filesystem; a
whole disk or an image file of one is read with all its partitions. A filesystem
on several devices is read when all of them are named. Without arguments all
block devices are read. Nothing is ever written.`
	Exit = "Exit status: 0 when there are entries, 1 when there are none, 2 on misuse."
)

// Run runs lsboot with its arguments, and returns its exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	var flags Flags
	f := flags.Set(stderr)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return Found
	case err != nil:
		return Misuse
	case flags.Version:
		fmt.Fprintln(stdout, "lsboot", version.String())
		return Found
	}
	return List(f.Args(), flags.JSON, stdout, stderr)
}

// List prints what can be booted from targets, or from all block devices, and
// returns the exit code.
func List(targets []string, asJSON bool, stdout, stderr io.Writer) int {
	machine := system.Machine{Sysfs: os.DirFS("/sys"), Mounter: device.Mounter{}}
	scanner := discover.Scanner{Machine: &machine, Maker: &machine, Limit: DeviceLimit}
	efiVars := os.DirFS("/" + efivar.Path) // of this machine, if any
	asked, vars := machineMemory()
	if len(targets) > 0 {
		efiVars, asked, vars = nil, settings.Default(), nil
		t, err := list.NewTargets(&machine, targets)
		if err != nil {
			fmt.Fprintln(stderr, "lsboot:", err)
			return Misuse
		}
		scanner.Machine, scanner.Maker = t, t
	}
	scanner.Formats = all.Formats(efiVars)
	ctx := context.Background()
	scan := scanner.Start(ctx)
	inv := scan.Settled()
	failed, err := list.Failed(ctx, scan, inv, asked, vars)
	scan.Stop()
	if err != nil {
		fmt.Fprintf(stderr, "lsboot: what has failed is not known: %v\n", err)
	}

	print, problems := list.Table, stdout
	if asJSON {
		print, problems = list.JSON, stderr
	}
	switch err := errors.Join(print(stdout, inv.Entries, failed), list.Problems(problems, inv.Volumes)); {
	case err != nil:
		fmt.Fprintln(stderr, "lsboot:", err)
		return Misuse
	case len(inv.Entries) == 0:
		fmt.Fprintln(stderr, "lsboot: nothing was found that can be booted")
		return None
	}
	return Found
}

// machineMemory returns the settings of the menu that are known on this machine, and
// the EFI variables in which it may remember, nil where it cannot.
func machineMemory() (settings.Settings, efivar.Variables) {
	line, _ := os.ReadFile("/proc/cmdline") // the menu's own, in its shell
	asked := settings.Read(os.DirFS("/"), string(line))
	if vars := efivar.Dir("/" + efivar.Path); vars.Writable() == nil {
		return asked, vars
	}
	return asked, nil
}
