package grub_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

// lockText returns what locks an entry, as text: nothing, who edits it, or who starts it.
func lockText(e boot.Entry) string {
	l := e.Lock
	if l == nil {
		return e.Title + ": free"
	}
	names := func(all []boot.Secret) string {
		var b strings.Builder
		for _, s := range all {
			b.WriteString(" " + string(s))
		}
		return b.String()
	}
	text := e.Title + ":"
	if l.Asks {
		text += " start" + names(l.Start) + ","
	}
	return fmt.Sprintf("%s edit%s", text, names(l.Edit))
}

// Who starts and edits an entry is as in GRUB: superusers do all; others what --users
// names them for; --unrestricted is for everybody.
func TestUsers(t *testing.T) {
	const users = "password root r\npassword_pbkdf2 alice grub.pbkdf2.sha512.1.A\npassword bob b\n"
	const super = "set superusers=root\n" + users
	entry := func(title, options string) string {
		return fmt.Sprintf("menuentry %s %s { linux /boot/vmlinuz %s }\n", title, options, title)
	}
	for _, tt := range []struct{ name, config, want string }{
		{"nobody", users + entry("A", "--users alice"), "A: free"},
		{"superusers", super + entry("A", ""), "A: start plain:r, edit plain:r"},
		{"several", users + "set superusers='root, bob;carol'\n" + entry("A", ""), "A: start plain:r plain:b, edit plain:r plain:b"},
		{"set last", entry("A", "") + super, "A: start plain:r, edit plain:r"},
		{"users", super + entry("A", "--users alice"), "A: start plain:r grub.pbkdf2.sha512.1.A, edit plain:r"},
		{"no users", super + entry("A", "--users ''"), "A: start plain:r, edit plain:r"},
		{"unrestricted", super + entry("A", "--unrestricted"), "A: edit plain:r"},
		{"both", super + entry("A", "--unrestricted --users bob"), "A: start plain:r plain:b, edit plain:r"},
		{"empty", "set superusers=\n" + users + entry("A", "") + entry("B", "--unrestricted"), "A: start, edit B: edit"},
		{"unset", super + "unset superusers\n" + entry("A", ""), "A: free"},
		{"unknown", super + "set superusers=eve\n" + entry("A", ""), "A: start, edit"},
		{"another password", super + "password root new\n" + entry("A", ""), "A: start plain:new, edit plain:new"},
		{"a submenu", super + "submenu S --unrestricted {\n" + entry("A", "--unrestricted") + entry("B", "--users bob") + "}\n", "A: edit plain:r B: start plain:r plain:b, edit plain:r"},
		{"a locked submenu", super + "submenu S --users alice {\n" + entry("A", "--unrestricted") + entry("B", "--users bob") + "}\n",
			"A: start plain:r grub.pbkdf2.sha512.1.A, edit plain:r B: start plain:r, edit plain:r"},
		{"another configuration", super + "menuentry S { configfile /boot/grub/more.cfg }\n", "More: start plain:r, edit plain:r"},
		{"without a menu", super + "linux /boot/vmlinuz A\nboot\n", "vmlinuz: edit plain:r"},
		{"not two words", "set superusers=root\npassword root\n" + entry("A", ""), "A: start, edit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range parse(t, tt.config).Entries {
				got = append(got, lockText(e))
				if asks := strings.Contains(strings.Join(e.Notes, " "), "asks for a user and password"); asks != (e.Lock != nil && e.Lock.Asks) {
					t.Errorf("the notes are %q", e.Notes)
				}
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
			if text := fmt.Sprintf("%v %+v", parse(t, tt.config).Entries[0].Lock, boot.Secret("r")); strings.Contains(text, "plain") {
				t.Errorf("%s is printed", text)
			}
		})
	}
}
