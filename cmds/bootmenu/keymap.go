package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/menu"
)

// ownKeymap is the name of the layout that the kernel has by itself.
const ownKeymap = "us"

// withOwn gives names in order, each once, with the kernel's own layout first;
// none when there is nothing to choose from.
func withOwn(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == ownKeymap })
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return append([]string{ownKeymap}, slices.Compact(names)...)
}

// openKeyboard opens the keyboard table of the running kernel.
func openKeyboard() (keyboard, error) {
	c, err := keymap.Open("/dev/tty1")
	if err != nil {
		return nil, err // and no typed nil
	}
	return c, nil
}

// startKeymap loads the layout of the settings, unless it is loaded. It may lie
// on a volume; until these are known, that it is not found is no news.
func (s *session) startKeymap(ctx context.Context, volumes boot.Volumes) {
	want := s.asked.Keymap
	if want == s.keymap || want == ownKeymap && s.keymap == "" {
		return
	}
	s.loadKeymap(ctx, want, volumes, func(err error) {
		if err != nil && (volumes != nil || !errors.Is(err, keymap.ErrNotFound)) {
			s.keymap = want // once is enough
			s.notes = append(s.notes, fmt.Sprintf(wordNoKeymap, want, err))
			s.log.Warn("keyboard layout", "error", err)
			s.show(ctx)
		}
	})
}

// setKeymap loads the layout that the user has chosen.
func (s *session) setKeymap(ctx context.Context, name string) {
	s.loadKeymap(ctx, name, filesystems(s.scan, s.inventory), func(err error) {
		if err != nil {
			s.log.Warn("keyboard layout", "error", err)
			s.update(ctx, menu.ResultMsg{Text: fmt.Sprintf(wordNoKeymap, name, err), Bad: true})
		}
	})
}

// loadKeymap looks for a layout in the image and on volumes, and loads it.
func (s *session) loadKeymap(ctx context.Context, name string, volumes boot.Volumes, done func(error)) {
	root, original, open := s.machine.root, s.original, s.machine.keyboard
	go func() {
		var m *keymap.Map
		err := error(nil)
		if name != ownKeymap {
			m, err = findKeymap(root, volumes, name)
		}
		if err == nil {
			original, err = replaceKeymap(open, m, original)
		}
		s.later(ctx, func() {
			if s.original == nil {
				s.original = original
			}
			if err == nil {
				s.keymap = name
				s.log.Info("keyboard layout", "name", name)
			}
			done(err)
		})
	}()
}

func findKeymap(root fs.FS, volumes boot.Volumes, name string) (*keymap.Map, error) {
	m, err := keymap.Find(root, name)
	for _, v := range volumes {
		if !errors.Is(err, keymap.ErrNotFound) {
			break
		}
		if _, err := fs.Stat(v.FS, "."); err != nil {
			continue // nothing that has files, such as swap space
		}
		m, err = keymap.Find(v.FS, name)
	}
	return m, err
}

// replaceKeymap loads m, nil for the kernel's own layout. It gives that one:
// original, or what was loaded when that is nil.
func replaceKeymap(open func() (keyboard, error), m, original *keymap.Map) (*keymap.Map, error) {
	k, err := open()
	if err != nil {
		return original, err
	}
	defer k.Close()
	if original == nil {
		if original, err = keymap.Read(k); err != nil {
			return nil, err
		}
	}
	if m == nil {
		m = original
	}
	return original, m.Load(k)
}
