package discover

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/format/all"
)

// answered returns the state of a scan of n disks that have all answered.
func answered(n int) *state {
	st := &state{Scan: &Scan{scanner: &Scanner{}}, vols: map[string]*volume{}}
	for i := range n {
		d := alpine(fmt.Sprintf("/dev/vd%d", i+1), fmt.Sprintf("0000-%04d", i), "lts")
		v := newVolume(d.Block, d.Block.Path)
		v.phase, v.view = ready, newView(d.Files)
		v.status.Volume.UUID, v.status.Volume.Type = d.Superblock.UUID, d.Superblock.Type
		at := v.mounted()
		r := parse(all.Formats(nil), at, boot.Volumes{at})
		v.parsed = &r
		st.vols[d.Block.Path] = v
		st.listed = append(st.listed, d.Block.Path)
	}
	return st
}

// BenchmarkInventory puts together the inventory of a machine with 256 volumes.
func BenchmarkInventory(b *testing.B) {
	st := answered(256)
	if inv := st.makeInventory(); len(inv.Entries) != 256 || len(inv.Volumes) != 256 {
		b.Fatalf("%d entries, %d volumes", len(inv.Entries), len(inv.Volumes))
	}
	for b.Loop() {
		st.makeInventory()
	}
}

// BenchmarkParse reads one volume with all formats: what it asks the volume for
// is what a scan of many takes its time with.
func BenchmarkParse(b *testing.B) {
	below := &countingFS{MapFS: files(alpine("/dev/vda1", "u", "lts"))}
	for b.Loop() {
		below.asked = nil
		at := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/vda1"}, FS: newView(below)}
		if r := parse(all.Formats(nil), at, boot.Volumes{at}); len(r.entries) != 1 {
			b.Fatalf("%+v", r)
		}
	}
	b.ReportMetric(float64(len(below.asked)), "questions/op")
}

// TestParseAsksLittle asserts how much a volume is asked for while it is read:
// with 64 of them under emulation each question shows.
func TestParseAsksLittle(t *testing.T) {
	below := &countingFS{MapFS: files(alpine("/dev/vda1", "u", "lts"))}
	at := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/vda1"}, FS: newView(below)}
	if r := parse(all.Formats(nil), at, boot.Volumes{at}); len(r.entries) != 1 {
		t.Fatalf("%+v", r)
	}
	if n := len(below.asked); n > 14 {
		t.Errorf("the volume was asked %d times: %q", n, below.asked)
	}
}

// TestOpenMakesNoInventory asserts that reading files of a settled scan, as the
// menu does for its settings, is not a change.
func TestOpenMakesNoInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		e := settled(t, sc).Entries[0]
		f, err := sc.Open(e.Volume, e.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		select {
		case inv := <-sc.Inventories():
			t.Errorf("%+v", inv)
		case <-time.After(time.Minute):
		}
	})
}
