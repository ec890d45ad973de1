package initramfs_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/initramfs"
	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// Where no program undoes the filter for machine code, an initramfs of our own is
// not taken for a damaged one; one that is cut is.
func TestUnpackWithoutXZ(t *testing.T) {
	payloadtest.NeedTools(t, "xz")
	cmd := exec.Command("xz", "--x86", "--lzma2", "-c")
	cmd.Stdin = bytes.NewReader(payloadtest.Initramfs(t, "x"))
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := initramfs.Unpack("xz", packed); err != nil || !bytes.Contains(raw, []byte("bbin/bootmenu")) {
		t.Errorf("with xz: %v", err)
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for _, name := range []string{"no program", "busybox"} {
		if name == "busybox" {
			err := errors.Join(os.WriteFile(filepath.Join(bin, "busybox"), []byte("#!/bin/sh\nexit 1\n"), 0o755), os.Symlink("busybox", filepath.Join(bin, "xz")))
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := initramfs.Unpack("xz", append(bytes.Clone(packed), 0, 0, 0, 0)); !errors.Is(err, initramfs.ErrFilter) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := initramfs.Unpack("xz", packed[:len(packed)/2]); err == nil || errors.Is(err, initramfs.ErrFilter) {
			t.Errorf("%s, cut: %v", name, err)
		}
	}
}
