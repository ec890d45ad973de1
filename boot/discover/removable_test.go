package discover

import (
	"fmt"
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

// plugged makes a device one that is not built in.
func plugged(d hardware.Device) hardware.Device {
	d.Block.Removable = true
	return d
}

// scanned returns what is found on devices.
func scanned(t *testing.T, devices ...hardware.Device) (inv boot.Inventory) {
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(devices...)
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		inv = settled(t, sc)
	})
	return inv
}

// where returns the devices of entries, with a + for those that are not built in.
func where(inv boot.Inventory) string {
	var list []string
	for _, e := range inv.Entries {
		s := e.Volume.Device
		if e.Removable {
			s += "+"
		}
		list = append(list, s)
	}
	return strings.Join(list, " ")
}

// A copy of a disk on a stick, whose name comes first, takes neither the IDs of the
// entries that are built in nor their places in the list.
func TestBuiltInKeepsItsIDs(t *testing.T) {
	alone := scanned(t, alpine("/dev/vda1", "u1", "lts"))
	inv := scanned(t, plugged(alpine("/dev/sda1", "u1", "lts")), alpine("/dev/vda1", "u1", "lts"))
	if got := where(inv); got != "/dev/vda1 /dev/sda1+" {
		t.Fatalf("got %s", got)
	}
	if got, want := inv.Entries[0].ID, alone.Entries[0].ID; got != want || inv.Entries[1].ID == want {
		t.Errorf("got the IDs %q and %q, want %q and another", got, inv.Entries[1].ID, want)
	}
	if alone.Entries[0].Suspect != "" || !strings.Contains(inv.Entries[0].Suspect, "2 volumes have the UUID u1") {
		t.Errorf("suspected: %q alone, and %q with the stick", alone.Entries[0].Suspect, inv.Entries[0].Suspect)
	}
}

// What is guessed and built in comes before what a stick's configuration names.
func TestListBeginsWithWhatIsBuiltIn(t *testing.T) {
	guessed := alpine("/dev/vda1", "u1", "lts")
	delete(files(guessed), "boot/extlinux.conf")
	files(guessed)["etc/os-release"] = text("ID=alpine\n")
	files(guessed)["etc/fstab"] = text("UUID=u1 / ext4 rw 0 1\n")
	inv := scanned(t, plugged(alpine("/dev/sda1", "u2", "lts")), guessed)
	if got := where(inv); got != "/dev/vda1 /dev/sda1+" || !inv.Entries[0].Guessed {
		t.Errorf("got %s", got)
	}
}

// A configuration on a stick may name a kernel that is built in, in the words that
// the configuration there has: that makes it neither the default nor one that is
// built in.
func TestStickThatNamesAKernelInside(t *testing.T) {
	grub := func(root string) *fstest.MapFile {
		return text("search --set=root --fs-uuid u1\nset default=b\nset timeout=1\n" +
			"menuentry A --id a {\nlinux /boot/vmlinuz-lts root=/dev/vda1\ninitrd /boot/initramfs-lts\n}\n" +
			"menuentry B --id b {\nlinux /boot/vmlinuz-lts " + root + "\ninitrd /boot/initramfs-lts\n}\n")
	}
	inside := alpine("/dev/vda1", "u1", "lts")
	delete(files(inside), "boot/extlinux.conf")
	files(inside)["boot/grub/grub.cfg"] = text("set default=a\nmenuentry A --id a {\nlinux /boot/vmlinuz-lts root=/dev/vda1\ninitrd /boot/initramfs-lts\n}\n" +
		"menuentry B --id b {\nlinux /boot/vmlinuz-lts root=/dev/vda1 single\ninitrd /boot/initramfs-lts\n}\n")
	stick := plugged(hardware.Device{
		Block:      device.Block{Path: "/dev/sda1", Size: 1 << 30},
		Superblock: superblock.Superblock{Type: "vfat", UUID: "1A2B-3C4D"},
	})
	for _, root := range []string{"root=/dev/vda1 single", "root=/dev/vda1 init=/bin/sh"} {
		stick.Files = fstest.MapFS{"boot/grub/grub.cfg": grub(root)}
		inv := scanned(t, stick, inside)
		for i, e := range inv.Entries {
			switch {
			case e.Removable != (i >= 2):
				t.Errorf("%s: entry %d, %q, is removable: %v", root, i, e.Cmdline, e.Removable)
			case i < 2 && (e.Default != (i == 0) || e.Timeout != nil):
				t.Errorf("%s: entry %d has changed: default %v, timeout %v", root, i, e.Default, e.Timeout)
			}
		}
		if want := map[bool]int{true: 2, false: 3}[strings.HasSuffix(root, "single")]; len(inv.Entries) != want {
			t.Errorf("%s: got %q, want %d entries", root, titles(inv), want)
		}
	}
}

// What a configuration that is built in names on another volume is found on one
// that is built in, whatever hints and names of disks could mean.
func TestNamesMeanWhatIsBuiltIn(t *testing.T) {
	part := func(path, disk string, number int, uuid string, files fstest.MapFS) hardware.Device {
		return hardware.Device{
			Block:      device.Block{Path: path, Disk: disk, Partition: number, Size: 1 << 30},
			Superblock: superblock.Superblock{Type: "ext4", UUID: uuid, Label: map[bool]string{true: "BOOT"}[number == 2]},
			Files:      files,
		}
	}
	kernel := func() fstest.MapFS {
		return fstest.MapFS{"vmlinuz-lts": bzImage("6.12.1-0-lts"), "initramfs-lts": initrd}
	}
	for name, find := range map[string]string{
		"hint":  "search --set=root --fs-uuid --hint-bios=hd0,gpt2 u1",
		"label": "search --set=root --label BOOT",
		"disk":  "if [ -f (hd0,gpt1)/x ]; then\ntrue\nfi\nset root=hd1,gpt2",
		"file":  "search --set=root --file /vmlinuz-lts",
	} {
		t.Run(name, func(t *testing.T) {
			inv := scanned(t,
				plugged(part("/dev/sda2", "/dev/sda", 2, "u1", kernel())),
				part("/dev/vda1", "/dev/vda", 1, "u0", fstest.MapFS{"boot/grub/grub.cfg": text("insmod part_gpt\nset root=hd0,gpt1\n" + find +
					"\nmenuentry A {\nlinux /vmlinuz-lts root=/dev/vdb3\ninitrd /initramfs-lts\n}\n")}),
				part("/dev/vdb2", "/dev/vdb", 2, "u1", kernel()),
			)
			i := slices.IndexFunc(inv.Entries, func(e boot.Entry) bool { return e.Title == "A" })
			if i < 0 || inv.Entries[i].Volume.Device != "/dev/vdb2" || inv.Entries[i].Removable || inv.Entries[i].Problem != "" {
				t.Errorf("got %+v", inv.Entries)
			}
		})
	}
}

// The root filesystem of a guessed entry is one that is built in.
func TestRootOfAKernelInside(t *testing.T) {
	kernels := hardware.Device{
		Block:      device.Block{Path: "/dev/vda1", Disk: "/dev/vda", Partition: 1, Size: 1 << 30},
		Superblock: superblock.Superblock{Type: "ext4", UUID: "b1"},
		Files:      fstest.MapFS{"vmlinuz-lts": bzImage("6.12.1-0-lts"), "initramfs-lts": initrd},
	}
	root := func(path, disk, uuid string) hardware.Device {
		return hardware.Device{
			Block:      device.Block{Path: path, Disk: disk, Partition: 2, Size: 1 << 30},
			Superblock: superblock.Superblock{Type: "ext4", UUID: uuid},
			Files: fstest.MapFS{
				"etc/os-release": text("ID=alpine\nPRETTY_NAME=\"Alpine " + uuid + "\"\n"),
				"etc/fstab":      text("UUID=" + uuid + " / ext4 rw 0 1\nUUID=b1 /boot ext4 rw 0 2\n"),
			},
		}
	}
	inside, stick := root("/dev/vdb2", "/dev/vdb", "inside"), plugged(root("/dev/sda2", "/dev/sda", "stick"))
	for want, devices := range map[string][]hardware.Device{
		"root=UUID=inside": {stick, kernels, inside},
		"root=UUID=stick":  {stick, kernels}, // as somebody has it who keeps the system on a stick
	} {
		inv := scanned(t, devices...)
		if len(inv.Entries) != 1 || !strings.Contains(inv.Entries[0].Cmdline, want) || inv.Entries[0].Removable != strings.HasSuffix(want, "stick") {
			t.Errorf("want %s: got %+v", want, inv.Entries)
		}
	}
}

// The newer member of an array, on a stick, is not read in place of the one that
// is built in; and what is made of a stick is as removable as the stick.
func TestRemovableMembers(t *testing.T) {
	member := func(path string, role int, events uint64, flavour string) hardware.Device {
		d := mirrored(path, role, alpine("/dev/mapper/md-0", "u1", flavour))
		d.Member.RAID.Events = events
		return d
	}
	disc := alpine("/dev/loop0", "2026-11-22-00-00-00-00", "virt")
	image := plugged(alpine("/dev/sdb1", "u2", "lts"))
	files(image)["a.iso"] = text("")
	image.Images = map[string]*hardware.Device{"a.iso": &disc}
	pool := func(path string) hardware.Device {
		d := alpine(path, "u1", "lts")
		d.Superblock.Type, d.Superblock.Devices = "btrfs", 2
		return d
	}
	for _, tt := range []struct {
		name    string
		devices []hardware.Device
		want    string
	}{
		{"newer on a stick", []hardware.Device{plugged(member("/dev/sda1", 0, 99, "evil")), member("/dev/vda1", 1, 7, "lts")}, "Linux lts: /dev/mapper/md-0"},
		{"only on a stick", []hardware.Device{plugged(member("/dev/sda1", 0, 99, "evil"))}, "Linux evil: /dev/mapper/md-0+"},
		{"an image file", []hardware.Device{image}, "Linux lts, Linux virt: /dev/sdb1+ /dev/sdb1:/a.iso+"},
		{"a filesystem on a disk and a stick", []hardware.Device{plugged(pool("/dev/sda1")), pool("/dev/vda1")}, "Linux lts: /dev/sda1+"},
	} {
		inv := scanned(t, tt.devices...)
		if got := titles(inv) + ": " + where(inv); got != tt.want {
			t.Errorf("%s: got %s, want %s (%s)", tt.name, got, tt.want, problems(inv))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(plugged(locked("/dev/sda2", "crypt", alpine("/dev/mapper/luks-crypt", "u1", "lts"))))
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		settled(t, sc)
		if err := sc.Unlock(t.Context(), "/dev/sda2", []byte("right")); err != nil {
			t.Fatal(err)
		}
		if got := where(settled(t, sc)); got != "/dev/mapper/luks-crypt+" {
			t.Errorf("got %s", got)
		}
	})
}

// What was made of a stick gives way when the member that is built in answers late,
// and is made again under another name, if it is another array.
func TestStickGivesWay(t *testing.T) {
	member := func(path string, role int, flavour, array, node string) hardware.Device {
		d := mirrored(path, role, alpine(node, "u"+flavour, flavour))
		d.Superblock.UUID, d.Member.RAID.UUID = array, array
		return d
	}
	for _, tt := range []struct {
		name, array, node string
		want              string
		made              int // how often of the stick
	}{
		{"the same array", "r1", "/dev/mapper/md-0", "Linux lts: /dev/mapper/md-0", 1},
		{"another of its name", "r2", "/dev/mapper/stick", "Linux lts, Linux evil: /dev/mapper/md-0 /dev/mapper/stick+", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := member("/dev/vda1", 1, "lts", "r1", "/dev/mapper/md-0")
				slow.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: time.Minute}}
				m := hardware.New(plugged(member("/dev/sda1", 0, "evil", tt.array, tt.node)), slow)
				sc := listener(m).Start(t.Context())
				defer stop(t, sc, m)
				inv := settled(t, sc)
				if got := titles(inv) + ": " + where(inv); got != "Linux evil: "+tt.node+"+" {
					t.Fatalf("at first: %s", got)
				}
				time.Sleep(2 * time.Minute)
				inv = settled(t, sc)
				if got := titles(inv) + ": " + where(inv); got != tt.want || m.Calls(hardware.Assemble, "/dev/sda1") != tt.made {
					t.Errorf("afterwards: %s (%s), made %d times", got, problems(inv), m.Calls(hardware.Assemble, "/dev/sda1"))
				}
			})
		})
	}
}

// An entry that names a volume by what several have is suspected, by whatever it
// names it, and so is one that names none.
func TestSuspects(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"root=UUID=u1", "2 volumes have the UUID u1"},
		{"root=LABEL=same", "2 volumes have the LABEL same"},
		{"cryptroot=PARTUUID=ABCD-01", "2 volumes have the PARTUUID abcd-01"},
		{"root=PARTLABEL=root", "2 volumes have the PARTLABEL root"},
		{"root=", "Its command line names no root filesystem (root=)"},
		{"root=UUID= ro", "Its command line names no root filesystem (root=UUID=)"},
		{"root=${rootdev}", "Its command line names no root filesystem (root=${rootdev})"},
		{"root=/dev/vda1", ""},
		{"root=LABEL=other", ""},
	} {
		a, b := alpine("/dev/vda1", "u1", "lts"), alpine("/dev/vdb1", "u1", "virt")
		for _, d := range []*hardware.Device{&a, &b} {
			d.Block.PartUUID, d.Block.PartLabel, d.Superblock.Label = "abcd-01", "root", "same"
			for name, f := range files(*d) {
				if strings.HasSuffix(name, ".conf") {
					files(*d)[name] = text(strings.ReplaceAll(string(f.Data), "root=UUID=u1", tt.names))
				}
			}
		}
		for _, e := range scanned(t, a, b).Entries {
			if (e.Suspect == "") != (tt.want == "") || !strings.HasPrefix(e.Suspect, tt.want) || e.Suspect != "" && !slices.Contains(e.Notes, e.Suspect) {
				t.Errorf("%s: got %q with the notes %q", tt.names, e.Suspect, e.Notes)
			}
		}
	}
}

func TestOverdueIsSaid(t *testing.T) {
	slow := alpine("/dev/vda1", "u1", "lts")
	slow.Faults = map[hardware.Step]hardware.Fault{hardware.Probe: {Delay: time.Minute}}
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(plugged(alpine("/dev/sda1", "u2", "virt")), slow)
		sc := listener(m).Start(t.Context())
		defer stop(t, sc, m)
		overdue := func(inv boot.Inventory) (s string) {
			for _, v := range inv.Volumes {
				s += fmt.Sprint(" ", v.Volume.Device, v.Overdue)
			}
			return s[1:]
		}
		if got := overdue(settled(t, sc)); got != "/dev/sda1false /dev/vda1true" {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Minute)
		if got := overdue(settled(t, sc)); got != "/dev/sda1false /dev/vda1false" {
			t.Errorf("after the answer: %s", got)
		}
	})
}

// tables is a machine whose kernel does not list the UUIDs of partitions.
type tables struct {
	*hardware.Machine
	uuids map[string]string // by disk and number
}

func (m tables) PartUUID(disk string, number int) (string, error) {
	return m.uuids[fmt.Sprint(disk, number)], nil
}

// Where the kernel does not list the UUIDs of partitions, those of the table on the
// disk count.
func TestPartUUIDsOfTheTable(t *testing.T) {
	part := func(path, disk string, number int, uuid string) hardware.Device {
		d := plugged(alpine(path, uuid, "lts"))
		d.Block.Disk, d.Block.Partition = disk, number
		return d
	}
	synctest.Test(t, func(t *testing.T) {
		m := hardware.New(part("/dev/sda1", "/dev/sda", 1, "u1"), part("/dev/sdb1", "/dev/sdb", 1, "u2"), part("/dev/sdb2", "/dev/sdb", 2, "u3"))
		s := scanner(m)
		s.Machine = tables{m, map[string]string{"/dev/sda1": "p1", "/dev/sdb1": "p2", "/dev/sdb2": "p3"}}
		s.Own = func() string { return "P2" }
		sc := s.Start(t.Context())
		defer stop(t, sc, m)
		inv := settled(t, sc)
		if got := where(inv); got != "/dev/sdb1 /dev/sdb2 /dev/sda1+" || inv.Entries[0].Volume.PartUUID != "p2" {
			t.Errorf("got %s and %+v", got, inv.Entries)
		}
	})
}

// The stick that alpboot was started from counts as built in; a copy of a disk
// that is built in does not.
func TestOwnStick(t *testing.T) {
	part := func(path, disk, uuid, partUUID string) hardware.Device {
		d := alpine(path, uuid, "lts")
		d.Block.Disk, d.Block.Partition, d.Block.PartUUID = disk, 1, partUUID
		return d
	}
	system := plugged(part("/dev/sda2", "/dev/sda", "u2", "p2"))
	esp := plugged(part("/dev/sda1", "/dev/sda", "u1", "p1"))
	other := plugged(part("/dev/sdb1", "/dev/sdb", "u3", "p3"))
	for _, tt := range []struct {
		name    string
		own     func() string
		devices []hardware.Device
		want    string
		within  time.Duration
	}{
		{"the firmware names it", func() string { return "P1" }, []hardware.Device{other, esp, system}, "/dev/sda1 /dev/sda2 /dev/sdb1+", time.Second},
		{"it names none", func() string { return "" }, []hardware.Device{other, esp}, "/dev/sdb1+ /dev/sda1+", time.Second},
		{"a copy of a disk", func() string { return "p1" }, []hardware.Device{esp, part("/dev/vda1", "/dev/vda", "u1", "p1")}, "/dev/vda1 /dev/sda1+", time.Second},
		{"it is slow", func() string { time.Sleep(time.Minute); return "p1" }, []hardware.Device{esp}, "/dev/sda1+", 11 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := hardware.New(tt.devices...)
				s := scanner(m)
				s.Own = tt.own
				began := time.Now()
				sc := s.Start(t.Context())
				inv := settled(t, sc)
				if got := where(inv); got != tt.want || time.Since(began) > tt.within {
					t.Errorf("got %s after %v, want %s", got, time.Since(began), tt.want)
				}
				began = time.Now()
				if sc.Stop(); time.Since(began) > time.Second {
					t.Errorf("Stop took %v", time.Since(began))
				}
				time.Sleep(time.Minute) // until the firmware has answered
			})
		})
	}
}
