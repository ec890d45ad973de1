package openrc

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestClean(t *testing.T) {
	tests := []struct {
		name            string
		magic, state    uint16
		incompat        uint32
		want, wantError bool
	}{
		{name: "given up in order", magic: 0xef53, state: 1, incompat: 0x2c2, want: true},
		{name: "a journal to replay", magic: 0xef53, state: 1, incompat: 0x2c6},
		{name: "with errors", magic: 0xef53, state: 2, incompat: 0x2c2},
		{name: "no ext4", wantError: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := make([]byte, 4096)
			binary.LittleEndian.PutUint16(b[1024+0x38:], tt.magic)
			binary.LittleEndian.PutUint16(b[1024+0x3a:], tt.state)
			binary.LittleEndian.PutUint32(b[1024+0x60:], tt.incompat)
			image := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(image, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := Clean(image); got != tt.want || (err != nil) != tt.wantError {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// What apt-cache policy prints on Debian 12 for several packages.
func TestAptOutputIsUnderstood(t *testing.T) {
	out := `openrc:
  Installed: (none)
  Candidate: 0.45.2-2+deb12u1
  Version table:
     0.45.2-2+deb12u1 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
libc6:
  Installed: 2.36-9+deb12u10
  Candidate: 2.36-9+deb12u14
  Version table:
 *** 2.36-9+deb12u10 100
        100 /var/lib/dpkg/status
`
	got := candidate.FindAllStringSubmatch(out, -1)
	if len(got) != 2 || got[0][1] != "openrc" || got[0][2] != "0.45.2-2+deb12u1" || got[1][1] != "libc6" || got[1][2] != "2.36-9+deb12u14" {
		t.Errorf("got %q", got)
	}
}

func TestEditWantsEveryText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "init.c")
	if err := os.WriteFile(file, []byte("a b a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := edit(file, [][2]string{{"a", "c"}, {"d", "e"}}); err == nil {
		t.Error("a text that is not there is no error")
	}
	if err := edit(file, [][2]string{{"a", "c"}}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "c b c" {
		t.Errorf("got %q", b)
	}
}
