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

// Shutdown has the service manager shut the system down and then start what is
// loaded.
func (s *System) Shutdown(dryRun bool) error {
	if err := s.cannot(); err != nil {
		return err
	}
	var program string
	var args []string
	how := s.manager()
	switch how {
	case systemd: // does all of it by itself
		program, args = "systemctl", []string{"kexec"}
	case openrcInit:
		program, args = "openrc-shutdown", []string{"--kexec", "now"}
	case busybox, sysvinit:
		if !s.exists(runlevelLink("kexec-exec")) {
			return errors.New("the OpenRC services are not in place, so nothing would start the kernel at the end of the shutdown: kexec-reboot install puts them there; kexec-reboot exec --now does without")
		}
		program = "reboot"
	default:
		return errors.New("what runs as PID 1 is neither busybox init nor OpenRC nor systemd, and has no way to end in kexec that is known here: kexec-reboot exec --now jumps at once")
	}
	if !s.Loaded() && !s.loadsByItself() {
		return errors.New("no kernel is loaded: kexec-reboot load loads one")
	}
	if dryRun {
		s.say("would run %s through %s", strings.Join(append([]string{program}, args...), " "), how)
		return nil
	}
	if program != "reboot" {
		return s.Run(program, args...)
	}
	if err := os.WriteFile(s.path(marker), nil, 0o600); err != nil {
		return fmt.Errorf("leaving a note for the services: %w", err)
	}
	if err := s.Run(program); err != nil {
		os.Remove(s.path(marker)) // so that a later poweroff is one
		return err
	}
	return nil
}

// loadsByItself reports whether the service kexec-load will load a kernel when
// the system goes down.
func (s *System) loadsByItself() bool { return s.exists("/run/openrc/started/kexec-load") }
