// Command lsboot lists what can be booted from disks, image files or directories:
// the same discovery as in the menu, without the menu.
package main

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
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: lsboot [--json] [DIR|DEVICE|IMAGE...]

Lists what can be booted. A directory is taken as the root of a filesystem; a
whole disk or an image file of one is read with all its partitions. A filesystem
on several devices is read when all of them are named. Without arguments all
block devices are read. Nothing is ever written.

  --json      print an array of objects, one an entry
  --version   print the version

Exit status: 0 when there are entries, 1 when there are none, 2 on misuse.
`

// The exit codes, as documented in docs/reference.md.
const (
	exitFound = iota
	exitNone
	exitMisuse
)

// deviceLimit is how long one device may take.
const deviceLimit = 10 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("lsboot", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	asJSON := f.Bool("json", false, "")
	showVersion := f.Bool("version", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitFound
	case err != nil:
		return exitMisuse
	case *showVersion:
		fmt.Fprintln(stdout, "lsboot", version.String())
		return exitFound
	}

	machine := system.Machine{Sysfs: os.DirFS("/sys"), Mounter: device.Mounter{}}
	scanner := discover.Scanner{Machine: &machine, Maker: &machine, Limit: deviceLimit}
	efiVars := os.DirFS("/" + efivar.Path) // of this machine, if any
	if f.NArg() > 0 {
		efiVars = nil
		t, err := list.NewTargets(&machine, f.Args())
		if err != nil {
			fmt.Fprintln(stderr, "lsboot:", err)
			return exitMisuse
		}
		scanner.Machine, scanner.Maker = t, t
	}
	scanner.Formats = all.Formats(efiVars)
	scan := scanner.Start(context.Background())
	inv := scan.Settled()
	scan.Stop()

	print, problems := list.Table, stdout
	if *asJSON {
		print, problems = list.JSON, stderr
	}
	switch err := errors.Join(print(stdout, inv.Entries), list.Problems(problems, inv.Volumes)); {
	case err != nil:
		fmt.Fprintln(stderr, "lsboot:", err)
		return exitMisuse
	case len(inv.Entries) == 0:
		fmt.Fprintln(stderr, "lsboot: nothing was found that can be booted")
		return exitNone
	}
	return exitFound
}
