package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

const ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"

func TestLinuxboot(t *testing.T) {
	if _, err := os.Stat(ovmfCode); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v (Debian: package ovmf)", err)
	}
	dir := payloadtest.UKITree(t)
	if err := os.WriteFile(filepath.Join(dir, "initramfs"), payloadtest.Initramfs(t, payloadtest.Release), 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if code := run(in(dir, []string{"uki", "--kernel", "@vmlinuz", "--initramfs", "@initramfs", "--stub", "@stub", "--cmdline", "a=b", "-o", "@alpboot.efi"}), &stdout, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	args := []string{"linuxboot", "--flash", ovmfCode, "--uki", "@alpboot.efi", "--slim", "--remove", "UiApp", "-o", "@out.rom"}
	if code := run(in(dir, args), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stdout.Reset()
	if code := run(in(dir, []string{"inspect", "@out.rom"}), &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	for _, want := range []string{"UEFI firmware, ", "Linux         " + payloadtest.Release, "command line  a=b\n", "the payload, a UKI", "commands      bootmenu init", "DxeCore"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("lacks %q:\n%s", want, stdout.String())
		}
	}
	for _, gone := range []string{"UiApp", "VirtioBlkDxe", "Ip4Dxe", "XhciDxe", "LogoDxe"} {
		if strings.Contains(stdout.String(), " "+gone+" ") {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{name: "driver", args: []string{"--remove", "AbsentDxe"}, want: `no driver "AbsentDxe" in the firmware`},
		{name: "payload", args: []string{"--uki", "@text"}, want: "not an EFI program"},
		{name: "no payload", args: []string{"--uki", "@absent"}, want: "make it with mkpayload uki"},
		{name: "what to replace", args: []string{"--replace", "00000000-0000-0000-0000-000000000001"}, want: "has no application"},
		{name: "firmware", args: []string{"--flash", "@text"}, want: "not an image of UEFI firmware"},
		{name: "room", args: []string{"--size", "1"}, want: "too many; leave out more"},
	} {
		stderr.Reset()
		base := []string{"linuxboot", "--flash", ovmfCode, "--uki", "@alpboot.efi", "-o", "@refused.rom"}
		if code := run(in(dir, append(base, tt.args...)), &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: exit code %d: %s\nwant 1 and %q", tt.name, code, stderr.String(), tt.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "refused.rom")); err == nil {
		t.Error("wrote an image all the same")
	}
}
