package discover

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/assemble"
	"github.com/alpboot/alpboot/boot/device/luks"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

// locked is an encrypted disk with inside in it.
func locked(path, uuid string, inside hardware.Device) hardware.Device {
	return hardware.Device{
		Block:      device.Block{Path: path, Size: 1 << 30},
		Superblock: superblock.Superblock{Type: "crypto_LUKS", UUID: uuid},
		Inside:     &inside,
	}
}

func TestUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(locked("/dev/sda2", "crypt", alpine("/dev/mapper/luks-crypt", "u1", "lts")), alpine("/dev/sdb1", "u2", "virt"))
		sc := listener(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if v := inv.Volumes[0]; !v.Locked || !strings.Contains(v.Problem, "/dev/sda2 is encrypted") || titles(inv) != "Linux virt" {
			t.Fatalf("got %+v and %q", v, titles(inv))
		}
		if err := sc.Unlock(t.Context(), "/dev/sda2", []byte("wrong")); !errors.Is(err, luks.ErrPassphrase) {
			t.Errorf("the wrong passphrase: got %v", err)
		}
		if err := sc.Unlock(t.Context(), "/dev/sdb1", []byte("right")); !errors.Is(err, errGone) {
			t.Errorf("a volume that is not encrypted: got %v", err)
		}
		if err := sc.Unlock(t.Context(), "/dev/sda2", []byte("right")); err != nil {
			t.Fatal(err)
		}
		inv = settled(t, sc)
		if titles(inv) != "Linux lts, Linux virt" || problems(inv) != "" {
			t.Fatalf("got %q with %q", titles(inv), problems(inv))
		}
		if e := inv.Entries[0]; e.Volume.Crypt != "crypt" || e.Volume.Device != "/dev/mapper/luks-crypt" {
			t.Errorf("got %+v", e.Volume)
		}
		if inv.Volumes[0].Locked || len(inv.Volumes) != 3 {
			t.Errorf("got %+v", inv.Volumes)
		}

		// The disk is pulled out, and what was in it goes with it.
		m.Unplug("/dev/sda2")
		if inv = settled(t, sc); titles(inv) != "Linux virt" || len(inv.Volumes) != 1 {
			t.Errorf("got %q and %+v", titles(inv), inv.Volumes)
		}
		synctest.Wait()
		if m.Mounted() != 1 || len(m.Made()) != 0 {
			t.Errorf("%d filesystems are mounted and %q is there still", m.Mounted(), m.Made())
		}
	})
}

// TestUnlockedIsNotShownLocked asserts that an inventory which nobody has read yet
// does not report afterwards that a volume is locked: it would be unlocked twice,
// and its passphrase be taken for a wrong one.
func TestUnlockedIsNotShownLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(locked("/dev/sda2", "crypt", alpine("/dev/mapper/luks-crypt", "u1", "lts")))
		m.Latency = 0
		sc := listener(m).Start(t.Context())
		defer sc.Stop()
		settled(t, sc)
		slow := alpine("/dev/sdb1", "u2", "virt")
		slow.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: time.Second}}
		m.Plug(slow)
		time.Sleep(relistDelay)
		synctest.Wait() // an inventory with the new disk is there to be read
		if err := sc.Unlock(t.Context(), "/dev/sda2", []byte("right")); err != nil {
			t.Fatal(err)
		}
		if inv := <-sc.Inventories(); inv.Volumes[0].Locked {
			t.Errorf("it is shown as locked: %+v", inv.Volumes[0])
		}
	})
}

func TestStopRemovesWhatWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(locked("/dev/sda2", "outer", locked("/dev/mapper/outer", "inner", alpine("/dev/mapper/inner", "u1", "lts"))))
		sc := scanner(m).Start(t.Context())
		settled(t, sc)
		for _, dev := range []string{"/dev/sda2", "/dev/mapper/outer"} {
			if err := sc.Unlock(t.Context(), dev, []byte("right")); err != nil {
				t.Fatal(err)
			}
			settled(t, sc)
		}
		if len(m.Made()) != 2 || m.Mounted() != 1 {
			t.Fatalf("made %q, %d mounted", m.Made(), m.Mounted())
		}
		sc.Stop()
		if len(m.Made()) != 0 || m.Mounted() != 0 {
			t.Errorf("%q is there still, and %d filesystems are mounted", m.Made(), m.Mounted())
		}
		if err := sc.Unlock(t.Context(), "/dev/sda2", []byte("right")); err == nil {
			t.Error("a stopped scan opened a volume")
		}
	})
}

func TestImageFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disc := alpine("/dev/loop0", "2026-11-22-00-00-00-00", "virt")
		disc.Superblock.Type = "iso9660"
		stick := alpine("/dev/sdb1", "1A2B-3C4D", "lts")
		files(stick)["boot/alpine.iso"] = text("/dev/sdb1")
		stick.Images = map[string]*hardware.Device{"boot/alpine.iso": &disc}
		m := hardware.New(stick)
		sc := scanner(m).Start(t.Context())
		inv := settled(t, sc)
		if titles(inv) != "Linux lts, Linux virt" {
			t.Fatalf("got %q with %q", titles(inv), problems(inv))
		}
		e := inv.Entries[1]
		if e.Volume.Device != "/dev/sdb1:/boot/alpine.iso" || e.Problem != "" {
			t.Errorf("got %+v", e)
		}
		if f, err := sc.Open(e.Volume, e.Kernel); err != nil {
			t.Error(err)
		} else {
			f.Close()
		}
		sc.Stop()
		if len(m.Made()) != 0 || m.Mounted() != 0 {
			t.Errorf("%q is there still, and %d filesystems are mounted", m.Made(), m.Mounted())
		}
	})
}

func TestImageFileThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stick := alpine("/dev/sdb1", "1A2B-3C4D", "lts")
		files(stick)["broken.iso"] = text("/dev/sdb1")
		m := hardware.New(stick)
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if titles(inv) != "Linux lts" || problems(inv) != "" {
			t.Errorf("got %q with %q", titles(inv), problems(inv))
		}
		if notes := inv.Volumes[0].Notes; len(notes) != 1 || !strings.Contains(notes[0].String(), "/broken.iso cannot be opened: it does not work") {
			t.Errorf("got %v", notes)
		}
	})
}

func TestTwinsAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u1", "lts"), alpine("/dev/sdc1", "u3", "lts"))
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if len(inv.Entries) != 3 {
			t.Fatalf("got %q", titles(inv))
		}
		for i, want := range []string{"/dev/sda1 and /dev/sdb1 have the same UUID", "", ""} {
			got := ""
			for _, n := range inv.Volumes[i].Notes {
				got += n.String()
			}
			if !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: got %q, want %q", inv.Volumes[i].Volume.Device, got, want)
			}
			if warned := strings.Contains(strings.Join(inv.Entries[i].Notes, ""), "2 volumes have the UUID u1"); warned != (i < 2) {
				t.Errorf("the entry on %s: %q", inv.Volumes[i].Volume.Device, inv.Entries[i].Notes)
			}
		}
	})
}

func TestBtrfsOnTwoDevicesIsShownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u1", "lts")
		a.Superblock.Type, b.Superblock.Type, a.Superblock.Devices, b.Superblock.Devices = "btrfs", "btrfs", 2, 2
		m := hardware.New(a, b)
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		if inv := settled(t, sc); len(inv.Entries) != 1 || len(inv.Volumes) != 1 || len(inv.Volumes[0].Notes) != 0 {
			t.Errorf("got %q on %+v", titles(inv), inv.Volumes)
		}
	})
}

func TestMediaChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disc := func(flavour string) hardware.Device {
			d := alpine("/dev/sr0", "", flavour)
			d.Superblock.Type = "iso9660"
			return d
		}
		m := hardware.New(disc("lts"))
		sc := listener(m).Start(t.Context())
		defer sc.Stop()
		await := func(title, problem string) {
			t.Helper()
			deadline := time.After(time.Minute)
			for {
				select {
				case inv := <-sc.Inventories():
					if titles(inv) == title && strings.Contains(problems(inv), problem) {
						return
					}
				case <-deadline:
					t.Fatalf("never came: %q with %q", title, problem)
				}
			}
		}
		await("Linux lts", "")
		m.Eject("/dev/sr0")
		await("", "/dev/sr0 has been released")
		time.Sleep(time.Second)
		if m.Mounted() != 0 {
			t.Error("it is still mounted, so that the tray stays shut")
		}
		m.Empty("/dev/sr0") // open: the drive has no size
		await("", "")
		m.ChangeMedium(disc("virt")) // of the same size as the first
		await("Linux virt", "")
		m.ChangeMedium(disc("edge")) // and without the drive having been seen empty
		await("Linux edge", "")
	})
}

// A mapping that never comes about must not hold the countdown back for ever.
func TestAssemblyThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stick := alpine("/dev/sdb1", "1A2B-3C4D", "lts")
		files(stick)["slow.iso"] = text("")
		stick.Faults = map[hardware.Step]hardware.Fault{hardware.Image: {Hang: true}}
		m := hardware.New(stick)
		m.Latency = 0
		s := scanner(m)
		sc := s.Start(t.Context())
		start := time.Now()
		inv := settled(t, sc)
		if got := time.Since(start); got != s.Limit || titles(inv) != "Linux lts" {
			t.Errorf("it settled after %v with %q", got, titles(inv))
		}
		stop(t, sc, m)
	})
}

// mirrored is a member of a RAID1 array of two devices, with inside on it.
func mirrored(path string, role int, inside hardware.Device) hardware.Device {
	array := superblock.RAID{Version: "1.2", UUID: "r1", Name: "alpine:0", Level: 1, Devices: 2, Role: role, Events: 7,
		DataOffset: 1 << 20, DataSize: 1 << 29, Used: 1 << 29}
	return hardware.Device{
		Block:      device.Block{Path: path, Size: 1 << 30},
		Superblock: superblock.Superblock{Type: "linux_raid_member", UUID: "r1"},
		Member:     &assemble.Member{Path: path, RAID: &array},
		Inside:     &inside,
	}
}

func TestMirrorIsShownOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		roles   []int
		problem string
	}{
		{"whole", []int{0, 1}, ""},
		{"degraded", []int{1}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var devs []hardware.Device
				for i, role := range tt.roles {
					devs = append(devs, mirrored(fmt.Sprintf("/dev/sd%c1", 'a'+i), role, alpine("/dev/mapper/md-0", "u1", "lts")))
				}
				m := hardware.New(devs...)
				sc := scanner(m).Start(t.Context())
				defer sc.Stop()
				inv := settled(t, sc)
				if titles(inv) != "Linux lts" || inv.Entries[0].Volume.Device != "/dev/mapper/md-0" {
					t.Errorf("got %q with %q", titles(inv), problems(inv))
				}
				if len(m.Made()) != 1 {
					t.Errorf("made %q", m.Made())
				}
			})
		})
	}
}

func TestSetThatCannotBeAssembled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mirrored("/dev/sda1", 0, hardware.Device{})
		d.Inside = nil // Map fails
		striped := mirrored("/dev/sdb1", 0, hardware.Device{})
		striped.Member.RAID.Level, striped.Member.RAID.UUID = 5, "r5"
		used := mirrored("/dev/sdc1", 0, hardware.Device{})
		used.Member = nil // Member means that it is in use
		m := hardware.New(d, striped, used, alpine("/dev/sdd1", "u1", "lts"))
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		for i, want := range []string{"/dev/sda1: its set cannot be assembled: it does not work", "RAID5", "", ""} {
			if got := inv.Volumes[i].Problem; !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: got %q, want %q", inv.Volumes[i].Volume.Device, got, want)
			}
		}
		if titles(inv) != "Linux lts" {
			t.Errorf("got %q", titles(inv))
		}
	})
}

// A device is called what a user calls it, in the sentences about it and in no
// part of another name.
func TestDevicesAreCalledByTheirNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disc := alpine("/dev/loop1", "2026-11-22", "virt")
		disc.Faults = map[hardware.Step]hardware.Fault{hardware.Mount: {Err: &device.Error{Before: "mounting ", Device: "/dev/loop1", After: " failed: /dev/loop10 is in use"}}}
		stick := alpine("/dev/sdb1", "1A2B-3C4D", "lts")
		files(stick)["a.iso"] = text("")
		stick.Images = map[string]*hardware.Device{"a.iso": &disc}
		m := hardware.New(stick)
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		if got, want := problems(settled(t, sc)), "mounting /dev/sdb1:/a.iso failed: /dev/loop10 is in use."; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
