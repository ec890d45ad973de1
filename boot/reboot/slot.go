package reboot

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/choice"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/remember"
)

// raucConfigs are where RAUC looks for its configuration.
var raucConfigs = [...]string{"/etc/rauc/system.conf", "/run/rauc/system.conf", "/usr/lib/rauc/system.conf"}

// Slot answers and does what RAUC asks of a custom bootloader backend: get-primary,
// set-primary, get-state, set-state, get-current. The bootname of a slot is the
// ID or the title of its entry in the boot menu. Only the answer goes to Stdout.
//
// The primary slot is the remembered default, a bad one an entry that has no
// tries left.
func (s *System) Slot(ctx context.Context, verb string, args ...string) error {
	words, known := map[string]int{"get-primary": 0, "set-primary": 1, "get-state": 1, "set-state": 2, "get-current": 0}[verb]
	switch {
	case !known:
		return fmt.Errorf("slot %s is not among get-primary, set-primary, get-state, set-state and get-current", verb)
	case len(args) != words:
		return fmt.Errorf("slot %s takes %d words after it, and got %d", verb, words, len(args))
	case verb == "set-state" && args[1] != "good" && args[1] != "bad":
		return fmt.Errorf("a slot is set to good or bad, not %q", args[1])
	}
	menu := s.bootMenu(ctx)
	defer menu.close()
	state, err := s.kept(menu)
	if err != nil {
		return err
	}
	b := slots{inv: menu.inv, state: state}
	switch verb {
	case "get-primary":
		if b.names, err = s.bootnames(); err != nil {
			return err
		}
		return s.answer(b.nameOf(b.primary(menuChoice(menu.inv, s.wants(ctx, menu)).ID)))
	case "get-current":
		if b.names, err = s.bootnames(); err != nil {
			return err
		}
		return s.answer(b.nameOf(b.current(s.Release, s.cmdline())))
	}
	id, err := b.id(args[0])
	if err != nil {
		return err
	}
	switch {
	case verb == "get-state" && b.bad(id):
		return s.answer("bad", nil)
	case verb == "get-state":
		return s.answer("good", nil)
	case verb == "set-primary":
		if menu.asked.Default != "" {
			return fmt.Errorf("the setting default = %s decides what is booted, whatever is set here: take it out", menu.asked.Default)
		}
		state.Default, state.Next = id, ""
		state = state.WithoutTry(id) // what was written to the slot has not been tried
	case args[1] == "good":
		if state.Trying == id {
			state = state.Confirmed()
		}
		state = state.WithoutTry(id)
	default:
		if menu.asked.Confirm == 0 {
			s.Warn("the boot menu does not count starts (setting confirm), and will not know that %s is bad", args[0])
		}
		state.Tries = append(state.WithoutTry(id).Tries, remember.Try{ID: id})
		if state.Last == id || state.Trying == id { // else the menu would take it for one that came up
			state.Trying, state.Attempt = id, remember.Attempt{}
		}
	}
	return menu.store.Save(state)
}

// answer prints what RAUC has asked for.
func (s *System) answer(text string, err error) error {
	if err == nil {
		_, err = fmt.Fprintln(s.Stdout, text)
	}
	return err
}

// bootnames returns those of RAUC's slots.
func (s *System) bootnames() ([]string, error) {
	for _, name := range raucConfigs {
		f, err := os.Open(s.path(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		var list []string
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), "=")
			if value = strings.TrimSpace(value); strings.TrimSpace(key) == "bootname" && value != "" {
				list = append(list, value)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("%s has no slot with a bootname", name)
		}
		return list, nil
	}
	return nil, fmt.Errorf("there is no %s, which has the bootnames of the slots", raucConfigs[0])
}

// slots are RAUC's, as entries of the boot menu.
type slots struct {
	names []string
	inv   boot.Inventory
	state remember.State
}

// isID matches IDs as package discover makes them. The entries of a slot that is not
// mounted are not seen here, and stand in the state by their IDs.
var isID = regexp.MustCompile(`^[a-z0-9.-]+-[0-9a-f]{8}(-[0-9]+)?$`)

// id returns the ID of the entry that a bootname stands for.
func (b slots) id(name string) (string, error) {
	for _, e := range b.inv.Entries {
		if e.ID == name || e.Title == name {
			return e.ID, nil
		}
	}
	if isID.MatchString(name) {
		return name, nil
	}
	return "", fmt.Errorf("the bootname %q is neither the ID nor the title of an entry: the verb status lists them; one of a system that is not mounted can be named by its ID only", name)
}

// nameOf returns the bootname that stands for an entry.
func (b slots) nameOf(id string) (string, error) {
	for _, name := range b.names {
		if other, err := b.id(name); err == nil && other == id {
			return name, nil
		}
	}
	return "", fmt.Errorf("no slot has the entry %q: the bootnames are %s", id, strings.Join(b.names, ", "))
}

// bad reports whether the menu would not start an entry unattended. Of one that
// runs, on its last try, that is still open.
func (b slots) bad(id string) bool {
	t, ok := b.state.Try(id)
	return ok && t.Left == 0 && !(b.state.Trying == id && b.state.Attempt != (remember.Attempt{}))
}

// primary returns the ID of what the menu would start: the remembered default, or
// when that is bad the other slot; chosen where nothing is remembered.
func (b slots) primary(chosen string) string {
	id := cmp.Or(b.state.Next, b.state.Default)
	if id == "" || id == boot.LastBooted {
		return chosen
	}
	if e, ok := choice.Find(b.inv.Entries, id); ok {
		id = e.ID
	}
	if !b.bad(id) {
		return id
	}
	for _, name := range b.names {
		if other, err := b.id(name); err == nil && !b.bad(other) {
			return other
		}
	}
	return id
}

// current returns the ID of what is running: what the menu has started last, or
// the only entry with this kernel and command line.
func (b slots) current(release, line string) string {
	if id := cmp.Or(b.state.Trying, b.state.Last); id != "" {
		return id
	}
	running := cmdline.Parse(line)
	found := ""
	for _, e := range b.inv.Entries {
		words := cmdline.Parse(e.Cmdline)
		if e.Version != release || len(words) == 0 || !hasAll(running, words) {
			continue
		}
		if found != "" {
			return ""
		}
		found = e.ID
	}
	return found
}
