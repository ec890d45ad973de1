package kexec

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

// handed is a system that got a note: the counter had entered when its kernel was entered.
func handed(note []byte, entered uint64) fstest.MapFS {
	binary.LittleEndian.PutUint64(note, entered)
	return fstest.MapFS{
		setupDataDir + "/0/type": boottest.File("0x9\n"),
		setupDataDir + "/0/data": boottest.File("random"),
		setupDataDir + "/1/type": {Data: fmt.Appendf(nil, "%-4096s", "0x62706c61\n")}, // what sysfs has as its size
		setupDataDir + "/1/data": {Data: note},
	}
}

func TestHanded(t *testing.T) {
	const second = uint64(time.Second)
	first, last := moment{4_000_000, second}, moment{6_000_000, 2 * second} // 2 MHz
	for _, tt := range []struct {
		name        string
		first, last moment
		entered     uint64
		want        time.Duration
	}{
		{"half a second later", first, last, 7_000_000, 2500 * time.Millisecond},
		{"at once", first, last, 6_000_000, 2 * time.Second},
		{"before it was loaded: another counter", first, last, 5_000_000, 0},
		{"hours later: another counter", first, last, 1 << 40, 0},
		{"not noted", first, last, 0, 0},
		{"no counter", moment{0, 1}, moment{0, 2}, 0, 0},
		{"a clock that went back", last, first, 7_000_000, 0},
	} {
		text, entered := Handed(handed(newNote(tt.first, tt.last, "0 1 kernel\n"), tt.entered))
		if text != "0 1 kernel\n" || entered != tt.want {
			t.Errorf("%s: %q, %v", tt.name, text, entered)
		}
	}
	if text, _ := Handed(handed(newNote(first, last, strings.Repeat("x", 9000)), 0)); len(text) != noteText {
		t.Errorf("of a long text there are %d bytes", len(text))
	}
	if text, entered := Handed(fstest.MapFS{}); text != "" || entered != 0 {
		t.Errorf("without a note: %q, %v", text, entered)
	}
}

// What is loaded has the note that was asked for when the files were read, and nothing
// asks for one where the target could not find it.
func TestNoteIsHandedOn(t *testing.T) {
	needAMD64(t)
	for _, method := range []Method{Load, FileLoad} {
		k, asked := &fakeKernel{}, 0
		l := &Loader{Kernel: k, Method: method, Root: machineWith(nil), Note: func() string { asked++; return "0 1 kernel\n" }}
		if err := l.Load(context.Background(), Target{Kernel: file(t, "vmlinuz", testKernel(4096))}); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, s := range k.segments {
			found += strings.Count(string(s.Data), "0 1 kernel\n")
		}
		if want := map[Method]int{Load: 1}[method]; asked != want || found != want {
			t.Errorf("method %v: asked for %d times, found %d times", method, asked, found)
		}
	}
}

func FuzzHanded(f *testing.F) {
	f.Add(newNote(moment{1, 2}, moment{3, 4}, "text"))
	f.Add([]byte(strings.Repeat("\xff", noteHeader)))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, entered := Handed(fstest.MapFS{
			setupDataDir + "/0/type": boottest.File("0x62706c61\n"),
			setupDataDir + "/0/data": {Data: b},
		})
		if len(text) > noteText || entered < 0 {
			t.Errorf("%d bytes, %v", len(text), entered)
		}
	})
}
