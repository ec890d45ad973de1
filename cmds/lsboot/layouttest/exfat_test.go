package layouttest

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
)

// The checker of exfatprogs finds nothing to complain of.
func TestExFATIsSound(t *testing.T) {
	boottest.NeedTools(t, "mkfs.exfat", "fsck.exfat")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "mkfs.exfat", image)
	files := fstest.MapFS{
		"boot/vmlinuz-lts":                       {Data: make([]byte, 100_000)},
		"boot/grub/grub.cfg":                     boottest.File("menu"),
		"a name longer than one entry holds.cfg": boottest.File(""),
	}
	if err := fillExFAT(image, files); err != nil {
		t.Fatal(err)
	}
	boottest.Tool(t, "fsck.exfat", "-n", image)
}
