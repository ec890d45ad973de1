// Command bootmenu is what the initramfs starts: it finds what can be booted,
// shows the menu on the consoles of the machine, and boots the choice. As the
// first process of a machine it sets the image up, and keeps the menu running.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: bootmenu [--console DEVICE]...
       bootmenu --settings

Shows what can be booted and boots the choice. It is meant to be the /init
of an initramfs; docs/settings.md lists the settings that it reads.

  --console DEVICE   show the menu there; several are possible. Without it, on
                     those of the settings, else on the consoles that the kernel
                     uses and on the screen
  --settings         print each setting, its value and where that comes from
  --version          print the version
`

func main() {
	if os.Getpid() == 1 {
		pid1()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bootmenu", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	var devices []string
	f.Func("console", "", func(s string) error { devices = append(devices, s); return nil })
	showSettings := f.Bool("settings", false, "")
	showVersion := f.Bool("version", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil || f.NArg() > 0:
		f.Usage()
		return 2
	case *showVersion:
		fmt.Fprintln(stdout, "bootmenu", version.String())
		return 0
	}
	do := func() error { return show(devices) }
	if *showSettings {
		do = func() error { return printSettings(stdout) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(stderr, "bootmenu:", err)
		return 1
	}
	return 0
}
