//go:build !alpboot_image

package list

import (
	"io"

	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/list/readonly"
)

// readHere opens a filesystem without the help of the kernel. The image of the menu
// is built without it (tag alpboot_image): there all drivers are at hand.
func readHere(r io.ReaderAt, size int64, fstype string) (discover.Filesystem, error) {
	return readonly.Open(r, size, fstype)
}
