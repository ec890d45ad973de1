package extlinux_test

import (
	"fmt"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/format/extlinux"
)

// A format reads the files of a volume, wherever these come from, and returns entries.
func ExampleFormat() {
	root := fstest.MapFS{"boot/extlinux.conf": {Data: []byte("DEFAULT lts\nLABEL lts\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  APPEND root=LABEL=alpine ro\n")}}
	list, err := extlinux.Format().Parse(root, boot.Volume{Device: "/dev/sda1"}, nil)
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range list.Entries {
		fmt.Printf("%s: %s %q, default %t\n", e.Title, e.Kernel, e.Cmdline, e.Default)
	}
	// Output: Linux lts: boot/vmlinuz-lts "root=LABEL=alpine ro", default true
}
