package main

import (
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
	"github.com/alpboot/alpboot/boot/cmdline"
)

// asInit has the test's own program be the first process of a PID namespace.
const (
	asInit  = "ALPBOOT_TEST_INIT"
	isQuiet = "ALPBOOT_TEST_QUIET" // its kernel was started with quiet
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(asInit); dir != "" {
		superviseIn(dir)
	}
	os.Exit(m.Run())
}

// superviseIn runs menus that end, with a file as the console. Their numbers,
// and those of shells, are how many ran before.
func superviseIn(dir string) {
	// The /proc of its own processes: others may have zombies.
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		panic(err)
	}
	count := 0
	script := func(what string) *exec.Cmd {
		count++
		return exec.Command("/bin/sh", filepath.Join(dir, what), fmt.Sprint(count))
	}
	s := supervisor{
		menu:     func() *exec.Cmd { return script("menu") },
		consoles: []string{filepath.Join(dir, "console")},
		pause:    time.Millisecond,
		restart:  func() { os.Exit(42) },
		quiet:    os.Getenv(isQuiet) != "",
	}
	s.locked = func() bool {
		_, err := os.Stat(filepath.Join(dir, "locked"))
		return err == nil
	}
	s.messages = func(on bool) { s.print(fmt.Sprintf("[messages %t]", on)) }
	if _, err := os.Stat(filepath.Join(dir, "shell")); err == nil {
		s.shell = func(string) (*exec.Cmd, error) {
			cmd := script("shell")
			return cmd, cmd.Start()
		}
	}
	s.run()
}

// When the menu ends, its reason is on the console and it starts again; what it
// left running is ended and collected. When it ends again and again there is a
// shell, and where there is none, or it is locked, the machine restarts.
func TestSupervisor(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const menu = `echo run $1 >&2
(sleep 1000 & echo $! > $0.orphan; sleep 0.05 &)
[ $1 != 6 ] || {
	sleep 0.2; n=0 # of tenths of a second: what ends just now is a zombie for a moment
	while grep -q ' Z ' /proc/[0-9]*/stat 2>/dev/null && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
	[ $n -lt 100 ] || echo zombie
	kill -9 $$
}
echo "panic: menu $1" >&2
exit 2
`
	for _, tt := range []struct {
		name   string
		shell  bool
		locked bool
		quiet  string
		want   []string // in this order on the console
	}{
		{"without a shell", false, false, "", []string{"panic: menu 1", "the menu ended: exit status 2", "It starts again.", "panic: menu 2", "It starts again.", "panic: menu 3", "The machine restarts."}},
		{"with a locked shell", true, true, "", []string{"panic: menu 3", "The machine restarts."}},
		{"with a shell", true, false, "", []string{"[messages true]", "panic: menu 3", "This is a shell; exit starts the menu again.", "[messages true]", "shell 4 runs", "panic: menu 5", "It starts again.", "the menu ended: signal: killed"}},
		{"with quiet", true, false, "yes", []string{"[messages true]", "panic: menu 3", "This is a shell; exit starts the menu again.", "[messages false]", "shell 4 runs", "[messages true]", "panic: menu 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]string{"menu": menu}
			if tt.shell {
				files["shell"] = "echo shell $1 runs >> " + filepath.Join(dir, "console") + "\n"
			}
			if tt.locked {
				files["locked"] = ""
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			name := filepath.Join(dir, "console")
			if err := unix.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
			console, err := os.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer console.Close()
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), asInit+"="+dir, isQuiet+"="+tt.quiet)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				boottest.Skip(t, "no PID namespaces here: ", err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			console.SetReadDeadline(time.Now().Add(30 * time.Second))
			var shown strings.Builder
			b := make([]byte, 4096)
			for rest := ""; len(tt.want) > 0; {
				n, err := console.Read(b)
				if err != nil {
					t.Fatalf("waiting for %q: %v; the console shows %s", tt.want[0], err, &shown)
				}
				shown.Write(b[:n])
				rest += string(b[:n])
				for len(tt.want) > 0 && strings.Contains(rest, tt.want[0]) {
					_, rest, _ = strings.Cut(rest, tt.want[0])
					tt.want = tt.want[1:]
				}
			}
			if strings.Contains(shown.String(), "zombie") {
				t.Errorf("a zombie was left: %s", &shown)
			}
			if tt.shell && !tt.locked {
				cmd.Process.Kill()
				<-ended
			} else if <-ended; cmd.ProcessState.ExitCode() != 42 {
				t.Errorf("the machine did not restart: %v", cmd.ProcessState)
			}
		})
	}
}

// What less than a warning is stays off the consoles, unless it is asked for.
func TestConsoleLevel(t *testing.T) {
	for _, tt := range []struct {
		cmdline     string
		level, want int
	}{
		{"console=ttyS0", 7, 5},
		{"console=ttyS0", 5, 0},
		{"quiet", 4, 0},
		{"debug", 10, 0},
		{"loglevel=7", 7, 0},
		{"ignore_loglevel quiet", 7, 0},
		{"alpboot.debug", 7, 5},
		{"", 0, 0},
	} {
		if got := consoleLevel(cmdline.Parse(tt.cmdline), tt.level); got != tt.want {
			t.Errorf("%q, level %d: %d, want %d", tt.cmdline, tt.level, got, tt.want)
		}
	}
}

func TestLastOf(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"bootmenu: no console\n":       "bootmenu: no console\n",
		"noise\npanic: a\n\ngoroutine": "panic: a\n\ngoroutine",
		"panic: a\npanic: b\nx":        "panic: b\nx",
	} {
		if got := lastOf(strings.NewReader(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
