// Package arm64 runs virtual machines for arm64, in which a kernel of Debian's
// kexecs another by our kexec command. It is small beside package vm: such a
// machine only runs a list of commands, and its serial port is read.
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
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// Variable is an environment variable that names an arm64 kernel image, where
// there is no apt-get to download Debian's.
const Variable = "ALPBOOT_ARM64_KERNEL"

// metapackage depends on the kernel package that is downloaded: small, and with
// all that QEMU's machine virt needs built in.
const metapackage = "linux-image-6.12-cloud-arm64:arm64"

var dependency = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\d\S*)$`)

// Kernel gives the path of Debian's kernel. apt is told of the architecture in a
// folder of its own: the system's settings stay as they are. What is downloaded
// stays in cache.
func Kernel(cache string) (string, error) {
	if file := os.Getenv(Variable); file != "" {
		return filepath.Abs(file)
	}
	found := func() string {
		images, _ := filepath.Glob(filepath.Join(cache, "arm64", "boot", "vmlinuz-*"))
		return strings.Join(images, "")
	}
	if file := found(); file != "" {
		return file, nil
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
	apt := func(program string, args ...string) ([]byte, error) {
		o := []string{"-o", "APT::Architectures::=arm64", "-o", "Dir::State=" + work + "/state", "-o", "Dir::State::lists=" + work + "/lists",
			"-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Dir::Cache=" + work + "/cache", "-o", "APT::Sandbox::User="}
		cmd := exec.Command(program, append(o, args...)...)
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s %s (or set %s to an arm64 kernel): %w\n%s", program, args[0], Variable, err, out)
		}
		return out, err
	}
	if _, err := apt("apt-get", "update", "-q"); err != nil {
		return "", err
	}
	out, err := apt("apt-cache", "depends", metapackage)
	if err != nil {
		return "", err
	}
	m := dependency.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("apt knows no kernel that %s depends on", metapackage)
	}
	if _, err := apt("apt-get", "download", "-q", string(m[1])); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download left %d packages", len(debs))
	}
	tree := filepath.Join(work, "tree")
	if out, err := exec.Command("dpkg-deb", "-x", debs[0], tree).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking the kernel: %w\n%s", err, out)
	}
	if err := os.Rename(tree, filepath.Join(cache, "arm64")); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if file := found(); file != "" {
		return file, nil
	}
	return "", errors.New("Debian's package holds no kernel")
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

// Initramfs gives an archive of programs and other files, with the console that
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

// Run starts a machine and gives what came out of its serial port, when it has
// switched itself off. An error comes with what there was by then.
func Run(kernel, initramfs string, memory int, limit time.Duration) (log string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-aarch64", "-nodefaults", "-no-user-config", "-no-reboot",
		"-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a57", "-m", fmt.Sprint(memory), "-display", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyAMA0")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("the machine did not switch itself off within %v", limit)
	}
	return string(out), err
}
