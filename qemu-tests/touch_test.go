package qemutests

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a machine without a keyboard a touch of a row selects it, volume buttons move, and
// the power button boots. Its speaker beeps for who does not see the screen.
func TestWithoutKeyboard(t *testing.T) {
	needOwnKernel(t, "Debian's has no driver of the tablet in its initramfs")
	t.Parallel()
	in, lts, virt := twoKernels(t)
	sound := filepath.Join(t.TempDir(), "speaker.wav")
	m := startWith(t, "alpboot.timeout=-1 alpboot.beep=yes", func(o *vm.Options) {
		o.Display, o.Machine = vm.VGA, "q35,i8042=off,pcspk-audiodev=speaker"
		o.Extra = append(o.Extra, "-audiodev", "wav,id=speaker,path="+sound, "-device", "virtio-tablet-pci", "-device", "pcie-root-port,id=slot1")
	}, vm.Drive{File: write(t, disk.GPTDisk(in))})
	m.row(menuLimit, "Linux lts", inList(lts.Release), "default")
	m.selected("Linux lts")
	// The screen has 25 rows: the entry is in the same one as on the serial line.
	const rows, most = 25, 0x7fff
	row := rowOf(m.Serial(0).Screen(), "Linux virt")
	event := func(kind string, data map[string]any) map[string]any {
		return map[string]any{"type": kind, "data": data}
	}
	touch := func(down bool) {
		t.Helper()
		if err := m.QMP("input-send-event", map[string]any{"events": []any{
			event("abs", map[string]any{"axis": "x", "value": most / 8}),
			event("abs", map[string]any{"axis": "y", "value": (2*row + 1) * most / (2 * rows)}),
			event("btn", map[string]any{"button": "left", "down": down}),
		}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// until has do done again and again until an entry is selected: what comes before
	// the machine has found a device, which it looks for every two seconds, is lost.
	until := func(entry string, every time.Duration, do func()) {
		t.Helper()
		moved := m.Serial(0).Watch(isSelected(entry))
		done := make(chan error, 1)
		go func() { _, err := moved.Result(drawLimit); done <- err }()
		again := time.NewTicker(every)
		defer again.Stop()
		for do(); ; do() {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				return
			case <-again.C:
			}
		}
	}
	until("Linux virt", 15*time.Second, func() { // a second touch of what is selected would boot it
		touch(true)
		touch(false)
	})

	// Buttons come late here: as long as there is a keyboard when the menu starts, the
	// power button is not Enter.
	if err := m.QMP("device_add", map[string]any{"driver": "virtio-keyboard-pci", "bus": "slot1", "id": "buttons"}, nil); err != nil {
		t.Fatal(err)
	}
	until("Linux lts", time.Second, func() {
		if err := m.SendKey("<volumeup>"); err != nil {
			t.Fatal(err)
		}
	})
	if err := m.SendKey("<volumedown>"); err != nil {
		t.Fatal(err)
	}
	m.selected("Linux virt")
	if err := m.QMP("system_powerdown", nil, nil); err != nil {
		t.Fatal(err)
	}
	m.target(want{virt, in.Cmdline("UUID=" + disk.RootUUID), map[string]string{"flavour": "virt"}})

	const header = 44 // bytes, before the samples
	switch b, err := os.ReadFile(sound); {
	case err != nil:
		t.Error(err)
	case len(b) <= header || len(bytes.Trim(b[header:], "\x00")) == 0:
		t.Errorf("the speaker was silent: %d bytes of sound", len(b))
	}
}
