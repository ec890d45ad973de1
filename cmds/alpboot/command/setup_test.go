package command

import (
	"os"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload/payloadtest"
)

// The verbs reach the boot loader of the system that they are called on.
func TestInstallVerbs(t *testing.T) {
	image := payloadtest.Tree(t, map[string][]byte{"bzImage": payloadtest.BzImage("6.12.1-alpboot")}) + "/bzImage"
	f := newFake(t, with(alpine(), "/proc/self/mountinfo", "1 1 8:1 / / rw - ext4 /dev/vda1 rw\n"))
	before, err := os.ReadFile(f.path("/boot/extlinux.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr := f.ask(t, exitMisuse, "install", "--initramfs", image); !strings.Contains(stderr, "--image") {
		t.Errorf("install says %q", stderr)
	}
	if out, stderr := f.ask(t, exitNotInstalled, "update", "--if-installed", "--image", image); out+stderr != "" {
		t.Errorf("update --if-installed says %q", out+stderr)
	}
	if _, stderr := f.ask(t, exitFailed, "update", "--image", image); !strings.Contains(stderr, "alpboot is not installed in "+f.path("/boot/extlinux.conf")) {
		t.Errorf("update says %q", stderr)
	}
	out, _ := f.ask(t, exitDone, "install", "--dry-run", "--image", image)
	if now, err := os.ReadFile(f.path("/boot/extlinux.conf")); err != nil || string(now) != string(before) || !strings.Contains(out, "LABEL alpboot") {
		t.Errorf("a rehearsal prints %q", out)
	}
	out, stderr := f.ask(t, exitDone, "install", "--image", image)
	if !strings.HasPrefix(out, "alpboot is what extlinux starts by ") || stderr != "" {
		t.Errorf("install prints %q, %q", out, stderr)
	}
	if out, _ = f.ask(t, exitDone, "update", "--image", image); !strings.Contains(out, "nothing newer") {
		t.Errorf("update prints %q", out)
	}
	f.ask(t, exitDone, "uninstall")
	if now, err := os.ReadFile(f.path("/boot/extlinux.conf")); err != nil || string(now) != string(before) {
		t.Errorf("left %q, %v", now, err)
	}
}
