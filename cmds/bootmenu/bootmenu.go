package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/term"
	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: bootmenu [--console DEVICE]...

Shows what can be booted and boots the choice. It is meant to be started by the
init of an initramfs; docs/reference.md lists the kernel parameters it reads.

  --console DEVICE   show the menu there; several are possible. Without it, on
                     the consoles that the kernel uses
  --version          print the version
`

// How long things may take. docs/reference.md tells the user.
const (
	fallbackTimeout = 5 * time.Second  // the countdown, when nothing else says
	rearm           = 5 * time.Minute  // without a key, until the countdown starts again
	settle          = 1 * time.Second  // without a new device, until the countdown starts
	deviceLimit     = 10 * time.Second // for a device to answer
)

// efiVars is where u-root's init mounts efivarfs; there is nothing without UEFI.
const efiVars = "/sys/firmware/efi/efivars"

// cmdlineLimit is how long a command line the kernel takes (COMMAND_LINE_SIZE).
const cmdlineLimit = 2047

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bootmenu", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { io.WriteString(stderr, usage) }
	var devices []string
	f.Func("console", "", func(s string) error { devices = append(devices, s); return nil })
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
	if err := show(devices); err != nil {
		fmt.Fprintln(stderr, "bootmenu:", err)
		return 1
	}
	return 0
}

// show wires the real machine to a session and runs it.
func show(devices []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// A terminal that a shell has used hangs up when the shell ends; that and a
	// Ctrl-C from the kernel's console are not for us. Notify instead of Ignore,
	// which the shell would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)

	cmdline, err := os.ReadFile("/proc/cmdline")
	asked := settings.Read(os.DirFS("/"), string(cmdline))
	if err != nil {
		asked.Notes = append(asked.Notes, fmt.Sprintf("The kernel parameters cannot be read: %v.", err))
	}

	if len(devices) == 0 {
		devices = kernelConsoles()
	}
	var consoles []console
	var errs []error
	for _, dev := range devices {
		c, err := term.Open(dev, term.Options{})
		if err != nil {
			errs = append(errs, fmt.Errorf("console %s: %w", dev, err))
			continue
		}
		consoles = append(consoles, console{c, dev})
	}
	if len(consoles) == 0 {
		return fmt.Errorf("there is no console to show the menu on: %w", errors.Join(errs...))
	}
	for _, err := range errs {
		asked.Notes = append(asked.Notes, fmt.Sprintf("The menu is not shown on one console: %v.", err))
	}

	drivers, ready, note := loadDrivers(ctx, string(cmdline))
	if note != "" {
		asked.Notes = append(asked.Notes, note)
	}
	s := &session{
		asked:    asked,
		consoles: consoles,
		model: menu.New(menu.Config{
			Version:         version.String(),
			Timeout:         asked.Timeout,
			FallbackTimeout: fallbackTimeout,
			Rearm:           rearm,
			CmdlineLimit:    cmdlineLimit,
		}),
		loader: &kexec.Loader{Sys: kexec.System{}},
		msgs:   make(chan any),
		failed: map[string]bool{},
		startScan: func() *discover.Scan {
			return startScan(ctx, drivers, ready)
		},
	}
	kernelMessages(false)
	defer kernelMessages(true)
	return s.run(ctx)
}

// startScan begins to look at all disks, now and as they come and go.
func startScan(ctx context.Context, drivers *module.Index, ready <-chan struct{}) *discover.Scan {
	system := &discover.System{
		Sysfs:   os.DirFS("/sys"),
		Mounter: device.Mounter{BlockReadOnly: true, Need: drivers.Driver},
	}
	scanner := &discover.Scanner{
		Machine: system,
		Maker:   system,
		Formats: discover.Formats(os.DirFS(efiVars)),
		Events:  device.Events,
		Ready:   ready,
		Settle:  settle,
		Limit:   deviceLimit,
	}
	return scanner.Start(ctx)
}

// loadDrivers loads the modules that the hardware asks for, where the kernel
// has modules: those of the devices that are there, then of each that comes.
// ready is closed when the first part is done.
func loadDrivers(ctx context.Context, cmdline string) (index *module.Index, ready chan struct{}, note string) {
	ready = make(chan struct{})
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		close(ready)
		return nil, ready, fmt.Sprintf("The release of this kernel is unknown: %v.", err)
	}
	index, err := module.Open(os.DirFS("/"), unix.ByteSliceToString(uts.Release[:]))
	if err != nil {
		close(ready)
		return nil, ready, fmt.Sprintf("No driver can be loaded: %v.", err)
	}
	index.Cmdline = cmdline
	// Listen before looking, so that no device falls between the two.
	events, err := device.Events(ctx)
	if err != nil {
		note = fmt.Sprintf("Devices that are plugged in later get no driver: %v.", err)
	}
	go func() {
		index.Load("loop") // no device asks for it: for lsboot, mount and losetup in the shell
		index.Coldplug(os.DirFS("/sys"))
		close(ready)
		for ev := range events {
			switch {
			case ev.Lost:
				index.Coldplug(os.DirFS("/sys"))
			case ev.Action == "add" && ev.Modalias != "":
				index.LoadAlias(ev.Modalias) // a driver that does not load is missed when its disk is
			}
		}
	}()
	return index, ready, note
}

// kernelConsoles gives the terminals that the running kernel uses as consoles.
func kernelConsoles() []string {
	b, _ := os.ReadFile("/sys/class/tty/console/active")
	var devs []string
	for name := range strings.FieldsSeq(string(b)) {
		if name == "tty0" { // whichever is in front: the first one is, at boot
			name = "tty1"
		}
		devs = append(devs, "/dev/"+name)
	}
	if len(devs) == 0 {
		devs = []string{"/dev/console"}
	}
	return devs
}

// kernelMessages switches what the kernel prints on the consoles off, so that
// it does not tear the menu, or on again. It stays in the kernel's log.
func kernelMessages(on bool) {
	const consoleOff, consoleOn = 6, 7 // SYSLOG_ACTION_CONSOLE_OFF and _ON
	action := consoleOff
	if on {
		action = consoleOn
	}
	unix.Klogctl(action, nil)
}
