// Package menu is what the user of alpboot sees and types into, as pure
// values: a [Model] that [Model.Update] turns into the next one for every
// message, and that [Model.View] paints into cells for a console of any size.
//
// There is no terminal, clock, goroutine or device in it. Ticks, keys, found
// entries and failures all come as messages; what shall happen outside (boot,
// open a shell, scan again) goes out as an [Action]. Package menu/term shows a
// Model on screens, package menu/line writes it as lines of text.
//
// Text that comes from disks is never trusted: control characters, wide and
// combining runes are replaced before they become cells.
package menu

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Config is what a Model needs to know from the start.
type Config struct {
	Version string // of alpboot, shown in the header: that of a release, or "dev"

	// Title is in the header in place of alpboot, Version and host name; "" for these.
	Title string

	// Timeout is how long the countdown lasts, whatever the entries have; nil
	// when it is not set, 0 to boot at once, negative for never.
	Timeout *time.Duration

	// LeastTimeout is the least that is counted down where the timeout is that of an
	// entry: boot loaders have one that is over before a monitor shows a picture.
	LeastTimeout time.Duration

	// FallbackTimeout counts when neither Timeout nor the default entry has one. It is also the least that is counted down when the countdown
	// starts again after a key, so that there is time to see it.
	FallbackTimeout time.Duration

	// Rearm is how long after the last key the countdown starts again, so that
	// a stray byte cannot hang an unattended machine; 0 for never.
	Rearm time.Duration

	// CmdlineLimit is the number of bytes that the kernel takes as a command
	// line; a longer one is refused. 0 when no limit is known.
	CmdlineLimit int

	// Consoles has for the device of a console the value of the kernel parameter
	// console= for it, such as "ttyS0,115200" for /dev/ttyS0. For one
	// that is not there the name of the device is used, without a speed.
	Consoles map[string]string

	Firmware bool // the firmware has a setup that it can be restarted into

	// Enrolment is what can be enrolled for Secure Boot; nil for nothing.
	Enrolment *Enrolment
	Relaunch  bool     // alpboot can be restarted by kexec
	Others    []Other  // what else the firmware can start
	Keymaps   []string // keyboard layouts to choose from, by the names of Alpine's bkeymaps
	HandOn    bool     // passphrases are passed on unless the user decides otherwise

	Settings       []Setting                     // that can be written to a file
	SettingsFile   string                        // such as "/alpboot.conf on /dev/sda1"; "" for none
	NoSettingsFile string                        // why there is none, as a sentence
	Accepts        func(name, value string) bool // whether a value of a setting can be written; nil for any

	// Locked is why nothing can be edited and no shell opened, as a sentence; "" where
	// both can.
	Locked string

	// Asks has what a password is asked for first, such as AskEdit, and Password whether
	// one can be right.
	Asks     []string
	Password bool

	Beep bool // consoles beep as [Model.Beeps] has it

	// Hidden lets the screen be blank but for one line until a key is typed, or
	// until something needs to be seen: a failure, or that there is nothing to
	// boot by itself. The key does nothing else.
	Hidden bool
}

// Msg is something that happened: one of the types of this package whose names
// end in Msg.
type Msg interface{ isMsg() }

// KeyMsg is a key typed on a console.
type KeyMsg struct {
	Key  Key
	Rune rune // for KeyRune; with ModCtrl the lower case letter
	Mod  Mod

	// Size is that of the console it was typed on, for keys that go by lines or
	// pages of what is shown there; zero when it is not known.
	Size Size

	Console string // device of the console it was typed on, such as /dev/ttyS0
}

// TapMsg is a touch of a screen.
type TapMsg struct {
	At      Point
	Size    Size   // of the screen
	Console string // its device
}

// PasteMsg is text pasted in one piece. Line ends in it are white space and
// never boot anything.
type PasteMsg struct{ Text string }

// TickMsg is the time. Send one at least every second: the countdown knows
// the time from nothing else.
type TickMsg struct{ Now time.Time }

// ConfigMsg replaces the configuration of [New], when more of it has become known. What
// the user has changed since stays: Hidden and HandOn count only in New.
type ConfigMsg struct{ Config Config }

// InventoryMsg replaces everything that is known about disks and entries.
type InventoryMsg struct {
	Inventory boot.Inventory
	Default   string   // ID of the entry to boot unattended; "" when there is none
	Last      string   // ID of the entry that was booted last time; "" when unknown
	Wait      string   // why nothing is booted unattended, as a sentence; "" when something is
	Notes     []string // sentences about the choice and the settings
	Memory    string   // where a default is remembered, as a sentence; "" for nowhere

	// MemoryPlaces are where a file for it can be made, when Memory is "".
	MemoryPlaces []MemoryPlace

	// Added is what an unattended start adds to the command line of an entry, by ID.
	Added map[string]string

	// PassedOver is why entries are not booted unattended, by ID, a sentence each. They
	// are marked as failed.
	PassedOver map[string]string

	Exhausted *Exhausted // what is done when nobody types; nil for nothing
}

// MemoryPlace is a place for a file in which a default is remembered.
type MemoryPlace struct{ Device, Path string }

func (p MemoryPlace) String() string { return "/" + p.Path + " on " + p.Device }

// Exhausted is what is done when nothing is left to start and nobody types.
type Exhausted struct {
	What string // such as "Restarting"
	Why  string // a sentence
	In   time.Duration
}

// FailedMsg means that booting an entry failed. The entry is marked and is not
// booted unattended again; there is no default until an InventoryMsg names
// another one.
type FailedMsg struct {
	ID     string
	Reason string // a sentence
}

// StatusMsg is what is going on, such as "Loading vmlinuz-lts ..."; an empty
// Text when nothing is any more.
type StatusMsg struct{ Text string }

// NoticeMsg is a warning about the whole machine. It stays on the screen.
type NoticeMsg struct{ Text string }

// ResultMsg is what came of something that was asked for, such as where the log
// was saved. It is gone with the next key.
type ResultMsg struct {
	Text string // a sentence
	Bad  bool   // it did not work
}

// SettingsSavedMsg is the answer to [SaveSettings].
type SettingsSavedMsg struct {
	Text string // a sentence
	Bad  bool   // nothing was written
}

// ProgressMsg is how far the entry ID that is being booted has come. It is
// shown once loading takes longer than half a second; a few a second are enough.
type ProgressMsg struct {
	ID          string
	Stage       string // such as "Loading initramfs-lts"
	Done, Total int64  // bytes; Total is 0 when it is not known
}

// CancelledMsg means that what was being booted was stopped, as [Cancel] asked.
type CancelledMsg struct{}

// UnlockedMsg is the answer to [Unlock]. Without Wrong and Error the volume is
// unlocked; what is on it comes with an [InventoryMsg].
type UnlockedMsg struct {
	Device string
	Wrong  bool   // the passphrase does not unlock it
	Error  string // a sentence: it cannot be unlocked, whatever the passphrase
}

// PasswordMsg is the answer to [Password].
type PasswordMsg struct {
	Right bool
	Owner bool // it is that of the owner of the machine, which opens all
}

// CompletionMsg is the answer to [Complete] with the same Seq.
type CompletionMsg struct {
	Seq   int
	Names []string // whole paths as in [boot.Entry], in order; a directory ends in a slash
}

// LogMsg is what was added to the log: of the last 2000 lines or so, the menu
// shows all. Many lines in one message are cheaper than a message a line.
type LogMsg struct{ Lines []LogLine }

// LogLine is a line of the log. Text has the time in it, if any.
type LogLine struct {
	Level  slog.Level
	Text   string
	Kernel bool // it is the kernel's, and not alpboot's
}

// SystemMsg is what there is to know about the machine, as answer to [System]
// or unasked. A line that ends in a colon is a heading.
type SystemMsg struct{ Lines []string }

// InspectedMsg is the answer to [Inspect].
type InspectedMsg struct {
	ID    string // of the entry
	Files []File
	Notes []string // what the kernel may lack on this machine, in sentences
}

// File is what is shown of a kernel or an initrd.
type File struct {
	Path    string    // as in the entry
	Size    int64     // in bytes; negative when unknown
	Made    time.Time // when it was last changed; zero when unknown
	About   string    // such as "bzImage for x86_64"; may be empty
	Problem string    // why it cannot be used; "" when it can
}

// RequestMsg asks for an action as keys do, whatever the screen is at. It is
// for consoles without a screen. Its answer is the Action, unless it cannot be
// done now: then the model has a message with the reason.
type RequestMsg struct {
	Action  Action
	Console string // device of the console
}

// ChangeMsg changes a setting, as the page of the settings does: nothing is written.
type ChangeMsg struct{ Change Change }

// ShellDoneMsg means that the shell has ended, with Error ("" for none).
type ShellDoneMsg struct{ Error string }

func (KeyMsg) isMsg()           {}
func (TapMsg) isMsg()           {}
func (PasteMsg) isMsg()         {}
func (TickMsg) isMsg()          {}
func (ConfigMsg) isMsg()        {}
func (InventoryMsg) isMsg()     {}
func (FailedMsg) isMsg()        {}
func (StatusMsg) isMsg()        {}
func (NoticeMsg) isMsg()        {}
func (ResultMsg) isMsg()        {}
func (SettingsSavedMsg) isMsg() {}
func (ProgressMsg) isMsg()      {}
func (CancelledMsg) isMsg()     {}
func (UnlockedMsg) isMsg()      {}
func (PasswordMsg) isMsg()      {}
func (CompletionMsg) isMsg()    {}
func (LogMsg) isMsg()           {}
func (SystemMsg) isMsg()        {}
func (InspectedMsg) isMsg()     {}
func (RequestMsg) isMsg()       {}
func (ChangeMsg) isMsg()        {}
func (ShellDoneMsg) isMsg()     {}

// Action is what shall be done outside: one of the types below. A nil Action
// asks for nothing.
type Action interface{ isAction() }

// Boot asks for an entry to be booted. The answer is a [FailedMsg], if any.
type Boot struct {
	Entry      boot.Entry // with command line and paths as the user edited them
	Edited     bool       // they are not those that were found
	Unattended bool       // the countdown ran out: nobody may be watching
}

// Cancel asks for the loading of what is being booted to be stopped. The answer
// is a [CancelledMsg], or nothing when it is too late.
type Cancel struct{}

// Complete asks for the paths on a volume that begin with Prefix, those in the
// directory that Prefix names or is in. The answer is a [CompletionMsg].
type Complete struct {
	Volume boot.Volume
	Prefix string // without a leading slash; may be empty
	Seq    int
}

// Unlock asks for an encrypted volume to be unlocked. The answer is always an
// [UnlockedMsg].
type Unlock struct {
	Device     string // of the volume
	Passphrase []byte // the only copy: wipe it when it is no longer needed
	HandOn     bool   // pass it on to the system that is booted, so that it need not ask again
}

// String leaves the passphrase out, for logs.
func (u Unlock) String() string { return fmt.Sprintf("Unlock %s, hand on %t", u.Device, u.HandOn) }

// GoString is String, for %#v.
func (u Unlock) GoString() string { return u.String() }

// Password asks whether a password is right. The answer is always a [PasswordMsg]. In a
// [RequestMsg] it answers the question of the [Report]; without Typed it goes back.
type Password struct {
	Secrets []boot.Secret // each is right, besides that of the owner
	Typed   []byte        // the only copy: wipe it when it is no longer needed
}

// String leaves the password out, for logs.
func (Password) String() string { return "Password" }

// GoString is String, for %#v.
func (p Password) GoString() string { return p.String() }

// Shell asks for a shell on a console. The answer is always a [ShellDoneMsg],
// also when there is none to open: until then nothing is booted unattended.
type Shell struct{ Console string } // device of the console, "" when unknown

// Rescan asks for all disks to be scanned again.
type Rescan struct{}

// Inspect asks what kind of files an entry has. The answer is an
// [InspectedMsg].
type Inspect struct{ Entry boot.Entry }

// System asks for a [SystemMsg] with what is known now.
type System struct{}

// SaveLog asks for the whole log to be written to a file on a volume. The
// answer is a [ResultMsg].
type SaveLog struct{ Device string }

// SetDefault asks for an entry to be remembered as the one that is booted
// unattended. The answer is a [ResultMsg], and an [InventoryMsg] with the default
// as it is then.
type SetDefault struct {
	ID   string // "" to forget what was remembered
	Once bool   // for the next start only

	Make MemoryPlace // where the file for it is made first; zero for none
}

// SaveSettings asks for settings to be written to the file of the [Config]. The
// answer is a [SettingsSavedMsg], and a [ConfigMsg] with the settings as they are then.
type SaveSettings struct{ Changes []Change }

// SetKeymap asks for a keyboard layout on the machine's own keyboard. The
// answer is a [ResultMsg] when it fails.
type SetKeymap struct{ Name string }

// FirmwareSetup asks for the machine to be restarted into its firmware's setup.
type FirmwareSetup struct{}

// Other is a boot option of the firmware, such as Windows, which kexec cannot start.
type Other struct {
	Number uint16
	Title  string
}

// StartOther asks for the machine to be restarted into a boot option of its
// firmware, once.
type StartOther struct{ Other }

// Relaunch asks for alpboot to be restarted by kexec.
type Relaunch struct{}

// NothingLeft asks for what [Exhausted] is about: its time is over.
type NothingLeft struct{}

// Reboot asks for the machine to be started again by its firmware.
type Reboot struct{}

// PowerOff asks for the machine to be powered off.
type PowerOff struct{}

// Redraw asks for every console to be painted again, whatever is on it.
type Redraw struct{}

func (Boot) isAction()          {}
func (Cancel) isAction()        {}
func (Complete) isAction()      {}
func (Unlock) isAction()        {}
func (Password) isAction()      {}
func (Shell) isAction()         {}
func (Rescan) isAction()        {}
func (Inspect) isAction()       {}
func (System) isAction()        {}
func (SaveLog) isAction()       {}
func (SetDefault) isAction()    {}
func (SaveSettings) isAction()  {}
func (SetKeymap) isAction()     {}
func (FirmwareSetup) isAction() {}
func (StartOther) isAction()    {}
func (Relaunch) isAction()      {}
func (NothingLeft) isAction()   {}
func (Reboot) isAction()        {}
func (PowerOff) isAction()      {}
func (Redraw) isAction()        {}

// Key names a key of the keyboard.
type Key uint8

// The keys that mean something to the menu. KeyOther is any other one: it
// stops the countdown, as every key does.
const (
	KeyOther Key = iota
	KeyRune
	KeyEnter
	KeyEsc
	KeyTab
	KeyBackspace
	KeyDelete
	KeyUp
	KeyDown
	KeyLeft
	KeyRight
	KeyHome
	KeyEnd
	KeyPgUp
	KeyPgDn
	KeyF1
	KeyF10
	KeyF2
)

// Mod is a set of keys held down together with another one.
type Mod uint8

// The modifiers. Shift is not one of them: it changes the rune.
const (
	ModCtrl Mod = 1 << iota
	ModAlt
)

// Size is that of a console, in cells.
type Size struct{ W, H int }

// Charset is the set of characters that a console can show.
type Charset uint8

// The character sets. UTF8 uses no glyph beyond those of the VGA font except
// for letters in texts from disks.
const (
	ASCII Charset = iota
	UTF8
)
