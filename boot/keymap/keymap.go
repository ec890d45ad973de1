// Package keymap reads keyboard layouts in the binary form that busybox's
// loadkmap takes and Alpine keeps in its package bkeymaps, and loads them into
// the kernel. Source: console-tools/loadkmap.c and dumpkmap.c in busybox, and
// libkeymap/dump.c in kbd; for the calls drivers/tty/vt/keyboard.c in Linux.
//
// A layout concerns the keyboards of the machine itself; what comes from a
// serial line is laid out by the terminal at its other end. Compose sequences
// and the texts of function keys are not part of the format.
package keymap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
)

// Keys is how many keys the format has values for, by keycode.
const Keys = 128

// Map is a layout: a table for each set of held modifiers that means something,
// by the number that it has in linux/keyboard.h (plain 0, Shift 1, AltGr 2, ...).
// A value is what KDSKBENT takes. Nil for sets that have no table.
type Map [256]*[Keys]uint16

const (
	magic     = "bkeymap"
	maxFile   = 128 << 10 // bytes; a map with all tables has 65,799
	noSuchMap = 0x027f    // K_NOSUCHMAP: the table is not there
)

// ErrNotFound is what [Find] returns for a layout that is not there.
var ErrNotFound = errors.New("no such keyboard layout")

// Parse reads a layout, compressed with gzip or not. Values are little-endian,
// as in Alpine's package for all processors.
func Parse(b []byte) (*Map, error) {
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxFile)); err != nil {
			return nil, err
		}
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return nil, errors.New("not a keyboard layout of loadkmap")
	}
	m := &Map{}
	if len(rest) < len(m) {
		return nil, io.ErrUnexpectedEOF
	}
	flags, values := rest[:len(m)], rest[len(m):]
	for i, flag := range flags {
		if flag != 1 {
			continue
		}
		if len(values) < 2*Keys {
			return nil, io.ErrUnexpectedEOF
		}
		m[i] = new([Keys]uint16)
		for k := range m[i] {
			m[i][k] = binary.LittleEndian.Uint16(values[2*k:])
		}
		values = values[2*Keys:]
	}
	if m[0] == nil {
		return nil, errors.New("it has nothing for keys without modifiers")
	}
	return m, nil
}

// Where layouts are in an image and on an installed Alpine: those of the
// package, a directory for each language, and the one that setup-keymap took.
const (
	allDir    = "usr/share/bkeymaps"
	chosenDir = "etc/keymap"
)

// endings of a layout's file, in the order in which they are tried.
var endings = [...]string{".bmap.gz", ".bmap"}

// Find reads a layout from the root of an image or of an installed system. The
// name is that of its file without the ending, with or without its directory:
// de-nodeadkeys or de/de-nodeadkeys. [ErrNotFound] when it is not there.
func Find(fsys fs.FS, name string) (*Map, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	dirs := []string{chosenDir, allDir}
	if !strings.Contains(name, "/") {
		lang, _, _ := strings.Cut(name, "-")
		dirs = append(dirs, path.Join(allDir, lang))
		for _, l := range languages(fsys) {
			dirs = append(dirs, path.Join(allDir, l))
		}
	}
	for _, dir := range dirs {
		for _, ending := range endings {
			file := path.Join(dir, name+ending)
			b, err := boot.ReadFile(fsys, file, maxFile)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var m *Map
			if err == nil {
				m, err = Parse(b)
			}
			if err != nil {
				return nil, fmt.Errorf("keyboard layout /%s: %w", file, err)
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
}

// Names returns the layouts that [Find] would find, sorted. A name that several
// languages have stands there once for each, with its directory.
func Names(fsys fs.FS) []string {
	count := map[string]int{}
	var found [][2]string // directory, name
	for _, l := range languages(fsys) {
		for _, n := range layouts(fsys, path.Join(allDir, l)) {
			count[n]++
			found = append(found, [2]string{l, n})
		}
	}
	var names []string
	for _, f := range found {
		if n := f[1]; count[n] > 1 {
			names = append(names, path.Join(f[0], n))
		} else {
			names = append(names, n)
		}
	}
	for _, n := range layouts(fsys, chosenDir) {
		if count[n] == 0 {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// most is more layouts, or languages, than there are.
const most = 1000

func languages(fsys fs.FS) []string {
	list, _ := fs.ReadDir(fsys, allDir)
	var names []string
	for _, d := range list[:min(len(list), most)] {
		if d.IsDir() {
			names = append(names, d.Name())
		}
	}
	return names
}

func layouts(fsys fs.FS, dir string) []string {
	list, _ := fs.ReadDir(fsys, dir)
	var names []string
	for _, d := range list[:min(len(list), most)] {
		for _, ending := range endings {
			if name, ok := strings.CutSuffix(d.Name(), ending); ok && name != "" && boot.Clean(name) == name {
				names = append(names, name)
			}
		}
	}
	return names
}

// Keyboard is the kernel's table of what keys mean; [Console] is the real one.
type Keyboard interface {
	// Entry returns the value of a key, K_NOSUCHMAP (0x27f) for key 0 of a table
	// that is not there.
	Entry(table, key uint8) (uint16, error)
	// SetEntry changes it, making the table where there is none. K_NOSUCHMAP for
	// key 0 removes the table.
	SetEntry(table, key uint8, value uint16) error
}

// Read returns the layout that is loaded, to come back to it.
func Read(k Keyboard) (*Map, error) {
	m := &Map{}
	for t := range m {
		for key := range Keys {
			v, err := k.Entry(uint8(t), uint8(key))
			if err != nil {
				return nil, fmt.Errorf("reading the keyboard layout: %w", err)
			}
			if key == 0 {
				if v == noSuchMap {
					break
				}
				m[t] = new([Keys]uint16)
			}
			m[t][key] = v
		}
	}
	return m, nil
}

// Load makes m the layout of all keyboards. Tables that m does not have are
// removed. Single values that the kernel does not take are passed over, as
// loadkmap does.
func (m *Map) Load(k Keyboard) error {
	taken := 0
	var refused error
	for t, table := range m {
		if table == nil {
			if t > 0 {
				k.SetEntry(uint8(t), 0, noSuchMap) // nothing is lost if it stays
			}
			continue
		}
		for key, v := range table {
			if key == 0 && v == noSuchMap {
				continue // it would remove the table
			}
			switch err := k.SetEntry(uint8(t), uint8(key), v); {
			case err == nil:
				taken++
			case errors.Is(err, unix.EINVAL):
				refused = err
			default:
				return fmt.Errorf("loading the keyboard layout: %w", err)
			}
		}
	}
	if taken == 0 && refused != nil {
		return fmt.Errorf("loading the keyboard layout: the kernel takes nothing of it: %w", refused)
	}
	return nil
}
