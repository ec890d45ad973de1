package flash_test

import (
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/flash"
	"github.com/alpboot/alpboot/boot/payload/inspect"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
	"github.com/alpboot/alpboot/boot/payload/uki"
)

const ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"

func TestWrite(t *testing.T) {
	if _, err := os.Stat(ovmfCode); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v (Debian: package ovmf)", err)
	}
	t.Chdir(payloadtest.UKITree(t))
	if err := os.WriteFile("initramfs", payloadtest.Initramfs(t, payloadtest.Release), 0o666); err != nil {
		t.Fatal(err)
	}
	out := payloadtest.Output(t.Output())
	u := uki.Image{Parts: payloadtest.Parts(), Stub: "stub", Output: "alpboot.efi"}
	if err := u.Write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	l := flash.Firmware{Flash: ovmfCode, UKI: u.Output, Remove: append(flash.Groups(), "UiApp"), Replace: flash.Shell, Output: "out.rom"}
	if err := l.Write(out); err != nil {
		t.Fatal(err)
	}
	r, err := inspect.File("out.rom")
	if err != nil || r.Problems != nil {
		t.Fatal(err, r)
	}
	for _, want := range []string{"UEFI firmware, ", "Linux         " + payloadtest.Release, "command line  a=b c\n", "the payload, a UKI", "commands      bootmenu init", "DxeCore"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("lacks %q:\n%s", want, r)
		}
	}
	for _, gone := range []string{"UiApp", "VirtioBlkDxe", "Ip4Dxe", "XhciDxe", "LogoDxe"} {
		if strings.Contains(r.String(), " "+gone+" ") {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*flash.Firmware)
		want   string
	}{
		{"driver", func(l *flash.Firmware) { l.Remove = []string{"AbsentDxe"} }, `no driver "AbsentDxe" in the firmware`},
		{"payload", func(l *flash.Firmware) { l.UKI = "text" }, "not an EFI program"},
		{"no payload", func(l *flash.Firmware) { l.UKI = "absent" }, "make it with mkpayload uki"},
		{"what to replace", func(l *flash.Firmware) { l.Replace = "00000000-0000-0000-0000-000000000001" }, "has no application"},
		{"firmware", func(l *flash.Firmware) { l.Flash = "text" }, "not an image of UEFI firmware"},
		{"room", func(l *flash.Firmware) { l.Size = 1 << 20 }, "too many; leave out more"},
	} {
		refused := flash.Firmware{Flash: ovmfCode, UKI: u.Output, Replace: flash.Shell, Output: "refused.rom"}
		tt.change(&refused)
		if err := refused.Write(out); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := os.Stat("refused.rom"); err == nil {
		t.Error("wrote an image all the same")
	}
}
