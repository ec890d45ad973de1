// Package vm runs virtual machines under QEMU and reads their screens as a user
// does: each serial port is a terminal with a screen and a keyboard.
//
// Machines are emulated (TCG). ALPBOOT_QEMU_ACCEL=kvm in the environment takes
// KVM instead; a KVM device alone does not, as it may be there and yet hang.
//
// Nothing sleeps and nothing waits for ever: a wait names a [Condition] and a
// limit for the time in which the machine could run. When it fails its error shows the screen, the end of the
// log, where the logs are kept, and the command that runs the machine by hand.
//
// Tests use [Start], other programs [Launch].
package vm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// VM is a running machine.
type VM struct {
	options  Options
	dir      string
	start    time.Time
	consoles []*Console
	monitor  *monitor
	process  *os.Process

	ended   chan struct{} // closed when QEMU has ended and its output is read
	ran     time.Duration // from start to end, and
	used    time.Duration // the processor time in between, once ended is closed
	exitErr error         // why, once ended is closed
}

// errEnded is what a wait ends with when the machine was powered off.
var errEnded = errors.New("the machine was powered off")

// Launch starts a machine. The caller ends it with [VM.Stop].
func Launch(o Options) (*VM, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &VM{options: o, dir: o.Dir, ended: make(chan struct{})}
	if m.dir == "" {
		if m.dir, err = os.MkdirTemp("", "alpboot-vm-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}

	// QEMU connects to our sockets and opens our pipes, so that no byte is lost before
	// we listen. The names of sockets must be short (108 bytes), which those of a log
	// directory may not be.
	sockets, err := os.MkdirTemp("", "vm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(sockets)
	listen := func(name string) (*net.UnixListener, error) {
		l, err := net.Listen("unix", filepath.Join(sockets, name))
		if err != nil {
			return nil, err
		}
		l.(*net.UnixListener).SetDeadline(time.Now().Add(30 * time.Second))
		return l.(*net.UnixListener), nil
	}

	args := o.args()
	var cables []*cable
	defer func() {
		for _, c := range cables {
			c.unplug()
		}
	}()
	for i := range max(o.Serials, 0) {
		name := fmt.Sprintf("serial%d", i)
		pipe := filepath.Join(sockets, name)
		wire, err := newCable(pipe)
		if err != nil {
			return nil, err
		}
		cables = append(cables, wire)
		c, err := newConsole(m, name)
		if err != nil {
			return nil, err
		}
		m.consoles = append(m.consoles, c)
		args = append(args, "-chardev", "pipe,id="+name+",path="+pipe, "-serial", "chardev:"+name)
	}
	l, err := listen("qmp")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	args = append(args, "-qmp", "unix:"+l.Addr().String())

	stderr, err := os.Create(filepath.Join(m.dir, "qemu.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if o.Clock != "" {
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+o.Clock, "ALPBOOT_CLOCK="+filepath.Join(m.dir, clockFile))
	}
	// QEMU shall not outlive a test that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.start = time.Now()
	if err := cmd.Start(); err != nil {
		stderr.Close()
		return nil, fmt.Errorf("starting QEMU (Debian: qemu-system-x86): %w", err)
	}
	m.process = cmd.Process

	exited := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		stderr.Close()
		l.SetDeadline(time.Now()) // nobody will come any more
		exited <- err
	}()

	conn, err := l.Accept()
	if err == nil {
		m.monitor, err = newMonitor(conn)
	}
	if err != nil {
		m.process.Kill()
		<-exited
		output, _ := os.ReadFile(stderr.Name())
		if o.Dir == "" {
			os.RemoveAll(m.dir)
		}
		return nil, fmt.Errorf("QEMU did not start: %w\n%s\n%s", err, strings.TrimSpace(string(output)), ShellQuote(args))
	}

	var serving sync.WaitGroup
	plugged := cables
	cables = nil // not to be unplugged by us
	for i, c := range m.consoles {
		serving.Go(func() { c.serve(plugged[i]) })
	}
	go func() {
		err := <-exited
		m.ran, m.used = m.Since(), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
		for _, c := range plugged {
			c.end.Close()
		}
		serving.Wait()
		m.exitErr = errEnded
		if err != nil {
			m.exitErr = fmt.Errorf("QEMU ended: %w", err)
		}
		m.monitor.conn.Close()
		for _, c := range m.consoles {
			c.finish(m.exitErr)
		}
		close(m.ended)
	}()
	return m, nil
}

// Since returns the time since the machine's start.
func (m *VM) Since() time.Duration { return time.Since(m.start) }

// Serial returns the console at the n'th serial port, from 0.
func (m *VM) Serial(n int) *Console { return m.consoles[n] }

// Dir returns the directory with the logs: serialN.log with a time on each line,
// and qemu.log with what QEMU itself printed.
func (m *VM) Dir() string { return m.dir }

// Reproduce returns the shell command that runs the same machine with its first
// serial port on the terminal.
func (m *VM) Reproduce() string {
	args, err := m.options.Command()
	if err != nil {
		return err.Error()
	}
	return ShellQuote(args)
}

// WaitEnd waits until the machine has powered off, at most limit.
func (m *VM) WaitEnd(limit time.Duration) error {
	if m.within(limit, m.ended) {
		if errors.Is(m.exitErr, errEnded) {
			return nil
		}
		return m.exitErr
	}
	err := fmt.Errorf("not within %v", limit)
	if len(m.consoles) == 0 {
		return fmt.Errorf("waiting for the machine to power off: %w", err)
	}
	return m.consoles[0].report(Condition{what: "the machine to power off"}, err)
}

// within waits until done is closed, and reports whether that was before limit
// had passed. Time in which the host, busy with other work, did not let the
// machine run does not count.
func (m *VM) within(limit time.Duration, done <-chan struct{}) bool {
	start, held := time.Now(), m.heldBack()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return true
		case <-timer.C:
		}
		left := limit - time.Since(start) + m.heldBack() - held
		if left <= 0 {
			return false
		}
		timer.Reset(max(left, time.Second/10))
	}
}

// heldBack is how long the thread of QEMU that has waited for a processor the
// longest has done so since it was started: Documentation/scheduler/sched-stats.rst.
func (m *VM) heldBack() time.Duration {
	if m.process == nil { // of a test of this package
		return 0
	}
	var longest int64 // ns
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", m.process.Pid))
	for _, name := range files {
		b, _ := os.ReadFile(name)
		var ran, waited int64
		fmt.Sscan(string(b), &ran, &waited)
		longest = max(longest, waited)
	}
	return time.Duration(longest)
}

// Stop ends the machine as pulling its plug does. It may be called again, and
// for a machine that has ended by itself.
func (m *VM) Stop() {
	select {
	case <-m.ended:
		return
	default:
	}
	m.process.Kill()
	<-m.ended
}

// Run runs a machine with its first serial port and QEMU's monitor on the
// terminal that stdin and stdout are, until it ends.
func Run(o Options, stdin io.Reader, stdout, stderr io.Writer) error {
	args, err := o.Command()
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running QEMU (Debian: qemu-system-x86): %w", err)
	}
	return nil
}
