package discover

import "time"

// How many volumes are probed and parsed side by side, for each processor, and
// how long one counts as such: of many at once none would be the first to be
// shown, while one that does not answer must hold back no other.
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

// rereadDelay is how long a volume that is to be parsed again, as its
// configuration names another one, is left alone while others have yet to answer
// that may be the one.
const rereadDelay = 500 * time.Millisecond

// situation is what decides what comes next.
type situation struct {
	now        time.Time
	limit      time.Duration // for one device to answer
	processors int
	noMemory   bool        // there is too little to begin with another volume beside others
	volumes    []task      // in the order in which they have their turn
	assemblies []time.Time // when those began that have yet to answer
}

// task is a volume in a situation.
type task struct {
	phase  phase
	since  time.Time
	parsed bool // it has been parsed before
	again  bool // it is to be parsed again
	writes bool // somebody waits to write to it
}

// plan is what comes next. Its numbers are places in the situation.
type plan struct {
	overdue    []int // volumes that have had their time
	unanswered bool  // an assembly has had its time
	again      []int // volumes that are ready and wait for their turn to be parsed again
	probe      []int
	parse      []int
	write      []int
	busy       bool      // something has yet to answer
	wake       time.Time // when to plan again if nothing happens before; the zero Time for never
}

// idle reports whether there is nothing to do but wait.
func (p *plan) idle() bool {
	return !p.unanswered && len(p.overdue)+len(p.again)+len(p.probe)+len(p.parse)+len(p.write) == 0
}

// next plans what comes next.
func next(s situation) (p plan) {
	active, reading, underWay, written := 0, 0, 0, false
	var impatient time.Time // when the next of those that are active counts no more
	wait := func(since time.Time) (over bool) {
		due := since.Add(s.limit)
		if !s.now.Before(due) {
			return true
		}
		p.busy, p.wake = true, earlier(p.wake, due)
		return false
	}
	for _, v := range s.volumes {
		written = written || v.phase == writing || v.phase == probing && v.parsed
	}
	waits := func(v task) bool { // for its turn; not for a write that may take its time
		return v.phase == queued || v.phase == mounted && !(v.parsed && written)
	}
	waiting := false
	for i, v := range s.volumes {
		switch {
		case waits(v):
			waiting, p.busy = true, true
		case v.phase == writing: // who wrote knows that it is busy
			if due := v.since.Add(s.limit); s.now.Before(due) {
				p.wake = earlier(p.wake, due)
			} else {
				p.overdue = append(p.overdue, i)
			}
		case v.phase != probing && v.phase != parsing:
		case wait(v.since):
			p.overdue = append(p.overdue, i)
		default:
			underWay++
			if v.phase == parsing {
				reading++
			}
			if until := v.since.Add(patience); s.now.Before(until) {
				active++
				impatient = earlier(impatient, until)
			}
		}
	}
	for _, since := range s.assemblies {
		if wait(since) {
			p.unanswered = true
		}
	}
	if waiting {
		p.wake = earlier(p.wake, impatient)
	}

	// Without the volume that is being written to, those that name it would lose
	// their entries.
	busy := p.busy
	for i, v := range s.volumes {
		due := v.since.Add(rereadDelay)
		switch {
		case v.phase != ready:
		case v.writes:
			p.write = append(p.write, i)
		case !v.again || written:
		case busy && s.now.Before(due):
			p.wake = earlier(p.wake, due)
		default:
			p.again, p.busy = append(p.again, i), true
		}
	}

	room := sideBySide*s.processors - active
	if s.noMemory && waiting {
		room = 0
		if underWay == 0 {
			room = 1
		}
		p.wake = earlier(p.wake, s.now.Add(pace))
	}
	for i, v := range s.volumes {
		if v.phase == mounted && waits(v) && room > 0 && reading < maxReading {
			p.parse = append(p.parse, i)
			room--
			reading++
		}
	}
	for i, v := range s.volumes {
		if v.phase == queued && room > 0 {
			p.probe = append(p.probe, i)
			room--
		}
	}
	return p
}

// earlier returns the earlier one of two times, of which the zero Time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
