package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/remember"
)

// Change is a setting that is to be written to a file on a volume.
type Change struct {
	Name  string
	Value string // as the setting takes it
}

// String returns c as a line of a file of settings.
func (c Change) String() string { return Value{Name: c.Name, Value: c.Value}.String() }

// Writable is a setting that a file on a volume may have.
type Writable struct {
	Name, Value, Default string
	Takes, Help          string
	Words                []string // all that it takes; nil where that is no list
	Source               Source

	// Overridden is set when what a file on a volume has does not count, as a kernel
	// parameter has the setting.
	Overridden bool
}

// Writables returns the settings that a file on a volume may have, in the order of
// the documentation.
func (s Settings) Writables() []Writable {
	var all []Writable
	for _, f := range table() {
		if f.volume {
			src := s.sources[f.name]
			all = append(all, Writable{f.name, f.get(&s), f.def, f.takes, f.help, f.words, src, src.layer > volumeFile})
		}
	}
	return all
}

// Accepts reports whether a file on a volume may set a setting to value.
func Accepts(name, value string) bool {
	s := Default()
	s.take(Source{volumeFile, ""}, name, value, "")
	return len(s.Notes) == 0 && len(quoted(value)) <= maxLine/2
}

// VolumeFile returns the place of the file on a volume that is read for settings,
// and is there or can be made: for [Settings.WithVolumes]. The error says in a few
// words why there is none, or more than one.
func (s Settings) VolumeFile(volumes boot.Volumes) (StatePlace, error) {
	list, paths := s.places(volumes)
	switch {
	case s.SettingsVolume == Off:
		return StatePlace{}, errors.New("settings-volume = off")
	case len(list) == 0 && s.SettingsVolume == File:
		return StatePlace{}, fmt.Errorf("the volume of settings-volume = %s is not there", s.SettingsFile)
	case len(list) == 0:
		return StatePlace{}, errors.New("no disk that is built in has a partition with FAT, as the EFI system partition is, or labelled ALPBOOT")
	}
	var found, can []StatePlace
	best := -1
	for _, v := range list {
		for i, p := range paths {
			place := StatePlace{v, p}
			if _, err := fs.Lstat(v.FS, p); err == nil {
				found = append(found, place)
				break // the next one is not read
			}
			// EFI/alpboot is a sign that alpboot is there.
			if st, err := fs.Stat(v.FS, path.Dir(p)); err == nil && st.IsDir() && (best < 0 || i < best) {
				best, can = i, []StatePlace{place}
			}
		}
	}
	switch {
	case len(found) > 1:
		return StatePlace{}, fmt.Errorf("there is %s and %s: the setting settings-volume names the one to use", found[0], found[1])
	case len(found) == 1:
		return found[0], nil
	case len(can) == 0:
		return StatePlace{}, fmt.Errorf("the directory of settings-volume = %s is not there", s.SettingsFile)
	}
	return can[0], nil
}

// NewStateFiles returns the places where a file can be made that StateFile finds
// with Remember = Auto: one a volume, none when there is such a file already.
func (s Settings) NewStateFiles(volumes boot.Volumes, entries []boot.Entry) []StatePlace {
	if s.Remember != Auto {
		return nil
	}
	var places []StatePlace
	for _, p := range s.StatePlaces(volumes, entries) {
		if remember.Prepared(p.FS, p.Path) {
			return nil
		}
		st, err := fs.Stat(p.FS, path.Dir(p.Path))
		if err == nil && st.IsDir() && !slices.ContainsFunc(places, func(o StatePlace) bool { return o.Volume.Device == p.Volume.Device }) {
			places = append(places, p)
		}
	}
	return places
}

// Edit returns the text of a file of settings with changes made: the last line of a
// setting has the new value before its comment, or there is a new line at the end.
// All other lines stay.
func Edit(text []byte, changes []Change) ([]byte, error) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	ending := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		ending = "\r\n"
	}
	for _, c := range changes {
		if !Accepts(c.Name, c.Value) {
			return nil, fmt.Errorf("%s is not understood, or not taken from a volume", c)
		}
		at, old := -1, ""
		for i, line := range lines {
			name, value, ok := strings.Cut(strings.TrimPrefix(string(line), "\ufeff"), "=")
			if ok && strings.ReplaceAll(strings.TrimSpace(name), "_", "-") == c.Name {
				at, old = i, value
			}
		}
		line := []byte(c.String() + ending)
		if _, comment, ok := cutComment(old); ok && comment != "" && len(line)+len(comment) < maxLine {
			line = []byte(c.String() + " " + comment + ending)
		}
		if at >= 0 {
			if bytes.HasPrefix(lines[at], []byte("\ufeff")) {
				line = append([]byte("\ufeff"), line...)
			}
			lines[at] = line
			continue
		}
		if last := lines[len(lines)-1]; len(last) > 0 {
			lines[len(lines)-1] = append(bytes.Clone(last), ending...)
			lines = append(lines, nil)
		}
		lines[len(lines)-1] = line
		lines = append(lines, nil)
	}
	out := bytes.Join(lines, nil)
	if len(out) > maxFile {
		return nil, fmt.Errorf("the file would be larger than %d kB", maxFile>>10)
	}
	var s Settings
	s.readFile(volumeFile, "", out)
	for _, c := range changes {
		if f, _ := lookup(c.Name); f.get(&s) != same(f, c.Value) {
			return nil, fmt.Errorf("%s cannot be written into the file that is there", c)
		}
	}
	return out, nil
}

// same returns value as the setting has it once it is set.
func same(f setting, value string) string {
	var s Settings
	f.set(&s, value)
	return f.get(&s)
}

// WriteFile makes changes to the file name of root, a new one where there is none.
// It is replaced as a whole: after a power cut there is the old one or the new one.
func WriteFile(root *os.Root, name string, changes []Change) error {
	next := name + ".new"
	known := false
	for _, file := range []string{name, next} { // first: to open a FIFO would wait
		switch st, err := root.Lstat(file); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case !st.Mode().IsRegular():
			return &fs.PathError{Op: "write", Path: file, Err: errors.New("not a regular file")}
		default:
			known = known || file == name
		}
	}
	var text []byte
	var err error
	if known {
		if text, err = boot.ReadFile(root.FS(), name, maxFile); err != nil {
			return err
		}
	}
	if text, err = Edit(text, changes); err != nil {
		return err
	}
	w, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	if err == nil {
		err = w.Sync()
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	dir, dirErr := root.Open(path.Dir(name))
	if err = errors.Join(err, dirErr); err == nil {
		defer dir.Close()
		// On FAT, to rename over a file is not one step, and to exchange two is.
		if known {
			err = unix.Renameat2(int(dir.Fd()), path.Base(next), int(dir.Fd()), path.Base(name), unix.RENAME_EXCHANGE)
		}
		if !known || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = root.Rename(next, name)
		}
	}
	if err == nil {
		err = dir.Sync()
	}
	if removeErr := root.Remove(next); err == nil && known && !errors.Is(removeErr, fs.ErrNotExist) {
		err = removeErr
	}
	return err
}
