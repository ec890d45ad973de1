package line

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/console"
)

// output collects what is printed.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // has something when there is news
}

func newOutput() *output { return &output{written: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.written <- struct{}{}:
	default:
	}
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) await(t *testing.T, want string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for !strings.Contains(o.String(), want) {
		select {
		case <-o.written:
		case <-limit:
			t.Fatalf("%q was not written:\n%s", want, o.String())
		}
	}
}

// machine is a menu on a Console, as bootmenu would run it.
type machine struct {
	t     *testing.T
	c     *Console
	in    *io.PipeWriter
	out   *output
	model menu.Model
	echo  bool

	actions []string
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func entry(id, title string) boot.Entry {
	return boot.Entry{ID: id, Title: title, Version: "6.12.63-0-lts", Kernel: "boot/vmlinuz-lts", Cmdline: "root=/dev/sda2 quiet", Volume: boot.Volume{Device: "/dev/sda2", Type: "ext4"}}
}

func inventory() boot.Inventory {
	bad := entry("bad", "Alpine edge")
	bad.Problem = "Its kernel is cut off."
	old := entry("old", "Alpine, older")
	old.Submenu = []string{"Advanced options"}
	return boot.Inventory{
		Settled: true,
		Entries: []boot.Entry{entry("lts", "Alpine Linux"), old, bad},
		Volumes: []boot.VolumeStatus{{Volume: boot.Volume{Device: "/dev/sda3"}, Locked: true}},
	}
}

func newMachine(t *testing.T) *machine {
	r, w := io.Pipe()
	m := &machine{t: t, in: w, out: newOutput(), echo: true, model: menu.New(menu.Config{FallbackTimeout: 5 * time.Second, Rearm: 5 * time.Minute, Firmware: true, Others: []menu.Other{{Number: 4, Title: "Windows Boot Manager"}, {Number: 1, Title: "EFI Internal Shell"}}, CmdlineLimit: 200,
		SettingsFile: "/alpboot.conf on /dev/sda1", Accepts: func(_, value string) bool { return value != "soon" },
		Settings: []menu.Setting{
			{Name: "timeout", Value: "auto", Takes: "whole seconds", Help: "How long the countdown lasts.", Source: "built in"},
			{Name: "title", Takes: "a line of text", Help: "What the header shows.", Source: "kernel parameter", Overridden: true},
		}})}
	m.c = start("/dev/ttyS0", r, m.out, Options{Echo: func(on bool) { m.echo = on }}, "\r\n", func() error { return nil })
	t.Cleanup(func() { w.Close(); m.c.Close() })
	m.update(menu.TickMsg{Now: noon})
	return m
}

// update is what bootmenu does with a message.
func (m *machine) update(msg menu.Msg) {
	var a menu.Action
	m.model, a = m.model.Update(msg)
	switch a := a.(type) {
	case nil:
	case menu.Boot:
		m.actions = append(m.actions, fmt.Sprintf("boot %s %q", a.Entry.ID, a.Entry.Cmdline))
	case menu.Unlock:
		m.actions = append(m.actions, fmt.Sprintf("unlock %s %q %t", a.Device, a.Passphrase, a.HandOn))
	case menu.Inspect:
		m.update(menu.InspectedMsg{ID: a.Entry.ID, Files: []menu.File{{Path: a.Entry.Kernel, Size: 11_400_000, About: "bzImage for x86_64"}}, Notes: []string{"The kernel lacks something."}})
	case menu.System:
		m.update(menu.SystemMsg{Lines: []string{"Firmware:", "UEFI 2.70"}})
	default:
		m.actions = append(m.actions, fmt.Sprintf("%T%+v", a, a))
	}
	m.c.Draw(m.model)
}

// typed sends a line and takes the messages that come of it.
func (m *machine) typed(lines ...string) {
	m.t.Helper()
	for _, l := range lines {
		io.WriteString(m.in, l+"\r\n")
		select {
		case msg := <-m.c.Events():
			m.update(msg)
		case <-time.After(2 * time.Second):
			m.t.Fatalf("nothing comes of %q:\n%s", l, m.out.String())
		}
	}
}

// What is to be shown is written before the next line is taken, however soon that
// comes: a script sends all of its lines at once, and by then another message may have
// taken its place.
func TestShownBeforeTheNextLine(t *testing.T) {
	m := newMachine(t)
	m.update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	m.out.await(t, "Enter alone")
	const help = "NUMBER    boot"
	for n := range 30 {
		message := fmt.Sprintf("message %d.", n)
		m.out.mu.Lock() // the console cannot write now
		m.update(menu.ResultMsg{Text: "Wait."})
		m.update(menu.ResultMsg{Text: message})
		io.WriteString(m.in, "?\r\n")
		time.Sleep(time.Millisecond) // so that both are there
		m.out.mu.Unlock()
		m.out.await(t, message)
		for strings.Count(m.out.String(), help) <= n {
			<-m.out.written
		}
		if out := m.out.String(); strings.LastIndex(out, help) < strings.Index(out, message) {
			t.Fatalf("the line was taken before %q was written:\n%s", message, out)
		}
	}
}

// Where only what is signed starts, nothing is edited and no shell opened.
func TestLocked(t *testing.T) {
	m := newMachine(t)
	m.update(menu.ConfigMsg{Config: menu.Config{FallbackTimeout: 5 * time.Second, Locked: "This is locked."}})
	m.update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	m.out.await(t, "Enter alone")
	m.typed("e 1")
	m.out.await(t, "This is locked.")
	m.typed("s")
	m.out.await(t, "This is locked.")
	m.typed("1")
	m.out.await(t, "Booting Alpine Linux")
	if want := []string{`boot lts "root=/dev/sda2 quiet"`}; !slices.Equal(m.actions, want) {
		t.Errorf("asked for %q, want %q", m.actions, want)
	}
}

// What is locked asks for a password, which is neither shown nor written.
func TestPassword(t *testing.T) {
	m := newMachine(t)
	m.update(menu.ConfigMsg{Config: menu.Config{FallbackTimeout: 5 * time.Second, Asks: []string{menu.AskEdit, menu.AskShell, menu.AskPower, menu.AskUnlock}, Password: true, CmdlineLimit: 200}})
	m.update(menu.InventoryMsg{Inventory: inventory(), Default: "lts", Wait: "It asks first."})
	m.out.await(t, "It asks first.\r\nType a number and Enter, Enter alone for 1")
	const again = " (it is not shown; an empty line goes back):"
	m.typed("s")
	m.out.await(t, "Password for the shell"+again)
	m.typed("hunter1")
	m.out.await(t, "A password is being checked ...")
	m.update(menu.PasswordMsg{})
	m.out.await(t, "This password is wrong. Tries left: 2.\r\nPassword for the shell"+again)
	m.typed("")
	m.out.await(t, "Nothing was done.")
	m.typed("e 1", "+ single")
	m.out.await(t, "Password for starting Alpine Linux"+again)
	m.typed("hunter2")
	m.update(menu.PasswordMsg{Right: true, Owner: true})
	m.update(menu.CancelledMsg{})
	m.typed("s", "p", "r", "4", "n", "hunter3", "1")
	want := []string{"menu.PasswordPassword", "menu.PasswordPassword", `boot lts "root=/dev/sda2 quiet single"`, "menu.Shell{Console:/dev/ttyS0}", "menu.Reboot{}", `unlock /dev/sda3 "hunter3" false`, `boot lts "root=/dev/sda2 quiet"`}
	if !slices.Equal(m.actions, want) {
		t.Errorf("asked for %q, want %q", m.actions, want)
	}
	m.in.Close()
	for range m.c.Events() {
	}
	if out := m.out.String(); strings.Contains(out, "hunter") || !m.echo {
		t.Errorf("a password was written, or nothing is shown any more:\n%s", out)
	}
}

func TestDialog(t *testing.T) {
	found := menu.InventoryMsg{Inventory: inventory(), Default: "lts", Memory: "It is kept in EFI variables."}
	tests := []struct {
		name  string
		lines []string
		want  []string // actions
		shows []string // in this order

		places []menu.MemoryPlace // there is no memory, but could be
	}{
		{name: "the list", shows: []string{"Looking for something to boot ...", "Entries:", "on sda2 ext4", "1  Alpine Linux, 6.12.63-0-lts, default", "2  Alpine, older", "3  Alpine edge, 6.12.63-0-lts, cannot boot", "4  sda3 (encrypted)", "Enter alone for 1"}},
		{name: "a number boots", lines: []string{"2"}, want: []string{`boot old "root=/dev/sda2 quiet"`}, shows: []string{"Booting Alpine, older"}},
		{name: "Enter boots the default", lines: []string{""}, want: []string{`boot lts "root=/dev/sda2 quiet"`}},
		{name: "no such number", lines: []string{"17"}, shows: []string{`"17" is neither`}},
		{name: "no number", lines: []string{"linux"}, shows: []string{`"linux" is neither`}},
		{name: "control characters are not sent back", lines: []string{"\x1b[2J\x07"}, shows: []string{`is neither`}},
		{name: "what cannot be booted", lines: []string{"3"}, shows: []string{"Its kernel is cut off.", "t 3"}},
		{name: "all the same", lines: []string{"t 3"}, want: []string{`boot bad "root=/dev/sda2 quiet"`}},
		{name: "add to the command line", lines: []string{"e 1", "+ single"}, want: []string{`boot lts "root=/dev/sda2 quiet single"`}, shows: []string{"It is now:\r\nroot=/dev/sda2 quiet\r\n"}},
		{name: "a whole command line", lines: []string{"e 1", "root=LABEL=x ro"}, want: []string{`boot lts "root=LABEL=x ro"`}},
		{name: "nothing typed changes nothing", lines: []string{"e 1", ""}, shows: []string{"Nothing was done."}},
		{name: "too long a command line", lines: []string{"e 1", "+" + strings.Repeat("x", 300)}, shows: []string{"takes only 200"}},
		{name: "details", lines: []string{"i 2"}, shows: []string{"Advanced options", "bzImage for x86_64, 11 MB", "root=/dev/sda2 quiet", "The kernel lacks something."}},
		{name: "details of a volume", lines: []string{"i 4"}, shows: []string{"encrypted"}},
		{name: "this machine", lines: []string{"m"}, shows: []string{"This machine", "UEFI 2.70"}},
		{name: "a passphrase", lines: []string{"4", "y", "hunter2"}, want: []string{`unlock /dev/sda3 "hunter2" true`}, shows: []string{"Pass the passphrase", "Passphrase of sda3"}},
		{name: "with white space, not handed on", lines: []string{"4", "n", " hunter 2 "}, want: []string{`unlock /dev/sda3 " hunter 2 " false`}},
		{name: "none", lines: []string{"4", "n", ""}, shows: []string{"Nothing was done."}},
		{name: "no answer", lines: []string{"4", ""}, shows: []string{"Nothing was done."}},
		{name: "edit a volume", lines: []string{"e 4"}, shows: []string{"4 is not an entry"}},
		{name: "default once", lines: []string{"d 2 once"}, want: []string{"menu.SetDefault{ID:old Once:true Make:/ on }"}},
		{name: "a default where there is no memory yet", places: []menu.MemoryPlace{{Device: "/dev/sda1", Path: "alpboot.state"}}, lines: []string{"d 2", "y"},
			want: []string{"menu.SetDefault{ID:old Once:false Make:/alpboot.state on /dev/sda1}"}, shows: []string{"/alpboot.state.0 and .1 on /dev/sda1. Make them?"}},
		{name: "or not", places: []menu.MemoryPlace{{Device: "/dev/sda1", Path: "alpboot.state"}}, lines: []string{"d 2", ""}, shows: []string{"Nothing was done."}},
		{name: "rescan, shell", lines: []string{"r", "s"}, want: []string{"menu.Rescan{}", "menu.Shell{Console:/dev/ttyS0}"}},
		{name: "power", lines: []string{"p", "f"}, want: []string{"menu.FirmwareSetup{}"}, shows: []string{"r restart, o power off, f firmware setup,"}},
		{name: "what else the firmware starts", lines: []string{"p", "2"}, want: []string{"menu.StartOther{Other:{Number:1 Title:EFI Internal Shell}}"}, shows: []string{"1 Windows Boot Manager, 2 EFI"}},
		{name: "not offered", lines: []string{"p", "a"}, shows: []string{"Nothing was done."}},
		{name: "settings", lines: []string{"o"}, shows: []string{"1  timeout = auto (built in)", `2  title = "" (kernel parameter)`, "o NUMBER changes one, o w writes what was changed to /alpboot.conf on"}},
		{name: "a setting is changed, and written when that is confirmed", lines: []string{"o 1", "20", "o w", "y"}, want: []string{"menu.SaveSettings{Changes:[timeout = 20]}"},
			shows: []string{"timeout: How long the countdown lasts. It takes whole seconds. It is auto now.", "timeout = 20, not written yet.", "  timeout = 20", "Write that to /alpboot.conf on /dev/sda1?"}},
		{name: "what was changed is shown", lines: []string{"o 2", `""`, "o 1", "20", "o"}, shows: []string{"1  timeout = 20 (changed, not written yet)", `2  title = "" (changed, not written yet)`}},
		{name: "a value that is not taken", lines: []string{"o 1", "soon", "o w"}, shows: []string{"That is not understood", "1  timeout = auto"}},
		{name: "settings stay as they are", lines: []string{"o 1", "", "o 1", "20", "o w", "no"}, shows: []string{"Nothing was done.", "Write that to", "Nothing was done."}},
		{name: "stop loading", lines: []string{"1", "c"}, want: []string{`boot lts "root=/dev/sda2 quiet"`, "menu.Cancel{}"}},
		{name: "help", lines: []string{"?"}, shows: []string{"NUMBER    boot"}},
		{name: "a line without end", lines: []string{strings.Repeat("9", 9000)}, shows: []string{"This line is too long and was ignored."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			found := found
			if tt.places != nil {
				found.Memory, found.MemoryPlaces = "", tt.places
			}
			m.update(found)
			m.out.await(t, "Enter alone")
			m.typed(tt.lines...)
			rest := ""
			for i, s := range tt.shows {
				m.out.await(t, s)
				if i == 0 {
					rest = m.out.String()
				}
				_, after, ok := strings.Cut(rest, s)
				if !ok {
					rest = m.out.String()
					_, after, ok = strings.Cut(rest, s)
				}
				if !ok {
					t.Fatalf("%q does not come after what is before it:\n%s", s, m.out.String())
				}
				rest = after
			}
			if got := strings.Join(m.actions, "; "); got != strings.Join(tt.want, "; ") {
				t.Errorf("asked for %s, want %s", got, strings.Join(tt.want, "; "))
			}
			m.in.Close()
			for range m.c.Events() {
			}
			out := m.out.String()
			if strings.Contains(out, "hunter") {
				t.Errorf("the passphrase was printed:\n%s", out)
			}
			if i := strings.IndexFunc(strings.ReplaceAll(out, "\r\n", ""), func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
				t.Errorf("a control character was sent:\n%q", out)
			}
			for l := range strings.SplitSeq(out, "\r\n") {
				if len(l) > 79 {
					t.Errorf("this line has %d columns: %s", len(l), l)
				}
			}
			if !m.echo || m.c.Err() != nil {
				t.Errorf("echo %t, error %v at the end", m.echo, m.c.Err())
			}
		})
	}
}

// TestChanges: what changes is printed once, and a number stays with its entry.
func TestChanges(t *testing.T) {
	m := newMachine(t)
	inv := inventory()
	m.update(menu.InventoryMsg{Inventory: boot.Inventory{Entries: inv.Entries[1:2]}})
	m.update(menu.InventoryMsg{Inventory: inv, Default: "lts"})
	m.out.await(t, "Booting 1 (Alpine Linux, 6.12.63-0-lts, default) in 5 seconds.")
	if s := m.out.String(); strings.Contains(s, "New:") {
		t.Errorf("an entry was printed before all devices had answered:\n%s", s)
	}
	inv.Entries = append([]boot.Entry{entry("stick", "Stick")}, inv.Entries[:2]...)
	m.update(menu.InventoryMsg{Inventory: inv, Default: "lts"})
	m.out.await(t, "New: 5  Stick")
	m.out.await(t, "Gone: 3  Alpine edge")
	m.typed("5")
	m.update(menu.FailedMsg{ID: "stick", Reason: "It is not signed."})
	m.out.await(t, "Stick did not boot: It is not signed.")
	m.out.await(t, "Now: 5  Stick, 6.12.63-0-lts, failed")
	m.typed("5")
	m.update(menu.FailedMsg{ID: "stick", Reason: "It is not signed."})
	m.typed("3")
	m.out.await(t, `"3" is neither`)
	if got := strings.Join(m.actions, "; "); strings.Count(got, "boot stick") != 2 {
		t.Errorf("asked for %s", got)
	}
	// While disks are read again, as after a shell, entries go and come back.
	before := len(m.out.String())
	m.update(menu.InventoryMsg{Inventory: boot.Inventory{}, Default: ""})
	m.typed("5")
	m.update(menu.FailedMsg{ID: "stick", Reason: "It is not signed either."})
	m.out.await(t, "It is not signed either.")
	if s := m.out.String()[before:]; strings.Contains(s, "Gone:") || strings.Contains(s, "neither a number") {
		t.Errorf("what is being scanned again is printed as gone:\n%s", s)
	}
	m.update(menu.InventoryMsg{Inventory: inv, Default: "lts"})
	m.out.await(t, "Now: 1  Alpine Linux, 6.12.63-0-lts, default")
	if got := strings.Join(m.actions, "; "); strings.Count(got, "boot stick") != 3 {
		t.Errorf("asked for %s", got)
	}
	before = len(m.out.String())
	for range 20 {
		m.c.Draw(m.model)
	}
	m.update(menu.ResultMsg{Text: "Something else."})
	m.out.await(t, "Something else.")
	if s := m.out.String()[before:]; !strings.HasPrefix(strings.TrimSpace(s), "Something else.") {
		t.Errorf("nothing has changed, but this was written:\n%s", s)
	}
}

// TestHidden: a line is needed for the list, and boots nothing.
func TestHidden(t *testing.T) {
	m := newMachine(t)
	m.model = menu.New(menu.Config{FallbackTimeout: 5 * time.Second, Rearm: 5 * time.Minute, Hidden: true})
	m.update(menu.TickMsg{Now: noon})
	m.update(menu.NoticeMsg{Text: "The clock is wrong."})
	m.update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	m.out.await(t, "Enter shows the menu.")
	before := len(m.out.String())
	m.update(menu.StatusMsg{Text: "Waiting."})
	m.out.await(t, "Waiting.")
	if s := m.out.String(); strings.TrimSpace(s[before:]) != "Waiting." || strings.Contains(s[:before], "clock") {
		t.Errorf("while it is hidden this is printed:\n%s", s)
	}
	m.typed("")
	m.out.await(t, "Warning: The clock is wrong.")
	m.out.await(t, "Enter alone for 1")
	if len(m.actions) > 0 {
		t.Errorf("asked for %q", m.actions)
	}
	m.typed("")
	if got := strings.Join(m.actions, "; "); got != `boot lts "root=/dev/sda2 quiet"` {
		t.Errorf("asked for %s", got)
	}
}

func TestUnattended(t *testing.T) {
	m := newMachine(t)
	m.update(menu.InventoryMsg{Inventory: inventory(), Default: "lts"})
	for s := range 6 {
		m.update(menu.TickMsg{Now: noon.Add(time.Duration(s) * time.Second)})
	}
	m.out.await(t, "Booting Alpine Linux ...")
	if s := m.out.String(); strings.Count(s, " in 5 seconds") > 1 {
		t.Errorf("the countdown was printed more than once:\n%s", s)
	}
	if got := strings.Join(m.actions, "; "); got != `boot lts "root=/dev/sda2 quiet"` {
		t.Errorf("asked for %s", got)
	}
}

// What happens when nothing is left to start is announced once, and any line stops it.
func TestExhausted(t *testing.T) {
	m := newMachine(t)
	inv := menu.InventoryMsg{Inventory: inventory(), Exhausted: &menu.Exhausted{What: "Restarting", Why: "Every entry has failed.", In: time.Minute}}
	m.update(inv)
	m.update(menu.TickMsg{Now: noon})
	m.update(inv)
	m.out.await(t, "Restarting in 60 seconds: Every entry has failed. Any line stops that.")
	for s := range 61 {
		m.update(menu.TickMsg{Now: noon.Add(time.Duration(s) * time.Second)})
	}
	if got := strings.Join(m.actions, "; "); got != "menu.NothingLeft{}" {
		t.Errorf("asked for %s", got)
	}
	if s := m.out.String(); strings.Count(s, "Restarting in") != 1 {
		t.Errorf("it is announced more than once:\n%s", s)
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"short", "short"},
		{"a line of several words", "a line of|several|words"},
		{"  2  a title that is long", "  2  a|  title|  that is|  long"},
		{"averylongwordindeed", "averylongw|ordindeed"},
		{"         all is indented", "all is|indented"},
	} {
		if got := strings.Join(fold(tt.in, 10), "|"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// terminal returns a pseudo terminal: we are the terminal at the end of the line,
// and keep holds the device open, as the kernel does with a console.
func terminal(t *testing.T) (master, keep *os.File, dev string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		boottest.Skip(t, "no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	n := 0
	conn, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	dev = fmt.Sprint("/dev/pts/", n)
	keep, err = os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keep.Close() })
	return master, keep, dev
}

func termios(t *testing.T, dev string) unix.Termios {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// TestHangUp: a serial line hangs up for everybody when the shell ends that it
// controlled, and the menu comes back on it all the same.
func TestHangUp(t *testing.T) {
	const hangUp = "ALPBOOT_TEST_HANG_UP"
	if os.Getenv(hangUp) != "" { // the shell: vhangup(2) is what its end does on a line that is not a pty
		signal.Ignore(unix.SIGHUP)
		if _, _, errno := unix.Syscall(unix.SYS_VHANGUP, 0, 0, 0); errno != 0 {
			os.Exit(3)
		}
		os.Exit(0)
	}
	boottest.NeedRoot(t)
	master, _, dev := terminal(t)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := newOutput()
	read := func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b) // EIO while nobody has the line open
			if errors.Is(err, os.ErrClosed) {
				return
			}
			out.Write(b[:n])
			if err != nil {
				time.Sleep(time.Millisecond) // there is nothing to wait for
			}
		}
	}
	go read()
	m := menu.New(menu.Config{})
	m, _ = m.Update(menu.InventoryMsg{Inventory: inventory()})
	c.Draw(m)
	out.await(t, "Type a number and Enter, or ? and Enter for help:")
	if err := c.Suspend("For a shell."); err != nil {
		t.Fatal(err)
	}
	out.await(t, "For a shell.")
	tty, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("/proc/self/exe", "-test.run=^TestHangUp$")
	shell.Env = append(os.Environ(), hangUp+"=1")
	shell.Stdin = tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := shell.Run(); err != nil {
		t.Fatal("the line cannot be hung up: ", err)
	}
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &unix.Termios{}); !errors.Is(err, unix.EIO) {
		t.Fatal("the line was not hung up, so this test shows nothing: ", err)
	}
	tty.Close()
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"?\r", "1\r"} {
		master.Write([]byte(line))
		select {
		case msg, ok := <-c.Events():
			if !ok {
				t.Fatalf("the console is gone: %v", c.Err())
			}
			if r, is := msg.(menu.RequestMsg); line == "1\r" && (!is || r.Action.(menu.Boot).Entry.ID != "lts") {
				t.Errorf("%q returns %+v", line, msg)
			}
		case <-time.After(2 * time.Second):
			t.Fatalf("nothing comes of %q:\n%s", line, out.String())
		}
	}
}

// TestOpen goes through the life of a console on a real terminal device.
func TestOpen(t *testing.T) {
	master, keep, dev := terminal(t)
	before := termios(t, dev)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := newOutput()
	go io.Copy(out, master)
	m := menu.New(menu.Config{})
	m, _ = m.Update(menu.InventoryMsg{Inventory: inventory()})
	c.Draw(m)
	out.await(t, "Type a number and Enter, or ? and Enter for help:")
	answer := func(line string) menu.Msg {
		t.Helper()
		io.WriteString(master, line+"\r")
		select {
		case msg := <-c.Events():
			return msg
		case <-time.After(2 * time.Second):
			t.Fatalf("nothing comes of %q:\n%s", line, out.String())
			return nil
		}
	}
	answer("4")
	out.await(t, "y or n:")
	answer("noisy") // no answer to y or n
	out.await(t, "noisy\r\n"+"Nothing was done."+"\r\n")
	answer("4")
	answer("y")
	out.await(t, "Passphrase of sda3")
	got := answer("hunter2").(menu.RequestMsg).Action.(menu.Unlock)
	if string(got.Passphrase) != "hunter2" || !got.HandOn {
		t.Errorf("got %q, hand on %t", got.Passphrase, got.HandOn)
	}
	if s := out.String(); strings.Contains(s, "hunter") || !strings.Contains(s, "noisy") {
		t.Errorf("the passphrase was echoed, or nothing was:\n%s", s)
	}

	if err := c.Suspend("For a shell."); err != nil {
		t.Fatal(err)
	}
	out.await(t, "For a shell.")
	if now := termios(t, dev); now != before {
		t.Errorf("suspended, the line is %+v, was %+v", now, before)
	}
	io.WriteString(master, "ls\n")
	keep.SetReadDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 10)
	if n, err := keep.Read(b); string(b[:n]) != "ls\n" {
		t.Errorf("the shell reads %q: %v", b[:n], err)
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	answer("?")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if now := termios(t, dev); now != before {
		t.Errorf("closed, the line is %+v, was %+v", now, before)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second Close returns %v", err)
	}
	if err := c.Suspend(""); err != console.ErrClosed {
		t.Errorf("Suspend after Close returns %v", err)
	}
	if _, err := Open("/dev/null", Options{}); err == nil || !strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("/dev/null returns %v", err)
	}
}

// slowInput is a terminal that takes a second to notice its deadline.
type slowInput struct {
	deadline chan struct{}
	returned atomic.Bool
}

func (in *slowInput) SetReadDeadline(time.Time) error { close(in.deadline); return nil }

func (in *slowInput) Read([]byte) (int, error) {
	<-in.deadline
	time.Sleep(time.Second)
	in.returned.Store(true)
	return 0, os.ErrDeadlineExceeded
}

// When Close returns, nobody reads from the terminal any more.
func TestCloseWaitsForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &slowInput{deadline: make(chan struct{})}
		c := start("x", in, io.Discard, Options{}, "\n", func() error { return nil })
		synctest.Wait()
		if err := c.Close(); err != nil || !in.returned.Load() {
			t.Errorf("it is still read from, %v", err)
		}
	})
}
