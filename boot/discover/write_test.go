package discover

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/device"
)

// writableMachine notes what is mounted when it is written to.
type writableMachine struct {
	*fakeMachine
	written []string
	mounted []int
}

func (m *writableMachine) Write(node string, do func(root *os.Root) error) error {
	m.written = append(m.written, node)
	m.mu.Lock()
	m.mounted = append(m.mounted, m.fakeMachine.mounted)
	m.mu.Unlock()
	return do(nil)
}

func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &writableMachine{fakeMachine: &fakeMachine{}}
		m.set(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "virt"),
			locked("/dev/sdc1", "crypt", alpine("/dev/mapper/luks-crypt", "u3", "edge")))
		s := m.scanner()
		s.Machine = m
		sc := s.Start(t.Context())
		defer sc.Stop()
		settled(t, sc)
		if err := sc.Unlock(t.Context(), "/dev/sdc1", []byte("right")); err != nil {
			t.Fatal(err)
		}
		inv := settled(t, sc)
		for len(inv.Entries) < 3 {
			inv = settled(t, sc)
		}
		before := titles(inv)

		asIs := errors.New("the disk is full")
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { return asIs }); err != asIs {
			t.Errorf("got %v", err)
		}
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { return nil }); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if strings.Join(m.written, " ") != "/dev/sda1 /dev/sda1" || m.mounted[0] != 2 {
			t.Errorf("%q was written to while %d of 3 filesystems were mounted", m.written, m.mounted)
		}
		for device, want := range map[string]string{
			"/dev/mapper/luks-crypt": "only ever read",
			"/dev/sdc1":              "is gone", // it has no filesystem of its own
			"/dev/nowhere":           "is gone",
		} {
			if err := sc.Write(t.Context(), device, func(*os.Root) error { t.Error("called"); return nil }); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", device, err, want)
			}
		}
		synctest.Wait()
		if got := titles(inv); got != before {
			t.Errorf("the entries are %q, were %q", got, before)
		}
		if f, err := sc.Open(boot.Volume{Device: "/dev/sda1"}, "boot/vmlinuz-lts"); err != nil {
			t.Errorf("its files cannot be opened any more: %v", err)
		} else {
			f.Close()
		}
		if n := m.fakeMachine.mounted; n != 3 {
			t.Errorf("%d filesystems are mounted, want 3", n)
		}
	})
}

// An image file on the volume keeps it mounted: it is let go of, and comes back.
func TestWriteBelowAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &writableMachine{fakeMachine: &fakeMachine{events: make(chan device.Event)}}
		outer := alpine("/dev/sda1", "u1", "lts")
		outer.tree["iso/alpine.iso"] = text("/dev/sda1")
		inside := alpine("/dev/loop0", "u2", "iso")
		outer.inside = &inside
		m.set(outer)
		s := m.scanner()
		s.Machine = m
		sc := s.Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		for len(inv.Volumes) < 2 {
			inv = settled(t, sc)
		}
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			if n := m.fakeMachine.mounted; n != 0 {
				t.Errorf("%d filesystems are mounted", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for inv = settled(t, sc); len(inv.Volumes) < 2; inv = settled(t, sc) {
		}
		if !strings.Contains(titles(inv), "Linux lts") {
			t.Errorf("the entries are %q", titles(inv))
		}
	})
}

func TestWriteWithoutAWriter(t *testing.T) {
	m := &fakeMachine{}
	m.set(alpine("/dev/sda1", "u1", "lts"))
	sc := m.scanner().Start(t.Context())
	defer sc.Stop()
	settled(t, sc)
	if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { t.Error("called"); return nil }); err == nil {
		t.Error("a machine that cannot be written to was")
	}
}
