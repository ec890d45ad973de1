package session

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
)

// seeds of TestRandomEvents: some that failed once, and some more.
var seeds = []uint64{1, 2, 3, 4, 5, 6, 7, 8}

// TestRandomEvents has discovery and a session go through whatever may happen to
// a machine and its user, in random order, and checks after each event what must
// always hold: see check and quiet.
//
// ALPBOOT_RANDOM is how long other seeds are tried, such as 5m; ALPBOOT_SEED is
// one to be tried alone, with all of its events printed.
func TestRandomEvents(t *testing.T) {
	if text := os.Getenv("ALPBOOT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		randomEvents(t, seed, true)
		return
	}
	for _, seed := range seeds {
		randomEvents(t, seed, false)
	}
	text := os.Getenv("ALPBOOT_RANDOM")
	if text == "" {
		return
	}
	limit, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for begin := time.Now(); time.Since(begin) < limit && !t.Failed(); n++ {
		randomEvents(t, rand.Uint64N(1e9), false)
	}
	t.Logf("%d seeds more", n)
}

func randomEvents(t *testing.T, seed uint64, verbose bool) {
	t.Run(fmt.Sprintf("ALPBOOT_SEED=%d", seed), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { newRandomFixture(t, seed, verbose).run() })
	})
}

// randomFixture is a fixture with the dice.
type randomFixture struct {
	*fixture
	*rand.Rand
	verbose bool
	began   time.Time
	devices map[string]hardware.Device // all that there are, by path
	file    string                     // that things are remembered in; "" for EFI variables

	faulty  bool // a step of a device fails, hangs or is late
	asked   bool // something was to be written since the last check
	stored  remember.State
	written int // how often something was written before
}

func newRandomFixture(t *testing.T, seed uint64, verbose bool) *randomFixture {
	first := bootDisk(t, "/dev/sda1", "u1", "quiet")
	second := bootDisk(t, "/dev/sdb1", "u2", "")
	second.Block.Disk = "/dev/sdb"
	swap := hardware.Device{Block: device.Block{Path: "/dev/sda3", Disk: "/dev/sda", Size: 1 << 30, Partition: 3}, Superblock: superblock.Superblock{Type: "swap", UUID: "u3"}}
	locked := encrypted(t)
	r := &randomFixture{
		fixture: newFixture(t, first, locked, swap, second), Rand: rand.New(rand.NewPCG(seed, 0)), verbose: verbose, began: time.Now(),
		devices: map[string]hardware.Device{},
	}
	for _, d := range []hardware.Device{first, locked, swap, second} {
		r.devices[d.Block.Path] = d
	}
	r.disks.Latency = time.Duration(r.IntN(300)) * time.Millisecond
	r.hw.always = func(what string) {
		switch {
		case strings.HasPrefix(what, "jump") && strings.Contains(r.screen.text(), "Stopping"):
			r.fail("it jumped although it was to stop")
		case strings.HasPrefix(what, "jump") && !r.faulty && what != "jump with 0 mounted":
			r.fail("%s", what)
		case r.verbose:
			r.t.Logf("%9.3f   %s", time.Since(r.began).Seconds(), what)
		}
	}
	cmdline := fmt.Sprintf("alpboot.timeout=%d alpboot.rearm=%d", r.IntN(4)-1, r.IntN(2)*300)
	for _, word := range []string{"alpboot.remember-last", "alpboot.confirm", "alpboot.hand-on-passphrase", "alpboot.default=@last"} {
		if r.IntN(3) == 0 {
			cmdline += " " + word
		}
	}
	switch r.IntN(4) {
	case 0:
		cmdline += " alpboot.remember=UUID=u1:/alpboot.state"
		r.file = filepath.Join(first.Dir, "alpboot.state")
	case 1:
		cmdline += " alpboot.remember=off"
	}
	r.log("start with %s", cmdline)
	r.stored = r.load()
	r.start(cmdline)
	return r
}

func (r *randomFixture) log(format string, args ...any) {
	if r.verbose {
		r.t.Logf("%9.3f "+format, append([]any{time.Since(r.began).Seconds()}, args...)...)
	}
}

func (r *randomFixture) fail(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("after %.3f s: %s", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *randomFixture) run() {
	for range 8 {
		for range 12 {
			r.event()
			r.wait(time.Duration(r.IntN(3)) * time.Duration(r.IntN(1500)) * time.Millisecond)
			if r.check(); r.t.Failed() {
				return
			}
		}
		if r.quiet(); r.t.Failed() {
			return
		}
	}
	r.stop()
	for _, p := range r.unlocked {
		if strings.Trim(string(p), "\x00") != "" {
			r.fail("the passphrase %q is still in memory", p)
		}
	}
}

func pickOne[T any](r *randomFixture, list ...T) T { return list[r.IntN(len(list))] }

// event has something happen.
func (r *randomFixture) event() {
	path := pickOne(r, slices.Sorted(maps.Keys(r.devices))...)
	switch r.IntN(14) {
	case 0:
		r.log("unplug %s", path)
		r.heal(path) // what hangs already goes on hanging
		r.disks.Unplug(path)
	case 1:
		r.log("plug in %s", path)
		r.heal(path)
		r.disks.Unplug(path) // the same path is never added twice
		r.disks.Plug(r.devices[path])
	case 2:
		step := pickOne(r, hardware.Steps[:]...)
		fault := pickOne(r, hardware.Fault{Err: errors.New("a bad sector")}, hardware.Fault{Delay: time.Duration(r.IntN(20_000)) * time.Millisecond}, hardware.Fault{Hang: true})
		r.log("%s of %s: %+v", step, path, fault)
		r.faulty, r.slow = true, r.slow || fault.Err == nil
		r.disks.SetFault(path, step, fault)
	case 3:
		r.mend()
	case 4:
		r.hw.set(func(h *target) {
			h.loadErr = pickOne(r, nil, errors.New("no room"))
			h.stuck = pickOne(r, 0, 0, 700*time.Millisecond, 12*time.Second)
			if h.held == nil {
				h.held = pickOne(r, nil, make(chan struct{}))
			}
			if h.shell == nil {
				h.shell = pickOne(r, nil, make(chan error))
			}
			r.log("loading: %v, held %t; shell stays %t; firmware takes %v", h.loadErr, h.held != nil, h.shell != nil, h.stuck)
		})
	case 5:
		r.goOn()
	default:
		keys := pickOne(r,
			[]any{menu.KeyEnter}, []any{menu.KeyEnter}, []any{menu.KeyEnter}, []any{menu.KeyDown}, []any{menu.KeyUp}, []any{menu.KeyHome}, []any{menu.KeyEnd},
			[]any{menu.KeyEsc}, []any{menu.KeyEsc}, []any{"r"}, []any{"s"}, []any{"i"}, []any{"l"}, []any{"K"}, []any{"m"},
			[]any{menu.KeyEnter, "right", menu.KeyEnter}, []any{menu.KeyEnter, "wrong", menu.KeyEnter}, []any{menu.KeyEnter, menu.KeyTab, "right", menu.KeyEnter},
			[]any{menu.KeyEnd, menu.KeyEnter, "right", menu.KeyEnter}, []any{"r", menu.KeyEnd, menu.KeyEnter, "right", menu.KeyEnter},
			[]any{"dd"}, []any{"do"}, []any{"df"}, []any{"l", "w", menu.KeyEnter}, []any{"e", menu.KeyTab, menu.KeyTab}, []any{"e", " x", menu.KeyEnter},
			[]any{"pr"}, []any{"po"}, []any{"pf"}, []any{menu.KeyEnter, menu.KeyEsc}, []any{menu.KeyEsc, menu.KeyEsc, menu.KeyHome, menu.KeyEnter},
		)
		r.log("keys %v", keys)
		if text := fmt.Sprint(keys...); strings.ContainsAny(text, "dw") { // or typed into something else
			r.asked = true
		}
		r.burst(keys...)
	}
}

// mend takes all faults away.
func (r *randomFixture) mend() {
	r.log("mend")
	for path := range r.devices {
		r.heal(path)
	}
	r.heal("/dev/mapper/luks-c1")
	r.disks.Release()
}

// heal takes the faults of a device away.
func (r *randomFixture) heal(path string) {
	for _, step := range hardware.Steps {
		r.disks.SetFault(path, step, hardware.Fault{})
	}
}

// goOn ends shells, and lets what is loaded go on.
func (r *randomFixture) goOn() {
	r.log("shells end, loading goes on")
	r.hw.set(func(h *target) {
		if h.held != nil {
			close(h.held)
		}
		if h.shell != nil {
			close(h.shell)
		}
		h.held, h.shell, h.loadErr, h.stuck = nil, nil, nil, 0
	})
}

// check checks what must hold at any time.
func (r *randomFixture) check() {
	r.faultless(r.disks.Check())
	stored := r.load()
	starts := r.asked || r.session.Settings.RemembersLast() || r.session.Settings.Confirm > 0
	if !starts && !stored.Equal(r.stored) {
		r.fail("unasked, it remembers %+v after %+v", stored, r.stored)
	}
	if !r.asked && stored.Default != r.stored.Default {
		r.fail("the default was lost: %q after %q", stored.Default, r.stored.Default)
	}
	if written := r.disks.Written()[r.written:]; !starts && len(written) > 0 {
		r.fail("unasked, it wrote to %q", written)
	}
	r.stored = stored
}

// load returns what is remembered.
func (r *randomFixture) load() remember.State {
	store := remember.Store(remember.EFI{Vars: &boottest.Variables{Values: get(r.hw, func() map[string]string { return maps.Clone(r.vars.Values) })}})
	if r.file != "" {
		store = &remember.File{Path: filepath.Base(r.file), FS: os.DirFS(filepath.Dir(r.file))}
	}
	state, err := store.Load()
	if err != nil {
		r.fail("%v", err)
	}
	return state
}

// quiet waits until nothing happens any more, and checks what must hold then.
func (r *randomFixture) quiet() {
	r.log("quiet")
	r.mend()
	r.goOn()
	r.wait(30 * time.Second) // what is late is done by then
	if r.faulty {            // what has failed stays so until the user scans again
		r.log("rescan")
		r.session.later(func() { r.session.act(menu.Rescan{}) })
	}
	settled := func() (yes bool) {
		r.inSession(func() { yes = r.settled() })
		return yes
	}
	for range 40 {
		if r.wait(15 * time.Second); settled() {
			break
		}
		r.goOn()
	}
	r.faulty = false
	r.inSession(r.checkSettled)
	r.asked, r.written, r.stored = false, len(r.disks.Written()), r.load()
}

// inSession calls do in the goroutine that owns the session.
func (r *randomFixture) inSession(do func()) {
	done := make(chan struct{})
	r.session.later(func() { do(); close(done) })
	<-done
}

// settled reports whether nothing is under way any more.
func (r *randomFixture) settled() bool {
	s := r.session
	busy := slices.ContainsFunc(s.view.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Busy })
	return s.view.inventory.Settled && s.ready() && !busy && !s.leaving && s.view.holders == 0 &&
		s.loader.job == nil && s.loader.pending == nil && !s.memory.saving && s.secrets.pending == nil
}

// checkSettled checks what must hold when nothing happens any more.
func (r *randomFixture) checkSettled() {
	s := r.session
	if !r.settled() {
		r.fail("it does not settle: %+v, ready %t, leaving %t, held by %d, loading %t, pending %t and %t, saving %t", s.view.inventory, s.ready(), s.leaving, s.view.holders,
			s.loader.job != nil, s.loader.pending != nil, s.secrets.pending != nil, s.memory.saving)
		return
	}
	entries := map[string]int{}
	for _, e := range s.view.known().Entries {
		if e.Problem != "" {
			continue
		}
		entries[e.Volume.Device]++
		if e.Guessed {
			r.fail("%s on %s is guessed", e.Title, e.Volume.Device)
		}
		f, err := s.view.scan.Open(e.Volume, e.Kernel)
		if err != nil {
			r.fail("%s on %s is shown as bootable: %v", e.Title, e.Volume.Device, err)
			continue
		}
		f.Close()
	}
	there := r.disks.Paths()
	for path, d := range r.devices {
		if d.Inside != nil {
			path = d.Inside.Block.Path
		}
		want := 0
		if (d.Dir != "" || d.Inside != nil) && slices.Contains(there, path) {
			want = 2
		}
		if got := entries[path]; got != want {
			r.fail("%d entries on %s can be booted, want %d: %+v", got, path, want, s.view.inventory)
		}
	}
}
