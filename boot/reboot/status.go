package reboot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/choice"
)

// Outcome is what a reboot will end in.
type Outcome int

const (
	ByKexec       Outcome = iota // it starts the next kernel
	CannotKexec                  // the running kernel cannot
	ByTheFirmware                // it could, but the reboot goes through the firmware
)

// Status prints what a reboot will do, and why. It changes nothing.
func (s *System) Status(ctx context.Context) Outcome {
	menu := s.bootMenu(ctx)
	defer menu.close()
	return s.status(ctx, menu, s.wants(ctx, menu))
}

// status is Status with what was scanned.
func (s *System) status(ctx context.Context, menu *bootMenu, wants choice.Wants) (outcome Outcome) {
	row := func(name, format string, args ...any) { s.say("%-9s %s", name, fmt.Sprintf(format, args...)) }

	cannot := s.cannot()
	if cannot != nil {
		row("kernel", "%s: %v", s.Release, cannot)
		outcome = CannotKexec
	} else {
		row("kernel", "%s can kexec (%s)", s.Release, s.method())
	}
	if s.lockedDown() && cannot == nil {
		row("lockdown", "%s: only kernels that are signed can be loaded", s.Lockdown())
	}
	switch {
	case !s.Loaded():
		row("loaded", "nothing")
	case s.exists(choiceFile):
		row("loaded", "by kexec-reboot load; its files are read again at the reboot")
	default:
		row("loaded", "by another program")
	}

	services := s.services(cannot)
	row("services", "%s", services.text)
	if outcome == ByKexec && !services.ready {
		outcome = ByTheFirmware
	}

	inv := menu.inv
	if t, err := s.next(ctx, Options{menu: menu}); cannot != nil && !services.ready {
		row("next", "nothing: the reboot goes through the firmware")
		if err == nil {
			t.close()
		}
	} else if errors.Is(err, errForeign) {
		row("next", "what another program has loaded")
	} else if err != nil {
		row("next", "nothing: %v", err)
		if outcome == ByKexec {
			outcome = ByTheFirmware
		}
	} else {
		row("next", "%s%s, %s", t.title, inParentheses(t.release), t.Kernel.Name())
		row("", "%s", t.Cmdline)
		t.close()
	}
	id := menuChoice(inv, wants).ID
	for i, e := range inv.Entries {
		mark := " "
		switch {
		case e.Problem != "":
			mark = "!"
		case e.ID == id:
			mark = "*"
		case wants.HasFailed(e):
			mark = "x"
		}
		if i == 0 {
			s.say("\nEntries (* default of the boot menu, ! cannot be booted, x never reported being up):")
		}
		version := inParentheses(e.Version)
		if strings.Contains(e.Apart, e.Version) {
			version = ""
		}
		s.say("%s %d %s  %s%s", mark, i+1, e.ID, e.Name(), version)
		if e.Problem != "" {
			s.say("    %s", e.Problem)
		}
	}
	return outcome
}

// next returns what a reboot into what o names will load; without a name what was
// chosen by hand, or what the settings of the service have.
func (s *System) next(ctx context.Context, o Options) (*target, error) {
	o, err := s.chosen(o)
	if err != nil {
		return nil, err
	}
	if o, err = s.resolve(o, s.readConf); err != nil {
		return nil, err
	}
	t, err := s.target(ctx, o)
	if err != nil {
		return nil, err
	}
	if !o.NoModules {
		if err := s.checkModules(t); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// method names the system calls that this kernel has.
func (s *System) method() string {
	switch file, load := s.Has(unix.SYS_KEXEC_FILE_LOAD), s.Has(unix.SYS_KEXEC_LOAD); {
	case file && load && !s.lockedDown():
		return "kexec_file_load, kexec_load"
	case file:
		return "kexec_file_load"
	}
	return "kexec_load"
}

// serviceState is whether a plain reboot ends in kexec.
type serviceState struct {
	ready bool
	text  string
}

func (s *System) services(cannot error) serviceState {
	switch s.manager() {
	case systemd:
		return serviceState{s.Loaded(), "none are needed: systemd runs here, and systemctl kexec starts what is loaded"}
	case openrcInit:
		return serviceState{s.Loaded(), "none are needed: openrc-shutdown --kexec starts what is loaded"}
	}
	switch {
	case !s.hasOpenRC():
		return serviceState{false, "there is no OpenRC here: only kexec-reboot exec --now works"}
	case !s.exists(runlevelLink("kexec-load")) || !s.exists(runlevelLink("kexec-exec")):
		return serviceState{false, "not in place: kexec-reboot install puts them there"}
	case !s.loadsByItself():
		return serviceState{false, "in place, and kexec-load is not started: rc-service kexec-load start"}
	case cannot != nil:
		return serviceState{false, "in place, but of no use while this kernel cannot kexec: reboot goes through the firmware, poweroff powers off"}
	case s.manager() == busybox && !s.knowsReboot("/proc/1/exe"):
		return serviceState{false, "in place for kexec-reboot exec only: this busybox knows no reboot action (Alpine's from 1.37.0-r13 on does), and reboot looks like poweroff to the services"}
	case s.manager() == busybox && !hasAction(s.read(inittab), "reboot"):
		return serviceState{false, path.Base(inittab) + " has no reboot action: kexec-reboot install adds it; kexec-reboot exec works without"}
	case s.lockedDown():
		return serviceState{true, "in place: reboot starts the next kernel if it is signed, else it goes through the firmware; poweroff powers off"}
	}
	return serviceState{true, "in place: reboot starts the next kernel, poweroff powers off"}
}
