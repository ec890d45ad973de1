package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// confFile holds the settings of the service kexec-load.
const confFile = "/etc/conf.d/kexec-load"

// choiceFile remembers what was loaded by hand, so that the service can load it
// again from the files as they are when the system goes down.
const choiceFile = "/run/kexec-reboot.choice"

// confNames are the settings that say what to load.
var confNames = [...]string{"BOOTPART", "KERNEL", "INITRD", "UCODE", "APPEND", "ENTRY"}

// environment is how the service itself passes its settings.
func environment() (func(string) string, error) { return os.Getenv, nil }

// readConf returns the settings as the service would see them: a shell reads
// them, since they may be any shell script.
func (s *system) readConf() (get func(string) string, err error) {
	values := map[string]string{}
	get = func(name string) string { return values[name] }
	if !s.exists(confFile) {
		return get, nil
	}
	script := `. "$0" >/dev/null; printf '%s\0'`
	for _, name := range confNames {
		script += ` "$` + name + `"`
	}
	cmd := exec.Command("/bin/sh", "-c", script, s.path(confFile))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	fields := strings.Split(string(out), "\x00")
	if err != nil || len(fields) != len(confNames)+1 {
		return get, fmt.Errorf("%s cannot be read by a shell (%v)", confFile, err)
	}
	for i, name := range confNames {
		values[name] = fields[i]
	}
	return get, nil
}

// byConf makes options of the service's settings. The names and defaults are
// those of Alpine's wiki, https://wiki.alpinelinux.org/wiki/Kexec; UCODE and
// ENTRY are new. Where a default names a file that is not there, what the boot
// menu would boot is taken.
func (s *system) byConf(get func(string) string) (o loadOptions, err error) {
	value := func(name, def string) string {
		if v := get(name); v != "" {
			return v
		}
		return def
	}
	o.append = get("APPEND")
	if o.entry = get("ENTRY"); o.entry != "" {
		return o, nil
	}
	dir := value("BOOTPART", "/boot")
	in := func(name string) string {
		if !filepath.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return s.path(name)
	}
	there := func(name string) bool { _, err := os.Stat(in(name)); return err == nil }

	kernel := value("KERNEL", "vmlinuz-"+flavour(s.release))
	initrd := value("INITRD", "initramfs-"+strings.TrimPrefix(path.Base(kernel), "vmlinuz-"))
	if get("KERNEL") == "" && !there(kernel) || get("INITRD") == "" && !there(initrd) {
		if get("KERNEL") != "" {
			return o, fmt.Errorf("%s is missing: INITRD in %s says which initrds belong to %s, or none", in(initrd), confFile, kernel)
		}
		o.entry = menuDefault
		return o, nil
	}
	o.kernel, o.reuse = in(kernel), true
	if initrd == "none" {
		return o, nil
	}
	for _, name := range strings.Fields(value("UCODE", "intel-ucode.img amd-ucode.img")) {
		if there(name) {
			o.initrds = append(o.initrds, in(name))
		}
	}
	for _, name := range strings.Fields(initrd) {
		if !there(name) {
			return o, fmt.Errorf("%s is missing: INITRD in %s names it", in(name), confFile)
		}
		if f := in(name); !slices.Contains(o.initrds, f) {
			o.initrds = append(o.initrds, f)
		}
	}
	return o, nil
}

// loadByConf is what the service does when the system goes down to be
// restarted. A kernel that was loaded by hand stays the choice, and is read
// again: an upgrade may have replaced it. When that fails nothing stays loaded,
// so that the old kernel is not started by mistake.
func (s *system) loadByConf(ctx context.Context, o loadOptions) error {
	chosen, err := s.chosen(o)
	if errors.Is(err, errForeign) {
		s.say("The kernel that another program has loaded is kept")
		return nil
	}
	if err == nil {
		chosen, err = s.resolve(chosen, environment)
	}
	if err == nil {
		err = s.load(ctx, chosen)
	}
	if err != nil && !o.dryRun && s.loaded() && s.cannot() == nil {
		return errors.Join(err, s.unload())
	}
	return err
}

// errForeign is the error for a kernel that was not loaded by kexec-reboot.
var errForeign = errors.New("another program has loaded a kernel, which is kept")

// chosen completes options that name neither a kernel nor an entry by what was
// loaded by hand before, which a reboot loads again.
func (s *system) chosen(o loadOptions) (loadOptions, error) {
	if o.entry != "" || o.kernel != "" || !s.loaded() {
		return o, nil
	}
	b, err := os.ReadFile(s.path(choiceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, errForeign
	}
	if err != nil {
		return o, err
	}
	before, err := parseLoad(strings.Split(string(b), "\x00"))
	if err != nil {
		return o, fmt.Errorf("%s: %w", choiceFile, err)
	}
	return o.over(before), nil
}

// resolve completes options that still name neither a kernel nor an entry by
// the settings of the service, which read returns.
func (s *system) resolve(o loadOptions, read func() (func(string) string, error)) (loadOptions, error) {
	if o.entry != "" || o.kernel != "" {
		return o, nil
	}
	get, err := read()
	if err != nil {
		return o, err
	}
	conf, err := s.byConf(get)
	if err != nil {
		return o, err
	}
	words := strings.TrimSpace(conf.append + " " + o.append)
	o = o.over(conf)
	o.append = words
	return o, nil
}

// over returns base with what o asks for besides a kernel or an entry.
func (o loadOptions) over(base loadOptions) loadOptions {
	if o.cmdline != nil || o.reuse {
		base.cmdline, base.reuse = o.cmdline, o.reuse
	}
	base.append = cmp.Or(o.append, base.append)
	base.method = cmp.Or(o.method, base.method)
	base.noModules = base.noModules || o.noModules
	base.dryRun = o.dryRun
	return base
}

// remember keeps a choice that was made by hand.
func (s *system) remember(o loadOptions) error {
	return os.WriteFile(s.path(choiceFile), []byte(strings.Join(o.args(), "\x00")), 0o600)
}
