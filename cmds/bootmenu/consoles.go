package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/line"
	"github.com/alpboot/alpboot/boot/menu/term"
	"github.com/alpboot/alpboot/boot/settings"
)

// display shows the menu on a terminal: a *[term.Console] or a *[line.Console].
type display interface {
	Events() <-chan menu.Msg
	Draw(menu.Model)
	Redraw()
	Suspend(last string) error
	Resume() error
	Close() error
	Err() error
}

var (
	_ display = (*term.Console)(nil)
	_ display = (*line.Console)(nil)
)

// console is a terminal that shows the menu.
type console struct {
	display
	device string
}

// consoleDevices gives the terminals to show the menu on: those that were asked
// for, else those that the running kernel uses, and the screen where there is
// one, on the machine whose root folder is root.
func consoleDevices(root fs.FS, asked []string) []string {
	names := asked
	if len(names) == 0 {
		b, _ := fs.ReadFile(root, "sys/class/tty/console/active")
		names = strings.Fields(string(b))
		if hasScreen(root) {
			names = append(names, "tty0")
		}
	}
	var devs []string
	for _, name := range names {
		if name == "tty0" { // whichever is in front: the first one is, at boot
			name = "tty1"
		}
		if dev := "/dev/" + name; !slices.Contains(devs, dev) {
			devs = append(devs, dev)
		}
	}
	if len(devs) == 0 {
		devs = []string{"/dev/console"}
	}
	return devs
}

// hasScreen tells whether something is seen of the virtual terminals: a
// framebuffer, or VGA text. Without these the kernel keeps a dummy.
func hasScreen(root fs.FS) bool {
	if fb, _ := fs.Glob(root, "sys/class/graphics/fb[0-9]*"); len(fb) > 0 {
		return true
	}
	drivers, _ := fs.Glob(root, "sys/class/vtconsole/*/name")
	for _, file := range drivers {
		name, _ := fs.ReadFile(root, file)
		if len(name) > 0 && !strings.Contains(string(name), "dummy") {
			return true
		}
	}
	return false
}

// consoleNames gives for each device what console= is to say for it: what the
// kernel was started with, else its name. Ours are all of them for the command
// line of a target, in such an order that its /dev/console is ours.
func consoleNames(line string, devices []string) (names map[string]string, ours []string) {
	names = map[string]string{}
	for _, dev := range devices {
		name := strings.TrimPrefix(dev, "/dev/")
		if name == "tty1" {
			name = "tty0"
		}
		names[dev] = name
	}
	var named []string // in the order of the command line
	for _, value := range cmdline.Parse(line).All("console") {
		for _, dev := range devices {
			if cmdline.ConsoleDevice(names[dev]) == cmdline.ConsoleDevice(value) {
				names[dev] = value
				named = append(slices.DeleteFunc(named, func(d string) bool { return d == dev }), dev)
			}
		}
	}
	for _, dev := range devices {
		if !slices.Contains(named, dev) && dev != "/dev/console" {
			ours = append(ours, names[dev])
		}
	}
	for _, dev := range named {
		ours = append(ours, names[dev])
	}
	return names, ours
}

// openConsoles opens those terminals that can be opened. Notes are about the
// others, and there is an error when none can.
func openConsoles(devices []string, asked settings.Settings) (consoles []console, notes []string, err error) {
	if asked.Color == settings.Color {
		os.Unsetenv("NO_COLOR")
	}
	var errs []error
	for _, dev := range devices {
		d, err := openConsole(dev, asked)
		if err != nil {
			errs = append(errs, fmt.Errorf("console %s: %w", dev, err))
			continue
		}
		consoles = append(consoles, console{d, dev})
	}
	if len(consoles) == 0 {
		return nil, nil, fmt.Errorf("there is no console to show the menu on: %w", errors.Join(errs...))
	}
	for _, err := range errs {
		notes = append(notes, fmt.Sprintf(wordNoConsole, err))
	}
	return consoles, notes, nil
}

func openConsole(dev string, asked settings.Settings) (display, error) {
	if asked.UI == settings.Line {
		o := line.Options{Charset: menu.ASCII}
		if asked.Charset == settings.UTF8 {
			o.Charset = menu.UTF8
		}
		return line.Open(dev, o)
	}
	theme, _ := menu.ParseTheme(asked.Theme)
	o := term.Options{Mono: asked.Color == settings.Mono, Theme: theme}
	switch asked.Charset {
	case settings.ASCII:
		o.Charset = term.ASCII
	case settings.UTF8:
		o.Charset = term.UTF8
	}
	return term.Open(dev, o)
}

// restyle has all screens look as the settings say. A theme that cannot be
// understood leaves a note, and the built-in one.
func (s *session) restyle() {
	theme, err := menu.ParseTheme(s.asked.Theme)
	if err != nil {
		s.asked.Notes = append(slices.Clip(s.asked.Notes), sentence(err))
	}
	before, style := s.style, fmt.Sprint(theme, s.asked.Color)
	s.style = style
	if before == "" || before == style { // as they were opened; painting all anew takes a serial line seconds
		return
	}
	for _, c := range s.consoles {
		if d, ok := c.display.(interface{ Restyle(menu.Theme, bool) }); ok {
			d.Restyle(theme, s.asked.Color == settings.Mono)
		}
	}
}

// suspend gives all consoles to the next kernel, with a last line of text.
func (s *session) suspend(last string) {
	for _, c := range s.consoles {
		c.Suspend(last + "\r\n") // a console that is gone is no reason to stay
	}
	s.machine.messages(true)
}

func (s *session) resume() {
	s.machine.messages(false)
	for _, c := range s.consoles {
		c.Resume() // what is wrong with it is shown by its silence
	}
}

// kernelMessages switches what the kernel prints on the consoles off, so that
// it does not tear the menu, or on again. It stays in the kernel's log.
func kernelMessages(on bool) {
	const consoleOff, consoleOn = 6, 7 // SYSLOG_ACTION_CONSOLE_OFF and _ON
	action := consoleOff
	if on {
		action = consoleOn
	}
	unix.Klogctl(action, nil)
}
