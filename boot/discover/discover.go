// Package discover finds what can be booted: it looks at every block device,
// reads its filesystem with every format it knows, and reports what it found as
// it goes on, with a reason for what it could not use.
//
// Every device is looked at in a goroutine of its own. One that is broken or
// never answers becomes a line that says so, and holds back no other.
package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/bare"
	"github.com/alpboot/alpboot/boot/format/bls"
	"github.com/alpboot/alpboot/boot/format/efivars"
	"github.com/alpboot/alpboot/boot/format/extlinux"
	"github.com/alpboot/alpboot/boot/format/grub"
	"github.com/alpboot/alpboot/boot/format/limine"
	"github.com/alpboot/alpboot/boot/format/refind"
	"github.com/alpboot/alpboot/boot/format/rpi"
	"github.com/alpboot/alpboot/boot/format/uki"
)

// Formats gives the formats that are looked for, the more trusted ones first.
// A new format is one folder under boot/format and one line here. The boot
// options of UEFI firmware are read from efiVars, the root of a mounted
// efivarfs; nil leaves them out.
func Formats(efiVars fs.FS) []boot.Format {
	return []boot.Format{
		firmware(efiVars),
		uki.Format(),
		bls.Format(),
		grub.Format(),
		limine.Format(),
		extlinux.Format(),
		refind.Format(),
		rpi.Format(),
		bare.Format(),
	}
}

// firmware makes the boot options of UEFI firmware a format of the volumes that
// they name.
func firmware(efiVars fs.FS) boot.Format {
	return boot.Format{Name: "efivars", Parse: func(fsys fs.FS, vol boot.Volume, _ boot.Volumes) (boot.Listing, error) {
		if efiVars == nil || vol.PartUUID == "" {
			return boot.Listing{}, nil
		}
		l, err := efivars.Parse(efiVars, boot.Volumes{{Volume: vol, FS: fsys}})
		var here boot.Listing // without the notes, which are about no volume
		for _, e := range l.Entries {
			if e.Volume == vol {
				here.Entries = append(here.Entries, e)
			}
		}
		return here, err
	}}
}

// Machine is what discovery needs of the machine; [System] is the real one.
type Machine interface {
	// Devices lists what there is to look at, in the order in which it shall be
	// shown. The errors tell about single devices that are left out.
	Devices() ([]device.Block, []error)
	// Probe reads the superblock of a device.
	Probe(path string) (superblock.Superblock, error)
	// Mount gives the filesystem of a device, read-only.
	Mount(ctx context.Context, path string, sb superblock.Superblock) (Filesystem, error)
}

// Filesystem is a mounted filesystem. Close unmounts it.
type Filesystem interface {
	fs.FS
	Close() error
}

// Scanner says how to look. Machine must be set.
type Scanner struct {
	Machine Machine
	Formats []boot.Format

	// Events gives the uevents of the running kernel, which bring in devices
	// that appear and take out those that go: [device.Events]. Nil when the
	// devices that are there at the start are all there will be.
	Events func(context.Context) (<-chan device.Event, error)

	// Settle is how long no event must have come before an inventory counts as
	// settled. Without Events it does not matter.
	Settle time.Duration

	// Ready is closed when the drivers of all devices have been loaded: before
	// that no inventory counts as settled. Nil when nothing is to be loaded.
	Ready <-chan struct{}

	// Limit is how long one device may take until it is reported as not
	// answering. Should it answer later, that counts all the same.
	Limit time.Duration
}

// Scan is a search under way.
type Scan struct {
	scanner     *Scanner
	inventories chan boot.Inventory
	results     chan result
	opens       chan openRequest
	cancel      context.CancelFunc
	stopped     chan struct{}
	stopping    <-chan struct{}
}

// Start begins to look and goes on until ctx ends or [Scan.Stop] is called.
func (s *Scanner) Start(ctx context.Context) *Scan {
	ctx, cancel := context.WithCancel(ctx)
	sc := &Scan{
		scanner:     s,
		inventories: make(chan boot.Inventory),
		results:     make(chan result),
		opens:       make(chan openRequest),
		cancel:      cancel,
		stopped:     make(chan struct{}),
		stopping:    ctx.Done(),
	}
	go sc.run(ctx)
	return sc
}

// Inventories gives what is known each time that it changes. A slow reader
// misses what lies between two changes and never the last. It is closed when
// the scan ends.
func (sc *Scan) Inventories() <-chan boot.Inventory { return sc.inventories }

// stopLimit is how long Stop waits for filesystems to be unmounted.
const stopLimit = 5 * time.Second

// Stop ends the scan and unmounts everything. A filesystem that does not let go
// within five seconds is left behind.
func (sc *Scan) Stop() {
	sc.cancel()
	select {
	case <-sc.stopped:
	case <-time.After(stopLimit):
	}
}

// errGone is what Open gives for a volume that was pulled out.
var errGone = errors.New("the volume is gone")

type openRequest struct {
	device string
	answer chan<- fs.FS // gets nil when the volume is not mounted
}

// Open opens a file of a volume that the scan has mounted.
func (sc *Scan) Open(vol boot.Volume, name string) (fs.File, error) {
	answer := make(chan fs.FS, 1)
	select {
	case sc.opens <- openRequest{vol.Device, answer}:
	case <-sc.stopping:
		return nil, &fs.PathError{Op: "open", Path: vol.Device, Err: fs.ErrClosed}
	}
	fsys := <-answer
	if fsys == nil {
		return nil, &fs.PathError{Op: "open", Path: vol.Device, Err: errGone}
	}
	return fsys.Open(name)
}

// volume is a device as the scan knows it.
type volume struct {
	block   device.Block
	since   time.Time // when what is being done with it began
	overdue bool      // it has not answered within the limit
	found   *found    // nil until it was probed and mounted
	read    *read     // nil until the formats have read it
	parsing bool
	known   int // how many volumes had been mounted when the formats read it last
}

// answered tells whether all is known of v that it says by itself.
func (v *volume) answered() bool {
	return v.found != nil && (v.found.fsys == nil || v.read != nil)
}

// result is what a device's goroutine comes back with: one of found and read.
// vol tells whether the device is still the one that was looked at.
type result struct {
	vol   *volume
	found *found
	read  *read
}

// relistDelay lets a burst of events, as a disk with its partitions makes, end
// before the devices are listed again.
const relistDelay = 20 * time.Millisecond

func (sc *Scan) run(ctx context.Context) {
	s := sc.scanner
	vols := map[string]*volume{} // by path
	var order []string           // the paths as Devices lists them
	var listErrs []error
	mounts := 0 // how many volumes have been mounted
	defer func() {
		closeAll(vols)
		close(sc.stopped)
		close(sc.inventories)
	}()

	list := func() {
		var blocks []device.Block
		blocks, listErrs = s.Machine.Devices()
		order = nil
		for _, b := range blocks {
			order = append(order, b.Path)
			old := vols[b.Path]
			if old != nil && old.block == b {
				continue
			}
			drop(old)
			v := &volume{block: b, since: time.Now()}
			vols[b.Path] = v
			go sc.lookAt(ctx, v)
		}
		for path, v := range vols {
			if !slices.Contains(order, path) {
				drop(v)
				delete(vols, path)
			}
		}
	}
	quietAt := time.Now()
	var events <-chan device.Event
	var eventsErr error
	if s.Events != nil { // before listing, so that no device falls between the two
		events, eventsErr = s.Events(ctx)
		quietAt = quietAt.Add(s.Settle)
	}
	list()

	var relistAt time.Time
	ready := s.Ready
	changed := true
	var inv boot.Inventory
	var out chan<- boot.Inventory
	for {
		now := time.Now()
		busy := false
		next := quietAt // when something may change without an event
		for _, v := range vols {
			if v.answered() && !v.parsing || v.overdue {
				continue
			}
			if due := v.since.Add(s.Limit); now.Before(due) {
				busy = true
				next = sooner(next, due, now)
			} else {
				v.overdue, changed = true, true
			}
		}
		if settled := !busy && ready == nil && relistAt.IsZero() && !now.Before(quietAt); changed || settled != inv.Settled {
			inv = inventory(vols, order, listErrs, s.Limit)
			if eventsErr != nil {
				inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: sentence("Devices that are plugged in later are not noticed: %v", eventsErr)})
			}
			inv.Settled = settled
			changed, out = false, sc.inventories
		}
		timer := time.NewTimer(max(0, sooner(next, relistAt, now).Sub(now)))
		if !next.After(now) && relistAt.IsZero() {
			timer.Stop() // nothing to wait for but answers and events
		}

		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case out <- inv:
			out = nil
		case r := <-sc.results:
			switch v := r.vol; {
			case vols[v.block.Path] != v: // pulled out, or replaced by another
				if r.found != nil {
					r.found.close()
				}
			case r.found != nil:
				v.found = r.found
				if v.found.fsys != nil {
					mounts++
				}
			default:
				v.read, v.parsing = r.read, false
			}
			r.vol.overdue = r.vol.overdue && !r.vol.answered()
			changed = true
			sc.parse(ctx, vols, order, mounts)
		case <-ready:
			ready = nil
			quietAt = time.Now().Add(s.Settle)
		case ev, ok := <-events:
			if !ok {
				events = nil
				break
			}
			quietAt = time.Now().Add(s.Settle)
			if (ev.Subsystem == "block" || ev.Lost) && relistAt.IsZero() {
				relistAt = time.Now().Add(relistDelay)
			}
		case r := <-sc.opens:
			var fsys fs.FS
			if v := vols[r.device]; v != nil && v.found != nil && v.found.fsys != nil {
				fsys = v.found.fsys
			}
			r.answer <- fsys
		case <-timer.C:
		}
		timer.Stop()
		if !relistAt.IsZero() && !time.Now().Before(relistAt) {
			relistAt = time.Time{}
			list()
			changed = true
		}
	}
}

// sooner gives the sooner one of a and b that still lies ahead of now; a when
// neither does.
func sooner(a, b, now time.Time) time.Time {
	if b.After(now) && (!a.After(now) || b.Before(a)) {
		return b
	}
	return a
}

// drop lets go of a volume without waiting: unmounting a disk that was pulled
// out may take long.
func drop(v *volume) {
	if v != nil && v.found != nil {
		go v.found.close()
	}
}

func closeAll(vols map[string]*volume) {
	for _, v := range vols {
		if v.found != nil {
			v.found.close()
		}
	}
}

// lookAt finds out what there is on v and sends it to run.
func (sc *Scan) lookAt(ctx context.Context, v *volume) {
	f := look(ctx, sc.scanner, v.block)
	select {
	case sc.results <- result{vol: v, found: &f}:
	case <-ctx.Done():
		f.close()
	}
}

// parse has the formats read every volume that they have not read yet, and
// those again whose configuration names a volume that was not there: mounts
// have come since.
func (sc *Scan) parse(ctx context.Context, vols map[string]*volume, order []string, mounts int) {
	var all boot.Volumes
	for _, path := range order {
		if f := vols[path].found; f != nil && f.fsys != nil {
			all = append(all, boot.MountedVolume{Volume: f.status.Volume, FS: f.fsys})
		}
	}
	for _, at := range all {
		v := vols[at.Volume.Device]
		if v.parsing || v.read != nil && (!v.read.unresolved || v.known == mounts) {
			continue
		}
		v.parsing, v.known, v.since = true, mounts, time.Now()
		go func() {
			r := parse(sc.scanner.Formats, at, all)
			select {
			case sc.results <- result{vol: v, read: &r}:
			case <-ctx.Done():
			}
		}()
	}
}

// inventory puts together what is known of all volumes.
func inventory(vols map[string]*volume, order []string, listErrs []error, limit time.Duration) boot.Inventory {
	var inv boot.Inventory
	for _, err := range listErrs {
		inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: fmt.Sprintf("A device is left out: %v.", err)})
	}
	var shown []*volume
	for _, path := range order {
		v := vols[path]
		if v.found != nil && v.found.shownBy(vols[v.block.Disk]) {
			continue
		}
		shown = append(shown, v)
		st := boot.VolumeStatus{Volume: volumeOf(v.block), Busy: true}
		if v.found != nil {
			st = v.found.status
			st.Busy = !v.answered()
		}
		if v.read != nil {
			st.Problem = v.read.problem
			st.Notes = append(slices.Clone(st.Notes), v.read.notes...)
		}
		if v.overdue {
			st.Busy = false
			st.Problem = fmt.Sprintf("%s has not answered for %d seconds. Check its cable and power; r looks again.", path, int(limit.Seconds()))
		}
		inv.Volumes = append(inv.Volumes, st)
	}
	inv.Entries = entries(shown)
	return inv
}

// shownBy tells whether f is a partition that holds the very filesystem which
// its whole disk holds as well, as on a stick with a hybrid ISO image.
func (f *found) shownBy(disk *volume) bool {
	if disk == nil || disk.found == nil || disk.found.fsys == nil {
		return false
	}
	own, whole := f.status.Volume, disk.found.status.Volume
	return own.UUID != "" && own.UUID == whole.UUID && own.Type == whole.Type
}

// entries merges the entries of all volumes into the list that a user sees.
func entries(vols []*volume) []boot.Entry {
	var roots []bare.Root
	for _, v := range vols {
		if v.found != nil {
			roots = append(roots, v.found.roots...)
		}
	}
	seen := map[string]int{}
	var list []boot.Entry
	for _, v := range vols {
		if v.read == nil {
			continue
		}
		for _, e := range v.read.entries {
			if i := slices.IndexFunc(list, func(o boot.Entry) bool { return o.Format != e.Format && same(o, e) }); i >= 0 {
				list[i].Default = list[i].Default || e.Default
				continue
			}
			e = bare.Complete(e, roots)
			// Two entries alike to the hash are told apart by their order.
			seen[e.ID]++
			if n := seen[e.ID]; n > 1 {
				e.ID = fmt.Sprintf("%s-%d", e.ID, n)
			}
			list = append(list, e)
		}
	}
	// Entries of a configuration come first: what is guessed is second choice.
	slices.SortStableFunc(list, func(a, b boot.Entry) int {
		switch {
		case a.Guessed == b.Guessed:
			return 0
		case b.Guessed:
			return -1
		}
		return 1
	})
	return list
}

// same tells whether two entries boot the same kernel in the same way, as those
// of two configurations do of which one was made for another boot loader.
func same(a, b boot.Entry) bool {
	return a.Kernel != "" && a.Kernel == b.Kernel && a.Volume == b.Volume && slices.Equal(a.Initrds, b.Initrds) &&
		slices.Equal(strings.Fields(a.Cmdline), strings.Fields(b.Cmdline))
}

// sentence makes an error the end of a sentence: with one full stop.
func sentence(format string, args ...any) string {
	return strings.TrimRight(fmt.Sprintf(format, args...), ".\n ") + "."
}
