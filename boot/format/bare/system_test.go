package bare_test

import (
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/bare"
)

// The system that an entry boots is named by its root=, by an fstab that mounts the
// volume of its kernel, or by what is on that volume; never by a guess among several.
func TestSystem(t *testing.T) {
	esp := boot.Volume{Device: "/dev/sda1", UUID: "1234-ABCD", Type: "vfat"}
	alpha := boot.Volume{Device: "/dev/sda2", UUID: "u-2", PartUUID: "p-2", Type: "ext4"}
	beta := boot.Volume{Device: "/dev/sda3", UUID: "u-3", PartLabel: "beta", Type: "ext4"}
	roots := append(bare.FindRoots(system(map[string]string{"etc/os-release": "PRETTY_NAME=\"Alpine Linux v3.23\"\n", "etc/hostname": "# mine\nweb1\n", "etc/fstab": "UUID=u-2 / ext4\nUUID=1234-ABCD /boot vfat\n"}), alpha),
		bare.FindRoots(system(map[string]string{"etc/os-release": "NAME=Debian\n", "etc/hostname": "bad\x1b[2J\n"}), beta)...)
	web, deb := boot.System{Name: "Alpine Linux v3.23", Host: "web1"}, boot.System{Name: "Debian"}
	for _, tt := range []struct {
		name string
		e    boot.Entry
		want boot.System
	}{
		{"root=UUID=", boot.Entry{Volume: esp, Cmdline: "quiet root=UUID=U-3"}, deb},
		{"root=PARTUUID=", boot.Entry{Volume: beta, Cmdline: "root=PARTUUID=P-2"}, web},
		{"root=PARTLABEL=", boot.Entry{Volume: esp, Cmdline: "root=PARTLABEL=beta"}, deb},
		{"a device", boot.Entry{Volume: esp, Cmdline: "root=/dev/sda2"}, web},
		{"its own volume", boot.Entry{Volume: beta}, deb},
		{"mounted by an fstab", boot.Entry{Volume: esp}, web},
		{"unknown", boot.Entry{Volume: boot.Volume{Device: "/dev/sdb1", UUID: "x"}, Cmdline: "root=UUID=y"}, boot.System{}},
	} {
		if got := bare.System(tt.e, roots); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
	both := append(bare.FindRoots(system(nil), beta), bare.FindRoots(system(map[string]string{"etc/hostname": "other"}), beta)...)
	if got := bare.System(boot.Entry{Volume: beta}, both); got != (boot.System{}) {
		t.Errorf("of two systems on one volume: got %+v", got)
	}
}
