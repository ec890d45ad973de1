package session

import (
	"context"
	"runtime"
	"slices"
	"syscall"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kexec"
)

// ahead is the reading of the default's files while nobody has chosen yet, so that
// they are in memory when they are loaded.
type ahead struct {
	id   string         // of the entry
	scan *discover.Scan // that it is read from
	stop context.CancelFunc
}

// end stops it. What has been read stays in memory until that is short.
func (a *ahead) end() {
	if a.stop != nil {
		a.stop()
	}
	a.stop = nil
}

// readAhead reads the files of the default as soon as no disk is being searched.
func (s *session) readAhead() {
	a, inv := &s.ahead, s.view.inventory
	if s.loader.job != nil || s.choice.ID == a.id && s.view.scan == a.scan {
		return
	}
	i := slices.IndexFunc(inv.Entries, func(e boot.Entry) bool { return e.ID == s.choice.ID && e.Problem == "" })
	if i < 0 || slices.ContainsFunc(inv.Volumes, func(v boot.VolumeStatus) bool { return v.Busy }) {
		return
	}
	a.end()
	ctx, stop := context.WithCancel(s.ctx)
	*a = ahead{s.choice.ID, s.view.scan, stop}
	e, scan, room := inv.Entries[i], s.view.scan, int64(kexec.Available(s.Root))
	s.wg.Go(func() {
		// It only takes what nobody else has a use for: on a single processor the list
		// would come a second later. The thread ends with this function.
		runtime.LockOSThread()
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowest)
		if n := readAhead(ctx, scan, e, room); n > 0 {
			s.log.Debug("read ahead of being chosen", "entry", e.ID, "bytes", n)
		}
	})
}

// lowest is the nice value of what may wait.
const lowest = 19

// What is read at once, and what is left free of memory.
const (
	aheadStep  = 128 << 10
	aheadSpare = 48 << 20
)

// readAhead reads the files of e, until ctx ends or room is used up: what is read will
// be copied when it is loaded. What cannot be read is reported then. It returns how
// many bytes were read.
func readAhead(ctx context.Context, scan *discover.Scan, e boot.Entry, room int64) (read int64) {
	var b []byte
	for _, name := range append([]string{e.Kernel}, e.Initrds...) {
		for off := int64(0); ctx.Err() == nil; {
			if room -= 2 * aheadStep; room < aheadSpare {
				return read
			}
			if b == nil {
				b = make([]byte, aheadStep)
			}
			n, err := scan.ReadAhead(e.Volume, name, b, off)
			off += int64(n)
			read += int64(n)
			if err != nil { // its end, mostly
				break
			}
		}
	}
	return read
}
