package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// takePicture starts the machine with a screen, and writes what that shows
// when the menu has listed what it found: for the README.
func takePicture(o vm.Options, file string) error {
	o.Display = vm.VGA
	o.Cmdline += " console=tty0 alpboot.timeout=-1"
	m, err := vm.Launch(o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(m.Dir())
	defer m.Stop()
	if _, err := m.Serial(0).Await(3*time.Minute, vm.OnScreen("default")); err != nil {
		return err
	}
	// The serial line may be ahead: the screen is done when it stays the same.
	dump := filepath.Join(m.Dir(), "screen.png")
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last []byte
	for range 30 {
		if err := m.Screendump(dump); err != nil {
			return err
		}
		b, err := os.ReadFile(dump)
		if err != nil {
			return err
		}
		if bytes.Equal(b, last) {
			return os.WriteFile(file, b, 0o644)
		}
		last = b
		<-ticker.C
	}
	return errors.New("the screen does not come to rest")
}
