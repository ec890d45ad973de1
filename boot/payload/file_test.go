package payload

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a/b")
	write := func(text string, err error) error {
		return WriteFile(name, func(w io.Writer) error {
			io.WriteString(w, text)
			return err
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	if err := write("half", full); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(name); string(got) != "old" {
		t.Errorf("a failed write left %q", got)
	}
	if err := write("new", nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(name); string(got) != "new" {
		t.Errorf("got %q", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}

	// As /dev/sdb would: the name must stay that of the disk.
	name = filepath.Join(dir, "disk")
	if err := os.Symlink(os.DevNull, name); err != nil {
		t.Fatal(err)
	}
	if err := write("new", nil); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("writing to a device: %v", err)
	}
	if to, err := os.Readlink(name); to != os.DevNull {
		t.Errorf("the device's name is gone: %v", err)
	}
}
