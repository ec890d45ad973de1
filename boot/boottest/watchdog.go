package boottest

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Watchdog is a watchdog in memory, a watchdog.Running.
type Watchdog struct {
	Longest     int  // seconds that it takes; 0: any
	Unstoppable bool // it cannot be stopped

	mu   sync.Mutex
	done []string
}

// Done returns what was done: "set SECONDS", "feed" and "stop".
func (w *Watchdog) Done() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.done)
}

func (w *Watchdog) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, what)
}

// SetTimeout sets the timeout.
func (w *Watchdog) SetTimeout(seconds int) (int, error) {
	if w.Longest > 0 && seconds > w.Longest {
		return 0, fmt.Errorf("setting it: %w", unix.EINVAL)
	}
	w.note(fmt.Sprintf("set %d", seconds))
	return seconds, nil
}

// Feed feeds it.
func (w *Watchdog) Feed() error {
	w.note("feed")
	return nil
}

// Stop stops it.
func (w *Watchdog) Stop() error {
	if w.Unstoppable {
		return fmt.Errorf("stopping it: %w", unix.EBUSY)
	}
	w.note("stop")
	return nil
}
