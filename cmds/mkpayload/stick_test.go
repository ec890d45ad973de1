package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

func TestStick(t *testing.T) {
	payloadtest.NeedTools(t, "mcopy", "mtype")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	payloadtest.NeedTools(t, "mkfs.vfat")
	dir := payloadtest.UKITree(t)
	var stdout, stderr strings.Builder
	if code := run(in(dir, []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "-o", "@alpboot.efi"}), &stdout, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	args := []string{"stick", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--uki", "@alpboot.efi", "--cmdline", "a=b c"}
	var images [2][]byte
	for i, name := range []string{"one.img", "two.img"} {
		if code := run(in(dir, append(args, "-o", "@"+name)), &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		var err error
		if images[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same input makes other bytes")
	}
	b := images[0]
	if len(b) != 64<<20 || string(b[0x1fe:0x200]) != "\x55\xaa" || b[0x1be] != 0x80 || b[0x1c2] != 0xef ||
		binary.LittleEndian.Uint32(b[0x1c6:]) != 1<<20/512 || int(binary.LittleEndian.Uint32(b[0x1ca:])) != (len(b)-1<<20)/512 {
		t.Errorf("%d bytes, partition %x", len(b), b[0x1be:0x1ce])
	}
	// Boot sectors that are started without a partition table add this.
	if hidden := binary.LittleEndian.Uint32(b[1<<20+0x1c:]); hidden != 1<<20/512 {
		t.Errorf("the filesystem states that %d sectors are before it", hidden)
	}
	content := func(name string) string {
		out, err := payload.Run(t.Context(), dir, "mtype", "-i", "one.img@@1M", "::"+name)
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	if code := run(append(in(dir, args), "--uki", filepath.Join(dir, "stub"), "-o", filepath.Join(dir, "none.img")), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "no menu would come: not a unified kernel image; make one") {
		t.Errorf("an EFI program without a menu: exit code %d: %s", code, stderr.String())
	}
	uki, err := os.ReadFile(filepath.Join(dir, "alpboot.efi"))
	if err != nil {
		t.Fatal(err)
	}
	if content("EFI/BOOT/BOOTX64.EFI") != string(uki) {
		t.Error("the UKI is not where firmware looks for it")
	}
	if _, err := exec.LookPath("syslinux"); err != nil {
		if !strings.Contains(stderr.String(), "UEFI only") {
			t.Errorf("without syslinux it says %q", stderr.String())
		}
		return
	}
	if got := content("alpboot/syslinux.cfg"); !strings.Contains(got, "APPEND a=b c\n") || content("alpboot/initramfs") != "070701 the initramfs" {
		t.Errorf("syslinux.cfg holds %q", got)
	}
	if b[0] == 0 {
		t.Error("there is no code in the boot sector")
	}
}
