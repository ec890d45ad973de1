package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// sizeLimit is how large a file can be edited: it is held in memory, and so is
// what undo goes back to.
const sizeLimit = 16 << 20

// open reads the file to edit, which need not be there yet.
func open(name string) (*editor, error) {
	e := &editor{name: name, version: version{lines: []string{""}}}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		e.message = fmt.Sprintf("%q is a new file", name)
		return e, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if e.onDisk, err = f.Stat(); err != nil {
		return nil, err
	}
	if !e.onDisk.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil {
		return nil, err
	}
	if len(b) > sizeLimit {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, sizeLimit>>20)
	}
	text, ended := strings.CutSuffix(string(b), "\n")
	e.unended = len(b) > 0 && !ended
	e.lines = strings.Split(text, "\n")
	e.message = fmt.Sprintf("%q, %d lines; F1: keys", name, len(e.lines))
	return e, nil
}

// save writes the text to a file; force is for one that is there and is not the
// one that was read.
func (e *editor) save(file string, force bool) error {
	name := file
	text := strings.Join(e.lines, "\n")
	empty := text == "" && len(e.lines) == 1 && (e.onDisk == nil || e.onDisk.Size() == 0)
	if !e.unended && !empty {
		text += "\n"
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a symbolic link stays one
	}
	st, err := os.Stat(name)
	switch own := file == e.name; {
	case errors.Is(err, fs.ErrNotExist):
		st = nil
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", file)
	case !force && !own:
		return fmt.Errorf("%s exists: :w! overwrites it", file)
	case !force && (e.onDisk == nil || !os.SameFile(st, e.onDisk) || !st.ModTime().Equal(e.onDisk.ModTime()) || st.Size() != e.onDisk.Size()):
		return fmt.Errorf("%s has changed on the disk: :w! overwrites it", file)
	}
	if err := replace(name, text, st); err != nil {
		return err
	}
	if file == e.name {
		e.dirty = false
		e.onDisk, err = os.Stat(name)
	}
	return err
}

// replace writes a file with the mode and the owner of the old one, if any. After
// a power cut one of the two is there, whole.
func replace(name, text string, old fs.FileInfo) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".vi-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	mode := fs.FileMode(0o644)
	if old != nil {
		mode = old.Mode()
		if st, ok := old.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
			err = f.Chown(int(st.Uid), int(st.Gid))
		}
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil { // FAT has nothing to sync
		d.Sync()
		d.Close()
	}
	return nil
}
