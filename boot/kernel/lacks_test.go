package kernel

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
)

func TestLacks(t *testing.T) {
	config := func(options ...string) string {
		return "# Linux\n# CONFIG_OTHER is not set\nCONFIG_64BIT=y\n" + strings.Join(options, "\n") + "\n"
	}
	volumes := []boot.Volume{
		{Device: "/dev/sda1", UUID: "1234-ABCD", Type: "vfat"},
		{Device: "/dev/sda2", UUID: "u2", Type: "btrfs", Label: "root", PartUUID: "p2"},
		{Device: "/dev/sda3", UUID: "u3", Type: "crypto_LUKS"},
		{Device: "/dev/sdb1", Label: "twice", Type: "ext4"}, {Device: "/dev/sdc1", Label: "twice", Type: "xfs"},
	}
	const noScreen, noRoot = "a driver for the screen", "support for "
	tests := []struct {
		name    string
		video   byte
		config  string
		beside  string // name of the file, config-6.12.1-0-lts
		cmdline string
		want    []string
	}{
		{name: "all there", video: videoEFI, config: config("CONFIG_FB_EFI=y", "CONFIG_BTRFS_FS=m"), cmdline: "root=UUID=U2"},
		{name: "simpledrm", video: videoEFI, config: config("CONFIG_SYSFB_SIMPLEFB=y", "CONFIG_DRM_SIMPLEDRM=m", "CONFIG_BTRFS_FS=m"), cmdline: "root=LABEL=root"},
		{name: "simpledrm that nothing leads to", video: videoEFI, config: config("CONFIG_DRM_SIMPLEDRM=m"), want: []string{noScreen}},
		{name: "EFI's driver for VESA", video: videoVESA, config: config("CONFIG_FB_EFI=y"), want: []string{noScreen}},
		{name: "text", video: videoVGA, config: config("CONFIG_FB_EFI=y"), want: []string{noScreen}},
		{name: "no screen", config: config()},
		{name: "root", config: config("# CONFIG_BTRFS_FS is not set"), cmdline: "root=PARTUUID=p2 quiet", want: []string{noRoot + "btrfs, which /dev/sda2"}},
		{name: "root by its device, config by the flavour", config: config("CONFIG_BTRFS_FS=n"), beside: "config-lts", cmdline: `root=/dev/sda2`, want: []string{noRoot}},
		{name: "root inside of LUKS", config: config(), cmdline: "root=/dev/mapper/root cryptroot=UUID=u3 cryptdm=root", want: []string{noRoot + "crypto_LUKS"}},
		{name: "root that two volumes could be", config: config(), cmdline: "root=LABEL=twice"},
		{name: "root that is not there", config: config(), cmdline: "root=UUID=elsewhere"},
		{name: "no root", config: config()},
		{name: "no configuration", video: videoEFI, cmdline: "root=UUID=u2"},
		{name: "something else under its name", video: videoEFI, config: "hello", cmdline: "root=UUID=u2"},
		{name: "another kernel's", video: videoEFI, config: config(), beside: "config-virt", cmdline: "root=UUID=u2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			if tt.beside == "" {
				tt.beside = "config-6.12.1-0-lts"
			}
			if tt.config != "" {
				fsys["boot/"+tt.beside] = boottest.File(tt.config)
			}
			params := make([]byte, 4096)
			params[offVideoType] = tt.video
			root := fstest.MapFS{"sys/kernel/boot_params/data": {Data: params}}
			e := boot.Entry{Kernel: "boot/vmlinuz-lts", Version: "6.12.1-0-lts", Cmdline: tt.cmdline}
			got := Lacks(root, fsys, e, volumes)
			if !slices.EqualFunc(got, tt.want, strings.Contains) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
