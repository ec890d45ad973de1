package device_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device"
	"golang.org/x/sys/unix"
)

func TestLoop(t *testing.T) {
	boottest.NeedRoot(t)
	image := filepath.Join(t.TempDir(), "image")
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte(i / 512)
	}
	must(t, os.WriteFile(image, b, 0o644))
	tests := []struct {
		name         string
		offset, size int64
		want         []byte
	}{
		{"all of it", 0, 0, b},
		{"a partition", 4096, 8192, b[4096:][:8192]},
		{"from an offset on", 32 << 10, 0, b[32<<10:]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			loop, err := device.Loop(image, tt.offset, tt.size)
			must(t, err)
			f, err := device.Open(loop.Path)
			must(t, err)
			defer f.Close()
			got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(tt.want))
			}
			if !isReadOnly(t, loop.Path) {
				t.Error("it can be written to")
			}
			f.Close()
			must(t, loop.Close())
			backing, err := os.ReadFile("/sys/class/block/" + filepath.Base(loop.Path) + "/loop/backing_file")
			if err == nil && strings.HasPrefix(string(backing), image) {
				t.Error("it stays after Close")
			}
		})
	}
}

func TestLoopErrors(t *testing.T) {
	for _, tt := range []struct {
		path         string
		offset, size int64
	}{{"/dev/null", 1, 0}, {"/dev/null", 0, 5}, {"/dev/null", -512, 0}, {"/nowhere", 0, 0}} {
		if loop, err := device.Loop(tt.path, tt.offset, tt.size); err == nil || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("Loop(%s, %d, %d): %v, %v", tt.path, tt.offset, tt.size, loop, err)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	must(t, os.WriteFile(image, make([]byte, 12345), 0o644))
	f, err := device.Open(image)
	must(t, err)
	defer f.Close()
	if f.Size != 12345 {
		t.Errorf("size %d", f.Size)
	}
	fifo := filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o644))
	for _, name := range []string{fifo, dir, "/dev/null", filepath.Join(dir, "nowhere")} {
		if _, err := device.Open(name); err == nil || strings.Count(err.Error(), name) != 1 {
			t.Errorf("Open(%s): %v", name, err)
		}
	}
	empty := filepath.Join(dir, "empty")
	must(t, os.WriteFile(empty, nil, 0o644))
	if f, err := device.Open(empty); err != nil || f.Size != 0 {
		t.Errorf("an empty image: %v", err)
	}
}

// TestOpenWithoutMedium takes a loop device that is over nothing, which has as
// little in it as an empty drive.
func TestOpenWithoutMedium(t *testing.T) {
	boottest.NeedRoot(t)
	names, _ := filepath.Glob("/sys/class/block/loop*")
	for _, name := range names {
		if b, err := os.ReadFile(name + "/size"); err != nil || strings.TrimSpace(string(b)) != "0" {
			continue
		}
		if _, err := device.Open("/dev/" + filepath.Base(name)); !errors.Is(err, unix.ENOMEDIUM) {
			t.Errorf("Open: %v", err)
		}
		return
	}
	t.Skip("no loop device is free")
}
