package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/arm64"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
)

// arm64Limit is for two kernels, one after the other.
const arm64Limit = 6 * time.Minute

// needARM64 gives the kernel, and skips a test where there is no QEMU for it; in
// CI that is a failure.
func needARM64(t *testing.T) (kernel string, image []byte) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves virtual machines out")
	}
	_, err := exec.LookPath("qemu-system-aarch64")
	if err == nil {
		kernel, err = arm64.Kernel(filepath.Join(made.Root(), "build", "cache", "debian"))
	}
	if err == nil {
		image, err = os.ReadFile(kernel)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return kernel, image
}

// A machine with an arm64 processor is taken over by the kernel that a user
// loads: raw, gzipped, and packed as Alpine's are. Debian's kernel has no
// kexec_file_load, so it is kexec_load that does it, by itself where no call is
// asked for. All initrds reach the target, in order, and so does the command line.
func TestARM64(t *testing.T) {
	kernel, image := needARM64(t)
	build := func(pkg string) []byte {
		file := made.Path("arm64", filepath.Base(pkg))
		if err := arm64.Build(made.Root(), pkg, file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	programs := map[string][]byte{"init": build("./qemu-tests/arm64/starter"), "kexec": build("./cmds/kexec")}
	init := build("./qemu-tests/target/init")
	gz, err := arm64.Gzip(image)
	if err != nil {
		t.Fatal(err)
	}
	zboot, err := arm64.Zboot(image)
	if err != nil {
		t.Fatal(err)
	}
	initrd := func(im target.Image) []byte {
		b, err := target.Initramfs(im)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	initrds := map[string][]byte{
		"first":  initrd(target.Image{Files: map[string]string{"order": "first", "only-first": "yes"}}),
		"second": initrd(target.Image{Init: init, Files: map[string]string{"order": "second", "only-second": "yes"}, Compression: target.Gzip}),
		"third":  initrd(target.Image{Files: map[string]string{"order": "third"}, Compression: target.Zstd}),
	}
	tests := []struct {
		name   string
		kernel []byte
		load   string
		says   string // in place of a target
	}{
		{name: "Image", kernel: image, load: "-c"},
		{name: "Image.gz", kernel: gz, load: "-a"},
		{name: "zboot", kernel: zboot, load: "-a"},
		{name: "only kexec_file_load", kernel: zboot, load: "-s", says: "built without this call"},
		{name: "truncated", kernel: image[:len(image)/2], load: "-a", says: "the file is truncated"},
		{name: "half of a zboot payload", kernel: append(zboot[:len(zboot)/2:len(zboot)/2], make([]byte, len(zboot)-len(zboot)/2)...), load: "-a", says: "unpacking the kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{
				"kernel":   tt.kernel,
				"commands": []byte("/kexec -l " + tt.load + " --initrd first --initrd second --initrd=third --append console=ttyAMA0 --append by=hand kernel\n/kexec -e\n"),
			}
			for name, b := range initrds {
				files[name] = b
			}
			b, err := arm64.Initramfs(programs, files)
			if err != nil {
				t.Fatal(err)
			}
			file := made.Path("qemu-tests", t.Name(), "initramfs")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			slots <- struct{}{}
			log, err := arm64.Machine{Kernel: kernel, Initramfs: file, Cmdline: "console=ttyAMA0", Memory: 768}.Run(arm64Limit)
			<-slots
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if tt.says != "" {
				if !strings.Contains(log, tt.says) || strings.Contains(log, report.Begin) {
					t.Errorf("no sentence with %q, or a target:\n%s", tt.says, log)
				}
				return
			}
			r, err := report.Parse(log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if r.Cmdline != "console=ttyAMA0 by=hand" || r.Files["order"] != "third" || r.Files["only-first"] != "yes" || r.Files["only-second"] != "yes" {
				t.Errorf("command line %q, files %v", r.Cmdline, r.Files)
			}
			if n := strings.Count(log, "Booting Linux on physical CPU"); n != 2 {
				t.Errorf("%d kernels started, want 2", n)
			}
		})
	}
}

// On a machine with arm64 firmware a user's Alpine boots by itself after the
// countdown: the menu is a UKI on an EFI system partition, or what U-Boot finds
// in an extlinux.conf. Its kernel is Debian's, with modules.
func TestARM64Firmware(t *testing.T) {
	needEverything(t)
	kernel, image := needARM64(t)
	cache := filepath.Join(made.Root(), "build", "cache", "debian")
	firmware, err := arm64.GetFirmware(cache)
	if err != nil {
		t.Fatal(err)
	}
	menu := made.Path("arm64", "initramfs.cpio.xz")
	if _, err := payloads().Run("initramfs", "--arch", "arm64", "--kernel", kernel, "--modules", filepath.Join(kernel, "../../lib/modules"), "-o", menu); err != nil {
		t.Fatal(err)
	}
	init := made.Path("arm64", "init")
	if err := arm64.Build(made.Root(), "./qemu-tests/target/init", init); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	carried, err := target.Initramfs(target.Image{Init: program, Files: map[string]string{"carried": "along"}, Compression: target.Gzip})
	if err != nil {
		t.Fatal(err)
	}
	in := disk.Install{Options: "console=ttyAMA0", Kernels: []disk.Kernel{{Flavour: "lts", Image: kernel, Initramfs: carried}}}
	const cmdline = `console=ttyAMA0 alpboot.timeout=1 alpboot.default="Linux lts"`

	for _, tt := range []struct {
		name string
		make func(t *testing.T) arm64.Machine
	}{
		{"UEFI, UKI", func(t *testing.T) arm64.Machine {
			uki := made.Path("arm64", "alpboot.efi")
			if _, err := payloads().Run("uki", "--arch", "arm64", "--kernel", kernel, "--initramfs", menu, "--stub", firmware.Stub, "--cmdline", cmdline, "-o", uki); err != nil {
				t.Fatal(err)
			}
			drive := esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTAA64.EFI", From: uki})
			return arm64.Machine{Code: firmware.Code, Vars: vars(t, firmware.Vars), Drives: []string{drive.File}}
		}},
		{"U-Boot, extlinux.conf", func(t *testing.T) arm64.Machine {
			archive, err := os.ReadFile(menu)
			if err != nil {
				t.Fatal(err)
			}
			file := made.Path("qemu-tests", t.Name(), "menu.img")
			if err := (disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{{Size: 96, Bootable: true, FS: disk.FS{Type: "ext4", Files: []disk.File{
				{Path: "vmlinuz", Data: image},
				{Path: "initramfs", Data: archive},
				{Path: "extlinux/extlinux.conf", Data: []byte("default menu\nlabel menu\n  kernel /vmlinuz\n  initrd /initramfs\n  append " + cmdline + "\n")},
			}}}}}).Write(file); err != nil {
				t.Fatal(err)
			}
			return arm64.Machine{Firmware: firmware.UBoot, Drives: []string{file}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := tt.make(t)
			m.Drives = append(m.Drives, write(t, disk.GPTDisk(in)))
			m.Memory = 1024
			slots <- struct{}{}
			log, err := m.Run(arm64Limit)
			<-slots
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			r, err := report.Parse(log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if want := in.Cmdline("UUID=" + disk.RootUUID); r.Cmdline != want || r.Files["carried"] != "along" || !strings.Contains(kernel, r.Release) {
				t.Errorf("kernel %q, command line %q, files %v", r.Release, r.Cmdline, r.Files)
			}
			if n := strings.Count(log, "Booting Linux on physical CPU"); n != 2 {
				t.Errorf("%d kernels started, want 2", n)
			}
		})
	}
}
