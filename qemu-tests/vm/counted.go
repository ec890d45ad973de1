package vm

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/hinshun/vt10x"
)

//go:embed testdata/clock.c
var clockSource string

// BuildClock compiles what [Options.Clock] names to file.
func BuildClock(file string) error {
	cmd := exec.Command("cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", file, "-x", "c", "-", "-ldl")
	cmd.Stdin = strings.NewReader(clockSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling what reads QEMU's clock: %w\n%s", err, out)
	}
	return nil
}

// instruction is how long one takes in a counted machine, as a power of two in
// nanoseconds: that is how fast it runs here without counting.
const instruction = 3

// counted returns the arguments that have the time in a machine follow from what
// it does: an instruction takes 8 ns, and nothing passes while it waits for the
// host. What is random is the same each time.
func counted() []string {
	return []string{"-icount", fmt.Sprintf("shift=%d,sleep=off", instruction), "-rtc", "base=2026-01-01T00:00:00,clock=vm", "-seed", "1"}
}

// Moment is when a counted machine had written so many bytes to its first serial
// port.
type Moment struct {
	Bytes        int
	At           time.Duration // in the machine, since its start
	Instructions int64
}

const clockFile = "serial0.clock"

// Moments returns when each byte was written to the first serial port of a
// counted machine, which must have been stopped.
func (m *VM) Moments() ([]Moment, error) {
	b, err := os.ReadFile(filepath.Join(m.dir, clockFile))
	if err != nil {
		return nil, fmt.Errorf("this QEMU does not let its clock be read: %w", err)
	}
	var all []Moment
	for line := range strings.Lines(string(b)) {
		var t Moment
		if _, err := fmt.Sscan(line, &t.Bytes, &t.At, &t.Instructions); err != nil || !strings.HasSuffix(line, "\n") {
			break // the plug was pulled
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, errors.New("the machine has written nothing")
	}
	return all, nil
}

// When returns the moment when the byte at an offset of the log was written.
func When(moments []Moment, offset int) (Moment, bool) {
	i := sort.Search(len(moments), func(i int) bool { return moments[i].Bytes > offset })
	if i == len(moments) {
		return Moment{}, false
	}
	return moments[i], true
}

// Replay shows what a console has got so far once more on a new terminal, as it was
// written at each moment, and returns the first moment after the first from bytes at which ok
// reports true of the screen.
func (c *Console) Replay(moments []Moment, from int, ok func(Screen) bool) (Moment, bool) {
	log := []byte(c.Log())
	term := vt10x.New(vt10x.WithSize(Columns, Rows))
	at := 0
	for _, t := range moments {
		if t.Bytes > len(log) {
			break
		}
		term.Write(log[at:t.Bytes])
		at = t.Bytes
		if at > from && ok(snapshot(term)) {
			return t, true
		}
	}
	return Moment{}, false
}
