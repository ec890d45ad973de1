package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
)

// starts runs machines without a key, each until it jumps or restarts, and checks
// what each has done last: the flavour that was started, or restart.
func (b *fixture) starts(cmdline string, want ...string) {
	b.t.Helper()
	b.hw.jumpErr = nil
	for i, want := range want {
		b.hw.set(func(h *target) { h.done = nil })
		b.start("alpboot.timeout=1 " + cmdline)
		did := ""
		for range 40 {
			if i := slices.IndexFunc(get(b.hw, func() []string { return slices.Clone(b.hw.done) }), func(s string) bool { return strings.HasPrefix(s, "load ") || s == "restart" }); i >= 0 {
				did = strings.TrimPrefix(get(b.hw, func() string { return b.hw.done[i] }), "load boot/vmlinuz-")
				break
			}
			b.wait(time.Second)
		}
		b.stop()
		if did != want {
			b.t.Fatalf("start %d: %q, want %q; it remembers %q", i+1, did, want, b.vars.Values)
		}
	}
}

// An entry may be started so often without reporting that it is up. The verdict is
// about what was started: an entry that starts something else is tried again.
func TestTries(t *testing.T) {
	d := bootDisk(t, "/dev/sda1", "u1", "")
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, d)
		b.starts("alpboot.confirm=2", "lts", "lts", "virt")
		if got := b.vars.Values["AlpbootTrying"]; !strings.HasPrefix(got, "linux-virt") {
			t.Errorf("AlpbootTrying is %q", got)
		}
		delete(b.vars.Values, "AlpbootTrying") // virt is up
		b.starts("alpboot.confirm=2", "virt")
		writeFile(t, filepath.Join(d.Dir, "boot/initramfs-lts"), "\x1f\x8b\x08\x00 repaired")
		b.starts("alpboot.confirm=2", "lts")
		b.start("alpboot.timeout=30 alpboot.confirm=2")
		b.shows("Linux lts", "Booting in")
		if strings.Contains(b.screen.text(), "did not boot") {
			t.Error("what was replaced is marked")
		}
		b.session.update(menu.KeyMsg{})
		b.press("l")
		b.shows("this is try 2 of 2")
	})
}

// With all tries used up the machine is restarted, after pauses that grow, and
// everything is tried once more: trouble that passes costs no visit.
func TestExhausted(t *testing.T) {
	d := bootDisk(t, "/dev/sda1", "u1", "")
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, d)
		const pauses = "alpboot.confirm=1 alpboot.exhausted-pause=2,4,8"
		b.starts(pauses, "lts", "virt", "restart", "lts", "virt", "restart", "lts")
		if got := b.vars.Values["AlpbootRounds"]; got != "2" {
			t.Errorf("%s rounds are counted", got)
		}
		delete(b.vars.Values, "AlpbootTrying") // lts is up
		b.starts(pauses, "lts")
		if got := b.vars.Values["AlpbootRounds"]; got != "" {
			t.Errorf("after a good start %s rounds are counted", got)
		}
	})
}

func TestExhaustedPauses(t *testing.T) {
	for _, tt := range []struct {
		cmdline string
		rounds  int
		disks   bool // there is one, and all has failed
		after   time.Duration
		shows   string
		did     []string // none: nothing happens
	}{
		{"alpboot.confirm=1", 0, true, time.Minute, "Restarting in", []string{"hand over", "restart"}},
		{"alpboot.confirm=1", 1, true, 5 * time.Minute, "Restarting in", []string{"hand over", "restart"}},
		{"alpboot.confirm=1", 9, true, 30 * time.Minute, "Restarting in", []string{"hand over", "restart"}},
		{"alpboot.confirm=1", 9, false, 30 * time.Minute, "Nothing was found that can be booted.", []string{"hand over", "restart"}},
		{"alpboot.confirm=1 alpboot.remember=off", 0, false, 5 * time.Minute, "Failed starts cannot be counted", []string{"hand over", "restart"}},
		{"", 0, false, 5 * time.Minute, "Nothing was found", []string{"hand over", "restart"}},
		{"alpboot.hidden", 0, false, 5 * time.Minute, "Nothing was found", []string{"hand over", "restart"}},
		{"alpboot.confirm=1 alpboot.exhausted=poweroff", 0, true, time.Minute, "Powering off in", []string{"hand over", "power off"}},
		{"alpboot.confirm=1 alpboot.exhausted=shell", 0, true, time.Minute, "Opening a shell in", []string{"shell on /dev/ttyS0 with 0 mounted"}},
		{"alpboot.confirm=1 alpboot.exhausted=shell alpboot.shell=no", 0, true, time.Minute, "Restarting in", []string{"hand over", "restart"}},
		{"alpboot.confirm=1 alpboot.exhausted=wait", 0, true, time.Hour, "", nil},
		{"alpboot.confirm=1 alpboot.timeout=-1", 0, true, time.Hour, "", nil},
	} {
		t.Run(fmt.Sprintf("%s after %d", tt.cmdline, tt.rounds), func(t *testing.T) {
			d := bootDisk(t, "/dev/sda1", "u1", "")
			synctest.Test(t, func(t *testing.T) {
				b := newFixture(t)
				if tt.disks {
					b.disks.Plug(d)
				}
				b.start(byHand)
				state := remember.State{Rounds: tt.rounds}
				for _, e := range b.session.view.inventory.Entries {
					state.Tries = append(state.Tries, remember.Try{ID: e.ID})
				}
				if err := (remember.EFI{Vars: b.vars}).Save(state); err != nil {
					t.Fatal(err)
				}
				b.start(tt.cmdline)
				b.shows(tt.shows)
				b.wait(tt.after - 5*time.Second)
				b.did()
				b.wait(10 * time.Second)
				b.did(tt.did...)
			})
		})
	}
}

// Any key stops it, and where nobody types any more it goes on.
func TestKeyStopsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t)
		b.start("alpboot.exhausted-pause=10 alpboot.rearm=60")
		b.shows("Restarting in")
		b.press(menu.KeyDown)
		b.wait(50 * time.Second)
		b.did()
		b.wait(25 * time.Second)
		b.did("hand over", "restart")
	})
}

// Where entries are behind a passphrase, that is waited for.
func TestPassphraseIsWaitedFor(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		b.start("alpboot.exhausted-pause=1")
		b.wait(time.Hour)
		b.did()
	}, encrypted(t))
}

// A read error of a disk does not make a kernel a failed one: it is read once more, and
// then passed over for this start only, without using up a try.
func TestReadErrors(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.hw.bad = 1
		b.starts("alpboot.confirm=1", "lts")
		b.vars.Values = map[string]string{}
		b.hw.bad = 2
		b.starts("alpboot.confirm=1", "virt")
		delete(b.vars.Values, "AlpbootTrying")
		b.starts("alpboot.confirm=1", "lts")
	})
}

// Under confirm a panic must not be the end of an unattended start.
func TestPanicIsAdded(t *testing.T) {
	for _, tt := range []struct{ cmdline, options, want string }{
		{"alpboot.confirm", "", "root=UUID=u1 panic=30"},
		{"alpboot.confirm", "panic=0", "root=UUID=u1 panic=0"},
		{"alpboot.confirm", "-- single", "root=UUID=u1 panic=30 -- single"},
		{"", "", "root=UUID=u1"},
	} {
		t.Run(tt.cmdline+tt.options, func(t *testing.T) {
			onDisks(t, func(t *testing.T, b *fixture) {
				b.start("alpboot.timeout=5 " + tt.cmdline)
				if added := strings.Contains(b.screen.text(), "Added panic=30, when it starts unattended"); added != strings.Contains(tt.want, "panic=30") {
					t.Errorf("the screen has it: %t", added)
				}
				b.wait(6 * time.Second)
				if b.hw.cmdline != tt.want {
					t.Errorf("started with %q, want %q", b.hw.cmdline, tt.want)
				}
				b.start(byHand + " " + tt.cmdline)
				b.press("i")
				b.press(menu.KeyEsc, menu.KeyEnter)
				if want := strings.Replace(tt.want, " panic=30", "", 1); b.hw.cmdline != want {
					t.Errorf("by hand started with %q, want %q", b.hw.cmdline, want)
				}
			}, bootDisk(t, "/dev/sda1", "u1", tt.options))
		})
	}
}

// The settings on a volume may say it, too, though what is remembered has been read
// by then.
func TestConfirmOnAVolume(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.addESP(map[string]string{"alpboot.conf": "confirm = 1\n"})
		b.starts("alpboot.exhausted-pause=2", "lts", "virt", "restart")
	})
}

// A start by hand counts, and is never refused.
func TestTriesByHand(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.hw.jumpErr = nil
		for range 3 {
			b.start(byHand + " alpboot.confirm=1")
			b.press(menu.KeyHome, menu.KeyEnter)
			b.did(booted...)
		}
		b.starts("alpboot.confirm=1", "virt")
	})
}

// What earlier versions remember counts, until it is written as it is now.
func TestEFIVariablesOfEarlierVersions(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		b.vars.Variables = &boottest.Variables{Values: map[string]string{"AlpbootFailed": b.idOf("Linux lts"), "AlpbootLast": b.idOf("Linux virt")}}
		b.starts("alpboot.confirm", "virt")
		if b.vars.Values["AlpbootFailed"] != "" || !strings.Contains(b.vars.Values["AlpbootTries"], "0:-:linux-lts") {
			t.Errorf("it remembers %q", b.vars.Values)
		}
	})
}

// Each entry that is passed over is marked, not only the one that would be the
// default, and its details show why. One that is booted all the same, as it was asked
// for, is not.
func TestPassedOverAreMarked(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.start(byHand)
		lts, virt := b.idOf("Linux lts"), b.idOf("Linux virt")
		marked := func() (n int) {
			for line := range strings.Lines(b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII).String()) {
				if strings.Contains(line, "Linux ") && strings.Contains(line, " failed") {
					n++
				}
			}
			return n
		}
		save := func(s remember.State) {
			if err := (remember.EFI{Vars: b.vars}).Save(s); err != nil {
				t.Fatal(err)
			}
			b.start(byHand + " alpboot.confirm=1")
		}
		save(remember.State{Tries: []remember.Try{{ID: virt}}}) // not the default
		if n := marked(); n != 1 {
			t.Errorf("%d are marked:\n%s", n, b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII))
		}
		b.press(menu.KeyEnd)
		b.shows("Failed", "It was started before and never reported being up.")
		save(remember.State{Tries: []remember.Try{{ID: virt}, {ID: lts}}})
		if n := marked(); n != 2 {
			t.Errorf("%d are marked:\n%s", n, b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII))
		}
		save(remember.State{Next: virt, Tries: []remember.Try{{ID: virt}}})
		if n := marked(); n != 0 {
			t.Errorf("%d are marked:\n%s", n, b.screen.model.View(menu.Size{W: 100, H: 40}, menu.ASCII))
		}
	})
}

// A start whose jump fails has not happened: it has used up no try and no start of a
// boot counter, wherever these are kept, once the disks are there again. What was asked
// for once has been done.
func TestFailedJumpUsesUpNothing(t *testing.T) {
	const inFile = "alpboot.remember=UUID=u1:/alpboot.state "
	for name, place := range map[string]string{"EFI variables": "", "a file": inFile} {
		for _, how := range []string{"alpboot.timeout=0", "alpboot.timeout=3", byHand} {
			t.Run(name+", "+how, func(t *testing.T) {
				d := bootDisk(t, "/dev/sda1", "u1", "")
				onDisks(t, func(t *testing.T, b *fixture) {
					load := func() remember.State {
						t.Helper()
						var store remember.Store = remember.EFI{Vars: b.vars}
						if place != "" {
							store = &remember.File{Path: "alpboot.state", FS: os.DirFS(d.Dir)}
						}
						s, err := store.Load()
						if err != nil {
							t.Error(err)
						}
						return s
					}
					b.start(byHand)
					lts := b.idOf("Linux lts")
					cmdline := place + how + " alpboot.confirm=2 alpboot.exhausted=wait"
					b.hw.jumpErr = nil // once started, never up
					b.start(cmdline)
					b.press(menu.KeyEnter)
					b.wait(5 * time.Second)
					before := load()
					if try, _ := before.Try(lts); before.Trying != lts || try.Left != 1 {
						t.Fatalf("it remembers %+v", before)
					}
					b.hw.set(func(h *target) { h.done, h.jumpErr = nil, errors.New("the jump failed") })
					b.start(cmdline)
					if how == byHand {
						b.press(menu.KeyEnter)
					}
					b.wait(30 * time.Second) // the other one is tried as well, where nobody types
					if got := load(); !got.Equal(before) {
						t.Errorf("after %q it remembers\n  %+v\nand before\n  %+v", b.hw.done, got, before)
					}
					if jumps := strings.Count(strings.Join(b.hw.done, " "), "jump"); jumps == 0 || how != byHand && jumps != 2 {
						t.Errorf("was done: %q", b.hw.done)
					}
				}, d)
			})
		}
	}
	t.Run("once", func(t *testing.T) {
		onDisk(t, func(t *testing.T, b *fixture) {
			b.start(byHand)
			b.vars.Values["AlpbootNext"] = b.idOf("Linux virt")
			b.start("alpboot.timeout=1 alpboot.confirm=2 alpboot.exhausted=wait")
			b.wait(30 * time.Second)
			b.did(append(bootedVirt(), booted...)...)
			for _, name := range []string{"AlpbootNext", "AlpbootTrying", "AlpbootTries"} {
				if got := b.vars.Values[name]; got != "" {
					t.Errorf("%s is %q", name, got)
				}
			}
		})
	})
	t.Run("boot counter", func(t *testing.T) {
		onDisks(t, func(t *testing.T, b *fixture) {
			dir, started := counterFixture(t, b, "arch+3-00.conf", byHand)
			b.hw.jumpErr = errors.New("the jump failed")
			b.press(menu.KeyEnter)
			b.wait(10 * time.Second)
			if got := listing(t, filepath.Join(dir, "loader/entries")); got != "arch+3-00.conf old.conf" || !strings.HasSuffix(*started, "arch+2-01.conf") {
				t.Errorf("there is %s, and at the jump there was %s", got, *started)
			}
			if value, ok := b.vars.Values[efivar.BootCountPath]; ok { // nothing has been started that could take it off
				t.Errorf("%s is %q", efivar.BootCountPath, value)
			}
			b.hw.jumpErr = nil
			b.press(menu.KeyEnter)
			if got := listing(t, filepath.Join(dir, "loader/entries")); got != "arch+2-01.conf old.conf" {
				t.Errorf("there is %s", got)
			}
		})
	})
}
