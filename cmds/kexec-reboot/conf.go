package main

import (
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

// readConf gives the settings as the service would see them: a shell reads
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
	if entry := get("ENTRY"); entry != "" {
		if entry != "default" {
			o.entry = entry
		}
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
// anew: an upgrade may have replaced it. When that fails nothing stays loaded,
// so that the old kernel is not started by mistake.
func (s *system) loadByConf(ctx context.Context, o loadOptions) error {
	err := s.loadChosen(ctx, o)
	if err != nil && s.loaded() && !o.dryRun {
		return errors.Join(err, s.unload())
	}
	return err
}

func (s *system) loadChosen(ctx context.Context, o loadOptions) error {
	chosen, err := s.chosen(os.Getenv)
	if errors.Is(err, errForeign) {
		s.say("The kernel that another program has loaded is kept")
		return nil
	}
	if err != nil {
		return err
	}
	chosen.dryRun = o.dryRun
	return s.load(ctx, chosen)
}

// errForeign says that what is loaded was not loaded by kexec-reboot.
var errForeign = errors.New("another program has loaded a kernel, which is kept")

// chosen says what a reboot shall load: what was chosen by hand, else what the
// settings of the service say.
func (s *system) chosen(get func(string) string) (loadOptions, error) {
	if !s.loaded() {
		return s.byConf(get)
	}
	b, err := os.ReadFile(s.path(choiceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return loadOptions{}, errForeign
	}
	if err != nil {
		return loadOptions{}, err
	}
	o, err := parseLoad(strings.Split(string(b), "\x00"))
	if err != nil {
		return o, fmt.Errorf("%s: %w", choiceFile, err)
	}
	return o, nil
}

// remember keeps a choice that was made by hand.
func (s *system) remember(o loadOptions) error {
	return os.WriteFile(s.path(choiceFile), []byte(strings.Join(o.args(), "\x00")), 0o600)
}
