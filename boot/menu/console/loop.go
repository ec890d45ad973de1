// Package console has what each console of the menu needs, whatever it shows
// and reads: a terminal device, and a loop in which one goroutine serves the
// console while nobody who wants something of it waits for longer than a limit.
package console

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

// The errors of orders.
var (
	ErrClosed = errors.New("the console is closed")
	ErrStuck  = errors.New("the terminal does not answer")
)

// patience is how long an order may take.
const patience = 2 * time.Second

// Loop is what the callers of a console use, from any goroutine. Every console
// embeds one. Its other side is a [Server].
type Loop struct {
	name   string
	wake   chan struct{}
	orders chan Order
	ended  chan struct{}
	events chan menu.Msg

	mu    sync.Mutex
	model *menu.Model
	fresh bool
	err   error
}

// Draw leaves m to be shown. It never waits; of several models drawn faster than
// the console takes them, the last one is shown.
func (l *Loop) Draw(m menu.Model) {
	l.mu.Lock()
	l.model = &m
	l.mu.Unlock()
	(*Server)(l).Nudge()
}

// Redraw asks for all of the last model to be shown again, for when something
// else has written over it. It never waits.
func (l *Loop) Redraw() {
	l.mu.Lock()
	l.fresh = true
	l.mu.Unlock()
	(*Server)(l).Nudge()
}

// Events returns what is typed on the console. What is typed while nobody
// receives is kept, up to a number. It is closed when the console is closed or
// lost; see Err.
func (l *Loop) Events() <-chan menu.Msg { return l.events }

// Err is why Events was closed: nil after Close and at the end of the input.
func (l *Loop) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Server is the side of a [Loop] that the console itself uses. One goroutine
// serves: it waits for Wake and Orders, and calls End when it returns. The
// methods of the console that need it for something use Order and Close.
type Server Loop

// Order is something to be done between two drawings.
type Order struct {
	do   func() error
	done chan error
}

// NewServer returns the server of the console that is called name in errors.
func NewServer(name string) *Server {
	return &Server{
		name: name, wake: make(chan struct{}, 1), orders: make(chan Order, 1),
		ended: make(chan struct{}), events: make(chan menu.Msg, 256),
	}
}

// Loop is the side of the callers.
func (s *Server) Loop() *Loop { return (*Loop)(s) }

// Nudge makes Wake ready.
func (s *Server) Nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Wake is ready when something may have to be drawn: what Take returns.
func (s *Server) Wake() <-chan struct{} { return s.wake }

// Take returns the last model, and whether all of it is to be shown again. Before
// the first one it returns nil.
func (s *Server) Take() (m *menu.Model, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model == nil {
		return nil, false
	}
	fresh, s.fresh = s.fresh, false
	return s.model, fresh
}

// Post makes msg one of the events. What nobody receives for so long that there
// are too many is dropped.
func (s *Server) Post(msg menu.Msg) {
	select {
	case s.events <- msg:
	default:
	}
}

// Waiting reports whether somebody waits for an order to be carried out.
func (s *Server) Waiting() bool { return len(s.orders) > 0 }

// Orders returns what Do is to be called with.
func (s *Server) Orders() <-chan Order { return s.orders }

// Do carries out an order, and reports whether to go on: not after that of Close.
func (s *Server) Do(o Order) bool {
	if o.do == nil {
		return false
	}
	o.done <- o.do()
	return true
}

// Order has do done by the goroutine that serves the console, and returns its
// error. It waits two seconds at most: then stuck is called, unless it is nil,
// and the error is ErrStuck. After End it is ErrClosed.
func (s *Server) Order(do func() error, stuck func()) error {
	o := Order{do, make(chan error, 1)}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case s.orders <- o:
	case <-s.ended:
		return ErrClosed
	case <-timeout.C:
		return fmt.Errorf("%s: %w", s.name, ErrStuck)
	}
	select {
	case err := <-o.done:
		return err
	case <-s.ended:
		return ErrClosed
	case <-timeout.C:
		if stuck != nil {
			stuck()
		}
		return fmt.Errorf("%s: %w", s.name, ErrStuck)
	}
}

// Close ends the loop as Order would have something done. It may be called more
// than once.
func (s *Server) Close(stuck func()) error {
	if err := s.Order(nil, stuck); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// End closes the events: nothing is served any more, for the reason err.
func (s *Server) End(err error) {
	if err != nil {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.ended)
	close(s.events)
}
