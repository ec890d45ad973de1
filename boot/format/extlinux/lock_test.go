package extlinux_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/format/extlinux"
)

// MENU PASSWD is for one entry, MENU MASTER PASSWD for all and for editing. What is the
// default starts by itself.
func TestLock(t *testing.T) {
	const a, b = "LABEL a\nLINUX k\n", "LABEL b\nLINUX k\nAPPEND b\n"
	for _, tt := range []struct{ name, config, want string }{
		{"none", a, "a: free"},
		{"of an entry", a + "MENU PASSWD x y\n" + b, "a: start [plain:x y] edit [plain:x y] b: free"},
		{"of all", "MENU MASTER PASSWD $4$s$h\n" + a, "a: edit [$4$s$h]"},
		{"of all, at the end", a + "menu master passwd m\n", "a: edit [plain:m]"},
		{"both", "MENU MASTER PASSWD m\n" + a + "MENU PASSWD $6$x\n" + b, "a: start [$6$x plain:m] edit [plain:m] b: edit [plain:m]"},
		{"empty", "MENU MASTER PASSWD m\n" + a + "MENU PASSWD\n", "a: start [plain:m] edit [plain:m]"},
		{"empty, and none for all", a + "MENU PASSWD\n", "a: start [] edit []"},
		{"of nothing", "MENU PASSWD x\n" + a, "a: free"},
		{"another configuration", "LABEL x\nMENU PASSWD x\nCONFIG o.cfg\n", "o: start [plain:x] edit [plain:x]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := extlinux.Parse(fstest.MapFS{"syslinux/syslinux.cfg": boottest.File(tt.config), "syslinux/o.cfg": boottest.File("LABEL o\nLINUX k\n")}, boot.Volume{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range l.Entries {
				text := e.Title + ":"
				switch k := e.Lock; {
				case k == nil:
					text += " free"
				case k.Asks:
					text += fmt.Sprintf(" start %s", secrets(k.Start))
					fallthrough
				default:
					text += fmt.Sprintf(" edit %s", secrets(k.Edit))
				}
				if e.AsksUnattended() {
					t.Error("it does not start by itself")
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("got %s, want %s", text, tt.want)
			}
		})
	}
}

func secrets(all []boot.Secret) string {
	var texts []string
	for _, s := range all {
		texts = append(texts, string(s))
	}
	return "[" + strings.Join(texts, " ") + "]"
}
