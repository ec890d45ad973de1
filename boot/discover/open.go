package discover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/alpboot/alpboot/boot"
)

// OpenFile opens a file of a volume as one that the kernel reads, as [Scan.Open]
// does. The error names the device and the file.
func (sc *Scan) OpenFile(vol boot.Volume, name string) (*os.File, error) {
	f, err := sc.Open(vol, name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: /%s cannot be opened: %w", vol.Device, name, err)
	}
	file, ok := f.(*os.File)
	if !ok { // of an image that is read without the kernel
		f.Close()
		return nil, fmt.Errorf("%s: /%s is not a file that the kernel can read", vol.Device, name)
	}
	return file, nil
}

// FilesOf returns what opens the files of an entry.
func (sc *Scan) FilesOf(e boot.Entry) func(name string) (*os.File, error) {
	return func(name string) (*os.File, error) { return sc.OpenFile(e.Volume, name) }
}
