package menu

import "time"

// countdown is when the default entry boots by itself. It knows the time only
// from ticks: a span begins at the first tick after its cause, so that it may
// last longer than asked for by one tick, but never less.
type countdown struct {
	now     time.Time // of the last tick
	held    bool      // a key was typed and it has not been quiet for long since
	quiet   time.Time // since when no key was typed; zero until the next tick
	rearmed bool      // it goes on again after a key

	on     bool
	id     string        // of the entry that is counted down for
	length time.Duration // of the whole
	since  time.Time     // zero until the next tick
}

// key stops the countdown until it has been quiet for long enough.
func (c *countdown) key() {
	c.stop()
	c.held, c.rearmed = true, false
	c.quiet = time.Time{}
}

func (c *countdown) stop() { c.on = false }

// tick takes the time; rearm is how long it must be quiet after a key.
func (c *countdown) tick(now time.Time, rearm time.Duration) {
	c.now = now
	if c.on && (c.since.IsZero() || now.Before(c.since)) {
		c.since = now
	}
	if !c.held {
		return
	}
	if c.quiet.IsZero() || now.Before(c.quiet) {
		c.quiet = now
	}
	if rearm > 0 && now.Sub(c.quiet) >= rearm {
		c.held, c.rearmed = false, true
	}
}

// run counts down for the entry id and reports whether the time is over. One that
// is not on already begins only when ready. After a key it lasts at least as
// long as least.
func (c *countdown) run(id string, length, least time.Duration, ready bool) bool {
	if c.held {
		return false
	}
	if c.rearmed {
		length = max(length, least)
	}
	if !c.on || c.id != id {
		if !ready {
			c.on = false
			return false
		}
		c.on, c.id, c.length, c.since = true, id, length, time.Time{}
	}
	return c.length == 0 || !c.since.IsZero() && c.now.Sub(c.since) >= c.length
}

// left returns the whole seconds that are left, and all of them.
func (c countdown) left() (left, all int) {
	up := func(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
	d := c.length
	if !c.since.IsZero() {
		d -= c.now.Sub(c.since)
	}
	return max(0, up(d)), max(1, up(c.length))
}
