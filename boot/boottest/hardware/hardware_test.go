package hardware

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

func disk(path string) Device {
	return Device{Block: device.Block{Path: path, Size: 1 << 30}, Superblock: superblock.Superblock{Type: "ext4"}, Files: fstest.MapFS{"a": {Data: []byte("a")}}}
}

func TestUnkind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(disk("/dev/sda1"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events, _ := m.Events(ctx)
		began := time.Now()
		fsys, err := m.Mount(ctx, "/dev/sda1", superblock.Superblock{})
		if err != nil || time.Since(began) != m.Latency {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		if _, err := fs.ReadFile(fsys, "a"); err != nil {
			t.Fatal(err)
		}
		if err := m.CheckStopped(); err == nil || !strings.Contains(err.Error(), "/dev/sda1 is still mounted") {
			t.Errorf("what is mounted: %v", err)
		}
		m.Unplug("/dev/sda1")
		if ev := <-events; ev.Action != "remove" || ev.DevName != "sda1" {
			t.Errorf("%+v", ev)
		}
		if _, err := fsys.Open("a"); !errors.Is(err, syscall.EIO) {
			t.Errorf("a file of what was pulled out: %v", err)
		}
		fsys.Close()
		if err := m.CheckStopped(); err != nil {
			t.Error(err)
		}
		if _, err := fsys.Open("a"); !errors.Is(err, fs.ErrClosed) || m.Check() == nil {
			t.Errorf("a file of what was closed: %v, %v", err, m.Check())
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(disk("/dev/sda1"))
		broken := errors.New("broken")
		m.SetFault("/dev/sda1", Remount, Fault{Err: broken})
		m.SetFault("/dev/sda1", Probe, Fault{Hang: true})
		answered := false
		go func() { m.Probe("/dev/sda1"); answered = true }()
		time.Sleep(time.Hour)
		if answered {
			t.Error("it answered")
		}
		m.Release()
		time.Sleep(m.Latency)
		synctest.Wait()
		if !answered {
			t.Error("it has not answered")
		}
		if fsys, err := m.Mount(t.Context(), "/dev/sda1", superblock.Superblock{}); err != nil {
			t.Error(err)
		} else if m.Write("/dev/sda1", func(*os.Root) error { return nil }); m.Check() == nil {
			t.Error("it was written to while it was mounted, and that is not an error")
		} else {
			fsys.Close()
		}
		if err := m.Write("/dev/sda1", func(*os.Root) error { return nil }); err != nil {
			t.Error(err)
		}
		if _, err := m.Mount(t.Context(), "/dev/sda1", superblock.Superblock{}); err != broken {
			t.Errorf("mounted after it was written to: %v", err)
		}
	})
}
