package session

import (
	"slices"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/password"
)

// asks returns what the owner's password is asked for, as menu has it.
func (s *session) asks() []string {
	if s.asked.Password == "" {
		return nil
	}
	return s.asked.Locked
}

// guarded returns entries where what the menus on a volume protect is not to be had by
// another entry of that volume: editing that takes the same passwords, and so does
// starting one that alpboot has made up.
func guarded(entries []boot.Entry) []boot.Entry {
	volumes := map[string][]boot.Secret{} // who may edit, by device
	for _, e := range entries {
		if e.Lock != nil && (e.Volume.Removable || !e.Removable) { // not what a stick has about another volume
			all := volumes[e.Volume.Device]
			volumes[e.Volume.Device] = append(all, slices.DeleteFunc(slices.Clone(e.Lock.Edit), func(s boot.Secret) bool { return slices.Contains(all, s) })...)
		}
	}
	entries = slices.Clone(entries)
	for i, e := range entries {
		if may, ok := volumes[e.Volume.Device]; ok && e.Lock == nil {
			entries[i].Lock = &boot.Lock{Asks: e.Guessed, Start: may, Edit: may}
		}
	}
	return entries
}

// checkPassword has a password checked. That takes up to seconds.
func (s *session) checkPassword(a menu.Password) {
	owner := s.asked.Password
	s.wg.Go(func() {
		defer clear(a.Typed)
		msg := menu.PasswordMsg{Owner: password.Matches(s.ctx, owner, a.Typed)}
		msg.Right = msg.Owner || slices.ContainsFunc(a.Secrets, func(one boot.Secret) bool { return password.Matches(s.ctx, string(one), a.Typed) })
		s.later(func() {
			if !msg.Right {
				s.log.Warn("a wrong password was typed")
			}
			s.update(msg)
		})
	})
}
