package refind

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/efiprogram"
	"github.com/alpboot/alpboot/boot/format/efivars"
	"github.com/alpboot/alpboot/boot/format/fspath"
	"github.com/alpboot/alpboot/boot/kernel"
)

// configFile is the configuration of rEFInd itself, beside its EFI program.
const configFile = "refind.conf"

// homes are where the EFI system partition is on the volume: its top, where it is
// the volume, or a directory of the root filesystem that it is mounted on.
var homes = [...]string{"", "boot/efi", "boot", "efi"}

// stanza is a menuentry of refind.conf, or one of its submenuentries.
type stanza struct {
	src                             boot.Source
	title                           string
	volume, loader, initrd, options string
	disabled, ofFirmware            bool
	subs                            []*stanza
}

// config is a refind.conf with what it includes.
type config struct {
	*reader
	home      string // the directory of its EFI system partition
	stanzas   []*stanza
	selection []string // default_selection
	timeout   *time.Duration
	manual    bool // stanzas are shown
}

// configs adds the entries of each refind.conf.
func (r *reader) configs() {
	var done []string
	for _, at := range homes {
		for _, home := range fspath.Directories(r.fsys, ".", at, nil) {
			for _, file := range fspath.Files(r.fsys, home, "EFI/*/"+configFile, nil) {
				if slices.Contains(done, file) {
					continue
				}
				if done = append(done, file); len(done) > maxConfigs {
					r.notes.Add(boot.Source{File: file}, fmt.Sprintf("There are more than %d files %s: this one is not read.", maxConfigs, configFile))
					return
				}
				c := &config{reader: r, home: home, manual: true}
				if err := c.file(file, true); err != nil {
					r.errs = append(r.errs, fmt.Errorf("/%s cannot be used: %w", file, err))
					continue
				}
				c.add(file)
			}
		}
	}
}

// file reads a configuration file. Only the first one may include others.
func (c *config) file(name string, mayInclude bool) error {
	b, err := boot.ReadFile(c.fsys, name, maxFile)
	if err != nil {
		return err
	}
	if c.configLeft -= len(b); c.configLeft < 0 {
		return fmt.Errorf("%w: more than %d MiB of such files", boot.ErrTooLarge, maxConfigText>>20)
	}
	var at, sub *stanza // being read
	n := 0
	for s := range strings.SplitSeq(decode(b), "\n") {
		n++
		words := tokens(s)
		if len(words) == 0 {
			continue
		}
		src := boot.Source{File: name, Line: n}
		key, value := strings.ToLower(words[0]), ""
		if len(words) > 1 && words[1] != "{" {
			value = words[1]
		}
		switch {
		case key == "}" && sub != nil:
			sub = nil
		case key == "}":
			at = nil
		case key == "menuentry" && at == nil:
			if !c.mayAdd(src) {
				return nil
			}
			at = &stanza{src: src, title: value}
			c.stanzas = append(c.stanzas, at)
		case key == "submenuentry" && at != nil && sub == nil:
			if !c.mayAdd(src) {
				return nil
			}
			sub = &stanza{src: src, title: value, volume: at.volume, loader: at.loader, initrd: at.initrd, options: at.options}
			at.subs = append(at.subs, sub)
		case at != nil:
			c.setting(src, cmp.Or(sub, at), key, value, words)
		case key == "include" && mayInclude && value != "":
			if err := c.file(path.Join(path.Dir(name), fspath.InsideDOS(value)), false); err != nil {
				c.notes.Add(src, fmt.Sprintf("The included file %s cannot be used: %v.", boot.Quote(value), err))
			}
		case key == "default_selection":
			c.selection = strings.Split(value, ",")
		case key == "timeout":
			if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
				wait := time.Duration(seconds) * time.Second
				switch {
				case seconds == 0: // until somebody chooses
					wait = -1
				case seconds < 0: // at once
					wait = 0
				}
				c.timeout = &wait
			}
		case key == "scanfor":
			c.manual = slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, "manual") })
		}
		// Everything else is about the looks of rEFInd, and what it scans.
	}
	return nil
}

// mayAdd reports whether there is room for one more stanza, and notes when not.
func (c *config) mayAdd(src boot.Source) bool {
	if c.stanzasLeft--; c.stanzasLeft < 0 {
		c.notes.Add(src, fmt.Sprintf("There are more than %d stanzas: from here on they are left out.", maxStanzas))
		return false
	}
	return true
}

// setting takes a line inside of a stanza.
func (c *config) setting(src boot.Source, s *stanza, key, value string, words []string) {
	switch key {
	case "volume":
		s.volume = value
	case "loader":
		s.loader = value
	case "initrd":
		s.initrd = value
	case "options", "add_options":
		if len(words) > 2 {
			c.notes.Add(src, fmt.Sprintf("%s is not in quotes with the rest of the options: rEFInd does not take it.", boot.Quote(words[2])))
		}
		if key == "add_options" {
			value = strings.TrimSpace(s.options + " " + value)
		}
		s.options = value
	case "firmware_bootnum":
		s.ofFirmware = true
	case "disabled":
		s.disabled = true
	}
}

// add adds the entries of all stanzas.
func (c *config) add(file string) {
	if !c.manual && len(c.stanzas) > 0 {
		c.notes.Add(boot.Source{File: file}, "rEFInd does not show its stanzas, as scanfor does not name manual: they are left out.")
		return
	}
	first := len(c.entries)
	for _, s := range c.stanzas {
		if s.disabled || s.ofFirmware && s.loader == "" {
			continue
		}
		c.entry(s, nil)
		for _, sub := range s.subs {
			if !sub.disabled {
				c.entry(sub, boot.Within(nil, cmp.Or(boot.Clean(s.title), "Entry without a title")))
			}
		}
	}
	// The first words of a list that any title contains; numbers and + are about
	// what rEFInd has found by itself.
	for _, want := range c.selection {
		want = strings.ToLower(strings.TrimSpace(want))
		if _, err := strconv.Atoi(want); err == nil || want == "" || want == "+" {
			continue
		}
		for i := first; i < len(c.entries); i++ {
			if e := &c.entries[i]; len(e.Submenu) == 0 && strings.Contains(strings.ToLower(e.Title), want) {
				e.Default = true
				return
			}
		}
	}
}

// entry adds the entry of a stanza.
func (c *config) entry(s *stanza, submenu []string) {
	e := boot.Entry{
		Title:   cmp.Or(boot.Clean(s.title), "Entry without a title"),
		Submenu: submenu,
		Format:  formatName,
		Source:  s.src,
		Timeout: c.timeout,
	}
	defer func() { c.entries = append(c.entries, e) }()
	file := fspath.InsideDOS(s.loader)
	if s.loader == "" || file == "." {
		e.Problem = "It names no kernel."
		return
	}
	options := s.options
	if s.initrd != "" {
		options = strings.TrimSpace(options + " initrd=" + s.initrd)
	}
	fsys, home := c.fsys, c.home
	if s.volume != "" {
		home = "."
		found := c.lookUp(s.volume, file)
		if len(found) == 0 {
			c.unresolved = true
			e.Problem = fmt.Sprintf("The volume %s, which it names, has not been found.", boot.Quote(s.volume))
		} else {
			fsys = found[0].FS
			if found[0].Volume != c.vol {
				e.Volume = found[0].Volume
			}
		}
	}
	e.Kernel = path.Join(home, file)
	in, u, err := kernel.Describe(fsys, e.Kernel)
	if isProgram := in.Format == kernel.PE || errors.Is(err, kernel.ErrNotKernel) && strings.EqualFold(path.Ext(file), ".efi"); u != nil || isProgram {
		efiprogram.Complete(&e, fsys, home, options)
		return
	}
	e.Cmdline, e.Initrds = efivars.LoadOptions(options)
	for i, name := range e.Initrds {
		e.Initrds[i] = path.Join(home, name)
	}
	if len(e.Initrds) > maxInitrds {
		e.Problem = cmp.Or(e.Problem, fmt.Sprintf("It names %d initrds, more than the %d that alpboot reads.", len(e.Initrds), maxInitrds))
		e.Initrds = e.Initrds[:maxInitrds]
	}
}

// lookUp returns the volumes that a stanza calls by that name: the label of a
// filesystem or of a partition, or the UUID of a partition. Those that hold the
// file come alone, if there are any.
func (c *config) lookUp(name, file string) []boot.MountedVolume {
	if c.lookupsLeft--; c.lookupsLeft < 0 {
		return nil
	}
	for _, file := range []string{file, ""} {
		for _, ref := range []boot.VolumeRef{{Label: name, File: file}, {PartLabel: name, File: file}, {PartUUID: name, File: file}, {UUID: name, File: file}} {
			if found := c.others.Find(ref, c.vol); len(found) > 0 {
				return found
			}
		}
	}
	if c.vol.IsDirectory() { // as others are: their labels are not known
		return c.others.Find(boot.VolumeRef{File: file}, c.vol)
	}
	return nil
}
