package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
)

const (
	// efivarfs has this file for each machine with EFI variables.
	anyVariable = "sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	dumpGUID    = "cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0"
)

// startAfter starts the menu after a start of Linux lts that was not confirmed, at
// the time that is returned.
func (b *fixture) startAfter(parameters string) time.Time {
	b.t.Helper()
	b.start(byHand) // to know its ID
	return b.restartAfter(b.idOf("Linux lts"), parameters)
}

func (b *fixture) restartAfter(id, parameters string) time.Time {
	at := time.Now().Add(-time.Hour)
	b.vars.Values["AlpbootTrying"] = id
	b.vars.Values["AlpbootAttempt"] = fmt.Sprintf("%d 2 3 6.12.1-0-lts Linux lts", at.Unix())
	b.start(byHand + " alpboot.confirm=3 " + parameters)
	return at
}

func (b *fixture) leaveDump(at time.Time, text string) {
	b.files[anyVariable] = boottest.File("\x07\x00\x00\x00\x00\x00")
	b.files[fmt.Sprintf("sys/firmware/efi/efivars/dump-type0-1-1-%d-D-%s", at.Unix(), dumpGUID)] = boottest.File("\x07\x00\x00\x00Panic#1 Part1\n" + text)
}

func TestLastTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		left    func(b *fixture, started time.Time, root string) // root is the directory of the root volume
		says    []string
		saysNot []string
	}{
		{"nothing, on a machine with UEFI", func(b *fixture, _ time.Time, _ string) {
			b.files[anyVariable] = boottest.File("\x07\x00\x00\x00\x00\x00")
		}, []string{"Nothing was kept of it."}, nil},
		{"nothing, without EFI variables", func(*fixture, time.Time, string) {},
			[]string{"Nothing was kept of it: no EFI variables."}, nil},
		{"a panic", func(b *fixture, at time.Time, _ string) {
			b.leaveDump(at.Add(time.Minute), "<4>[ 1.0] last words\n<0>[ 1.1] Kernel panic - not syncing: No working init found.\n")
		}, []string{"Kernel panic - not syncing: No working init found.", "last words"}, []string{"Nothing was kept"}},
		{"a panic of long ago", func(b *fixture, at time.Time, _ string) {
			b.leaveDump(at.Add(-time.Minute), "<0>[ 1.1] Kernel panic - not syncing: Old\n")
		}, []string{"Nothing was kept of it."}, []string{"not syncing"}},
		{"a record without a reason", func(b *fixture, at time.Time, _ string) { b.leaveDump(at.Add(time.Minute), "words\n") },
			[]string{"Its kernel has left a record."}, nil},
		{"a reset by the watchdog", func(b *fixture, _ time.Time, _ string) {
			b.withWatchdog(nil)
			b.files["sys/class/watchdog/watchdog0/bootstatus"] = boottest.File("32\n")
		}, []string{"The watchdog (i6300ESB timer) reset the machine."}, []string{"Nothing was kept"}},
		{"its log", func(b *fixture, at time.Time, root string) {
			b.log(root, "var/log/rc.log", at.Add(time.Minute), " * Mounting \x1b[32mthings ...\n * Starting the last one ...\n\n")
		}, []string{"The last line of its rc.log: * Starting the last one ...", "Mounting"}, []string{"\x1b[32m"}},
		{"a log of long ago", func(b *fixture, at time.Time, root string) {
			b.log(root, "var/log/rc.log", at.Add(-time.Minute), " * Starting the last one ...\n")
		}, []string{"Nothing was kept of it", "/var/log/rc.log on /dev/sda1 is older than that start"}, []string{"the last one"}},
		{"its log on a subvolume", func(b *fixture, at time.Time, root string) {
			b.log(root, "@/var/log/rc.log", at.Add(time.Minute), strings.Repeat("a long line\n", 10000)+"the end\n")
		}, []string{"The last line of its rc.log: the end"}, nil},
		{"a panic and a log", func(b *fixture, at time.Time, root string) {
			b.leaveDump(at.Add(time.Minute), "<0>[ 1.1] Kernel panic - not syncing: No init\n")
			b.log(root, "var/log/rc.log", at.Add(time.Minute), "the end\n")
		}, []string{"Kernel panic - not syncing: No init.", "The last line of its rc.log: the end"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := bootDisk(t, "/dev/sda1", "u1", "")
			onDisks(t, func(t *testing.T, b *fixture) {
				tt.left(b, time.Now().Add(2*time.Second-time.Hour), d.Dir)
				at := b.startAfter("")
				b.shows("Linux lts, 6.12.1-0-lts did not come up, try 2 of 3 at " + at.UTC().Format("2006-01-02 15:04") + " UTC.")
				b.press("l") // all of it
				for _, text := range append(tt.says, "did not come up") {
					if got := b.pages(); !strings.Contains(got, text) {
						t.Errorf("the page of l lacks %q:\n%s", text, got)
					}
				}
				report := b.session.report()()
				for _, text := range tt.says {
					if !strings.Contains(strings.Join(strings.Fields(report), " "), text) {
						t.Errorf("the report lacks %q:\n%s", text, report)
					}
				}
				for _, text := range tt.saysNot {
					if strings.Contains(report, text) {
						t.Errorf("the report has %q:\n%s", text, report)
					}
				}
				b.did() // no volume was written to
				if len(b.vars.Log) > 0 {
					t.Errorf("EFI variables were written: %q", b.vars.Log)
				}
			}, d)
		})
	}
}

// log writes a log on the root volume.
func (b *fixture) log(root, name string, at time.Time, text string) {
	b.t.Helper()
	file := filepath.Join(root, name)
	writeFile(b.t, file, text)
	if err := os.Chtimes(file, at, at); err != nil {
		b.t.Fatal(err)
	}
}

// pages returns the text of a page of several screens.
func (b *fixture) pages() string {
	var all []string
	for range 8 {
		all = append(all, b.screen.text())
		b.press(menu.KeyPgDn)
	}
	b.press(menu.KeyHome)
	return strings.Join(all, " ")
}

// After a start that was confirmed, and where none is to be, nothing is said.
func TestNoLastTime(t *testing.T) {
	for name, parameters := range map[string]string{"confirmed": "alpboot.confirm=3", "not asked for": ""} {
		t.Run(name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				b.leaveDump(time.Now(), "<0>[ 1.1] Kernel panic - not syncing: Old\n")
				b.start(byHand)
				b.vars.Values["AlpbootAttempt"] = "1700000000 2 3 6.12.1-0-lts Linux lts"
				if name != "confirmed" {
					b.vars.Values["AlpbootTrying"] = b.idOf("Linux lts")
				}
				b.start(byHand + " " + parameters)
				b.press("l")
				if got := b.pages(); strings.Contains(got, "come up") || strings.Contains(got, "panic") {
					t.Errorf("it is said:\n%s", got)
				}
			})
		})
	}
}

// The system may be on a volume that is locked: its log is read once that has been
// unlocked.
func TestLastTimeLocked(t *testing.T) {
	d := encrypted(t)
	onDisks(t, func(t *testing.T, b *fixture) {
		unlock := func() {
			b.press(menu.KeyHome, menu.KeyEnter, "right", menu.KeyEnter)
			b.wait(5 * time.Second)
		}
		b.start(byHand)
		unlock()
		id := b.idOf("Linux lts")
		b.log(d.Inside.Dir, "var/log/rc.log", time.Now(), "the end\n")
		b.restartAfter(id, "")
		b.shows("did not come up, try 2 of 3", "Nothing was kept of it")
		unlock()
		b.press("l")
		if got := b.pages(); !strings.Contains(got, "The last line of its rc.log: the end") {
			t.Errorf("its log is not there:\n%s", got)
		}
	}, d)
}
