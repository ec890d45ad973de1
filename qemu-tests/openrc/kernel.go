package openrc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/alpboot/alpboot/boot/payload"
	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/qemu-tests/debian"
)

// Kernel is a kernel of Debian's with what starts the system on it.
type Kernel struct {
	debian.Kernel
	Initramfs string          // its file: the modules that the menu needs, and the program starter as init
	Modules   map[string]File // the same modules, for the root filesystem
}

// Start makes the initramfs of a kernel as a file of that name, in the checkout at root.
func Start(root string, k debian.Kernel, file string) (Kernel, error) {
	started := Kernel{Kernel: k, Initramfs: file, Modules: map[string]File{}}
	program := file + "-starter"
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./qemu-tests/openrc/starter")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return started, fmt.Errorf("building the starter: %w\n%s", err, out)
	}
	init, err := os.ReadFile(program)
	if err != nil {
		return started, err
	}
	raw, err := initramfs.ModuleArchive(k.Image, k.Modules, payload.Output{Stdout: io.Discard, Progress: func(string, ...any) {}})
	if err != nil {
		return started, err
	}
	reader := cpio.Newc.Reader(bytes.NewReader(raw))
	for {
		r, err := reader.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return started, err
		}
		if r.Mode&cpio.S_IFMT == cpio.S_IFREG && strings.HasPrefix(r.Name, "lib/modules/") {
			b := make([]byte, r.FileSize)
			if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
				return started, err
			}
			started.Modules[path.Clean(r.Name)] = File{Data: b}
		}
	}
	// Packed as Alpine does it. The kernel unpacks both archives, and wants the second
	// one to begin at a word.
	var whole bytes.Buffer
	z := gzip.NewWriter(&whole)
	if _, err := z.Write(raw); err != nil {
		return started, err
	}
	if err := z.Close(); err != nil {
		return started, err
	}
	whole.Write(make([]byte, -whole.Len()&3))
	w := cpio.Newc.Writer(&whole)
	if err := cpio.WriteRecordsAndDirs(w, []cpio.Record{cpio.StaticFile("init", string(init), 0o755)}); err != nil {
		return started, err
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return started, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return started, err
	}
	return started, os.WriteFile(file, whole.Bytes(), 0o644)
}
