package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/menu"
)

// shells are tried in this order.
var shells = [...]string{"/bin/defaultsh", "/bbin/gosh", "/bin/sh"}

// shell runs a shell on the console device dev. Disks are let go of meanwhile,
// so that it can do with them what it likes.
func (s *session) shell(ctx context.Context, dev string) {
	if !s.asked.Shell {
		s.update(ctx, menu.ShellDoneMsg{Error: wordShellOff})
		return
	}
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
		s.update(ctx, menu.ShellDoneMsg{Error: wordNoShell})
		return
	}
	s.shells++
	s.outdate()
	s.scan.Stop()
	if err := on.Suspend(wordShellHint + "\r\n"); err != nil {
		go func() { // it may be suspended all the same
			err := errors.Join(err, on.Resume())
			s.later(ctx, func() { s.shellEnded(ctx, err) })
		}()
		return
	}
	s.machine.messages(true)
	// On a processor without a random generator nothing else seeds the kernel's,
	// and dhclient would wait for it. Asking makes the kernel see to it.
	go unix.Getrandom(make([]byte, 1), 0)
	go func() {
		err := runShell(name, on.device)
		s.later(ctx, func() { s.shellEnded(ctx, errors.Join(err, on.Resume())) })
	}()
}

// shellEnded shows the menu again. Disks are looked at when no other shell may
// be at work on them.
func (s *session) shellEnded(ctx context.Context, err error) {
	s.shells--
	var done menu.ShellDoneMsg
	if err != nil {
		done.Error = sentence(err)
	}
	if s.shells == 0 {
		s.machine.messages(false)
		s.startScan()
	}
	s.update(ctx, done)
}

// runShell runs a shell with the terminal dev as its own, job control included.
// Ctrl-C is for the command that runs, but gosh dies of it too: then comes
// another one.
func runShell(name, dev string) error {
	for {
		err := runOnce(name, dev)
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		if exit.Exited() {
			return nil // its status is that of the last command typed into it
		}
		if s, ok := exit.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGINT {
			return err
		}
	}
}

// runOnce runs a shell until it ends, and leaves the terminal in the mode that
// it found.
func runOnce(name, dev string) error {
	// When a session ends, the terminal is closed for whoever had it open.
	tty, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("terminal %s: %w", dev, err)
	}
	cmd := exec.Command(name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ended := cmd.Run()
	if tty, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode)
		tty.WriteString("\r\n")
		tty.Close()
	}
	return ended
}
