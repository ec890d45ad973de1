package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/line"
	"github.com/alpboot/alpboot/boot/menu/term"
	"github.com/alpboot/alpboot/boot/session"
	"github.com/alpboot/alpboot/boot/settings"
)

var (
	_ session.Display = (*term.Console)(nil)
	_ session.Display = (*line.Console)(nil)
)

// consoleDevices returns the terminals to show the menu on: those that were asked
// for, else those that the running kernel uses, and the screen where there is
// one, on the machine whose root directory is root.
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

// hasScreen reports whether something is seen of the virtual terminals: a
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

// openConsoles opens those terminals that can be opened. Notes are about the
// others, and there is an error when none can.
func openConsoles(devices []string, asked settings.Settings) (consoles []session.Console, notes []error, err error) {
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
		consoles = append(consoles, session.Console{Display: d, Device: dev})
	}
	if len(consoles) == 0 {
		return nil, nil, fmt.Errorf("there is no console to show the menu on: %w", errors.Join(errs...))
	}
	for _, err := range errs {
		notes = append(notes, fmt.Errorf("the menu is not shown on one console: %w", err))
	}
	return consoles, notes, nil
}

func openConsole(dev string, asked settings.Settings) (session.Display, error) {
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
