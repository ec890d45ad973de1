package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
)

// withWatchdog adds a watchdog to a machine, which its kernel leaves running when
// it jumps.
func (b *fixture) withWatchdog(dog *boottest.Watchdog) {
	b.dog = dog
	b.files["sys/class/watchdog/watchdog0/identity"] = boottest.File("i6300ESB timer\n")
	b.files["sys/class/watchdog/watchdog0/state"] = boottest.File("inactive\n")
	b.files["sys/module/watchdog/parameters/stop_on_reboot"] = boottest.File("0\n")
}

const (
	watchedStart = "alpboot.timeout=2 alpboot.watchdog=60"
	handedOn     = " watchdog.open_timeout=60 alpboot.watchdog=i6300esb"
)

func TestWatchdog(t *testing.T) {
	guarded := []string{"load boot/vmlinuz-lts", "hand over", "open watchdog0", "jump with 0 mounted"}
	for _, tt := range []struct {
		name, cmdline string
		options       string // of the entries
		longest       int    // seconds that the watchdog takes
		hand          bool   // by Enter
		want          []string
		dog           string
		has           string // the end of the target's command line
	}{
		{"unattended", watchedStart, "", 0, false, guarded, "set 60 feed stop", "root=UUID=u1" + handedOn},
		{"by hand", watchedStart, "", 0, true, booted, "", "root=UUID=u1"},
		{"by hand, asked for", watchedStart + " alpboot.watchdog-by-hand=yes", "", 0, true, guarded, "set 60 feed stop", "root=UUID=u1" + handedOn},
		{"not asked for", "alpboot.timeout=2", "", 0, false, booted, "", "root=UUID=u1"},
		{"an entry with its own time", watchedStart, "watchdog.open_timeout=5", 0, false, guarded, "set 60 feed stop", "watchdog.open_timeout=5 alpboot.watchdog=i6300esb"},
		{"a short one", watchedStart, "", 40, false, guarded, "set 30 feed stop", "root=UUID=u1" + handedOn},
		{"one that takes no time", watchedStart, "", 5, false, guarded, "stop", "root=UUID=u1" + handedOn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, b *fixture) {
				dog := &boottest.Watchdog{Longest: tt.longest}
				b.withWatchdog(dog)
				b.start(tt.cmdline)
				if tt.hand {
					b.press(menu.KeyHome, menu.KeyEnter)
				}
				b.wait(2 * time.Second)
				b.did(tt.want...)
				if got := strings.Join(dog.Done(), " "); got != tt.dog {
					t.Errorf("the watchdog: %q, want %q", got, tt.dog)
				}
				if got := get(b.hw, func() string { return b.hw.cmdline }); !strings.HasSuffix(got, tt.has) {
					t.Errorf("the command line is %q, want at its end %q", got, tt.has)
				}
				if said := strings.Contains(b.screen.last, "The watchdog (i6300ESB timer)"); said != slices.Contains(tt.want, "open watchdog0") {
					t.Errorf("the last line is %q", b.screen.last)
				}
			}, bootDisk(t, "/dev/sda1", "u1", tt.options))
		})
	}
}

// One that cannot be stopped after a failed jump is fed, so that the menu is not
// reset by it, and used for the next start.
func TestWatchdogIsFed(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		dog := &boottest.Watchdog{Unstoppable: true}
		b.withWatchdog(dog)
		b.start(byHand + " alpboot.watchdog=60 alpboot.watchdog-by-hand=yes")
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(3 * time.Second)
		b.did("load boot/vmlinuz-lts", "hand over", "open watchdog0", "jump with 0 mounted")
		before := len(dog.Done())
		b.wait(time.Minute)
		if fed := len(dog.Done()) - before; fed < 10 {
			t.Errorf("it was fed %d times in a minute", fed)
		}
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(3 * time.Second)
		b.did("load boot/vmlinuz-lts", "hand over", "jump with 0 mounted")
		if n := len(slices.DeleteFunc(dog.Done(), func(s string) bool { return s != "set 60" })); n != 2 {
			t.Errorf("it was set %d times: %q", n, dog.Done())
		}
	})
}

// Where it cannot be used, the entry is started all the same, and it is said once.
func TestNoWatchdog(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fixture)
		opens  bool
		says   string
	}{
		{"none", func(b *fixture) {
			delete(b.files, "sys/class/watchdog/watchdog0/identity")
			delete(b.files, "sys/class/watchdog/watchdog0/state")
		}, false,
			"this machine has none that is known"},
		{"a kernel that stops it", func(b *fixture) { b.files["sys/module/watchdog/parameters/stop_on_reboot"] = boottest.File("-1\n") }, false,
			"it needs watchdog.stop_on_reboot=0 on its command line"},
		{"in use", func(b *fixture) { b.dog = nil }, true, "An unattended start has the watchdog (i6300ESB timer) run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				b.withWatchdog(&boottest.Watchdog{})
				tt.change(b)
				b.start("alpboot.timeout=8 alpboot.watchdog=60")
				b.press("l")
				b.shows(tt.says)
				if n := strings.Count(b.screen.text(), tt.says); n != 1 {
					t.Errorf("that is said %d times:\n%s", n, b.screen.text())
				}
				b.press(menu.KeyEsc, menu.KeyHome)
				b.start("alpboot.timeout=2 alpboot.watchdog=60")
				b.wait(3 * time.Second)
				want := slices.Clone(booted)
				if tt.opens {
					want = slices.Insert(want, 2, "open watchdog0")
				}
				b.did(want...)
			})
		})
	}
}
