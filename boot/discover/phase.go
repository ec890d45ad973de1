package discover

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// phase is where a volume is in its life. docs/architecture.md shows it as a
// table.
type phase uint8

const (
	queued  phase = iota // waits for its turn to be probed
	probing              // is probed, and mounted if it has a filesystem
	mounted              // waits for its turn to be parsed
	parsing              // is read by the formats
	ready                // all is known of it
	writing              // is unmounted and written to, to be probed again
	failed               // cannot be used: its status has the reason
	overdue              // has not answered within the limit, also for a write, and still may
	gone                 // is not there any more
)

func (p phase) String() string {
	return [...]string{"queued", "probing", "mounted", "parsing", "ready", "writing", "failed", "overdue", "gone"}[p]
}

// next returns the phases that may follow p. Each volume may go at any time.
func (p phase) next() []phase {
	switch p {
	case queued:
		return []phase{probing, gone}
	case probing:
		return []phase{mounted, ready, failed, overdue, gone} // ready where there is nothing to parse
	case mounted:
		return []phase{parsing, gone}
	case parsing:
		return []phase{ready, overdue, gone}
	case ready:
		return []phase{mounted, writing, gone} // mounted to be parsed again
	case writing:
		return []phase{probing, overdue, gone}
	case overdue:
		return []phase{mounted, ready, failed, probing, gone} // by an answer that comes late: probing after a write
	case failed:
		return []phase{gone}
	}
	return nil
}

// volume is a device as the scan knows it. Only the loop uses it: goroutines
// get copies of what they need.
type volume struct {
	block  device.Block // Path is what a user calls it
	node   string       // what the machine calls it
	phase  phase
	since  time.Time     // when the phase began
	began  time.Time     // when probing did, the first time
	took   time.Duration // from then on until it was read
	probed               // what probing found; until then, status has what is known before
	mount  *mount        // of its filesystem; nil until probing begins
	job    *job          // that probes or parses it, or did last
	parsed *parsed       // what the formats read last; nil until then
	again  bool          // they are to read it again
	writes []*write      // that wait for it to be ready

	// Until what was written to is mounted again: what ends when it is, or cannot
	// be, or is overdue, and the outcome for who asked.
	written chan struct{}
	outcome func()
	current *write // that is under way, for however long

	// Of a device that was made: how it is removed, what it was made of, and for
	// an image file its name on the filesystem of that.
	close func() error
	from  []*volume
	image string

	assemblies []*assembly // of which it is the first member
}

// write is what somebody wants to write to a volume.
type write struct {
	ctx   context.Context
	do    func(root *os.Root) error
	begun chan struct{} // closed when it is its turn
	done  chan error    // has room for the outcome
	state atomic.Int32  // notWritten, or what came first of the two others
}

const (
	notWritten int32 = iota
	mayBeWritten
	givenUp
)

// giveUp has do not be called any more. It returns false where it has been.
func (w *write) giveUp() bool {
	return w.state.CompareAndSwap(notWritten, givenUp) || w.state.Load() == givenUp
}

// to calls do with a root, unless that was given up.
func (w *write) to(root *os.Root) error {
	if !w.state.CompareAndSwap(notWritten, mayBeWritten) {
		return errGone
	}
	return w.do(root)
}

// mount is a filesystem that is mounted, or will be when done is closed.
type mount struct {
	done chan struct{}
	view *view // nil when there is none
}

// closer is how a volume is closed: it is unmounted, and removed if it was made.
type closer struct {
	node   string
	mount  *mount
	remove func() error // nil when it was not made
	late   bool         // it has not answered within the limit
}

// close closes a volume. It waits for an answer that is still to come.
func (c closer) close() {
	if c.mount != nil {
		if <-c.mount.done; c.mount.view != nil {
			c.mount.view.close()
		}
	}
	if c.remove != nil {
		c.remove()
	}
}

// newVolume returns a volume for a device that is made of others, if any.
func newVolume(b device.Block, node string, from ...*volume) *volume {
	vol := boot.Volume{Device: b.Path, Disk: b.Disk, Partition: b.Partition, PartUUID: b.PartUUID, PartLabel: b.PartLabel, Removable: b.Removable}
	for _, of := range from {
		vol.Removable = vol.Removable || of.status.Volume.Removable
		if outer := of.status.Volume; outer.Type == superblock.LUKS {
			vol.Crypt = outer.UUID
		} else if outer.Crypt != "" {
			vol.Crypt = outer.Crypt
		}
	}
	return &volume{block: b, node: node, from: from, probed: probed{status: boot.VolumeStatus{Volume: vol}}}
}

// to moves v to another phase. That it cannot go there is a defect of the scan,
// which costs the volume and not the menu.
func (st *state) to(v *volume, p phase) {
	if !slices.Contains(v.phase.next(), p) {
		v.status.Problem = defect(v.block.Path, fmt.Sprintf("%v after %v", p, v.phase))
		if v.phase == gone {
			return
		}
		p = failed
	}
	v.phase, v.since = p, time.Now()
	st.changed = true
	switch {
	case p == probing && v.began.IsZero():
		v.began = v.since
	case (p == ready || p == failed) && v.took == 0:
		v.took = v.since.Sub(v.began)
	}
	if p == overdue || p == failed || p == gone {
		reason := errGone
		if p == overdue {
			reason = errSilent
		}
		for _, w := range v.writes {
			w.done <- fmt.Errorf("%s: %w", v.block.Path, reason)
		}
		v.writes = nil
	}
	if v.written != nil && (v.outcome != nil && p != probing || p == overdue) {
		v.writtenTo()
	}
}

// writtenTo ends a write, for whoever waits.
func (v *volume) writtenTo() {
	if v.written != nil {
		close(v.written)
		v.written = nil
	}
	if v.outcome != nil {
		v.outcome()
		v.outcome = nil
	}
}

// busy reports whether v has yet to answer for the first time.
func (v *volume) busy() bool { return v.phase <= parsing && v.parsed == nil }

// late reports whether v has not answered within the limit, and may be of no use:
// also while it is probed again after a write that took longer than that.
func (v *volume) late() bool {
	return v.phase == overdue || v.phase == probing && v.parsed != nil && v.written == nil
}

// usable reports whether files of v can be opened, now or after a write.
func (v *volume) usable() bool { return v.phase != gone && (v.view != nil || v.written != nil) }

// target returns what of v probing needs.
func (v *volume) target() target {
	return target{v.node, v.block, v.status.Volume, v.image != ""}
}

// mounted returns v for the formats to read. It must have been mounted.
func (v *volume) mounted() boot.MountedVolume {
	return boot.MountedVolume{Volume: v.status.Volume, FS: v.view}
}
