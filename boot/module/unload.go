package module

import (
	"fmt"
	"slices"
)

// Unload unloads the module called name, or those that bear it as an alias, and
// then whatever they depended on that nothing else uses. A module in use
// (EWOULDBLOCK) stays with all that it depends on; one that was not loaded is
// ENOENT, one that is not there at all [ErrNotFound].
func (x *Index) Unload(name string) error {
	names, err := x.find(name)
	if err != nil {
		return err
	}
	for _, n := range names {
		if x.builtin[n] {
			return fmt.Errorf("%s: %w", n, ErrBuiltIn)
		}
	}
	order := x.inOrder(names)
	slices.Reverse(order)
	for _, m := range order {
		// Of the others it is only known that this one does not need them any more.
		if err := x.delete(m); err != nil && slices.Contains(names, m.name) {
			return fmt.Errorf("unloading kernel module %s: %w", m.name, err)
		}
	}
	return nil
}

func (x *Index) delete(m *module) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	remove := x.Delete
	if remove == nil {
		remove = Delete
	}
	err := remove(m.name)
	if err == nil {
		m.loaded = false
	}
	return err
}
