package remember

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
)

// Efivarfs are the variables that the kernel shows in a folder, a file
// NAME-GUID for each: four bytes of attributes, then the value. Files are
// immutable until that flag is taken off, so that nobody deletes them by chance
// (Documentation/filesystems/efivarfs.rst in Linux).
type Efivarfs struct{ Dir string }

// maxVariable is more than any value that we read.
const maxVariable = 4 << 10

// immutable is FS_IMMUTABLE_FL of linux/fs.h, which x/sys/unix lacks.
const immutable = 0x10

// nonVolatile are the attributes of a variable that lasts and is there for the
// system too: EFI_VARIABLE_NON_VOLATILE, _BOOTSERVICE_ACCESS, _RUNTIME_ACCESS.
const nonVolatile = 0x7

// Writable tells in an error why variables cannot be written there.
func (e Efivarfs) Writable() error {
	var st unix.Statfs_t
	switch err := unix.Statfs(e.Dir, &st); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("this machine has no EFI variables")
	case err != nil:
		return fmt.Errorf("the EFI variables cannot be reached: %w", err)
	case st.Type != unix.EFIVARFS_MAGIC:
		return errors.New("this machine has no EFI variables")
	case st.Flags&unix.ST_RDONLY != 0:
		return errors.New("EFI variables cannot be written on this machine")
	}
	return nil
}

func (e Efivarfs) path(name, vendor string) string {
	return filepath.Join(e.Dir, name+"-"+vendor)
}

// Get implements [Variables].
func (e Efivarfs) Get(name, vendor string) ([]byte, error) {
	b, err := boot.ReadFile(os.DirFS(e.Dir), name+"-"+vendor, maxVariable)
	if err == nil && len(b) < 4 { // a file that no variable came of
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return b[4:], nil
}

// Set implements [Variables].
func (e Efivarfs) Set(name, vendor string, value []byte) error {
	file := e.path(name, vendor)
	locked, err := setImmutable(file, false)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	// The kernel takes the whole of a variable in one write.
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, nonVolatile), value...))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil && isNew:
		setImmutable(file, false)
		os.Remove(file) // an empty file that stands for nothing
	case locked:
		setImmutable(file, true) // as we found it; if not, nothing is lost
	}
	return err
}

// Delete implements [Variables].
func (e Efivarfs) Delete(name, vendor string) error {
	file := e.path(name, vendor)
	_, err := setImmutable(file, false)
	if err == nil {
		err = os.Remove(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// setImmutable sets or takes off a file's flag against changes, and tells
// whether that was needed. A filesystem without such flags has none to take off.
func setImmutable(file string, on bool) (changed bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fd := int(f.Fd())
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "reading the flags of", Path: file, Err: err}
	}
	want := flags &^ immutable
	if on {
		want |= immutable
	}
	if want == flags {
		return false, nil
	}
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(want)); err != nil {
		return false, &fs.PathError{Op: "setting the flags of", Path: file, Err: err}
	}
	return true, nil
}
