package device

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/version"
)

// sysfs makes a tree of files. Disks are on a bus; made are those of no bus.
func sysfs(files map[string]string, made ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, content := range files {
		disk, rest, _ := strings.Cut(name, "/")
		at := "devices/pci0000:00/block/"
		if slices.Contains(made, disk) {
			at = "devices/virtual/block/"
		}
		tree["class/block/"+disk] = &fstest.MapFile{Data: []byte("../../" + at + disk), Mode: fs.ModeSymlink}
		tree[at+disk+"/"+rest] = &fstest.MapFile{Data: []byte(content + "\n")}
	}
	return tree
}

func TestList(t *testing.T) {
	tree := sysfs(map[string]string{
		"sda/size": "209715200", "sda/uevent": "DEVNAME=sda\nDEVTYPE=disk", "sda/removable": "1", "sda/ro": "0", "sda/device/model": "USB  Stick   ",
		"sda/sda1/partition": "1", "sda/sda2/partition": "2", "sda/sda10/partition": "10",
		"sda1/size": "2048", "sda1/uevent": "DEVNAME=sda1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=EFI System\nPARTUUID=1b2c", "sda1/partition": "1",
		"sda2/size": "2048", "sda2/uevent": "DEVNAME=sda2", "sda2/partition": "2",
		"sda10/size": "2048", "sda10/uevent": "DEVNAME=sda10", "sda10/partition": "10",
		"nvme0n1/size": "1000", "nvme0n1/uevent": "DEVNAME=nvme0n1",
		"nvme0c0n1/size": "1000", "nvme0c0n1/uevent": "DEVTYPE=disk", "nvme0c0n1/hidden": "1",
		"mmcblk0/size": "1000", "mmcblk0/uevent": "DEVNAME=mmcblk0", "mmcblk0/device/name": "SD32G",
		"mmcblk0boot0/size": "8192", "mmcblk0boot0/uevent": "DEVNAME=mmcblk0boot0",
		"mmcblk0rpmb/size": "8192", "mmcblk0rpmb/uevent": "DEVNAME=mmcblk0rpmb",
		"dm-0/size": "1000", "dm-0/uevent": "DEVNAME=dm-0", "dm-0/dm/name": "vg0-lv_root",
		"md127/size": "1000", "md127/uevent": "DEVNAME=md127",
		"sr0/size": "1000", "sr0/uevent": "DEVNAME=sr0", "sr0/removable": "1",
		"cciss!c0d0/size": "1000", "cciss!c0d0/uevent": "DEVNAME=cciss/c0d0",
		"loop0/size": "0", "loop0/uevent": "DEVNAME=loop0",
		"loop1/size": "1000", "loop1/uevent": "DEVNAME=loop1",
		"ram0/size": "8192", "ram0/uevent": "DEVNAME=ram0",
		"zram0/size": "8192", "zram0/uevent": "DEVNAME=zram0",
		"fd0/size": "8", "fd0/uevent": "DEVNAME=fd0",
		"mtdblock0/size": "8192", "mtdblock0/uevent": "DEVNAME=mtdblock0",
		"sdx/size": "many", "sdx/uevent": "DEVNAME=sdx",
		"sdy/size": "-5", "sdy/uevent": "DEVNAME=sdy",
		"sdz/size": "5", "sdz/uevent": "DEVNAME=sdz", "sdz/partition": "zero",
		"gone/ro": "0",
	}, "dm-0", "md127", "loop1")
	got, errs := List(tree)
	want := []Block{
		{Name: "cciss!c0d0", Path: "/dev/cciss/c0d0", Size: 512000},
		{Name: "dm-0", Removable: true, Path: "/dev/mapper/vg0-lv_root", Size: 512000},
		{Name: "loop1", Removable: true, Path: "/dev/loop1", Size: 512000},
		{Name: "md127", Removable: true, Path: "/dev/md127", Size: 512000},
		{Name: "mmcblk0", Path: "/dev/mmcblk0", Size: 512000, Model: "SD32G"},
		{Name: "nvme0n1", Path: "/dev/nvme0n1", Size: 512000},
		{Name: "sda", Path: "/dev/sda", Partitions: 3, Size: 209715200 * 512, Removable: true, Model: "USB Stick"},
		{Name: "sda1", Path: "/dev/sda1", Disk: "/dev/sda", Partition: 1, Size: 1 << 20, Removable: true, Model: "USB Stick", PartUUID: "1b2c", PartLabel: "EFI System"},
		{Name: "sda2", Path: "/dev/sda2", Disk: "/dev/sda", Partition: 2, Size: 1 << 20, Removable: true, Model: "USB Stick"},
		{Name: "sda10", Path: "/dev/sda10", Disk: "/dev/sda", Partition: 10, Size: 1 << 20, Removable: true, Model: "USB Stick"},
		{Name: "sr0", Path: "/dev/sr0", Size: 512000, Removable: true},
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("device %d: got\n%+v\nwant\n%+v", i, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
	var broken []string
	for _, err := range errs {
		for name := range strings.FieldsSeq(err.Error()) {
			if strings.HasPrefix(name, "sd") {
				broken = append(broken, strings.TrimSuffix(name, ":"))
			}
		}
	}
	slices.Sort(broken)
	if !slices.Equal(broken, []string{"sdx", "sdy", "sdz"}) {
		t.Errorf("errors %v", errs)
	}
}

// TestListHost compares with what the kernel says in another place.
func TestListHost(t *testing.T) {
	listed, err := os.ReadFile("/proc/partitions")
	if err != nil {
		t.Skip(err)
	}
	blocks, errs := List(os.DirFS("/sys"))
	if len(errs) > 0 {
		t.Error(errs)
	}
	if len(blocks) == 0 {
		t.Skip("no disk here")
	}
	for _, b := range blocks {
		if !strings.Contains(string(listed), " "+b.Name+"\n") {
			t.Errorf("%s is not in /proc/partitions", b.Name)
		}
		if st, err := os.Stat(b.Path); err == nil && st.Mode().Type() != fs.ModeDevice {
			t.Errorf("%s is not a block device", b.Path)
		}
	}
}

func TestListWithoutSysfs(t *testing.T) {
	if got, errs := List(fstest.MapFS{}); len(got) != 0 || len(errs) != 1 {
		t.Errorf("got %v, %v", got, errs)
	}
}

func TestCompareNatural(t *testing.T) {
	sorted := []string{"", "dm-0", "dm-1", "dm-10", "nvme0n1", "nvme0n1p1", "nvme0n1p2", "nvme0n1p10", "nvme0n2", "nvme1n1", "nvme10n1", "sd", "sda", "sda1", "sda2", "sda10", "sda184467440737095516160", "sdb"}
	for i, a := range sorted {
		for j, b := range sorted {
			if c := version.Compare(a, b); (c < 0) != (i < j) || (c == 0) != (i == j) {
				t.Errorf("version.Compare(%q, %q) = %d", a, b, c)
			}
		}
	}
}
