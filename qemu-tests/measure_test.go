package qemutests

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/tpm"
	"github.com/alpboot/alpboot/boot/tpm/tpmtest"
	"github.com/alpboot/alpboot/qemu-tests/target/report"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// On a machine with a TPM the system that was started finds a log in its initramfs, and
// that log makes of PCRs 8 and 9 what its kernel reads from the TPM. The menu's page
// about the machine has what is in them.
func TestMeasured(t *testing.T) {
	needProgram(t, "swtpm", "swtpm")
	t.Parallel()
	alpine, w := alpineDisk(t)
	m := startWith(t, "alpboot.timeout=-1", func(o *vm.Options) { o.TPM = tpmtest.Control(t) }, alpine)
	m.row(menuLimit, "Linux lts", inList(w.kernel.Release))
	m.Type("m")
	m.text(drawLimit, "PCR 9 (kernels and initrds): nothing was measured")
	m.Type("\x1b")
	m.bootsTarget(w)
	r, err := report.Parse(m.Serial(0).Log())
	if err != nil {
		t.Fatal(err)
	}
	events, err := measure.ReadLog([]byte(r.Measured[report.MeasureLog]))
	if err != nil || len(events) != 3 {
		t.Fatalf("the log is %q, %v", r.Measured[report.MeasureLog], err)
	}
	values := measure.Replay(events, tpm.SHA256)
	for pcr, file := range map[int]string{8: report.PCR8, 9: report.PCR9} {
		if got := strings.ToLower(strings.TrimSpace(r.Measured[file])); got != hex.EncodeToString(values[pcr]) || got == "" {
			t.Errorf("PCR %d is %s, and the log makes it %x", pcr, got, values[pcr])
		}
	}
	image, err := os.ReadFile(w.kernel.Image)
	if err != nil {
		t.Fatal(err)
	}
	for i, content := range [][]byte{[]byte(w.cmdline), image} {
		sum := sha256.Sum256(content)
		if !slices.ContainsFunc(events[i].Digests, func(d tpm.Digest) bool { return slices.Equal(d.Sum, sum[:]) }) {
			t.Errorf("event %d, %s, is not the digest of that", i, events[i].What)
		}
	}
}
