package qemutests

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// places are where machines run.
var places = newQueue(sideBySide())

// sideBySide is how many machines may run at once: one more than there are
// processors, since machines wait, for a countdown, a pause or a reset. With one,
// times can be compared.
func sideBySide() int {
	if os.Getenv("ALPBOOT_TEST_ALONE") != "" {
		return 1
	}
	return max(3, runtime.NumCPU()+1)
}

// long are the tests in which one start follows another, the longest first. They
// take their places before the others do, so that none of them is still at its
// beginning when all else is done.
var long = []string{
	"TestDebianGRUB",
	"TestDebianSystemdBoot",
	"TestPreviousKernelAfterABadUpgrade",
	"TestUnattendedExhausted",
	"TestUnattendedManyStarts",
	"TestUnattendedTries",
	"TestHowTo",
	"TestOpenRCInstallAndReboot",
	"TestInstallTry",
	"TestInstallBesideExtlinux",
	"TestPanicIsKept",
	"TestStartedAgainAndFirmwareSetup",
	"TestNextStartInEFIVariables",
	"TestBootCounters",
	"TestPayloadPrevious",
	"TestRememberedInAFile",
	"TestRememberedWithoutEFIVariables",
	"TestStickBesideASlowDisk",
}

// queue has a number of free places, and a line for each of the long tests and one
// for all others, the first of which is served first.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	free    int
	waiting []int // how many wait in each line
}

func newQueue(places int) *queue {
	q := &queue{free: places, waiting: make([]int, len(long)+1)}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// take waits for a place.
func (q *queue) take(test string) {
	line := lineOf(test)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[line]++
	for q.free == 0 || q.before(line) > 0 {
		q.changed.Wait()
	}
	q.waiting[line]--
	q.free--
	q.changed.Broadcast()
}

// before returns how many wait in the lines before one.
func (q *queue) before(line int) (n int) {
	for _, waiting := range q.waiting[:line] {
		n += waiting
	}
	return n
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.changed.Broadcast()
}

// lineOf returns the line in which a test waits.
func lineOf(test string) int {
	top, _, _ := strings.Cut(test, "/")
	for i, name := range long {
		if name == top {
			return i
		}
	}
	return len(long)
}

// takePlace waits until there is a place for a machine of the test, which it has
// until the test ends.
func takePlace(t *testing.T) {
	t.Helper()
	places.take(t.Name())
	t.Cleanup(places.leave)
}

// Of those that wait, the longest test is served first, whoever came before it.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.take("TestHidden")
		served := make(chan string, 4)
		for _, test := range []string{"TestHidden", "TestUnattendedTries/bad", "TestLayouts/ISO", long[0]} {
			go func() {
				q.take(test)
				served <- test
			}()
			synctest.Wait()
		}
		for _, want := range []string{long[0], "TestUnattendedTries/bad"} {
			q.leave()
			if got := <-served; got != want {
				t.Errorf("%s was served, want %s", got, want)
			}
		}
		q.leave()
		<-served
		q.leave()
		<-served
	})
}
