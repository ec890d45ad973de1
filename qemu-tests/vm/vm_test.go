package vm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

// testConsole is a console without a machine behind it.
func testConsole(t *testing.T) *Console {
	t.Helper()
	c, err := newConsole(&VM{dir: t.TempDir(), start: time.Now()}, "serial0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConsoleShowsWhatTheMachineDraws(t *testing.T) {
	c := testConsole(t)
	c.feed([]byte("boot\r\nlog\x1b[2J\x1b[3;5Htext \x1b[7mchosen\x1b[0m \xe2\x94"), 1)
	c.feed([]byte("\x80 end"), 2) // the second half of a box drawing character
	lines := c.Screen().Lines()
	if got, want := lines[2], "    text chosen \u2500 end"; got != want {
		t.Errorf("row 3 is %q, want %q", got, want)
	}
	if got, want := c.Screen().Marked()[2], "chosen"; got != want {
		t.Errorf("marked on row 3: %q, want %q", got, want)
	}
	if c.Screen().Contains("boot") {
		t.Error("the cleared text is still on the screen")
	}
	if !strings.Contains(c.Log(), "boot\r\nlog") {
		t.Errorf("the log has lost the cleared text: %q", c.Log())
	}
}

func TestWaitGivesTheTimeOfTheText(t *testing.T) {
	c := testConsole(t)
	early := c.Watch(InLog("second"))
	c.feed([]byte("fir"), 10*time.Millisecond)
	c.feed([]byte("st sec"), 20*time.Millisecond)
	c.feed([]byte("ond third"), 30*time.Millisecond)
	for _, w := range []*Wait{early, c.Watch(InLog("second"))} {
		at, err := w.Result(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if want := 30 * time.Millisecond; at != want {
			t.Errorf("met at %v, want %v", at, want)
		}
	}
	if at, err := c.Watch(InLog("first")).Result(time.Second); err != nil || at != 20*time.Millisecond {
		t.Errorf("first met at %v, %v; want 20ms", at, err)
	}
}

func TestWaitEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*Console)
		want string
	}{
		{name: "time limit", do: func(*Console) {}, want: "not within"},
		{name: "panic", do: func(c *Console) { c.feed([]byte("Kernel pa"), 1); c.feed([]byte("nic - not syncing: VFS"), 2) }, want: "panicked"},
		{name: "machine off", do: func(c *Console) { c.finish(errEnded) }, want: "powered off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testConsole(t)
			c.feed([]byte("last words\r\n"), 1)
			w := c.Watch(OnScreen("never"))
			tt.do(c)
			_, err := w.Result(20 * time.Millisecond)
			var we *WaitError
			if !errors.As(err, &we) {
				t.Fatalf("got %v, want a WaitError", err)
			}
			for _, part := range []string{tt.want, `"never" on the screen`, "|last words  ", c.vm.dir} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestLogFileIsReadable(t *testing.T) {
	c := testConsole(t)
	c.feed([]byte("a\x1b[1mb\r\nc"), 1500*time.Millisecond)
	b, err := os.ReadFile(filepath.Join(c.vm.dir, "serial0.log"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), "[    1.500] a^[[1mb\n[    1.500] c"; got != want {
		t.Errorf("log file %q, want %q", got, want)
	}
}

func TestShellQuoteSurvivesAShell(t *testing.T) {
	args := []string{"printf", "%s|", "a b", "it's", "", "$HOME", "root=LABEL=/"}
	out, err := exec.Command("sh", "-c", ShellQuote(args)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "a b|it's||$HOME|root=LABEL=/|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeysForAPCKeyboard(t *testing.T) {
	for _, tt := range []struct {
		key  Key
		want string
	}{
		{Down, "down"},
		{CtrlC, "ctrl+c"},
		{"eX=1", "e shift+x equal 1"},
		{"\u00e9", ""},
	} {
		var got []string
		for _, chord := range tt.key.qcodes() {
			got = append(got, strings.Join(chord, "+"))
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%q: got %q, want %q", tt.key, g, tt.want)
		}
	}
}

// A machine without anything to boot is enough to see that QEMU starts, obeys
// and ends.
func TestMachineLifeWithoutAKernel(t *testing.T) {
	boottest.NeedTools(t, "qemu-system-x86_64")
	m := Start(t, Options{Display: VGA, Memory: 64, Serials: 2})
	picture := filepath.Join(t.TempDir(), "screen.png")
	if err := m.Screendump(picture); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(picture)
	if err != nil || !strings.HasPrefix(string(b), "\x89PNG") {
		t.Errorf("no PNG: %v, %.8q", err, b)
	}
	w := m.Serial(1).Watch(InLog("x"))
	if err := m.QMP("quit", nil, nil); err != nil {
		t.Fatal(err)
	}
	m.AwaitEnd(30 * time.Second)
	if _, err := w.Result(time.Second); !errors.Is(err, errEnded) {
		t.Errorf("a wait on a machine that has ended returns %v, want %v", err, errEnded)
	}
}

// writing is how many bytes the machine of writer writes.
const writing = 20_000

// writer returns a disk that has its machine write that many times x to its first
// serial port, and power itself off.
func writer(t *testing.T) Drive {
	t.Helper()
	boottest.NeedTools(t, "qemu-system-x86_64")
	sector := make([]byte, 1<<20)
	copy(sector, []byte{
		0xfa,                                      // cli
		0xb9, writing & 0xff, writing >> 8 & 0xff, // mov cx, writing
		0xba, 0xfd, 0x03, // next: mov dx, line status
		0xec,       // wait: in al, dx
		0xa8, 0x20, // test al, holding register empty
		0x74, 0xfb, // jz wait
		0xba, 0xf8, 0x03, // mov dx, holding register
		0xb0, 'x', // mov al, 'x'
		0xee,       // out dx, al
		0xe2, 0xf0, // loop next
		0xba, 0x04, 0x06, // mov dx, power management
		0xb8, 0x00, 0x20, // mov ax, sleep: off
		0xef,       // out dx, ax
		0xf4,       // end: hlt
		0xeb, 0xfd, // jmp end
	})
	sector[510], sector[511] = 0x55, 0xaa
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, sector, 0o644); err != nil {
		t.Fatal(err)
	}
	return Drive{File: file}
}

// What the machine writes while nobody reads does not hold it up, and is not lost.
func TestNobodyReads(t *testing.T) {
	m := Start(t, Options{Memory: 64, Drives: []Drive{writer(t)}})
	c := m.Serial(0)
	c.mu.Lock() // whoever feeds it waits
	runs := func() bool { return m.process.Signal(syscall.Signal(0)) == nil }
	for limit := time.Now().Add(time.Minute); runs() && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond)
	}
	held := runs()
	c.mu.Unlock()
	if held {
		t.Error("the machine waits until somebody reads")
	}
	if err := m.WaitEnd(time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(c.Log(), "x"); n != writing {
		t.Errorf("%d of %d bytes came", n, writing)
	}
}

// Of a counted machine it is known when each byte was written.
func TestMoments(t *testing.T) {
	drive := writer(t)
	clock := filepath.Join(t.TempDir(), "clock.so")
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler")
	}
	if err := BuildClock(clock); err != nil {
		t.Fatal(err)
	}
	m := Start(t, Options{Memory: 64, Drives: []Drive{drive}, Clock: clock})
	m.AwaitEnd(time.Minute)
	all, err := m.Moments()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < writing || all[len(all)-1].Bytes != len(m.Serial(0).Log()) {
		t.Fatalf("%d moments of %d bytes", len(all), len(m.Serial(0).Log()))
	}
	first, last := all[len(all)-writing], all[len(all)-1]
	if each := (last.Instructions - first.Instructions) / writing; each < 5 || each > 50 || last.At <= first.At {
		t.Errorf("%d instructions a byte, from %v to %v", each, first.At, last.At)
	}
}

// What firmware writes on the screen is read from there, on a machine that has
// nothing else.
func TestScreenWithoutASerialPort(t *testing.T) {
	boottest.NeedTools(t, "qemu-system-x86_64")
	m := Start(t, Options{Display: VGA, Memory: 64, Serials: NoSerial})
	if err := m.AwaitText(time.Minute, "SeaBIOS", func(s string) bool { return strings.Contains(s, "SeaBIOS (version ") }); err != nil {
		t.Fatal(err)
	}
	err := m.AwaitText(time.Millisecond, "nothing", func(string) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "SeaBIOS") || !strings.Contains(err.Error(), "waiting for nothing") {
		t.Errorf("%v: it does not show what is on the screen, or what is missing", err)
	}
	m.Stop()
	if err := m.AwaitText(time.Minute, "", nil); err == nil {
		t.Error("no error of a machine that has ended")
	}
}

func TestLaunchSaysWhatIsMissing(t *testing.T) {
	_, err := Launch(Options{Kernel: "/nonexistent/vmlinuz"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/vmlinuz") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	_, err = Launch(Options{Machine: "nosuchmachine"})
	if err == nil || !strings.Contains(err.Error(), "unsupported machine type") {
		t.Errorf("got %v, want what QEMU says", err)
	}
}
