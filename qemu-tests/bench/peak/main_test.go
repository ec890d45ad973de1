package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Memory that others could have is not taken; that of a file in memory is.
func TestTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	text := "MemTotal:   1000 kB\nMemFree:     300 kB\nMemAvailable: 1 kB\nBuffers:      50 kB\nCached:      400 kB\nShmem:       100 kB\nSReclaimable:  20 kB\nKReclaimable: 999 kB\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := taken(f, make([]byte, 4096)); got != 1000-300-50-400-20+100 {
		t.Errorf("got %d", got)
	}
}
