// Package arm64 runs virtual machines for arm64, in which a kernel of Debian's
// kexecs another. It is small beside package vm: such a machine needs no keys,
// and its serial port is read when it has ended.
package arm64

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// Variable is an environment variable that names an arm64 kernel image, where
// there is no apt-get to download Debian's.
const Variable = "ALPBOOT_ARM64_KERNEL"

// metapackage depends on the kernel package that is downloaded: small, and with
// what QEMU's machine virt needs but for its disks, whose drivers are modules.
const metapackage = "linux-image-6.12-cloud-arm64:arm64"

var dependency = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\d\S*)$`)

// Kernel returns the path of Debian's kernel; lib/modules beside its directory has
// its modules. What is downloaded stays in cache.
func Kernel(cache string) (string, error) {
	if file := os.Getenv(Variable); file != "" {
		return filepath.Abs(file)
	}
	tree, err := fetch(cache, "arm64", func(a apt) ([]string, error) {
		out, err := a.run("apt-cache", "depends", metapackage)
		if err != nil {
			return nil, err
		}
		m := dependency.FindSubmatch(out)
		if m == nil {
			return nil, fmt.Errorf("apt knows no kernel that %s depends on", metapackage)
		}
		return []string{string(m[1])}, nil
	})
	if err != nil {
		return "", err
	}
	images, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return "", fmt.Errorf("%s holds %d kernels, not one", tree, len(images))
	}
	return images[0], nil
}

// Firmware is what starts a machine before any kernel: paths of Debian's files.
type Firmware struct {
	Code, Vars string // of UEFI; variables are to be copied
	UBoot      string
	Stub       string // systemd's, which makes a kernel an EFI program
}

// GetFirmware returns Debian's. What is downloaded stays in cache.
func GetFirmware(cache string) (Firmware, error) {
	tree, err := fetch(cache, "arm64-firmware", func(apt) ([]string, error) {
		return []string{"qemu-efi-aarch64", "u-boot-qemu", "systemd-boot-efi:arm64"}, nil
	})
	return Firmware{
		Code:  filepath.Join(tree, "usr/share/AAVMF/AAVMF_CODE.fd"),
		Vars:  filepath.Join(tree, "usr/share/AAVMF/AAVMF_VARS.fd"),
		UBoot: filepath.Join(tree, "usr/lib/u-boot/qemu_arm64/u-boot.bin"),
		Stub:  filepath.Join(tree, "usr/lib/systemd/boot/efi/linuxaa64.efi.stub"),
	}, err
}

// apt runs apt's programs in a directory of their own, where they know of arm64
// too: the system's settings stay as they are.
type apt struct{ work string }

func (a apt) run(program string, args ...string) ([]byte, error) {
	o := []string{"-o", "APT::Architectures::=arm64", "-o", "Dir::State=" + a.work + "/state", "-o", "Dir::State::lists=" + a.work + "/lists",
		"-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Dir::Cache=" + a.work + "/cache", "-o", "APT::Sandbox::User="}
	cmd := exec.Command(program, append(o, args...)...)
	cmd.Dir = a.work
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, args[0], err, out)
	}
	return out, err
}

// fetch returns the directory called name of cache. The first time it unpacks there
// the packages that which names.
func fetch(cache, name string, which func(apt) ([]string, error)) (string, error) {
	tree := filepath.Join(cache, name)
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, ".download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return "", err
		}
	}
	a := apt{work}
	if _, err := a.run("apt-get", "update", "-q"); err != nil {
		return "", fmt.Errorf("%w\n(%s names an arm64 kernel of your own)", err, Variable)
	}
	packages, err := which(a)
	if err != nil {
		return "", err
	}
	if _, err := a.run("apt-get", append([]string{"download", "-q"}, packages...)...); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != len(packages) {
		return "", fmt.Errorf("apt-get download left %d packages of %d", len(debs), len(packages))
	}
	unpacked := filepath.Join(work, "tree")
	for _, deb := range debs {
		if out, err := exec.Command("dpkg-deb", "-x", deb, unpacked).CombinedOutput(); err != nil {
			return "", fmt.Errorf("unpacking %s: %w\n%s", filepath.Base(deb), err, out)
		}
	}
	// Another process may have been faster; its copy is as good.
	if err := os.Rename(unpacked, tree); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return tree, nil
}

// Gzip packs an Image as Image.gz.
func Gzip(image []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(image); err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// Zboot packs an Image as Alpine's kernels are: gzipped, behind the header of
// drivers/firmware/efi/libstub/zboot-header.S. EFI firmware would find no code
// in it.
func Zboot(image []byte) ([]byte, error) {
	packed, err := Gzip(image)
	if err != nil {
		return nil, err
	}
	const head = 0x1000
	b := make([]byte, head, head+len(packed))
	le := binary.LittleEndian
	copy(b, "MZ\x00\x00zimg")
	le.PutUint32(b[8:], head)
	le.PutUint32(b[12:], uint32(len(packed)))
	copy(b[24:], "gzip")
	le.PutUint32(b[0x38:], 0x818223cd) // LINUX_PE_MAGIC
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], 0xaa64)
	return append(b, packed...), nil
}

// Build compiles a command of this module for arm64.
func Build(root, pkg, file string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Initramfs returns an archive of programs and other files, with the console that
// an init needs.
func Initramfs(programs, files map[string][]byte) ([]byte, error) {
	records := []cpio.Record{cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1)}
	for name, b := range programs {
		records = append(records, cpio.StaticRecord(b, cpio.Info{Name: name, Mode: cpio.S_IFREG | 0o755}))
	}
	for name, b := range files {
		records = append(records, cpio.StaticRecord(b, cpio.Info{Name: name, Mode: cpio.S_IFREG | 0o644}))
	}
	cpio.MakeAllReproducible(records)
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := cpio.WriteRecords(w, records); err != nil {
		return nil, err
	}
	err := cpio.WriteTrailer(w)
	return archive.Bytes(), err
}

// Machine is a virtual machine. It is started by Kernel, Firmware or Code.
type Machine struct {
	Kernel, Initramfs, Cmdline string
	Firmware                   string // for -bios
	Code, Vars                 string // flash chips; Vars is written to
	Drives                     []string
	Memory                     int // MiB
}

// Log is what came out of a serial port, and when.
type Log struct {
	Text  string
	start time.Time
	parts []part
}

// part is where Text ended once, and how long after the start.
type part struct {
	end int
	at  time.Duration
}

func (l *Log) Write(b []byte) (int, error) {
	l.Text += string(b)
	l.parts = append(l.parts, part{len(l.Text), time.Since(l.start)})
	return len(b), nil
}

// Since returns the time from the start until text came for the nth time, which
// begins with 1; or -1 when it did not.
func (l *Log) Since(text string, n int) time.Duration {
	end := 0
	for range n {
		i := strings.Index(l.Text[end:], text)
		if i < 0 {
			return -1
		}
		end += i + len(text)
	}
	i := slices.IndexFunc(l.parts, func(p part) bool { return p.end >= end })
	return l.parts[i].at
}

// Run starts the machine and returns what came out of its serial port, when it has
// powered off. An error comes with what there was by then. Writes to
// the drives are thrown away.
func (m Machine) Run(limit time.Duration) (log *Log, err error) {
	args := []string{"-nodefaults", "-no-user-config", "-no-reboot", "-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a57",
		"-m", fmt.Sprint(m.Memory), "-display", "none", "-serial", "stdio"}
	if m.Kernel != "" {
		args = append(args, "-kernel", m.Kernel, "-initrd", m.Initramfs, "-append", m.Cmdline)
	}
	if m.Firmware != "" {
		args = append(args, "-bios", m.Firmware)
	}
	// QEMU takes a comma in a value when it is doubled.
	drive := func(spec, file string) {
		args = append(args, "-drive", spec+",format=raw,file="+strings.ReplaceAll(file, ",", ",,"))
	}
	if m.Code != "" {
		drive("if=pflash,unit=0,readonly=on", m.Code)
		drive("if=pflash,unit=1", m.Vars)
	}
	for i, file := range m.Drives {
		drive(fmt.Sprintf("if=none,id=disk%d,snapshot=on", i), file)
		args = append(args, "-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d", i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-aarch64", args...)
	log = &Log{start: time.Now()}
	cmd.Stdout, cmd.Stderr = log, log // the same, so that both are written by one goroutine
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("the machine did not power off within %v", limit)
	}
	return log, err
}
