package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// shells are tried in this order.
var shells = [...]string{"/bin/defaultsh", "/bbin/gosh", "/bin/sh"}

// shell runs a shell on the console device dev.
func shell(dev string) error {
	for _, name := range shells {
		if _, err := os.Stat(name); err == nil {
			// On a processor without a random generator nothing else seeds the kernel's,
			// and dhclient would wait for it. Asking makes the kernel see to it.
			go unix.Getrandom(make([]byte, 1), 0)
			return runShell(name, dev)
		}
	}
	return errors.New("this image has no shell")
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
