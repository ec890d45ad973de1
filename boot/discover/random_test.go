package discover

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
)

// Seeds that failed once.
var failedSeeds = []uint64{8727317626940092580, 9682230451393766756, 16524823082923023690, 8909981777680983924, 2266084661358170118, 9016319987699014142}

// TestRandomEvents scans a machine on which anything happens: devices come, go,
// change, hang, answer late and fail at each step, while files are opened, volumes
// are unlocked and written to, and the scan is started again. After each event it
// asserts what must hold whatever happens.
//
// ALPBOOT_RANDOM=5m goes on for five minutes, with seeds of its own;
// ALPBOOT_SEED=N repeats a seed that failed.
func TestRandomEvents(t *testing.T) {
	run := func(seed uint64) bool {
		return t.Run(fmt.Sprintf("ALPBOOT_SEED=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newChaos(t, seed).run() })
		})
	}
	if s := os.Getenv("ALPBOOT_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		run(seed)
		return
	}
	for _, seed := range failedSeeds {
		run(seed)
	}
	if s := os.Getenv("ALPBOOT_RANDOM"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		seeds, began := 0, time.Now()
		for ; time.Since(began) < d; seeds++ {
			if !run(rand.Uint64()) {
				break
			}
		}
		t.Logf("%d seeds in %v", seeds, time.Since(began).Round(time.Second))
		return
	}
	for seed := range uint64(30) {
		run(seed)
	}
}

// chaos is one run of events.
type chaos struct {
	t       *testing.T
	r       *rand.Rand
	m       *hardware.Machine
	sc      *Scan
	clients sync.WaitGroup // of the scan

	mu      sync.Mutex
	last    boot.Inventory
	disks   map[string]*disk // by path
	number  int
	asked   []string // devices that somebody asked to write to
	overlap bool     // two scans have been there at once

	historyMu sync.Mutex
	history   []string
}

// disk is what the test knows of a device.
type disk struct {
	uuid, title string
	healthy     bool // nothing was ever done to it that could keep it from being read
	shown       bool // its entry has been in an inventory
	locked      bool
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{t: t, r: rand.New(rand.NewPCG(seed, 0)), m: hardware.New(), disks: map[string]*disk{}}
	for range c.r.IntN(5) {
		c.plug()
	}
	c.start()
	return c
}

func (c *chaos) note(format string, args ...any) {
	c.historyMu.Lock()
	defer c.historyMu.Unlock()
	c.history = append(c.history, fmt.Sprintf(format, args...))
}

// after returns what happened last.
func (c *chaos) after() string {
	c.historyMu.Lock()
	defer c.historyMu.Unlock()
	return "\nafter\n\t" + strings.Join(c.history[max(0, len(c.history)-40):], "\n\t")
}

// fail reports what does not hold, after which events.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	c.t.Fatal(fmt.Sprintf(format, args...) + c.after())
}

// start starts a scan, and checks each inventory.
func (c *chaos) start() {
	c.mu.Lock()
	c.last = boot.Inventory{}
	for _, d := range c.disks {
		d.shown = false
	}
	c.mu.Unlock()
	c.sc = listener(c.m).Start(c.t.Context())
	go func(inventories <-chan boot.Inventory) {
		for inv := range inventories {
			c.mu.Lock()
			c.last = inv
			c.checkInventory(inv)
			c.mu.Unlock()
		}
	}(c.sc.Inventories())
}

// checkInventory asserts that what was known of a disk that is there is known
// still.
func (c *chaos) checkInventory(inv boot.Inventory) {
	if strings.Contains(problems(inv), "defect in alpboot") {
		c.t.Errorf("%s%s", problems(inv), c.after())
	}
	shown := map[string]boot.Entry{} // by title
	for _, e := range inv.Entries {
		shown[e.Title] = e
	}
	for path, d := range c.disks {
		e, ok := shown[d.title]
		good := ok && e.Problem == "" && e.Volume.Device == path && !e.Guessed
		if d.healthy && d.shown && !good {
			c.t.Errorf("%q of %s was shown, and is not any more: %q, %q, %+v%s", d.title, path, titles(inv), problems(inv), e, c.after())
		}
		d.shown = d.shown || d.healthy && good
	}
}

func (c *chaos) run() {
	defer func() { // also after a failure, no goroutine may be left
		go c.sc.Stop()
		c.release()
	}()
	for range 20 + c.r.IntN(60) {
		time.Sleep([]time.Duration{0, time.Millisecond, 15 * time.Millisecond, 60 * time.Millisecond, time.Second, 12 * time.Second}[c.r.IntN(6)])
		c.event()
		synctest.Wait()
		c.check()
		if c.t.Failed() {
			break
		}
	}
	// Events stop, and everything answers.
	c.note("calm")
	c.release()
	time.Sleep(time.Minute)
	c.check()
	if !c.last.Settled {
		c.fail("it does not settle: %+v", c.last.Volumes)
	}
	c.calm()
	c.m.Release()
	time.Sleep(time.Minute)
	c.note("scanned again")
	c.sc.Stop()
	c.checkStopped()
	c.start()
	time.Sleep(time.Minute)
	c.settled()
	for path, d := range c.disks {
		if !d.shown && !d.locked {
			c.fail("%q of %s is not shown: %q, %q", d.title, path, titles(c.last), problems(c.last))
		}
	}
	c.sc.Stop()
	synctest.Wait()
	c.checkStopped()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, path := range c.m.Written() {
		i := slices.Index(c.asked, path)
		if i < 0 {
			c.fail("%s was written to, and nobody asked for it", path)
		}
		c.asked = slices.Delete(c.asked, i, i+1)
	}
}

// release lets everything go on that hangs, or begins to, until all clients have
// their answers.
func (c *chaos) release() {
	answered := make(chan struct{})
	go func() { c.clients.Wait(); close(answered) }()
	for range 5 {
		c.m.Release()
		time.Sleep(time.Minute)
	}
	for {
		select {
		case <-answered:
			return
		case <-time.After(time.Minute):
			c.m.Release()
		}
	}
}

// checkStopped asserts that nothing is left of a scan.
func (c *chaos) checkStopped() {
	if err := c.m.CheckStopped(); err != nil && !(c.overlap && strings.Contains(err.Error(), "was removed while")) {
		c.fail("%v", err)
	}
}

// settled asserts that all is known, and that all that is offered can be opened.
func (c *chaos) settled() {
	c.mu.Lock()
	inv := c.last
	c.mu.Unlock()
	if !inv.Settled {
		c.fail("it does not settle: %+v", inv.Volumes)
	}
	for _, e := range inv.Entries {
		if e.Problem == "" {
			c.open(e)
		}
	}
}

// calm makes all devices work.
func (c *chaos) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, d := range c.disks {
		for _, step := range hardware.Steps {
			c.m.SetFault(path, step, hardware.Fault{})
		}
		d.healthy, d.shown = true, false
	}
}

// check asserts what must hold at any time.
func (c *chaos) check() {
	if err := c.m.Check(); err != nil && !(c.overlap && strings.Contains(err.Error(), "was removed while")) {
		c.fail("%v", err)
	}
	c.mu.Lock()
	var entries []boot.Entry
	for _, e := range c.last.Entries {
		if d := c.disks[e.Volume.Device]; d != nil && d.healthy && d.uuid == e.Volume.UUID && e.Problem == "" {
			entries = append(entries, e)
		}
	}
	c.mu.Unlock()
	for _, e := range entries {
		c.open(e)
	}
}

// open asserts that the kernel of an entry can be read.
func (c *chaos) open(e boot.Entry) {
	f, err := c.sc.Open(e.Volume, e.Kernel)
	if err == nil {
		_, err = io.ReadAll(f)
		f.Close()
	}
	if err != nil {
		c.fail("%q on %s is offered, and cannot be opened: %v", e.Title, e.Volume.Device, err)
	}
}

// path returns the path of one of the disks; "" when there are none.
func (c *chaos) path() string {
	var paths []string
	for p := range c.disks {
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		return ""
	}
	slices.Sort(paths)
	return paths[c.r.IntN(len(paths))]
}

// event has something happen.
func (c *chaos) event() {
	c.mu.Lock()
	path := c.path()
	c.mu.Unlock()
	kind := c.r.IntN(12)
	if path == "" || kind < 2 {
		c.plug()
		return
	}
	switch kind {
	case 2:
		c.note("unplug %s", path)
		c.gone(path)
		c.m.Unplug(path)
	case 3, 4:
		step := hardware.Steps[c.r.IntN(len(hardware.Steps))]
		fault := []hardware.Fault{
			{Err: fmt.Errorf("opening %s: it failed at %s", path, step)},
			{Delay: time.Duration(c.r.IntN(20_000)) * time.Millisecond},
			{Hang: true},
		}[c.r.IntN(3)]
		c.note("fault of %s at %s: %+v", path, step, fault)
		c.mu.Lock()
		c.disks[path].healthy = false
		c.mu.Unlock()
		c.m.SetFault(path, step, fault)
	case 5:
		c.note("all that hangs goes on")
		c.m.Release()
	case 6, 7:
		c.write(path)
	case 8:
		passphrase := []string{"right", "wrong"}[c.r.IntN(2)]
		c.note("unlock %s: %s", path, passphrase)
		c.clients.Go(func() { c.sc.Unlock(c.t.Context(), path, []byte(passphrase)) })
	case 9:
		c.note("open files of %s", path)
		sc := c.sc
		c.clients.Go(func() {
			if f, err := sc.Open(boot.Volume{Device: path}, "boot/extlinux.conf"); err == nil {
				f.Close()
			}
		})
	case 10:
		if c.r.IntN(2) == 0 {
			c.note("eject %s", path)
			c.mu.Lock()
			c.disks[path].healthy = false
			c.mu.Unlock()
			c.m.Eject(path)
			return
		}
		c.note("change the medium of %s", path)
		c.gone(path)
		c.m.ChangeMedium(c.device(path))
	case 11:
		if c.r.IntN(3) > 0 {
			return
		}
		c.note("scan again")
		c.sc.Stop()
		// What hangs is still there when the next scan begins, which takes it for a
		// disk like any other.
		c.overlap = c.overlap || c.m.CheckStopped() != nil
		c.start()
	}
}

// gone notes that a disk will not be there any more.
func (c *chaos) gone(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.disks, path)
}

// write has something written that takes a while.
func (c *chaos) write(path string) {
	takes := time.Duration(c.r.IntN(3000)) * time.Millisecond
	c.note("write to %s for %v", path, takes)
	c.mu.Lock()
	c.asked = append(c.asked, path)
	c.mu.Unlock()
	sc := c.sc
	c.clients.Go(func() {
		sc.Write(c.t.Context(), path, func(*os.Root) error {
			time.Sleep(takes)
			return nil
		})
	})
}

// plug plugs a disk in, or another one in the place of one.
func (c *chaos) plug() {
	path := fmt.Sprintf("/dev/sd%c1", 'a'+c.r.IntN(6))
	c.gone(path)
	c.m.Plug(c.device(path))
}

// device makes a device of some kind.
func (c *chaos) device(path string) hardware.Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	n := c.number
	inside := func(path string) *hardware.Device {
		d := alpine(path, fmt.Sprintf("in-%d", n), fmt.Sprintf("in%d", n))
		return &d
	}
	flavour := fmt.Sprintf("f%d", n)
	d := alpine(path, fmt.Sprintf("u-%d", n), flavour)
	known := &disk{uuid: d.Superblock.UUID, title: "Linux " + flavour, healthy: true}
	kind := c.r.IntN(6)
	switch kind {
	case 0: // names a kernel of another disk
		if o := c.disks[c.path()]; o != nil {
			_, of, _ := strings.Cut(o.title, " ")
			files(d)["boot/grub/grub.cfg"] = text(fmt.Sprintf("search --fs-uuid --set=root %s\nmenuentry Pointer%d {\nlinux /boot/vmlinuz-%s pointed\n}\n", o.uuid, n, of))
		}
	case 1: // is encrypted
		d = locked(path, fmt.Sprintf("crypt-%d", n), *inside(fmt.Sprintf("/dev/mapper/luks-%d", n)))
		known.uuid, known.locked, known.healthy = d.Superblock.UUID, true, false
	case 2: // holds an image file
		files(d)["boot/alpine.iso"] = text("")
		d.Images = map[string]*hardware.Device{"boot/alpine.iso": inside(fmt.Sprintf("/dev/loop%d", n))}
	case 3: // is a half of a mirror
		if c.r.IntN(2) == 0 {
			d = mirrored(path, c.r.IntN(2), *inside(fmt.Sprintf("/dev/mapper/md-%d", n)))
			d.Member.RAID.UUID = fmt.Sprintf("r-%d", n)
			known.uuid, known.locked, known.healthy = d.Superblock.UUID, true, false
		}
	case 4: // names one that is never there
		files(d)["boot/grub/grub.cfg"] = text("search --fs-uuid --set=root u-0\nmenuentry Nowhere {\nlinux /boot/vmlinuz-nowhere\n}\n")
	}
	c.disks[path] = known
	c.note("plug %s, of kind %d with %s", path, kind, known.uuid)
	return d
}
