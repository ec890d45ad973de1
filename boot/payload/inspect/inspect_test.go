package inspect

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

func FuzzInspect(f *testing.F) {
	f.Add(payloadtest.Initramfs(f, payloadtest.Release))
	f.Add(payloadtest.EFIProgram(payloadtest.BzImage(payloadtest.Release), payloadtest.MachineAMD64, ""))
	f.Add([]byte("070701" + strings.Repeat("0", 104)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")) || bytes.HasPrefix(b, []byte("\xfd7zXZ")) {
			return // decompressors are slow, and have fuzz targets of their own
		}
		if r, err := Bytes("x", b); err == nil && (r.Kind == "" || r.String() == "") {
			t.Errorf("neither an error nor a kind")
		}
	})
}
