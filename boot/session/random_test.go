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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/remember"
)

// TestRandomEvents has discovery and a session go through whatever may happen to
// a machine and its user, and checks after each event what must always hold: see
// check, checkOffered and calm.
func TestRandomEvents(t *testing.T) {
	boottest.RandomEvents(t, 8, randomEvents, func(t *testing.T, events []string) { newRandomFixture(t).run(events) })
}

// randomKeys is what somebody types: names of keys, and text between quotes.
var randomKeys = [...]string{
	"Enter", "Enter", "Enter", "Down", "Up", "Home", "End", "Esc", "Esc", `"r"`, `"s"`, `"i"`, `"l"`, `"K"`, `"m"`,
	`Enter "right" Enter`, `Enter "wrong" Enter`, `Enter Tab "right" Enter`, `End Enter "right" Enter`, `"r" End Enter "right" Enter`,
	`"dd"`, `"do"`, `"df"`, `"l" "w" Enter`, `"e" Tab Tab`, `"e" " x" Enter`, `"pr"`, `"poo"`, `"pf"`, "Enter Esc", "Esc Esc Home Enter",
}

// randomEvents makes a list of events.
func randomEvents(r *rand.Rand) (events []string) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	paths := []string{"/dev/sda1", "/dev/sda2", "/dev/sda3", "/dev/sdb1", "/dev/mapper/luks-c1"}
	ms := func(n int) string { return (time.Duration(r.IntN(n)) * time.Millisecond).String() }
	start := func() string {
		line := fmt.Sprintf("start alpboot.timeout=%d alpboot.rearm=%d", r.IntN(4)-1, r.IntN(2)*300)
		for _, word := range []string{"alpboot.remember-last", "alpboot.confirm", "alpboot.hand-on-passphrase", "alpboot.default=@last"} {
			if r.IntN(3) == 0 {
				line += " " + word
			}
		}
		return line
	}
	events = append(events, "latency "+ms(300), start()+pick("", "", " alpboot.remember=UUID=u1:/alpboot.state", " alpboot.remember=off"))
	for range 8 {
		for range 12 {
			switch r.IntN(14) {
			case 0: // nobody can unplug what was made
				events = append(events, "unplug "+pick(paths[:4]...))
			case 1:
				events = append(events, "plug "+pick(paths[:4]...))
			case 2:
				events = append(events, fmt.Sprintf("fault %s %s %s", pick(paths...), hardware.Steps[r.IntN(len(hardware.Steps))], pick("error", "hang", ms(20_000))))
			case 3:
				events = append(events, "heal")
			case 4:
				events = append(events, fmt.Sprintf("target load=%s held=%s shell=%s firmware=%s", pick("works", "fails"), pick("no", "yes"), pick("ends", "stays"), pick("0s", "0s", "700ms", "12s")))
			case 5:
				events = append(events, "go on")
			default:
				events = append(events, "type "+pick(randomKeys[:]...))
			}
			if r.IntN(3) > 0 {
				events = append(events, "wait "+ms(3000))
			}
		}
		events = append(events, pick("calm", "calm", "calm", start()))
	}
	return append(events, "calm")
}

// randomFixture is a fixture to which events happen.
type randomFixture struct {
	*fixture
	events struct {
		sync.Mutex
		history []string
		number  int // of the last one that does something
	}
	devices map[string]hardware.Device // all that there are, by path
	file    string                     // that things are remembered in; "" for EFI variables

	away     bool // a device is not there, or has come or gone since it was calm
	faulty   bool // a step of a device fails, hangs or is late
	asked    bool // something was to be written since the last check
	leftover bool // something is remembered that a start does away with
	stored   remember.State
	logged   int // lines of the log that were checked
	written  int // how often something was written before
	checks   sync.WaitGroup
}

func newRandomFixture(t *testing.T) *randomFixture {
	first := bootDisk(t, "/dev/sda1", "u1", "quiet")
	second := bootDisk(t, "/dev/sdb1", "u2", "")
	second.Block.Disk = "/dev/sdb"
	swap := hardware.Device{Block: device.Block{Path: "/dev/sda3", Disk: "/dev/sda", Size: 1 << 30, Partition: 3}, Superblock: superblock.Superblock{Type: "swap", UUID: "u3"}}
	locked := encrypted(t)
	r := &randomFixture{fixture: newFixture(t, first, locked, swap, second), devices: map[string]hardware.Device{}}
	for _, d := range []hardware.Device{first, locked, swap, second} {
		r.devices[d.Block.Path] = d
	}
	r.hw.always = func(what string) {
		switch {
		case strings.HasPrefix(what, "jump") && strings.Contains(r.screen.text(), "Stopping"):
			r.fail("it jumped although it was to stop")
		case strings.HasPrefix(what, "jump") && !r.faulty && what != "jump with 0 mounted":
			r.fail("%s", what)
		}
	}
	return r
}

func (r *randomFixture) fail(format string, args ...any) {
	r.t.Helper()
	r.events.Lock()
	defer r.events.Unlock()
	r.t.Errorf("%s\nafter\n\t%s", fmt.Sprintf(format, args...), strings.Join(r.events.history, "\n\t"))
}

func (r *randomFixture) run(events []string) {
	defer func() { // also after a failure, no goroutine may be left
		r.mend()
		r.goOn()
		r.stop()
		r.checks.Wait()
	}()
	for _, line := range events {
		r.happen(line)
		synctest.Wait()
		if r.session == nil {
			continue
		}
		if r.check(); r.t.Failed() {
			return
		}
	}
	r.mend()
	r.goOn()
	r.stop()
	for _, p := range r.unlocked {
		if strings.Trim(string(p), "\x00") != "" {
			r.fail("the passphrase %q is still in memory", p)
		}
	}
	if left := boottest.Goroutines("alpboot/boot/session.(*session)", "boot/discover.(*"); left != "" {
		r.fail("goroutines are left: %s", left)
	}
}

// happen has an event happen.
func (r *randomFixture) happen(line string) {
	r.events.Lock()
	r.events.history = append(r.events.history, line)
	if !strings.HasPrefix(line, "wait ") {
		r.events.number++
	}
	r.events.Unlock()
	word := append(strings.Fields(line), "", "", "")
	path := word[1]
	switch word[0] {
	case "wait":
		d, _ := time.ParseDuration(path)
		r.wait(d)
	case "latency":
		r.disks.Latency, _ = time.ParseDuration(path)
	case "start":
		r.restart(strings.TrimPrefix(line, "start "))
	case "unplug":
		r.away = true
		r.heal(path) // what hangs already goes on hanging
		r.disks.Unplug(path)
	case "plug":
		if d, ok := r.devices[path]; ok {
			r.away = true
			r.heal(path)
			r.disks.Unplug(path) // the same path is never added twice
			r.disks.Plug(d)
		}
	case "fault":
		fault := hardware.Fault{Hang: word[3] == "hang"}
		if word[3] == "error" {
			fault.Err = errors.New("a bad sector")
		} else if !fault.Hang {
			fault.Delay, _ = time.ParseDuration(word[3])
		}
		r.faulty, r.slow = true, r.slow || fault.Err == nil
		r.disks.SetFault(path, hardware.Step(word[2]), fault)
	case "heal":
		r.mend()
	case "target":
		r.hw.set(func(h *target) {
			h.loadErr = nil
			if strings.Contains(line, "load=fails") {
				h.loadErr = errors.New("no room")
			}
			if h.held == nil && strings.Contains(line, "held=yes") {
				h.held = make(chan struct{})
			}
			if h.shell == nil && strings.Contains(line, "shell=stays") {
				h.shell = make(chan error)
			}
			_, text, _ := strings.Cut(line, "firmware=")
			h.stuck, _ = time.ParseDuration(text)
		})
	case "go":
		r.goOn()
	case "type":
		if r.session != nil {
			r.typeKeys(strings.TrimPrefix(line, "type "))
		}
	case "calm":
		if r.session != nil {
			r.calm()
		}
	}
}

// restart ends the session that runs, wherever it is, and starts another one.
// Where things are remembered stays as it was.
func (r *randomFixture) restart(cmdline string) {
	if r.session == nil {
		if strings.Contains(cmdline, ":/alpboot.state") {
			r.file = filepath.Join(r.devices["/dev/sda1"].Dir, "alpboot.state")
		}
	} else {
		r.mend() // the end waits for what hangs
		r.goOn()
		r.stop()
		if r.file != "" && !strings.Contains(cmdline, "alpboot.remember=") {
			cmdline += " alpboot.remember=UUID=u1:/alpboot.state"
		}
		r.faulty = false
	}
	stored := r.load()
	r.leftover = !stored.Equal(remember.State{Default: stored.Default, Last: stored.Last, Kept: stored.Kept})
	r.start(cmdline)
	r.logged = 0
	r.asked, r.written, r.stored = false, len(r.disks.Written()), r.load()
}

// typeKeys types keys, as randomKeys has them.
func (r *randomFixture) typeKeys(line string) {
	names := map[string]menu.Key{"Enter": menu.KeyEnter, "Down": menu.KeyDown, "Up": menu.KeyUp, "Home": menu.KeyHome, "End": menu.KeyEnd, "Esc": menu.KeyEsc, "Tab": menu.KeyTab}
	var keys []any
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if text, err := strconv.QuotedPrefix(line); err == nil {
			keys = append(keys, strings.Trim(text, `"`))
			line = line[len(text):]
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		keys = append(keys, names[name])
		line = rest
	}
	if strings.ContainsAny(fmt.Sprint(keys...), "dw") { // or typed into something else
		r.asked = true
	}
	r.burst(keys...)
}

// mend takes all faults away.
func (r *randomFixture) mend() {
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

// check checks what must hold after each event.
func (r *randomFixture) check() {
	r.faultless(r.disks.Check())
	stored := r.load()
	starts := r.asked || r.leftover || r.session.Settings.RemembersLast() || r.session.Settings.Confirm > 0
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
	lines := r.session.Log.all()
	for _, l := range lines[min(r.logged, len(lines)):] {
		// One that was made goes with the end of a scan, when its passphrase is not kept.
		if !r.faulty && !r.away && strings.Contains(l.Text, "it could not be started") && strings.Contains(l.Text, "the volume is gone") && !strings.Contains(l.Text, "/dev/mapper/") {
			r.fail("no disk is gone, and the log has: %s", l.Text)
		}
	}
	r.logged = len(lines)
	number, s := r.number(), r.session
	s.inside(func() {
		r.checkDefault()
		for _, e := range s.view.known().Entries {
			if e.Problem == "" && !s.view.awaits(e) && s.view.holders == 0 {
				scan := s.view.scan
				r.checks.Go(func() { r.checkOffered(s, scan, e, number) })
			}
		}
	})
}

// checkDefault checks that an entry which is remembered as the default is that, if
// nothing comes before it and it may be booted unattended.
func (r *randomFixture) checkDefault() {
	s := r.session
	m := s.memory.state
	id := m.Default
	if id == "" || m.Next != "" || s.asked.Default != "" || s.failed[id] || !s.ready() || len(s.failed)+len(s.passed) > 0 || s.view.before != nil {
		return
	}
	for _, e := range s.view.known().Entries {
		if e.ID == id && e.Problem == "" && e.Suspect == "" && !e.Removable && s.choice.ID != id && s.view.inventory.Settled {
			r.fail("the default is %q, and %s is remembered", s.choice.ID, id)
		}
	}
}

// checkOffered checks that what can be chosen can be opened, or is not offered any
// more a second later, unless something else has happened since the event of that
// number: then another check is on its way.
func (r *randomFixture) checkOffered(s *session, scan *discover.Scan, e boot.Entry, number int) {
	open := func() error {
		f, err := scan.Open(e.Volume, e.Kernel)
		if err == nil {
			f.Close()
		}
		return err
	}
	err := open()
	if err == nil || r.disks.Faulty(e.Volume.Device, hardware.Read) {
		return
	}
	time.Sleep(time.Second)
	offered := false
	s.inside(func() {
		v := &s.view
		offered = r.number() == number && v.scan == scan && v.holders == 0 && !v.awaits(e) && slices.ContainsFunc(v.known().Entries, func(o boot.Entry) bool {
			return o.ID == e.ID && o.Volume == e.Volume && o.Problem == ""
		})
	})
	if !offered {
		return
	}
	again := open()
	s.inside(func() {
		if v := &s.view; again != nil && r.number() == number && v.scan == scan && v.holders == 0 {
			r.fail("%q on %s is offered, and cannot be opened: %v, and a second later %v", e.Title, e.Volume.Device, err, again)
		}
	})
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

// calm waits until nothing happens any more, and checks what must hold then: first
// with what hangs and fails as it is, then with all of it mended.
func (r *randomFixture) calm() {
	r.goOn()
	for range 40 { // a start that fails is followed by the next one
		if r.wait(15 * time.Second); r.settled() {
			break
		}
		r.goOn()
	}
	if !r.settled() {
		r.session.inside(func() {
			s := r.session
			r.fail("it does not settle: %+v, ready %t, leaving %t, held by %d, loading %t, pending %t and %t, saving %t", s.view.inventory, s.ready(), s.leaving, s.view.holders,
				s.loader.job != nil, s.loader.pending != nil, s.secrets.pending != nil, s.memory.saving)
		})
		return
	}
	r.mend()
	r.wait(30 * time.Second) // what is late is done by then
	if r.faulty {            // what has failed stays so until the user scans again
		r.session.later(func() { r.session.act(menu.Rescan{}) })
	}
	for range 40 {
		if r.wait(15 * time.Second); r.settled() {
			break
		}
		r.goOn()
	}
	if r.faulty || r.away {
		r.logged = len(r.session.Log.all())
	}
	there := r.disks.Paths()
	r.away = false
	for path := range r.devices {
		r.away = r.away || !slices.Contains(there, path)
	}
	r.faulty = false
	r.session.inside(r.checkSettled)
	r.asked, r.written, r.stored = false, len(r.disks.Written()), r.load()
}

// number returns the number of the last event that did something.
func (r *randomFixture) number() int {
	r.events.Lock()
	defer r.events.Unlock()
	return r.events.number
}

// inside calls do in the goroutine that owns the session.
func (s *session) inside(do func()) {
	done := make(chan struct{})
	s.later(func() { do(); close(done) })
	select {
	case <-done:
	case <-s.ctx.Done():
	}
}

// settled reports whether nothing is under way any more, as far as nothing hangs.
func (r *randomFixture) settled() (yes bool) {
	r.session.inside(func() { yes = r.session.settled(r.faulty) })
	return yes
}

// settled reports whether nothing is under way any more. With faulty, devices may
// hang, and whoever waits for them.
func (s *session) settled(faulty bool) bool {
	busy := slices.ContainsFunc(s.view.inventory.Volumes, func(v boot.VolumeStatus) bool { return v.Busy })
	return s.view.inventory.Settled && s.ready() && !busy && !s.leaving && s.view.holders == 0 && !s.memory.saving && s.loader.pending == nil &&
		s.secrets.pending == nil && (faulty || s.loader.job == nil)
}

// checkSettled checks what must hold when nothing happens any more.
func (r *randomFixture) checkSettled() {
	s := r.session
	if !s.settled(false) {
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
