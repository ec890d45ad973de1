package reboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/cmdline"
)

// checkDir holds the checks of whether the system is well.
const checkDir = "/etc/alpboot/check.d"

// notYet is the exit status of a check that is to be run again: EX_TEMPFAIL of
// sysexits.h.
const notYet = 75

// HealthOptions are how long the parts of [System.Health] may take; 0 stands for
// the default.
type HealthOptions struct {
	Limit      time.Duration // for all of it: 10 minutes
	CheckLimit time.Duration // for one check: a minute
	Pause      time.Duration // between two looks at what has not come about yet: 2 seconds
	DownLimit  time.Duration // for the shutdown: 2 minutes
}

// Health reports to the boot menu that the system is up when it is, and restarts the
// machine when it is not.
//
// It does nothing unless the menu waits for that report, or was started to be tried
// itself; where that cannot be read yet, it is read again within the limit. Then it
// waits until all services have been started, and runs the files in
// /etc/alpboot/check.d. One that fails, or no success within the limit, ends in a
// restart through the firmware, so that the menu comes and counts. A machine that was
// started by hand is not restarted: the user is there, and may be about to repair it.
// The difference between the two is panic= on the command line, which the menu adds
// to an unattended start that is to be confirmed.
func (s *System) Health(ctx context.Context, o HealthOptions) error {
	o.Limit = cmp.Or(o.Limit, 10*time.Minute)
	o.CheckLimit = cmp.Or(o.CheckLimit, time.Minute)
	o.Pause = cmp.Or(o.Pause, 2*time.Second)
	o.DownLimit = cmp.Or(o.DownLimit, 2*time.Minute)
	limited, stop := context.WithTimeout(ctx, o.Limit)
	defer stop()
	var waits bool
	err := again(limited, o.Pause, func() (err error) {
		waits, err = s.menuWaits(limited)
		return err
	})
	if (err != nil || !waits) && !s.onTrial() {
		return err
	}
	bad := s.becomesWell(limited, o)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bad == nil && !waits:
		return s.commitTrial()
	case bad == nil:
		return again(limited, o.Pause, func() error { return s.ConfirmBoot(ctx) })
	case !s.unattended():
		return fmt.Errorf("%w: that it is up is not reported to the boot menu; it was started by hand, and is not restarted", bad)
	}
	s.Warn("%v: the machine is restarted, and the boot menu goes by its count", bad)
	return s.restart(o.DownLimit)
}

// unattended reports whether the menu has started this system with nobody there.
func (s *System) unattended() bool {
	v, ok := cmdline.Parse(s.read("/proc/cmdline")).Get("panic")
	return ok && v != "0" && v != ""
}

// menuWaits reports whether the boot menu waits for the report that this system is up:
// not another one, after which this one was started without the menu.
func (s *System) menuWaits(ctx context.Context) (bool, error) {
	b := s.bootMenu(ctx)
	defer b.close()
	state, err := b.store.Load()
	ours := state.Attempt.Release == "" || state.Attempt.Release == s.Release
	if err == nil && !state.Kept {
		err = b.unread()
	}
	return err == nil && state.Kept && state.Trying != "" && ours, err
}

// becomesWell waits until the system is up and its checks pass. It returns the
// reason why not.
func (s *System) becomesWell(ctx context.Context, o HealthOptions) error {
	for seen := 0; seen < 2; { // the runlevel changes in several steps
		if seen++; !s.isUp() {
			seen = 0
		}
		if !wait(ctx, o.Pause) {
			return fmt.Errorf("the services have not all been started within %v", o.Limit)
		}
	}
	for {
		again, err := s.check(ctx, o.CheckLimit)
		if err != nil {
			return err
		}
		if again == "" {
			return nil
		}
		if !wait(ctx, o.Pause) {
			return fmt.Errorf("%s has not succeeded within %v", again, o.Limit)
		}
	}
}

// again calls do until it succeeds or the time is over, as a disk may answer later;
// each pause is twice the one before, up to a minute. It returns the last error.
func again(ctx context.Context, pause time.Duration, do func() error) error {
	for {
		err := do()
		if err == nil || !wait(ctx, pause) {
			return err
		}
		pause = min(2*pause, time.Minute)
	}
}

// wait waits, and reports whether there is still time.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isUp reports whether the services of the system have been started.
func (s *System) isUp() bool {
	switch s.manager() {
	case systemd:
		out, _ := s.Output("systemctl", "is-system-running") // fails for a degraded one
		return out != "" && out != "initializing" && out != "starting"
	case unknown:
		return true
	}
	level := s.read("/run/openrc/softlevel")
	return level != "" && level != "sysinit" && level != "boot" && !s.exists("/run/openrc/rc.starting") && !s.exists("/run/openrc/rc.stopping")
}

// check runs all checks, in the order of their names. again is one that is not
// ready to answer yet.
func (s *System) check(ctx context.Context, limit time.Duration) (again string, err error) {
	list, err := os.ReadDir(s.path(checkDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, d := range list {
		st, err := os.Stat(s.path(path.Join(checkDir, d.Name())))
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 || strings.HasPrefix(d.Name(), ".") {
			continue
		}
		name := path.Join(checkDir, d.Name())
		switch err := runCheck(ctx, s.path(name), limit); {
		case ctx.Err() != nil:
			return name, nil // the next wait ends
		case exitCode(err) == notYet:
			return name, nil
		case err != nil:
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return "", nil
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

// runCheck runs a check, and ends it with all that it has started.
func runCheck(ctx context.Context, file string, limit time.Duration) error {
	limited, stop := context.WithTimeout(ctx, limit)
	defer stop()
	cmd := exec.CommandContext(limited, file)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it has not ended within %v", limit)
	}
	return err
}

// restart restarts the machine through the firmware: in order, and where that
// takes too long, at once.
func (s *System) restart(limit time.Duration) error {
	// kexec-exec does not start what is loaded then: it might be this kernel again.
	if s.hasOpenRC() {
		if err := os.WriteFile(s.path(failedFile), nil, 0o600); err != nil {
			s.Warn("%v", err)
		}
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE) // the shutdown ends all programs
	if err := s.Run("reboot"); err != nil {
		s.Warn("%v", err)
	} else {
		wait(context.Background(), limit) // nobody comes back from a shutdown that ends
	}
	return s.Restart()
}

// restartNow goes through the firmware without a shutdown. What was written is on
// the disks, and what is not in use is read-only.
func (s *System) restartNow() error {
	_ = within(syncLimit, func() error { unix.Sync(); return nil }) // a disk that is gone must not hold it up
	for _, m := range toSettle(s.mounts()) {
		_ = within(mountLimit, func() error { return remount(m, unix.MS_RDONLY) })
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}
