package discover

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/format/iso"
)

// assembly is a device that is being made of volumes, or was.
type assembly struct {
	members []*volume
	image   string // name of an image file on the only member
	since   time.Time
	job     *job
	done    bool
	problem string // why it could not be made

	name      string  // of the mapping; "" for an image file
	removable bool    // one of the members is
	made      *volume // what came of it
}

// state is what the loop of a scan knows.
type state struct {
	*Scan
	ctx      context.Context
	vols     map[string]*volume // by the path of their block
	order    []*volume          // the same, as they came: whose turn it is
	listed   []string           // the paths that Devices lists, in its order
	made     []*volume          // those that were made, in the order in which they came
	listErrs []error
	mounts   int // how many volumes have been mounted

	memoryAt time.Time // when memory was last asked for
	noMemory bool      // there was too little then

	assemblies map[string]*assembly // by UUID of a mapping, or path of an image file
	givingWay  int                  // assemblies that are being removed for others
	complete   bool                 // the sets are as complete as they will be for now
	problems   map[string]string    // of members of sets, by node

	answers  chan answer
	running  int             // jobs that have yet to answer
	late     int             // those of them that have had their time
	removing map[string]bool // nodes of devices that are being removed, or written to although they are gone

	own    string            // the partition that alpboot was started from
	ownJob *job              // that finds it out; nil when it has, or has had its time
	ownBy  time.Time         // when it has
	ownAt  map[string]string // partitions with that UUID: the number of the medium, by path

	relistAt time.Time // when the devices are to be listed again; the zero Time for not
	quietAt  time.Time // from when on no event counts as recent
	quietBy  string    // why that is so
	askedAt  time.Time // when it was last asked what may still bring in a disk
	loading  bool      // drivers are still being loaded

	// The inventory that is offered to whoever listens.
	changed   bool // it is out of date
	inventory boot.Inventory
	out       chan<- boot.Inventory // nil once the inventory has been taken
	paceAt    time.Time             // not to be made again before, unless it has settled
	eventsErr error
}

// job is a goroutine that has yet to answer.
type job struct{ late bool } // it has had its time: Stop does not wait for it

// answer is how a job ends: the loop calls done.
type answer struct {
	job  *job
	done func()
}

// relistDelay lets a burst of events, as a disk with its partitions makes, end
// before the devices are listed again.
const relistDelay = 20 * time.Millisecond

// The least time between two inventories, but for the settled one: with hundreds
// of partitions, making one for each that answers would take longer than reading
// them. It is more where an inventory takes more than a tenth of it.
const (
	pace    = 50 * time.Millisecond
	maxPace = 500 * time.Millisecond
)

// run is the loop of a scan.
func (sc *Scan) run(ctx context.Context) {
	s := sc.scanner
	st := &state{
		Scan: sc, ctx: ctx, vols: map[string]*volume{}, assemblies: map[string]*assembly{}, ownAt: map[string]string{},
		answers: make(chan answer), removing: map[string]bool{},
		quietAt: time.Now(), loading: s.Ready != nil, changed: true,
	}
	defer st.shutDown()
	var events <-chan device.Event
	if s.Events != nil { // before listing, so that no device falls between the two
		events, st.eventsErr = s.Events(ctx)
		st.awaitQuiet()
	}
	st.findOwn()
	st.list()
	ready := s.Ready
	for {
		now := time.Now()
		if !st.relistAt.IsZero() && !now.Before(st.relistAt) {
			st.list()
		}
		p := next(st.situation(now))
		if st.carryOut(p) {
			continue // with what comes next then
		}
		wake, again := st.publish(p, now)
		if again {
			continue
		}
		var alarm <-chan time.Time
		if !wake.IsZero() {
			alarm = time.After(wake.Sub(now))
		}
		select {
		case <-ctx.Done():
			return
		case st.out <- st.inventory:
			st.out = nil
		case a := <-st.answers:
			st.take(a)
		case do := <-sc.calls:
			do(st)
		case <-ready:
			ready, st.loading = nil, false
			st.awaitQuiet()
		case ev, ok := <-events:
			if ok {
				st.event(ev)
			} else {
				events = nil
			}
		case <-alarm:
		}
	}
}

// do runs work in a goroutine of its own, and what it returns in the loop.
func (st *state) do(work func() (done func())) *job {
	st.running++
	j := &job{}
	go func() { st.answers <- answer{j, work()} }()
	return j
}

// take takes in an answer.
func (st *state) take(a answer) {
	st.running--
	if a.job.late {
		st.late--
	}
	a.done()
}

// expire notes that a job has had its time.
func (st *state) expire(j *job) {
	if !j.late {
		j.late = true
		st.late++
	}
}

// shutDown releases everything and waits for all jobs, of which it lets Stop know
// as soon as only those are left that have had their time.
func (st *state) shutDown() {
	for _, path := range st.listed {
		st.drop(st.vols[path])
	}
	close(st.inventories)
	stopped := st.stopped
	for {
		if st.running == st.late && stopped != nil {
			close(stopped)
			stopped = nil
		}
		if st.running == 0 {
			return
		}
		st.take(<-st.answers)
	}
}

// situation returns what decides what comes next.
func (st *state) situation(now time.Time) situation {
	s := situation{now: now, limit: st.scanner.Limit, processors: runtime.GOMAXPROCS(0), volumes: make([]task, len(st.order))}
	waiting, underWay := false, false
	for i, v := range st.order {
		s.volumes[i] = task{v.phase, v.since, v.parsed != nil, v.again, len(v.writes) > 0}
		waiting = waiting || v.phase == queued || v.phase == mounted
		underWay = underWay || v.phase == probing || v.phase == parsing
	}
	for _, a := range st.assemblies {
		if !a.done && a.problem == "" {
			s.assemblies = append(s.assemblies, a.since)
		}
	}
	s.noMemory = waiting && underWay && st.full(now)
	return s
}

// full reports whether the heap in use is too large to begin with another volume.
func (st *state) full(now time.Time) bool {
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

// carryOut does what comes next, and reports whether there was anything.
func (st *state) carryOut(p plan) bool {
	order := slices.Clone(st.order) // its places are those of the plan
	for _, i := range p.overdue {
		st.to(order[i], overdue)
		st.expire(order[i].job)
	}
	if p.unanswered {
		for _, a := range st.assemblies {
			if !a.done && a.problem == "" && !time.Now().Before(a.since.Add(st.scanner.Limit)) {
				a.problem = notAnswering(a.members[0].block.Path, st.scanner.Limit)
				st.changed = true
				st.expire(a.job)
			}
		}
	}
	for _, i := range p.again {
		st.to(order[i], mounted)
	}
	for _, i := range p.parse {
		st.parse(order[i])
	}
	for _, i := range p.probe {
		st.probe(order[i])
	}
	for _, i := range p.write { // at last, as this takes out what was made of them
		st.beginWrite(order[i])
	}
	return !p.idle()
}

// publish makes a new inventory when it is time to. It returns when to wake up
// if nothing happens before, or that something changed and is to be planned for.
func (st *state) publish(p plan, now time.Time) (wake time.Time, again bool) {
	wake = earlier(p.wake, st.relistAt)
	if asks, at := st.asksWhatComes(p, now); asks && st.nothingComes() {
		return wake, true
	} else if !at.IsZero() {
		wake = earlier(wake, at)
	}
	answered := !p.busy && !st.loading && st.relistAt.IsZero()
	if st.awaitsOwn(now) {
		answered, wake = false, earlier(wake, st.ownBy)
	}
	quiet := !now.Before(st.quietAt)
	if !quiet {
		wake = earlier(wake, st.quietAt)
	}
	if answered && quiet && !st.complete {
		// Nothing more comes: sets must do with the members that are there.
		st.complete, st.changed = true, true
		st.assemble()
		return wake, true
	}
	settled := answered && quiet
	switch {
	case st.changed && !answered && now.Before(st.paceAt):
		wake = earlier(wake, st.paceAt)
		if st.inventory.Settled {
			st.out = nil // it is closed
		}
	case st.changed || settled != st.inventory.Settled || answered != st.inventory.Answered:
		st.inventory = st.makeInventory()
		st.inventory.Answered = answered
		if st.inventory.Settled = settled; settled {
			st.inventory.SettledBy = st.quietBy
		}
		st.changed, st.out = false, st.inventories
		took := time.Since(now)
		st.paceAt = now.Add(took + min(max(pace, 10*took), maxPace))
	}
	return wake, false
}

// awaitQuiet has no inventory count as settled until nothing has come for a while.
func (st *state) awaitQuiet() {
	st.quietAt = time.Now().Add(st.scanner.Settle)
	st.quietBy = fmt.Sprintf("no device has come for %v", st.scanner.Settle)
}

// asksWhatComes reports whether what may still bring in a disk is to be asked now,
// else when, if ever: all else has settled by then.
func (st *state) asksWhatComes(p plan, now time.Time) (asks bool, at time.Time) {
	if st.scanner.Awaited == nil || p.busy || st.loading || !st.relistAt.IsZero() || !now.Before(st.quietAt) {
		return false, time.Time{}
	}
	if at = st.askedAt.Add(pace); now.Before(at) {
		return false, at
	}
	st.askedAt = now
	return true, now.Add(pace)
}

// nothingComes has nobody wait for quiet when nothing can bring in a disk any more. It
// reports whether that is so.
func (st *state) nothingComes() bool {
	if st.scanner.Awaited() != "" {
		return false
	}
	st.letGo("nothing can bring in another disk")
	return true
}

// letGo has nobody wait for quiet. One that has come since the devices were listed
// last is there by now, whether or not its event is.
func (st *state) letGo(why string) {
	st.list()
	st.quietAt, st.quietBy = time.Now(), why
}

// event takes in a uevent.
func (st *state) event(ev device.Event) {
	st.awaitQuiet()
	if ev.Subsystem != "block" && !ev.Lost {
		return
	}
	if st.relistAt.IsZero() {
		st.relistAt = time.Now().Add(relistDelay)
	}
	if v := st.vols["/dev/"+ev.DevName]; v != nil && ev.MediaChange {
		st.drop(v) // and scanned when it is listed again
	} else if v != nil && ev.EjectRequest && v.close == nil {
		st.eject(v)
	}
}

// findOwn finds out from which disk alpboot was started.
func (st *state) findOwn() {
	if st.scanner.Own == nil {
		return
	}
	st.ownBy = time.Now().Add(st.scanner.Limit)
	st.ownJob = st.do(func() func() {
		own := st.scanner.Own()
		return func() {
			st.own, st.ownJob = own, nil
			for _, v := range st.vols {
				st.meetOwn(v)
			}
		}
	})
}

// awaitsOwn reports whether that may still be found out.
func (st *state) awaitsOwn(now time.Time) bool {
	if st.ownJob != nil && !now.Before(st.ownBy) {
		st.expire(st.ownJob)
		st.ownJob = nil
	}
	return st.ownJob != nil
}

// meetOwn has the devices listed again when v turns out to be the partition that
// alpboot was started from.
func (st *state) meetOwn(v *volume) {
	if st.own != "" && strings.EqualFold(v.status.Volume.PartUUID, st.own) && !st.isOwn(v.block) {
		st.ownAt[v.block.Path] = v.block.Seq
		st.relistAt = time.Now()
	}
}

// isOwn reports whether b is known to have the UUID of that partition.
func (st *state) isOwn(b device.Block) bool {
	medium, ok := st.ownAt[b.Path]
	return ok && medium == b.Seq
}

// ownDisk returns the disk among blocks that alpboot was started from, when it is
// known to be that one: a copy of a disk that is built in is not.
func (st *state) ownDisk(blocks []device.Block) string {
	var found []device.Block
	for _, b := range blocks {
		if st.isOwn(b) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0].Disk
}

// list brings in the devices that are new, and takes out those that are gone or
// have changed.
func (st *state) list() {
	var blocks []device.Block
	blocks, st.listErrs = st.scanner.Machine.Devices()
	st.listed, st.relistAt, st.changed = nil, time.Time{}, true
	isListed, own := map[string]bool{}, st.ownDisk(blocks)
	for _, b := range blocks {
		if own != "" && (b.Path == own || b.Disk == own) {
			b.Removable = false
		}
		if slices.ContainsFunc(st.made, func(v *volume) bool { return v.node == b.Path || v.block.Path == b.Path }) {
			continue // we made it
		}
		old := st.vols[b.Path]
		if old != nil && old.block != b {
			st.drop(old)
			old = nil
		}
		if st.removing[b.Path] {
			continue // it is none yet
		}
		st.listed = append(st.listed, b.Path)
		isListed[b.Path] = true
		if old == nil {
			st.queue(newVolume(b, b.Path))
		}
	}
	for path, v := range st.vols {
		if v.close == nil && !isListed[path] {
			st.drop(v)
		}
	}
}

// queue has v scanned when it is its turn.
func (st *state) queue(v *volume) {
	st.vols[v.block.Path] = v
	st.order = append(st.order, v)
	st.complete, st.changed = false, true
}

// probe has a volume probed.
func (st *state) probe(v *volume) {
	st.to(v, probing)
	v.mount = &mount{done: make(chan struct{})}
	s, at, mount := st.scanner, v.target(), v.mount
	v.job = st.do(func() func() {
		found := probe(st.ctx, s, at)
		mount.view = found.view
		close(mount.done)
		return func() { st.takeProbed(v, found) }
	})
}

// takeProbed takes in what probing has found.
func (st *state) takeProbed(v *volume, found probed) {
	if v.phase == gone { // pulled out, or replaced by another
		return
	}
	rewritten := v.parsed != nil
	v.probed = found
	st.meetOwn(v)
	switch {
	case found.view != nil:
		st.to(v, mounted)
	case rewritten:
		why := found.status.Problem
		if why == "" {
			why = sentence("%s has no filesystem any more", v.block.Path)
		}
		v.status.Problem = "It was written to and cannot be mounted again; r scans again. " + why
		st.to(v, failed)
		st.lost(v)
		return
	case found.unusable:
		st.to(v, failed)
	default:
		st.to(v, ready)
	}
	if found.view != nil {
		st.mounts++
		for _, o := range st.order { // it may be the one that they name
			o.again = o.again || o.parsed != nil && o.parsed.unresolved
		}
		if rewritten {
			st.lost(v)
		}
	}
	if found.member != nil {
		st.assemble()
	}
	for _, name := range found.images {
		st.open(v, name)
	}
}

// lost has those volumes parsed again whose entries are on what v was.
func (st *state) lost(v *volume) {
	for _, o := range st.order {
		o.again = o.again || o != v && o.parsed != nil && slices.ContainsFunc(o.parsed.entries, func(e boot.Entry) bool {
			return e.Volume.Device == v.block.Path && !(v.usable() && e.Volume == v.status.Volume)
		})
	}
}

// parse has the formats read a volume.
func (st *state) parse(v *volume) {
	st.to(v, parsing)
	v.again = false
	all := make(boot.Volumes, 0, len(st.vols))
	seen := make(map[*volume]*view, len(st.vols))
	for _, o := range st.all() {
		if o.view != nil {
			all = append(all, o.mounted())
			seen[o] = o.view
		}
	}
	at, formats, mounts := v.mounted(), st.scanner.Formats, st.mounts
	if v.image != "" {
		formats = iso.Formats(iso.Image{Path: v.image, Outer: v.from[0].status.Volume, FS: at.FS}, formats)
	}
	v.job = st.do(func() func() {
		r := parse(formats, at, all)
		return func() {
			if v.phase == gone {
				return
			}
			st.to(v, ready)
			unmounted := false // meanwhile, one that may have been read
			for o, view := range seen {
				unmounted = unmounted || o.view != view
			}
			v.again = v.again || unmounted || r.unresolved && st.mounts != mounts
			if v.parsed == nil || !unmounted {
				v.parsed = &r
				st.fit(v)
			}
		}
	})
}

// assemble has the devices made that sets of volumes allow for by now.
func (st *state) assemble() {
	var members []assemble.Member
	byNode := map[string]*volume{}
	for _, v := range st.all() {
		if v.member != nil {
			m := *v.member
			m.Disk, m.Name, m.Removable = v.block.Disk, v.block.Path, v.status.Volume.Removable
			members = append(members, m)
			byNode[m.Path] = v
		}
	}
	if len(members) == 0 {
		return
	}
	mappings, problems := assemble.Plan(members, st.complete)
	st.problems = problems
	if st.giveWay(mappings) {
		return
	}
	for _, mapping := range mappings {
		if st.assemblies[mapping.UUID] != nil {
			continue
		}
		a := &assembly{name: mapping.Name, removable: mapping.Removable}
		for _, node := range mapping.Members {
			a.members = append(a.members, byNode[node])
		}
		st.make(mapping.UUID, a, func() (Made, error) { return st.scanner.Maker.Map(mapping) })
	}
}

// giveWay removes what was made of a stick, and has the UUID or name of what can
// be made of members that are built in by now. It reports whether there is or was
// such a device: those of mappings are to be made when it is gone.
func (st *state) giveWay(mappings []assemble.Mapping) bool {
	for key, a := range st.assemblies {
		if !a.removable || !a.done || !slices.ContainsFunc(mappings, func(m assemble.Mapping) bool {
			return !m.Removable && (m.UUID == key || m.Name == a.name && st.assemblies[m.UUID] == nil)
		}) {
			continue
		}
		delete(st.assemblies, key)
		a.members[0].assemblies = slices.DeleteFunc(a.members[0].assemblies, func(o *assembly) bool { return o == a })
		if a.made == nil {
			continue
		}
		vols := st.forget(a.made)
		st.givingWay++
		st.do(func() func() {
			closeAll(vols)
			return func() {
				st.removed(vols)
				st.givingWay--
				st.complete = false
				st.assemble()
			}
		})
	}
	return st.givingWay > 0
}

// open has the image file name on v made a device.
func (st *state) open(v *volume, name string) {
	at, path := v.view, v.status.Volume.ImageDevice(name)
	st.make(path, &assembly{members: []*volume{v}, image: name}, func() (Made, error) {
		if err := at.enter(); err != nil {
			return Made{}, err
		}
		defer at.leave()
		made, err := st.scanner.Maker.Image(at.FS.(Filesystem), name)
		made.Name = path
		return made, err
	})
}

func (st *state) make(key string, a *assembly, do func() (Made, error)) {
	a.since = time.Now()
	st.assemblies[key] = a
	a.members[0].assemblies = append(a.members[0].assemblies, a)
	a.job = st.do(func() func() {
		made, err := do()
		return func() {
			a.done, a.problem, st.changed = true, "", true
			path := a.members[0].block.Path
			switch {
			case err != nil && a.image != "":
				a.problem = sentence("%s: the image file /%s cannot be opened: %v", path, a.image, err)
			case err != nil:
				a.problem = sentence("%s: its set cannot be assembled: %v", path, err)
			case st.assemblies[key] != a || !st.add(made, a.image, a.members...):
				st.removeDevice(made)
			default:
				a.made = st.made[len(st.made)-1]
			}
		}
	})
}

// unlock unlocks the volume on a device.
func (st *state) unlock(ctx context.Context, path string, passphrase []byte, done chan<- error) {
	v := st.vols[path]
	if v == nil || !v.status.Locked || st.scanner.Maker == nil {
		done <- errGone
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(st.ctx, cancel)
	node := v.node
	st.do(func() func() {
		made, err := st.scanner.Maker.Unlock(ctx, node, passphrase)
		stop()
		cancel()
		return func() {
			if err == nil && !st.add(made, "", v) {
				st.removeDevice(made)
				err = errGone
			}
			if err == nil {
				// Who has unlocked it is not shown any more that it is locked.
				st.out, st.paceAt = nil, time.Time{}
			}
			done <- err
		}
	})
}

// add brings in a device that was made of members. It returns false when one of
// these is gone.
func (st *state) add(made Made, image string, members ...*volume) bool {
	if slices.ContainsFunc(members, func(v *volume) bool { return v.phase == gone }) {
		return false
	}
	first := members[0]
	b := device.Block{Name: made.Name, Path: made.Name, Disk: first.block.Disk, Size: made.Size}
	if b.Disk == "" {
		b.Disk = first.block.Path
	}
	if b.Path == "" {
		b.Path = made.Node
	}
	v := newVolume(b, made.Node, members...)
	v.close, v.image = made.Close, image
	// The kernel's event may have been faster, and have brought it in as any other device.
	for _, path := range []string{v.node, v.block.Path} {
		if other := st.vols[path]; other != nil {
			st.drop(other)
			st.listed = slices.DeleteFunc(st.listed, func(p string) bool { return p == path })
		}
	}
	st.made = append(st.made, v)
	st.queue(v)
	return true
}

// write has something written to the volume on a device when it is its turn.
func (st *state) write(path string, w *write) {
	v := st.vols[path]
	switch _, ok := st.scanner.Machine.(Writer); {
	case !ok:
		w.done <- fmt.Errorf("%s can only be read here", path)
	case v != nil && v.late():
		w.done <- fmt.Errorf("%s: %w", path, errSilent)
	case v == nil || !v.usable():
		w.done <- fmt.Errorf("%s: %w", path, errGone)
	case v.close != nil:
		w.done <- fmt.Errorf("%s is on other volumes, and these are only ever read", path)
	default:
		v.writes = append(v.writes, w)
	}
}

// beginWrite takes v and what was made of it out of use, writes to it, and has it
// probed again.
func (st *state) beginWrite(v *volume) {
	w := v.writes[0]
	v.writes = v.writes[1:]
	if err := w.ctx.Err(); err != nil {
		w.done <- fmt.Errorf("writing to %s: %w", v.block.Path, err)
		return
	}
	close(w.begun)
	st.to(v, writing)
	inside := append(st.forget(st.inside(v)...), closer{mount: v.mount})
	v.mount, v.view, v.written, v.current = nil, nil, make(chan struct{}), w
	st.disassemble(v)
	v.assemblies = nil // probing it makes them again
	s, at := st.scanner, v.target()
	finish := func(err error) {
		v.outcome, v.current = func() { w.done <- err }, nil
		if v.written == nil || v.phase == gone { // nobody waits for it to be mounted again: it was overdue
			v.writtenTo()
		}
		if v.phase == gone {
			delete(st.removing, v.node) // something else may be there
			st.relistAt = time.Now()
			return
		}
		st.probe(v)
	}
	v.job = st.do(func() func() {
		closeAll(inside)
		// Another medium may be there, and nobody asked to write to that.
		sb, err := s.Machine.Probe(at.node)
		if err == nil && sb.UUID != at.volume.UUID {
			err = fmt.Errorf("%s: %w", at.block.Path, errGone)
		}
		return func() {
			st.removed(inside)
			switch {
			case err != nil:
			case v.phase == gone:
				err = fmt.Errorf("%s: %w", at.block.Path, errGone)
			case v.phase == overdue:
				err = fmt.Errorf("%s: %w", at.block.Path, errSilent)
			}
			if err != nil {
				finish(err)
				return
			}
			v.job = st.do(func() func() {
				err := s.Machine.(Writer).Write(at.node, w.to)
				return func() { finish(err) }
			})
		}
	})
}

// disassemble forgets the devices that are made of v, or are going to be.
func (st *state) disassemble(v *volume) {
	for key, a := range st.assemblies {
		if slices.Contains(a.members, v) {
			delete(st.assemblies, key)
		}
	}
}

// all returns the volumes in the order in which they are shown: what was made of
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

// inside returns the volumes that were made of v.
func (st *state) inside(v *volume) (vols []*volume) {
	for _, child := range st.made {
		if slices.Contains(child.from, v) {
			vols = append(vols, child)
		}
	}
	return vols
}

// forget takes volumes out, and everything that was made of them. It returns how
// all of these are closed, in order.
func (st *state) forget(vols ...*volume) (out []closer) {
	for _, v := range vols {
		if v.phase == gone {
			continue
		}
		late := v.phase == overdue
		if v.current != nil {
			v.current.giveUp()
		}
		if v.close != nil || v.current != nil {
			st.removing[v.node] = true
		}
		st.to(v, gone)
		delete(st.vols, v.block.Path)
		out = append(out, st.forget(st.inside(v)...)...)
		is := func(o *volume) bool { return o == v }
		st.made, st.order = slices.DeleteFunc(st.made, is), slices.DeleteFunc(st.order, is)
		st.disassemble(v)
		st.lost(v)
		out = append(out, closer{v.node, v.mount, v.close, late})
	}
	return out
}

// drop takes a volume out without waiting: unmounting a disk that was pulled out
// may take long.
func (st *state) drop(v *volume) {
	if v == nil {
		return
	}
	vols := st.forget(v)
	st.complete = false
	j := st.do(func() func() {
		closeAll(vols)
		return func() { st.removed(vols) }
	})
	if slices.ContainsFunc(vols, func(c closer) bool { return c.late }) {
		st.expire(j)
	}
}

// eject unmounts a medium that somebody wants to take out.
func (st *state) eject(v *volume) {
	st.drop(v)
	kept := newVolume(v.block, v.node)
	kept.phase = failed
	kept.status.Problem = sentence("%s has been released, so that its medium can be taken out; r scans again", v.block.Path)
	st.vols[v.block.Path] = kept
}

func closeAll(vols []closer) {
	for _, c := range vols {
		c.close()
	}
}

// removed notes that volumes have been closed: a device of such a name is another
// one now.
func (st *state) removed(vols []closer) {
	for _, c := range vols {
		if c.remove != nil {
			delete(st.removing, c.node)
		}
	}
}

// removeDevice removes a device that nobody wants any more.
func (st *state) removeDevice(made Made) {
	st.removing[made.Node] = true
	st.do(func() func() { made.Close(); return func() { delete(st.removing, made.Node) } })
}
