package term

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/menu/console"
	"github.com/gdamore/tcell/v2"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// fake is a line with a terminal emulator at its end.
type fake struct {
	vt   vt10x.Terminal
	in   chan []byte
	mu   sync.Mutex
	size menu.Size
	out  int // bytes written
	sent strings.Builder
	stop chan struct{}
}

func newFake(size menu.Size) *fake {
	return &fake{vt: vt10x.New(vt10x.WithSize(size.W, size.H)), in: make(chan []byte, 16), size: size}
}

func (f *fake) Start() error                     { f.stop = make(chan struct{}); return nil }
func (f *fake) Stop() error                      { return nil }
func (f *fake) Drain() error                     { close(f.stop); return nil }
func (f *fake) NotifyResize(func())              {}
func (f *fake) Close() error                     { return nil }
func (f *fake) SetWriteDeadline(time.Time) error { return nil }
func (f *fake) Pending() int                     { return 0 }
func (f *fake) ask()                             {}
func (f *fake) Read(b []byte) (int, error) {
	select {
	case c := <-f.in:
		return copy(b, c), nil
	case <-f.stop:
		return 0, os.ErrDeadlineExceeded
	}
}

func (f *fake) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out += len(b)
	f.sent.Write(b)
	f.vt.Write(b)
	return len(b), nil
}

func (f *fake) WindowSize() (tcell.WindowSize, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return tcell.WindowSize{Width: f.size.W, Height: f.size.H}, nil
}

func (f *fake) resize(s menu.Size) {
	f.mu.Lock()
	f.size = s
	f.vt.Resize(s.W, s.H)
	f.mu.Unlock()
}

func (f *fake) bytes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out
}

// text is what the emulator shows.
func (f *fake) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, h := f.vt.Size()
	var b strings.Builder
	for y := range h {
		var row strings.Builder
		for x := range w {
			row.WriteRune(max(f.vt.Cell(x, y).Char, ' '))
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	return b.String()
}

// await waits until what returns want.
func await(t *testing.T, what func() string, want string) {
	t.Helper()
	got := ""
	if !until(func() bool { got = what(); return got == want }) {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// until waits for a condition. It reports whether that was met in time, which is
// long, for the sake of busy machines.
func until(met func() bool) bool {
	for limit := time.Now().Add(time.Minute); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			return false
		}
	}
	return true
}

var start0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func entries() []boot.Entry {
	var es []boot.Entry
	for i, name := range []string{"lts", "virt", "edge"} {
		es = append(es, boot.Entry{
			ID: name, Title: "Alpine Linux 3.22, linux-" + name, Version: "6.12.63-0-" + name, Format: "extlinux",
			Source: boot.Source{File: "boot/extlinux.conf", Line: 12 + 6*i},
			Volume: boot.Volume{Device: "/dev/sda2", Label: "root", Type: "ext4"},
			Kernel: "boot/vmlinuz-" + name, Initrds: []string{"boot/initramfs-" + name},
			Cmdline: "root=UUID=5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4",
		})
	}
	es = append(es, boot.Entry{
		ID: "nvme", Title: "Debian GNU/Linux 13 (trixie)", Version: "6.12.12-amd64", Format: "grub",
		Source: boot.Source{File: "boot/grub/grub.cfg", Line: 112},
		Volume: boot.Volume{Device: "/dev/nvme0n1p2", Type: "btrfs"},
		Kernel: "@rootfs/boot/vmlinuz-6.12.12-amd64", Initrds: []string{"@rootfs/boot/initrd.img-6.12.12-amd64"},
		Cmdline: "BOOT_IMAGE=/@rootfs/boot/vmlinuz-6.12.12-amd64 root=UUID=0c1f8c3e-74b8-4a62-8a3c-52f9d7f0e6a1 ro rootflags=subvol=@rootfs quiet splash",
	})
	return es
}

func model() menu.Model {
	m := menu.New(menu.Config{Version: "0.1.0", FallbackTimeout: 5 * time.Second, Rearm: 5 * time.Minute})
	m, _ = m.Update(menu.InventoryMsg{Inventory: boot.Inventory{Entries: entries(), Settled: true}, Default: "lts"})
	return m
}

func press(m menu.Model, k menu.KeyMsg) menu.Model {
	m, _ = m.Update(k)
	return m
}

func open(t *testing.T, f *fake, serial bool, o Options) *Console {
	t.Helper()
	c, err := start("/dev/fake", f, serial, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestShows draws states one after the other, so that each is drawn as the
// difference to the one before it, on several sizes at once.
func TestShows(t *testing.T) {
	down, up, esc := menu.KeyMsg{Key: menu.KeyDown}, menu.KeyMsg{Key: menu.KeyUp}, menu.KeyMsg{Key: menu.KeyEsc}
	letter := func(r rune) menu.KeyMsg { return menu.KeyMsg{Key: menu.KeyRune, Rune: r} }
	for _, tt := range []struct {
		size   menu.Size
		serial bool
		mono   bool
	}{
		{menu.Size{W: 80, H: 24}, true, false},
		{menu.Size{W: 80, H: 25}, false, false},
		{menu.Size{W: 132, H: 43}, false, true},
		{menu.Size{W: 40, H: 12}, true, true},
	} {
		t.Run(fmt.Sprintf("%dx%d", tt.size.W, tt.size.H), func(t *testing.T) {
			t.Parallel()
			f := newFake(tt.size)
			c := open(t, f, tt.serial, Options{Mono: tt.mono})
			charset := menu.UTF8
			if tt.serial {
				charset = menu.ASCII
			}
			m := model()
			m, _ = m.Update(menu.TickMsg{Now: start0})
			for _, k := range []menu.KeyMsg{{}, down, down, up, letter('e'), letter('x'), esc, letter('?'), down, esc, letter('p'), esc, letter('/'), letter('v'), esc, down, down} {
				m = press(m, k)
				c.Draw(m)
				want := m.View(tt.size, charset)
				await(t, f.text, want.String())
				if want.Cursor != nil {
					await(t, func() string {
						cur := f.vt.Cursor()
						return fmt.Sprint(cur.X, cur.Y, f.vt.CursorVisible())
					}, fmt.Sprint(want.Cursor.X, want.Cursor.Y, true))
				}
			}
			// Something writes over it.
			f.Write([]byte("\x1b[H[ 12.345678] usb 1-1: new device\r\nfound\x1b(0qqq"))
			c.Redraw()
			await(t, f.text, m.View(tt.size, charset).String())
			// The terminal gets another size.
			f.resize(menu.Size{W: 100, H: 30})
			c.Draw(m)
			await(t, f.text, m.View(menu.Size{W: 100, H: 30}, charset).String())
			if got := c.Size(); got != (menu.Size{W: 100, H: 30}) {
				t.Errorf("Size returns %v", got)
			}
		})
	}
}

// What was blank before the whole screen is painted again, and is not then, must
// be seen.
func TestRedrawWithMore(t *testing.T) {
	f := newFake(menu.Size{W: 80, H: 24})
	c := open(t, f, true, Options{})
	m := menu.New(menu.Config{Version: "0.1"})
	for _, next := range []menu.Model{m, model(), press(model(), menu.KeyMsg{Key: menu.KeyRune, Rune: '?'}), model()} {
		c.order(func() error { // both at once
			c.Draw(next)
			c.Redraw()
			return nil
		})
		await(t, f.text, next.View(menu.Size{W: 80, H: 24}, menu.ASCII).String())
	}
}

// TestLooks fails when the selection can be seen by colour only.
func TestLooks(t *testing.T) {
	for _, mono := range []bool{false, true} {
		l := looks(menu.Theme{}, mono)
		if _, _, attr := l[menu.Selected].Decompose(); attr&tcell.AttrReverse == 0 {
			t.Errorf("mono %t: the selection is not reversed", mono)
		}
		for role, style := range l {
			if fg, bg, _ := style.Decompose(); mono && (fg != tcell.ColorDefault || bg != tcell.ColorDefault) {
				t.Errorf("role %d has a colour although there are none", role)
			}
		}
	}
}

// The settings of a volume may bring other colours when the screen is there already.
func TestRestyle(t *testing.T) {
	f := newFake(menu.Size{W: 80, H: 24})
	c := open(t, f, true, Options{Mono: true})
	m := model()
	c.Draw(m)
	await(t, f.text, m.View(menu.Size{W: 80, H: 24}, menu.ASCII).String())
	coloured := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		g := f.vt.Cell(1, 0)
		return fmt.Sprint(g.FG < vt10x.DefaultFG, g.BG < vt10x.DefaultFG)
	}
	await(t, coloured, "false false")
	c.Restyle(menu.Theme{}, false)
	await(t, coloured, "true true")
	await(t, f.text, m.View(menu.Size{W: 80, H: 24}, menu.ASCII).String())
	c.Restyle(menu.Theme{}, true)
	await(t, coloured, "false false")
}

// TestBytes counts what a cursor move costs on a serial line of 80x24: at most
// 300 bytes, and nothing when nothing changes.
func TestBytes(t *testing.T) {
	f := newFake(menu.Size{W: 80, H: 24})
	c := open(t, f, true, Options{})
	show := func(m menu.Model) int {
		before := f.bytes()
		c.Draw(m)
		await(t, f.text, m.View(menu.Size{W: 80, H: 24}, menu.ASCII).String())
		return f.bytes() - before
	}
	m := press(model(), menu.KeyMsg{})
	t.Logf("the first screen: %d bytes", show(m))
	worst := 0
	for _, k := range []menu.Key{menu.KeyDown, menu.KeyDown, menu.KeyDown, menu.KeyUp, menu.KeyEnd, menu.KeyUp} {
		m = press(m, menu.KeyMsg{Key: k})
		n := show(m)
		t.Logf("a cursor move: %d bytes", n)
		worst = max(worst, n)
	}
	if worst > 300 {
		t.Errorf("a cursor move costs %d bytes", worst)
	}
	// Rows of other kinds: folds, and a volume that is locked.
	inv := boot.Inventory{Entries: entries(), Settled: true, Volumes: []boot.VolumeStatus{
		{Volume: boot.Volume{Device: "/dev/nvme0n1p2", Type: "btrfs"}},
		{Volume: boot.Volume{Device: "/dev/sda3", Type: "crypto_LUKS", UUID: "0c1f8c3e-74b8-4a62-8a3c-52f9d7f0e6a1"}, Locked: true},
	}}
	for i := range 3 {
		e := inv.Entries[3]
		e.ID, e.Title, e.Snapshot = fmt.Sprint("snapshot-", i), fmt.Sprint("Debian GNU/Linux, snapshot ", i), true
		inv.Entries = append(inv.Entries, e)
	}
	inv.Entries[1].Submenu = []string{"Advanced options for Alpine Linux"}
	m, _ = m.Update(menu.InventoryMsg{Inventory: inv, Default: "lts"})
	m = press(m, menu.KeyMsg{Key: menu.KeyHome})
	show(m)
	for range 6 {
		m = press(m, menu.KeyMsg{Key: menu.KeyDown})
		n := show(m)
		t.Logf("a cursor move: %d bytes", n)
		worst = max(worst, n)
	}
	if worst > 300 {
		t.Errorf("a cursor move over folds costs %d bytes", worst)
	}
	for range 20 {
		c.Draw(m)
	}
	m = press(m, menu.KeyMsg{Key: menu.KeyUp})
	if n := show(m); n > worst {
		t.Errorf("drawing the same again and a cursor move cost %d bytes, a cursor move alone %d", n, worst)
	}
	m = model()
	m, _ = m.Update(menu.TickMsg{Now: start0})
	show(m)
	m, _ = m.Update(menu.TickMsg{Now: start0.Add(1100 * time.Millisecond)})
	n := show(m)
	t.Logf("a second of the countdown: %d bytes", n)
	if n > 100 {
		t.Errorf("a second of the countdown costs %d bytes", n)
	}
}

func TestKeys(t *testing.T) {
	rune1 := func(r rune, mod menu.Mod) menu.KeyMsg { return menu.KeyMsg{Key: menu.KeyRune, Rune: r, Mod: mod} }
	named := func(k menu.Key) menu.KeyMsg { return menu.KeyMsg{Key: k} }
	tests := []struct {
		name  string
		bytes string
		want  []menu.Msg
	}{
		{"letters", "jG/", []menu.Msg{rune1('j', 0), rune1('G', 0), rune1('/', 0)}},
		{"arrows", "\x1b[A\x1b[B\x1bOC\x1bOD", []menu.Msg{named(menu.KeyUp), named(menu.KeyDown), named(menu.KeyRight), named(menu.KeyLeft)}},
		{"Home and End, VT220 and others", "\x1b[1~\x1b[4~\x1b[H\x1b[F\x1b[7~\x1b[8~", []menu.Msg{named(menu.KeyHome), named(menu.KeyEnd), named(menu.KeyHome), named(menu.KeyEnd), named(menu.KeyHome), named(menu.KeyEnd)}},
		{"pages, Delete, F1, F10", "\x1b[5~\x1b[6~\x1b[3~\x1bOP\x1b[21~\x1b[[A", []menu.Msg{named(menu.KeyPgUp), named(menu.KeyPgDn), named(menu.KeyDelete), named(menu.KeyF1), named(menu.KeyF10), named(menu.KeyF1)}},
		{"F2, VT220 and others", "\x1bOQ\x1b[12~\x1b[[B", []menu.Msg{named(menu.KeyF2), named(menu.KeyF2), named(menu.KeyF2)}},
		{"Enter as CR and LF", "\r\n", []menu.Msg{named(menu.KeyEnter), named(menu.KeyEnter)}},
		{"Backspace, both", "\x7f\b", []menu.Msg{named(menu.KeyBackspace), named(menu.KeyBackspace)}},
		{"Ctrl", "\x01\x0c\x17\x18\x1f", []menu.Msg{rune1('a', menu.ModCtrl), rune1('l', menu.ModCtrl), rune1('w', menu.ModCtrl), rune1('x', menu.ModCtrl), rune1('_', menu.ModCtrl)}},
		{"Alt", "\x1bb", []menu.Msg{rune1('b', menu.ModAlt)}},
		{"Ctrl-Left", "\x1b[1;5D", []menu.Msg{menu.KeyMsg{Key: menu.KeyLeft, Mod: menu.ModCtrl}}},
		{"a lone Esc", "\x1b", []menu.Msg{named(menu.KeyEsc)}},
		{"letters beyond ASCII", "éЖ", []menu.Msg{rune1('é', 0), rune1('Ж', 0)}},
		{"others still count", "\x00\x1b[2~", []menu.Msg{menu.KeyMsg{Mod: menu.ModCtrl}, named(menu.KeyOther)}},
		{"a paste", "\x1b[200~root=a\rb\x1b[201~q", []menu.Msg{menu.PasteMsg{Text: "root=a\nb"}, rune1('q', 0)}},
	}
	f := newFake(menu.Size{W: 80, H: 24})
	c := open(t, f, true, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.in <- []byte(tt.bytes)
			for i, want := range tt.want {
				if k, ok := want.(menu.KeyMsg); ok {
					k.Size, k.Console = menu.Size{W: 80, H: 24}, "/dev/fake"
					want = k
				}
				select {
				case got := <-c.Events():
					if got != want {
						t.Errorf("%d: got %+v, want %+v", i, got, want)
					}
				case <-time.After(2 * time.Second):
					t.Fatalf("%d: nothing came, want %+v", i, want)
				}
			}
		})
	}
}

func TestInput(t *testing.T) {
	tests := []struct {
		name   string
		chunks []string // one every millisecond; "" is a pause of two seconds
		asked  bool
		want   string
		size   string
	}{
		{name: "plain", chunks: []string{"abc", "é"}, want: "abcé"},
		{name: "noise", chunks: []string{"a\xff\xfe\x80b", "\xc3(", "c"}, want: "ab(c"},
		{name: "a rune in two parts", chunks: []string{"a\xc3", "\xa9b"}, want: "aéb"},
		{name: "half a rune, and silence", chunks: []string{"a\xc3", "", "b"}, want: "a\x1b\\b"},
		{name: "a key after a while", chunks: []string{"a", "", "b"}, want: "a\x1b\\b"},
		{name: "the answer", chunks: []string{"\x1b[24;80R"}, asked: true, want: "", size: "24x80"},
		{name: "among keys", chunks: []string{"ab\x1b[A\x1b[43;132Rc\x1b[B"}, asked: true, want: "ab\x1b[Ac\x1b[B", size: "43x132"},
		{name: "in parts", chunks: []string{"a\x1b[2", "4;8", "0Rb"}, asked: true, want: "ab", size: "24x80"},
		{name: "a lone Esc is not held up", chunks: []string{"\x1b"}, asked: true, want: "\x1b"},
		{name: "Esc twice", chunks: []string{"a\x1b\x1b", "\x1b\x1b[A"}, want: "a\x1b\x1b[A"},
		{name: "an arrow in parts", chunks: []string{"\x1b[", "A"}, asked: true, want: "\x1b[A"},
		{name: "no answer was asked for", chunks: []string{"\x1b[24;80R"}, want: "\x1b[24;80R"},
		{name: "only one answer", chunks: []string{"\x1b[24;80R\x1b[25;80R"}, asked: true, want: "\x1b[25;80R", size: "24x80"},
		{name: "huge numbers", chunks: []string{"\x1b[99999999999999999999;1R"}, asked: true, want: "\x1b[99999999999999999999;1R"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now, size, got := start0, "", ""
			in := input{report: func(rows, columns int) { size = fmt.Sprintf("%dx%d", rows, columns) }}
			if tt.asked {
				in.until = now.Add(time.Minute)
			}
			for _, c := range tt.chunks {
				now = now.Add(time.Millisecond)
				if c == "" {
					now = now.Add(2 * time.Second)
					continue
				}
				got += string(in.feed([]byte(c), now))
			}
			if got != tt.want || size != tt.size {
				t.Errorf("got %q and size %q, want %q and %q", got, size, tt.want, tt.size)
			}
		})
	}
}

// FuzzInput: whatever comes over a line, tcell gets valid UTF-8, as it does not
// return from anything else.
func FuzzInput(f *testing.F) {
	for _, s := range []string{"a\xff", "\x1b[24;80R", "\xe2\x96", "\x1b[;R\x1b["} {
		f.Add([]byte(s), uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, asked bool) {
		in := input{report: func(int, int) {}}
		if asked {
			in.until = start0.Add(time.Hour)
		}
		var out []byte
		for c := range slices.Chunk(b, int(step)+1) {
			out = append(out, in.feed(c, start0)...)
		}
		if got := string(out); strings.ToValidUTF8(got, "") != got {
			t.Errorf("%q became %q", b, got)
		}
	})
}

// ptyPair returns a pseudo terminal: we are the terminal at the end of the line.
func ptyPair(t *testing.T, size menu.Size) (master *os.File, name string) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		boottest.Skip(t, "no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { m.Close() })
	c, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var cerr error
	c.Control(func(fd uintptr) {
		if cerr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); cerr != nil {
			return
		}
		if n, cerr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); cerr != nil || size.W == 0 {
			return
		}
		cerr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.H), Col: uint16(size.W)})
	})
	if cerr != nil {
		t.Fatal(cerr)
	}
	return m, fmt.Sprintf("/dev/pts/%d", n)
}

// waitingIn returns how many bytes wait to be read from a terminal, 4095 at most.
func waitingIn(f *os.File) int {
	n := 0
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return n
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

// emulate shows in an emulator what comes out of the line.
func emulate(master *os.File, size menu.Size, answer func(string) string) *fake {
	f := newFake(size)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			f.Write(b[:n])
			if answer != nil {
				if s := answer(string(b[:n])); s != "" {
					master.Write([]byte(s))
				}
			}
		}
	}()
	return f
}

// TestDevice goes through the life of a console on a real terminal device.
func TestDevice(t *testing.T) {
	size := menu.Size{W: 90, H: 30}
	master, dev := ptyPair(t, size)
	keep, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0) // as the kernel holds a console open
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	f := emulate(master, size, nil)
	before := termios(t, dev)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := press(model(), menu.KeyMsg{})
	c.Draw(m)
	await(t, f.text, m.View(size, menu.ASCII).String())
	master.Write([]byte("x"))
	if got := (<-c.Events()).(menu.KeyMsg); got.Rune != 'x' || got.Console != dev || got.Size != size {
		t.Errorf("got %+v", got)
	}
	if now := termios(t, dev); now.Lflag&unix.ICANON != 0 {
		t.Error("the line is not in raw mode")
	}

	if err := c.Suspend("Type exit.\x1b[2J\n"); err != nil {
		t.Fatal(err)
	}
	if now := termios(t, dev); now != before {
		t.Errorf("suspended, the line is %+v, was %+v", now, before)
	}
	await(t, func() string { return strings.TrimSpace(f.text()) }, "Type exit.?[2J")
	c.Draw(press(m, menu.KeyMsg{Key: menu.KeyDown})) // not shown now
	master.Write([]byte("ls\n"))
	b := make([]byte, 10)
	keep.SetReadDeadline(time.Now().Add(2 * time.Second))
	if n, err := keep.Read(b); string(b[:n]) != "ls\n" {
		t.Errorf("the shell reads %q: %v", b[:n], err)
	}

	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	m = press(m, menu.KeyMsg{Key: menu.KeyDown})
	await(t, f.text, m.View(size, menu.ASCII).String())
	master.Write([]byte("y"))
	if got := (<-c.Events()).(menu.KeyMsg); got.Rune != 'y' {
		t.Errorf("got %+v", got)
	}

	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if now := termios(t, dev); now != before {
		t.Errorf("closed, the line is %+v, was %+v", now, before)
	}
	if _, open := <-c.Events(); open || c.Err() != nil {
		t.Error("no error is left")
	}
	if err := c.Suspend(""); !errors.Is(err, console.ErrClosed) {
		t.Errorf("Suspend after Close returns %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second Close returns %v", err)
	}
}

// A console that was not suspended goes on after Resume: so it is when a boot
// fails while another console has a shell, and when that shell ends.
func TestResumeTwice(t *testing.T) {
	size := menu.Size{W: 90, H: 30}
	master, dev := ptyPair(t, size)
	f := emulate(master, size, nil)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := press(model(), menu.KeyMsg{})
	c.Draw(m)
	await(t, f.text, m.View(size, menu.ASCII).String())
	for _, do := range []func() error{c.Resume, func() error { return c.Suspend("") }, c.Resume, c.Resume} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	// Also when the time is over that writes may take while something is wanted.
	for limit := time.Now().Add(patience + 50*time.Millisecond); time.Now().Before(limit); {
		for _, k := range []menu.Key{menu.KeyDown, menu.KeyUp} {
			m = press(m, menu.KeyMsg{Key: k})
			c.Draw(m)
			await(t, f.text, m.View(size, menu.ASCII).String())
		}
	}
}

// flow has a terminal send nothing, with TCOOFF, or go on, with TCOON.
func flow(t *testing.T, tty *os.File, how int) {
	t.Helper()
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCXONC, how); err != nil {
		t.Fatal(err)
	}
}

// A line that takes nothing from the beginning on keeps no other from its screen.
func TestStuckAtOpen(t *testing.T) {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		t.Setenv(name, "") // as in an initramfs
	}
	size := menu.Size{W: 80, H: 24}
	_, dev := ptyPair(t, size)
	keep, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	flow(t, keep, unix.TCOOFF)
	dead, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	if !until(func() bool {
		b := make([]byte, 1<<20)
		return bytes.Contains(b[:runtime.Stack(b, true)], []byte("console.(*Device).Write"))
	}) {
		t.Fatal("nobody writes to the dead line")
	}
	f := newFake(size)
	c := open(t, f, true, Options{})
	m := model()
	c.Draw(m)
	await(t, f.text, m.View(size, menu.ASCII).String())
}

// A line that is stuck at Resume has its screen when it takes bytes again.
func TestResumeOfStuck(t *testing.T) {
	size := menu.Size{W: 200, H: 60}
	master, dev := ptyPair(t, size)
	keep, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := press(model(), menu.KeyMsg{})
	c.Draw(m)
	if err := c.Suspend(""); err != nil {
		t.Fatal(err)
	}
	flow(t, keep, unix.TCOOFF)
	if err := c.Resume(); !errors.Is(err, console.ErrStuck) {
		t.Errorf("Resume returns %v: the line is not stuck, so this test shows nothing", err)
	}
	f := emulate(master, size, nil)
	flow(t, keep, unix.TCOON)
	await(t, f.text, m.View(size, menu.ASCII).String())
	master.Write([]byte("y"))
	select {
	case got := <-c.Events():
		if k, ok := got.(menu.KeyMsg); !ok || k.Rune != 'y' {
			t.Errorf("got %+v", got)
		}
	case <-time.After(3 * time.Second):
		t.Error("no key comes through")
	}
}

// TestAsks: a line that does not know its size takes what the terminal reports,
// and no key gets lost meanwhile.
func TestAsks(t *testing.T) {
	master, dev := ptyPair(t, menu.Size{})
	answered := false
	f := emulate(master, menu.Size{W: 132, H: 43}, func(s string) string {
		if strings.Contains(s, "\x1b[6n") && !answered {
			answered = true
			return "ab\x1b[43;132Rc"
		}
		return ""
	})
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Size(); got != serialSize {
		t.Errorf("the size is %v before the answer", got)
	}
	m := model()
	c.Draw(m)
	await(t, f.text, m.View(menu.Size{W: 132, H: 43}, menu.ASCII).String())
	for _, r := range "abc" {
		if got := (<-c.Events()).(menu.KeyMsg); got.Rune != r {
			t.Errorf("got %+v, want %c", got, r)
		}
	}
}

// TestNoise: tcell never comes back from a byte that is no UTF-8.
func TestNoise(t *testing.T) {
	master, dev := ptyPair(t, menu.Size{W: 80, H: 24})
	emulate(master, menu.Size{W: 80, H: 24}, nil)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Draw(model())
	master.Write([]byte("\xff\xfe\x80\xc3\xc3\xf0\x9fq"))
	select {
	case got := <-c.Events():
		if got.(menu.KeyMsg).Rune != 'q' {
			t.Errorf("got %+v", got)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("no key comes through after noise")
	}
	master.Write([]byte("\x1b\x1b"))
	select {
	case got := <-c.Events():
		if got := got.(menu.KeyMsg); got.Key != menu.KeyEsc || got.Mod != 0 {
			t.Errorf("Esc twice returns %+v", got)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("nothing comes of Esc twice")
	}
}

// TestDead: a line from which nothing is read any more holds up neither its
// callers nor another console, and releases the terminal.
func TestDead(t *testing.T) {
	size := menu.Size{W: 200, H: 60}
	master, dev := ptyPair(t, size)
	dead, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(menu.Size{W: 80, H: 24})
	alive := open(t, f, false, Options{})
	m := model()
	dead.Draw(m)
	if !until(func() bool { dead.Redraw(); return waitingIn(master) >= 4000 }) {
		t.Fatalf("only %d bytes wait in the line: it is not stuck", waitingIn(master))
	}
	longest := time.Duration(0)
	for i := range 100 {
		k := menu.KeyMsg{Key: menu.KeyEsc}
		if i%2 == 0 {
			k = menu.KeyMsg{Key: menu.KeyRune, Rune: '?'}
		}
		m = press(m, k)
		before := time.Now()
		dead.Draw(m)
		dead.Redraw()
		longest = max(longest, time.Since(before))
		alive.Draw(m)
		if i%10 == 9 { // no more than it can paint
			await(t, f.text, m.View(menu.Size{W: 80, H: 24}, menu.UTF8).String())
		}
	}
	await(t, f.text, m.View(menu.Size{W: 80, H: 24}, menu.UTF8).String())
	if longest > time.Second {
		t.Errorf("drawing on the dead line held up its caller for %v", longest)
	}
	for _, tt := range []struct {
		name string
		do   func() error
	}{
		{"Suspend", func() error { return dead.Suspend("for a shell") }},
		{"Close", dead.Close},
	} {
		before := time.Now()
		if err := tt.do(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := time.Since(before); d > 3*time.Second {
			t.Errorf("%s took %v", tt.name, d)
		}
	}
	if now := termios(t, dev); now.Lflag&unix.ICANON == 0 {
		t.Error("the dead line is still in raw mode")
	}
}

// TestGone: a line that is pulled out ends its console with an error.
func TestGone(t *testing.T) {
	size := menu.Size{W: 80, H: 24}
	master, dev := ptyPair(t, size)
	c, err := Open(dev, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := press(model(), menu.KeyMsg{})
	c.Draw(m)
	f := emulate(master, size, nil)
	await(t, f.text, m.View(size, menu.ASCII).String())
	master.Close()
	select {
	case _, open := <-c.Events():
		if open {
			t.Error("a line that is gone has typed something")
		}
	case <-time.After(3 * time.Second):
		t.Fatal("the console has not noticed")
	}
	if c.Err() == nil {
		t.Error("no error is left")
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close returns %v", err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open("/dev/no-such-tty", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there returns %v", err)
	}
	if _, err := Open("/dev/null", Options{}); err == nil || !strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("/dev/null returns %v", err)
	}
}

// TestEnvironment: the environment is not asked what the terminal is, and is
// the same afterwards.
func TestEnvironment(t *testing.T) {
	t.Setenv("TERM", "no-such-terminal")
	t.Setenv("LC_ALL", "xx_XX.KOI8-Z")
	t.Setenv("PATH", "")
	f := newFake(menu.Size{W: 80, H: 25})
	c := open(t, f, false, Options{})
	m := model()
	c.Draw(m)
	await(t, f.text, m.View(menu.Size{W: 80, H: 25}, menu.UTF8).String())
	if got := os.Getenv("LC_ALL"); got != "xx_XX.KOI8-Z" {
		t.Errorf("LC_ALL is %q now", got)
	}
}

func TestVirtual(t *testing.T) {
	for dev, want := range map[string]bool{
		"/dev/tty1": true, "/dev/tty63": true, "/dev/tty": false, "/dev/ttyS0": false, "/dev/ttyAMA0": false, "/dev/hvc0": false, "/dev/console": false,
	} {
		if got := virtual(dev); got != want {
			t.Errorf("virtual(%s) is %t", dev, got)
		}
	}
}
