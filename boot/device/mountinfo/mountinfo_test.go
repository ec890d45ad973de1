package mountinfo

import "testing"

func TestParse(t *testing.T) {
	mounts := Parse(`21 1 8:3 / / rw,noatime shared:1 - ext4 /dev/sda3 rw,errors=remount-ro
22 21 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw,size=1k
24 21 8:2 / /boot/efi ro - vfat /dev/sda2 ro
25 21 7:0 / /mnt/an\040image rw - ext4 /dev/loop0 rw
27 21 0:40 / /home rw - nfs4 server:/home rw,vers=4.2
28 21 0:31 /@ /media/btrfs rw,relatime - btrfs /dev/sdb1 rw,subvolid=256,subvol=/@
nonsense
29 21 8:17 / broken - ext4
`)
	if len(mounts) != 6 {
		t.Fatalf("got %+v", mounts)
	}
	for i, want := range []struct {
		root, point               string
		disk, network, isReadOnly bool
	}{
		{"/", "/", true, false, false},
		{"/", "/dev", false, false, false},
		{"/", "/boot/efi", true, false, true},
		{"/", "/mnt/an image", true, false, false},
		{"/", "/home", false, true, false},
		{"/@", "/media/btrfs", true, false, false},
	} {
		m := mounts[i]
		if m.Root != want.root || m.Point != want.point || m.OnDisk() != want.disk || m.OnNetwork() != want.network || m.ReadOnly() != want.isReadOnly {
			t.Errorf("got %+v, want %+v", m, want)
		}
	}
	for in, want := range map[string]string{`a\040b\134c`: `a b\c`, `\04`: `\04`, `\999x`: `\999x`, "": ""} {
		if got := unescape(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
