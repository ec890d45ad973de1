package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/term"
	"github.com/alpboot/alpboot/boot/settings"
)

// console is a terminal that shows the menu.
type console struct {
	*term.Console
	device string
}

// session is a menu being shown. All its fields belong to the goroutine of run;
// others reach it through msgs.
type session struct {
	asked     settings.Settings
	consoles  []console
	model     menu.Model
	loader    *kexec.Loader
	startScan func() *discover.Scan

	scan        *discover.Scan
	inventories <-chan boot.Inventory // those of scan; nil once it has been stopped
	inventory   boot.Inventory        // the last one
	failed      map[string]bool       // entries, by ID, that could not be started
	loading     bool
	msgs        chan any // menu.Msg, loaded and shellEnded
}

// tick is how often the menu is told the time: often enough for a countdown to
// end when it says.
const tick = 200 * time.Millisecond

// What else than messages for the menu comes back to run.
type (
	// loaded: the target is in memory, or why not.
	loaded struct {
		entry boot.Entry
		err   error
	}
	// shellEnded: the shell on a console has ended.
	shellEnded struct {
		console console
		err     error
	}
)

// run shows the menu until the machine goes another way; it returns only when
// ctx ends.
func (s *session) run(ctx context.Context) error {
	defer func() {
		for _, c := range s.consoles {
			c.Close()
		}
	}()
	s.update(ctx, menu.TickMsg{Now: time.Now()})
	for _, c := range s.consoles {
		go s.forward(ctx, c.Events())
	}
	if kexec.Disabled() {
		s.update(ctx, menu.NoticeMsg{Text: "This kernel forbids kexec, so nothing can be booted from here: it must be started with kexec_load_disabled=0 on its command line."})
	}
	s.look()
	defer func() { s.scan.Stop() }()

	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			s.update(ctx, menu.TickMsg{Now: now})
		case inv, ok := <-s.inventories:
			if !ok {
				s.inventories = nil
				break
			}
			s.inventory = inv
			s.showInventory(ctx)
		case msg := <-s.msgs:
			s.handle(ctx, msg)
		}
	}
}

// look starts a new scan.
func (s *session) look() {
	s.scan = s.startScan()
	s.inventories = s.scan.Inventories()
}

// forward hands what is typed on a console to run.
func (s *session) forward(ctx context.Context, events <-chan menu.Msg) {
	for msg := range events {
		s.send(ctx, msg)
	}
}

func (s *session) send(ctx context.Context, msg any) {
	select {
	case s.msgs <- msg:
	case <-ctx.Done():
	}
}

func (s *session) handle(ctx context.Context, msg any) {
	switch msg := msg.(type) {
	case menu.Msg:
		s.update(ctx, msg)
	case loaded:
		s.loading = false
		err := msg.err
		if err == nil {
			err = s.jump(ctx, msg.entry) // comes back only when it failed
		}
		s.failed[msg.entry.ID] = true
		s.update(ctx, menu.StatusMsg{})
		s.update(ctx, menu.FailedMsg{ID: msg.entry.ID, Reason: sentence(err)})
		s.showInventory(ctx) // with another default
	case shellEnded:
		var done menu.ShellDoneMsg
		if err := errors.Join(msg.err, msg.console.Resume()); err != nil {
			done.Error = sentence(err)
		}
		kernelMessages(false)
		s.update(ctx, done)
		s.look()
	}
}

// update changes the model, shows it everywhere, and does what it asks for.
func (s *session) update(ctx context.Context, msg menu.Msg) {
	var action menu.Action
	s.model, action = s.model.Update(msg)
	for _, c := range s.consoles {
		c.Draw(s.model)
	}
	s.act(ctx, action)
}

// showInventory shows what was found, with the default that follows from it.
// What could not be started once is not started unattended again.
func (s *session) showInventory(ctx context.Context) {
	c := choice.Default(s.inventory, choice.Wants{Default: s.asked.Default, Failed: s.failed})
	notes := slices.Concat(s.asked.Notes, c.Notes)
	s.update(ctx, menu.InventoryMsg{Inventory: s.inventory, Default: c.ID, Notes: notes})
}

func (s *session) act(ctx context.Context, action menu.Action) {
	switch action := action.(type) {
	case menu.Boot:
		if s.loading {
			return
		}
		s.loading = true
		s.update(ctx, menu.StatusMsg{Text: fmt.Sprintf("Loading %s ...", path.Base(action.Entry.Kernel))})
		scan := s.scan
		go func() {
			s.send(ctx, loaded{action.Entry, load(ctx, s.loader, scan, action.Entry)})
		}()
	case menu.Rescan:
		s.scan.Stop()
		s.look()
	case menu.Shell:
		s.shell(ctx, action.Console)
	case menu.Reboot:
		s.leave(ctx, "Restarting ...", unix.LINUX_REBOOT_CMD_RESTART)
	case menu.PowerOff:
		s.leave(ctx, "Switching off ...", unix.LINUX_REBOOT_CMD_POWER_OFF)
	case menu.Redraw:
		for _, c := range s.consoles {
			c.Redraw()
		}
	}
}

// load puts the kernel and initrds of e into memory.
func load(ctx context.Context, loader *kexec.Loader, scan *discover.Scan, e boot.Entry) error {
	open := func(name string) (*os.File, error) {
		f, err := scan.Open(e.Volume, name)
		if err != nil {
			return nil, fmt.Errorf("%s: opening /%s: %w", e.Volume.Device, name, err)
		}
		file, ok := f.(*os.File)
		if !ok {
			f.Close()
			return nil, fmt.Errorf("%s: /%s is no regular file", e.Volume.Device, name)
		}
		return file, nil
	}
	t := kexec.Target{Cmdline: settings.ForTarget(e.Cmdline)}
	var err error
	if t.Kernel, err = open(e.Kernel); err != nil {
		return err
	}
	defer func() {
		t.Kernel.Close()
		for _, f := range t.Initrds {
			f.Close()
		}
	}()
	if e.UKI {
		if err := takeApart(&t); err != nil {
			return fmt.Errorf("%s: /%s: %w", e.Volume.Device, e.Kernel, err)
		}
	}
	for _, name := range e.Initrds {
		f, err := open(name)
		if err != nil {
			return err
		}
		t.Initrds = append(t.Initrds, f)
	}
	return loader.Load(ctx, t)
}

// takeApart puts the kernel and initrds that the unified kernel image t.Kernel
// holds in its place.
func takeApart(t *kexec.Target) error {
	image := t.Kernel
	st, err := image.Stat()
	if err != nil {
		return err
	}
	uki, err := kernel.OpenUKI(image, st.Size())
	if err != nil {
		return err
	}
	linux, err := kexec.MemFile(image.Name()+" .linux", uki.Linux)
	if err != nil {
		return err
	}
	t.Kernel = linux
	defer image.Close()
	for _, section := range uki.Initrds {
		f, err := kexec.MemFile(image.Name()+" initrd", section)
		if err != nil {
			return err
		}
		t.Initrds = append(t.Initrds, f)
	}
	return nil
}

// jump starts what is loaded. It comes back only when that failed, with the
// menu as it was.
func (s *session) jump(ctx context.Context, e boot.Entry) error {
	s.suspend(fmt.Sprintf("Starting %s. The screen may stay dark for a moment.\r\n", e.Title))
	s.scan.Stop()
	unix.Sync()
	err := s.loader.Exec()
	s.resume()
	s.look()
	return err
}

// leave restarts the machine or switches it off.
func (s *session) leave(ctx context.Context, text string, how int) {
	s.suspend(text + "\r\n")
	s.scan.Stop()
	unix.Sync()
	err := unix.Reboot(how)
	s.resume()
	s.update(ctx, menu.NoticeMsg{Text: sentence(err)})
	s.look()
}

// suspend gives all consoles to the next kernel, with a last line of text.
func (s *session) suspend(last string) {
	for _, c := range s.consoles {
		c.Suspend(last) // a console that is gone is no reason to stay
	}
	kernelMessages(true)
}

func (s *session) resume() {
	kernelMessages(false)
	for _, c := range s.consoles {
		c.Resume() // what is wrong with it is shown by its silence
	}
}

// shells are tried in this order.
var shells = [...]string{"/bin/defaultsh", "/bbin/gosh", "/bin/sh"}

// shell runs a shell on the console device dev. Disks are let go of meanwhile,
// so that it can do with them what it likes.
func (s *session) shell(ctx context.Context, dev string) {
	i := slices.IndexFunc(s.consoles, func(c console) bool { return c.device == dev })
	if i < 0 {
		i = 0
	}
	on := s.consoles[i]
	name := ""
	for _, sh := range shells {
		if _, err := os.Stat(sh); err == nil {
			name = sh
			break
		}
	}
	if name == "" {
		s.update(ctx, menu.ShellDoneMsg{Error: "This image has no shell."})
		return
	}
	s.scan.Stop()
	if err := on.Suspend("Type exit to come back to the menu. Commands: ls /bbin\r\n"); err != nil {
		s.update(ctx, menu.ShellDoneMsg{Error: sentence(err)})
		s.look()
		return
	}
	kernelMessages(true)
	// On a processor without a random generator nothing else seeds the kernel's,
	// and dhclient would wait for it. Asking makes the kernel see to it.
	go unix.Getrandom(make([]byte, 1), 0)
	go func() { s.send(ctx, shellEnded{on, runShell(name, on.device)}) }()
}

// runShell runs a shell with the terminal dev as its own, job control included.
func runShell(name, dev string) error {
	tty, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	cmd := exec.Command(name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil // its status is that of the last command typed into it
	}
	return err
}

// sentence gives err as the menu shows it: with a capital and a full stop.
func sentence(err error) string {
	s := []rune(fmt.Sprint(err))
	if len(s) == 0 {
		return ""
	}
	return string(unicode.ToUpper(s[0])) + strings.TrimRight(string(s[1:]), ".") + "."
}
