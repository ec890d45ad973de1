package boot

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestFind(t *testing.T) {
	with := func(name string) fstest.MapFS { return fstest.MapFS{name: {}} }
	esp := MountedVolume{Volume{Device: "/dev/sda1", Disk: "/dev/sda", UUID: "1A2B-3C4D", Type: "vfat", Partition: 1, PartLabel: "EFI"}, with("limine.conf")}
	root := MountedVolume{Volume{Device: "/dev/sda2", Disk: "/dev/sda", UUID: "u1", Label: "/", Partition: 2, PartUUID: "p2"}, with("boot/grub/grub.cfg")}
	whole := MountedVolume{Volume{Device: "/dev/vda", UUID: "u2", Label: "/"}, with("boot/vmlinuz")}
	twin := MountedVolume{Volume{Device: "/dev/sdb2", Disk: "/dev/sdb", UUID: "u1", Label: "/", Partition: 2, PartUUID: "p2"}, with("boot/grub/grub.cfg")}
	stick := MountedVolume{Volume{Device: "/dev/sdc2", Disk: "/dev/sdc", UUID: "u2", Label: "/", PartUUID: "p2", Removable: true}, with("boot/vmlinuz")}
	vs := Volumes{stick, twin, esp, root, whole}
	for _, tt := range []struct {
		name string
		ref  VolumeRef
		want string
	}{
		{name: "UUID of a FAT volume, in other case", ref: VolumeRef{UUID: "1a2b-3c4d"}, want: "/dev/sda1"},
		{name: "the one on the same disk first", ref: VolumeRef{UUID: "u1"}, want: "/dev/sda2 /dev/sdb2"},
		{name: "label", ref: VolumeRef{Label: "/"}, want: "/dev/sda2 /dev/sdb2 /dev/vda /dev/sdc2"},
		{name: "label and file", ref: VolumeRef{Label: "/", File: "boot/vmlinuz"}, want: "/dev/vda /dev/sdc2"},
		{name: "partition of a disk", ref: VolumeRef{Disk: "/dev/sdb", Partition: 2}, want: "/dev/sdb2"},
		{name: "a whole disk", ref: VolumeRef{Disk: "/dev/vda"}, want: "/dev/vda"},
		{name: "partition's UUID", ref: VolumeRef{PartUUID: "P2"}, want: "/dev/sda2 /dev/sdb2 /dev/sdc2"},
		{name: "partition's label", ref: VolumeRef{PartLabel: "EFI"}, want: "/dev/sda1"},
		{name: "what is built in before what is not", ref: VolumeRef{UUID: "u2"}, want: "/dev/vda /dev/sdc2"},
		{name: "nothing asked for", ref: VolumeRef{}},
		{name: "not there", ref: VolumeRef{UUID: "u9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, v := range vs.Find(tt.ref, esp.Volume) {
				got = append(got, v.Volume.Device)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	fsys := fstest.MapFS{"a": {Data: []byte("12345")}, "d/x": {}}
	if b, err := ReadFile(fsys, "a", 5); err != nil || string(b) != "12345" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := ReadFile(fsys, "a", 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file over the limit returned %v", err)
	}
	if _, err := ReadFile(fsys, "d", 9); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a directory returned %v", err)
	}
}

func TestImageDevice(t *testing.T) {
	stick := Volume{Device: "/dev/sdb1"}
	if got := stick.ImageDevice("iso/a.iso"); got != "/dev/sdb1:/iso/a.iso" || !(Volume{Device: got}).InImage() || stick.InImage() {
		t.Errorf("got %s", got)
	}
}
