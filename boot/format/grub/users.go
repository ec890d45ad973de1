package grub

import (
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// password registers a user (grub-core/commands/password.c and password_pbkdf2.c).
// Kind is what begins the secret.
func (m *machine) password(args []string, kind string) int {
	if len(args) != 2 || len(m.users) >= maxUsers || !m.takeBytes(len(args[1])) {
		return errBadArgument
	}
	m.users[args[0]] = boot.Secret(kind + args[1])
	return 0
}

// passwords returns those of the users whose names are in a list (iswordseparator in
// grub-core/kern/misc.c).
func (m *machine) passwords(names string) []boot.Secret {
	var all []boot.Secret
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r,;|&", r) }) {
		if s, ok := m.users[name]; ok && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// guard returns what guards the menu that m has built: superusers edit its entries
// (grub-core/normal/auth.c). Outer is what guards the menus around it. GRUB would
// forget superusers in a submenu, unless they are exported; that is hardly meant.
func (m *machine) guard(outer *boot.Lock) *boot.Lock {
	names, isSet := m.env["superusers"]
	if !isSet {
		return outer
	}
	l := &boot.Lock{Edit: m.passwords(names.value)}
	if outer != nil {
		l.Asks, l.Start = outer.Asks, outer.Start
	}
	return l
}

// restrict returns what guards an item of a menu that lock guards.
func (m *machine) restrict(lock *boot.Lock, it *item) *boot.Lock {
	if lock == nil || !it.restricted {
		return lock
	}
	l := *lock
	l.Start = slices.Concat(l.Edit, m.passwords(it.users))
	if lock.Asks { // the menus around it, too
		l.Start = slices.DeleteFunc(l.Start, func(s boot.Secret) bool { return !slices.Contains(lock.Start, s) })
	}
	l.Asks = true
	return &l
}
