package reboot

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMeasured(t *testing.T) {
	const (
		empty = "0000000000000000000000000000000000000000000000000000000000000000\n"
		// printf %064d%s 0 $(printf %s "root=UUID=u1 quiet" | sha256sum | cut -d' ' -f1) | xxd -r -p | sha256sum
		own   = "CE4E310EC68E42393A91247E2B9B4C9985CC2A81181A070061281D3A8A22220B\n"
		other = "BBAF72D6A9B88BD0EDC20BFE492B324ABFC451C82BDB413483B003AA2E7F7EE4\n"
	)
	for _, tt := range []struct{ cmdline, files, want string }{
		{"", "", ""},
		{empty, empty, "nothing: "},
		{own, other, "PCR 8 of the TPM has the command line that runs"},
		{other, other, "PCRs 8 and 9 of the TPM have something else"},
		{empty, other, "PCRs 8 and 9 of the TPM have something else"},
	} {
		root := t.TempDir()
		write := func(name, text string) {
			t.Helper()
			if text == "" {
				return
			}
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write("proc/cmdline", "root=UUID=u1 quiet\n")
		write("sys/class/tpm/tpm0/pcr-sha256/8", tt.cmdline)
		write("sys/class/tpm/tpm0/pcr-sha256/9", tt.files)
		if got := New(root, io.Discard, io.Discard).measured(); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%.8s, %.8s: %q, want %q", tt.cmdline, tt.files, got, tt.want)
		}
	}
}
