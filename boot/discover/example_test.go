package discover_test

import (
	"context"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/format/all"
)

func ExampleScanner_Start() {
	// A machine with one disk; device/system has the real one.
	machine := hardware.New(hardware.Device{
		Block:      device.Block{Path: "/dev/sda1", Size: 1 << 30},
		Superblock: superblock.Superblock{Type: superblock.Ext4, UUID: "6fd3a5e2-95b5-4f3a-9d43-5f7dbb1d2c4a"},
		Files: fstest.MapFS{
			"boot/vmlinuz-lts":   {Data: boottest.BzImage("6.12.1-0-lts")},
			"boot/extlinux.conf": {Data: []byte("LABEL lts\n MENU LABEL Linux lts\n LINUX vmlinuz-lts\n INITRD initramfs-lts\n APPEND root=/dev/sda1\n")},
			"boot/initramfs-lts": {Data: []byte("\x1f\x8b\x08\x00")},
		},
	})
	scanner := discover.Scanner{Machine: machine, Formats: all.Formats(nil), Limit: 10 * time.Second}
	scan := scanner.Start(context.Background())
	defer scan.Stop()
	for _, e := range scan.Settled().Entries {
		fmt.Printf("%s: %s with %q\n", e.Title, e.Version, e.Cmdline)
	}
	// Output: Linux lts: 6.12.1-0-lts with "root=/dev/sda1"
}
