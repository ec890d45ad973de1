package payload

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile writes a file whole or not at all, making its directory if need be:
// the content goes to a hidden file beside it, which takes its name at the end.
func WriteFile(name string, content func(io.Writer) error) (err error) {
	// A device or a link to one would lose its name to a file.
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: write to a file, and copy that", name)
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making the output directory: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".")
	if err != nil {
		return fmt.Errorf("making the output file: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := content(f); err != nil {
		return err
	}
	// Sync, or a power cut could leave the new name on an empty file.
	for _, step := range []func() error{
		func() error { return f.Chmod(0o644) },
		f.Sync,
		f.Close,
		func() error { return os.Rename(f.Name(), name) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// WriteBytes writes a file as [WriteFile] does.
func WriteBytes(name string, b []byte) error {
	return WriteFile(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// CopyFile writes the content of the file from to the file to, as WriteFile does.
func CopyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}

// FileSize returns the size of a file as people read it.
func FileSize(name string) string {
	st, err := os.Stat(name)
	if err != nil {
		return "size unknown"
	}
	return Size(st.Size())
}

// Size returns a number of bytes as people read it.
func Size(n int64) string {
	if n < 100<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}
