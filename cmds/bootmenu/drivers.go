package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/module"
)

// openDrivers returns the modules of the running kernel, and why there are none.
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
func loadDrivers(ctx context.Context, cmdline string) (index *module.Index, ready chan struct{}, note error) {
	ready = make(chan struct{})
	index, err := openDrivers()
	if err != nil {
		close(ready)
		return nil, ready, err
	}
	index.Cmdline = cmdline
	// Listen before looking, so that no device falls between the two.
	events, err := device.Events(ctx)
	if err != nil {
		note = fmt.Errorf("devices that are plugged in later get no driver: %w", err)
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
