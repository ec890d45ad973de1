// Package session runs the menu on a machine: it scans the disks, shows what
// can be booted on all consoles, does what the user asks for, and boots the
// default when nobody asks. docs/goroutines.md is about which goroutine owns
// what.
//
// The machine, its files and its terminals come in with a [Config]; package
// session opens none of them itself.
package session

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/pointer"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/version"
	"github.com/alpboot/alpboot/boot/watchdog"
)

// Machine is the machine that a session runs on. Each method may take long.
type Machine interface {
	// Scan starts a scan of all devices. It returns at once.
	Scan(ctx context.Context, asked settings.Settings) *discover.Scan
	// Shell runs a shell on the console device until the user leaves it.
	Shell(console string) error
	// Keyboard opens the kernel's keyboard table.
	Keyboard() (Keyboard, error)
	// KernelMessages has the kernel print its messages on the consoles, or not.
	KernelMessages(on bool)
	// Watchdog opens a watchdog by its name, which starts it.
	Watchdog(name string) (watchdog.Running, error)
	// TPM opens a TPM by its name.
	TPM(name string) (io.ReadWriteCloser, error)
	// HandOver leaves the machine as the next kernel, or the firmware, wants it.
	// What is in the way of that is logged.
	HandOver(log *slog.Logger)
	// Restart and PowerOff return only when that failed.
	Restart() error
	PowerOff() error
}

// Keyboard is the kernel's keyboard table, open.
type Keyboard interface {
	keymap.Keyboard
	Close() error
}

// Display shows the menu on a terminal.
type Display interface {
	Events() <-chan menu.Msg // closed by Close, or when the terminal is gone: see Err
	Draw(menu.Model)
	Redraw()
	Suspend(last string) error // leaves the terminal to others, with a last line of text
	Resume() error
	Close() error
	Err() error
}

// Console is a terminal that shows the menu.
type Console struct {
	Display
	Device string // such as /dev/ttyS0
}

// Firmware is what a session uses of the machine's firmware.
type Firmware struct {
	Vars     efivar.Variables // nil when there are none
	ReadOnly bool             // they cannot be written
	Store    remember.Store   // what is remembered in them
}

// Config is what a session is made of.
type Config struct {
	Machine      Machine
	Root         fs.FS // of the running system, with sysfs and procfs
	Kexec        kexec.Syscalls
	KexecAllowed bool
	Firmware     Firmware
	Settings     settings.Settings                         // of the image and the kernel parameters
	Cmdline      string                                    // of the running kernel
	Consoles     []Console                                 // closed at the end
	Pointer      func(name string) (pointer.Device, error) // opens what is touched; nil where that is left out
	Log          *LogBuffer
	Notes        []error // what is wrong with the machine, to be shown
}

// session is a menu being shown. Its fields belong to the goroutine of run;
// others reach them through msgs.
type session struct {
	Config
	ctx  context.Context // of run
	wg   sync.WaitGroup  // for the goroutines of go
	msgs chan any        // menu.Msg, or a func() to be run
	log  *slog.Logger

	asked           settings.Settings // with those of a volume
	names           map[string]string // what console= is for each console, by device
	targets         []string          // the same, as the values for the command line of a target
	model           menu.Model
	style           string       // of the screens: theme and colours
	notes           []string     // what is to be known of the machine, a sentence each
	setup           bool         // the firmware can be restarted into its setup
	others          []menu.Other // what else the firmware can start
	self            *boot.Entry  // alpboot's own image, if a volume has it
	enrolment       *enrolment   // what can be enrolled for Secure Boot; nil for nothing
	leaving         bool         // the consoles are closed to leave the machine
	firmwareAwaited bool         // it has not been read yet
	choice          choice.Choice
	failed          map[string]bool // entries, by ID, that could not be started
	passed          map[string]bool // entries that were reported as passed over
	reported        map[string]bool // what was logged of volumes and of the choice

	view      view
	volumes   volumes
	memory    *memory
	secrets   secrets
	loader    loader
	ahead     ahead
	enough    enough
	keymaps   keymaps
	guard     guard
	measure   measuring
	unsealing unsealing
	last      lastTime
	trust     trust

	fingerprints fingerprints
}

// tick is how often the menu gets the time: often enough for a countdown to end
// when it should.
const tick = 200 * time.Millisecond

// Run shows the menu until ctx ends. It returns when all it has started has
// ended, with everything unmounted and every passphrase wiped.
func Run(ctx context.Context, c Config) error { return newSession(c).run(ctx) }

func newSession(c Config) *session {
	s := &session{
		Config: c, asked: c.Settings, log: slog.New(c.Log), msgs: make(chan any),
		failed: map[string]bool{}, passed: map[string]bool{}, reported: map[string]bool{},
		memory: &memory{store: &remember.Nowhere{}},
	}
	s.measure = measuring{root: c.Root, open: c.Machine.TPM, log: s.log}
	for _, n := range c.Notes {
		s.notes = append(s.notes, sentence(n))
	}
	var notes []string
	s.trust, notes = readTrust(c.Root, c.Settings.Verify)
	s.notes = append(s.notes, notes...)
	return s
}

func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	defer func() {
		cancel()
		for _, c := range s.Consoles {
			c.Close()
		}
		s.view.scan.Stop()
		s.wg.Wait()
		s.secrets.wipeAll()
	}()
	s.begin()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			if lines := s.Log.take(); len(lines) > 0 {
				s.update(menu.LogMsg{Lines: lines})
			}
			s.update(menu.TickMsg{Now: now})
		case inv, ok := <-s.view.inventories:
			if !ok {
				s.view.inventories = nil
				break
			}
			s.take(inv)
		case msg := <-s.msgs:
			switch msg := msg.(type) {
			case menu.Msg:
				s.update(msg)
			case func():
				msg()
			}
		}
	}
}

// begin shows the first screen and starts the scan.
func (s *session) begin() {
	var devices []string
	for _, c := range s.Consoles {
		devices = append(devices, c.Device)
	}
	s.names, s.targets = consoleNames(s.Cmdline, devices)
	s.log.Info("the menu is shown", "consoles", strings.Join(devices, " "))
	s.keymaps.names = withOwn(slices.Concat(keymap.BuiltIn(), keymap.Names(s.Root)))
	s.model = menu.New(s.configuration())
	s.update(menu.TickMsg{Now: time.Now()})
	s.restyle()
	for _, c := range s.Consoles {
		s.wg.Go(func() { s.forward(c) })
	}
	if !s.KexecAllowed {
		s.update(menu.NoticeMsg{Text: "This kernel forbids kexec, so nothing can be booted from here: it must be started with kexec_load_disabled=0 on its command line."})
	}
	s.readFirmware()
	s.readWatchdogs()
	s.startButtons()
	s.startPointer()
	s.startKeymap(nil)
	s.view.start = func() *discover.Scan { return s.Machine.Scan(s.ctx, s.asked) }
	s.view.begin()
}

// forward passes what is typed on a console to run.
func (s *session) forward(c Console) {
	for msg := range c.Events() {
		s.send(msg)
	}
	if err := c.Err(); err != nil {
		s.log.Warn("a console is gone", "error", err)
	}
}

// send passes a message to run: a [menu.Msg], or a func() for it to call. It is
// dropped when the session ends.
func (s *session) send(msg any) {
	select {
	case s.msgs <- msg:
	case <-s.ctx.Done():
	}
}

// later has run call do.
func (s *session) later(do func()) { s.send(do) }

// update changes the model, shows it everywhere, and does what it asks for.
func (s *session) update(msg menu.Msg) {
	var action menu.Action
	s.model, action = s.model.Update(msg)
	for _, c := range s.Consoles {
		c.Draw(s.model)
	}
	s.act(action)
}

// act does what the menu asks for. What may take longer than a moment is done
// in a goroutine, whose answer comes as a message.
func (s *session) act(action menu.Action) {
	switch action := action.(type) {
	case menu.Boot:
		s.boot(action)
	case menu.Cancel:
		s.cancel()
	case menu.Relaunch:
		s.relaunch()
	case menu.Unlock:
		s.unlock(s.secrets.own(action))
	case menu.Password:
		s.checkPassword(action)
	case menu.Complete:
		s.complete(action)
	case menu.Inspect:
		s.inspect(action.Entry)
	case menu.System:
		lines := s.systemLines()
		s.wg.Go(func() { s.send(menu.SystemMsg{Lines: lines()}) })
	case menu.SaveLog:
		s.saveLog(action.Device)
	case menu.SetDefault:
		s.setDefault(action)
	case menu.SaveSettings:
		s.saveSettings(action)
	case menu.SetKeymap:
		s.setKeymap(action.Name)
	case menu.NothingLeft:
		s.giveUp()
	case menu.Rescan:
		s.restart(nil, func(error) {})
	case menu.Shell:
		s.shell(action.Console)
	case menu.Reboot:
		s.leave("Restarting ...", "restart", s.Machine.Restart)
	case menu.PowerOff:
		s.leave("Powering off ...", "power off", s.Machine.PowerOff)
	case menu.Enrol:
		s.enrol()
	case menu.FirmwareSetup:
		s.firmwareSetup()
	case menu.StartOther:
		s.startOther(action.Other)
	case menu.Redraw:
		for _, c := range s.Consoles {
			c.Redraw()
		}
	}
}

// take takes in an inventory.
func (s *session) take(inv boot.Inventory) {
	if !s.asked.Snapshots {
		inv.Entries = slices.DeleteFunc(slices.Clone(inv.Entries), func(e boot.Entry) bool { return e.Snapshot })
	}
	inv.Entries = guarded(s.trust.mark(inv.Entries))
	s.view.take(inv)
	s.logInventory()
	s.unlockAgain()
	s.unlockPending()
	s.unseal()
	if inv.Settled {
		s.readVolumes()
	}
	s.lookForLog()
	s.show()
	s.letGo()
	s.bootPending()
}

// logInventory logs what was not known before.
func (s *session) logInventory() {
	for _, v := range s.view.inventory.Volumes {
		switch {
		case v.Busy:
		case v.Problem != "":
			s.logOnce(slog.LevelWarn, v.Problem)
		case v.Volume.Type != "":
			s.logOnce(slog.LevelInfo, fmt.Sprintf("%s holds %s, read in %v", v.Volume.Device, v.Volume.Type, v.Took.Round(100*time.Microsecond)))
		}
	}
	if inv := s.view.inventory; inv.Settled && inv.SettledBy != "" {
		s.logOnce(slog.LevelInfo, "no disk is waited for: "+inv.SettledBy)
	}
	for _, e := range s.view.inventory.Entries {
		s.logOnce(slog.LevelDebug, fmt.Sprintf("entry %s on %s: %s", e.ID, e.Volume.Device, e.Title))
	}
}

func (s *session) logOnce(level slog.Level, text string) {
	if !s.reported[text] {
		s.reported[text] = true
		s.log.Log(s.ctx, level, text)
	}
}

// show shows what was found, with the default that follows from it. The
// countdown begins only when settings and memory are known.
func (s *session) show() {
	inv := s.view.known()
	inv.Settled = inv.Settled && s.ready() && !s.unsealingBusy()
	s.readFingerprints()
	s.choice = choice.Default(inv, s.wants())
	inv.Entries = s.withConsoles(inv.Entries)
	for i, e := range inv.Entries {
		if s.choice.Held != "" && e.Removable {
			inv.Entries[i].Notes = append(slices.Clone(e.Notes), s.choice.Held)
		}
	}
	s.reportPassedOver(inv)
	for _, n := range s.choice.Notes {
		s.logOnce(slog.LevelInfo, n)
	}
	if s.choice.Because != "" && inv.Settled {
		s.logOnce(slog.LevelInfo, fmt.Sprintf("the default is %s: %s", s.choice.ID, s.choice.Because))
	}
	s.warnUncounted()
	s.readAhead()
	wait := s.choice.Wait
	if i := slices.IndexFunc(inv.Entries, func(e boot.Entry) bool { return e.ID == s.choice.ID }); i >= 0 && inv.Entries[i].AsksUnattended() {
		wait = fmt.Sprintf("%s is not booted by itself: its own menu asks for a password first.", boot.Clean(inv.Entries[i].Name()))
	}
	if !inv.Settled { // the screen says so already
		wait = ""
	}
	s.update(menu.InventoryMsg{
		Inventory: inv, Default: s.choice.ID, Last: s.memory.state.Last, Memory: s.aboutMemory(), MemoryPlaces: s.volumes.places, Wait: wait,
		Notes: slices.Concat(s.allNotes(), s.choice.Notes), Added: s.added(inv.Entries), PassedOver: s.passedOver(inv.Entries), Exhausted: s.exhausted(),
	})
}

// allNotes returns what is to be known of settings and machine.
func (s *session) allNotes() []string { return slices.Concat(s.notes, s.asked.Notes) }

// wants is what bears on the choice. What has been asked for in this session is
// for the next start.
func (s *session) wants() choice.Wants {
	return choice.Wants{Default: s.asked.Default, State: s.memory.state, Confirm: s.asked.Confirm, Failed: s.failed,
		Fingerprints: s.fingerprints.known(s.view.inventory), Removable: s.asked.Removable}
}

const textNeverUp = "It was started before and never reported being up."

// passedOver returns why entries are passed over that were not tried since the menu is
// there, by ID.
func (s *session) passedOver(entries []boot.Entry) map[string]string {
	all := map[string]string{}
	w := s.wants()
	for _, e := range entries {
		if e.ID != s.choice.ID && !s.failed[e.ID] && w.HasFailed(e) {
			all[e.ID] = textNeverUp
		}
	}
	return all
}

// reportPassedOver shows that the entry which would be the default is not,
// because it never came up.
func (s *session) reportPassedOver(inv boot.Inventory) {
	if !inv.Settled || len(s.memory.state.Tries) == 0 || s.choice.ID == "" && !s.choice.Exhausted {
		return
	}
	w := s.wants()
	w.State.Tries = nil
	id := choice.Default(inv, w).ID
	if id == s.choice.ID || s.passed[id] {
		return
	}
	s.passed[id] = true
	unknown := inv // so that nothing is booted while the default is not known yet
	unknown.Settled = false
	s.update(menu.InventoryMsg{Inventory: unknown})
	s.update(menu.FailedMsg{ID: id, Reason: textNeverUp})
}

// sentence returns err as the menu shows it: with a capital and a full stop.
func sentence(err error) string {
	if err == nil {
		return ""
	}
	s := []rune(err.Error())
	if len(s) == 0 {
		return ""
	}
	return string(unicode.ToUpper(s[0])) + strings.TrimRight(string(s[1:]), ".") + "."
}

// cmdlineLimit is how long a command line the kernel takes (COMMAND_LINE_SIZE).
const cmdlineLimit = 2047

// configuration returns what the menu is to know, as far as it is known now.
func (s *session) configuration() menu.Config {
	file := ""
	if s.volumes.file.Path != "" {
		file = s.volumes.file.String()
	}
	var enrolment *menu.Enrolment
	if s.enrolment != nil {
		enrolment = &s.enrolment.Enrolment
	}
	return menu.Config{
		Enrolment: enrolment,
		Settings:  s.writableSettings(), SettingsFile: file, NoSettingsFile: s.noSettingsFile(), Accepts: settings.Accepts,
		Version:         version.Release(),
		Title:           s.asked.Title,
		LeastTimeout:    s.leastTimeout(),
		Timeout:         s.asked.Timeout,
		FallbackTimeout: settings.FallbackTimeout,
		Rearm:           s.asked.Rearm,
		CmdlineLimit:    cmdlineLimit,
		Consoles:        s.names,
		Firmware:        s.setup,
		Others:          s.others,
		Relaunch:        s.self != nil,
		Keymaps:         s.keymaps.names,
		HandOn:          s.asked.HandOn,
		Hidden:          s.asked.Hidden,
		Beep:            s.asked.Beep,
		Locked:          s.trust.locked(),
		Asks:            s.asks(),
		Password:        s.asked.Password != "" && s.asked.Password != settings.NoPassword,
	}
}

// screenTimeout is the least that is counted down on a screen where the settings
// have no timeout: a monitor that changes its mode takes a second or two.
const screenTimeout = 3 * time.Second

// leastTimeout is the least that is counted down where the settings have no timeout.
func (s *session) leastTimeout() time.Duration {
	for _, c := range s.Consoles {
		if n, ok := strings.CutPrefix(c.Device, "/dev/tty"); ok && strings.Trim(n, "0123456789") == "" {
			return screenTimeout
		}
	}
	return 0
}

// configure passes what has become known of its configuration to the menu.
func (s *session) configure() { s.update(menu.ConfigMsg{Config: s.configuration()}) }
