package qemutests

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	built "github.com/alpboot/alpboot/qemu-tests/payload"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

const ovmf = "/usr/share/OVMF/"

// payloads makes what these tests boot.
var payloads = sync.OnceValue(func() *built.Maker { return built.New(made) })

// makePayload gives the path of a payload that mkpayload makes.
func makePayload(t *testing.T, name, verb string, args ...string) string {
	t.Helper()
	file, err := payloads().Make(name, verb, args...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// needFirmware skips a test for which a file or program is missing.
func needFirmware(t *testing.T, pkg string, files ...string) {
	t.Helper()
	needQEMU(t)
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("%v (Debian: package %s)", err, pkg)
		}
	}
}

// startPayload starts a machine that boots by its firmware.
func startPayload(t *testing.T, o vm.Options) machine {
	t.Helper()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
	o.Memory = 1024
	o.Dir = made.Path("qemu-tests", t.Name())
	return machine{vm.Start(t, o), t}
}

// vars gives a copy of an image of variables, for one machine to change.
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

// alpineDisk makes a disk with a system to boot, and says what it must report.
func alpineDisk(t *testing.T) (vm.Drive, want) {
	t.Helper()
	k := kernelOf(t, debian.Newer)
	files := map[string]string{"flavour": "lts"}
	in := disk.Install{
		Options: "console=ttyS0,115200",
		Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, files)}},
	}
	return vm.Drive{File: write(t, disk.GPTDisk(in))}, want{k, in.Cmdline("UUID=" + disk.RootUUID), files}
}

// bootsTarget chooses the only entry of the menu, and waits for what it boots.
// It gives the times from power on to the menu and to the target's banner.
func (m machine) bootsTarget(w want) {
	m.t.Helper()
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	menu := m.Since()
	banner := m.Serial(0).Watch(vm.InLog("Linux version " + w.kernel.Release))
	m.Type(vm.Enter)
	m.target(w)
	at, err := banner.Result(0)
	if err != nil {
		m.t.Error(err)
	}
	m.t.Logf("menu after %.1f s, target's banner after %.1f s", menu.Seconds(), at.Seconds())
}

const stay = "quiet console=tty0 console=ttyS0,115200 alpboot.timeout=-1"

// A UKI on an EFI system partition is started by the firmware and boots an
// Alpine disk.
func TestPayloadUKI(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	alpine, w := alpineDisk(t)
	m := startPayload(t, vm.Options{
		Flash:  vm.Flash{Code: ovmf + "OVMF_CODE_4M.fd", Vars: vars(t, ovmf+"OVMF_VARS_4M.fd")},
		Drives: []vm.Drive{esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: uki}), alpine},
	})
	m.bootsTarget(w)
}

// With Secure Boot the firmware starts a UKI that is signed with a key it
// trusts, and refuses one that is not.
func TestPayloadSecureBoot(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.secboot.fd")
	key, cert, err := payloads().Key()
	if err != nil {
		t.Fatal(err)
	}
	secure := vm.Flash{Code: ovmf + "OVMF_CODE_4M.secboot.fd", Secure: true}
	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		uki := makePayload(t, "signed.efi", "uki", "--cmdline", stay, "--sign", key+","+cert)
		alpine, w := alpineDisk(t)
		// The system to boot must be signed too: the kernel is locked down.
		_ = w
		flash := secure
		flash.Vars = vars(t, ovmf+"OVMF_VARS_4M.snakeoil.fd")
		m := startPayload(t, vm.Options{
			Flash:  flash,
			Drives: []vm.Drive{esp(t, "esp.img", disk.File{Path: "EFI/BOOT/BOOTX64.EFI", From: uki}), alpine},
		})
		m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
		m.t.Logf("menu after %.1f s", m.Since().Seconds())
		m.Type("s")
		m.Await(drawLimit, vm.OnScreen("$"))
		m.Type("dmesg | grep -i -e secure -e lockdown; cat /sys/kernel/security/lockdown; echo look$((6 * 7))\r")
		m.Await(drawLimit, vm.OnScreen("look42"))
		m.t.Log(m.Serial(0).Screen())
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
		m.t.Logf("refused after %.1f s", at.Seconds())
	})
}
