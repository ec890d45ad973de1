package qemutests

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/efivar"
	installed "github.com/alpboot/alpboot/boot/payload/esp"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	built "github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

const ovmf = "/usr/share/OVMF/"

// payloads makes what these tests boot.
var payloads = sync.OnceValue(func() *built.Maker { return built.New(made) })

// makePayload returns the path of a payload that mkpayload makes.
func makePayload(t *testing.T, name, verb string, args ...string) string {
	t.Helper()
	file, err := payloads().Make(name, verb, args...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// needFirmware skips a test for which a file is missing, which a package of
// Debian's has.
func needFirmware(t *testing.T, pkg, file string) {
	t.Helper()
	needQEMU(t)
	if _, err := os.Stat(file); err != nil {
		lacks(t, pkg, err)
	}
}

// needProgram skips a test for which a program is missing.
func needProgram(t *testing.T, pkg, program string) {
	t.Helper()
	needQEMU(t)
	if _, err := exec.LookPath(program); err != nil {
		lacks(t, pkg, err)
	}
}

func lacks(t *testing.T, pkg string, err error) {
	t.Helper()
	missing(t, fmt.Errorf("%w (Debian: package %s)", err, pkg))
}

// missing skips a test for which something is missing; in CI that is a failure.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// startPayload starts a machine that boots by its firmware.
func startPayload(t *testing.T, o vm.Options) machine {
	t.Helper()
	takePlace(t)
	return startAnother(t, o)
}

// startAnother is startPayload for a test whose previous machine was stopped.
func startAnother(t *testing.T, o vm.Options) machine {
	t.Helper()
	o.Memory = max(o.Memory, 1024)
	o.Dir = made.Path("qemu-tests", t.Name())
	return machine{vm.Start(t, o), t}
}

// vars returns a copy of an image of variables, for one machine to change.
func vars(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "vars.fd")
	if err := built.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	return to
}

// esp makes a disk with an EFI system partition that holds these files.
func esp(t *testing.T, name string, files ...disk.File) vm.Drive {
	t.Helper()
	file := made.Path("qemu-tests", t.Name(), name)
	if err := (disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{
		{Size: 64, Type: "U", FS: disk.FS{Type: "vfat", Files: files}},
	}}).Write(file); err != nil {
		t.Fatal(err)
	}
	return vm.Drive{File: file}
}

// fromESP is a machine whose firmware starts a UKI from an EFI system partition;
// drives are further disks.
func fromESP(t *testing.T, uki string, drives ...vm.Drive) vm.Options {
	t.Helper()
	return vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: append([]vm.Drive{esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: uki})}, drives...),
	}
}

// alpineDisk makes a disk with a system to boot, and says what it must report.
// Parameters are further ones for its kernel.
func alpineDisk(t *testing.T, parameters ...string) (vm.Drive, want) {
	t.Helper()
	k := kernelOf(t, debian.Newer)
	files := map[string]string{"flavour": "lts"}
	in := disk.Install{
		Options: strings.Join(append([]string{targetOptions}, parameters...), " "),
		Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)}},
	}
	return vm.Drive{File: write(t, disk.GPTDisk(in))}, want{k, in.Cmdline("UUID=" + disk.RootUUID), files}
}

// bootsTarget chooses the only entry of the menu, and waits for what it boots.
func (m machine) bootsTarget(w want) {
	m.t.Helper()
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	menu := m.Since()
	m.selected("Linux lts") // and not the menu itself, which is on a disk too
	banner := m.Serial(0).Watch(vm.InLog("Linux version " + w.kernel.Release))
	m.Type(vm.Enter)
	m.target(w)
	at, err := banner.Result(0)
	if err != nil {
		m.t.Error(err)
	}
	reached(m.t, menu, at)
}

// reached logs the times from power on to the menu and to the target's banner,
// for bench --machines to read.
func reached(t *testing.T, menu, banner time.Duration) {
	t.Helper()
	t.Logf("menu after %.1f s, target's banner after %.1f s", menu.Seconds(), banner.Seconds())
}

const stay = "quiet no_timer_check console=tty0 console=ttyS0,115200 alpboot.timeout=-1"

// A UKI on an EFI system partition is started by the firmware and boots an
// Alpine disk.
func TestPayloadUKI(t *testing.T) {
	needEverything(t) // TestTPM does the same with one more chip
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	alpine, w := alpineDisk(t)
	startPayload(t, fromESP(t, uki, alpine)).bootsTarget(w)
}

// Firmware gets the UKI from the network, and the menu boots the disk of that
// machine.
func TestPayloadNetboot(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	server := t.TempDir()
	if err := built.Copy(filepath.Join(server, "alpboot.efi"), uki); err != nil {
		t.Fatal(err)
	}
	alpine, w := alpineDisk(t)
	startPayload(t, vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{alpine},
		Extra:  []string{"-netdev", "user,id=lan,tftp=" + server + ",bootfile=alpboot.efi", "-device", "virtio-net-pci,netdev=lan,romfile=,bootindex=1"},
	}).bootsTarget(w)
}

// Make payloads makes what each kind of firmware takes. Inspect finds nothing
// wrong with any of it, and a machine that starts one file boots what has all
// built in.
func TestEveryPayload(t *testing.T) {
	needEverything(t)
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needProgram(t, "coreboot-utils", "cbfstool")
	needProgram(t, "acpica-tools", "iasl")
	needProgram(t, "gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc")
	t.Parallel()
	cache := filepath.Join(made.Root(), "build", "cache")
	rom, err := built.Coreboot(filepath.Join(cache, "coreboot"))
	if err != nil {
		t.Fatal(err)
	}
	key, cert, err := payloads().Key()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		arch  string
		args  []string
		files []string
	}{
		{"x86_64", []string{"COREBOOT_ROM=" + rom, "SIGN=" + key + "," + cert},
			[]string{"vmlinuz", "initramfs.cpio.xz", "initramfs-minimal.cpio.xz", "alpboot.efi", "alpboot-minimal.efi", "bzImage", "coreboot.rom", "linuxboot.rom", "linuxboot-slim.rom"}},
		{"arm64", nil,
			[]string{"vmlinuz", "initramfs.cpio.xz", "initramfs-minimal.cpio.xz", "alpboot.efi", "alpboot-minimal.efi"}},
	} {
		dir := made.Path("qemu-tests", t.Name(), tt.arch)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := built.Run(made.Root(), "make", append([]string{"payloads", "ARCH=" + tt.arch, "OUT=" + dir}, tt.args...)...); err != nil {
			t.Fatal(err)
		}
		for _, file := range tt.files {
			if _, err := payloads().Run("inspect", filepath.Join(dir, file)); err != nil {
				t.Errorf("%s: %v", tt.arch, err)
			}
		}
		if _, err := built.Run(dir, "sha256sum", "--check", "--strict", "SHA256SUMS"); err != nil {
			t.Errorf("%s: %v", tt.arch, err)
		}
	}
	alpine, w := alpineDisk(t)
	startPayload(t, vm.Options{
		Kernel:  made.Path("qemu-tests", t.Name(), "x86_64", "bzImage"),
		Cmdline: "alpboot.timeout=-1", // besides what is built in
		Drives:  []vm.Drive{alpine},
	}).bootsTarget(w)
}

// A UKI stays small enough for the flash chips and EFI system partitions that
// it is made for.
func TestPayloadSizes(t *testing.T) {
	needOwnKernel(t, "Debian's kernel is larger than what is measured here")
	t.Parallel()
	minimal, err := made.MinimalInitramfs()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file  string
		args  []string
		limit int64
	}{
		{"alpboot.efi", nil, 8 << 20},
		{"alpboot-minimal.efi", []string{"--initramfs", minimal}, 61 << 20 / 10}, // 0.05 of it are signatures and measuring
	} {
		st, err := os.Stat(makePayload(t, tt.file, "uki", append([]string{"--cmdline", stay}, tt.args...)...))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f MiB", tt.file, float64(st.Size())/(1<<20))
		if st.Size() > tt.limit {
			t.Errorf("%s has %d bytes, more than %d", tt.file, st.Size(), tt.limit)
		}
	}
}

// collected are EFI variables as the files of efivarfs, to be written in a machine.
type collected map[string][]byte

func (c collected) Get(name, vendor string) ([]byte, error) {
	if b, ok := c[name+"-"+vendor]; ok {
		return b, nil
	}
	return nil, os.ErrNotExist
}

func (c collected) Set(name, vendor string, value []byte) error {
	c[name+"-"+vendor] = value
	return nil
}

func (c collected) SetSigned(string, string, []byte) error { return errors.ErrUnsupported }

func (c collected) Delete(name, vendor string) error {
	delete(c, name+"-"+vendor)
	return nil
}

// Firmware starts what a boot entry of ours names. When that is damaged, as
// after an update that went wrong, it goes on to the entry of the previous UKI.
func TestPayloadPrevious(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	current := makePayload(t, "current.efi", "uki", "--cmdline", stay+" which=current")
	previous := makePayload(t, "previous.efi", "uki", "--cmdline", stay+" which=previous")

	// The entries are those that mkpayload install makes for this partition.
	drive := esp(t, "esp.img", disk.File{Path: "EFI/BOOT/"}, disk.File{Path: installed.Directory + "/"})
	f, err := os.Open(drive.File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := efivar.Partition{Number: 1, Start: 2048, Size: 64 << 20 / 512}
	if err := installed.Sign(&p, f, 512); err != nil {
		t.Fatal(err)
	}
	vars := vars(t, ovmf+"OVMF_VARS_4M.fd")
	wanted := collected{}
	if err := installed.Register(wanted, p, installed.Entry{Title: "alpboot", File: installed.Current}, installed.Entry{Title: "alpboot (previous)", File: installed.Previous}); err != nil {
		t.Fatal(err)
	}
	offset := fmt.Sprintf("%s@@%d", drive.File, p.Start*512)
	put := func(name string, from string) {
		t.Helper()
		if _, err := built.Run("", "mcopy", "-o", "-i", offset, from, "::"+name); err != nil {
			t.Fatal(err)
		}
	}
	put("EFI/BOOT/BOOTX64.EFI", current)
	put(installed.Current, current)
	put(installed.Previous, previous)
	command := autoload + "mkdir /m && mount -r -t vfat /dev/vda1 /m"
	for i, name := range slices.Sorted(maps.Keys(wanted)) {
		file := filepath.Join(t.TempDir(), "variable")
		if err := os.WriteFile(file, append([]byte{7, 0, 0, 0}, wanted[name]...), 0o644); err != nil {
			t.Fatal(err)
		}
		put(fmt.Sprintf("v%d", i), file)
		command += fmt.Sprintf(" && cat /m/v%d >/sys/firmware/efi/efivars/%s", i, name)
	}
	takePlace(t)
	boot := func(drives ...vm.Drive) machine {
		return startAnother(t, vm.Options{Flash: vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars}, Drives: append([]vm.Drive{drive}, drives...)})
	}
	shell := func(m machine, command, want string) {
		t.Helper()
		m.row(menuLimit, "shell", "power")
		m.shell()
		m.run(command, want)
	}
	m := boot()
	shell(m, command+" && echo written$((6 * 7))", "written42")
	m.Stop()

	// By its entry, and not by the path for removable media.
	if _, err := built.Run("", "mdel", "-i", offset, "::EFI/BOOT/BOOTX64.EFI"); err != nil {
		t.Fatal(err)
	}
	m = boot()
	shell(m, "cat /proc/cmdline", "which=current")
	m.Stop()

	half := filepath.Join(t.TempDir(), "half.efi")
	b, err := os.ReadFile(current)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, b[:len(b)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	put(installed.Current, half)
	alpine, w := alpineDisk(t)
	m = boot(alpine)
	m.bootsTarget(w)
	m.Await(0, vm.InLog(`"alpboot (previous)" from HD(1,GPT,`))
}

// signedKernel signs a kernel for Secure Boot, instead of whoever signed it
// before; without a key it only takes the signature off.
func signedKernel(t *testing.T, name, kernel, key, cert string) string {
	t.Helper()
	b, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := built.Run("", "sbattach", "--remove", file); err != nil {
		t.Fatal(err)
	}
	if key == "" {
		return file
	}
	if _, err := built.Run("", "sbsign", "--key", key, "--cert", cert, "--output", file, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// With Secure Boot the firmware starts a UKI that is signed with a key it
// trusts. Its kernel then boots no other kernel than those that are signed by
// such a key too, and the menu says why not.
func TestPayloadSecureBoot(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.secboot.fd")
	needProgram(t, "sbsigntool", "sbsign")
	t.Parallel()
	key, cert, err := payloads().Key()
	if err != nil {
		t.Fatal(err)
	}
	secure := vm.Flash{Code: ovmf + "OVMF_CODE_4M.secboot.fd", Secure: true}
	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		uki := makePayload(t, "signed.efi", "uki", "--cmdline", stay, "--sign", key+","+cert)
		k := kernelOf(t, debian.Newer)
		files := map[string]string{"flavour": "lts"}
		image := initramfs(t, target.Gzip, files)
		in := disk.Install{Options: targetOptions, Kernels: []disk.Kernel{
			{Flavour: "lts", Image: signedKernel(t, "signed", k.Image, key, cert), Initramfs: image},
			{Flavour: "plain", Image: signedKernel(t, "plain", k.Image, "", ""), Initramfs: image},
			{Flavour: "other", Image: k.Image, Initramfs: image}, // signed by Debian, whom this firmware does not trust
		}}
		flash := secure
		flash.Vars = vars(t, ovmf+"OVMF_VARS_4M.snakeoil.fd")
		m := startPayload(t, vm.Options{
			Flash:  flash,
			Drives: []vm.Drive{esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: uki}), {File: write(t, disk.GPTDisk(in))}},
		})
		m.row(menuLimit, "Linux lts", inList(k.Release))
		menu := m.Since()
		for _, refused := range []struct{ flavour, why string }{{"plain", "signed"}, {"other", "signed"}} {
			m.Type(vm.Down)
			m.selected("Linux " + refused.flavour)
			m.Type(vm.Enter)
			m.row(targetLimit, "Linux "+refused.flavour, "failed")
			m.text(drawLimit, refused.why)
			t.Logf("%s:\n%s", refused.flavour, m.Serial(0).Screen())
		}
		m.Type(vm.Up, vm.Up)
		m.selected("Linux lts")
		chosen := m.Since()
		banner := m.Serial(0).Watch(vm.InLog("Linux version " + k.Release))
		m.Type(vm.Enter)
		m.target(want{k, in.Cmdline("UUID=" + disk.RootUUID), files})
		// Said by the target itself, which the firmware's state reaches.
		m.Await(0, vm.InLog("Kernel is locked down from EFI Secure Boot"))
		at, err := banner.Result(0)
		if err != nil {
			t.Fatal(err)
		}
		reached(t, menu, menu+at-chosen) // without those that were refused
	})
	t.Run("unsigned", func(t *testing.T) {
		t.Parallel()
		uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
		flash := secure
		flash.Vars = vars(t, ovmf+"OVMF_VARS_4M.snakeoil.fd")
		m := startPayload(t, vm.Options{
			Flash:  flash,
			Drives: []vm.Drive{esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: uki})},
		})
		at := m.Await(time.Minute, vm.InLog("Access Denied"))
		t.Logf("refused after %.1f s", at.Seconds())
	})
}

// A coreboot ROM starts the menu from flash.
func TestPayloadCoreboot(t *testing.T) {
	needProgram(t, "coreboot-utils", "cbfstool")
	needProgram(t, "acpica-tools", "iasl")
	needOwnKernel(t, "Debian's kernel with its modules does not fit into 8 MiB of flash")
	t.Parallel()
	rom, err := built.Coreboot(filepath.Join(made.Root(), "build", "cache", "coreboot"))
	if err != nil {
		t.Fatal(err)
	}
	firmware := makePayload(t, "coreboot.rom", "coreboot", "--rom", rom, "--cmdline", stay)
	alpine, w := alpineDisk(t)
	m := startPayload(t, vm.Options{Firmware: firmware, Drives: []vm.Drive{alpine}})
	m.bootsTarget(w)
}

// A removable disk starts the menu on a machine with UEFI and on one with BIOS.
func TestPayloadStick(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needProgram(t, "syslinux", "syslinux")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	image := makePayload(t, "stick.img", "stick", "--uki", uki, "--cmdline", stay)
	for _, tt := range []struct {
		name  string
		flash string
		bus   vm.Bus
	}{
		{"UEFI", ovmf + "OVMF_CODE_4M.fd", vm.USB}, // which only firmware has to know
		// SeaBIOS starts from the first disk alone, which one on USB is not.
		{"BIOS", "", vm.Virtio},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			alpine, w := alpineDisk(t)
			o := vm.Options{Drives: []vm.Drive{{File: image, Bus: tt.bus}, alpine}}
			if tt.flash != "" {
				o.Flash = vm.Flash{Code: tt.flash, Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")}
			}
			startPayload(t, o).bootsTarget(w)
		})
	}
}
