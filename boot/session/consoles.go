package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/pointer"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/tpm"
)

// consoleNames returns for each device what console= is for it: what the
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

// restyle has all screens look as the settings ask. A theme that cannot be
// understood leaves a note, and the built-in one.
func (s *session) restyle() {
	theme, err := menu.ParseTheme(s.asked.Theme)
	if err != nil {
		s.asked.Notes = append(slices.Clip(s.asked.Notes), sentence(err))
	}
	before, style := s.style, fmt.Sprint(theme, s.asked.Color)
	s.style = style
	if before == "" || before == style { // as they were opened; painting all of it takes a serial line seconds
		return
	}
	for _, c := range s.Consoles {
		if d, ok := c.Display.(interface{ Restyle(menu.Theme, bool) }); ok {
			d.Restyle(theme, s.asked.Color == settings.Mono)
		}
	}
}

// suspend leaves all consoles to the next kernel, with a last line of text. Line is
// the command line of that kernel, "" for none.
func (s *session) suspend(last, line string) {
	for _, c := range s.Consoles {
		c.Suspend(last + s.silence(c.Device, line) + "\r\n") // a console that is gone does not hold it up
	}
	s.Machine.KernelMessages(true)
}

// silence returns what it means when nothing more comes on a console that the
// command line of a kernel does not name, "" where it does. Without any console= a
// kernel uses the screen.
func (s *session) silence(device, line string) string {
	name := s.names[device]
	named := cmdline.Parse(line).All("console")
	own := func(value string) bool { return cmdline.ConsoleDevice(value) == cmdline.ConsoleDevice(name) }
	if line == "" || device == "/dev/console" || slices.ContainsFunc(named, own) || len(named) == 0 && own("tty0") {
		return ""
	}
	return fmt.Sprintf("\nIf nothing more comes here: its command line has no console=%s (e in the menu edits it).", name)
}

// resume shows the menu again on all consoles.
func (s *session) resume() {
	s.Machine.KernelMessages(false)
	for _, c := range s.Consoles {
		c.Resume() // what is wrong with it is shown by its silence
	}
}

// startPointer has a touch of the machine's own screen count as one of what is there.
func (s *session) startPointer() {
	i := slices.IndexFunc(s.Consoles, func(c Console) bool { return c.Device == screen })
	if i < 0 || s.Pointer == nil {
		return
	}
	d, ok := s.Consoles[i].Display.(interface{ Size() menu.Size })
	if !ok {
		return // lines of text
	}
	s.wg.Go(func() {
		pointer.Follow(s.ctx, s.Root, s.Pointer, func(x, y float64) {
			s.later(func() {
				if !s.leaving {
					size := d.Size()
					at := menu.Point{X: min(int(x*float64(size.W)), size.W-1), Y: min(int(y*float64(size.H)), size.H-1)}
					s.update(menu.TapMsg{At: at, Size: size, Console: screen})
				}
			})
		})
	})
}

// screen is the console that is on the machine's own screen.
const screen = "/dev/tty1"

// shell runs a shell on a console. No disk is in use meanwhile.
func (s *session) shell(device string) {
	if !s.asked.Shell {
		s.update(menu.ShellDoneMsg{Error: "The settings do not allow a shell here."})
		return
	}
	i := max(0, slices.IndexFunc(s.Consoles, func(c Console) bool { return c.Device == device }))
	on := s.Consoles[i]
	tpmName := ""
	if slices.ContainsFunc(s.view.inventory.Volumes, func(v boot.VolumeStatus) bool { return len(v.Tokens) > 0 }) {
		tpmName = tpm.Find(s.Root)
	}
	s.secrets.forgetSealed()
	var measured []measure.Event
	s.restart(func() error {
		if tpmName != "" {
			measured = s.latch(tpmName)
		}
		// Suspended or not, the console is the menu's again afterwards.
		err := on.Suspend("Type exit to come back to the menu. help lists the commands.\r\n")
		if err == nil {
			// A person types there: with quiet, the messages are left to dmesg.
			if _, quiet := cmdline.Parse(s.Cmdline).Get("quiet"); !quiet {
				s.Machine.KernelMessages(true)
			}
			err = s.Machine.Shell(on.Device)
		}
		return errors.Join(err, on.Resume())
	}, func(err error) {
		s.measure.events = append(s.measure.events, measured...)
		if s.view.holders == 0 {
			s.Machine.KernelMessages(false)
		}
		s.update(menu.ShellDoneMsg{Error: sentence(err)})
	})
}
