package list

import (
	"os/exec"
	"strings"
	"testing"
)

// The image of the menu holds no readers of filesystems but the kernel's.
func TestImageHasNoReaders(t *testing.T) {
	deps := func(tags string) string {
		out, err := exec.Command("go", "list", "-deps", "-tags="+tags, "../../cmds/bootmenu", "../../cmds/lsboot").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	const readers = "boot/list/readonly"
	if strings.Contains(deps("alpboot_image"), readers) {
		t.Errorf("%s is in the image", readers)
	}
	if !strings.Contains(deps(""), readers) {
		t.Errorf("lsboot on a host lacks %s", readers)
	}
}
