package console

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

func named(version string) menu.Model { return menu.New(menu.Config{Version: version}) }

// Of several models drawn in a row the last one is taken, and what is to be shown
// anew is reported once, not before there is a model.
func TestTake(t *testing.T) {
	l := NewServer("tty1")
	l.Loop().Redraw()
	if m, fresh := l.Take(); m != nil || fresh {
		t.Errorf("before any model: %v, fresh %v", m, fresh)
	}
	for _, v := range []string{"first", "second", "last"} {
		l.Loop().Draw(named(v))
	}
	<-l.Wake()
	m, fresh := l.Take()
	if m == nil || !fresh || !strings.Contains(m.View(menu.Size{W: 80, H: 24}, menu.ASCII).String(), "last") {
		t.Errorf("not the last model, or not fresh: %v, %v", m, fresh)
	}
	select {
	case <-l.Wake():
		t.Error("woken again for nothing")
	default:
	}
	if again, fresh := l.Take(); again != m || fresh {
		t.Errorf("the second time: another model, or fresh %v", fresh)
	}
}

// Orders are carried out one after the other, until Close; and all is over then.
func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewServer("tty1")
		go func() {
			for l.Do(<-l.Orders()) {
			}
			l.End(io.ErrUnexpectedEOF)
		}()
		if err := l.Order(func() error { return io.ErrShortWrite }, nil); err != io.ErrShortWrite {
			t.Errorf("an order returns %v", err)
		}
		for range 2 {
			if err := l.Close(nil); err != nil {
				t.Errorf("Close returns %v", err)
			}
		}
		<-l.ended
		if err := l.Order(func() error { return nil }, nil); err != ErrClosed || !errors.Is(l.Loop().Err(), io.ErrUnexpectedEOF) {
			t.Errorf("after the end an order returns %v, and the reason is %v", err, l.Loop().Err())
		}
	})
}

// Who wants something of a console that does not answer gets an error after two
// seconds, whether the order was begun or not.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewServer("ttyS0")
		hangs, stopped := make(chan struct{}), false
		go func() {
			l.Do(<-l.Orders())
			l.End(nil)
		}()
		start := time.Now()
		err := l.Order(func() error { <-hangs; return nil }, func() { stopped = true; close(hangs) })
		if !errors.Is(err, ErrStuck) || !strings.HasPrefix(err.Error(), "ttyS0: ") || !stopped || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v, stopped %v", err, time.Since(start), stopped)
		}
		<-l.ended

		l = NewServer("ttyS0")
		for range 2 { // the second one finds the place of the first one taken
			if err := l.Close(nil); !errors.Is(err, ErrStuck) {
				t.Errorf("Close returns %v", err)
			}
		}
	})
}
