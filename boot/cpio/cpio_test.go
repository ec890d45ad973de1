package cpio_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/cpio"
)

// TestArchive has the real cpio unpack an archive.
func TestArchive(t *testing.T) {
	boottest.NeedTools(t, "cpio")
	files := []cpio.File{
		{Name: "a/", Mode: 0o755},
		{Name: "a/one", Mode: 0o400, Data: []byte("1")},
		{Name: "a/none", Mode: 0o644},
		{Name: "long", Mode: 0o600, Data: bytes.Repeat([]byte("abc"), 1000)},
	}
	b := cpio.Archive(files...)
	if len(b)%4 != 0 {
		t.Errorf("the archive has %d bytes", len(b))
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "--quiet", "-id")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	for _, f := range files {
		name := filepath.Join(dir, f.Name)
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != os.FileMode(f.Mode) || st.IsDir() != (f.Name == "a/") {
			t.Errorf("%s has mode %v", f.Name, st.Mode())
		}
		if st.IsDir() {
			continue
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%s holds %q, %v", f.Name, got, err)
		}
	}
}
