// Package menu is what the user of alpboot sees and types into, as pure
// values: a [Model] that [Model.Update] turns into the next one for every
// message, and that [Model.View] paints into cells for a console of any size.
//
// There is no terminal, clock, goroutine or device in it. Ticks, keys, found
// entries and failures all come as messages; what shall happen outside (boot,
// open a shell, look again) goes out as an [Action]. Package menu/term shows a
// Model on real consoles.
//
// Text that comes from disks is never trusted: control characters, wide and
// combining runes are replaced before they become cells.
package menu

import (
	"time"

	"github.com/alpboot/alpboot/boot"
)

// Config is what a Model needs to know from the start.
type Config struct {
	Version string // of alpboot, shown in the header

	// Timeout is how long the countdown lasts, whatever the entries say; nil
	// when the settings say nothing, 0 to boot at once, negative for never.
	Timeout *time.Duration

	// FallbackTimeout counts when neither Timeout nor the default entry says
	// anything. It is also the least that is counted down when the countdown
	// starts again after a key, so that there is time to see it.
	FallbackTimeout time.Duration

	// Rearm is how long after the last key the countdown starts again, so that
	// a stray byte cannot hang an unattended machine; 0 for never.
	Rearm time.Duration

	// CmdlineLimit is the number of bytes that the kernel takes as a command
	// line; a longer one is refused. 0 when no limit is known.
	CmdlineLimit int
}

// Msg is something that happened: one of [KeyMsg], [PasteMsg], [TickMsg],
// [InventoryMsg], [FailedMsg], [StatusMsg], [NoticeMsg] and [ShellDoneMsg].
type Msg interface{ isMsg() }

// KeyMsg is a key typed on a console.
type KeyMsg struct {
	Key  Key
	Rune rune // for KeyRune; with ModCtrl the lower case letter
	Mod  Mod

	// Size is that of the console it was typed on, for keys that go by lines or
	// pages of it; zero when it is not known.
	Size Size

	Console string // device of the console it was typed on, such as /dev/ttyS0
}

// PasteMsg is text pasted in one piece. Line ends in it are white space and
// never boot anything.
type PasteMsg struct{ Text string }

// TickMsg tells the time. Send one at least every second: the countdown knows
// the time from nothing else.
type TickMsg struct{ Now time.Time }

// InventoryMsg replaces everything that is known about disks and entries.
type InventoryMsg struct {
	Inventory boot.Inventory
	Default   string   // ID of the entry to boot unattended; "" when there is none
	Last      string   // ID of the entry that was booted last time; "" when unknown
	Notes     []string // sentences about the choice and the settings
}

// FailedMsg says that booting an entry failed. The entry is marked and is not
// booted unattended again; there is no default until an InventoryMsg names
// another one.
type FailedMsg struct {
	ID     string
	Reason string // a sentence
}

// StatusMsg says what is going on, such as "Loading vmlinuz-lts ..."; an empty
// Text that nothing is any more.
type StatusMsg struct{ Text string }

// NoticeMsg is a warning about the whole machine. It stays on the screen.
type NoticeMsg struct{ Text string }

// ShellDoneMsg says that the shell has ended, and with which Error ("" for none).
type ShellDoneMsg struct{ Error string }

func (KeyMsg) isMsg()       {}
func (PasteMsg) isMsg()     {}
func (TickMsg) isMsg()      {}
func (InventoryMsg) isMsg() {}
func (FailedMsg) isMsg()    {}
func (StatusMsg) isMsg()    {}
func (NoticeMsg) isMsg()    {}
func (ShellDoneMsg) isMsg() {}

// Action is what shall be done outside: one of [Boot], [Shell], [Rescan],
// [Reboot], [PowerOff] and [Redraw]. A nil Action asks for nothing.
type Action interface{ isAction() }

// Boot asks for an entry to be booted. The answer is a [FailedMsg], if any.
type Boot struct {
	Entry      boot.Entry // with the command line as the user edited it
	Edited     bool       // the command line is not the one that was found
	Unattended bool       // the countdown ran out: nobody may be watching
}

// Shell asks for a shell on a console. The answer is always a [ShellDoneMsg],
// also when there is none to open: until then nothing is booted unattended.
type Shell struct{ Console string } // device of the console, "" when unknown

// Rescan asks for all disks to be looked at again.
type Rescan struct{}

// Reboot asks for the machine to be started again by its firmware.
type Reboot struct{}

// PowerOff asks for the machine to be switched off.
type PowerOff struct{}

// Redraw asks for every console to be painted anew, whatever is on it.
type Redraw struct{}

func (Boot) isAction()     {}
func (Shell) isAction()    {}
func (Rescan) isAction()   {}
func (Reboot) isAction()   {}
func (PowerOff) isAction() {}
func (Redraw) isAction()   {}

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
