package pointer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

// event is one of linux/input.h as bytes.
func event(kind, code uint16, value int32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint16(b[16:], kind)
	binary.NativeEndian.PutUint16(b[18:], code)
	binary.NativeEndian.PutUint32(b[20:], uint32(value))
	return b
}

// script is a device that says what is in it, in the pieces that it has.
type script struct {
	pieces chan []byte
	closed chan struct{}
	once   sync.Once
	broken bool
}

func (s *script) Read(b []byte) (int, error) {
	select {
	case p, ok := <-s.pieces:
		if !ok {
			return 0, io.EOF // it was unplugged
		}
		return copy(b, p), nil
	case <-s.closed:
		return 0, errors.New("closed")
	}
}

func (s *script) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

func (s *script) Axis(code uint16) (value, least, most int32, err error) {
	if s.broken {
		return 0, 0, 0, errors.New("not now")
	}
	return map[uint16]int32{X: 50, Y: -100}[code], map[uint16]int32{Y: -100}[code], 100, nil
}

func newScript(pieces ...[]byte) *script {
	s := &script{pieces: make(chan []byte, 16), closed: make(chan struct{})}
	for _, p := range pieces {
		s.pieces <- p
	}
	return s
}

// A tap is where the finger is when it comes down: what is not said of that is as it
// was. Events may come in pieces; other buttons and fingers mean nothing.
func TestRead(t *testing.T) {
	const sync, key, abs = 0, 1, 3
	report, down, up := event(sync, 0, 0), event(key, buttonTouch, 1), event(key, buttonTouch, 0)
	at := func(x, y int32) []byte { return append(event(abs, X, x), event(abs, Y, y)...) }
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	for _, tt := range []struct {
		name   string
		pieces [][]byte
		want   string
	}{
		{"a touch", [][]byte{join(at(10, 0), down, report, up, report)}, "0.1,0.5"},
		{"the place comes after the button", [][]byte{join(down, at(10, 0), report)}, "0.1,0.5"},
		{"where it was already", [][]byte{join(down, report)}, "0.5,0"},
		{"only one axis", [][]byte{join(event(abs, Y, 100), down, report)}, "0.5,1"},
		{"a finger that moves", [][]byte{join(at(0, -100), down, report, at(90, 90), report, up, report)}, "0,0"},
		{"two touches", [][]byte{join(at(0, -100), down, report, up, report, at(100, 100), down, report)}, "0,0 1,1"},
		{"a tablet's button", [][]byte{join(at(100, 100), event(key, buttonLeft, 1), report)}, "1,1"},
		{"another button", [][]byte{join(event(key, 0x111, 1), report)}, ""},
		{"other axes", [][]byte{join(event(abs, 0x35, 0), event(abs, 0x36, 0), down, report)}, "0.5,0"},
		{"beyond its ends", [][]byte{join(at(1000, -1000), down, report)}, "1,0"},
		{"in pieces", [][]byte{at(10, 0)[:7], at(10, 0)[7:30], at(10, 0)[30:], down, report[:23], report[23:]}, "0.1,0.5"},
		{"no report", [][]byte{down, up, report}, ""},
		{"events were lost", [][]byte{join(event(sync, 3, 0), down, report)}, "0.5,0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newScript(tt.pieces...)
			close(d.pieces)
			var got []string
			read(d, func(x, y float64) { got = append(got, fmt.Sprintf("%g,%g", x, y)) })
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("taps at %q, want %q", s, tt.want)
			}
		})
	}
}

// sysfs is that of a machine with a device of each kind, as event0 and so on.
func sysfs(files fstest.MapFS, n int, abs, key, props string) {
	dir := fmt.Sprintf("sys/devices/input%d/event%d", n+7, n)
	files[fmt.Sprintf("sys/class/input/event%d", n)] = boottest.Link("../../devices/" + strings.TrimPrefix(dir, "sys/devices/"))
	for name, text := range map[string]string{"capabilities/abs": abs, "capabilities/key": key, "properties": props} {
		files[dir+"/device/"+name] = boottest.File(text + "\n")
	}
}

const (
	absXY    = "3"
	keyTouch = "400 0 0 0 0 0"
	keyLeft  = "10000 0 0 0 0" // of a tablet
)

func TestUsable(t *testing.T) {
	for _, tt := range []struct {
		name, abs, key, props string
		want                  bool
	}{
		{"a touchscreen", "2608000 3", keyTouch, "2", true},
		{"a tablet", absXY, keyLeft, "0", true},
		{"a keyboard", "0", "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", "0", false},
		{"a mouse", "0", "70000 0 0 0 0", "0", false},
		{"a pad", absXY, "6420 10000 0 0 0 0", "1", false},
		{"a pad that does not say so", absXY, "420 10000 0 0 0 0", "0", false},
		{"a joystick", "3003f", "7cdb000000000000 0 0 0 0", "0", false},
		{"nothing is known", "", "", "", false},
		{"nonsense", "x", "400 y", "z", false},
	} {
		files := fstest.MapFS{}
		sysfs(files, 0, tt.abs, tt.key, tt.props)
		if got := usable(files, "sys/class/input/event0"); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// changing is a sysfs that changes while it is read.
type changing struct {
	mu    sync.Mutex
	files fstest.MapFS // never changed in place
}

func (c *changing) now() fstest.MapFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files
}

func (c *changing) change(do func(fstest.MapFS)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = maps.Clone(c.files)
	do(c.files)
}

func (c *changing) Open(name string) (fs.File, error)      { return c.now().Open(name) }
func (c *changing) ReadLink(name string) (string, error)   { return c.now().ReadLink(name) }
func (c *changing) Lstat(name string) (fs.FileInfo, error) { return c.now().Lstat(name) }

// Devices that come later are read, too, those that are gone are forgotten, and all
// are closed at the end. One that cannot be opened is tried again.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		files := fstest.MapFS{}
		root := &changing{files: files}
		sysfs(files, 0, absXY, keyTouch, "2")
		sysfs(files, 1, "0", keyLeft, "0")
		devices := map[string]*script{}
		opened := map[string]int{}
		busy := true
		var taps []string
		device := func(name string) *script {
			mu.Lock()
			defer mu.Unlock()
			return devices[name]
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		tapped := bytes.Join([][]byte{event(1, buttonTouch, 1), event(0, 0, 0)}, nil)
		go func() {
			defer close(ended)
			Follow(ctx, root, func(name string) (Device, error) {
				mu.Lock()
				defer mu.Unlock()
				opened[name]++
				if name == "event2" && busy {
					return nil, errors.New("busy")
				}
				devices[name] = newScript(tapped)
				return devices[name], nil
			}, func(x, y float64) {
				mu.Lock()
				defer mu.Unlock()
				taps = append(taps, fmt.Sprintf("%g,%g", x, y))
			})
		}()
		wait := func(d time.Duration, what string, wantTaps int, wantOpened string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(taps) != wantTaps || fmt.Sprint(opened) != wantOpened {
				t.Errorf("%s: taps at %q, want %d; opened %v, want %s", what, taps, wantTaps, opened, wantOpened)
			}
		}
		wait(10*time.Second, "one at the start", 1, "map[event0:1]")
		root.change(func(files fstest.MapFS) { sysfs(files, 2, absXY, keyTouch, "2") })
		wait(3*time.Second, "one that is busy", 1, "map[event0:1 event2:1]")
		mu.Lock()
		busy = false
		mu.Unlock()
		wait(10*time.Second, "and then not", 2, "map[event0:1 event2:2]")
		first := device("event0")
		close(first.pieces)
		root.change(func(files fstest.MapFS) { delete(files, "sys/class/input/event0") })
		wait(10*time.Second, "one is gone", 2, "map[event0:1 event2:2]")
		select {
		case <-first.closed:
		default:
			t.Error("what is gone was not closed")
		}
		root.change(func(files fstest.MapFS) { sysfs(files, 0, absXY, keyTouch, "2") })
		wait(10*time.Second, "it comes back", 3, "map[event0:2 event2:2]")
		cancel()
		<-ended
		for name, d := range devices {
			select {
			case <-d.closed:
			default:
				t.Errorf("%s was not closed", name)
			}
		}
	})
}

// Nothing that a device says makes it fail, or puts a finger off the screen.
func FuzzRead(f *testing.F) {
	f.Add(bytes.Join([][]byte{event(3, X, 5), event(1, buttonTouch, 1), event(0, 0, 0)}, nil), int32(0), int32(100))
	f.Add(event(1, buttonLeft, -1), int32(5), int32(-5))
	f.Fuzz(func(t *testing.T, b []byte, least, most int32) {
		var g finger
		for i := range g.axes {
			g.axes[i].least, g.axes[i].most = least, most
		}
		for ; len(b) >= eventSize; b = b[eventSize:] {
			if x, y, ok := g.event(b[:eventSize]); ok && !(x >= 0 && x <= 1 && y >= 0 && y <= 1) {
				t.Fatalf("a tap at %g,%g", x, y)
			}
		}
	})
}
