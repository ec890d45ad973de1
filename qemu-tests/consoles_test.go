package qemutests

import (
	"encoding/binary"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a machine with a screen and a serial line both show the menu, although the
// kernel was passed the serial line only; what is typed on the machine's own
// keyboard moves the selection on both, and boots. It has the layout that the
// settings name, which is on a disk.
func TestScreenAndSerialLine(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, _, virt := twoKernels(t)
	layout := disk.GPTDisk(in)
	root := &layout.Partitions[len(layout.Partitions)-1].FS
	root.Files = append(root.Files, disk.File{Path: "usr/share/bkeymaps/zz/zz.bmap", Data: swappedKeys()})
	m := startOn(t, anyKernel, vm.VGA, "alpboot.timeout=-1 alpboot.keymap=zz", vm.Drive{File: write(t, layout)})
	m.row(menuLimit, "Linux virt", inList(virt.Release))
	m.selected("Linux lts")
	m.Type("l/layout")
	m.text(drawLimit, "keyboard layout name=zz")
	m.Type(vm.Enter, "q")
	m.row(drawLimit, "Linux lts", "default")
	if err := m.SendKey("/", "y", "a", "z"); err != nil {
		t.Fatal(err)
	}
	m.text(drawLimit, "Filter: zay")
	m.Type(clear, vm.Enter)
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

// With alpboot.ui=line the menu is lines of text: a script waits for the prompt
// and types a number. Nothing but text, CR and LF is sent. The line serves the
// menu again after a shell has had it.
func TestLineMode(t *testing.T) {
	needQEMU(t)
	t.Parallel()
	in, lts, virt := twoKernels(t)
	m := start(t, anyKernel, "alpboot.ui=line alpboot.timeout=120", vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.Await(menuLimit, vm.InLog("   1  Linux lts, "+lts.Release))
	m.Await(drawLimit, vm.InLog("   2  Linux virt, "+virt.Release))
	m.Await(drawLimit, vm.InLog("Type a number and Enter, Enter alone for 1"))
	m.Await(drawLimit, vm.InLog("Enter boots it now, any other line stops that."))
	m.Type("i 2\r")
	m.Await(drawLimit, vm.InLog("/vmlinuz-virt"))
	_, sent, ok := strings.Cut(m.Serial(0).Log(), "Looking for something to boot")
	if i := strings.IndexFunc(sent, func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' }); !ok || i >= 0 {
		t.Errorf("control characters were sent: %q", sent)
	}
	m.Type("s\r")
	m.Await(drawLimit, vm.OnScreen("$"))
	m.Type("echo shell$((6 * 7))\r")
	m.Await(drawLimit, vm.ScreenIs("the shell's next prompt", func(s vm.Screen) bool {
		lines := s.Lines()
		i := slices.Index(lines, "shell42")
		return i >= 0 && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "$")
	}))
	before := len(m.Serial(0).Log())
	m.Type("exit\r")
	m.Await(drawLimit, vm.LogAfter(before, "   2  Linux virt, "+virt.Release))
	m.Type("2\r")
	m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})
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
	plain[1], plain[28], plain[53], plain[108] = 0x1b, 0x0201, '/', 0x0600 // Esc, Enter, /, Down
	b := append([]byte("bkeymap\x01"), make([]byte, 255)...)
	for _, v := range plain {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}
