package stick_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/stick"
	"github.com/alpboot/alpboot/boot/payload/uki"
	"github.com/alpboot/alpboot/boot/remember"
)

func TestWrite(t *testing.T) {
	payloadtest.NeedTools(t, "mcopy", "mtype")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	payloadtest.NeedTools(t, "mkfs.vfat")
	t.Chdir(payloadtest.UKITree(t))
	var said strings.Builder
	out := payloadtest.Output(&said)
	u := uki.Image{Parts: payloadtest.Parts(), Stub: "stub", Output: "alpboot.efi"}
	if err := u.Write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	s := stick.Image{Parts: payloadtest.Parts(), UKI: u.Output}
	var images [2][]byte
	for i, name := range []string{"one.img", "two.img"} {
		s.Output = name
		if err := s.Write(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(name); err != nil {
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
		out, err := payload.Run(t.Context(), "", "mtype", "-i", "one.img@@1M", "::"+name)
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	own := s
	own.Remember, own.Output = true, "one.img"
	if err := own.Write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	for _, slot := range []string{".0", ".1"} {
		if err := os.WriteFile("state"+slot, []byte(content("alpboot.state"+slot)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if !remember.Prepared(os.DirFS("."), "state") {
		t.Error("the menu could not remember on it")
	}
	if _, err := exec.LookPath("syslinux"); err == nil {
		if got := content("alpboot/syslinux.cfg"); !strings.Contains(got, "APPEND a=b c alpboot.remember=UUID=A1B0-07ED:/alpboot.state\n") {
			t.Errorf("syslinux.cfg holds %q", got)
		}
	}
	if err := os.WriteFile("one.img", b, 0o666); err != nil {
		t.Fatal(err)
	}
	none := s
	none.UKI, none.Output = "stub", "none.img"
	if err := none.Write(t.Context(), out); err == nil || !strings.Contains(err.Error(), "no menu would come: not a unified kernel image; make one") {
		t.Errorf("an EFI program without a menu: %v", err)
	}
	// The same image, but that its menu waits for a key.
	image, err := os.ReadFile(u.Output)
	if err != nil {
		t.Fatal(err)
	}
	had := content("EFI/BOOT/BOOTX64.EFI")
	if parsed, err := kernel.OpenUKI(strings.NewReader(had), int64(len(had))); err != nil || parsed.Cmdline != "a=b c alpboot.timeout=-1" || len(had) != len(image) {
		t.Errorf("the UKI has the command line %q, %v, and %d bytes, want %d", parsed.Cmdline, err, len(had), len(image))
	}
	if _, err := exec.LookPath("syslinux"); err != nil {
		if !strings.Contains(said.String(), "UEFI only") {
			t.Errorf("without syslinux it says %q", said.String())
		}
		return
	}
	if got := content("alpboot/syslinux.cfg"); !strings.Contains(got, "APPEND a=b c alpboot.timeout=-1\n") || content("alpboot/initramfs") != "070701 the initramfs" {
		t.Errorf("syslinux.cfg holds %q", got)
	}
	if b[0] == 0 {
		t.Error("there is no code in the boot sector")
	}
}
