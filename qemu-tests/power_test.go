package qemutests

import (
	"image/png"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// The power menu of a machine with UEFI: alpboot starts itself again from its
// own image, without the firmware. Keyboard and screen work in the kernel that
// is booted so: it takes over the USB controller as it is, and draws on the
// framebuffer that firmware left. The firmware, asked for its shell or its setup,
// shows that, once.
func TestStartedAgainAndFirmwareSetup(t *testing.T) {
	needFirmware(t, "ovmf", ovmf+"OVMF_CODE_4M.fd")
	needOwnKernel(t, "Debian's kernel for virtual machines has no USB")
	t.Parallel()
	uki := makePayload(t, "alpboot.efi", "uki", "--cmdline", stay)
	alpine, w := alpineDisk(t)
	o := fromESP(t, uki, alpine)
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
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	// The serial line may be ahead of the screen.
	first := m.litAtLeast(1000, "before")
	press("p", "without the firmware")
	before := len(m.Serial(0).Log())
	press("a", "Starting alpboot.")
	m.Await(menuLimit, vm.LogAfter(before, "1 entry"))
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	m.litAtLeast(first*9/10, "after")
	press("?", "all that is known about it")
	press("q", "Linux lts")

	// Into the firmware's shell, once: the start after it is as before.
	press("p", "restart into EFI Internal Shell")
	shell := m.Serial(0).Screen()
	row := strings.Fields(shell.Lines()[rowOf(shell, "restart into EFI Internal Shell")])
	if err := m.SendKey(vm.Key(row[0])); err != nil {
		t.Fatal(err)
	}
	m.AwaitEnd(time.Minute)
	m.Stop()
	m = startAnother(t, o)
	m.Await(menuLimit, vm.InLog("UEFI Interactive Shell"))
	m.Stop()
	m = startAnother(t, o)
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))

	press("p", "restart into the setup of the firmware")
	if err := m.SendKey("f"); err != nil {
		t.Fatal(err)
	}
	m.AwaitEnd(time.Minute)
	m.Stop()

	m = startAnother(t, o)
	m.Await(menuLimit, vm.OnScreen("Device Manager"))
}

// litAtLeast waits until so many pixels of the screen are not black, and returns
// how many are. QEMU does not report changes of the screen, so that pictures of
// it are taken again and again.
func (m machine) litAtLeast(want int, name string) int {
	m.t.Helper()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(drawLimit); ; <-poll.C {
		n := m.lit(name)
		if n >= want {
			return n
		}
		if time.Now().After(end) {
			m.t.Fatalf("%d pixels of the screen are lit, fewer than %d; its picture is %s.png in the directory with the logs", n, want, name)
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
