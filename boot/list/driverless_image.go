//go:build alpboot_image

package list

import (
	"errors"
	"io"

	"github.com/alpboot/alpboot/boot/discover"
)

func readHere(io.ReaderAt, int64, string) (discover.Filesystem, error) {
	return nil, errors.ErrUnsupported
}
