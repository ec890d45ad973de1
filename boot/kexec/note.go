package kexec

import (
	"encoding/binary"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// setupNote is the type of struct setup_data that a note of ours has. Kernels pass over
// types that they do not know, and show them below setupDataDir.
const setupNote = 0x62706c61 // "alpb"

const setupDataDir = "sys/kernel/boot_params/setup_data"

const (
	noteHeader = 5 * 8 // when the target was entered, by the counter; two moments
	noteText   = 8 << 10
)

// moment is one by the processor's counter of time, and by the kernel's clock in
// nanoseconds.
type moment struct{ counter, clock uint64 }

// newNote returns what the target finds: room for the moment in which it is entered,
// two others which have the rate of the counter, and text.
func newNote(first, last moment, text string) []byte {
	b := make([]byte, 8, noteHeader+len(text))
	for _, v := range []uint64{first.counter, first.clock, last.counter, last.clock} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, text[:min(len(text), noteText)]...)
}

// Handed returns the text of the note that the menu has handed on to this system, and
// when it entered its kernel, by the clock of the menu's; 0 when that is not known.
func Handed(root fs.FS) (text string, entered time.Duration) {
	const limit = noteHeader + noteText       // more than a page, which sysfs has as the size of a type
	list, _ := fs.ReadDir(root, setupDataDir) // there is none where nothing was handed on
	for _, e := range list {
		dir := path.Join(setupDataDir, e.Name())
		kind, _ := boot.ReadFile(root, dir+"/type", limit)
		if n, err := strconv.ParseUint(strings.TrimSpace(string(kind)), 0, 32); err != nil || n != setupNote {
			continue
		}
		b, err := boot.ReadFile(root, dir+"/data", limit)
		if err != nil || len(b) < noteHeader {
			return "", 0
		}
		return string(b[noteHeader:]), enteredAt(b)
	}
	return "", 0
}

// enteredAt returns when the target was entered, from the header of a note.
func enteredAt(b []byte) time.Duration {
	const most = 10 * time.Minute // from the last moment
	var v [5]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	entered, first, last := v[0], moment{v[1], v[2]}, moment{v[3], v[4]}
	if first.counter >= last.counter || first.clock >= last.clock || entered < last.counter || last.clock > uint64(24*time.Hour*365) {
		return 0
	}
	rate := float64(last.clock-first.clock) / float64(last.counter-first.counter)
	if d := float64(entered-last.counter) * rate; d < float64(most) {
		return time.Duration(last.clock) + time.Duration(d)
	}
	return 0
}
