package session

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/efivar"
)

// counting counts the start of an entry in the name of its file, as systemd-boot
// does. No other file is written to, and none for an entry without a counter.
type counting struct {
	entry    boot.Entry
	write    func(do func(*os.Root) error) error // to the entry's volume
	vars     efivar.Variables                    // nil where they cannot be written
	from, to string                              // the file's path before and after; "" when it was not renamed
	err      error                               // why it could not be counted. The entry is started all the same
}

// counting returns what counts the start of j.
func (s *session) counting(j *job) counting {
	return counting{entry: j.entry, vars: s.loader.vars, write: func(do func(*os.Root) error) error {
		return j.scan.Write(s.ctx, j.entry.Volume.Device, do)
	}}
}

// count counts the start.
func (c *counting) count() {
	counter, file, ok := c.entry.Counter()
	if ok {
		if err := c.rename(file, counter.Next()); err != nil {
			c.err = fmt.Errorf("%s: this start cannot be counted in the name of /%s: %w", c.entry.Volume.Device, file, err)
		}
	}
	c.err = errors.Join(c.err, c.publish(c.to))
}

// undo has the file and the variable as before a start that was counted.
func (c *counting) undo() {
	if c.to == "" {
		return
	}
	if err := c.rename(c.to, c.from); err != nil {
		c.err = fmt.Errorf("%s: /%s keeps this name, as if it had been started: %w", c.entry.Volume.Device, c.to, err)
	}
	c.err = errors.Join(c.err, c.publish(""))
}

// problem returns why the counter of an entry that has one is not as it should be,
// as a sentence.
func (c *counting) problem() string {
	if _, _, ok := c.entry.Counter(); !ok {
		return ""
	}
	return sentence(c.err)
}

// rename renames the file to a name that is free, and waits until that is on the
// disk.
func (c *counting) rename(from, to string) error {
	err := c.write(func(root *os.Root) error {
		switch st, err := root.Lstat(to); {
		case err == nil && st.Mode().IsRegular() && st.Size() == 0:
			// On FAT what a rename has made that the power cut off.
			if err := root.Remove(to); err != nil {
				return err
			}
		case err == nil:
			return fmt.Errorf("there is a file /%s", to)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := root.Rename(from, to); err != nil {
			return err
		}
		c.from, c.to = from, to
		dir, err := root.Open(path.Dir(to))
		if err != nil {
			return err
		}
		defer dir.Close()
		return dir.Sync()
	})
	var pe *fs.PathError
	var le *os.LinkError
	switch { // the paths stand in the sentence already
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return err
}

// publish has the variable name a file; "" deletes it.
func (c *counting) publish(file string) error {
	if c.vars == nil {
		return nil
	}
	old, err := c.vars.Get(efivar.BootCountPath, efivar.Loader)
	if file == "" {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return c.vars.Delete(efivar.BootCountPath, efivar.Loader)
	}
	value := efivar.AppendText(nil, `\`+strings.ReplaceAll(file, "/", `\`))
	if err == nil && bytes.Equal(old, value) {
		return nil
	}
	if err := c.vars.Set(efivar.BootCountPath, efivar.Loader, value); err != nil {
		return errors.Join(err, c.vars.Delete(efivar.BootCountPath, efivar.Loader)) // rather none than another file's
	}
	return nil
}
