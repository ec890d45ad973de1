package reboot

import (
	"context"
	"errors"
	"fmt"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
)

// SetDefault has the boot menu remember an entry, by ID, title or number, as what it
// boots when nobody chooses, or with once at its next start only. Nothing is
// remembered any more when want is "".
func (s *System) SetDefault(ctx context.Context, want string, once bool) error {
	menu := s.bootMenu(ctx)
	defer menu.close()
	return s.setDefault(ctx, menu, want, once)
}

func (s *System) setDefault(ctx context.Context, menu *bootMenu, want string, once bool) error {
	state, err := s.kept(menu)
	if err != nil {
		return err
	}
	id := want
	var e boot.Entry
	if want != "" && (want != boot.LastBooted || once) {
		if e, err = s.named(menu.inv, want); err != nil {
			return err
		}
		id = e.ID
	}
	switch {
	case once:
		state.Next = id
	case menu.asked.Default != "" && want != "":
		return fmt.Errorf("the setting default = %s decides what is booted, whatever is remembered: take it out", menu.asked.Default)
	default:
		state.Default, state.Next = id, ""
	}
	if err := menu.store.Save(state); err != nil {
		return err
	}
	if want == "" {
		s.say("Nothing is remembered any more")
		return s.tellDefault(ctx, menu, state, false)
	}
	return s.tellDefault(ctx, menu, state, once)
}

// ShowDefault prints what the boot menu boots when nobody chooses, and why, or with
// once what it was asked to boot at its next start only.
func (s *System) ShowDefault(ctx context.Context, once bool) error {
	menu := s.bootMenu(ctx)
	defer menu.close()
	state, err := menu.store.Load()
	if err != nil {
		return err
	}
	return s.tellDefault(ctx, menu, state, once)
}

// tellDefault prints what the menu will boot as it is now, unattended from then on,
// or with once at its next start.
func (s *System) tellDefault(ctx context.Context, menu *bootMenu, state remember.State, once bool) error {
	w := s.wants(ctx, menu)
	if once {
		w = withOnce(w, state)
	}
	c := menuChoice(menu.inv, w)
	text := describeChoice(menu.inv, c)
	if once && !c.Once {
		text = "Nothing is asked for at the next start only; it boots " + text
	}
	s.say("%s", text)
	for _, note := range c.Notes {
		s.say("  %s", note)
	}
	return nil
}

// withOnce returns w with what is asked for at the next start only.
func withOnce(w choice.Wants, state remember.State) choice.Wants {
	w.State.Next, w.State.OneShot, w.State.Used, w.State.Kept = state.Next, state.OneShot, state.Used, state.Kept
	return w
}

// kept returns what is remembered, or an error where the menu remembers nothing.
func (s *System) kept(b *bootMenu) (remember.State, error) {
	state, err := b.store.Load()
	if err == nil && !state.Kept {
		err = errors.New("the boot menu " + s.remembersNothing(b))
	}
	return state, err
}

// remembersNothing returns, to follow "the boot menu", that nothing is remembered, and
// what makes it so.
func (s *System) remembersNothing(b *bootMenu) string {
	instead := ""
	if b.asked.Remember == settings.Auto && len(b.places()) > 0 {
		instead = fmt.Sprintf(": %s remember makes a file for it", s.name())
	}
	return fmt.Sprintf("remembers nothing here (%s)%s", b.store.Where(), instead)
}

// named returns the entry that want names, if it can be booted.
func (s *System) named(inv boot.Inventory, want string) (boot.Entry, error) {
	return pick(inv, want, choice.Wants{}, s.Release)
}
