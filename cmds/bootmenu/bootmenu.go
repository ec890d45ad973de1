package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
)

const usage = `Usage: bootmenu [--console DEVICE]...
       bootmenu --settings

Shows what can be booted and boots the choice. It is meant to be started by the
init of an initramfs; docs/settings.md lists the settings that it reads.

  --console DEVICE   show the menu there; several are possible. Without it, on
                     those of the settings, else on the consoles that the kernel
                     uses and on the screen
  --settings         print each setting, its value and where that comes from
  --version          print the version
`

// efiVars is where u-root's init mounts efivarfs; there is nothing without UEFI.
const efiVars = "/" + efivar.Path

// cmdlineLimit is how long a command line the kernel takes (COMMAND_LINE_SIZE).
const cmdlineLimit = 2047

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

// softHeap is the number of bytes of memory from which on garbage is collected
// at once. What disks are read with stays below it, unless they are hostile.
const softHeap = 64 << 20

// show wires the real machine to a session and runs it.
func show(devices []string) error {
	debug.SetMemoryLimit(softHeap)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// A terminal that a shell has used hangs up when the shell ends; that and a
	// Ctrl-C from the kernel's console are not for us. Notify instead of Ignore,
	// which the shell would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)

	root := os.DirFS("/")
	asked, cmdline := readSettings(root)
	book := &logbook{}
	log := slog.New(book)
	log.Info("alpboot " + version.String() + " starts")
	if len(devices) == 0 {
		devices = consoleDevices(root, asked.Consoles)
	}
	consoles, notes, err := openConsoles(devices, asked)
	if err != nil {
		return err
	}
	go followKernel(ctx, book)
	if err := pollMedia(); err != nil {
		log.Info("media that are changed in a drive may not be noticed", "error", err)
	}
	drivers, ready, note := loadDrivers(ctx, cmdline)
	if note != "" {
		notes = append(notes, note)
	}
	vars := efivar.Dir(efiVars)
	s := &session{
		machine: machine{
			root:         root,
			scan:         func(asked settings.Settings) *discover.Scan { return startScan(ctx, asked, drivers, ready) },
			kexec:        kexec.System{},
			mayKexec:     !kexec.Disabled(),
			vars:         vars,
			varsReadOnly: vars.Writable() != nil,
			firmware:     remember.Firmware(efiVars),
			handOver:     handOver,
			reboot:       unix.Reboot,
			messages:     kernelMessages,
			keyboard:     openKeyboard,
		},
		base:     asked,
		asked:    asked,
		cmdline:  cmdline,
		consoles: consoles,
		notes:    notes,
		book:     book,
		log:      log,
	}
	kernelMessages(false)
	defer kernelMessages(true)
	return s.run(ctx)
}

// readSettings gives what the image and the kernel parameters ask for, and these
// parameters.
func readSettings(root fs.FS) (asked settings.Settings, cmdline string) {
	b, err := fs.ReadFile(root, "proc/cmdline")
	cmdline = string(b)
	asked = settings.Read(root, cmdline)
	if err != nil {
		asked.Notes = append(asked.Notes, fmt.Sprintf(wordNoCmdline, err))
	}
	return asked, cmdline
}

// printSettings prints the settings as the menu would have them. Those of a
// volume are looked for only in an initramfs: a running system's disks are in
// use.
func printSettings(w io.Writer) error {
	asked, _ := readSettings(os.DirFS("/"))
	if asked.SettingsVolume == settings.Off || os.Geteuid() != 0 || !inInitramfs() {
		return asked.Print(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drivers, _ := openDrivers()
	scan := (&discover.Scanner{
		// Through loop devices, as somebody may have mounted a disk by hand.
		Machine: &system.Machine{Sysfs: os.DirFS("/sys"), Mounter: device.Mounter{Need: drivers.Driver}},
		Limit:   asked.DeviceLimit,
	}).Start(ctx)
	defer scan.Stop()
	for inv := range scan.Inventories() {
		if inv.Settled {
			asked = asked.WithVolumes(candidates(os.DirFS("/sys"), scan, inv))
			break
		}
	}
	return asked.Print(w)
}

// inInitramfs tells whether the root filesystem lies in memory.
func inInitramfs() bool {
	var st unix.Statfs_t
	err := unix.Statfs("/", &st)
	return err == nil && (st.Type == unix.RAMFS_MAGIC || st.Type == unix.TMPFS_MAGIC)
}

// startScan begins to look at all disks, now and as they come and go.
func startScan(ctx context.Context, asked settings.Settings, drivers *module.Index, ready <-chan struct{}) *discover.Scan {
	hardware := &system.Machine{
		Sysfs:   os.DirFS("/sys"),
		Mounter: device.Mounter{BlockReadOnly: true, Need: drivers.Driver},
	}
	scanner := &discover.Scanner{
		Machine: hardware,
		Maker:   hardware,
		Formats: all.Formats(os.DirFS(efiVars)),
		Events:  device.Events,
		Ready:   ready,
		Settle:  asked.Settle,
		Limit:   asked.DeviceLimit,
	}
	return scanner.Start(ctx)
}

// openDrivers gives the modules of the running kernel, and why there are none.
func openDrivers() (*module.Index, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("the release of this kernel is unknown: %w", err)
	}
	index, err := module.Open(os.DirFS("/"), unix.ByteSliceToString(uts.Release[:]))
	if err != nil {
		return nil, fmt.Errorf("no driver can be loaded: %w", err)
	}
	return index, nil
}

// loadDrivers loads the modules that the hardware asks for, where the kernel
// has modules: those of the devices that are there, then of each that comes.
// ready is closed when the first part is done.
func loadDrivers(ctx context.Context, cmdline string) (index *module.Index, ready chan struct{}, note string) {
	ready = make(chan struct{})
	index, err := openDrivers()
	if err != nil {
		close(ready)
		return nil, ready, sentence(err)
	}
	index.Cmdline = cmdline
	// Listen before looking, so that no device falls between the two.
	events, err := device.Events(ctx)
	if err != nil {
		note = fmt.Sprintf(wordNoEvents, err)
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

// pollMedia has the kernel look every two seconds whether the medium in a drive
// or card reader has changed: left alone, it waits for somebody to open it.
func pollMedia() error {
	return os.WriteFile("/sys/module/block/parameters/events_dfl_poll_msecs", []byte("2000"), 0)
}

// configuration gives what the menu is to know, as far as it is known now.
func (s *session) configuration() menu.Config {
	return menu.Config{
		Version:         version.String(),
		Timeout:         s.asked.Timeout,
		FallbackTimeout: settings.FallbackTimeout,
		Rearm:           s.asked.Rearm,
		CmdlineLimit:    cmdlineLimit,
		Consoles:        s.names,
		Firmware:        s.hasFirmwareSetup(),
		Relaunch:        s.self != nil,
		Keymaps:         s.keymaps,
		HandOn:          s.asked.HandOn,
		Hidden:          s.asked.Hidden,
	}
}
