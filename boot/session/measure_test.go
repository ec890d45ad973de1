package session

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
)

// withTPM adds a TPM to a machine.
func (b *fixture) withTPM(f *tpmtest.Fake) {
	b.tpm = f
	b.files["sys/class/tpm/tpm0/tpm_version_major"] = boottest.File("2\n")
	b.files["sys/class/tpmrm/tpmrm0/dev"] = boottest.File("253:65536\n")
}

// handedLog returns the log that was handed to what was loaded last; nil for none.
func (b *fixture) handedLog() []measure.Event {
	b.t.Helper()
	initrd := get(b.hw, func() string { return b.hw.initrd })
	_, log, ok := strings.Cut(initrd, measure.LogFile+"\x00")
	if !ok {
		return nil
	}
	log, _, _ = strings.Cut(log, "070701")
	events, err := measure.ReadLog(bytes.Trim([]byte(log), "\x00"))
	if err != nil {
		b.t.Errorf("%v: %q", err, log)
	}
	return events
}

// whats returns what was measured, in order.
func whats(events []measure.Event) (list []string) {
	for _, e := range events {
		list = append(list, e.What)
	}
	return list
}

var measuredLTS = []string{"kernel_cmdline: root=UUID=u1", "kernel: /boot/vmlinuz-lts", "initrd: /boot/initramfs-lts"}

// agrees asserts that the TPM has what the log makes of it.
func (b *fixture) agrees(f *tpmtest.Fake, want ...string) {
	b.t.Helper()
	log := b.handedLog()
	if !slices.Equal(whats(log), want) {
		b.t.Errorf("the log has %q, want %q", whats(log), want)
	}
	values := measure.Replay(log, tpm.SHA256)
	for _, pcr := range []int{8, 9} {
		wants := [32]byte{}
		copy(wants[:], values[pcr])
		if got := f.PCR(pcr); got != wants {
			b.t.Errorf("PCR %d is %x, and the log makes it %x", pcr, got, wants)
		}
	}
	if n := f.Opened(); n != 0 {
		b.t.Errorf("the TPM was left open %d times", n)
	}
}

// A start is measured, and the system gets the log of it. Two starts are the same, and
// an edited command line changes PCR 8 only.
func TestMeasured(t *testing.T) {
	disk := bootDisk(t, "/dev/sda1", "u1", "")
	start := func(keys ...any) *tpmtest.Fake {
		f := &tpmtest.Fake{}
		onDisks(t, func(t *testing.T, b *fixture) {
			b.withTPM(f)
			b.start(byHand)
			b.press("m")
			b.shows("PCR 8 (command lines): nothing was measured", "PCR 9 (kernels and initrds): nothing was measured")
			b.press(menu.KeyEsc, menu.KeyHome)
			b.press(keys...)
			b.wait(2 * time.Second)
			b.did(booted...)
			want := slices.Clone(measuredLTS)
			want[0] = "kernel_cmdline: " + get(b.hw, func() string { return b.hw.cmdline })
			b.agrees(f, want...)
			if strings.Contains(b.screen.last, "measured") {
				t.Errorf("the last line is %q", b.screen.last)
			}
			b.wait(5 * time.Second) // the jump has failed
			b.press("m")
			b.shows("PCR 8 (command lines): sha256 ")
		}, disk)
		return f
	}
	first, second, edited := start(menu.KeyEnter), start(menu.KeyEnter), start("e", " single", menu.KeyEnter)
	if first.PCR(8) != second.PCR(8) || first.PCR(9) != second.PCR(9) {
		t.Error("two starts differ")
	}
	if first.PCR(8) == edited.PCR(8) || first.PCR(9) != edited.PCR(9) {
		t.Error("an edited command line does not change PCR 8, or changes PCR 9")
	}
}

// After a jump that failed the PCRs have both starts, and so has the log. It begins
// with that of a menu which has started this one.
func TestMeasuredTwice(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		f := &tpmtest.Fake{}
		b.withTPM(f)
		b.start(byHand)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(5 * time.Second)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(5 * time.Second)
		b.agrees(f, append(slices.Clone(measuredLTS), measuredLTS...)...)

		b.files[measure.LogFile] = boottest.File(string(measure.Log(b.handedLog())))
		b.start(byHand)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(2 * time.Second)
		b.agrees(f, slices.Concat(measuredLTS, measuredLTS, measuredLTS)...)
	})
}

// What is not loaded is not measured.
func TestRefusedIsNotMeasured(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		f := &tpmtest.Fake{}
		b.withTPM(f)
		b.hw.set(func(h *target) { h.bad = 5 })
		b.start(byHand)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(2 * time.Second)
		b.shows("did not boot")
		if f.PCR(8) != [32]byte{} || f.PCR(9) != [32]byte{} {
			t.Error("it was measured")
		}
	})
}

// A passphrase that is handed on is neither measured nor in the log: a digest would
// help to guess it.
func TestPassphraseIsNotMeasured(t *testing.T) {
	onDisks(t, func(t *testing.T, b *fixture) {
		f := &tpmtest.Fake{}
		b.withTPM(f)
		b.start(byHand)
		b.press(menu.KeyEnter, menu.KeyTab, "right", menu.KeyEnter)
		b.wait(3 * time.Second)
		b.press(menu.KeyHome, menu.KeyEnter)
		b.wait(2 * time.Second)
		if initrd := get(b.hw, func() string { return b.hw.initrd }); !strings.Contains(initrd, "crypto_keyfile.bin\x00") {
			t.Fatalf("no passphrase was handed on: %q", initrd)
		}
		b.agrees(f, "kernel_cmdline: root=UUID=u1 cryptroot=UUID=c1 cryptdm=root cryptkey=/crypto_keyfile.bin", measuredLTS[1], measuredLTS[2])
	}, encrypted(t))
}

// A TPM that fails holds up nothing for longer than a moment, and has one line on the
// screen. The log that is handed on is of what is in the PCRs.
func TestTPMFails(t *testing.T) {
	const failed = "This start is not measured: "
	for _, tt := range []struct {
		name   string
		breaks func(b *fixture, f *tpmtest.Fake)
		says   string
		loads  int
		has    []string // in the log
	}{
		{"in use", func(b *fixture, f *tpmtest.Fake) { b.tpm = nil }, "it is in use.", 1, nil},
		{"refuses", func(b *fixture, f *tpmtest.Fake) { f.Refuse(0, 0x101) }, "extending PCR 8 of the TPM: it has failed its self-test; switching the machine off and on may help (TPM_RC 0x101).", 2, nil},
		{"refuses later", func(b *fixture, f *tpmtest.Fake) { f.Refuse(1, 0x922) }, "extending PCR 9 of the TPM: it is busy (TPM_RC 0x922).", 2, measuredLTS[:1]},
		{"hangs", func(b *fixture, f *tpmtest.Fake) { b.t.Cleanup(f.Hang()) }, "asking the TPM for its banks: it does not answer.", 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *fixture) {
				f := &tpmtest.Fake{}
				b.withTPM(f)
				tt.breaks(b, f)
				b.start(byHand)
				b.press(menu.KeyHome, menu.KeyEnter)
				b.wait(5 * time.Second)
				b.did(append(slices.Repeat(booted[:1], tt.loads), booted[1:]...)...)
				if !strings.HasPrefix(b.screen.last, failed+tt.says+" Starting Linux lts.") {
					t.Errorf("the last line is %q", b.screen.last)
				}
				if got := whats(b.handedLog()); !slices.Equal(got, tt.has) {
					t.Errorf("the log has %q, want %q", got, tt.has)
				}
				if tt.name != "hangs" {
					return
				}
				b.press(menu.KeyHome) // the jump has failed
				b.burst(menu.KeyEnter)
				b.wait(2 * time.Second)
				b.did(booted...)
				if !strings.HasPrefix(b.screen.last, failed+"the TPM has not answered before: it does not answer. Starting") {
					t.Errorf("the last line of the next start is %q", b.screen.last)
				}
			})
		})
	}
}

// Without a TPM nothing is different.
func TestNoTPM(t *testing.T) {
	onDisk(t, func(t *testing.T, b *fixture) {
		b.tpm = &tpmtest.Fake{}
		b.files["sys/class/tpm/tpm0/tpm_version_major"] = boottest.File("1\n") // an older one
		b.start(byHand)
		b.press("m")
		if text := b.screen.text(); strings.Contains(text, "PCR") {
			t.Errorf("the screen: %s", text)
		}
		b.press(menu.KeyEsc, menu.KeyHome, menu.KeyEnter)
		b.wait(2 * time.Second)
		b.did(booted...)
		if b.handedLog() != nil || strings.Contains(b.screen.last, "measured") || b.tpm.PCR(8) != [32]byte{} {
			t.Errorf("something was measured, or said: %q", b.screen.last)
		}
	})
}
