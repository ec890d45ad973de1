package main

import (
	"strings"
	"testing"
)

func TestSlower(t *testing.T) {
	before := []Counted{{"a", map[string]int64{"init": 1000, "frame": 1000, "gone": 5}}}
	now := []Counted{
		{"a", map[string]int64{"init": 1050, "frame": 1051, "load": 9}},
		{"new", map[string]int64{"init": 9000}},
	}
	errs := slower(before, now)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "init to first frame took 0.001 s") {
		t.Errorf("got %v", errs)
	}
}
