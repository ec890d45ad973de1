package discover

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// Writer is what a [Machine] also has when something can be written to its
// devices; package device/system has it.
type Writer interface {
	// Write mounts a device for writing, calls do with the root of its
	// filesystem, and unmounts it again.
	Write(node string, do func(root *os.Root) error) error
}

// Write calls do with the root of the filesystem on a device mounted for
// writing: for the few things that a user asks for. Meanwhile nothing can be
// opened on it; its entries stay. What lies on volumes that were made of others
// is never written to.
func (sc *Scan) Write(ctx context.Context, device string, do func(root *os.Root) error) error {
	w, ok := sc.scanner.Machine.(Writer)
	if !ok {
		return fmt.Errorf("%s can only be read here", device)
	}
	var v *volume
	var free func()
	err := fmt.Errorf("%s: %w", device, errGone)
	if !sc.call(func(st *state) {
		at := st.vols[device]
		switch {
		case at == nil || at.found == nil || at.found.fsys == nil:
		case at.close != nil:
			err = fmt.Errorf("%s lies on other volumes, and these are only ever read", device)
		case at.parsing:
			err = fmt.Errorf("%s is still being looked at", device)
		default:
			v, err = at, nil
			free = st.lend(at)
		}
	}) {
		return fmt.Errorf("writing to %s: %w", device, context.Canceled)
	}
	if err != nil {
		return err
	}
	free()
	err = w.Write(v.node, do)
	again := look(ctx, sc.scanner, v)
	if !sc.call(func(st *state) {
		st.complete = false
		st.take(ctx, result{vol: v, found: &again})
	}) {
		again.close()
	}
	return err
}

// lend takes the filesystem of v and all that was made of it out of use. The
// function that it gives unmounts them, which may take long.
func (st *state) lend(v *volume) (unmount func()) {
	var inside []*volume
	for _, child := range slices.Clone(st.made) {
		if slices.Contains(child.from, v) {
			inside = append(inside, st.remove(child)...)
		}
	}
	for key, m := range st.makings {
		if slices.Contains(m.members, v) {
			delete(st.makings, key) // looking at it again makes it anew
		}
	}
	mounted := v.found.fsys
	lent := *v.found
	lent.fsys, lent.images = nil, nil
	v.found = &lent
	return func() {
		closeAll(inside)
		mounted.Close()
	}
}
