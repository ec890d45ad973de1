package device

import (
	"io/fs"
	"path"
	"testing"
	"testing/fstest"
)

func TestFixed(t *testing.T) {
	tree := fstest.MapFS{}
	disk := func(name, dir string, files ...string) {
		tree["class/block/"+name] = &fstest.MapFile{Data: []byte("../../" + dir), Mode: fs.ModeSymlink}
		tree[dir+"/removable"] = &fstest.MapFile{Data: []byte("0\n")}
		for i := 0; i < len(files); i += 2 {
			tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1] + "\n")}
		}
	}
	disk("sda", "devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda")
	disk("nvme0n1", "devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0/nvme0n1")
	disk("nvme1n1", "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/nvme/nvme1/nvme1n1", "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/removable", "removable")
	disk("vda", "devices/pci0000:00/0000:00:04.0/virtio1/block/vda")
	disk("sdb", "devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0/block/sdb")
	disk("sdc", "devices/pci0000:00/ata2/host1/target1:0:0/1:0:0:0/block/sdc", "devices/pci0000:00/ata2/host1/target1:0:0/1:0:0:0/block/sdc/removable", "1")
	disk("mmcblk0", "devices/platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", "devices/platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/device/type", "MMC")
	disk("mmcblk1", "devices/platform/soc/mmc_host/mmc1/mmc1:0001/block/mmcblk1", "devices/platform/soc/mmc_host/mmc1/mmc1:0001/block/mmcblk1/device/type", "SD")
	disk("loop0", "devices/virtual/block/loop0")
	disk("cciss!c0d0", "devices/pci0000:00/0000:00:05.0/cciss0/c0d0/block/cciss!c0d0")
	disk("odd", "../../etc")
	made := func(name string, of ...string) {
		disk(name, "devices/virtual/block/"+name)
		for _, member := range of {
			tree["devices/virtual/block/"+name+"/slaves/"+member] = &fstest.MapFile{}
		}
	}
	made("md0", "sda", "nvme0n1")
	made("md1", "sda", "sdb")
	made("dm-0", "md0")
	made("dm-1", "md1", "sda")
	made("dm-2", "dm-3")
	made("dm-3", "dm-2")
	subsystem := func(number string, ways ...string) {
		dir := "devices/virtual/nvme-subsystem/nvme-subsys" + number
		disk("nvme"+number+"n1", dir+"/nvme"+number+"n1")
		for _, way := range ways {
			tree[dir+"/"+path.Base(way)] = &fstest.MapFile{Data: []byte("../../../../" + way), Mode: fs.ModeSymlink}
		}
	}
	subsystem("2", "devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme2", "devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme3")
	subsystem("4", "devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme4", "devices/pci0000:00/0000:00:1c.0/0000:05:00.0/nvme/nvme5")
	for name, want := range map[string]bool{
		"/dev/sda": true, "/dev/nvme0n1": true, "/dev/vda": true, "/dev/mmcblk0": true, "/dev/cciss/c0d0": true,
		"/dev/md0": true, "/dev/dm-0": true, "/dev/nvme2n1": true,
		"/dev/md1": false, "/dev/dm-1": false, "/dev/dm-2": false, "/dev/nvme4n1": false,
		"/dev/nvme1n1": false, "/dev/sdb": false, "/dev/sdc": false, "/dev/mmcblk1": false, "/dev/loop0": false, "/dev/odd": false,
		"/dev/sdz": false, "disk.img": false, "/dev/": false, "": false,
	} {
		if got := Fixed(tree, name); got != want {
			t.Errorf("%s: fixed is %v, want %v", name, got, want)
		}
	}
}
