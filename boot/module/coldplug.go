package module

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/alpboot/alpboot/boot/cmdline"
)

const (
	// Drivers sleep while they wait for their hardware: a few at once hide it.
	coldplugWorkers = 4

	// A bus driver brings devices that need drivers in turn: PCI, then the USB
	// host, the stick, the disk on it, and some room. What comes later than
	// that comes as an uevent.
	coldplugRounds = 8
)

// Coldplug loads the modules of modules.always, then the drivers of all
// devices that sysfs, the root of a mounted sysfs, shows to be there, until
// loading them brings no new ones. Devices that appear later are for the
// caller to pass to [Index.LoadAlias], from their uevents.
//
// The error joins those of all modules that would not load; a driver whose
// hardware is absent (ENODEV) is not one of them. It may take as long as the
// slowest driver needs to initialise.
func (x *Index) Coldplug(sysfs fs.FS) error {
	if x.Empty() {
		return nil
	}
	var errs []error
	for _, name := range x.always {
		if err := x.Load(name); err != nil && !errors.Is(err, errNoDevice) {
			errs = append(errs, err)
		}
	}
	done := make(map[string]bool)
	for range coldplugRounds {
		names := x.wanted(sysfs, done)
		if len(names) == 0 {
			break
		}
		errs = append(errs, x.loadAll(names)...)
	}
	return errors.Join(errs...)
}

// wanted returns the modules for the devices in sysfs that are not done yet, and
// adds them to done.
func (x *Index) wanted(sysfs fs.FS, done map[string]bool) []string {
	var names []string
	seen := make(map[string]bool)
	for _, alias := range modaliases(sysfs) {
		if seen[alias] {
			continue
		}
		seen[alias] = true
		for _, name := range x.aliases.match(alias) {
			if !done[name] && !x.blacklisted(name) {
				done[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func (x *Index) loadAll(names []string) []error {
	errs := make([]error, len(names))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(coldplugWorkers, len(names)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = x.load(names[i : i+1])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil || errors.Is(err, errNoDevice) })
}

// modaliases reads the modalias of every device. Each belongs to a bus or to a
// class; going through those opens far fewer directories than walking /sys/devices.
func modaliases(sysfs fs.FS) []string {
	var list []string
	for _, pattern := range []string{"bus/*/devices", "class/*"} {
		dirs, _ := fs.Glob(sysfs, pattern) // the pattern is well formed
		for _, dir := range dirs {
			devices, _ := fs.ReadDir(sysfs, dir) // one that just went away has none
			for _, d := range devices {
				b, err := fs.ReadFile(sysfs, path.Join(dir, d.Name(), "modalias"))
				if s := strings.TrimSpace(string(b)); err == nil && s != "" {
					list = append(list, s)
				}
			}
		}
	}
	return list
}

func (x *Index) blacklisted(name string) bool {
	for _, list := range cmdline.Parse(x.Cmdline).All("modprobe.blacklist") {
		for n := range strings.SplitSeq(list, ",") {
			if normal(n) == name {
				return true
			}
		}
	}
	return false
}

// params returns the parameters of a module that the command line holds as
// MODULE.PARAMETER or MODULE.PARAMETER=VALUE.
func params(line, module string) []string {
	var list []string
	kernel, _ := cmdline.Parse(line).Split()
	for _, w := range kernel {
		mod, param, ok := strings.Cut(w, ".")
		if ok && !strings.Contains(mod, "=") && normal(mod) == module {
			list = append(list, param)
		}
	}
	return list
}
