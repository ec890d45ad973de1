package term

import (
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
)

// firstScreens are what a menu of five entries shows from its start on.
func firstScreens() (looking, listed menu.Model) {
	forever := time.Duration(-1)
	m := menu.New(menu.Config{Version: "1.0.0", Timeout: &forever, FallbackTimeout: 5 * time.Second, Rearm: 5 * time.Minute})
	vol := boot.Volume{Device: "/dev/vda1", Disk: "/dev/vda", Partition: 1, Type: "ext4", UUID: "5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2"}
	var entries []boot.Entry
	for _, f := range []string{"lts", "virt", "edge", "rpi", "old"} {
		entries = append(entries, boot.Entry{ID: f, Title: "Alpine Linux 3.22, linux-" + f, Format: "extlinux", Source: boot.Source{File: "extlinux.conf"}, Volume: vol,
			Kernel: "vmlinuz-" + f, Initrds: []string{"initramfs"},
			Cmdline: "root=UUID=5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4 console=ttyS0,9600"})
	}
	looking, _ = m.Update(menu.TickMsg{Now: time.Unix(1, 0)})
	listed, _ = looking.Update(menu.InventoryMsg{Default: "lts", Inventory: boot.Inventory{
		Entries: entries, Volumes: []boot.VolumeStatus{{Volume: vol}}, Settled: true}})
	return looking, listed
}

// What is sent over a serial line until the list is there is less than 1,000 bytes, a
// second at 9600 baud: no keys that will be others, no blanks. The keys of the first
// screen follow where no list does.
func TestFirstBytes(t *testing.T) {
	size := menu.Size{W: 80, H: 24}
	f := newFake(size)
	c := open(t, f, true, Options{})
	looking, listed := firstScreens()
	begin := time.Now()
	c.Draw(looking)
	await(t, f.text, without(looking, size))
	if took := time.Since(begin); took > keysAfter {
		t.Skipf("this machine took %v for the first screen", took)
	}
	c.Draw(listed)
	await(t, f.text, listed.View(size, menu.ASCII).String())
	if took := time.Since(begin); took > keysAfter {
		t.Skipf("this machine took %v for both screens", took)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	const asked = 40 // bytes that a device adds: for its size, and for pastes to be marked
	if f.out+asked >= 1000 {
		t.Errorf("%d bytes: %q", f.out, f.sent.String())
	}
	t.Logf("%d bytes", f.out+asked)
}

// without returns the text of m without its last row.
func without(m menu.Model, size menu.Size) string {
	s := m.View(size, menu.ASCII)
	for x := range size.W {
		s.Cells[(size.H-1)*size.W+x] = menu.Cell{Rune: ' '}
	}
	return s.String()
}

func TestKeysFollow(t *testing.T) {
	size := menu.Size{W: 80, H: 24}
	f := newFake(size)
	c := open(t, f, true, Options{})
	looking, _ := firstScreens()
	c.Draw(looking)
	await(t, f.text, looking.View(size, menu.ASCII).String())
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"text":                               "text",
		"a\x1b[mb":                           "a\x1b[mb",
		"a\x1b[m\x1b[36m\x1b[1mkey\x1b[m b":  "a\x1b[0;36;1mkey\x1b[m b",
		"\x1b[m\x1b[34;47m\x1b[7m":           "\x1b[0;34;47;7m",
		"\x1b[m\x1b[3;2Hx":                   "\x1b[m\x1b[3;2Hx",
		"\x1b[36m\x1b[1m":                    "\x1b[36m\x1b[1m",
		"\x1b[m\x1b[m\x1b[1m":                "\x1b[m\x1b[0;1m",
		"\x1b[?25lx\x1b[?25l":                "\x1b[?25lx",
		"\x1b[?25lx\x1b[?25hy\x1b[?25l":      "\x1b[?25lx\x1b[?25hy\x1b[?25l",
		"\x1b[m\x1b[":                        "\x1b[m\x1b[",
		"\x1b[m\x1b[3":                       "\x1b[m\x1b[3",
		"\x1b[m\x1b[?25l":                    "\x1b[m\x1b[?25l",
		"\x1b[m\x1b(B\x0f\x1b[r\x1b[H\x1b[J": "\x1b[m\x1b(B\x0f\x1b[r\x1b[H\x1b[J",
	} {
		if got := string(shorten([]byte(in))); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
