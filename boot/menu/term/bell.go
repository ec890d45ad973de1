package term

import (
	"io"
	"time"
)

// bell beeps for a person who does not see the screen: as often as the number of
// the marked entry, when another one is marked.
type bell struct {
	number int // of the entry that it beeped for
	left   int
	timer  *time.Timer // of the next beep
}

// The first beep waits until a key that is held moves no more. The kernel's lasts an
// eighth of a second, and then there must be silence.
const (
	bellAfter = 400 * time.Millisecond
	bellEvery = 300 * time.Millisecond
)

func newBell() bell { return bell{timer: time.NewTimer(bellAfter)} }

// mark takes how often to beep for what is marked now, 0 for not at all.
func (b *bell) mark(n int) {
	if n != b.number {
		b.number, b.left = n, n
		b.timer.Reset(bellAfter)
	}
}

// ring beeps once, when timer has run out.
func (b *bell) ring(w io.Writer) {
	if b.left > 0 {
		b.left--
		w.Write([]byte("\a"))
		b.timer.Reset(bellEvery)
	}
}
