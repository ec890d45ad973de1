package qemutests

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// A machine with BIOS remembers in the files that alpboot remember has made
// beside the menu's settings, with no setting that names them: the default that
// was chosen in the menu, and that a system which was started never reported being
// up. No file is made, none grows.
func TestRememberedWithoutEFIVariables(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := remember.Prepare(root, "alpboot.state"); err != nil {
		t.Fatal(err)
	}
	in, lts, virt := twoKernels(t)
	layout := disk.GPTDisk(in)
	esp := disk.Partition{Size: 34, Type: "U", Name: "EFI", FS: disk.FS{Type: "vfat", UUID: "1A2B3C4D"}}
	for _, half := range []string{"alpboot.state.0", "alpboot.state.1"} {
		esp.FS.Files = append(esp.FS.Files, disk.File{Path: "EFI/alpboot/" + half, From: filepath.Join(dir, half)})
	}
	layout.Partitions = slices.Insert(layout.Partitions, 0, esp) // where names looks
	file := vm.Drive{File: write(t, layout), Access: vm.Writeable}
	before := readFile(t, file.File)
	t.Run("first start", func(t *testing.T) {
		m := start(t, anyKernel, "alpboot.timeout=-1 alpboot.confirm=1", file)
		m.row(menuLimit, "Linux lts", "default")
		m.Type(vm.Down)
		m.selected("Linux virt")
		m.Type("d")
		m.text(drawLimit, "It is remembered in /EFI/alpboot/alpboot.state on /dev/vda1.")
		m.Type("d")
		m.text(drawLimit, "Linux virt is booted from now on when nobody types.")
		m.row(drawLimit, "Linux virt", "default")
		m.Type(vm.Enter)
		m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})
	})
	t.Run("second start", func(t *testing.T) {
		m := start(t, anyKernel, "alpboot.timeout=600 alpboot.confirm=1", file)
		m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
		m.row(drawLimit, "Linux virt", "failed")
		m.Type("poo")
		m.AwaitEnd(drawLimit)
	})
	if got := names(t, file.File, "EFI/alpboot"); !slices.Equal(got, []string{"alpboot.state.0", "alpboot.state.1"}) {
		t.Errorf("there is %q", got)
	}
	changed := 0
	after := readFile(t, file.File)
	for i := 0; i < len(before); i += 4096 {
		if !slices.Equal(before[i:i+4096], after[i:i+4096]) {
			changed++
		}
	}
	// The halves, the times in their directory, and what marks FAT as mounted.
	if changed < 2 || changed > 8 {
		t.Errorf("%d blocks of the disk have changed", changed)
	}
}
