package discover

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/all"
)

// answered gives the state of a scan of n disks that have all answered.
func answered(n int) *state {
	st := &state{Scan: &Scan{scanner: &Scanner{}}, vols: map[string]*volume{}}
	for i := range n {
		d := alpine(fmt.Sprintf("/dev/vd%d", i+1), fmt.Sprintf("0000-%04d", i), "lts")
		v := &volume{block: d.block, node: d.block.Path}
		v.found = &found{status: boot.VolumeStatus{Volume: volumeOf(v)}, fsys: fakeFS{d.tree, func() {}}, view: newView(d.tree)}
		v.found.status.Volume.UUID, v.found.status.Volume.Type = d.sb.UUID, d.sb.Type
		at := v.mounted()
		r := parse(all.Formats(nil), at, boot.Volumes{at})
		v.read = &r
		st.vols[d.block.Path] = v
		st.listed = append(st.listed, d.block.Path)
	}
	return st
}

// BenchmarkInventory puts together the inventory of a machine with 256 volumes.
func BenchmarkInventory(b *testing.B) {
	st := answered(256)
	if inv := st.inventory(); len(inv.Entries) != 256 || len(inv.Volumes) != 256 {
		b.Fatalf("%d entries, %d volumes", len(inv.Entries), len(inv.Volumes))
	}
	for b.Loop() {
		st.inventory()
	}
}

// BenchmarkParse reads one volume with all formats: what it asks the volume for
// is what a scan of many takes its time with.
func BenchmarkParse(b *testing.B) {
	below := &countingFS{MapFS: alpine("/dev/vda1", "u", "lts").tree}
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
	below := &countingFS{MapFS: alpine("/dev/vda1", "u", "lts").tree}
	at := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/vda1"}, FS: newView(below)}
	if r := parse(all.Formats(nil), at, boot.Volumes{at}); len(r.entries) != 1 {
		t.Fatalf("%+v", r)
	}
	if n := len(below.asked); n > 14 {
		t.Errorf("the volume was asked %d times: %q", n, below.asked)
	}
}

// TestOpenMakesNoInventory asserts that reading files of a settled scan, as the
// menu does for its settings, is no news.
func TestOpenMakesNoInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fakeMachine{}
		m.set(alpine("/dev/sda1", "u1", "lts"))
		sc := m.scanner().Start(t.Context())
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
