package session

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/keymap"
	"github.com/alpboot/alpboot/boot/menu"
)

// keymaps is the layout of the machine's own keyboard. One is loaded at a time,
// so that what was there before is known: that is the kernel's own layout.
type keymaps struct {
	names    []string    // of the layouts to choose from
	loaded   string      // the one in use; "" for the kernel's own
	spare    bool        // it is built in, as no file was known: one that turns up is better
	chosen   bool        // by the user: what the settings ask for does not count any more
	original *keymap.Map // the kernel's own; nil until another one is loaded
	loading  bool
	waiting  func() // to load another one then; the last one counts
}

// ownKeymap is the name of the layout that the kernel has by itself.
const ownKeymap = "us"

// withOwn returns names in order, each once, with the kernel's own layout first;
// none when there is nothing to choose from.
func withOwn(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == ownKeymap })
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return append([]string{ownKeymap}, slices.Compact(names)...)
}

// startButtons has the buttons of a machine move about in the menu. A layout that is
// loaded takes them away: who has one has a keyboard.
func (s *session) startButtons() {
	devices, err := fs.ReadFile(s.Root, "proc/bus/input/devices")
	if err != nil {
		return
	}
	s.wg.Go(func() {
		k, err := s.Machine.Keyboard()
		if err != nil {
			return // a machine without a screen
		}
		defer k.Close()
		if err := keymap.Buttons(k, !hasKeyboard(string(devices))); err != nil {
			s.log.Debug(err.Error())
		}
	})
}

// hasKeyboard reports whether one of the kernel's input devices repeats a key that is
// held, as keyboards do and buttons do not.
func hasKeyboard(devices string) bool {
	const repeats = 1 << 0x14 // EV_REP
	for line := range strings.Lines(devices) {
		if bits, ok := strings.CutPrefix(strings.TrimSpace(line), "B: EV="); ok {
			if n, err := strconv.ParseUint(bits, 16, 64); err == nil && n&repeats != 0 {
				return true
			}
		}
	}
	return false
}

// startKeymap loads the layout of the settings, unless it is loaded. It may be
// on a volume; until these are known, that it is not found means nothing.
func (s *session) startKeymap(volumes boot.Volumes) {
	k := &s.keymaps
	want := s.asked.Keymap
	if k.spare && volumes != nil {
		k.spare, k.loaded = false, ""
	}
	if k.chosen || want == k.loaded || want == ownKeymap && k.loaded == "" {
		return
	}
	if k.loading {
		k.waiting = func() { s.startKeymap(volumes) }
		return
	}
	s.loadKeymap(want, volumes, func(err error) {
		if volumes == nil && errors.Is(err, keymap.ErrNotFound) {
			return
		}
		k.loaded = want // once is enough
		s.notes = append(s.notes, fmt.Sprintf("The keyboard layout %s cannot be used: %v.", want, err))
		s.show()
	})
}

// setKeymap loads the layout that the user has chosen.
func (s *session) setKeymap(name string) {
	s.keymaps.chosen = true
	s.loadKeymap(name, s.view.filesystems(), func(err error) {
		s.update(menu.ResultMsg{Text: fmt.Sprintf("The keyboard layout %s cannot be used: %v.", name, err), Bad: true})
	})
}

// loadKeymap finds a layout in the image or on volumes, and loads it.
func (s *session) loadKeymap(name string, volumes boot.Volumes, failed func(error)) {
	k := &s.keymaps
	if k.loading {
		k.waiting = func() { s.loadKeymap(name, volumes, failed) }
		return
	}
	k.loading = true
	original := k.original
	s.wg.Go(func() {
		var m *keymap.Map
		err := error(nil)
		if name != ownKeymap {
			m, err = findKeymap(s.Root, volumes, name)
		}
		spare := errors.Is(err, keymap.ErrNotFound) && slices.Contains(keymap.BuiltIn(), name)
		if err == nil || spare {
			original, err = replaceKeymap(s.Machine.Keyboard, func(own *keymap.Map) *keymap.Map {
				switch {
				case spare:
					m, _ = keymap.Make(name, own)
				case m == nil:
					m = own
				}
				return m
			}, original)
		}
		s.later(func() {
			k.loading, k.original = false, original
			if err == nil {
				k.loaded, k.spare = name, spare
				s.log.Info("keyboard layout", "name", name)
			} else {
				s.log.Warn("keyboard layout", "error", err)
				failed(err)
			}
			if next := k.waiting; next != nil {
				k.waiting = nil
				next()
			}
		})
	})
}

// findKeymap returns a layout of the image or of a volume.
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

// replaceKeymap loads the layout that next returns for the kernel's own one. It returns
// that one: original, or what was loaded when that is nil.
func replaceKeymap(open func() (Keyboard, error), next func(own *keymap.Map) *keymap.Map, original *keymap.Map) (*keymap.Map, error) {
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
	return original, next(original).Load(k)
}
