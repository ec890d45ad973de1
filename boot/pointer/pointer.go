// Package pointer reads touchscreens, and other devices of the kernel's input layer
// that have a place on the screen, for machines without a keyboard. It takes nothing
// away from others that read them, and no key.
package pointer

import (
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Device is an open device. Its bytes are those of /dev/input/event*.
type Device interface {
	io.ReadCloser
	// Axis returns where the finger is on an axis, and the ends of that.
	Axis(code uint16) (value, least, most int32, err error)
}

// Axes of a [Device].
const (
	X = 0x00 // ABS_X
	Y = 0x01 // ABS_Y
)

// every is how often devices are looked for: one may be plugged in.
const every = 2 * time.Second

// Follow calls tap with each place that is tapped, from 0 at the left and at the top
// to 1, until ctx ends. By then all devices are closed. Those that can be used are
// found in sysfs, below root, and opened by name, such as event3.
func Follow(ctx context.Context, root fs.FS, open func(name string) (Device, error), tap func(x, y float64)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	known := map[string]bool{} // by where sysfs has them: each has a number of its own
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		names, _ := fs.Glob(root, "sys/class/input/event*")
		now := map[string]bool{}
		for _, dir := range names {
			id, _ := fs.ReadLink(root, dir)
			now[id] = true
			if known[id] || !usable(root, dir) {
				continue
			}
			d, err := open(path.Base(dir))
			if err != nil {
				delete(now, id) // once more, later
				continue
			}
			stop := context.AfterFunc(ctx, func() { d.Close() })
			wg.Go(func() {
				read(d, tap)
				if stop() {
					d.Close()
				}
			})
		}
		known = now
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Bits of what a device has: linux/input-event-codes.h.
const (
	propPointer = 0x00  // INPUT_PROP_POINTER: a pad that moves a cursor
	buttonLeft  = 0x110 // BTN_LEFT, of a tablet
	buttonTouch = 0x14a // BTN_TOUCH
	toolFinger  = 0x145 // BTN_TOOL_FINGER, of a pad
)

// usable reports whether the device with that directory in sysfs has places, and
// these on the screen.
func usable(root fs.FS, dir string) bool {
	has := func(file string, bit int) bool {
		b, _ := fs.ReadFile(root, path.Join(dir, "device", file))
		return hasBit(string(b), bit)
	}
	const abs, key = "capabilities/abs", "capabilities/key"
	return has(abs, X) && has(abs, Y) && (has(key, buttonTouch) || has(key, buttonLeft)) &&
		!has("properties", propPointer) && !has(key, toolFinger)
}

// hasBit reports whether a bitmap as sysfs writes it has a bit: words of 64 bits, the
// highest one first.
func hasBit(words string, bit int) bool {
	w := strings.Fields(words)
	i := len(w) - 1 - bit/64
	if i < 0 {
		return false
	}
	n, err := strconv.ParseUint(w[i], 16, 64)
	return err == nil && n>>(bit%64)&1 != 0
}

// read calls tap until the device is closed or gone.
func read(d Device, tap func(x, y float64)) {
	var f finger
	for axis := range f.axes {
		a := &f.axes[axis]
		var err error
		if a.value, a.least, a.most, err = d.Axis(uint16(axis)); err != nil {
			return
		}
	}
	var held []byte
	b := make([]byte, 64*eventSize)
	for {
		n, err := d.Read(b)
		held = append(held, b[:n]...)
		for ; len(held) >= eventSize; held = held[eventSize:] {
			if x, y, ok := f.event(held[:eventSize]); ok {
				tap(x, y)
			}
		}
		if err != nil {
			return
		}
	}
}

// eventSize is that of struct input_event where a long has 64 bits: two of them for
// the time, and then type, code and value.
const eventSize = 24

// finger is where a device was touched, as far as its events go.
type finger struct {
	axes [2]struct{ value, least, most int32 }
	down bool // since the last report
}

// event takes an event. It returns where a tap was that is complete with it.
func (f *finger) event(b []byte) (x, y float64, tapped bool) {
	const sync, key, abs = 0, 1, 3 // EV_SYN, EV_KEY, EV_ABS
	kind, code := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:])
	value := int32(binary.NativeEndian.Uint32(b[20:]))
	switch {
	case kind == abs && int(code) < len(f.axes):
		f.axes[code].value = value
	case kind == key && (code == buttonTouch || code == buttonLeft):
		f.down = value == 1
	case kind == sync && code == 0 && f.down: // SYN_REPORT: where it is has come, too
		f.down = false
		return f.at(X), f.at(Y), true
	}
	return 0, 0, false
}

// at returns where the finger is on an axis, from 0 to 1.
func (f *finger) at(axis int) float64 {
	a := f.axes[axis]
	if a.most <= a.least {
		return 0
	}
	return min(max((float64(a.value)-float64(a.least))/(float64(a.most)-float64(a.least)), 0), 1)
}

// ioctl returns the request that reads an axis: EVIOCGABS.
func ioctl(code uint16) uint { return 0x80184540 + uint(code) }

// parseAxis reads the answer: struct input_absinfo.
func parseAxis(b [24]byte) (value, least, most int32) {
	n := func(i int) int32 { return int32(binary.NativeEndian.Uint32(b[4*i:])) }
	return n(0), n(1), n(2)
}
