package module

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const errNoDevice = unix.ENODEV

// maxModule bounds what is read into memory where the kernel cannot load from
// the file itself.
const maxModule = 256 << 20

// Insert hands an open, uncompressed module to the kernel: finit_module(2),
// or init_module(2) when the kernel lacks that or file is not an [os.File].
func Insert(file fs.File, params string) error {
	if f, ok := file.(*os.File); ok {
		err := unix.FinitModule(int(f.Fd()), params, 0)
		if !errors.Is(err, unix.ENOSYS) {
			return err
		}
	}
	image, err := io.ReadAll(io.LimitReader(file, maxModule))
	if err != nil {
		return err
	}
	return unix.InitModule(image, params)
}

// Delete has the kernel drop a module, without waiting for what uses it:
// delete_module(2).
func Delete(name string) error { return unix.DeleteModule(name, unix.O_NONBLOCK) }
