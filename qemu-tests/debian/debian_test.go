package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What apt-cache prints on Debian 12.
func TestAptOutputIsUnderstood(t *testing.T) {
	depends := "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"
	if m := dependency.FindStringSubmatch(depends); m == nil || m[1] != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("dependency: %q", m)
	}
	policy := "linux-image-6.1.0-56-cloud-amd64:\n  Installed: (none)\n  Candidate: 6.1.192-2\n  Version table:\n     6.1.192-2 500\n"
	if m := candidate.FindStringSubmatch(policy); m == nil || m[1] != "6.1.192-2" {
		t.Errorf("candidate: %q", m)
	}
}

func TestKernelNamedByHandMustBeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(file, []byte("no kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Newer.Variable, file)
	_, err := Newer.Get(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), Newer.Variable) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the variable and the file", err)
	}
}

func TestWithoutAptTheMessageSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(Older.Variable, "")
	_, err := Older.Get(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "ALPBOOT_KERNEL_B") {
		t.Errorf("got %v, want an error that names the variable to set", err)
	}
}
