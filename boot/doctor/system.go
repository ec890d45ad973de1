package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/fstab"
	"github.com/alpboot/alpboot/boot/payload/esp"
)

// room checks that the next update of what is booted has room.
func (x *examination) room() {
	size := func(v boot.Volume, names ...string) (n int64) {
		for _, name := range names {
			if f, err := x.Open(v, name); err == nil {
				if st, err := f.Stat(); err == nil {
					n += st.Size()
				}
				f.Close()
			}
		}
		return n
	}
	check := func(v boot.Volume, what string, n int64) {
		if free, ok := x.Free(v); ok && n > 0 && free < n {
			x.find(Warning, "room", "Remove what is not needed.", "%s has %s left, and an update of %s takes %s.", v.Device, megabytes(free), what, megabytes(n))
		}
	}
	if x.boots.ID != "" {
		check(x.boots.Volume, "the kernel", size(x.boots.Volume, append(slices.Clone(x.boots.Initrds), x.boots.Kernel)...))
	}
	for _, v := range x.Inventory.Volumes {
		for _, name := range []string{esp.Current, esp.Fallback(x.Arch)} {
			if n := size(v.Volume, name); n > 0 && name != "" {
				check(v.Volume, "alpboot", n)
				break
			}
		}
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// fstab checks that what the start mounts is there.
func (x *examination) fstab() {
	b, err := boot.ReadFile(x.Root, "etc/fstab", 1<<20)
	if err != nil {
		return
	}
	for _, m := range fstab.Parse(string(b)) {
		if m.Source == "" || slices.ContainsFunc([]string{"noauto", "nofail", "_netdev", "x-systemd.automount"}, func(o string) bool { return slices.Contains(m.Options, o) }) {
			continue
		}
		found, known := x.named(m.Source)
		if !known || len(found) > 0 {
			continue
		}
		level := Warning
		// systemd stops where one is missing; OpenRC goes on, and much else is in these.
		if x.systemd() || slices.Contains([]string{"/", "/usr", "/var"}, m.Target) {
			level = Broken
		}
		what := m.Target
		if m.Type == "swap" {
			level, what = Warning, "swap"
		}
		x.find(level, "fstab", "Put the line right, or give it the option nofail.", "/etc/fstab names %s for %s, which is not there.", m.Source, what)
	}
}

func (x *examination) systemd() bool { return x.has("run/systemd/system") }

func (x *examination) openRC() bool { return x.has("etc/runlevels") }

// enabled reports whether a service of OpenRC is started, in whatever runlevel.
func (x *examination) enabled(name string) bool {
	levels, _ := fs.ReadDir(x.Root, "etc/runlevels")
	return slices.ContainsFunc(levels, func(l fs.DirEntry) bool {
		_, err := fs.Lstat(x.Root, path.Join("etc/runlevels", l.Name(), name))
		return err == nil
	})
}

// system checks the settings of the menu and what they need of the running system.
func (x *examination) system() {
	const install = "Run kexec-reboot install."
	for _, note := range x.Settings.Notes {
		x.find(Warning, "settings", "Put it right in alpboot.conf.", "%s", note)
	}
	switch t := x.Settings.Timeout; {
	case t != nil && *t < 0:
		x.find(Broken, "settings", "Set a timeout.", "The boot menu waits until somebody chooses (timeout = -1).")
	case t == nil && x.boots.Timeout != nil && *x.boots.Timeout < 0:
		x.find(Broken, "settings", "Set a timeout there or in alpboot.conf.", "The boot menu waits until somebody chooses, as the configuration of %s asks for.", x.boots.Name())
	}
	anyService := false
	for _, name := range x.Services {
		if !x.openRC() || !x.enabled(name) {
			continue
		}
		anyService = true
		if !x.has("etc/init.d/" + name) {
			x.find(Warning, "services", install, "The service %s is enabled, and /etc/init.d/%s is not there.", name, name)
		}
	}
	if anyService && !slices.ContainsFunc([]string{"sbin", "usr/sbin", "usr/bin", "bin"}, func(dir string) bool { return x.has(dir + "/kexec-reboot") }) {
		x.find(Warning, "services", "Make it a link to alpboot, or run alpboot kexec-reboot install.", "The services call kexec-reboot, which is not there.")
	}
	health := x.openRC() && x.enabled("alpboot-health") || x.has("etc/systemd/system/multi-user.target.wants/alpboot-health.service") ||
		x.has("usr/lib/systemd/system/multi-user.target.wants/alpboot-health.service")
	switch {
	case x.Settings.Confirm == 0:
	case x.Nowhere != "":
		x.find(Warning, "counters", "Run alpboot remember.", "The setting confirm counts starts, and nothing is remembered here: %s.", x.Nowhere)
	case !health && !x.reports():
		x.find(Warning, "counters", install, "The boot menu waits for a report that the system is up (confirm), and no service reports it: after %d starts it boots something else.", x.Settings.Confirm)
	}
	x.watchdog(install)
}

// reports reports whether a script that runs at the end of a start calls good.
func (x *examination) reports() bool {
	scripts, _ := fs.Glob(x.Root, "etc/local.d/*.start")
	for _, name := range append(scripts, "etc/rc.local") {
		b, _ := boot.ReadFile(x.Root, name, 1<<20)
		if strings.Contains(string(b), "kexec-reboot good") || strings.Contains(string(b), "alpboot good") {
			return true
		}
	}
	return false
}

// watchdog checks that somebody takes over the watchdog that the menu starts.
func (x *examination) watchdog(install string) {
	if x.Settings.Watchdog == 0 {
		return
	}
	list, _ := fs.ReadDir(x.Root, "sys/class/watchdog")
	if len(list) == 0 {
		x.find(Warning, "watchdog", "Load its driver, or take the setting out.", "The setting watchdog asks for the machine's watchdog, and the running kernel drives none.")
		return
	}
	fed := x.openRC() && (x.enabled("alpboot-watchdog") || x.enabled("watchdog"))
	if x.systemd() {
		b, _ := boot.ReadFile(x.Root, "etc/systemd/system.conf", 1<<20)
		fed = fed || strings.Contains("\n"+string(b), "\nRuntimeWatchdogSec=")
		more, _ := fs.Glob(x.Root, "etc/systemd/system.conf.d/*.conf")
		for _, name := range more {
			b, _ := boot.ReadFile(x.Root, name, 1<<20)
			fed = fed || strings.Contains("\n"+string(b), "\nRuntimeWatchdogSec=")
		}
		install = "Set RuntimeWatchdogSec= in /etc/systemd/system.conf."
	}
	if !fed {
		x.find(Broken, "watchdog", install, "The boot menu starts the watchdog (watchdog = %d), and nothing here takes it over: the machine is reset after that time.", int(x.Settings.Watchdog.Seconds()))
	}
}
