package discover

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/format/iso"
)

// volume is a device as the scan knows it.
type volume struct {
	block device.Block // Path is what a user calls it
	node  string       // what the machine calls it

	// Of a device that was made: how it is taken apart, what it was made of, and
	// for an image file its name on the filesystem of that.
	close func() error
	from  []*volume
	image string

	since   time.Time // when what is being done with it began; the zero Time in the queue
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

// result is what a goroutine comes back with: found or read for the volume vol,
// which tells whether the device is still the one that was looked at, or what
// has become of a making.
type result struct {
	vol   *volume
	found *found
	read  *read

	making *making
	made   Made
	err    error
}

// making is a device that is being made, or was.
type making struct {
	members []*volume
	image   string // name of an image file on the only member
	since   time.Time
	done    bool
	problem string // why it could not be made
}

// state is what the goroutine of a scan knows.
type state struct {
	*Scan
	vols     map[string]*volume // by the path of their block
	listed   []string           // the paths that Devices lists, in its order
	made     []*volume          // those that were made, in the order in which they came
	listErrs []error
	mounts   int  // how many volumes have been mounted
	news     bool // something has come or gone

	queue      []*volume        // those that are still to be looked at
	memoryAt   time.Time        // when memory was last asked for
	noMemory   bool             // there was too little then
	waiting    map[*volume]bool // those that have yet to answer, and some that have
	unread     []*volume        // those that have been mounted, for the formats to read or to read again
	unresolved map[*volume]bool // those that name others which were not there

	makings  map[string]*making // by UUID of a mapping, or path of an image file
	complete bool               // the sets are as complete as they will be for now
	problems map[string]string  // of members of sets, by node
}

// relistDelay lets a burst of events, as a disk with its partitions makes, end
// before the devices are listed again.
const relistDelay = 20 * time.Millisecond

// The least time between two inventories, but for the settled one: with hundreds
// of partitions, putting all of them together for each one that answers would
// take longer than looking at them. It is more where an inventory takes more
// than a tenth of it.
const (
	pace    = 50 * time.Millisecond
	maxPace = 500 * time.Millisecond
)

// How many volumes are looked at side by side, for each processor, and how long
// one counts as such: of many at once none would be the first to be shown, while
// one that does not answer shall hold back no other.
const (
	sideBySide = 4
	patience   = 100 * time.Millisecond
)

// What keeps many volumes that were made to use up memory, each within its
// limits, from doing so at once.
const (
	maxReading = 8        // volumes whose formats are read at once, however long they take
	maxHeap    = 64 << 20 // bytes of the heap in use for another volume to be begun beside others
)

// rereadDelay is how long a volume whose configuration names another one is left
// alone, while others are still being looked at that may be the one.
const rereadDelay = 500 * time.Millisecond

func (sc *Scan) run(ctx context.Context) {
	s := sc.scanner
	st := &state{
		Scan: sc, vols: map[string]*volume{}, makings: map[string]*making{},
		waiting: map[*volume]bool{}, unresolved: map[*volume]bool{},
	}
	defer func() {
		closeAll(st.remove(st.all()...))
		close(sc.stopped)
		close(sc.inventories)
	}()
	quietAt := time.Now()
	var events <-chan device.Event
	var eventsErr error
	if s.Events != nil { // before listing, so that no device falls between the two
		events, eventsErr = s.Events(ctx)
		quietAt = quietAt.Add(s.Settle)
	}
	st.list(ctx)

	var relistAt, paceAt time.Time
	ready := s.Ready
	changed := true
	var inv boot.Inventory
	var out chan<- boot.Inventory
	for {
		now := time.Now()
		st.begin(ctx, now)
		busy, next, late := st.busy(now)
		changed = changed || late
		due, again := st.reread(now, busy)
		if again {
			continue // to begin with them
		}
		next = sooner(next, due, now)
		quiet := ready == nil && relistAt.IsZero() && !now.Before(quietAt)
		if !busy && quiet && !st.complete {
			// Nothing more comes: sets must do with the members that are there.
			st.complete = true
			st.assemble(ctx)
			changed = true
			continue
		}
		settled := !busy && quiet
		switch {
		case changed && !settled && now.Before(paceAt):
			next = sooner(next, paceAt, now)
			if inv.Settled {
				out = nil // it is no more
			}
		case changed || settled != inv.Settled:
			inv = st.inventory()
			if eventsErr != nil {
				inv.Volumes = append(inv.Volumes, boot.VolumeStatus{Problem: sentence("Devices that are plugged in later are not noticed: %v", eventsErr)})
			}
			inv.Settled = settled
			changed, out = false, sc.inventories
			took := time.Since(now)
			paceAt = now.Add(took + min(max(pace, 10*took), maxPace))
		}
		next = sooner(next, sooner(quietAt, relistAt, now), now)
		if st.noMemory {
			next = sooner(next, st.memoryAt.Add(pace), now)
		}
		timer := time.NewTimer(max(0, next.Sub(now)))
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
			st.take(ctx, r)
			for more := true; more; { // all that have come meanwhile
				select {
				case r = <-sc.results:
					st.take(ctx, r)
				default:
					more = false
				}
			}
			changed = true
		case do := <-sc.calls:
			st.news = false
			do(st)
			changed = changed || st.news
		case <-ready:
			ready = nil
			quietAt = time.Now().Add(s.Settle)
		case ev, ok := <-events:
			if !ok {
				events = nil
				break
			}
			quietAt = time.Now().Add(s.Settle)
			if ev.Subsystem != "block" && !ev.Lost {
				break
			}
			if relistAt.IsZero() {
				relistAt = time.Now().Add(relistDelay)
			}
			if v := st.vols["/dev/"+ev.DevName]; v != nil && ev.MediaChange {
				st.drop(v) // and looked at anew when it is listed again
			} else if v != nil && ev.EjectRequest {
				st.release(v)
				changed = true
			}
		case <-timer.C:
		}
		timer.Stop()
		if !relistAt.IsZero() && !time.Now().Before(relistAt) {
			relistAt = time.Time{}
			st.list(ctx)
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

// busy tells whether anything has yet to answer, and when the next of those has
// had its time. What has had it is given up, late tells.
func (st *state) busy(now time.Time) (busy bool, next time.Time, late bool) {
	wait := func(since time.Time) (over bool) {
		due := since.Add(st.scanner.Limit)
		if !now.Before(due) {
			return true
		}
		busy, next = true, sooner(next, due, now)
		return false
	}
	for v := range st.waiting {
		if wait(v.since) {
			v.overdue, late = true, true
			delete(st.waiting, v)
		} else if len(st.queue)+len(st.unread) > 0 { // then it is one of those that hold them up, or was
			next = sooner(next, v.since.Add(patience), now)
		}
	}
	for _, m := range st.makings {
		if !m.done && m.problem == "" && wait(m.since) {
			m.problem, late = notAnswering(m.members[0].block.Path, st.scanner.Limit), true
		}
	}
	return busy || len(st.queue)+len(st.unread) > 0, next, late
}

// list brings in the devices that are new, and takes out those that are gone or
// have changed.
func (st *state) list(ctx context.Context) {
	var blocks []device.Block
	blocks, st.listErrs = st.scanner.Machine.Devices()
	st.listed = nil
	isListed := map[string]bool{}
	for _, b := range blocks {
		if slices.ContainsFunc(st.made, func(v *volume) bool { return v.node == b.Path || v.block.Path == b.Path }) {
			continue // we made it
		}
		st.listed = append(st.listed, b.Path)
		isListed[b.Path] = true
		if old := st.vols[b.Path]; old != nil && old.block == b {
			continue
		} else if old != nil {
			st.drop(old)
		}
		st.look(&volume{block: b, node: b.Path})
	}
	for path, v := range st.vols {
		if v.close == nil && !isListed[path] {
			st.drop(v)
		}
	}
}

// look has v looked at when it is its turn.
func (st *state) look(v *volume) {
	st.vols[v.block.Path] = v
	st.complete, st.news = false, true
	st.queue = append(st.queue, v)
}

// begin has the volumes read and looked at whose turn it is.
func (st *state) begin(ctx context.Context, now time.Time) {
	active, reading := 0, 0
	for v := range st.waiting {
		if st.vols[v.block.Path] != v || v.overdue || v.answered() && !v.parsing {
			delete(st.waiting, v)
			continue
		}
		if now.Before(v.since.Add(patience)) {
			active++
		}
		if v.parsing {
			reading++
		}
	}
	most := sideBySide * runtime.GOMAXPROCS(0)
	if n := min(len(st.unread), most-active, maxReading-reading); n > 0 && !st.full(now) {
		st.read(ctx, st.unread[:n]...)
		st.unread = st.unread[n:]
		active += n
	}
	for len(st.queue) > 0 && active < most && !st.full(now) {
		v := st.queue[0]
		st.queue = st.queue[1:]
		if st.vols[v.block.Path] != v {
			continue // it is gone again
		}
		active++
		v.since = now
		st.waiting[v] = true
		go func() {
			f := look(ctx, st.scanner, v)
			st.send(ctx, result{vol: v, found: &f}, f.close)
		}()
	}
}

// full tells whether the next volume must wait for memory: as long as others
// are being looked at.
func (st *state) full(now time.Time) bool {
	if len(st.waiting) == 0 {
		return false
	}
	if now.Before(st.memoryAt.Add(pace)) { // asking stops all goroutines
		return st.noMemory
	}
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc >= maxHeap {
		runtime.GC()
		runtime.ReadMemStats(&m)
	}
	st.memoryAt, st.noMemory = time.Now(), m.HeapAlloc >= maxHeap
	return st.noMemory
}

// send hands a result to run, or gives it back.
func (st *state) send(ctx context.Context, r result, giveBack func()) {
	select {
	case st.results <- r:
	case <-ctx.Done():
		giveBack()
	}
}

// take takes in what a goroutine has brought.
func (st *state) take(ctx context.Context, r result) {
	st.news = true
	switch v := r.vol; {
	case r.making != nil:
		st.takeMade(ctx, r)
		return
	case st.vols[v.block.Path] != v: // pulled out, or replaced by another
		if r.found != nil {
			r.found.close()
		}
	case r.found != nil:
		v.found = r.found
		if v.found.fsys != nil {
			st.mounts++
			if v.read == nil {
				st.unread = append(st.unread, v)
			}
		}
		if v.found.member != nil {
			st.assemble(ctx)
		}
		for _, name := range v.found.images {
			st.open(ctx, v, name)
		}
	default:
		v.read, v.parsing = r.read, false
		st.fit(v)
		delete(st.unresolved, v)
		if v.read.unresolved {
			st.unresolved[v] = true
		}
	}
	r.vol.overdue = r.vol.overdue && !r.vol.answered()
}

// reread has the formats read those volumes again whose configuration names a
// volume that was not there, if mounts have come since: when nothing else is
// being looked at, or when the last time was long ago. It tells whether there are
// any, and when it should be called for others.
func (st *state) reread(now time.Time, busy bool) (next time.Time, again bool) {
	for v := range st.unresolved {
		due := v.since.Add(rereadDelay)
		switch {
		case st.vols[v.block.Path] != v:
			delete(st.unresolved, v)
		case v.parsing || v.known == st.mounts || slices.Contains(st.unread, v):
		case busy && now.Before(due):
			next = sooner(next, due, now)
		default:
			st.unread, again = append(st.unread, v), true
		}
	}
	return next, again
}

// read has the formats read some volumes.
func (st *state) read(ctx context.Context, vols ...*volume) {
	if len(vols) == 0 {
		return
	}
	all := make(boot.Volumes, 0, len(st.vols))
	for _, v := range st.all() {
		if v.found != nil && v.found.fsys != nil {
			all = append(all, v.mounted())
		}
	}
	for _, v := range vols {
		if st.vols[v.block.Path] != v {
			continue // it is gone again
		}
		v.parsing, v.known, v.since = true, st.mounts, time.Now()
		st.waiting[v] = true
		at, formats := v.mounted(), st.scanner.Formats
		if v.image != "" {
			formats = iso.Formats(iso.Image{Path: v.image, Outer: v.from[0].found.status.Volume, FS: at.FS}, formats)
		}
		go func() {
			r := parse(formats, at, all)
			st.send(ctx, result{vol: v, read: &r}, func() {})
		}()
	}
}

// mounted gives v for the formats to read. It must have been mounted.
func (v *volume) mounted() boot.MountedVolume {
	return boot.MountedVolume{Volume: v.found.status.Volume, FS: v.found.view}
}

// assemble has the devices made that sets of volumes allow for by now.
func (st *state) assemble(ctx context.Context) {
	var members []assemble.Member
	byNode := map[string]*volume{}
	for _, v := range st.all() {
		if v.found != nil && v.found.member != nil {
			m := *v.found.member
			m.Disk = v.block.Disk
			members = append(members, m)
			byNode[v.found.member.Path] = v
		}
	}
	if len(members) == 0 {
		return
	}
	mappings, problems := assemble.Plan(members, st.complete)
	st.problems = problems
	for _, mapping := range mappings {
		if st.makings[mapping.UUID] != nil {
			continue
		}
		m := &making{}
		for _, node := range mapping.Members {
			m.members = append(m.members, byNode[node])
		}
		st.make(ctx, mapping.UUID, m, func() (Made, error) { return st.scanner.Maker.Map(mapping) })
	}
}

// open has the image file name on v made a device.
func (st *state) open(ctx context.Context, v *volume, name string) {
	fsys := v.found.fsys
	path := v.found.status.Volume.ImageDevice(name)
	st.make(ctx, path, &making{members: []*volume{v}, image: name}, func() (Made, error) {
		made, err := st.scanner.Maker.Image(fsys, name)
		made.Name = path
		return made, err
	})
}

func (st *state) make(ctx context.Context, key string, m *making, do func() (Made, error)) {
	m.since = time.Now()
	st.makings[key] = m
	go func() {
		made, err := do()
		st.send(ctx, result{making: m, made: made, err: err}, func() {
			if err == nil {
				made.Close()
			}
		})
	}()
}

// takeMade takes in a device that was made.
func (st *state) takeMade(ctx context.Context, r result) {
	m := r.making
	m.done, m.problem = true, ""
	switch {
	case r.err != nil && m.image != "":
		m.problem = sentence("%s: the image file /%s cannot be opened: %v", m.members[0].block.Path, m.image, r.err)
	case r.err != nil:
		m.problem = sentence("%s: its set cannot be put together: %v", m.members[0].block.Path, r.err)
	case !st.add(ctx, r.made, m, m.members...):
		go r.made.Close()
	}
}

// add brings in a device that was made of members. It is false when one of these
// is gone.
func (st *state) add(ctx context.Context, made Made, m *making, members ...*volume) bool {
	for _, v := range members {
		if st.vols[v.block.Path] != v {
			return false
		}
	}
	first := members[0]
	disk := first.block.Disk
	if disk == "" {
		disk = first.block.Path
	}
	v := &volume{
		block: device.Block{Name: made.Name, Path: made.Name, Disk: disk, Size: made.Size, Removable: first.block.Removable},
		node:  made.Node,
		close: made.Close,
		from:  members,
	}
	if v.block.Path == "" {
		v.block.Path = made.Node
	}
	if m != nil {
		v.image = m.image
	}
	// The kernel's event may have been faster, and have brought it in as any other device.
	for _, path := range []string{v.node, v.block.Path} {
		if other := st.vols[path]; other != nil {
			st.drop(other)
			st.listed = slices.DeleteFunc(st.listed, func(p string) bool { return p == path })
		}
	}
	st.made = append(st.made, v)
	st.look(v)
	return true
}

// all gives the volumes in the order in which they are shown: what was made of
// a device follows it.
func (st *state) all() []*volume {
	list := make([]*volume, 0, len(st.vols))
	var add func(v *volume)
	add = func(v *volume) {
		list = append(list, v)
		for _, child := range st.made {
			if child.from[0] == v {
				add(child)
			}
		}
	}
	for _, path := range st.listed {
		if v := st.vols[path]; v != nil {
			add(v)
		}
	}
	return list
}

// remove forgets volumes and everything that was made of them. It gives all
// these in the order in which they are to be closed.
func (st *state) remove(vols ...*volume) []*volume {
	var gone []*volume
	for _, v := range vols {
		if st.vols[v.block.Path] != v {
			continue // with another one
		}
		delete(st.vols, v.block.Path)
		st.news = true
		for _, child := range slices.Clone(st.made) {
			if slices.Contains(child.from, v) {
				gone = append(gone, st.remove(child)...)
			}
		}
		st.made = slices.DeleteFunc(st.made, func(m *volume) bool { return m == v })
		for key, m := range st.makings {
			if slices.Contains(m.members, v) {
				delete(st.makings, key)
			}
		}
		gone = append(gone, v)
	}
	return gone
}

// drop forgets a volume without waiting: unmounting a disk that was pulled out
// may take long.
func (st *state) drop(v *volume) {
	gone := st.remove(v)
	st.complete = false
	go closeAll(gone)
}

// release unmounts a medium that somebody wants to take out.
func (st *state) release(v *volume) {
	gone := st.remove(v)
	kept := &volume{block: v.block, node: v.node, found: &found{status: boot.VolumeStatus{Volume: volumeOf(v)}}}
	kept.found.status.Problem = sentence("%s has been let go of, so that its medium can be taken out; r looks again", v.block.Path)
	st.vols[v.block.Path] = kept
	go closeAll(gone)
}

// closeAll unmounts volumes, and takes apart those that were made.
func closeAll(vols []*volume) {
	for _, v := range vols {
		if v.found != nil {
			v.found.close()
		}
		if v.close != nil {
			v.close()
		}
	}
}
