package main

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSlower(t *testing.T) {
	before := []Counted{{"a", map[string]int64{"init": 1000, "shown": 1000, "frame": 1000, "gone": 5}}}
	now := []Counted{
		{"a", map[string]int64{"init": 1050, "shown": 1051, "frame": 2000, "load": 9}},
		{"new", map[string]int64{"init": 9000}},
	}
	errs := slower(before, now)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "init to the consoles given back took 0.001 s") {
		t.Errorf("got %v", errs)
	}
}

// Of two counts of a step the lesser is compared: the host had a hand in the other.
func TestLeast(t *testing.T) {
	r := Report{Counted: []Counted{{"a", map[string]int64{"load": 700, "init": 10}}, {"b", map[string]int64{"load": 5}}}}
	r.least([]Counted{{"a", map[string]int64{"load": 650, "init": 11, "new": 1}}})
	want := []Counted{{"a", map[string]int64{"load": 650, "init": 10}}, {"b", map[string]int64{"load": 5}}}
	if !reflect.DeepEqual(r.Counted, want) {
		t.Errorf("got %v", r.Counted)
	}
}

// What a release has kept is compared with: a run that is as fast passes, one that is
// slower by more than a twentieth fails, and another QEMU counts otherwise.
func TestKeptIsCompared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "release.json")
	report := func(qemu string, us int64) Report {
		return Report{Machine: Machine{QEMU: qemu}, Counted: []Counted{{"alpboot, minimal", map[string]int64{"shown": us}}}}
	}
	var out strings.Builder
	if err := report("7.2", 1).compare(file, &out); err != nil || !strings.Contains(out.String(), "--keep") {
		t.Errorf("before anything is kept: %v, %q", err, out.String())
	}
	if err := report("7.2", 1000).keep(file); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		qemu string
		us   int64
		ok   bool
	}{{"7.2", 1000, true}, {"7.2", 1050, true}, {"7.2", 1060, false}, {"9.0", 2000, true}} {
		if err := report(tt.qemu, tt.us).compare(file, &out); (err == nil) != tt.ok {
			t.Errorf("QEMU %s, %d us: %v", tt.qemu, tt.us, err)
		}
	}
	// What is counted besides comes to it, and what was not counted this time stays.
	more := Report{Machine: Machine{QEMU: "7.2"}, Counted: []Counted{{"GRUB", map[string]int64{"menu": 5}}}}
	if err := more.keep(file); err != nil {
		t.Fatal(err)
	}
	if err := report("7.2", 1060).compare(file, &out); err == nil {
		t.Error("what was kept before is gone")
	}
	if !strings.Contains(out.String(), "not compared") {
		t.Errorf("it does not write that nothing was compared: %q", out.String())
	}
}
