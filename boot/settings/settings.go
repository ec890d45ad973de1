// Package settings reads what a user has asked of alpboot. docs/settings.md,
// made from the table in this package, lists every setting.
//
// Values come from four places. Each counts more than those before it, in
// whatever order they are read:
//
//  1. what is built in: [Default],
//  2. /etc/alpboot.conf in the image of the menu,
//  3. alpboot.conf on a volume: [Settings.WithVolumes],
//  4. kernel parameters of the menu's own kernel, alpboot.NAME=VALUE.
//
// What cannot be understood leaves a note and nothing else.
package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
)

// FallbackTimeout is how long the countdown lasts when neither the settings nor
// the configuration of the default entry have.
const FallbackTimeout = 5 * time.Second

// What the settings of a few words can be.
const (
	Auto = "auto" // Color, Charset, Method, Remember and SettingsVolume: alpboot finds out
	Off  = "off"  // Remember and SettingsVolume: nowhere. Verify: nothing has to be signed

	Screen = "screen" // UI: a menu to move about in
	Line   = "line"   // UI: numbered lines, for teletypes, scripts and screen readers

	Mono    = "mono" // Color: bold and reverse only
	Color   = "16"   // Color: 16 colours, whatever the console's type
	ASCII   = "ascii"
	UTF8    = "utf8"
	Keep    = "keep"    // Consoles of the target: those on its command line
	Add     = "add"     // Consoles of the target: ours besides its own
	Replace = "replace" // Consoles of the target: ours instead of its own

	File = "file" // Method: kexec_file_load(2). Remember: the file RememberFile
	Load = "load" // Method: kexec_load(2)
	EFI  = "efi"  // Remember: EFI variables

	Restart   = "reboot" // Exhausted
	Wait      = "wait"
	PowerOff  = "poweroff"
	OpenShell = "shell"

	Warn    = "warn"    // Verify: what is not signed starts, and that is said
	Enforce = "enforce" // Verify: what is not signed does not start

	// What a password is asked for first: see [Settings.Asks].
	LockEdit     = "edit"     // editing an entry
	LockShell    = "shell"    // the shell
	LockOther    = "other"    // starting another entry than the default
	LockUnlock   = "unlock"   // typing the passphrase of a volume
	LockPower    = "power"    // restarting and powering off
	LockSettings = "settings" // settings, and which entry is the default

	Ask = "ask" // Removable: only when nothing built in can start
	Yes = "yes" // Removable: as any other
	No  = "no"  // Removable: never
)

// Last as a [Settings.Default] means the entry that was booted last.
const Last = boot.LastBooted

// NoPassword as a [Settings.Password] is one that nothing fits.
const NoPassword = "*"

// Settings is what was asked for. The zero value is not usable: take [Default].
type Settings struct {
	Timeout        *time.Duration  // until the default is booted; 0 at once, negative never, nil as in the default entry's configuration
	Default        string          // entry to boot: its ID, title, number in the list, or [Last]; "" when nothing was asked
	Rearm          time.Duration   // without a key, until the countdown starts again after one; 0 never
	Hidden         bool            // show nothing until a key is typed
	UI             string          // Screen or Line
	Consoles       []string        // devices to show the menu on; empty for those of the kernel
	Color          string          // Auto, Color or Mono
	Charset        string          // Auto, ASCII or UTF8
	Title          string          // in the header of the menu, instead of ours
	Theme          string          // for package menu, not checked here
	Keymap         string          // keyboard layout, by a name of Alpine's bkeymaps; "us" is the kernel's own
	Beep           bool            // for a person who does not see the screen
	Snapshots      bool            // list snapshots as well
	Shell          bool            // the menu opens a shell when asked
	Method         string          // of kexec: Auto, File or Load
	ConsolePolicy  string          // for console= of the target: Keep, Add or Replace
	HandOn         bool            // pass passphrases to the target, so that it asks for none
	DeviceLimit    time.Duration   // for a device to answer
	Settle         time.Duration   // without a new device, until the countdown starts
	Remember       string          // Auto, EFI, File or Off
	RememberFile   Place           // for Remember = File
	RememberLast   bool            // remember what was booted last
	Confirm        int             // how often an entry may start without reporting that it is up, before it has failed; 0: nothing is counted
	Exhausted      string          // when nothing is left to start: Restart, Wait, PowerOff or OpenShell
	ExhaustedPause []time.Duration // before that: for each time in a row one, the last from then on
	Removable      string          // whether what is not built in starts unattended: Ask, Yes or No
	Watchdog       time.Duration   // for the system to take it over; 0 for none
	Verify         string          // whether what starts must be signed: Off, Warn or Enforce
	WatchdogByHand bool            // also for an entry that is chosen by hand
	Password       string          // a hash, as package password takes it, or NoPassword; "" when nothing is asked for
	Locked         []string        // what is asked for it: see [Settings.Asks]
	SettingsVolume string          // Auto, Off, or File for the one that SettingsFile names
	SettingsFile   Place

	// Notes are what could not be understood, a sentence each.
	Notes []string

	sources map[string]Source // by name of the setting; what is missing is built in. Never changed in place.
	dropped int               // notes over the limit
}

// Place is a file on a volume that is named by UUID, label, or those of its
// partition.
type Place struct {
	Volume boot.VolumeRef
	Path   string // slash path from the root of the volume, without a leading slash
}

// String returns p as settings have it: UUID=1234-ABCD:/alpboot.conf.
func (p Place) String() string {
	for _, f := range p.fields() {
		if *f.value != "" {
			return f.name + *f.value + ":/" + p.Path
		}
	}
	return ""
}

type placeField struct {
	name  string
	value *string
}

func (p *Place) fields() [4]placeField {
	v := &p.Volume
	return [4]placeField{{"UUID=", &v.UUID}, {"LABEL=", &v.Label}, {"PARTUUID=", &v.PartUUID}, {"PARTLABEL=", &v.PartLabel}}
}

// Pause returns how long to wait before what Exhausted asks for, when nothing was
// left to start rounds times before, in a row; where that cannot be counted,
// rounds is 1.
func (s Settings) Pause(rounds int) time.Duration {
	return s.ExhaustedPause[min(max(rounds, 0), len(s.ExhaustedPause)-1)]
}

// Asks reports whether a password is asked for before something.
func (s Settings) Asks(what string) bool {
	return s.Password != "" && slices.Contains(s.Locked, what)
}

// RemembersLast reports whether what is booted last is to be remembered.
func (s Settings) RemembersLast() bool { return s.RememberLast || s.Default == Last }

// Source is where the value of a setting comes from. The zero value is built in.
type Source struct {
	layer layer
	where string
}

// String returns the source in words, such as "/etc/alpboot.conf:3".
func (s Source) String() string {
	if s.layer == builtIn {
		return "built in"
	}
	return s.where
}

// layer is a place where values come from; a later one counts more.
type layer uint8

const (
	builtIn layer = iota
	imageFile
	volumeFile
	parameter
)

// Default returns the settings that are built in.
func Default() Settings {
	var s Settings
	for _, f := range table() {
		if err := f.set(&s, f.def); err != nil {
			panic(err) // of the table, which a test goes through
		}
	}
	return s
}

const maxNotes = 20

// note adds a sentence about what was read at where.
func (s *Settings) note(where, text string) {
	if len(s.Notes) >= maxNotes {
		s.dropped++
		return
	}
	if where != "" {
		text = where + ": " + text
	}
	s.Notes = append(slices.Clip(s.Notes), text)
}

// take sets one setting, unless a place that counts more has set it. Written is
// how it stands there.
func (s *Settings) take(src Source, name, value, written string) {
	where := src.where
	if src.layer == parameter {
		where = ""
	}
	f, ok := lookup(name)
	if ok && f.secret {
		written = f.name + ", whose value is not shown,"
	}
	if !ok {
		if src.layer == parameter {
			name = prefix + name
		}
		s.note(where, boot.Clean(name)+" is not a setting of alpboot.")
		return
	}
	if src.layer != imageFile && f.image {
		s.note(where, f.name+" is taken from alpboot.conf in the image only.")
		return
	}
	if src.layer == volumeFile && !f.volume {
		s.note(where, f.name+" is not taken from a volume, only from the image and the kernel parameters.")
		return
	}
	tried := *s // even where it does not count, so that a slip is seen
	if f.set(&tried, value) != nil {
		s.note(where, boot.Clean(written)+" is not understood: it takes "+f.takes+".")
		if !f.image {
			return
		}
		value = f.strict
	}
	endless := f.name == "timeout" && tried.Timeout != nil && *tried.Timeout < 0 || f.name == "rearm" && tried.Rearm == 0
	if src.layer == volumeFile && endless {
		s.note(where, boot.Clean(written)+" is not taken from a volume: an unattended machine would wait for ever.")
		return
	}
	if src.layer < s.sources[f.name].layer {
		return
	}
	if f.rises && slices.Index(f.words, value) < slices.Index(f.words, f.get(s)) {
		s.note(where, fmt.Sprintf("%s does not count: %s has %s, which can only be made stricter.", boot.Clean(written), s.sources[f.name], f.get(s)))
		return
	}
	f.set(s, value)
	s.sources = maps.Clone(s.sources)
	if s.sources == nil {
		s.sources = map[string]Source{}
	}
	s.sources[f.name] = src
}

// lookup finds a setting. As in the kernel, _ is the same as -.
func lookup(name string) (setting, bool) {
	all := table()
	i := slices.IndexFunc(all, func(f setting) bool { return f.name == strings.ReplaceAll(name, "_", "-") })
	if i < 0 {
		return setting{}, false
	}
	return all[i], true
}

// ForTarget returns a command line that was made for the running kernel as one
// for the next: without what a boot loader added (BOOT_IMAGE=, initrd=), and
// without our own parameters.
func ForTarget(line string) string {
	ours := func(word string) bool { return strings.HasPrefix(word, prefix) }
	return slices.DeleteFunc(cmdline.Parse(line).WithoutLoader(), ours).String()
}
