package reboot

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// marker is for the services on an init that cannot distinguish a reboot from a
// poweroff (busybox before 1.37.0-r13 of Alpine) that it is a reboot.
const marker = "/run/kexec-reboot"

// failedFile has kexec-exec start nothing: the reboot goes through the firmware.
const failedFile = "/run/kexec-reboot.failed"

// Shutdown has the service manager shut the system down and then start what is
// loaded.
func (s *System) Shutdown(dryRun bool) error {
	command, err := s.kexecCommand()
	if err != nil {
		return err
	}
	if !s.Loaded() && !s.loadsByItself() {
		return errors.New("no kernel is loaded: kexec-reboot load loads one")
	}
	if dryRun {
		s.say("would run %s through %s", strings.Join(command, " "), s.manager())
		return nil
	}
	if len(command) > 1 {
		return s.Run(command[0], command[1:]...)
	}
	if err := os.WriteFile(s.path(marker), nil, 0o600); err != nil {
		return fmt.Errorf("leaving a note for the services: %w", err)
	}
	if err := s.Run(command[0]); err != nil {
		os.Remove(s.path(marker)) // so that a later poweroff is one
		return err
	}
	return nil
}

// kexecCommand returns the command that has the service manager end in kexec; of one
// word alone it is the services of OpenRC that do so. The error is why there is
// none.
func (s *System) kexecCommand() ([]string, error) {
	if err := s.cannot(); err != nil {
		return nil, err
	}
	switch s.manager() {
	case systemd: // does all of it by itself
		return []string{"systemctl", "kexec"}, nil
	case openrcInit:
		return []string{"openrc-shutdown", "--kexec", "now"}, nil
	case busybox, sysvinit:
		if !s.exists(runlevelLink("kexec-exec")) {
			return nil, errors.New("the OpenRC services are not in place, so nothing would start the kernel at the end of the shutdown: kexec-reboot install puts them there; kexec-reboot exec --now does without")
		}
		return []string{"reboot"}, nil
	}
	return nil, errors.New("what runs as PID 1 is neither busybox init nor OpenRC nor systemd, and has no way to end in kexec that is known here: kexec-reboot exec --now jumps at once")
}

// loadsByItself reports whether the service kexec-load will load a kernel when
// the system goes down.
func (s *System) loadsByItself() bool { return s.exists("/run/openrc/started/kexec-load") }
