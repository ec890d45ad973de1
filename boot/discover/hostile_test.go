package discover_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hostile"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
)

// What docs/discovery.md promises of volumes that were made to use up memory.
const (
	memoryLimit = 64 << 20         // as bootmenu has it
	longest     = 30 * time.Second // of processor time for one, on a slow machine
)

// directories is a machine on which each device holds the same directory.
type directories struct {
	dir   string
	count int
}

func (f directories) Devices() (blocks []device.Block, _ []error) {
	for i := range f.count {
		blocks = append(blocks, device.Block{Path: fmt.Sprintf("/dev/vd%d", i), Size: 1 << 30})
	}
	return blocks, nil
}

func (f directories) Probe(node string) (superblock.Superblock, error) {
	return superblock.Superblock{Type: "ext4", UUID: "uuid of " + node}, nil
}

func (f directories) Mount(context.Context, string, superblock.Superblock) (discover.Filesystem, error) {
	return device.Directory(f.dir)
}

// usage is what a scan has taken.
type usage struct {
	kept, peak uint64        // bytes of the heap, over those before
	took       time.Duration // of processor time: others may keep the machine busy
	inventory  boot.Inventory
}

// scan examines count volumes that are all the directory dir.
func scan(t *testing.T, dir string, count int) (u usage) {
	t.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				peak.Store(max(peak.Load(), heap()))
			}
		}
	}()
	began := boottest.ProcessorTime(t)
	scanner := discover.Scanner{Machine: directories{dir, count}, Formats: all.Formats(nil), Limit: time.Hour}
	sc := scanner.Start(t.Context())
	for u.inventory = range sc.Inventories() {
		if u.inventory.Settled {
			break
		}
	}
	u.took = boottest.ProcessorTime(t) - began
	close(stop)
	<-stopped
	runtime.GC()
	u.kept, u.peak = heap()-before, peak.Load()-before
	sc.Stop()
	return u
}

// A volume that was made to use up memory and time gets little of either, and
// any number of them little more memory: nine are one more than are read at
// once. What all volumes together may be kept of is TestFit's.
func TestHostileVolumes(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes and reads ten thousand files")
	}
	dir := hostile.Volume(t)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	for _, tt := range []struct {
		volumes    int
		kept, peak uint64 // bytes of the heap in use: when all has settled; while it is read, garbage among them
	}{
		{1, 8 << 20, 64 << 20},
		{9, 24 << 20, 160 << 20},
	} {
		t.Run(fmt.Sprint(tt.volumes), func(t *testing.T) {
			u := scan(t, dir, tt.volumes)
			formats := map[string]int{}
			notes, text := 0, 0
			for _, e := range u.inventory.Entries {
				formats[e.Format]++
				text += len(e.Cmdline) + len(e.Title)
			}
			for _, v := range u.inventory.Volumes {
				notes += len(v.Notes)
			}
			t.Logf("%d entries %v with %d KiB of text, %d notes: %d MiB kept, %d MiB at the peak, %v",
				len(u.inventory.Entries), formats, text>>10, notes, u.kept>>20, u.peak>>20, u.took)
			if n := len(u.inventory.Entries); n < 300 || n > 1000*tt.volumes || n > 5000 {
				t.Errorf("%d entries", n)
			}
			if limit := longest * time.Duration(tt.volumes); u.kept > tt.kept || u.peak > tt.peak || u.took > limit {
				t.Errorf("more than %d MiB, %d MiB and %v", tt.kept>>20, tt.peak>>20, limit)
			}
		})
	}
}
