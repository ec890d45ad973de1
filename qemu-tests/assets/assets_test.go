package assets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestEachThingIsMadeOnce(t *testing.T) {
	a, err := Open(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	want := errors.New("did not work")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := a.once("x", "", func() error { n++; return want }); err != want {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	wg.Wait()
	if n != 1 {
		t.Errorf("made %d times", n)
	}
}

func TestAnImageIsOldWhenASourceIsNewer(t *testing.T) {
	a := &Assets{root: t.TempDir()}
	write := func(name string, age time.Duration) string {
		file := filepath.Join(a.root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, f := range []string{"go.mod", "boot/boot.go", "cmds/bootmenu/main.go", "initramfs/commands.txt"} {
		write(f, time.Hour)
	}
	image := write("build/x86_64/initramfs", time.Minute)
	if !a.upToDate(image) {
		t.Error("an image newer than all sources counts as old")
	}
	write("boot/boot_test.go", 0)
	if !a.upToDate(image) {
		t.Error("a test that is newer makes an image old")
	}
	write("initramfs/commands.txt", 0)
	if a.upToDate(image) {
		t.Error("a changed command list does not make an image old")
	}
	if a.upToDate(image + "2") {
		t.Error("an image that is not there counts as up to date")
	}
}
