package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
)

// asShell has the test's own program be the shell.
const asShell = "ALPBOOT_TEST_SH"

func TestMain(m *testing.M) {
	if os.Getenv(asShell) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func shell(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asShell+"=1", "TERM=linux")
	return cmd
}

func TestScripts(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	lines := filepath.Join(dir, "lines")
	// Programs that take nothing but flags, as those of the image do.
	strict := "#!/bin/sh\n[ $1 = -n ] || exec echo $1 is no flag\nPATH=/usr/bin:/bin exec %s \"$@\"\n"
	for name, text := range map[string]string{script: "echo $1-$2\nexit 4\n", lines: "a\nb\nc\n", "head": fmt.Sprintf(strict, "head"), "tail": fmt.Sprintf(strict, "tail")} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := os.WriteFile(name, []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, tt := range []struct {
		args   []string
		stdin  string
		want   string // what is printed
		status int
	}{
		{args: []string{script, "x", "y"}, want: "x-y\n", status: 4},
		{args: []string{"-c", "echo $1; false; exit", "name", "x"}, want: "x\n", status: 1},
		{stdin: "echo a\nexit 3\necho b\n", want: "a\n", status: 3},
		{args: []string{"-c", "tail -2 " + lines + "; head -1 " + lines}, want: "b\nc\na\n"},
		{args: []string{"-c", "cat " + lines + " | tail -1"}, want: "c\n"},
		{args: []string{"-c", "tail -n 1 " + lines}, want: "c\n"},
		{args: []string{"-c", "nosuchcommand"}, want: "\"nosuchcommand\": executable file not found in $PATH\n", status: 127},
		{args: []string{"-c", "if"}, want: "sh: sh:1:1: \"if\" must be followed by a statement list\n", status: 2},
		{args: []string{filepath.Join(dir, "none")}, want: "sh: open " + dir + "/none: no such file or directory\n", status: 127},
	} {
		cmd := shell(t, tt.args...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		out, _ := cmd.CombinedOutput()
		if string(out) != tt.want || cmd.ProcessState.ExitCode() != tt.status {
			t.Errorf("%q: printed %q, status %d; want %q, %d", tt.args, out, cmd.ProcessState.ExitCode(), tt.want, tt.status)
		}
	}
}

// user is somebody at a terminal in which a shell runs.
type user struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	all    bytes.Buffer // what was printed
	seen   int          // how much of it was awaited
	ended  chan int
}

func login(t *testing.T) *user {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		boottest.Skip(t, "no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	c, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	c.Control(func(fd uintptr) {
		unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 80})
		n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := shell(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, master: master, cmd: cmd, ended: make(chan int, 1)}
	go func() { cmd.Wait(); u.ended <- cmd.ProcessState.ExitCode() }()
	u.await("$ ")
	return u
}

// types types keys.
func (u *user) types(keys string) {
	if _, err := u.master.WriteString(keys); err != nil {
		u.t.Fatal(err)
	}
}

// await waits until text is printed, after what was awaited before.
func (u *user) await(text string) {
	u.t.Helper()
	u.master.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 4096)
	for {
		if i := strings.Index(u.all.String()[u.seen:], text); i >= 0 {
			u.seen += i + len(text)
			return
		}
		n, err := u.master.Read(b)
		u.all.Write(b[:n])
		if err != nil {
			u.t.Fatalf("waiting for %q: %v; was printed: %q", text, err, u.all.String())
		}
	}
}

// reads waits until the shell edits a line, which it does without ISIG.
func (u *user) reads() {
	u.t.Helper()
	c, err := u.master.SyscallConn()
	if err != nil {
		u.t.Fatal(err)
	}
	for mode := new(unix.Termios); err == nil; {
		c.Control(func(fd uintptr) { mode, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
		if err == nil && mode.Lflag&unix.ISIG == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	u.t.Fatal(err)
}

// alive waits until the shell that has the terminal has run a command.
func (u *user) alive() {
	u.t.Helper()
	u.types("echo alive$((1+1))\r")
	u.await("alive2")
}

// exits waits until the shell has ended.
func (u *user) exits(status int) {
	u.t.Helper()
	select {
	case got := <-u.ended:
		if got != status {
			u.t.Errorf("status %d, want %d", got, status)
		}
	case <-time.After(20 * time.Second):
		u.t.Error("the shell did not end")
	}
}

// exit leaves the shell wherever it stands.
func TestExit(t *testing.T) {
	for line, status := range map[string]int{
		"exit\r": 0, "true; exit\r": 0, "ls / >/dev/null && exit\r": 0, "false || exit 3\r": 3,
		"if true; then exit 5; fi; echo still here\r": 5, "\x04": 0,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			u := login(t)
			u.types(line)
			u.exits(status)
		})
	}
}

// Ctrl-C ends a command and the list that it is in, and neither the shell nor
// one that runs in it.
func TestInterrupt(t *testing.T) {
	u := login(t)
	for _, list := range []string{"echo begun$((1+1)); sleep 1000; echo lost$((1+1))", "echo begun$((1+1)); while true; do :; done; echo lost$((1+1))"} {
		u.types(list + "\r")
		u.await("begun2")
		u.types("\x03")
		u.alive()
	}
	self, _ := os.Executable()
	u.types("echo outer$((1+1)); " + self + "\r")
	u.await("outer2")
	u.alive() // this is the inner one
	u.types("echo begun$((1+1)); sleep 1000\r")
	u.await("begun2")
	u.types("\x03")
	u.alive()
	u.types("exit 7\r")
	u.await("exit 7")
	u.await("$ ") // what is typed earlier is read by the one that ends
	u.alive()
	u.reads()
	u.types("echo lost\x03")
	u.await("^C")
	u.reads()
	u.alive()
	if strings.Contains(u.all.String(), "lost2") {
		t.Errorf("a list went on: %q", u.all.String())
	}
	u.types("exit 9\r")
	u.exits(9)
}

// A command goes on in the next line until it is whole.
func TestContinuation(t *testing.T) {
	u := login(t)
	for _, lines := range []string{"if true; then\recho $((6*7)); fi\r", "echo $((6*\\\r7))\r", "cat <<end\r$((6*7))\rend\r"} {
		u.types(lines)
		u.await("42")
	}
	u.types("echo )\r")
	u.await("sh: ")
	u.types("\x04")
	u.exits(2)
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	t.Chdir(dir)
	for _, name := range []string{"bin", "sub"} {
		if err := os.Mkdir(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin/mount", "bin/more", "subject", "bin/x"} {
		if err := os.WriteFile(name, nil, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"mo":            "|more mount |",
		"ls; mo|grep":   "ls; |more mount |",
		"cat su":        "cat |sub/ subject|",
		"cat bin/m":     "cat |bin/more bin/mount|",
		"true && ./bin": "true && |./bin/|",
	} {
		pos := len(line)
		if i := strings.Index(line, "|"); i >= 0 {
			pos, want = i, want+line[i:]
		}
		head, found, tail := complete(line, pos)
		for i := range found {
			found[i] = strings.TrimSuffix(found[i], " ")
		}
		if got := head + "|" + strings.Join(found, " ") + "|" + tail; strings.ReplaceAll(got, " |", "|") != strings.ReplaceAll(want, " |", "|") {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
