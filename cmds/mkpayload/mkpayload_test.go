package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args       []string
		wantCode   int
		wantStdout string
		wantStderr string
	}{
		{name: "version", args: []string{"--version"}, wantStdout: "mkpayload "},
		{name: "help", args: []string{"--help"}, wantStdout: "usage: mkpayload"},
		{name: "help of a verb", args: []string{"kernel", "--help"}, wantStderr: "-source"},
		{name: "unknown verb", args: []string{"rom"}, wantCode: 2, wantStderr: `no verb "rom"`},
		{name: "unknown flag of the verb that is meant", args: []string{"--nope"}, wantCode: 2, wantStderr: "-nope"},
		{name: "a key that is none", args: []string{"initramfs", "--key", "main.go"}, wantCode: 2, wantStderr: "the key main.go: it is none of minisign, SSH or abuild"},
		{name: "a key that a minimal image does not take", args: []string{"initramfs", "--minimal", "--key", "testdata/ssh.pub"}, wantCode: 2, wantStderr: "a minimal image takes keys of minisign only"},
		{name: "no such key", args: []string{"uki", "--key", "absent.pub"}, wantCode: 2, wantStderr: "absent.pub"},
		{name: "a slip in the settings", args: []string{"uki", "--settings", "testdata/slip.conf"}, wantCode: 2, wantStderr: "line:2: verify = enforced is not understood: it takes off, warn or enforce."},
		{name: "stray argument", args: []string{"initramfs", "out.cpio"}, wantCode: 2, wantStderr: `"out.cpio"`},
		{name: "modules of what", args: []string{"--modules", "/lib/modules"}, wantCode: 2, wantStderr: "needs --kernel"},
		{name: "arch", args: []string{"--arch", "vax"}, wantCode: 1, wantStderr: `unknown --arch "vax"`},
		{name: "compress", args: []string{"--compress", "arj"}, wantCode: 1, wantStderr: `unknown --compress "arj"`},
		{name: "kernel that is none", args: []string{"--kernel", "main.go", "-o", "/nonexistent/x"}, wantCode: 1, wantStderr: "not a kernel image"},
		{name: "no kernel there", args: []string{"uki", "--kernel", "absent"}, wantCode: 1, wantStderr: "or make it with mkpayload kernel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(tt.args, &stdout, &stderr); code != tt.wantCode {
				t.Errorf("exit code %d, want %d", code, tt.wantCode)
			}
			if !strings.Contains(stdout.String(), tt.wantStdout) || !strings.Contains(stderr.String(), tt.wantStderr) {
				t.Errorf("stdout %q\nstderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

// The flags of each verb reach what it calls: a dry run reports what would be made.
func TestDryRun(t *testing.T) {
	payloadtest.NeedTools(t, "xz")
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(payloadtest.UKITree(t))
	payloadtest.ROM(t, ".")
	parts := []string{"--kernel", "vmlinuz", "--initramfs", "initramfs"}
	if code := run(append([]string{"uki", "--stub", "stub", "-o", "menu.efi"}, parts...), t.Output(), t.Output()); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"initramfs", "--minimal", "--arch", "arm64", "--files", "main.go:etc/main.go", "--key", "testdata/owner.pub", "--settings", "testdata/alpboot.conf"},
			[]string{"go build for arm64: bootmenu\n", "  main.go as etc/main.go\n", "  testdata/owner.pub as etc/alpboot/keys/owner.pub\n", "  testdata/alpboot.conf as etc/alpboot.conf\n", "  xz "}},
		{[]string{"kernel", "--source", ".", "--cache", ".", "--jobs", "3"}, []string{"  Linux for x86_64 from .", "by 3 compilers: make bzImage"}},
		{append([]string{"uki", "--stub", "new-stub", "--os-release", "release", "--microcode", "microcode", "--splash", "splash", "--cmdline", "a=b"}, parts...), []string{".osrel    8 bytes\n", ".cmdline  3 bytes\n", ".splash ", ".ucode "}},
		{append([]string{"coreboot", "--rom", "test.rom", "--cmdline", "a=b"}, parts...), []string{"-f vmlinuz -I initramfs -C a=b -c none\n"}},
		{append([]string{"stick", "--uki", "menu.efi"}, parts...), []string{"uki ::EFI/BOOT/BOOTX64.EFI\n"}},
		{append([]string{"all", "--initramfs-minimal", "initramfs", "--stub", "stub", "--rom", "test.rom", "--flash", "text"}, parts...), []string{"  coreboot.rom of ", "  linuxboot.rom of "}},
		{[]string{"linuxboot", "--flash", ovmfCode, "--uki", "menu.efi", "--slim", "--remove", "UiApp"}, []string{" UiApp\n", " XhciDxe ", " Ip4Dxe "}},
	} {
		t.Run(tt.args[0], func(t *testing.T) {
			if _, err := os.Stat(ovmfCode); err != nil && tt.args[0] == "linuxboot" {
				t.Skip(err)
			}
			made := filepath.Join(t.TempDir(), "made")
			if tt.args[0] == "initramfs" {
				t.Chdir(here) // it builds from the checkout
			}
			var stdout, stderr strings.Builder
			if code := run(append(tt.args, "--dry-run", "-o", made), &stdout, &stderr); code != 0 {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
			for _, want := range append(tt.want, "would write ", made) {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("%q lacks %q", stdout.String(), want)
				}
			}
			if _, err := os.Stat(made); err == nil {
				t.Error("wrote the file")
			}
		})
	}
}

const ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"

// The defaults are those for the processor of the kernel.
func TestUKIForArm64(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	image := payloadtest.EFIProgram(nil, payloadtest.MachineARM64, "")
	copy(image[0x38:], "ARM\x64")
	if err := os.WriteFile("Image", image, 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"uki", "--kernel", "Image", "--initramfs", "initramfs", "--stub", "arm-stub", "-o", "out.efi"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stdout.Reset()
	run([]string{"inspect", "out.efi"}, &stdout, &stderr) // its initramfs is none
	if !strings.Contains(stdout.String(), "for arm64\n") || !strings.Contains(stdout.String(), "command line  quiet watchdog.stop_on_reboot=0\n") {
		t.Error(stdout.String())
	}
}

// A file that cannot be read does not hide the others, and one that would not boot
// is a failure.
func TestInspect(t *testing.T) {
	t.Chdir(payloadtest.UKITree(t))
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 2, "", "usage: mkpayload inspect"},
		{[]string{"vmlinuz"}, 0, "vmlinuz: bzImage", ""},
		{[]string{"--json", "vmlinuz"}, 0, `"kind": "bzImage"`, ""},
		{[]string{"text", "absent", "vmlinuz"}, 1, "vmlinuz: bzImage", "absent: no such file"},
		{[]string{"initramfs"}, 1, "PROBLEM", "initramfs: it would not boot as it is"},
	} {
		var stdout, stderr strings.Builder
		if code := run(append([]string{"inspect"}, tt.args...), &stdout, &stderr); code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%q: exit code %d, want %d\nstdout %q\nstderr %q", tt.args, code, tt.code, stdout.String(), stderr.String())
		}
	}
}
