package discover

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// stop ends a scan, and asserts that nothing was done that must not be, and that
// nothing is left.
func stop(t *testing.T, sc *Scan, m *hardware.Machine) {
	t.Helper()
	m.Release()
	sc.Stop()
	time.Sleep(time.Second) // what hung until now has its turn
	if err := m.CheckStopped(); err != nil {
		t.Error(err)
	}
}

// opens fails the test when a file of a volume cannot be opened.
func opens(t *testing.T, sc *Scan, vol boot.Volume, name string) {
	t.Helper()
	f, err := sc.Open(vol, name)
	if err != nil {
		t.Error(err)
		return
	}
	f.Close()
}

func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "virt"),
			locked("/dev/sdc1", "crypt", alpine("/dev/mapper/luks-crypt", "u3", "edge")))
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
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
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			if n := m.Mounted(); n != 2 {
				t.Errorf("%d of 3 filesystems are mounted", n)
			}
			return nil
		}); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if got := strings.Join(m.Written(), " "); got != "/dev/sda1 /dev/sda1" {
			t.Errorf("%s was written to", got)
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
		if got := titles(settled(t, sc)); got != before {
			t.Errorf("the entries are %q, were %q", got, before)
		}
		opens(t, sc, boot.Volume{Device: "/dev/sda1"}, "boot/vmlinuz-lts")
		if n := m.Mounted(); n != 3 {
			t.Errorf("%d filesystems are mounted, want 3", n)
		}
	})
}

// What was written is seen: the volume is parsed again.
func TestWrittenVolumeIsParsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "u1", "lts")
		m := hardware.New(d)
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		settled(t, sc)
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			files(d)["boot/extlinux.conf"] = text("LABEL new\n LINUX vmlinuz-lts\n")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got := titles(settled(t, sc)); got != "new" {
			t.Errorf("got %q", got)
		}
	})
}

// An image file on the volume keeps it mounted: its device is removed, and made
// again.
func TestWriteBelowAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside := alpine("/dev/loop0", "u2", "iso")
		outer := alpine("/dev/sda1", "u1", "lts")
		files(outer)["iso/alpine.iso"] = text("")
		outer.Images = map[string]*hardware.Device{"iso/alpine.iso": &inside}
		m := hardware.New(outer)
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		inv := settled(t, sc)
		for len(inv.Volumes) < 2 {
			inv = settled(t, sc)
		}
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			if n := m.Mounted(); n != 0 {
				t.Errorf("%d filesystems are mounted", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for inv = settled(t, sc); len(inv.Volumes) < 2; inv = settled(t, sc) {
		}
		if got := titles(inv); got != "Linux lts, Linux iso" {
			t.Errorf("the entries are %q", got)
		}
	})
}

// While a volume is being written to, another one turns up that its configuration
// names, and others are read that name it.
func TestEntriesStayDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "u1", "lts")
		files(d)["boot/grub/grub.cfg"] = text("search --no-floppy --fs-uuid --set=root u9\nmenuentry Other {\nlinux /boot/vmlinuz-virt root=/dev/sdb1\n}\n")
		esp := hardware.Device{Block: device.Block{Path: "/dev/sdc1", Size: 1 << 30}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1A2B-3C4D"}, Files: fstest.MapFS{
			"grub/grub.cfg": text("menuentry Main {\nsearch --no-floppy --fs-uuid --set=root u1\nlinux /boot/vmlinuz-lts root=/dev/sda1 quiet\ninitrd /boot/initramfs-lts\n}\n" +
				"menuentry Further {\nsearch --no-floppy --fs-uuid --set=root u8\nlinux /boot/vmlinuz-virt root=/dev/sdd1\n}\n"),
		}}
		m := hardware.New(d, esp)
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		before := titles(settled(t, sc))
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			m.Plug(alpine("/dev/sdb1", "u7", "virt"))
			for {
				inv := <-sc.Inventories()
				for _, title := range []string{"Linux lts", "Main"} {
					if !slices.ContainsFunc(inv.Entries, func(e boot.Entry) bool { return e.Title == title && e.Problem == "" }) {
						t.Errorf("during the write the entries are %q, before it were %q: %s is not offered", titles(inv), before, title)
					}
				}
				if inv.Settled && strings.Contains(titles(inv), "virt") { // nothing more is parsed
					break
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		inv := settled(t, sc)
		for !strings.Contains(titles(inv), "virt") {
			inv = settled(t, sc)
		}
		if got := titles(inv); !strings.Contains(got, "Linux lts") || strings.Contains(got, "(lts)") || !strings.Contains(got, "Main") {
			t.Errorf("after the write the entries are %q, before it were %q", got, before)
		}
		for _, e := range inv.Entries {
			if e.Problem == "" {
				opens(t, sc, e.Volume, e.Kernel)
			}
		}
	})
}

// A file that is opened while the volume is being written to waits for that.
func TestOpenDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		e := settled(t, sc).Entries[0]
		opened := make(chan error)
		if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
			go func() {
				f, err := sc.Open(e.Volume, e.Kernel)
				if err == nil {
					f.Close()
				}
				opened <- err
			}()
			time.Sleep(time.Second)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; err != nil {
			t.Error(err)
		}
	})
}

// A disk that cannot be mounted any more after a write has a row with that, and what is on
// it is not offered.
func TestRemountFails(t *testing.T) {
	for _, step := range []hardware.Step{hardware.Probe, hardware.Remount} {
		synctest.Test(t, func(t *testing.T) {
			m := hardware.New(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "virt"))
			sc := scanner(m).Start(t.Context())
			defer stop(t, sc, m)
			e := settled(t, sc).Entries[0]
			if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error {
				m.SetFault("/dev/sda1", step, hardware.Fault{Err: errors.New("mounting /dev/sda1 failed: the device cannot be read")})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			inv := settled(t, sc)
			for _, got := range []string{inv.Volumes[0].Problem, inv.Entries[0].Problem} {
				if !strings.Contains(got, "was written to and cannot be mounted again") || !strings.Contains(got, "cannot be read") {
					t.Errorf("%s: got %q", step, got)
				}
			}
			if titles(inv) != "Linux lts, Linux virt" || inv.Entries[1].Problem != "" {
				t.Errorf("%s: got %q, %q", step, titles(inv), inv.Entries[1].Problem)
			}
			if _, err := sc.Open(e.Volume, e.Kernel); err == nil {
				t.Error("it was opened")
			}
		})
	}
}

// What names a volume that was pulled out is not offered, and comes back with it.
func TestKernelOnAVolumeThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		esp := hardware.Device{Block: device.Block{Path: "/dev/sda1", Size: 1 << 30}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1A2B-3C4D"}, Files: fstest.MapFS{
			"grub/grub.cfg": text("search --no-floppy --fs-uuid --set=root u2\nmenuentry Stick {\nlinux /boot/vmlinuz-lts root=/dev/sdb1 quiet\n}\n"),
		}}
		m := hardware.New(esp, alpine("/dev/sdb1", "u2", "lts"))
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		if got := titles(settled(t, sc)); got != "Stick, Linux lts" && got != "Linux lts, Stick" {
			t.Fatalf("got %q", got)
		}
		m.Unplug("/dev/sdb1")
		var inv boot.Inventory
		for inv = settled(t, sc); len(inv.Volumes) > 1; inv = settled(t, sc) {
		}
		for _, e := range inv.Entries {
			if e.Problem == "" {
				t.Errorf("%q is offered, and its volume is gone", e.Title)
			}
		}
		m.Plug(alpine("/dev/sdc1", "u2", "lts")) // in another place
		for inv = settled(t, sc); len(inv.Volumes) < 2; inv = settled(t, sc) {
		}
		if !strings.Contains(titles(inv), "Stick") {
			t.Fatalf("got %q with %q", titles(inv), problems(inv))
		}
		for _, e := range inv.Entries {
			opens(t, sc, e.Volume, e.Kernel)
		}
	})
}

func TestWriteWithoutAWriter(t *testing.T) {
	m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
	s := scanner(m)
	s.Machine = struct{ Machine }{m}
	sc := s.Start(t.Context())
	defer sc.Stop()
	settled(t, sc)
	if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { t.Error("called"); return nil }); err == nil {
		t.Error("a machine that cannot be written to was")
	}
}

// TestReplug: a disk that is back at once, in its place, is another one: what was
// mounted of it fails.
func TestReplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/mmcblk0p1", "u1", "lts"))
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		vol := settled(t, sc).Entries[0].Volume
		m.Unplug(vol.Device)
		m.Plug(alpine(vol.Device, "u1", "lts"))
		settled(t, sc)
		opens(t, sc, vol, "boot/vmlinuz-lts")
	})
}

// TestWriteToReplaced: while the volume to be written to is unmounted, its disk is
// replaced, or the scan ends and another one begins: what is mounted now is not
// written to.
func TestWriteToReplaced(t *testing.T) {
	for name, replace := range map[string]func(m *hardware.Machine, sc *Scan){
		"disk": func(m *hardware.Machine, sc *Scan) {
			m.Unplug("/dev/sda1")
			m.Plug(alpine("/dev/sda1", "u1", "lts"))
		},
		"scan": func(_ *hardware.Machine, sc *Scan) { sc.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
				sc := listener(m).Start(t.Context())
				settled(t, sc)
				m.SetFault("/dev/sda1", hardware.Unmount, hardware.Fault{Delay: 8 * time.Second})
				done := make(chan error)
				go func() {
					done <- sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { t.Error("it was written to"); return nil })
				}()
				time.Sleep(time.Second)
				replace(m, sc)
				if err := <-done; err == nil {
					t.Error("no error")
				}
				time.Sleep(time.Minute)
				stop(t, sc, m)
			})
		})
	}
}

// TestWriteThatHangs: a disk that does not answer while it is written to holds up
// nobody. What it does when it answers at last depends on how far it had come.
func TestWriteThatHangs(t *testing.T) {
	for _, tt := range []struct {
		step    hardware.Step
		fault   hardware.Fault
		err     string
		written bool
	}{
		{step: hardware.Unmount, err: "does not answer, and nothing was written"},
		{step: hardware.Probe, err: "does not answer, and nothing was written"},
		{step: hardware.Write, err: "does not answer, and nothing was written"},
		{step: hardware.Flush, err: "does not answer, and it is not known whether everything was written", written: true},
		{step: hardware.Remount, err: "does not answer, and it is not known whether everything was written", written: true},
	} {
		t.Run(string(tt.step), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				esp := hardware.Device{Block: device.Block{Path: "/dev/sdb1", Size: 1 << 30}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1A2B-3C4D"}, Files: fstest.MapFS{
					"grub/grub.cfg": text("search --no-floppy --fs-uuid --set=root u1\nmenuentry Pointer {\nlinux /boot/vmlinuz-lts root=/dev/sda1 quiet\n}\n"),
				}}
				m := hardware.New(alpine("/dev/sda1", "u1", "lts"), esp)
				s := listener(m)
				sc := s.Start(t.Context())
				defer stop(t, sc, m)
				inv := settled(t, sc)
				before := titles(inv)
				m.SetFault("/dev/sda1", tt.step, hardware.Fault{Hang: true})
				began, written := time.Now(), false
				err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { written = true; return nil })
				if took := time.Since(began); took > s.Limit+time.Second {
					t.Errorf("it took %v", took)
				}
				if err == nil || !strings.Contains(err.Error(), "/dev/sda1: the device "+tt.err) {
					t.Errorf("got %v", err)
				}
				if inv = settled(t, sc); !strings.Contains(problems(inv), "/dev/sda1 has not answered for 10 seconds") {
					t.Errorf("the problems are %q", problems(inv))
				}
				for _, e := range inv.Entries {
					if _, err := sc.Open(e.Volume, e.Kernel); err == nil || !strings.Contains(err.Error(), "does not answer") {
						t.Errorf("%q: opened with %v", e.Title, err)
					}
					if e.Problem == "" {
						t.Errorf("%q is offered", e.Title)
					}
				}
				if err := sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { t.Error("called"); return nil }); err == nil {
					t.Error("it was written to again")
				}
				m.SetFault("/dev/sda1", tt.step, hardware.Fault{})
				m.Release()
				for inv = settled(t, sc); titles(inv) != before || problems(inv) != ""; inv = settled(t, sc) {
				}
				for _, e := range inv.Entries {
					opens(t, sc, e.Volume, e.Kernel)
				}
				if written != tt.written {
					t.Errorf("written to: %t, want %t", written, tt.written)
				}
			})
		})
	}
}

// TestStopDuringAHungWrite: Stop does not wait longer than it says, and who wrote
// not longer than the limit.
func TestStopDuringAHungWrite(t *testing.T) {
	for _, after := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
			sc := listener(m).Start(t.Context())
			settled(t, sc)
			m.SetFault("/dev/sda1", hardware.Write, hardware.Fault{Hang: true})
			done := make(chan error, 1)
			go func() {
				done <- sc.Write(t.Context(), "/dev/sda1", func(*os.Root) error { t.Error("it was written to"); return nil })
			}()
			time.Sleep(after)
			began := time.Now()
			sc.Stop()
			if took := time.Since(began); took > stopLimit || after == time.Minute && took > time.Second {
				t.Errorf("after %v, Stop took %v", after, took)
			}
			time.Sleep(10 * time.Second)
			select {
			case err := <-done:
				if err == nil {
					t.Error("no error")
				}
			default:
				t.Error("who wrote still waits")
			}
			stop(t, sc, m)
		})
	}
}
