package term

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/menu"
)

// slow is a serial line of 9600 baud, eight bits, no parity and one stop bit,
// with a terminal at its end: a pseudo terminal of which so many bytes a second
// are read and no more. Only its other end knows how many bytes wait in it; a
// serial port has that itself.
type slow struct {
	*device
	master *os.File
	far    *fake // the terminal
}

const bytesASecond = 9600 / 10

func newSlow(t *testing.T, size menu.Size) *slow {
	t.Helper()
	master, dev := ptyPair(t, size)
	d, err := openDevice(dev, menu.Size{})
	if err != nil {
		t.Fatal(err)
	}
	l := &slow{d, master, newFake(size)}
	go l.carry()
	return l
}

// carry brings to the terminal what the line has had the time for.
func (l *slow) carry() {
	last, credit := time.Now(), 0.0 // before the first tick, however busy the machine is
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	b := make([]byte, 64)
	for now := range tick.C {
		credit = min(credit+now.Sub(last).Seconds()*bytesASecond, float64(len(b)))
		last = now
		if l.Pending() == 0 {
			credit = 0 // an idle line saves nothing up
			continue
		}
		n, err := l.master.Read(b[:int(credit)])
		if err != nil {
			return
		}
		credit -= float64(n)
		l.far.Write(b[:n])
	}
}

func (l *slow) Pending() int { return waitingIn(l.master) }

// TestSlowLine works with the menu over a line of 9600 baud, beside a console
// that is fast, as a user would.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	size := menu.Size{W: 80, H: 24}
	line := newSlow(t, size)
	serial, err := start("/dev/slow", line, true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(size)
	screen := open(t, f, false, Options{})

	// One model for both, as bootmenu has it.
	var mu sync.Mutex
	m := model()
	var taken []menu.KeyMsg
	drawn := make(chan struct{}, 1000) // once for each key that was taken
	show := func() { serial.Draw(m); screen.Draw(m) }
	go func() {
		for msg := range serial.Events() {
			k := msg.(menu.KeyMsg)
			mu.Lock()
			m = press(m, k)
			taken = append(taken, k)
			show()
			mu.Unlock()
			drawn <- struct{}{}
		}
	}()
	is := func(cs menu.Charset, l *fake) bool {
		mu.Lock()
		defer mu.Unlock()
		return l.text() == m.View(size, cs).String()
	}
	slowIs, fastIs := func() bool { return is(menu.ASCII, line.far) }, func() bool { return is(menu.UTF8, f) }
	until := func(what string, limit time.Duration, met func() bool) {
		t.Helper()
		begin := time.Now()
		for !met() {
			if time.Since(begin) > limit+10*time.Second {
				t.Fatalf("%s: not at all; the terminal shows\n%s", what, line.far.text())
			}
			time.Sleep(time.Millisecond)
		}
		took := time.Since(begin)
		t.Logf("%s: %.2f s", what, took.Seconds())
		if took > limit {
			t.Errorf("%s: took %v, want %v at most", what, took, limit)
		}
	}
	// typed sends keys at once and waits until all of them were taken.
	typed := func(keys string, n int) {
		t.Helper()
		mu.Lock()
		taken = nil
		mu.Unlock()
		line.master.Write([]byte(keys))
		until(fmt.Sprintf("%d keys are taken", n), 500*time.Millisecond, func() bool { return len(drawn) == n })
		for range n {
			<-drawn
		}
	}
	const down = "\x1b[B"

	mu.Lock()
	m = press(m, menu.KeyMsg{}) // no countdown
	show()
	mu.Unlock()
	until("the first screen on the fast console", 500*time.Millisecond, fastIs)
	if slowIs() {
		t.Fatal("the slow line has the screen already: it is not slow, so this test shows nothing")
	}
	until("the first screen", 3*time.Second, slowIs)
	t.Logf("  %d bytes", line.far.bytes())

	for range 2 {
		before := line.far.bytes()
		typed(down, 1)
		until("a cursor move", time.Second, slowIs)
		until("the line is quiet", time.Second, func() bool { return line.Pending() == 0 })
		if n := line.far.bytes() - before; n == 0 || n > 300 {
			t.Errorf("a cursor move takes %d bytes", n)
		} else {
			t.Logf("  %d bytes", n)
		}
	}

	// A screen full of text is on its way when more is typed.
	before := line.far.bytes()
	typed("?", 1)
	until("help on the fast console", 500*time.Millisecond, fastIs)
	until("help has begun", time.Second, func() bool { return line.far.bytes() > before+100 })
	typed("q"+down+down+"x"+down+"\x1b[A", 6)
	mu.Lock()
	got := ""
	for _, k := range taken {
		got += fmt.Sprint(k.Key, " ", string(k.Rune), ",")
	}
	mu.Unlock()
	if want := fmt.Sprintf("%[1]d q,%[2]d \x00,%[2]d \x00,%[1]d x,%[2]d \x00,%[3]d \x00,", menu.KeyRune, menu.KeyDown, menu.KeyUp); got != want {
		t.Errorf("the keys %q came, want %q", got, want)
	}
	until("all of that on the fast console", 500*time.Millisecond, fastIs)
	if slowIs() {
		t.Error("the slow line shows it already: nothing was under way, so this test shows nothing")
	}
	until("all of that", 4*time.Second, slowIs)
	t.Logf("  %d bytes", line.far.bytes()-before)

	// A key held down: the line drops screens and not keys.
	before = line.far.bytes()
	typed(strings.Repeat(down+"\x1b[A", 30)+down, 61)
	until("the end of 61 moves", time.Second, slowIs)
	t.Logf("  %d bytes", line.far.bytes()-before)
	if err := serial.Close(); err != nil {
		t.Error(err)
	}
}
