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
	e := &editor{name: name, lines: []string{""}, blank: true}
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
	e.blank = len(b) == 0
	e.unended = !e.blank && !ended
	e.lines = strings.Split(text, "\n")
	e.message = fmt.Sprintf("%q, %d lines; F1: keys", name, len(e.lines))
	return e, nil
}

// save writes the text to a file; force is for one that is there and is not the
// one that was read.
func (e *editor) save(name string, force bool) error {
	text := strings.Join(e.lines, "\n")
	if !e.unended && (text != "" || len(e.lines) > 1 || !e.blank) {
		text += "\n"
	}
	// A symbolic link stays one.
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = name, nil
	}
	if err != nil {
		return err
	}
	st, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st = nil
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", name)
	case !force && name != e.name:
		return fmt.Errorf("%s exists: :w! overwrites it", name)
	case !force && (e.onDisk == nil || !os.SameFile(st, e.onDisk) || !st.ModTime().Equal(e.onDisk.ModTime()) || st.Size() != e.onDisk.Size()):
		return fmt.Errorf("%s has changed on the disk: :w! overwrites it", name)
	}
	if err := replace(target, text, st); err != nil {
		return err
	}
	if name == e.name {
		e.dirty = false
		e.onDisk, err = os.Stat(target)
	}
	return err
}

// replace puts text in place of the file target, with the mode and the owner of
// what is there, in one step: after a power cut one of the two is there, whole.
func replace(target, text string, old fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(target), ".vi-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	mode := fs.FileMode(0o644)
	if old != nil {
		mode = old.Mode()
		if st, ok := old.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), target); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(target)); err == nil { // FAT has nothing to sync
		dir.Sync()
		dir.Close()
	}
	return nil
}
