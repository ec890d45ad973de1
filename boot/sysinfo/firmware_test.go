package sysinfo

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
)

func TestBeforeKernel(t *testing.T) {
	const cpu = "processor\t: 0\ncpu MHz\t\t: 2000.000\n"
	for _, tt := range []struct {
		name    string
		cpuinfo string
		counter uint64
		running time.Duration
		want    time.Duration
	}{
		{"firmware", cpu, 10e9, 2 * time.Second, 3 * time.Second},
		{"no counter", cpu, 0, 2 * time.Second, 0},
		{"a counter that runs on", cpu, 1e16, 2 * time.Second, 0},
		{"another kernel before", cpu, 2e9, 2 * time.Second, 0},
		{"no frequency", "processor: 0\n", 10e9, 2 * time.Second, 0},
		{"no number", "cpu MHz: fast\n", 10e9, 2 * time.Second, 0},
		{"no such processor", "cpu MHz: 0.0001\n", 10e9, 2 * time.Second, 0},
	} {
		root := fstest.MapFS{"proc/cpuinfo": boottest.File(tt.cpuinfo)}
		if got := beforeKernel(root, tt.counter, tt.running); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	root := fstest.MapFS{"proc/cpuinfo": boottest.File(cpu)}
	if first, then := Counter(), Counter(); first != 0 && (then <= first || FirmwareTook(root, 0) < 0) {
		t.Errorf("the counter has %d and then %d", first, then)
	}
}
