package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// machine is what a session does to the world outside of it.
type machine struct {
	root     fs.FS // with sysfs and procfs
	scan     func(settings.Settings) *discover.Scan
	kexec    kexec.Syscalls
	mayKexec bool

	vars         efivar.Variables // of the firmware
	varsReadOnly bool
	firmware     remember.Store // what those remember

	handOver func(*slog.Logger)  // leaves the machine as the next kernel wants it
	reboot   func(how int) error // reboot(2)
	messages func(on bool)       // of the kernel, on its consoles
	keyboard func() (keyboard, error)
}

// keyboard is the kernel's keyboard table.
type keyboard interface {
	keymap.Keyboard
	Close() error
}

// session is a menu being shown. All its fields belong to the goroutine of run;
// others reach it through msgs.
type session struct {
	machine  machine
	base     settings.Settings // of the image and the kernel parameters
	asked    settings.Settings // with those of a volume
	cmdline  string            // of the running kernel
	consoles []console
	names    map[string]string // what console= says for each, by device
	ours     []string          // the same for the command line of a target
	model    menu.Model
	style    string   // of the screens: theme and colours
	notes    []string // what is to be known of the machine, a sentence each
	book     *logbook
	log      *slog.Logger

	msgs chan any // menu.Msg, or a func() to be run

	scan        *discover.Scan
	inventories <-chan boot.Inventory // those of scan; nil once it has been stopped
	inventory   boot.Inventory        // the last one, without what is not to be listed
	stale       bool                  // it is of a scan before
	before      boot.Inventory        // of the scan before, until this one has settled
	pending     *menu.Boot            // chosen from it, to be booted when scan has found it too
	locked      *menu.Unlock          // the same of a volume that is to be opened
	shells      int                   // how many are open: disks are left alone meanwhile

	ready  bool   // settings and state of the volumes are known, or have taken too long
	looked string // which volumes were looked at for them
	look   *look  // the last of these looks

	store    remember.Store
	state    remember.State
	next     string // asked for at the next start only, in this session
	saving   bool   // a default is being saved
	choice   choice.Choice
	failed   map[string]bool // entries, by ID, that could not be started
	passed   map[string]bool // entries of which was told that they were passed over
	logged   map[string]bool // what was logged of volumes and of the choice
	cancel   context.CancelFunc
	self     *boot.Entry // alpboot's own image, if a volume has it
	keymaps  []string
	keymap   string             // the layout that is loaded; "" for the kernel's own
	original *keymap.Map        // the kernel's own; nil until another one is loaded
	kept     map[string]*secret // passphrases to be handed on, by UUID of the LUKS volume
}

// tick is how often the menu is told the time: often enough for a countdown to
// end when it says.
const tick = 200 * time.Millisecond

// run shows the menu until the machine goes another way; it returns only when
// ctx ends.
func (s *session) run(ctx context.Context) error {
	defer func() {
		s.wipeAll()
		for _, c := range s.consoles {
			c.Close()
		}
	}()
	s.begin(ctx)
	defer func() { s.scan.Stop() }()

	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			if lines := s.book.take(); len(lines) > 0 {
				s.update(ctx, menu.LogMsg{Lines: lines})
			}
			s.update(ctx, menu.TickMsg{Now: now})
		case inv, ok := <-s.inventories:
			if !ok {
				s.inventories = nil
				break
			}
			s.take(ctx, inv)
		case msg := <-s.msgs:
			switch msg := msg.(type) {
			case menu.Msg:
				s.update(ctx, msg)
			case func():
				msg()
			}
		}
	}
}

// begin shows the first screen and starts to look for disks.
func (s *session) begin(ctx context.Context) {
	s.msgs = make(chan any)
	s.failed, s.passed, s.logged = map[string]bool{}, map[string]bool{}, map[string]bool{}
	s.kept = map[string]*secret{}
	var devices []string
	for _, c := range s.consoles {
		devices = append(devices, c.device)
	}
	s.names, s.ours = consoleNames(s.cmdline, devices)
	s.log.Info("the menu is shown", "consoles", strings.Join(devices, " "))
	s.keymaps = withOwn(keymap.Names(s.machine.root))
	s.openStore(nil)
	s.model = menu.New(s.configuration())
	s.update(ctx, menu.TickMsg{Now: time.Now()})
	s.restyle()
	for _, c := range s.consoles {
		go s.forward(ctx, c)
	}
	if !s.machine.mayKexec {
		s.update(ctx, menu.NoticeMsg{Text: wordNoKexec})
	}
	s.startKeymap(ctx, nil)
	s.startScan()
}

// startScan starts a new scan.
func (s *session) startScan() {
	s.scan = s.machine.scan(s.asked)
	s.inventories = s.scan.Inventories()
	s.looked = ""
}

// forward hands what is typed on a console to run.
func (s *session) forward(ctx context.Context, c console) {
	for msg := range c.Events() {
		s.send(ctx, msg)
	}
	if err := c.Err(); err != nil {
		s.log.Warn("a console is gone", "error", err)
	}
}

// send hands a message to run: a [menu.Msg], or a func() that it is to call.
func (s *session) send(ctx context.Context, msg any) {
	select {
	case s.msgs <- msg:
	case <-ctx.Done():
	}
}

// later has run call do.
func (s *session) later(ctx context.Context, do func()) { s.send(ctx, do) }

// update changes the model, shows it everywhere, and does what it asks for.
func (s *session) update(ctx context.Context, msg menu.Msg) {
	var action menu.Action
	s.model, action = s.model.Update(msg)
	for _, c := range s.consoles {
		c.Draw(s.model)
	}
	s.act(ctx, action)
}

// act does what the menu asks for. What may take longer than a moment is done
// in a goroutine, whose answer comes as a message.
func (s *session) act(ctx context.Context, action menu.Action) {
	switch action := action.(type) {
	case menu.Boot:
		s.boot(ctx, action)
	case menu.Cancel:
		if s.cancel != nil {
			s.cancel()
		} else if s.pending != nil {
			s.pending = nil
			s.update(ctx, menu.StatusMsg{})
			s.update(ctx, menu.CancelledMsg{})
		}
	case menu.Relaunch:
		s.again(ctx)
	case menu.Unlock:
		s.unlock(ctx, action)
	case menu.Complete:
		s.complete(ctx, action)
	case menu.Inspect:
		s.inspect(ctx, action.Entry)
	case menu.System:
		lines := s.systemLines()
		go func() { s.send(ctx, menu.SystemMsg{Lines: lines()}) }()
	case menu.SaveLog:
		s.saveLog(ctx, action.Device)
	case menu.SetDefault:
		s.setDefault(ctx, action)
	case menu.SetKeymap:
		s.setKeymap(ctx, action.Name)
	case menu.Rescan:
		s.rescan(ctx)
	case menu.Shell:
		s.shell(ctx, action.Console)
	case menu.Reboot:
		s.leave(ctx, wordReboot, rebootRestart)
	case menu.PowerOff:
		s.leave(ctx, wordPowerOff, rebootPowerOff)
	case menu.FirmwareSetup:
		s.firmwareSetup(ctx)
	case menu.Redraw:
		for _, c := range s.consoles {
			c.Redraw()
		}
	}
}

// take takes in an inventory.
func (s *session) take(ctx context.Context, inv boot.Inventory) {
	if !s.asked.Snapshots {
		inv.Entries = slices.DeleteFunc(slices.Clone(inv.Entries), func(e boot.Entry) bool { return e.Snapshot })
	}
	s.inventory, s.stale = inv, false
	if inv.Settled {
		s.before = boot.Inventory{}
	}
	s.logInventory()
	s.unlockAgain(ctx)
	s.unlockPending(ctx)
	if inv.Settled {
		s.lookAtVolumes(ctx)
	}
	s.show(ctx)
	s.bootPending(ctx)
}

// bootPending boots what waited to be booted, if it need not wait any more.
func (s *session) bootPending(ctx context.Context) {
	if p := s.pending; p != nil && !s.saving && !s.toCome(p.Entry) {
		s.pending = nil
		s.boot(ctx, *p)
	}
}

// logInventory logs what was not known before.
func (s *session) logInventory() {
	once := func(level slog.Level, text string) {
		if !s.logged[text] {
			s.logged[text] = true
			s.log.Log(context.Background(), level, text)
		}
	}
	for _, v := range s.inventory.Volumes {
		switch {
		case v.Busy:
		case v.Problem != "":
			once(slog.LevelWarn, v.Problem)
		case v.Volume.Type != "":
			once(slog.LevelInfo, fmt.Sprintf("%s holds %s", v.Volume.Device, v.Volume.Type))
		}
	}
	for _, e := range s.inventory.Entries {
		once(slog.LevelDebug, fmt.Sprintf("entry %s on %s: %s", e.ID, e.Volume.Device, e.Title))
	}
}

// show shows what was found, with the default that follows from it. The
// countdown is to begin only when the volumes have been asked for settings.
func (s *session) show(ctx context.Context) {
	inv := s.known()
	inv.Settled = inv.Settled && s.ready
	s.choice = choice.Default(unattended(inv), s.wants())
	inv.Entries = s.withConsoles(inv.Entries)
	s.tellPassedOver(ctx, inv)
	msg := menu.InventoryMsg{
		Inventory: inv, Default: s.choice.ID, Last: s.state.Last,
		Notes: slices.Concat(s.allNotes(), s.choice.Notes),
	}
	switch {
	case s.state.Kept:
		msg.Memory = fmt.Sprintf(wordRemembered, s.store.Where())
	case s.storeToCome():
		msg.Memory = wordNotYet
	}
	for _, n := range s.choice.Notes {
		if !s.logged[n] {
			s.logged[n] = true
			s.log.Info(n)
		}
	}
	s.update(ctx, msg)
}

// allNotes gives what is to be known of settings and machine.
func (s *session) allNotes() []string { return slices.Concat(s.notes, s.asked.Notes) }

// unattended gives an inventory as the choice of the default is to see it: an
// entry with alpboot's own kernel, by which a boot loader starts this menu, would
// start it for ever.
func unattended(inv boot.Inventory) boot.Inventory {
	inv.Entries = slices.Clone(inv.Entries)
	for i, e := range inv.Entries {
		if strings.HasSuffix(e.Version, "-alpboot") && e.Problem == "" { // CONFIG_LOCALVERSION
			inv.Entries[i].Problem = wordItself
		}
	}
	return inv
}

// wants is what bears on the choice. What has been asked for in this session is
// for the next start.
func (s *session) wants() choice.Wants {
	return choice.Wants{Default: s.asked.Default, State: s.state, Failed: s.failed}
}

// tellPassedOver says on the screen that the entry which would be the default
// is not, because it never came up.
func (s *session) tellPassedOver(ctx context.Context, inv boot.Inventory) {
	if !inv.Settled || len(s.state.Failed) == 0 {
		return
	}
	w := s.wants()
	w.State.Failed = nil
	id := choice.Default(unattended(inv), w).ID
	if id == s.choice.ID || s.passed[id] {
		return
	}
	s.passed[id] = true
	unknown := inv // so that nothing is booted while the default is not known yet
	unknown.Settled = false
	s.update(ctx, menu.InventoryMsg{Inventory: unknown})
	s.update(ctx, menu.FailedMsg{ID: id, Reason: wordNeverUp})
}

// volumeFS is the filesystem of a volume through the scan that has it mounted.
type volumeFS struct {
	scan   *discover.Scan
	volume boot.Volume
}

func (v volumeFS) Open(name string) (fs.File, error) { return v.scan.Open(v.volume, name) }

// filesystems gives the volumes of an inventory that can be read, with their
// roots.
func filesystems(scan *discover.Scan, inv boot.Inventory) boot.Volumes {
	var vs boot.Volumes
	for _, v := range inv.Volumes {
		if v.Volume.Device != "" && v.Volume.Type != "" && !v.Locked && !v.Busy && v.Problem == "" {
			vs = append(vs, boot.MountedVolume{Volume: v.Volume, FS: volumeFS{scan, v.Volume}})
		}
	}
	return vs
}

// complete finds the paths on a volume that begin as what was typed.
func (s *session) complete(ctx context.Context, a menu.Complete) {
	fsys := volumeFS{s.scan, a.Volume}
	go func() {
		s.send(ctx, menu.CompletionMsg{Seq: a.Seq, Names: completions(fsys, a.Prefix)})
	}()
}

// completions gives the paths on fsys that begin with prefix, in order; folders
// end in a slash.
func completions(fsys fs.FS, prefix string) []string {
	const most = 1000 // more than anybody reads
	dir, base := path.Split(prefix)
	where := path.Clean("./" + dir)
	if !fs.ValidPath(where) {
		return nil
	}
	entries, _ := fs.ReadDir(fsys, where)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || len(names) == most {
			continue
		}
		name := path.Join(where, e.Name())
		folder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			st, err := fs.Stat(fsys, name)
			folder = err == nil && st.IsDir()
		}
		if folder {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sentence gives err as the menu shows it: with a capital and a full stop.
func sentence(err error) string {
	s := []rune(fmt.Sprint(err))
	if len(s) == 0 {
		return ""
	}
	return string(unicode.ToUpper(s[0])) + strings.TrimRight(string(s[1:]), ".") + "."
}

// configure tells the menu what has become known of its configuration.
func (s *session) configure(ctx context.Context) {
	s.update(ctx, menu.ConfigMsg{Config: s.configuration()})
}
