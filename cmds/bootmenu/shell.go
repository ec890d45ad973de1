package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// shellName is the shell of the image, which the minimal one lacks.
const shellName = "/bin/sh"

func hasShell() bool {
	_, err := os.Stat(shellName)
	return err == nil
}

// shell runs a shell on the console device dev.
func shell(dev string) error {
	if !hasShell() {
		return errors.New("this image has no shell")
	}
	// On a processor without a random generator nothing else seeds the kernel's,
	// and dhclient would wait for it. Asking makes the kernel see to it.
	go unix.Getrandom(make([]byte, 1), 0)
	return runShell(dev)
}

// runShell runs a shell on the terminal dev until it ends, and leaves the
// terminal in the mode that it found. The status of a shell is that of the last
// command typed into it.
func runShell(dev string) error {
	mode, err := terminalMode(dev)
	if err != nil {
		return err
	}
	cmd, err := startShell(dev)
	if err != nil {
		return err
	}
	err = cmd.Wait()
	// When a session ends, the terminal is closed for whoever had it open.
	if tty, err := openTerminal(dev); err == nil {
		unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode)
		tty.WriteString("\r\n")
		tty.Close()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil
	}
	return err
}

// startShell starts a shell with the terminal dev as its own, job control
// included.
func startShell(dev string) (*exec.Cmd, error) {
	tty, err := openTerminal(dev)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	cmd := exec.Command(shellName)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return cmd, cmd.Start()
}

func openTerminal(dev string) (*os.File, error) {
	return os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY, 0)
}

// terminalMode returns the mode that the terminal dev is in.
func terminalMode(dev string) (*unix.Termios, error) {
	tty, err := openTerminal(dev)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", dev, err)
	}
	return mode, nil
}
