package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir is a directory where the kernel shows the variables, a file NAME-GUID for
// each: four bytes of attributes, then the value. Files are immutable until that
// flag is cleared, so that nobody deletes them by chance
// (Documentation/filesystems/efivarfs.rst in Linux).
type Dir string

// immutable is FS_IMMUTABLE_FL of linux/fs.h, which x/sys/unix lacks.
const immutable = 0x10

// nonVolatile are the attributes of a variable that lasts and is there for the
// system too: EFI_VARIABLE_NON_VOLATILE, _BOOTSERVICE_ACCESS, _RUNTIME_ACCESS.
const nonVolatile = 0x7

// signed is that of a variable that takes signed updates only:
// EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS.
const signed = 0x20

// Writable returns why variables cannot be written there, or nil.
func (d Dir) Writable() error {
	var st unix.Statfs_t
	switch err := unix.Statfs(string(d), &st); {
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

// Get implements [Variables].
func (d Dir) Get(name, vendor string) ([]byte, error) {
	return Read(os.DirFS(string(d)), name+"-"+vendor)
}

// Set implements [Variables].
func (d Dir) Set(name, vendor string, value []byte) error {
	return d.set(name, vendor, nonVolatile, value)
}

// SetSigned implements [Variables].
func (d Dir) SetSigned(name, vendor string, update []byte) error {
	return d.set(name, vendor, nonVolatile|signed, update)
}

func (d Dir) set(name, vendor string, attributes uint32, value []byte) error {
	if err := write(d.path(name, vendor), attributes, value); err != nil {
		return fmt.Errorf("writing the EFI variable %s: %w", name, explain(err))
	}
	return nil
}

// Delete implements [Variables].
func (d Dir) Delete(name, vendor string) error {
	file := d.path(name, vendor)
	_, err := setImmutable(file, false)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting the EFI variable %s: %w", name, explain(err))
	}
	return nil
}

func (d Dir) path(name, vendor string) string { return filepath.Join(string(d), name+"-"+vendor) }

func write(file string, attributes uint32, value []byte) error {
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
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), value...))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil && isNew:
		setImmutable(file, false)
		os.Remove(file) // an empty file that stands for nothing
	case locked:
		setImmutable(file, true) // as it was; the kernel sets it anyway at the next start
	}
	return err
}

// explain adds to some errors of firmware what they mean.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("the firmware has no room for it; old boot options and crash dumps take some, and efibootmgr removes them (%w)", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("the firmware or the kernel protects its variables (%w)", err)
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the firmware refuses it (%w)", err)
	}
	return err
}

// setImmutable sets or clears a file's flag against changes, and reports whether
// that was needed. A filesystem without such flags has none to clear.
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
