package qemutests

import (
	"encoding/binary"
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// The power menu of a machine with UEFI: alpboot starts itself anew from its own
// image, without the firmware; and the firmware, asked for its setup, shows it.
func TestStartedAnewAndFirmwareSetup(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	alpine, w := alpineDisk(t)
	o := fromESP(t, uki, alpine)
	m := startPayload(t, o)
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	m.Type("p")
	m.text(drawLimit, "restart alpboot, without the firmware")
	before := len(m.Serial(0).Log())
	m.Type("a")
	m.Await(targetLimit, vm.LogAfter(before, "Starting alpboot."))
	m.Await(menuLimit, vm.LogAfter(before, "1 entry"))
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))

	m.Type("p")
	m.text(drawLimit, "restart into the setup of the firmware")
	m.Type("f")
	m.AwaitEnd(time.Minute)
	m.Stop()

	m = startAnother(t, o)
	m.Await(menuLimit, vm.OnScreen("Device Manager"))
}

// Keyboard and screen work in the kernel that is booted as well: it takes over
// the USB controller as it is, and draws on the framebuffer that firmware left.
func TestScreenAndUSBKeyboardAfterKexec(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	t.Parallel()
	o := fromESP(t, makePayload(t, "alpboot.efi", "uki", "--cmdline", stay))
	o.Machine, o.Display = "q35,i8042=off", vm.VGA
	o.Extra = []string{"-device", "qemu-xhci,id=keys", "-device", "usb-kbd,bus=keys.0"}
	m := startPayload(t, o)
	press := func(k vm.Key, shows string) {
		t.Helper()
		if err := m.SendKey(k); err != nil {
			t.Fatal(err)
		}
		m.text(drawLimit, shows)
	}
	m.text(menuLimit, "Nothing that can be booted")
	// The serial line may be ahead of the screen.
	first := m.litAtLeast(1000, "before")
	press("p", "restart alpboot, without the firmware")
	before := len(m.Serial(0).Log())
	press("a", "Starting alpboot.")
	m.Await(menuLimit, vm.LogAfter(before, "Nothing that can be booted"))
	m.litAtLeast(first*9/10, "after")
	press("?", "all that is known about it")
}

// litAtLeast waits until so many pixels of the screen are not black, and gives
// how many are.
func (m machine) litAtLeast(want int, name string) int {
	m.t.Helper()
	for end := time.Now().Add(drawLimit); ; time.Sleep(200 * time.Millisecond) {
		n := m.lit(name)
		if n >= want {
			return n
		}
		if time.Now().After(end) {
			m.t.Fatalf("%d pixels of the screen are lit, fewer than %d; its picture is %s.png in the folder with the logs", n, want, name)
		}
	}
}

// lit counts the pixels of the screen that are not black, and keeps its picture.
func (m machine) lit(name string) int {
	m.t.Helper()
	file := made.Path("qemu-tests", m.t.Name(), name+".png")
	if err := m.Screendump(file); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		m.t.Fatal(err)
	}
	n := 0
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if r, g, b, _ := picture.At(x, y).RGBA(); r|g|b != 0 {
				n++
			}
		}
	}
	return n
}

// A layout for the machine's own keyboard, from a system on its disk: what is
// typed there is what the layout says, and the serial line shows it.
func TestKeyboardLayout(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, _, _ := twoKernels(t)
	layout := disk.GPTDisk(in)
	root := &layout.Partitions[len(layout.Partitions)-1].FS
	root.Files = append(root.Files, disk.File{Path: "usr/share/bkeymaps/zz/zz.bmap", Data: swappedKeys()})
	m := startOn(t, ownKernel, vm.VGA, "alpboot.timeout=-1 alpboot.keymap=zz", vm.Drive{File: write(t, layout)})
	m.row(menuLimit, "Linux lts", "default")
	m.Type("l/layout")
	m.text(drawLimit, "keyboard layout name=zz")
	m.Type(vm.Enter, "q")
	m.row(drawLimit, "Linux lts", "default")
	for _, k := range []vm.Key{"/", "y", "a", "z"} {
		if err := m.SendKey(k); err != nil {
			t.Fatal(err)
		}
	}
	m.text(drawLimit, "Filter: zay")
}

// swappedKeys is a layout as busybox's loadkmap takes it, with y and z in each
// other's place: "bkeymap", which of 256 tables there are, and these.
func swappedKeys() []byte {
	const hole, letter = 0x0200, 0x0b00
	var plain [128]uint16
	for i := range plain {
		plain[i] = hole
	}
	for code, row := range map[int]string{2: "1234567890-=", 16: "qwertzuiop", 30: "asdfghjkl", 44: "yxcvbnm"} {
		for i, c := range []byte(row) {
			plain[code+i] = letter | uint16(c)
			if c < 'a' {
				plain[code+i] = uint16(c)
			}
		}
	}
	plain[1], plain[28], plain[53] = 0x1b, 0x0201, '/' // Esc, Enter
	b := append([]byte("bkeymap\x01"), make([]byte, 255)...)
	for _, v := range plain {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}
