// Package target makes the initramfs of a target: a system of one program that
// reports what was booted and switches the machine off. It stands for the
// Alpine that a user would boot, with the kernels of a distribution.
package target

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"

	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// Compression of an initramfs; mkinitfs offers more, and takes gzip.
type Compression string

const (
	None Compression = ""
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// Image is the content of one initramfs.
type Image struct {
	Init  []byte            // the program; nil for an initrd that only adds files
	Files map[string]string // what the target reports, by path in the payload directory
	End   report.End        // what it does after its report
	// Confirm is where it reports that it is up, before it ends: the device, type
	// and file of a [remember.File], such as "/dev/vda2 ext4 alpboot.state", or "efi".
	// The kernel must have the drivers built in. With "bless /dev/vda1" it is
	// systemd-bless-boot that does, for an entry on that FAT volume.
	Confirm     string
	Programs    map[string][]byte // further programs, libraries, and modules of the kernel, by path: see [report.Modules]
	Compression Compression
}

// BuildInit compiles the program of a target to file, for Linux on arch. The
// current directory must be in this module.
func BuildInit(file, arch string) error {
	abs, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", abs,
		"github.com/alpboot/alpboot/qemu-tests/target/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the target's init: %w\n%s", err, out)
	}
	return nil
}

// Initramfs returns the compressed cpio archive. The same Image yields the same
// bytes.
func Initramfs(im Image) ([]byte, error) {
	records := []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
	}
	if im.Init != nil {
		records = append(records, cpio.StaticRecord(im.Init, cpio.Info{Name: "init", Mode: cpio.S_IFREG | 0o755}))
	}
	for _, f := range []struct{ name, content string }{{report.EndFile, string(im.End)}, {report.ConfirmFile, im.Confirm}} {
		if f.content != "" {
			records = append(records, cpio.StaticFile(f.name, f.content, 0o644))
		}
	}
	directories := map[string]bool{}
	needs := func(name string) {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			directories[d] = true
		}
	}
	for n := range im.Files {
		needs(path.Join(report.Payload, n))
	}
	for n := range im.Programs {
		needs(n)
	}
	// Sorted: a directory comes before what is in it.
	for _, d := range slices.Sorted(maps.Keys(directories)) {
		records = append(records, cpio.Directory(d, 0o755))
	}
	for _, n := range slices.Sorted(maps.Keys(im.Files)) {
		records = append(records, cpio.StaticFile(path.Join(report.Payload, n), im.Files[n], 0o644))
	}
	for _, n := range slices.Sorted(maps.Keys(im.Programs)) {
		records = append(records, cpio.StaticRecord(im.Programs[n], cpio.Info{Name: n, Mode: cpio.S_IFREG | 0o755}))
	}
	cpio.MakeAllReproducible(records)

	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := cpio.WriteRecords(w, records); err != nil {
		return nil, fmt.Errorf("writing the target's initramfs: %w", err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("writing the target's initramfs: %w", err)
	}
	return compress(archive.Bytes(), im.Compression)
}

func compress(b []byte, c Compression) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch c {
	case None:
		return b, nil
	case Gzip:
		w, err = gzip.NewWriterLevel(&out, gzip.BestCompression)
	case Zstd:
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	default:
		return nil, fmt.Errorf("compression %q is not known", c)
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
