package reboot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/alpboot/alpboot/boot/efivar"
)

// The counter of one entry is not taken off because another one came up, unless
// the jump to that failed.
func TestForgetCounter(t *testing.T) {
	s := &System{Root: t.TempDir()}
	s.forgetCounter()() // a machine without EFI variables
	if err := os.MkdirAll(filepath.Join(s.Root, efivar.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	vars := efivar.Dir(filepath.Join(s.Root, efivar.Path))
	s.forgetCounter()()
	if _, err := vars.Get(efivar.BootCountPath, efivar.Loader); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is one: %v", err)
	}
	want := efivar.AppendText(nil, `\loader\entries\arch+2-1.conf`)
	if err := vars.Set(efivar.BootCountPath, efivar.Loader, want); err != nil {
		t.Fatal(err)
	}
	undo := s.forgetCounter()
	if _, err := vars.Get(efivar.BootCountPath, efivar.Loader); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	undo()
	if got, err := vars.Get(efivar.BootCountPath, efivar.Loader); string(got) != string(want) {
		t.Errorf("got %q, %v", got, err)
	}
}
