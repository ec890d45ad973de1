package discover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
)

// TestRandomEvents scans a machine on which anything happens: devices come, go,
// change, hang, answer late and fail at each step, while files are opened, volumes
// are unlocked and written to, and the scan is started again. After each event it
// asserts what must hold whatever happens:
//
//   - What an inventory offers can be opened. Where it cannot, that is shown within
//     a second, unless something else happens meanwhile.
//   - No filesystem is used after it was closed, and nothing is written to that
//     nobody asked to write to.
//   - An entry that was found on a disk without faults stays.
//   - When events stop, the inventory settles, though some devices hang for ever.
//   - When the scan has been stopped, nothing is mounted and no goroutine is left,
//     but for those that wait for a device that hangs.
//
// See [boottest.RandomEvents] for the lists of events.
func TestRandomEvents(t *testing.T) {
	boottest.RandomEvents(t, 40, randomEvents, func(t *testing.T, events []string) { newChaos(t).run(events) })
}

// randomEvents makes a list of events. It knows what is plugged in, so that most
// of them mean something.
func randomEvents(r *rand.Rand) (events []string) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	disks := map[string]string{} // what is plugged in, by path, as its line has it
	number, mirrors := 0, []int(nil)
	disk := func(path string) string {
		number++
		what := fmt.Sprintf("plain %d", number)
		switch r.IntN(8) {
		case 0:
			if others := slices.Sorted(maps.Values(disks)); len(others) > 0 {
				_, of, _ := strings.Cut(pick(others...), " ")
				of, _, _ = strings.Cut(of, " ")
				what = fmt.Sprintf("pointer %d %s", number, of)
			}
		case 1:
			what = fmt.Sprintf("pointer %d 0", number) // to one that is never there
		case 2, 3:
			what = fmt.Sprintf("locked %d", number)
		case 4:
			what = fmt.Sprintf("image %d", number)
		case 5:
			mirrors = append(mirrors, number)
			what = fmt.Sprintf("mirror %d 0", number)
		case 6:
			if len(mirrors) > 0 {
				what = fmt.Sprintf("mirror %d 1", mirrors[len(mirrors)-1])
				mirrors = nil
			}
		}
		disks[path] = what
		return what
	}
	free := func() string { return fmt.Sprintf("/dev/sd%c1", 'a'+r.IntN(6)) }
	for range r.IntN(5) {
		path := free()
		events = append(events, "plug "+path+" "+disk(path))
	}
	events = append(events, "scan")
	for range 20 + r.IntN(80) {
		events = append(events, "wait "+pick("0s", "1ms", "15ms", "60ms", "1s", "12s"))
		path := free()
		if there := slices.Sorted(maps.Keys(disks)); len(there) > 0 {
			path = pick(there...)
		}
		on := path
		if what := strings.Fields(disks[path]); len(what) > 1 && r.IntN(3) == 0 { // what is made of it
			on = map[string]string{"locked": "/dev/mapper/luks-", "image": "/dev/loop", "mirror": "/dev/mapper/md-"}[what[0]] + what[1]
			if what[0] == "plain" || what[0] == "pointer" {
				on = path
			}
		}
		line := ""
		switch r.IntN(14) {
		case 0, 1:
			path = free()
			line = "plug " + path + " " + disk(path)
		case 2:
			delete(disks, path)
			line = "unplug " + path
		case 3, 4:
			line = fmt.Sprintf("fault %s %s %s", on, hardware.Steps[r.IntN(len(hardware.Steps))],
				pick("error", "hang", (time.Duration(r.IntN(20_000))*time.Millisecond).String()))
		case 5:
			line = "release"
		case 6, 7:
			line = fmt.Sprintf("write %s %v", path, time.Duration(r.IntN(3000))*time.Millisecond)
		case 8:
			line = "unlock " + path + " " + pick("right", "right", "wrong")
		case 9:
			line = "open " + on
		case 10:
			line = "medium " + path + " " + disk(path)
		case 11:
			line = pick("eject "+path, "heal", "heal")
		case 12:
			line = pick("rescan", "calm", "")
		case 13:
			line = pick("unlock "+path+" right", "heal "+path)
		}
		if line != "" {
			events = append(events, line)
		}
	}
	return events
}

// chaos is a machine to which events happen, and a scan of it.
type chaos struct {
	t       *testing.T
	m       *hardware.Machine
	sc      *Scan
	clients sync.WaitGroup // of the scan

	mu      sync.Mutex
	last    boot.Inventory
	number  int              // of the last event that does something to the machine
	disks   map[string]*disk // by path
	asked   []string         // devices that somebody asked to write to
	overlap bool             // two scans have been there at once
	history []string
}

// disk is what the test knows of a device.
type disk struct {
	title   string
	healthy bool // nothing was ever done to it that could keep it from being read
	shown   bool // its entry has been in an inventory
	made    bool // its filesystem is on a device that is made of it

	pointer, of  string // an entry on it whose kernel is on another disk, and the title of that
	pointerShown bool
}

func newChaos(t *testing.T) *chaos {
	return &chaos{t: t, m: hardware.New(), disks: map[string]*disk{}}
}

func (c *chaos) run(events []string) {
	defer func() { // also after a failure, no goroutine may be left
		if c.sc != nil {
			go c.sc.Stop()
		}
		c.release()
	}()
	for _, line := range events {
		c.happen(line)
		synctest.Wait()
		if c.check(); c.t.Failed() {
			return
		}
	}
	if c.sc == nil {
		c.start()
	}
	c.happen("calm")
	c.happen("heal")
	c.happen("release")
	c.release()
	c.happen("calm")
	c.happen("rescan")
	c.happen("calm")
	for path, d := range c.disks {
		if !d.shown && !d.made {
			c.fail("%q of %s is not shown: %q, %q", d.title, path, titles(c.last), problems(c.last))
		}
	}
	c.stop()
}

// happen has an event happen.
func (c *chaos) happen(line string) {
	c.mu.Lock()
	if !strings.HasPrefix(line, "wait") && line != "calm" {
		c.number++
	}
	c.history = append(c.history, line)
	c.mu.Unlock()
	word := append(strings.Fields(line), "", "", "", "")
	path := word[1]
	switch word[0] {
	case "wait":
		d, err := time.ParseDuration(path)
		if err != nil {
			c.fail("%s: %v", line, err)
		}
		time.Sleep(d)
	case "plug":
		c.m.Plug(c.device(path, word[2:]))
	case "medium":
		c.m.ChangeMedium(c.device(path, word[2:]))
	case "unplug":
		c.mu.Lock()
		delete(c.disks, path)
		c.mu.Unlock()
		c.m.Unplug(path)
	case "eject":
		c.ill(path)
		c.m.Eject(path)
	case "fault":
		fault := hardware.Fault{Hang: word[3] == "hang"}
		if word[3] == "error" {
			fault.Err = fmt.Errorf("opening %s: it failed at %s", path, word[2])
		} else if !fault.Hang {
			fault.Delay, _ = time.ParseDuration(word[3])
		}
		c.ill(path)
		c.m.SetFault(path, hardware.Step(word[2]), fault)
	case "heal":
		for _, p := range c.m.Paths() {
			for _, step := range hardware.Steps {
				if path == "" || p == path {
					c.m.SetFault(p, step, hardware.Fault{})
				}
			}
		}
	case "release":
		c.m.Release()
	case "scan":
		c.start()
	case "rescan":
		c.stop()
		c.start()
	case "calm":
		c.calm()
	}
	if c.sc == nil {
		return
	}
	switch sc := c.sc; word[0] {
	case "write":
		takes, _ := time.ParseDuration(word[2])
		c.mu.Lock()
		c.asked = append(c.asked, path)
		c.mu.Unlock()
		c.clients.Go(func() {
			began := time.Now()
			sc.Write(c.t.Context(), path, func(*os.Root) error {
				time.Sleep(takes)
				return nil
			})
			// It waits for the volume to be ready, for writes that came before, and for
			// itself.
			if took := time.Since(began); took > 20*sc.scanner.Limit {
				c.fail("the write to %s took %v", path, took)
			}
		})
	case "unlock":
		c.clients.Go(func() { sc.Unlock(c.t.Context(), path, []byte(word[2])) })
	case "open":
		c.clients.Go(func() {
			if f, err := sc.Open(boot.Volume{Device: path}, "boot/extlinux.conf"); err == nil {
				f.Close()
			}
		})
	}
}

// fail reports what does not hold, after which events.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(format, args...)
}

func (c *chaos) failLocked(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("%s\nafter\n\t%s", fmt.Sprintf(format, args...), strings.Join(c.history, "\n\t"))
}

// ill notes that a disk is not without faults any more.
func (c *chaos) ill(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for outer, d := range c.disks {
		n := strings.TrimPrefix(d.title, "Linux f")
		if outer == path || slices.Contains([]string{"/dev/mapper/luks-" + n, "/dev/mapper/md-" + n, "/dev/loop" + n}, path) { // or what is made of it
			d.healthy = false
		}
	}
}

// start starts a scan, and checks each inventory.
func (c *chaos) start() {
	idle := c.m.Idle() // else what hangs is still there when the scan begins, which takes it for a disk like any other
	c.mu.Lock()
	c.overlap = c.overlap || !idle
	c.last = boot.Inventory{}
	for path, d := range c.disks {
		d.shown, d.pointerShown = false, false
		d.healthy = !slices.ContainsFunc(hardware.Steps[:], func(s hardware.Step) bool { return c.m.Faulty(path, s) }) && idle
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

// stop stops the scan, and asserts that nothing is left of it.
func (c *chaos) stop() {
	if c.sc == nil {
		return
	}
	began := time.Now()
	c.sc.Stop()
	if took := time.Since(began); took > stopLimit {
		c.fail("Stop took %v", took)
	}
	synctest.Wait()
	err := c.m.CheckStopped()
	if err == nil || c.overlapping(err) {
		if left := boottest.Goroutines("boot/discover.(*state)", "boot/discover.(*Scan).run"); left != "" && err == nil {
			c.fail("goroutines are left: %s", left)
		}
		return
	}
	if !c.hangs() {
		c.fail("%v", err)
	}
}

// hangs reports whether a device may hang or be late.
func (c *chaos) hangs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.history, func(line string) bool { return strings.HasPrefix(line, "fault ") && !strings.HasSuffix(line, " error") })
}

// checkInventory asserts that what was known of a disk that is there is known
// still.
func (c *chaos) checkInventory(inv boot.Inventory) {
	if strings.Contains(problems(inv), "defect in alpboot") {
		c.failLocked("%s", problems(inv))
	}
	shown := map[string]boot.Entry{} // by title
	for _, e := range inv.Entries {
		shown[e.Title] = e
	}
	for path, d := range c.disks {
		e, ok := shown[d.title]
		good := ok && e.Problem == "" && e.Volume.Device == path && !e.Guessed
		if d.healthy && d.shown && !good {
			c.failLocked("%q of %s was shown, and is not any more: %q, %q, %+v", d.title, path, titles(inv), problems(inv), e)
		}
		d.shown = d.shown || d.healthy && good
	}
	for path, d := range c.disks {
		both := false
		for _, o := range c.disks {
			both = both || d.pointer != "" && o.title == d.of && o.healthy && d.healthy
		}
		good := both && slices.ContainsFunc(inv.Entries, func(e boot.Entry) bool { return e.Title == d.pointer && e.Problem == "" })
		if both && d.pointerShown && !good {
			c.failLocked("%q of %s was shown, and is not any more: %q, %q", d.pointer, path, titles(inv), problems(inv))
		}
		d.pointerShown = good
	}
}

// check asserts what must hold after each event.
func (c *chaos) check() {
	c.checkMachine()
	c.mu.Lock()
	inv, sc, number := c.last, c.sc, c.number
	c.mu.Unlock()
	for _, e := range inv.Entries {
		if e.Problem == "" {
			c.clients.Go(func() { c.checkOpens(sc, e, number) })
		}
	}
}

// checkMachine asserts that nothing was done to the machine that must not be.
func (c *chaos) checkMachine() {
	if err := c.m.Check(); err != nil && !c.overlapping(err) {
		c.fail("%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := slices.Clone(c.asked)
	for _, path := range c.m.Written() {
		i := slices.Index(asked, path)
		if i < 0 {
			c.failLocked("%s was written to, and nobody asked for it", path)
			return
		}
		asked = slices.Delete(asked, i, i+1)
	}
}

// overlapping reports whether err is what cannot be helped where a scan was left
// behind with a device that hangs: the next one makes devices of the same names,
// and tries to write where the first one has yet to unmount, which the kernel
// refuses.
func (c *chaos) overlapping(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for what := range strings.SplitSeq(err.Error(), "; ") {
		if !c.overlap || !strings.Contains(what, "was removed while") && !strings.HasSuffix(what, "was written to while it was mounted") {
			return false
		}
	}
	return true
}

// checkOpens asserts that the kernel of an entry that is offered can be read, or
// is not offered any more a second later, unless something else has happened since
// the event of that number. While a volume is written to and mounted again, that
// takes as long as it may.
func (c *chaos) checkOpens(sc *Scan, e boot.Entry, number int) {
	began := time.Now()
	err := read(sc, e)
	took := time.Since(began)
	if err == nil || c.unreadable(e.Volume) {
		return
	}
	time.Sleep(time.Second)
	c.mu.Lock()
	offered := slices.ContainsFunc(c.last.Entries, func(o boot.Entry) bool {
		return o.ID == e.ID && o.Volume == e.Volume && o.Problem == ""
	})
	c.mu.Unlock()
	again := read(sc, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.number != number:
	case took > 2*sc.scanner.Limit+time.Second:
		c.failLocked("%q on %s took %v to be opened: %v", e.Title, e.Volume.Device, took, err)
	case offered && again != nil:
		c.failLocked("%q on %s is offered, and cannot be opened: %v, and a second later %v", e.Title, e.Volume.Device, err, again)
	}
}

// unreadable reports whether a volume cannot be read, whatever the scan does.
func (c *chaos) unreadable(v boot.Volume) bool {
	n, _ := strings.CutPrefix(v.UUID, "in-") // of what is in an image file, the scan has a name of its own
	return c.m.Faulty(v.Device, hardware.Read) || c.m.Faulty("/dev/loop"+n, hardware.Read)
}

// read reads the kernel of an entry.
func read(sc *Scan, e boot.Entry) error {
	f, err := sc.Open(e.Volume, e.Kernel)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadAll(f)
	return err
}

// calm waits as long as anything can take, and asserts that the inventory settles
// and all that is offered can be opened.
func (c *chaos) calm() {
	if c.sc == nil {
		return
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	c.mu.Lock()
	inv := c.last
	c.mu.Unlock()
	if !inv.Settled {
		c.fail("it does not settle: %+v", inv.Volumes)
	}
	for _, v := range inv.Volumes {
		if v.Busy && inv.Settled {
			c.fail("it has settled, and %s has not", v.Volume.Device)
		}
	}
	for _, e := range inv.Entries {
		if e.Problem != "" || c.unreadable(e.Volume) {
			continue
		}
		if err := read(c.sc, e); err != nil {
			c.fail("%q on %s is offered, and cannot be opened: %v", e.Title, e.Volume.Device, err)
		}
	}
	// Who opens a file gets an answer, also of a volume that hangs.
	for _, v := range inv.Volumes {
		if c.unreadable(v.Volume) {
			continue
		}
		began := time.Now()
		f, err := c.sc.Open(v.Volume, "nothing")
		if err == nil {
			f.Close()
		}
		if took := time.Since(began); took > c.sc.scanner.Limit || errors.Is(err, fs.ErrClosed) {
			c.fail("a file of %s was answered after %v: %v", v.Volume.Device, took, err)
		}
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

// device makes a device of some kind: see randomEvents.
func (c *chaos) device(path string, what []string) hardware.Device {
	kind, n, of := what[0], what[1], what[2]
	inside := func(path string) *hardware.Device {
		d := alpine(path, "in-"+n, "in"+n)
		return &d
	}
	d := alpine(path, "u-"+n, "f"+n)
	known := &disk{title: "Linux f" + n, healthy: true}
	switch kind {
	case "pointer": // names a kernel of another disk
		files(d)["boot/grub/grub.cfg"] = text(fmt.Sprintf("menuentry Pointer%s {\nsearch --fs-uuid --set=root u-%s\nlinux /boot/vmlinuz-f%s pointed\n}\n"+
			"menuentry Nowhere%s {\nsearch --fs-uuid --set=root nowhere\nlinux /vmlinuz\n}\n", n, of, of, n))
		known.pointer, known.of = "Pointer"+n, "Linux f"+of
	case "locked":
		d = locked(path, "crypt-"+n, *inside("/dev/mapper/luks-" + n))
		known.made, known.healthy = true, false
	case "image":
		files(d)["boot/alpine.iso"] = text("")
		d.Images = map[string]*hardware.Device{"boot/alpine.iso": inside("/dev/loop" + n)}
	case "mirror": // is a half of one
		role := 0
		if of == "1" {
			role = 1
		}
		d = mirrored(path, role, *inside("/dev/mapper/md-" + n))
		d.Member.RAID.UUID = "r-" + n
		known.made, known.healthy = true, false
	}
	d.Block.Removable = path >= "/dev/sde1"
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disks[path] = known
	return d
}
