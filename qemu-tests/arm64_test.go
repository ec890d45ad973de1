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

// needARM64 returns the kernel, and skips a test where there is no QEMU for it; in
// CI that is a failure.
func needARM64(t *testing.T) (kernel string, image []byte) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves virtual machines out")
	}
	needEverything(t)
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

// ownARM64 returns our own kernel for arm64, in the form that QEMU's -kernel takes,
// or else as a PE file. It takes minutes to compile, the first time.
func ownARM64(t *testing.T, raw bool) string {
	t.Helper()
	args, file := []string{"kernel", "--arch", "arm64"}, made.Path("arm64", "vmlinuz")
	if raw {
		args, file = append(args, "--raw"), made.Path("arm64", "Image")
	}
	if _, err := payloads().Run(append(args, "-o", file)...); err != nil {
		t.Fatal(err)
	}
	return file
}

// A machine with an arm64 processor is taken over by the kernel that a user
// loads: raw, gzipped, and packed as Alpine's are. Debian's kernel has no
// kexec_file_load, so it is kexec_load that does it, by itself where no call is
// asked for; ours has both. All initrds reach the target, in order, and so does
// the command line.
func TestARM64(t *testing.T) {
	debian, image := needARM64(t)
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
	for _, tt := range []struct {
		name   string
		own    bool // what runs is our kernel, not Debian's
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
		{name: "own kernel, kexec_load", own: true, kernel: zboot, load: "-c"},
		{name: "own kernel, kexec_file_load", own: true, kernel: zboot, load: "-s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kernel := debian
			if tt.own {
				kernel = ownARM64(t, true)
			}
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
			r, log := runARM64(t, arm64.Machine{Kernel: kernel, Initramfs: file, Cmdline: "console=ttyAMA0", Memory: 768}, tt.says)
			if tt.says != "" {
				return
			}
			if r.Cmdline != "console=ttyAMA0 by=hand" || r.Files["order"] != "third" || r.Files["only-first"] != "yes" || r.Files["only-second"] != "yes" {
				t.Errorf("command line %q, files %v", r.Cmdline, r.Files)
			}
			twoStarts(t, log)
			const selected = "\x1b[7m Linux lts"
			reached(t, log.Since(selected, 1), log.Since("Linux version ", 2))
		})
	}
}

// runARM64 runs a machine until it powers off, and returns what its target
// reported; or nothing where something else is to be said in place of a target.
func runARM64(t *testing.T, m arm64.Machine, says string) (r report.Report, log *arm64.Log) {
	t.Helper()
	places.take(t.Name())
	log, err := m.Run(arm64Limit)
	places.leave()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Text)
	}
	if says != "" {
		if !strings.Contains(log.Text, says) || strings.Contains(log.Text, report.FirstLine) {
			t.Errorf("no sentence with %q, or a target:\n%s", says, log.Text)
		}
		return r, log
	}
	if r, err = report.Parse(log.Text); err != nil {
		t.Fatalf("%v\n%s", err, log.Text)
	}
	return r, log
}

// twoStarts fails a test in whose log not just two kernels started.
func twoStarts(t *testing.T, log *arm64.Log) {
	t.Helper()
	if n := strings.Count(log.Text, "Booting Linux on physical CPU"); n != 2 {
		t.Errorf("%d kernels started, want 2", n)
	}
}

// On a machine with arm64 firmware a user's Alpine boots by itself after the
// countdown: the menu is a UKI on an EFI system partition, or what U-Boot finds
// in an extlinux.conf. Its kernel is Debian's, with modules, or ours.
func TestARM64Firmware(t *testing.T) {
	kernel, image := needARM64(t)
	firmware, err := arm64.GetFirmware(filepath.Join(made.Root(), "build", "cache", "debian"))
	if err != nil {
		t.Fatal(err)
	}
	initramfs := func(file string, args ...string) string {
		file = made.Path("arm64", file)
		if _, err := payloads().Run(append([]string{"initramfs", "--arch", "arm64", "-o", file}, args...)...); err != nil {
			t.Fatal(err)
		}
		return file
	}
	withModules := initramfs("initramfs-modules.cpio.xz", "--kernel", kernel, "--modules", filepath.Join(kernel, "../../lib/modules"))
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
	uki := func(t *testing.T, kernel, initramfs string) arm64.Machine {
		file := made.Path("qemu-tests", t.Name(), "alpboot.efi")
		if _, err := payloads().Run("uki", "--arch", "arm64", "--kernel", kernel, "--initramfs", initramfs, "--stub", firmware.Stub, "--cmdline", cmdline, "-o", file); err != nil {
			t.Fatal(err)
		}
		drive := esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTAA64.EFI", From: file})
		return arm64.Machine{Code: firmware.Code, Vars: vars(t, firmware.Vars), Drives: []string{drive.File}}
	}

	for _, tt := range []struct {
		name string
		make func(t *testing.T) arm64.Machine
	}{
		{"UEFI, UKI", func(t *testing.T) arm64.Machine { return uki(t, kernel, withModules) }},
		{"UEFI, UKI, own kernel", func(t *testing.T) arm64.Machine {
			return uki(t, ownARM64(t, false), initramfs("initramfs.cpio.xz"))
		}},
		{"U-Boot, extlinux.conf", func(t *testing.T) arm64.Machine {
			archive, err := os.ReadFile(withModules)
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
			r, log := runARM64(t, m, "")
			if want := in.Cmdline("UUID=" + disk.RootUUID); r.Cmdline != want || r.Files["carried"] != "along" || !strings.Contains(kernel, r.Release) {
				t.Errorf("kernel %q, command line %q, files %v", r.Release, r.Cmdline, r.Files)
			}
			twoStarts(t, log)
			const selected = "\x1b[7m Linux lts"
			reached(t, log.Since(selected, 1), log.Since("Linux version ", 2))
		})
	}
}
