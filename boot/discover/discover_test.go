package discover

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/all"
)

func bzImage(version string) *fstest.MapFile {
	return &fstest.MapFile{Data: boottest.BzImage(version), Mode: 0o644}
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }

var initrd = text("\x1f\x8b\x08\x00")

// alpine is a disk of one partition, as setup-disk makes it, with one entry.
func alpine(path, uuid, flavour string) hardware.Device {
	return hardware.Device{
		Block:      device.Block{Path: path, Size: 1 << 30},
		Superblock: superblock.Superblock{Type: "ext4", UUID: uuid},
		Files: fstest.MapFS{
			"boot/vmlinuz-" + flavour:   bzImage("6.12.1-0-" + flavour),
			"boot/initramfs-" + flavour: initrd,
			"boot/extlinux.conf": text(fmt.Sprintf("LABEL %s\n MENU LABEL Linux %s\n LINUX vmlinuz-%s\n INITRD initramfs-%s\n APPEND root=UUID=%s\n",
				flavour, flavour, flavour, flavour, uuid)),
		},
	}
}

// files returns what is on a device, to be changed.
func files(d hardware.Device) fstest.MapFS { return d.Files.(fstest.MapFS) }

// scanner returns a scanner of a machine on which devices neither come nor go.
func scanner(m *hardware.Machine) *Scanner {
	return &Scanner{Machine: m, Maker: m, Formats: all.Formats(nil), Settle: time.Second, Limit: 10 * time.Second}
}

// listener returns a scanner that hears of devices which come and go.
func listener(m *hardware.Machine) *Scanner {
	s := scanner(m)
	s.Events = m.Events
	return s
}

// settled waits for the inventory that a default may be booted from.
func settled(t *testing.T, sc *Scan) boot.Inventory {
	t.Helper()
	inv := sc.Settled()
	if !inv.Settled {
		t.Fatal("the scan ended before it had settled")
	}
	return inv
}

func titles(inv boot.Inventory) string {
	var s []string
	for _, e := range inv.Entries {
		s = append(s, e.Title)
	}
	return strings.Join(s, ", ")
}

func problems(inv boot.Inventory) string {
	var s []string
	for _, v := range inv.Volumes {
		if v.Problem != "" {
			s = append(s, v.Problem)
		}
	}
	return strings.Join(s, "\n")
}

func TestScanFindsEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda2", "u1", "lts"), alpine("/dev/sda10", "u2", "virt"))
		sc := scanner(m).Start(t.Context())
		inv := settled(t, sc)
		if got, want := titles(inv), "Linux lts, Linux virt"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		e := inv.Entries[0]
		if e.Version != "6.12.1-0-lts" || e.Problem != "" || e.Volume.UUID != "u1" || e.Format != "extlinux" || !strings.HasPrefix(e.ID, "linux-lts-") {
			t.Errorf("got %+v", e)
		}
		f, err := sc.Open(e.Volume, e.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if m.Mounted() != 2 {
			t.Errorf("%d filesystems are mounted, want 2", m.Mounted())
		}
		sc.Stop()
		if m.Mounted() != 0 {
			t.Errorf("%d filesystems are still mounted after Stop", m.Mounted())
		}
		if _, err := sc.Open(e.Volume, e.Kernel); err == nil {
			t.Error("a stopped scan opened a file")
		}
	})
}

func TestIDsAreStable(t *testing.T) {
	ids := func(devs ...hardware.Device) (ids []string) {
		synctest.Test(t, func(t *testing.T) {
			m := hardware.New(devs...)
			sc := scanner(m).Start(t.Context())
			for _, e := range settled(t, sc).Entries {
				ids = append(ids, e.ID)
				if strings.ContainsAny(e.ID, " \t/") {
					t.Errorf("ID %q cannot be typed as it is", e.ID)
				}
			}
			sc.Stop()
		})
		return ids
	}
	a, b := alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "lts")
	both := ids(a, b)
	if len(both) != 2 || both[0] == both[1] {
		t.Fatalf("got %q, want two different ones", both)
	}
	// The disks come in another order and by other names, and a command line changes.
	a.Block.Path, b.Block.Path = "/dev/sdb1", "/dev/sda1"
	files(a)["boot/extlinux.conf"] = text(strings.ReplaceAll(string(files(a)["boot/extlinux.conf"].Data), "APPEND", "APPEND quiet"))
	swapped := ids(b, a)
	if swapped[0] != both[1] || swapped[1] != both[0] {
		t.Errorf("got %q after %q", swapped, both)
	}
	// A copy of a disk has the same UUIDs: its entries have IDs of their own all the same.
	c := alpine("/dev/sdc1", "u1", "lts")
	if twins := ids(alpine("/dev/sda1", "u1", "lts"), c); twins[0] == twins[1] {
		t.Errorf("got %q twice", twins[0])
	}
}

// fails makes a step of a device fail.
func fails(d *hardware.Device, step hardware.Step, err error) {
	d.Faults = map[hardware.Step]hardware.Fault{step: {Err: err}}
}

func TestScanProblems(t *testing.T) {
	good := func() hardware.Device { return alpine("/dev/sda1", "u1", "lts") }
	with := func(change func(*hardware.Device)) hardware.Device { d := good(); change(&d); return d }
	tests := []struct {
		name    string
		dev     hardware.Device
		entry   string // what the only entry's problem contains; "none" for no entry
		volume  string // what the volume's problem contains; "" for no problem
		mounted int
	}{
		{name: "nothing wrong", dev: good(), mounted: 1},
		{name: "kernel missing", dev: with(func(d *hardware.Device) { delete(files(*d), "boot/vmlinuz-lts") }), entry: "kernel /boot/vmlinuz-lts is missing", mounted: 1},
		{name: "initrd missing", dev: with(func(d *hardware.Device) { delete(files(*d), "boot/initramfs-lts") }), entry: "initrd /boot/initramfs-lts is missing", mounted: 1},
		{name: "initrd empty", dev: with(func(d *hardware.Device) { files(*d)["boot/initramfs-lts"] = text("") }), entry: "the file is empty", mounted: 1},
		{name: "kernel truncated", dev: with(func(d *hardware.Device) {
			k := bzImage("6.1")
			binary.LittleEndian.PutUint32(k.Data[0x1f4:], 1<<20)
			files(*d)["boot/vmlinuz-lts"] = k
		}), entry: "truncated", mounted: 1},
		{name: "kernel is a directory", dev: with(func(d *hardware.Device) {
			files(*d)["boot/vmlinuz-lts"] = &fstest.MapFile{Mode: fs.ModeDir}
		}), entry: "not a regular file", mounted: 1},
		{name: "kernel of 32 bits", dev: with(func(d *hardware.Device) { files(*d)["boot/vmlinuz-lts"].Data[0x236] = 0 }), entry: "is for 386", mounted: 1},
		{name: "the kernel cannot mount it", dev: with(func(d *hardware.Device) {
			fails(d, hardware.Mount, errors.New("this kernel has no support for xfs, needed by /dev/sda1"))
		}),
			entry: "none", volume: "no support for xfs"},
		{name: "damaged superblock", dev: with(func(d *hardware.Device) { fails(d, hardware.Probe, errors.New("its ext4 superblock is damaged")) }), entry: "none", volume: "/dev/sda1 cannot be used: its ext4"},
		{name: "nothing known on it", dev: with(func(d *hardware.Device) { fails(d, hardware.Probe, superblock.ErrUnknown) }), entry: "none", volume: "no filesystem"},
		{name: "a small boot partition of some firmware", dev: with(func(d *hardware.Device) { d.Block.Size = 2 << 20; fails(d, hardware.Probe, superblock.ErrUnknown) }), entry: "none"},
		{name: "a disk that only holds partitions", dev: with(func(d *hardware.Device) { d.Block.Partitions = 2; fails(d, hardware.Probe, superblock.ErrUnknown) }), entry: "none"},
		{name: "an empty drive", dev: with(func(d *hardware.Device) { fails(d, hardware.Probe, fmt.Errorf("opening: %w", syscall.ENOMEDIUM)) }), entry: "none"},
		{name: "swap", dev: with(func(d *hardware.Device) { d.Superblock.Type = "swap" }), entry: "none"},
		{name: "encrypted", dev: with(func(d *hardware.Device) { d.Superblock.Type = "crypto_LUKS" }), entry: "none", volume: "encrypted"},
		{name: "never answers", dev: with(func(d *hardware.Device) { d.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Hang: true}} }), entry: "none", volume: "has not answered for 10 seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := hardware.New(tt.dev, alpine("/dev/sdb1", "u2", "virt"))
				sc := scanner(m).Start(t.Context())
				defer func() {
					stop(t, sc, m)
				}()
				inv := settled(t, sc)
				if got := problems(inv); (got == "") != (tt.volume == "") || !strings.Contains(got, tt.volume) {
					t.Errorf("the volume's problem: got %q, want %q", got, tt.volume)
				}
				want := 2
				if tt.entry == "none" {
					want = 1
				}
				if len(inv.Entries) != want {
					t.Fatalf("got %q", titles(inv))
				}
				if virt := inv.Entries[want-1]; virt.Title != "Linux virt" || virt.Problem != "" {
					t.Errorf("the other disk suffered: %+v", virt)
				}
				if tt.entry != "none" {
					if got := inv.Entries[0].Problem; (got == "") != (tt.entry == "") || !strings.Contains(got, tt.entry) {
						t.Errorf("the entry's problem: got %q, want %q", got, tt.entry)
					}
				}
				if m.Mounted() != tt.mounted+1 {
					t.Errorf("%d filesystems are mounted, want %d", m.Mounted(), tt.mounted+1)
				}
			})
		})
	}
}

func TestHybridImageIsShownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, part := alpine("/dev/sda", "2026-11-22", "lts"), alpine("/dev/sda1", "2026-11-22", "lts")
		disk.Superblock.Type, part.Superblock.Type = "iso9660", "iso9660"
		disk.Block.Partitions, part.Block.Disk = 1, "/dev/sda"
		m := hardware.New(disk, part)
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		if inv := settled(t, sc); len(inv.Entries) != 1 || inv.Entries[0].Volume.Device != "/dev/sda" {
			t.Errorf("got %q", titles(inv))
		}
	})
}

func TestAmbiguousSuperblockIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "u1", "lts")
		fails(&d, hardware.Probe, fmt.Errorf("%w: ext4 and xfs", superblock.ErrAmbiguous))
		m := hardware.New(d)
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if titles(inv) != "Linux lts" || len(inv.Volumes[0].Notes) != 1 || !strings.Contains(inv.Volumes[0].Notes[0].String(), "ext4 and xfs") {
			t.Errorf("got %q with the notes %v", titles(inv), inv.Volumes[0].Notes)
		}
	})
}

func TestSlowDeviceHoldsBackNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := alpine("/dev/sda1", "u1", "lts")
		slow.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: 15 * time.Second}}
		m := hardware.New(slow, alpine("/dev/sdb1", "u2", "virt"))
		m.Latency = 0
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		start := time.Now()
		var first, gaveUp, late time.Duration = -1, -1, -1
		for inv := range sc.Inventories() {
			now := time.Since(start)
			if titles(inv) == "Linux virt" && first < 0 {
				first = now
			}
			if inv.Settled && gaveUp < 0 {
				gaveUp = now
			}
			if titles(inv) == "Linux lts, Linux virt" {
				late = now
				if p := problems(inv); p != "" {
					t.Errorf("it has answered, and the list still says %q", p)
				}
				break
			}
		}
		if first > pace || gaveUp != 10*time.Second || late != 15*time.Second {
			t.Errorf("the fast disk came after %v, the slow one was given up after %v and came after %v; want %v at most, 10s, 15s", first, gaveUp, late, pace)
		}
	})
}

// Nobody waits for a disk where none can come.
func TestSettlesWhenNothingCanCome(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until time.Duration // from then on nothing can come
		plug  time.Duration // when another disk comes; 0 for never
		want  time.Duration
		by    string
		lists string
	}{
		{name: "from the start", want: 0, by: "nothing can bring in another disk", lists: "Linux lts"},
		{name: "soon", until: 300 * time.Millisecond, want: 300 * time.Millisecond, by: "nothing can bring in another disk", lists: "Linux lts"},
		{name: "too late", until: time.Minute, want: time.Second, by: "no device has come for 1s", lists: "Linux lts"},
		{name: "a disk comes", until: 700 * time.Millisecond, plug: 650 * time.Millisecond, want: 700 * time.Millisecond,
			by: "nothing can bring in another disk", lists: "Linux lts, Linux virt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
				m.Latency = 0
				start := time.Now()
				s := listener(m)
				s.Awaited = func() string {
					if time.Since(start) < tt.until {
						return "a USB device may bring in a disk"
					}
					return ""
				}
				if tt.plug > 0 {
					time.AfterFunc(tt.plug, func() { m.Plug(alpine("/dev/sdb1", "u2", "virt")) })
				}
				sc := s.Start(t.Context())
				defer sc.Stop()
				inv := settled(t, sc)
				if took := time.Since(start); took < tt.want || took > tt.want+pace || inv.SettledBy != tt.by || titles(inv) != tt.lists {
					t.Errorf("%q had settled after %v, as %s; want %q, %v, %s", titles(inv), took, inv.SettledBy, tt.lists, tt.want, tt.by)
				}
			})
		})
	}
}

// Who knows what to do without a further disk does not wait for one, but for what is
// there; one that comes later is found all the same.
func TestEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lateEvent{hardware.New(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "virt")), new(bool)}
		m.Latency = 50 * time.Millisecond
		start := time.Now()
		s := listener(m.Machine)
		s.Machine = m
		sc := s.Start(t.Context())
		defer sc.Stop()
		early, asked := true, false
		for inv := range sc.Inventories() {
			switch {
			case early && !inv.Answered:
				if time.Since(start) < m.Latency { // no device can have answered: this counts for nothing
					sc.Enough("too early")
					asked = true
				}
			case early:
				if !asked {
					t.Error("there was no inventory before the first device answered")
				}
				early = false
				*m.there = true // its event has not come yet
				sc.Enough("that is enough")
			case inv.Settled:
				if took := time.Since(start); took >= time.Second || inv.SettledBy != "that is enough" || titles(inv) != "Linux lts, Linux virt" {
					t.Errorf("%q had settled after %v, as %s", titles(inv), took, inv.SettledBy)
				}
				m.Plug(alpine("/dev/sdc1", "u3", "edge"))
				synctest.Wait()
				if inv := settled(t, sc); titles(inv) != "Linux lts, Linux virt, Linux edge" || inv.SettledBy != "no device has come for 1s" {
					t.Errorf("later: %q, as %s", titles(inv), inv.SettledBy)
				}
				return
			}
		}
	})
}

// lateEvent is a machine whose second disk is there before its event.
type lateEvent struct {
	*hardware.Machine
	there *bool
}

func (m lateEvent) Devices() ([]device.Block, []error) {
	all, errs := m.Machine.Devices()
	if !*m.there {
		all = all[:1]
	}
	return all, errs
}

func TestDiskBeforeItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := lateEvent{hardware.New(alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sdb1", "u2", "virt")), new(bool)}
		s := listener(m.Machine)
		s.Machine = m
		s.Awaited = func() string { *m.there = true; return "" }
		sc := s.Start(t.Context())
		defer sc.Stop()
		if got := titles(settled(t, sc)); got != "Linux lts, Linux virt" {
			t.Errorf("it has settled with %s", got)
		}
	})
}

func TestHotplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
		m.Latency = 0
		sc := listener(m).Start(t.Context())
		defer sc.Stop()
		start := time.Now()
		next := func() boot.Inventory {
			synctest.Wait()
			return settled(t, sc)
		}
		if got := titles(next()); got != "Linux lts" {
			t.Fatalf("got %q", got)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("it settled after %v, want the second in which no device came", got)
		}
		plugged := time.Now()
		m.Plug(alpine("/dev/sdb1", "u2", "virt"))
		for inv := range sc.Inventories() {
			if titles(inv) == "Linux lts, Linux virt" {
				break
			}
		}
		if took := time.Since(plugged); took > relistDelay+pace {
			t.Errorf("the stick was waited with for %v", took)
		}
		if m.Mounted() != 2 {
			t.Errorf("%d filesystems are mounted, want 2", m.Mounted())
		}
		m.Unplug("/dev/sda1")
		for inv := range sc.Inventories() {
			if titles(inv) == "Linux virt" {
				break
			}
		}
		synctest.Wait()
		if m.Mounted() != 1 {
			t.Errorf("%d filesystems are mounted after one was pulled out, want 1", m.Mounted())
		}
		if _, err := sc.Open(boot.Volume{Device: "/dev/sda1"}, "boot/vmlinuz-lts"); !errors.Is(err, errGone) {
			t.Errorf("opening a file of the disk that is gone: got %v", err)
		}
	})
}

func TestDriversHoldBackSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
		m.Latency = 0
		s := listener(m)
		ready := make(chan struct{})
		s.Ready = ready
		time.AfterFunc(5*time.Second, func() { close(ready) })
		start := time.Now()
		sc := s.Start(t.Context())
		defer sc.Stop()
		settled(t, sc)
		if got := time.Since(start); got != 6*time.Second {
			t.Errorf("it settled after %v, want one second after the drivers were loaded", got)
		}
	})
}

func TestGuessedOnlyWhereNothingIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "u1", "lts")
		files(d)["boot/vmlinuz-edge"], files(d)["boot/initramfs-edge"] = bzImage("6.18.1-0-edge"), initrd
		files(d)["etc/os-release"] = text("ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.23\"\n")
		files(d)["etc/fstab"] = text("UUID=u1\t/\text4\trw,relatime\t0 1\n")
		m := hardware.New(d)
		sc := scanner(m).Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if len(inv.Entries) != 2 {
			t.Fatalf("got %q, want the configured entry and a guessed one for the other kernel", titles(inv))
		}
		if e := inv.Entries[1]; !e.Guessed || e.Kernel != "boot/vmlinuz-edge" || !strings.Contains(e.Cmdline, "root=UUID=u1") {
			t.Errorf("got %+v", e)
		}
	})
}

func TestParserPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(alpine("/dev/sda1", "u1", "lts"))
		s := scanner(m)
		s.Formats = []boot.Format{{Name: "broken", Parse: func(fs.FS, boot.Volume, boot.Volumes) (boot.Listing, error) { panic("index out of range") }}}
		sc := s.Start(t.Context())
		defer sc.Stop()
		if got := problems(settled(t, sc)); !strings.Contains(got, "/dev/sda1") || !strings.Contains(got, "index out of range") {
			t.Errorf("got %q", got)
		}
	})
}

// A configuration on one volume that names a kernel on another, as GRUB's on an
// ESP does, has its entry as soon as that other volume has turned up.
func TestKernelOnAnotherVolume(t *testing.T) {
	pointer := boot.Format{Name: "pointer", Parse: func(fsys fs.FS, vol boot.Volume, others boot.Volumes) (boot.Listing, error) {
		uuid, err := fs.ReadFile(fsys, "pointer")
		if err != nil {
			return boot.Listing{}, nil
		}
		at := others.Find(boot.VolumeRef{UUID: string(uuid)}, vol)
		if len(at) == 0 {
			return boot.Listing{Unresolved: true, Notes: []boot.Note{{Text: "not there yet"}}}, nil
		}
		return boot.Listing{Entries: []boot.Entry{{Title: "Elsewhere", Volume: at[0].Volume, Kernel: "boot/vmlinuz-lts"}}}, nil
	}}
	synctest.Test(t, func(t *testing.T) {
		esp := hardware.Device{Block: device.Block{Path: "/dev/sda1", Disk: "/dev/sda"}, Superblock: superblock.Superblock{Type: "vfat", UUID: "1A2B-3C4D"}, Files: fstest.MapFS{"pointer": text("u2")}}
		late := alpine("/dev/sdb1", "u2", "lts")
		late.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: 3 * time.Second}}
		m := hardware.New(esp, alpine("/dev/sda2", "u1", "lts"), late)
		s := scanner(m)
		s.Formats = []boot.Format{pointer}
		sc := s.Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if len(inv.Entries) != 1 {
			t.Fatalf("got %q", titles(inv))
		}
		if e := inv.Entries[0]; e.Volume.Device != "/dev/sdb1" || e.Problem != "" || e.Version != "6.12.1-0-lts" {
			t.Errorf("got %+v", e)
		}
		for _, v := range inv.Volumes {
			if len(v.Notes) > 0 {
				t.Errorf("%s still says %v", v.Volume.Device, v.Notes)
			}
		}
	})
}

// A boot option of the firmware that starts a kernel by its EFI stub is an
// entry of the volume that the kernel is on.
func TestFirmwareOption(t *testing.T) {
	const guid = "7b7f4d6c-1f3e-4c0a-9d52-3a4b5c6d7e8f"
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "1A2B-3C4D", "lts")
		delete(files(d), "boot/extlinux.conf")
		d.Block.PartUUID, d.Block.Partition, d.Block.Disk = guid, 1, "/dev/sda"
		other := alpine("/dev/sdb1", "u2", "virt")
		other.Block.PartUUID = "00000000-0000-0000-0000-000000000001"
		m := hardware.New(d, other)
		s := scanner(m)
		s.Formats = all.Formats(fstest.MapFS{
			"Boot0001-8be4df61-93ca-11d2-aa0d-00e098032b8c":  {Data: loadOption("Alpine", guid, `\boot\vmlinuz-lts`, `root=UUID=u1 quiet initrd=\boot\initramfs-lts`)},
			"BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c": {Data: []byte{7, 0, 0, 0, 1, 0}},
		})
		sc := s.Start(t.Context())
		defer sc.Stop()
		inv := settled(t, sc)
		if titles(inv) != "Alpine, Linux virt" {
			t.Fatalf("got %q", titles(inv))
		}
		e := inv.Entries[0]
		if e.Format != "efivars" || e.Cmdline != "root=UUID=u1 quiet" || e.Problem != "" || len(e.Initrds) != 1 || e.Initrds[0] != "boot/initramfs-lts" {
			t.Errorf("got %+v", e)
		}
	})
}

// loadOption makes a Boot#### variable as efivarfs shows it: UEFI 2.10, 3.1.3.
func loadOption(title, partition, file, cmdline string) []byte {
	le := binary.LittleEndian
	ucs2 := func(s string) (b []byte) {
		for _, c := range utf16.Encode([]rune(s)) {
			b = le.AppendUint16(b, c)
		}
		return append(b, 0, 0)
	}
	var g [16]byte
	hex.Decode(g[:], []byte(strings.ReplaceAll(partition, "-", "")))
	g[0], g[1], g[2], g[3] = g[3], g[2], g[1], g[0]
	g[4], g[5] = g[5], g[4]
	g[6], g[7] = g[7], g[6]
	path := []byte{4, 1, 42, 0, 1, 0, 0, 0} // a partition: number 1, first and number of sectors
	path = append(path, make([]byte, 16)...)
	path = append(path, g[:]...)
	path = append(path, 2, 2) // GPT, by GUID
	name := ucs2(file)
	path = append(path, 4, 4)
	path = le.AppendUint16(path, uint16(4+len(name)))
	path = append(append(path, name...), 0x7f, 0xff, 4, 0)
	b := []byte{7, 0, 0, 0, 1, 0, 0, 0} // the variable's attributes, the option's
	b = le.AppendUint16(b, uint16(len(path)))
	b = append(b, ucs2(title)...)
	return append(append(b, path...), ucs2(cmdline)...)
}
