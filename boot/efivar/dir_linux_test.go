package efivar

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
)

// TestDir goes through the files of a directory that stands for efivarfs,
// with the immutable flag where the filesystem below it has one.
func TestDir(t *testing.T) {
	dir := t.TempDir()
	e := Dir(dir)
	file := filepath.Join(dir, "AlpbootDefault-"+Global)
	if _, err := e.Get("AlpbootDefault", Global); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if err := e.Delete("AlpbootDefault", Global); err != nil {
		t.Fatalf("deleting what is not there: %v", err)
	}
	if err := e.Set("AlpbootDefault", Global, []byte("lts-1")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "\x07\x00\x00\x00lts-1" {
		t.Errorf("file: %q", b)
	}
	if b, err := e.Get("AlpbootDefault", Global); string(b) != "lts-1" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if err := e.SetSigned("PK", Global, []byte("update")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "PK-"+Global)); string(b) != "\x27\x00\x00\x00update" {
		t.Errorf("a signed one: %q", b)
	}
	os.WriteFile(filepath.Join(dir, "AlpbootNext-"+Global), nil, 0o644)
	if _, err := e.Get("AlpbootNext", Global); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file: %v", err)
	}
	os.WriteFile(filepath.Join(dir, "AlpbootLast-"+Global), make([]byte, 1<<20), 0o644)
	if _, err := e.Get("AlpbootLast", Global); err == nil {
		t.Error("a megabyte is not a variable")
	}

	t.Run("immutable", func(t *testing.T) {
		boottest.NeedRoot(t)
		if changed, err := setImmutable(file, true); err != nil || !changed {
			boottest.Skip(t, "files have no immutable flag here: ", err)
		}
		t.Cleanup(func() { setImmutable(file, false) })
		if err := os.WriteFile(file, nil, 0o644); err == nil {
			t.Fatal("the flag does nothing here")
		}
		if err := e.Set("AlpbootDefault", Global, []byte("a")); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err == nil {
			t.Error("the flag was not put back")
		}
		if err := e.Delete("AlpbootDefault", Global); err != nil {
			t.Error(err)
		}
	})
}

func TestExplain(t *testing.T) {
	for err, want := range map[error]string{
		unix.ENOSPC: "the firmware has no room for it",
		unix.EPERM:  "the firmware or the kernel protects its variables",
		unix.EIO:    "the firmware refuses it",
		unix.EBADF:  "bad file descriptor",
	} {
		if got := explain(&fs.PathError{Op: "write", Path: "x", Err: err}); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: got %v", err, got)
		}
	}
	err := Dir(filepath.Join(t.TempDir(), "none")).Set("AlpbootDefault", Global, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "writing the EFI variable AlpbootDefault: ") {
		t.Errorf("got %v", err)
	}
}
