package reboot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/version"
)

// confFile holds the settings of the service kexec-load.
const confFile = "/etc/conf.d/kexec-load"

// choiceFile remembers what was loaded by hand, so that the service can load it
// again from the files as they are when the system goes down.
const choiceFile = "/run/kexec-reboot.choice"

// confNames are the settings for what to load.
var confNames = [...]string{"BOOTPART", "KERNEL", "INITRD", "UCODE", "APPEND", "ENTRY"}

// environment is how the service itself passes its settings.
func environment() (func(string) string, error) { return os.Getenv, nil }

// readConf returns the settings as the service would see them: a shell reads
// them, since they may be any shell script.
func (s *System) readConf() (get func(string) string, err error) {
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

// byConf returns the options that the service's settings stand for. The names and defaults are
// those of Alpine's wiki, https://wiki.alpinelinux.org/wiki/Kexec; UCODE and
// ENTRY are new. Where a default names a file that is not there, what the boot
// menu would boot is taken.
func (s *System) byConf(get func(string) string) (o Options, err error) {
	value := func(name, def string) string {
		if v := get(name); v != "" {
			return v
		}
		return def
	}
	o.Append = get("APPEND")
	if o.Entry = get("ENTRY"); o.Entry != "" {
		return o, nil
	}
	if get("KERNEL") == "" && cmdline.Parse(s.read("/proc/cmdline")).Has(kept.Parameter) {
		return o, errors.New("the previous kernel is running, as its successor has failed: the boot menu decides what comes next (--entry names something else)")
	}
	dir := value("BOOTPART", "/boot")
	in := func(name string) string {
		if !filepath.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return s.path(name)
	}
	there := func(name string) bool { _, err := os.Stat(in(name)); return err == nil }

	kernel := value("KERNEL", "vmlinuz-"+version.Flavour(s.Release))
	initrd := value("INITRD", "initramfs-"+strings.TrimPrefix(path.Base(kernel), "vmlinuz-"))
	if get("KERNEL") == "" && !there(kernel) || get("INITRD") == "" && !there(initrd) {
		if get("KERNEL") != "" {
			return o, fmt.Errorf("%s is missing: list the initrds of %s, or none, as INITRD in %s", in(initrd), kernel, confFile)
		}
		o.Entry = menuDefault
		return o, nil
	}
	o.Kernel, o.Reuse = in(kernel), true
	if initrd == "none" {
		return o, nil
	}
	for _, name := range strings.Fields(value("UCODE", "intel-ucode.img amd-ucode.img")) {
		if there(name) {
			o.Initrds = append(o.Initrds, in(name))
		}
	}
	for _, name := range strings.Fields(initrd) {
		if !there(name) {
			return o, fmt.Errorf("%s is missing: INITRD in %s names it", in(name), confFile)
		}
		if f := in(name); !slices.Contains(o.Initrds, f) {
			o.Initrds = append(o.Initrds, f)
		}
	}
	return o, nil
}

// Load loads what o asks for, by hand: a reboot will load it again. What was
// loaded before is replaced.
func (s *System) Load(ctx context.Context, o Options) error {
	o, err := s.chosen(o)
	if err != nil && !errors.Is(err, errForeign) {
		return err
	}
	resolved, err := s.resolve(o, s.readConf)
	if err != nil {
		return err
	}
	if err := s.load(ctx, resolved); err != nil || o.DryRun {
		return err
	}
	if err := s.remember(o); err != nil {
		s.Warn("the service kexec-load will not know that this was chosen: %v", err)
	}
	return nil
}

// LoadAtShutdown is what the service does when the system goes down to be
// restarted; its settings are in the environment. A kernel that was loaded by
// hand stays the choice, and is read again: an upgrade may have replaced it.
// When that fails nothing stays loaded, so that the old kernel is not started
// by mistake.
func (s *System) LoadAtShutdown(ctx context.Context, o Options) error {
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
	if err != nil && !o.DryRun && s.Loaded() && s.cannot() == nil {
		return errors.Join(err, s.Unload())
	}
	return err
}

// errForeign is the error for a kernel that was not loaded by kexec-reboot.
var errForeign = errors.New("another program has loaded a kernel, which is kept")

// chosen completes options that name neither a kernel nor an entry by what was
// loaded by hand before, which a reboot loads again.
func (s *System) chosen(o Options) (Options, error) {
	if o.Entry != "" || o.Kernel != "" || !s.Loaded() {
		return o, nil
	}
	b, err := os.ReadFile(s.path(choiceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, errForeign
	}
	if err != nil {
		return o, err
	}
	var before Options
	if err := json.Unmarshal(b, &before); err != nil {
		return o, fmt.Errorf("%s: %w", choiceFile, err)
	}
	return o.over(before), nil
}

// resolve completes options that still name neither a kernel nor an entry by
// the settings of the service, which read returns.
func (s *System) resolve(o Options, read func() (func(string) string, error)) (Options, error) {
	if o.Entry != "" || o.Kernel != "" {
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
	words := strings.TrimSpace(conf.Append + " " + o.Append)
	o = o.over(conf)
	o.Append = words
	return o, nil
}

// over returns base with what o asks for besides a kernel or an entry.
func (o Options) over(base Options) Options {
	if o.Cmdline != nil || o.Reuse {
		base.Cmdline, base.Reuse = o.Cmdline, o.Reuse
	}
	base.Append = cmp.Or(o.Append, base.Append)
	base.Method = cmp.Or(o.Method, base.Method)
	base.NoModules = base.NoModules || o.NoModules
	base.DryRun, base.menu = o.DryRun, o.menu
	return base
}

// remember keeps a choice that was made by hand.
func (s *System) remember(o Options) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path(choiceFile), b, 0o600)
}
