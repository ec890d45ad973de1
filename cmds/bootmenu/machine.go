package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/format/all"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/module"
	"github.com/alpboot/alpboot/boot/pointer"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/session"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/sysinfo"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/version"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// efiVars is where efivarfs is mounted; there is nothing without UEFI.
const efiVars = "/" + efivar.Path

// softHeap is the number of bytes of memory from which on garbage is collected
// at once. What disks are read with stays below it, unless they are hostile.
const softHeap = 64 << 20

// show runs the menu on the real machine.
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
	buffer := &session.LogBuffer{}
	log := slog.New(buffer)
	log.Info("alpboot " + version.String() + " starts")
	var running unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &running)
	if took := sysinfo.FirmwareTook(root, time.Duration(running.Nano())); took > 0 {
		log.Info(fmt.Sprintf("the firmware took %v until this kernel began", took.Round(time.Millisecond)))
	}
	if len(devices) == 0 {
		devices = consoleDevices(root, asked.Consoles)
	}
	consoles, notes, err := openConsoles(devices, asked)
	if err != nil {
		return err
	}
	go followKernel(ctx, buffer)
	if err := pollMedia(); err != nil {
		log.Info("media that are changed in a drive may not be noticed", "error", err)
	}
	m := machine{}
	var note error
	if m.drivers, m.driversReady, note = loadDrivers(ctx, cmdline); note != nil {
		notes = append(notes, note)
	}
	vars := efivar.Dir(efiVars)
	kernelMessages(false)
	defer kernelMessages(true)
	return session.Run(ctx, session.Config{
		Machine:      m,
		Root:         root,
		Kexec:        kexec.System{},
		KexecAllowed: !kexec.Disabled(root),
		Firmware:     session.Firmware{Vars: vars, ReadOnly: vars.Writable() != nil, Store: remember.Firmware(efiVars)},
		Settings:     asked,
		Cmdline:      cmdline,
		Consoles:     consoles,
		Pointer:      func(name string) (pointer.Device, error) { return pointer.Open("/dev/input/" + name) },
		Log:          buffer,
		Notes:        notes,
	})
}

// readSettings returns what the image and the kernel parameters ask for, and
// these parameters.
func readSettings(root fs.FS) (asked settings.Settings, cmdline string) {
	b, err := fs.ReadFile(root, "proc/cmdline")
	cmdline = string(b)
	asked = settings.Read(root, cmdline)
	if err != nil {
		asked.Notes = append(asked.Notes, fmt.Sprintf("The kernel parameters cannot be read: %v.", err))
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
	return session.VolumeSettings(scan, asked).Print(w)
}

// inInitramfs reports whether the root filesystem is in memory.
func inInitramfs() bool {
	var st unix.Statfs_t
	err := unix.Statfs("/", &st)
	return err == nil && (st.Type == unix.RAMFS_MAGIC || st.Type == unix.TMPFS_MAGIC)
}

// machine is the machine that this process runs on.
type machine struct {
	drivers      *module.Index
	driversReady <-chan struct{}
}

// Scan implements [session.Machine].
func (m machine) Scan(ctx context.Context, asked settings.Settings) *discover.Scan {
	hardware := &system.Machine{
		Sysfs:   os.DirFS("/sys"),
		Mounter: device.Mounter{BlockReadOnly: true, Need: m.drivers.Driver},
	}
	scanner := &discover.Scanner{
		Machine: hardware,
		Maker:   hardware,
		Formats: all.Formats(os.DirFS(efiVars)),
		Events:  device.Events,
		Own:     func() string { return efivar.StartedFrom(efivar.Dir(efiVars)) },
		Ready:   m.driversReady,
		Settle:  asked.Settle,
		Limit:   asked.DeviceLimit,
	}
	if m.drivers.Empty() && asked.Settle <= settings.Default().Settle { // somebody who wants to wait for longer knows why
		scanner.Awaited = func() string { return device.Awaited(hardware.Sysfs, asked.Settle) }
	}
	return scanner.Start(ctx)
}

// Keyboard implements [session.Machine].
func (machine) Keyboard() (session.Keyboard, error) {
	c, err := keymap.Open("/dev/tty1")
	if err != nil {
		return nil, err // and no typed nil
	}
	return c, nil
}

func (machine) Shell(console string) error { return shell(console) }
func (machine) KernelMessages(on bool)     { kernelMessages(on) }
func (machine) HandOver(log *slog.Logger)  { handOver(log) }

// Watchdog implements [session.Machine].
func (machine) Watchdog(name string) (watchdog.Running, error) { return openWatchdog(name) }

// TPM implements [session.Machine].
func (machine) TPM(name string) (io.ReadWriteCloser, error) { return tpm.Open("/dev/" + name) }

func (machine) Restart() error  { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }
func (machine) PowerOff() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }

// pollMedia has the kernel look every two seconds whether the medium in a drive
// or card reader has changed: left alone, it waits for somebody to open it.
func pollMedia() error {
	return os.WriteFile("/sys/module/block/parameters/events_dfl_poll_msecs", []byte("2000"), 0)
}
