package settings

import (
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// TestStateFile asserts where remember = auto finds a file that somebody has made,
// and that no stick and no other filesystem brings one.
func TestStateFile(t *testing.T) {
	volume := func(change func(*boot.MountedVolume), files ...string) boot.MountedVolume {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for _, f := range files {
			if i := strings.LastIndexByte(f, '/'); i > 0 {
				if err := root.MkdirAll(f[:i], 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := remember.Prepare(root, f); err != nil {
				t.Fatal(err)
			}
		}
		c := boot.MountedVolume{Volume: boot.Volume{Device: "/dev/sda1", Type: "vfat", UUID: "1234-ABCD", Partition: 1}, FS: os.DirFS(dir)}
		if change != nil {
			change(&c)
		}
		return c
	}
	ext4 := func(c *boot.MountedVolume) { c.Volume.Type, c.Volume.Device = "ext4", "/dev/sda2" }
	stick := func(c *boot.MountedVolume) { c.Volume.Device, c.Volume.Removable = "/dev/sdb1", true }
	beside := volume(ext4, "boot/alpboot/alpboot.state")
	own := boot.Entry{Volume: beside.Volume, Version: "6.12.1-alpboot", Kernel: "boot/alpboot/bzImage"}
	alpine := boot.Entry{Volume: beside.Volume, Version: "6.12.1-0-lts", Kernel: "boot/alpboot/vmlinuz"}
	onStick := volume(stick, "alpboot.state")
	inLVM := volume(func(c *boot.MountedVolume) { ext4(c); c.Volume.Partition = 0 }, "alpboot.state")
	for _, tt := range []struct {
		name, cmdline string
		volumes       boot.Volumes
		entries       []boot.Entry
		want          string // the place, or what the error says
	}{
		{name: "none", volumes: boot.Volumes{volume(nil)}, want: "no file was made"},
		{name: "on the ESP", volumes: boot.Volumes{volume(nil, "EFI/alpboot/alpboot.state")}, want: "/EFI/alpboot/alpboot.state on /dev/sda1"},
		{name: "at its top", volumes: boot.Volumes{volume(nil, "alpboot.state")}, want: "/alpboot.state on /dev/sda1"},
		{name: "beside an image", volumes: boot.Volumes{beside}, entries: []boot.Entry{alpine, own}, want: "/boot/alpboot/alpboot.state on /dev/sda2"},
		{name: "beside any kernel", volumes: boot.Volumes{beside}, entries: []boot.Entry{alpine}, want: "no file was made"},
		{name: "on a stick", volumes: boot.Volumes{onStick}, entries: []boot.Entry{{Volume: onStick.Volume, Version: "6.12.1-alpboot", Kernel: "vmlinuz"}}, want: "no file was made"},
		{name: "assembled of others", volumes: boot.Volumes{inLVM}, entries: []boot.Entry{{Volume: inLVM.Volume, Version: "6.12.1-alpboot", Kernel: "vmlinuz"}}, want: "no file was made"},
		{name: "another directory", volumes: boot.Volumes{volume(nil, "boot/alpboot.state")}, want: "no file was made"},
		{name: "two", volumes: boot.Volumes{volume(nil, "alpboot.state"), beside}, entries: []boot.Entry{own}, want: "there is /alpboot.state on /dev/sda1 and /boot/alpboot/alpboot.state on /dev/sda2: the setting remember names"},
		{name: "beside settings that are named", cmdline: "alpboot.settings-volume=UUID=1234-ABCD:/etc/menu.conf", volumes: boot.Volumes{volume(stick, "etc/alpboot.state", "alpboot.state")}, want: "/etc/alpboot.state on /dev/sdb1"},
		{name: "no settings of a volume", cmdline: "alpboot.settings-volume=off", volumes: boot.Volumes{volume(nil, "alpboot.state")}, want: "no file was made"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place, err := Read(os.DirFS(t.TempDir()), tt.cmdline).StateFile(tt.volumes, tt.entries)
			got := place.String()
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) || (err == nil) != strings.HasPrefix(tt.want, "/") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
