package qemutests

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/alpboot/alpboot/boot/manifest"
	"github.com/alpboot/alpboot/boot/signature"
	"github.com/alpboot/alpboot/boot/signature/signaturetest"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// signedDisk returns a disk whose /boot was signed in an epoch. Change, where it is not nil,
// changes the kernels afterwards.
func signedDisk(t *testing.T, in *disk.Install, epoch uint64, change func()) disk.Layout {
	t.Helper()
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	m := &manifest.Manifest{Epoch: epoch}
	for _, k := range in.Kernels {
		image, err := os.ReadFile(k.Image)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"vmlinuz-" + k.Flavour: image, "initramfs-" + k.Flavour: k.Initramfs} {
			m.Files = append(m.Files, manifest.File{Path: name, Size: int64(len(b)), SHA256: sha256.Sum256(b)})
		}
		m.Entries = append(m.Entries, manifest.Entry{Kernel: "vmlinuz-" + k.Flavour, Initrds: []string{"initramfs-" + k.Flavour}, Cmdline: cmdline})
	}
	if change != nil {
		change()
	}
	layout := disk.GPTDisk(*in)
	boot := slices.IndexFunc(layout.Partitions, func(p disk.Partition) bool { return p.FS.UUID == disk.BootUUID })
	layout.Partitions[boot].FS.Files = append(layout.Partitions[boot].FS.Files,
		disk.File{Path: manifest.Name, Data: m.Bytes()}, disk.File{Path: manifest.Name + signature.Minisig, Data: []byte(signaturetest.New(1).Sign(m.Bytes()))})
	return layout
}

// enforces has a machine's menu start only what is signed by the key of signedDisk.
func enforces(t *testing.T) func(o *vm.Options) {
	return func(o *vm.Options) {
		image := filepath.Join(t.TempDir(), "initrd")
		if err := appendArchive(image, o.Initrd,
			cpio.StaticFile(signature.Dir+"/owner.pub", signaturetest.New(1).Public(), 0o644),
			cpio.StaticFile("etc/alpboot.conf", "verify = enforce\n", 0o644)); err != nil {
			t.Fatal(err)
		}
		o.Initrd = image
	}
}

// What was signed in an epoch before that of the TPM's counter is refused; what was signed
// in that epoch starts.
func TestRevoked(t *testing.T) {
	needProgram(t, "swtpm", "swtpm")
	t.Parallel()
	in, lts, _ := twoKernels(t)
	for _, tt := range []struct {
		name  string
		epoch uint64
		check func(s machine)
	}{
		{"older", 1, func(s machine) { s.text(targetLimit, "has epoch 1, and the counter of this machine's TPM is at 2") }},
		{"equal", 2, func(s machine) {
			s.target(want{lts, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "lts"}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWith(t, "alpboot.timeout=-1", func(o *vm.Options) {
				enforces(t)(o)
				conn, tcti := tpmtest.Start(t)
				countTo(t, tpm.New(conn), 2)
				o.TPM = tpmtest.ControlOf(t, tcti)
			}, vm.Drive{File: write(t, signedDisk(t, &in, tt.epoch, nil))})
			s.row(menuLimit, "Linux lts", inList(lts.Release), "default")
			s.Type(vm.Enter)
			tt.check(s)
		})
	}
}

// countTo makes the counter of epochs, and raises it.
func countTo(t *testing.T, d *tpm.Device, epoch uint64) {
	t.Helper()
	if err := d.DefineCounter(t.Context(), tpm.EpochCounter, nil); err != nil {
		t.Fatal(err)
	}
	for n := uint64(0); n < epoch; {
		var err error
		if n, err = d.Count(t.Context(), tpm.EpochCounter, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A menu whose image wants signatures, and has the key of its owner, refuses a kernel of
// which one bit is another, edits nothing and opens no shell; what is as it was signed
// starts. Kernel parameters do not change that.
func TestSigned(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, virt := twoKernels(t)
	layout := signedDisk(t, &in, 1, func() {
		changed, err := os.ReadFile(lts.Image)
		if err != nil {
			t.Fatal(err)
		}
		changed[len(changed)/2] ^= 1
		in.Kernels[0].Image = filepath.Join(t.TempDir(), "changed")
		if err := os.WriteFile(in.Kernels[0].Image, changed, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	s := startWith(t, "alpboot.timeout=-1 alpboot.verify=off", enforces(t), vm.Drive{File: write(t, layout)})
	s.row(menuLimit, "Linux lts", inList(lts.Release), "default")
	s.Type(vm.Enter)
	s.text(targetLimit, "/vmlinuz-lts on /dev/vda2: it was changed after it was signed")
	s.Type("e")
	s.text(drawLimit, "This is locked: only what is signed starts here")
	s.Type("x")
	s.without("This is locked")
	s.Type("s")
	s.text(drawLimit, "This is locked: only what is signed starts here")
	s.Type(vm.Home, vm.Down)
	s.selected("Linux virt")
	s.Type("i")
	s.text(drawLimit, "It is signed by owner.pub, in /alpboot.manifest, epoch 1.")
	s.Type(vm.Escape)
	s.selected("Linux virt") // together with what follows, Escape would be Alt
	s.Type(vm.Enter)
	s.target(want{virt, cmdline, map[string]string{"flavour": "virt"}})
}

// A menu whose image has a password asks for it on a serial line, and by lines, before
// each thing that is locked; the default starts without, and its initramfs may open no shell.
func TestPasswordAsks(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	// That of "secret".
	const conf = "password = grub.pbkdf2.sha512.10.0EF274A917CB66B8.42915885150BA3A33AA3BC5ADA483FE1\nlocked = edit,shell,other,power,settings\n"
	in, lts, virt := twoKernels(t)
	layout := write(t, disk.GPTDisk(in))
	cmdline := in.Cmdline("UUID=" + disk.RootUUID)
	withPassword := func(o *vm.Options) {
		image := filepath.Join(t.TempDir(), "initrd")
		if err := appendArchive(image, o.Initrd, cpio.StaticFile("etc/alpboot.conf", conf, 0o644)); err != nil {
			t.Fatal(err)
		}
		o.Initrd = image
	}
	t.Run("screen", func(t *testing.T) {
		s := startWith(t, "alpboot.timeout=-1 alpboot.password= alpboot.locked=edit", withPassword, vm.Drive{File: layout})
		s.row(menuLimit, "Linux lts", inList(lts.Release), "default")
		for _, key := range []vm.Key{"e", "s", "p", "o", "d"} {
			s.Type(key)
			s.text(drawLimit, "Password for")
			s.Type(vm.Escape)
			s.without("Password for")
		}
		s.Type(vm.Down)
		s.selected("Linux virt")
		s.Type(vm.Enter)
		s.text(drawLimit, "Password for starting Linux virt")
		for left := range 2 {
			s.Type("wrong", vm.Enter)
			s.text(drawLimit, fmt.Sprintf("This password is wrong. Tries left: %d.", 2-left))
		}
		s.Type("secret", vm.Enter)
		s.target(want{virt, cmdline + " panic=30", map[string]string{"flavour": "virt"}})
	})
	t.Run("lines", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=-1 alpboot.ui=line", withPassword, vm.Drive{File: layout})
		m.Await(menuLimit, vm.InLog("Type a number and Enter, Enter alone for 1"))
		for _, line := range []string{"s", "2", "p\rr"} {
			before := len(m.Serial(0).Log())
			m.Type(vm.Key(line + "\r"))
			m.Await(drawLimit, vm.LogAfter(before, "(it is not shown; an empty line goes"))
			m.Type("\r")
			m.Await(drawLimit, vm.LogAfter(before, "Nothing was done."))
		}
		m.Type("1\r")
		m.target(want{lts, cmdline + " panic=30", map[string]string{"flavour": "lts"}})
	})
}

// An encrypted disk that systemd-cryptenroll has bound to the machine's TPM is unlocked
// without a question, and its entry starts by itself; with the TPM of another machine the
// passphrase is asked for, with the reason.
func TestTPMUnlocks(t *testing.T) {
	needQEMU(t)
	needProgram(t, "swtpm", "swtpm")
	needProgram(t, "systemd-cryptenroll", "systemd-cryptenroll")
	t.Parallel()
	const uuid, passphrase = "11111111-2222-4333-8444-555555555555", "pass phrase"
	conn, tcti := tpmtest.Start(t)
	conn.Close() // it takes one connection at a time
	k := kernelOf(t, debian.Older)
	in := disk.Install{
		Options: "cryptroot=UUID=" + uuid + " cryptdm=root quiet no_timer_check",
		Kernels: []disk.Kernel{{Flavour: "lts", Image: k.Image, Initramfs: initramfs(t, target.Gzip, map[string]string{"flavour": "lts"})}},
	}
	layout := disk.OneRoot(in)
	layout.Partitions[0].Size += 16
	layout.Partitions[0].FS.In = []disk.Volume{disk.LUKS2(passphrase, "--uuid", uuid).Then(func(file string) error {
		enroll := exec.Command("systemd-cryptenroll", "--tpm2-device=swtpm:path="+tcti, "--tpm2-pcrs=8", file)
		enroll.Env = append(os.Environ(), "PASSWORD="+passphrase)
		if out, err := enroll.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})}
	drive := vm.Drive{File: write(t, layout)}
	t.Run("its own", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=1", func(o *vm.Options) { o.TPM = tpmtest.ControlOf(t, tcti) }, drive)
		m.target(want{k, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "lts"}})
	})
	t.Run("another", func(t *testing.T) {
		m := startWith(t, "alpboot.timeout=1", func(o *vm.Options) { o.TPM = tpmtest.Control(t) }, drive)
		m.text(menuLimit, "/dev/vda1 is not unlocked: unsealing by the TPM")
		m.row(drawLimit, "vda1", "encrypted")
		m.Type(vm.Enter, passphrase, vm.Enter)
		m.row(drawLimit, "Linux lts", inList(k.Release))
	})
}
