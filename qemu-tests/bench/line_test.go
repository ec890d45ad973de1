package main

import (
	"strings"
	"testing"
	"time"
)

// A line of 9600 baud takes a second for 960 bytes, whenever they were sent,
// and what changes nothing does not count as time.
func TestFarEnd(t *testing.T) {
	var f *farEnd
	f = newFarEnd(func(keys string) { f.feed([]byte(strings.Repeat("x", 480) + strings.Repeat("\x1b[m", 100))) })
	f.feed([]byte("menu"))
	l, err := f.measure(lineSubject{name: "fake", keys: []lineKey{{"move", "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	first, move := l.Steps["first"], l.Steps["move"]
	if first.Bytes != 4 || first.Settled > 100 {
		t.Errorf("the first screen took %+v", first)
	}
	if settled := time.Duration(move.Settled) * time.Millisecond; move.Bytes != 780 || settled < 480*time.Millisecond || settled > 800*time.Millisecond {
		t.Errorf("a key took %+v", move)
	}
	if _, err := newFarEnd(func(string) {}).settle(time.Now(), 0); err == nil {
		t.Error("a screen on which nothing happens has settled")
	}
}
