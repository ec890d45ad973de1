// Package console has what each console of the menu needs, whatever it shows
// and reads: one goroutine serves it, and nobody who wants something of it waits
// for longer than is said.
package console

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

// The errors of a Loop's orders.
var (
	ErrClosed = errors.New("the console is closed")
	ErrStuck  = errors.New("the terminal does not answer")
)

// patience is how long an order may take.
const patience = 2 * time.Second

// Loop stands between the callers of a console and the goroutine that serves it.
// The callers use Draw, Redraw, Err and Order, from any goroutine; the one that
// serves waits for Wake and Orders, and calls End when it returns.
type Loop struct {
	name   string
	wake   chan struct{}
	orders chan Order
	ended  chan struct{}

	mu    sync.Mutex
	model *menu.Model
	fresh bool
	err   error
}

// Order is something to be done between two drawings.
type Order struct {
	do   func() error
	done chan error
}

// NewLoop makes the loop of the console that is called name in errors.
func NewLoop(name string) *Loop {
	return &Loop{name: name, wake: make(chan struct{}, 1), orders: make(chan Order, 1), ended: make(chan struct{})}
}

// Draw leaves m to be shown. It never waits; of several models drawn faster than
// the console takes them, the last one is shown.
func (l *Loop) Draw(m menu.Model) {
	l.mu.Lock()
	l.model = &m
	l.mu.Unlock()
	l.Nudge()
}

// Redraw asks for all of the last model to be shown again. It never waits.
func (l *Loop) Redraw() {
	l.mu.Lock()
	l.fresh = true
	l.mu.Unlock()
	l.Nudge()
}

// Nudge makes Wake ready.
func (l *Loop) Nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Wake is ready when something may have to be drawn: what Take gives.
func (l *Loop) Wake() <-chan struct{} { return l.wake }

// Take gives the last model, and whether all of it is to be shown again. Before
// the first one it gives nil.
func (l *Loop) Take() (m *menu.Model, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.model == nil {
		return nil, false
	}
	fresh, l.fresh = l.fresh, false
	return l.model, fresh
}

// Waiting tells whether somebody waits for an order to be carried out.
func (l *Loop) Waiting() bool { return len(l.orders) > 0 }

// Orders gives what Do is to be called with.
func (l *Loop) Orders() <-chan Order { return l.orders }

// Do carries out an order, and tells whether to go on: not after that of Close.
func (l *Loop) Do(o Order) bool {
	if o.do == nil {
		return false
	}
	o.done <- o.do()
	return true
}

// Order has do done by the goroutine that serves the console, and gives its
// error. It waits two seconds at most: then stuck is called, unless it is nil,
// and the error is ErrStuck. After End it is ErrClosed.
func (l *Loop) Order(do func() error, stuck func()) error {
	o := Order{do, make(chan error, 1)}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case l.orders <- o:
	case <-l.ended:
		return ErrClosed
	case <-timeout.C:
		return fmt.Errorf("%s: %w", l.name, ErrStuck)
	}
	select {
	case err := <-o.done:
		return err
	case <-l.ended:
		return ErrClosed
	case <-timeout.C:
		if stuck != nil {
			stuck()
		}
		return fmt.Errorf("%s: %w", l.name, ErrStuck)
	}
}

// Close ends the loop as Order would have something done. It may be called more
// than once.
func (l *Loop) Close(stuck func()) error {
	if err := l.Order(nil, stuck); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// End says that nothing is served any more, for the reason err.
func (l *Loop) End(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	close(l.ended)
}

// Ended is closed by End.
func (l *Loop) Ended() <-chan struct{} { return l.ended }

// Err is what End was called with.
func (l *Loop) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
