package main

import (
	"bytes"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/device/superblock"
)

func TestList(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	root := fstest.MapFS{
		"sys/class/block/sda/size":           file("2097152"),
		"sys/class/block/sda/uevent":         file("DEVNAME=sda\nDEVTYPE=disk\n"),
		"sys/class/block/sda/device/model":   file("Disk 9\n"),
		"sys/class/block/sda/sda1/partition": file("1"),
		"sys/class/block/sda1/size":          file("204800"),
		"sys/class/block/sda1/uevent":        file("DEVNAME=sda1\nDEVTYPE=partition\nPARTN=1\n"),
		"sys/class/block/sda1/partition":     file("1"),
		"proc/self/mountinfo":                file("1 1 0:2 / / rw - rootfs rootfs rw\n29 1 8:1 / /mnt/a\\040b ro - vfat /dev/sda1 ro\n"),
	}
	probe := func(path string) (superblock.Superblock, error) {
		if path == "/dev/sda1" {
			return superblock.Superblock{Type: "vfat", UUID: "ABCD-0123", Label: "E\x1b[2JP"}, nil
		}
		return superblock.Superblock{}, errors.New("unreadable")
	}
	var stdout, stderr bytes.Buffer
	if code := run(root, probe, &stdout, &stderr); code != 0 {
		t.Errorf("code %d: %s", code, &stderr)
	}
	want := "NAME    SIZE  TYPE  MOUNTED   UUID       LABEL\n" +
		"sda     1.0G  disk  -         -          Disk 9\n" +
		"  sda1  100M  vfat  /mnt/a b  ABCD-0123  E?[2JP\n"
	if stdout.String() != want {
		t.Errorf("got\n%s want\n%s", stdout.String(), want)
	}
	stdout.Reset()
	if code := run(fstest.MapFS{}, probe, &stdout, &stderr); code != 1 || stderr.Len() == 0 {
		t.Errorf("without sysfs: code %d, %q", code, &stderr)
	}
}
