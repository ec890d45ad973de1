package qemutests

import (
	"image/png"
	"os"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a machine with a screen and a serial line both show the menu; what is
// typed on the machine's own keyboard moves the selection on both, and boots.
func TestScreenAndSerialLine(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, _, virt := twoKernels(t)
	m := startOn(t, ownKernel, vm.VGA, "console=tty0 alpboot.timeout=-1", vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.row(menuLimit, "Linux virt", inList(virt.Release))
	m.selected("Linux lts")
	if err := m.SendKey(vm.Down); err != nil {
		t.Fatal(err)
	}
	m.selected("Linux virt")

	picture := made.Path("qemu-tests", t.Name(), "screen.png")
	if err := m.Screendump(picture); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	colours := map[any]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			colours[img.At(x, y)]++
		}
	}
	// Black, the text, the header's colour: a blank screen has one, the
	// kernel's messages two.
	if len(colours) < 3 {
		t.Errorf("the screen has %d colours: it does not show the menu; see %s", len(colours), picture)
	}

	if err := m.SendKey(vm.Enter); err != nil {
		t.Fatal(err)
	}
	m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})
}
