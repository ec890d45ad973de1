package settings

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot/password"
)

// setting is one line of the table: all that there is about a setting.
type setting struct {
	name   string
	takes  string   // what its value is, to follow "it takes"
	def    string   // value that is built in
	help   string   // a sentence or two, as in the documentation
	volume bool     // a file on a volume may set it too
	words  []string // all that it takes; nil where that is no list
	rises  bool     // of these, one never takes the place of a later one
	image  bool     // only the file in the image may set it
	strict string   // then, what counts where that file has what it does not take
	secret bool     // its value is not shown

	set func(*Settings, string) error // without an effect when it fails
	get func(*Settings) string        // what set takes
}

// table returns all settings in the order in which they are shown. Not from a
// volume come those that would write to a disk, weaken the machine, keep it
// from booting, or have had their effect before a volume is read.
func table() []setting {
	return []setting{
		{
			name: "timeout", def: Auto, volume: true,
			takes: "whole seconds up to 86400, 0 to boot at once, -1 to wait for ever, or auto",
			help:  "How long the countdown lasts. With auto, that in the configuration of the default entry, where the menu has a screen at least 3 seconds; else 5 seconds.",
			set:   setTimeout, get: getTimeout,
		},
		text("default", "", "the ID of an entry as lsboot --json prints it, its title, its number in the list, or @last",
			"Which entry is booted when nobody types; @last is the one booted last. Empty: see below.",
			func(s *Settings) *string { return &s.Default }).fromVolume(),
		seconds("rearm", "300", 0, maxSeconds, "Without a key for so long, the countdown that a key has stopped starts again; 0 means never.",
			func(s *Settings) *time.Duration { return &s.Rearm }).fromVolume(),
		yesNo("hidden", "no", "Shows nothing until a key is typed, with ui = line a line, or the countdown is over.",
			func(s *Settings) *bool { return &s.Hidden }),
		oneOf("ui", Screen, "A menu to move about in, or numbered lines for teletypes, scripts and screen readers.",
			func(s *Settings) *string { return &s.UI }, Screen, Line),
		{
			name: "consoles", def: "", takes: "up to 8 names of terminals with commas between them, such as tty1,ttyS0",
			help: "Where the menu is shown. Empty: on all consoles that the kernel uses, and the screen.",
			set:  setConsoles, get: func(s *Settings) string { return strings.Join(s.Consoles, ",") },
		},
		oneOf("color", Auto, "Colours of the menu: those of the console's type, 16 in any case, or only bold and reverse.",
			func(s *Settings) *string { return &s.Color }, Auto, Color, Mono).fromVolume(),
		oneOf("charset", Auto, "Characters of the menu.",
			func(s *Settings) *string { return &s.Charset }, Auto, ASCII, UTF8),
		text("title", "", "a line of text", "What the menu's header shows in place of alpboot, its version and the host name, such as the name of the machine.",
			func(s *Settings) *string { return &s.Title }).fromVolume(),
		text("theme", "", "ROLE=FOREGROUND/BACKGROUND+ATTRIBUTE with commas between several, or mono", "Colours of the parts of the menu, where they differ from the built-in ones.",
			func(s *Settings) *string { return &s.Theme }).fromVolume(),
		yesNo("beep", "no", "Beeps as often as the number of the marked entry, when another one is marked: for a person who does not see the screen. It is the bell of each console: on a serial line that of the terminal, on a screen the speaker, where the kernel has its driver, as alpboot's own for PCs has.",
			func(s *Settings) *bool { return &s.Beep }).fromVolume(),
		{
			name: "keymap", def: "us", volume: true,
			takes: "the name of a layout as in Alpine's /usr/share/bkeymaps, such as de or de-nodeadkeys",
			help:  "Keyboard layout. A file of the image or of an installed Alpine comes first; without one the menu has twenty-seven layouts of its own.",
			set:   setKeymap, get: func(s *Settings) string { return s.Keymap },
		},
		yesNo("snapshots", "no", "Lists snapshots as well, below the systems they belong to.",
			func(s *Settings) *bool { return &s.Snapshots }).fromVolume(),
		yesNo("shell", "yes", "The menu opens a shell when asked.",
			func(s *Settings) *bool { return &s.Shell }),
		oneOf("method", Auto, "System call that loads the target: kexec_file_load or kexec_load. With auto the second, which takes less time and memory, where alpboot can lay the kernel out itself and its own is not locked down, else the first; and the other one where that fails.",
			func(s *Settings) *string { return &s.Method }, Auto, File, Load),
		oneOf("console-policy", Keep, "Which console= the target gets: its own, ours besides them, or ours instead. One that alpboot made and that names none gets ours in any case. The menu shows the command lines with them; one that is edited is taken as typed.",
			func(s *Settings) *string { return &s.ConsolePolicy }, Keep, Add, Replace).fromVolume(),
		yesNo("hand-on-passphrase", "no", "A passphrase typed into the menu is passed to the target in memory, so that it does not ask again.",
			func(s *Settings) *bool { return &s.HandOn }),
		seconds("device-limit", "10", 1, 600, "How long a device may take to answer before it is reported. An answer that comes later counts all the same.",
			func(s *Settings) *time.Duration { return &s.DeviceLimit }),
		seconds("settle", "1", 0, 600, "How long no new device must have come before the countdown starts. Up to 1, that is waited for only where something may still bring in a disk, such as USB, and the default was not asked for or is not there.",
			func(s *Settings) *time.Duration { return &s.Settle }),
		{
			name: "remember", def: Auto, takes: "auto, efi, off, or a file on a volume such as UUID=1234-ABCD:/alpboot.state (also LABEL=, PARTUUID=, PARTLABEL=)",
			help: "Where the menu keeps what it remembers. With auto in EFI variables where there are some, else in a file that was made for it (alpboot remember), else nowhere.",
			set: func(s *Settings, v string) error {
				return setPlace(&s.Remember, &s.RememberFile, v, Auto, EFI, Off)
			},
			get: func(s *Settings) string { return getPlace(s.Remember, s.RememberFile) },
		},
		yesNo("remember-last", "no", "Remembers also what was booted last. That is written when it changes. On with default = @last.",
			func(s *Settings) *bool { return &s.RememberLast }),
		{
			name: "confirm", def: "no", volume: true, takes: "no, yes for 3, or how often, from 1 to 9",
			help: "How often an entry may start unattended without reporting that it is up, before it counts as failed. Needs a place to remember, and a system that reports it.",
			set:  setConfirm, get: getConfirm,
		},
		oneOf("exhausted", Restart, "What is done when nothing is left to start: restart the machine, wait, power off, or open a shell. Before that comes exhausted-pause; any key stops it.",
			func(s *Settings) *string { return &s.Exhausted }, Restart, Wait, PowerOff, OpenShell),
		{
			name: "exhausted-pause", def: "60,300,1800", takes: "up to 8 numbers of seconds from 1 to 86400 with commas between them",
			help: "How long before that. One number for each time in a row that nothing was left; the last one from then on. The second one, where that cannot be counted.",
			set:  setPauses, get: getPauses,
		},
		oneOf("removable", Ask, "Whether what is on a disk that is not built in, such as a stick, may start unattended. With ask only when nothing that is built in can be booted; else it is chosen by hand: see below.",
			func(s *Settings) *string { return &s.Removable }, Ask, Yes, No),
		{
			name: "watchdog", def: "0", volume: true, takes: "0 for none, or whole seconds from 30 to 600",
			help: "The watchdog of the machine restarts it unless the system that is started unattended takes it over within so long.",
			set:  setWatchdog, get: func(s *Settings) string { return inSeconds(s.Watchdog) },
		},
		yesNo("watchdog-by-hand", "no", "The watchdog is started for an entry that is chosen by hand, too.",
			func(s *Settings) *bool { return &s.WatchdogByHand }).fromVolume(),
		oneOf("verify", Off, "Whether what starts must be signed: its files and its command line are in an alpboot.manifest, which a key in the image has signed (alpboot sign). With warn something else starts all the same, and the menu says so. With enforce it does not, nothing can be edited, no shell is opened and no settings are read from a volume. A kernel parameter can only make it stricter than the image has it.",
			func(s *Settings) *string { return &s.Verify }, Off, Warn, Enforce).onlyRising(),
		{
			name: "password", image: true, secret: true, strict: NoPassword,
			takes: "a hash that openssl passwd -6 or grub-mkpasswd-pbkdf2 has made, or * for one that no password fits; not $y$, nor another form",
			help:  "The menu asks for this password before it does what the setting locked has. What a configuration of GRUB or syslinux has protected asks for a password without it, too.",
			set: func(s *Settings, v string) error {
				if v != "" && v != NoPassword && !password.IsHash(v) {
					return errValue
				}
				s.Password = v
				return nil
			},
			get: func(s *Settings) string { // not the hash
				if s.Password == "" {
					return ""
				}
				return NoPassword
			},
		},
		{
			name: "locked", image: true, def: strings.Join([]string{LockEdit, LockShell, LockOther, LockSettings}, ","), strict: strings.Join(lockable(), ","),
			takes: "one or more of " + strings.Join(lockable(), ", ") + ", with commas between them",
			help:  "What the password is asked for: editing an entry; the shell; starting another entry than the default; typing the passphrase of a volume; restarting and powering off; settings and which entry is the default. With edit, entries start with panic=30, unless they have panic=: so the initramfs of Alpine or Debian opens no shell.",
			set: func(s *Settings, v string) error {
				var all []string
				for word := range strings.SplitSeq(v, ",") {
					word = strings.TrimSpace(word)
					if !slices.Contains(lockable(), word) {
						return errValue
					}
					all = append(all, word)
				}
				s.Locked = all
				return nil
			},
			get: func(s *Settings) string { return strings.Join(s.Locked, ",") },
		},
		{
			name: "settings-volume", def: Auto, takes: "auto, off, or a file on a volume such as UUID=1234-ABCD:/alpboot.conf (also LABEL=, PARTUUID=, PARTLABEL=)",
			help: "The file on a volume that is read for settings. With auto one on a disk that is built in: see below. Named here it may lie on any disk.",
			set: func(s *Settings, v string) error {
				return setPlace(&s.SettingsVolume, &s.SettingsFile, v, Auto, Off)
			},
			get: func(s *Settings) string { return getPlace(s.SettingsVolume, s.SettingsFile) },
		},
	}
}

// lockable is what a password can be asked for.
func lockable() []string {
	return []string{LockEdit, LockShell, LockOther, LockUnlock, LockPower, LockSettings}
}

// maxSeconds keeps a slip of the finger from overflowing a duration.
const maxSeconds = 24 * 60 * 60

// errValue is what set returns for a value that the setting does not take; takes
// is the rest of the sentence.
var errValue = errors.New("not understood")

func (f setting) fromVolume() setting {
	f.volume = true
	return f
}

func (f setting) onlyRising() setting {
	f.rises = true
	return f
}

func yesNo(name, def, help string, of func(*Settings) *bool) setting {
	words := map[bool]string{true: "yes", false: "no"}
	return setting{
		name: name, def: def, help: help, takes: "yes or no", words: []string{"yes", "no"},
		set: func(s *Settings, v string) error {
			switch v {
			case "yes", "1", "on", "y", "true":
				*of(s) = true
			case "no", "0", "off", "n", "false":
				*of(s) = false
			default:
				return errValue
			}
			return nil
		},
		get: func(s *Settings) string { return words[*of(s)] },
	}
}

func oneOf(name, def, help string, of func(*Settings) *string, words ...string) setting {
	last := len(words) - 1
	return setting{
		name: name, def: def, help: help, takes: strings.Join(words[:last], ", ") + " or " + words[last], words: words,
		set: func(s *Settings, v string) error {
			if !slices.Contains(words, v) {
				return errValue
			}
			*of(s) = v
			return nil
		},
		get: func(s *Settings) string { return *of(s) },
	}
}

func text(name, def, takes, help string, of func(*Settings) *string) setting {
	return setting{
		name: name, def: def, help: help, takes: takes,
		set: func(s *Settings, v string) error {
			if !isText(v) {
				return errValue
			}
			*of(s) = v
			return nil
		},
		get: func(s *Settings) string { return *of(s) },
	}
}

func seconds(name, def string, least, most int, help string, of func(*Settings) *time.Duration) setting {
	return setting{
		name: name, def: def, help: help,
		takes: "whole seconds from " + strconv.Itoa(least) + " to " + strconv.Itoa(most),
		set: func(s *Settings, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < least || n > most {
				return errValue
			}
			*of(s) = time.Duration(n) * time.Second
			return nil
		},
		get: func(s *Settings) string { return inSeconds(*of(s)) },
	}
}

func inSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func setTimeout(s *Settings, v string) error {
	if v == Auto {
		s.Timeout = nil
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n > maxSeconds {
		return errValue
	}
	d := time.Duration(max(n, -1)) * time.Second
	s.Timeout = &d
	return nil
}

func getTimeout(s *Settings) string {
	if s.Timeout == nil {
		return Auto
	}
	return inSeconds(*s.Timeout)
}

const (
	defaultTries = 3
	maxTries     = 9
)

func setConfirm(s *Settings, v string) error {
	switch v {
	case "yes", "on", "y", "true":
		s.Confirm = defaultTries
		return nil
	case "no", "off", "n", "false":
		s.Confirm = 0
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > maxTries {
		return errValue
	}
	s.Confirm = n
	return nil
}

func getConfirm(s *Settings) string {
	if s.Confirm == 0 {
		return No
	}
	return strconv.Itoa(s.Confirm)
}

func setPauses(s *Settings, v string) error {
	const most = 8
	var pauses []time.Duration
	for text := range strings.SplitSeq(v, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > maxSeconds || len(pauses) == most {
			return errValue
		}
		pauses = append(pauses, time.Duration(n)*time.Second)
	}
	s.ExhaustedPause = pauses
	return nil
}

func getPauses(s *Settings) string {
	var words []string
	for _, d := range s.ExhaustedPause {
		words = append(words, inSeconds(d))
	}
	return strings.Join(words, ",")
}

func setWatchdog(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n != 0 && (n < 30 || n > 600) {
		return errValue
	}
	s.Watchdog = time.Duration(n) * time.Second
	return nil
}

func setConsoles(s *Settings, v string) error {
	const most = 8
	var devices []string
	for name := range strings.SplitSeq(v, ",") {
		name = strings.TrimPrefix(strings.TrimSpace(name), "/dev/")
		if name == "" {
			continue
		}
		// A letter first: the 115200 of ttyS0,115200 is not a terminal.
		if letter := name[0] | 0x20; letter < 'a' || letter > 'z' || !isPlain(name, "/_-") || !fs.ValidPath(name) || len(devices) == most {
			return errValue
		}
		devices = append(devices, name)
	}
	s.Consoles = devices
	return nil
}

func setKeymap(s *Settings, v string) error {
	if v == "" || len(v) > 64 || !isPlain(v, "/_-.") || !fs.ValidPath(v) {
		return errValue
	}
	s.Keymap = v
	return nil
}

// isPlain reports whether s holds only ASCII letters, digits and others.
func isPlain(s, others string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r)
	})
}

// isText reports whether s is fit for a line of settings, and for the screen.
func isText(s string) bool {
	return len(s) <= maxLine/2 && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// setPlace takes one of words, or the name of a file on a volume.
func setPlace(word *string, place *Place, v string, words ...string) error {
	if slices.Contains(words, v) {
		*word, *place = v, Place{}
		return nil
	}
	at := strings.LastIndex(v, ":/")
	if at < 0 || !isText(v) {
		return errValue
	}
	volume, file := v[:at], v[at+2:]
	if !fs.ValidPath(file) || file == "." {
		return errValue
	}
	p := Place{Path: file}
	for _, f := range p.fields() {
		if id, ok := strings.CutPrefix(volume, f.name); ok && id != "" {
			*f.value = id
			*word, *place = File, p
			return nil
		}
	}
	return errValue
}

func getPlace(word string, place Place) string {
	if word == File {
		return place.String()
	}
	return word
}
