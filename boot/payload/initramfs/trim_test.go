package initramfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTrim(t *testing.T) {
	src := t.TempDir()
	if err := trim(src); err != nil {
		t.Errorf("without any of the modules: %v", err)
	}
	write := func(name string) {
		t.Helper()
		name = filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("package x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const latin, other = "github.com/gdamore/encoding/latin1.go", "github.com/klauspost/compress/zstd/decoder.go"
	write(latin)
	write(other)
	if err := trim(src); err == nil {
		t.Error("that a file is not there any more goes unnoticed")
	}
	write(latin)
	write("github.com/klauspost/compress/zstd/snappy.go")
	if err := trim(src); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{latin: false, "github.com/gdamore/encoding/trimmed.go": true, other: true, "github.com/klauspost/compress/zstd/snappy.go": false} {
		if _, err := os.Stat(filepath.Join(src, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
