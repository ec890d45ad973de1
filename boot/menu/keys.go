package menu

import (
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
)

// page is one of the screens of the menu: a type in a file of its own, with
// what it shows, its keys and what they do. A page is a value: a key that
// changes it leaves a new one in the model.
type page interface {
	// keys is the table from which come what keys do, the footer, the help
	// page and the documentation.
	keys(m Model) []binding

	// paint paints what is between the header and the messages.
	paint(m Model, p *painter)
}

// writer is a page that text is typed into.
type writer interface {
	// write takes a rune that was typed and means nothing else, or what was pasted.
	write(m Model, text string, pasted bool) Model
}

// handler does what a key is for.
type handler func(m Model, k KeyMsg) (Model, Action)

// updates is a handler that asks for nothing outside.
func updates(f func(Model) Model) handler {
	return func(m Model, _ KeyMsg) (Model, Action) { return f(m), nil }
}

// binding is a line of the table of keys of a page. What it does is done by all
// of its keys; where there is a second handler, by every second one.
type binding struct {
	keys   string // as they are written, separated by spaces, the most usual one first
	also   string // keys that are not documented
	foot   string // the word in the footer; "" when it is not there
	help   string // what it does; "" when it is not documented
	do     handler
	second handler
}

// find returns what k does, nil when it is bound to nothing.
func find(bs []binding, k KeyMsg) handler {
	for _, b := range bs {
		i := slices.IndexFunc(b.names(), k.is)
		switch {
		case i < 0:
		case i%2 == 1 && b.second != nil:
			return b.second
		default:
			return b.do
		}
	}
	return nil
}

func (b binding) names() []string { return strings.Fields(b.keys + " " + b.also) }

// is reports whether k is the key that is written as name, such as Ctrl-P, or
// among those written so: 1-9.
func (k KeyMsg) is(name string) bool {
	if name == "1-9" {
		return k.Key == KeyRune && k.Mod == 0 && k.Rune >= '1' && k.Rune <= '9'
	}
	mod := Mod(0)
	if rest, ok := strings.CutPrefix(name, "Ctrl-"); ok {
		name, mod = rest, ModCtrl
	} else if rest, ok := strings.CutPrefix(name, "Alt-"); ok {
		name, mod = rest, ModAlt
	}
	if k.Mod != mod {
		return false
	}
	if i := slices.Index(keyNames[:], name); i >= 0 {
		return k.Key == Key(i)
	}
	switch {
	case name == "Space":
		name = " "
	case mod != 0:
		name = strings.ToLower(name)
	}
	return k.Key == KeyRune && string(k.Rune) == name
}

// keyNames are the names of keys as the tables write them.
var keyNames = [...]string{
	KeyOther: "other", KeyRune: "rune",
	KeyEnter: "Enter", KeyEsc: "Esc", KeyTab: "Tab", KeyBackspace: "Backspace", KeyDelete: "Delete",
	KeyUp: "Up", KeyDown: "Down", KeyLeft: "Left", KeyRight: "Right",
	KeyHome: "Home", KeyEnd: "End", KeyPgUp: "PgUp", KeyPgDn: "PgDn",
	KeyF1: "F1", KeyF10: "F10", KeyF2: "F2",
}

// back is the way back to the page below.
func back() binding {
	return binding{keys: "Esc q", also: "Ctrl-C", foot: "back", help: "back to the list", do: updates(Model.back)}
}

// maxQuery is the length of what can be searched for.
const maxQuery = 200

// query returns what a text to search for is when more is written into it.
func query(text, more string) string {
	if more = newEditor("").paste(more).text; len(text)+len(more) > maxQuery {
		return text
	}
	return text + more
}

// queryKeys edit a text to search for, of which set makes the next model.
func queryKeys(text string, set func(Model, string) Model) []binding {
	e := newEditor(text)
	to := func(text string) handler { return updates(func(m Model) Model { return set(m, text) }) }
	return []binding{
		{keys: "Backspace Ctrl-H", help: helpBackspace, do: to(e.change(e.left(), e.pos, "").text)},
		{keys: "Ctrl-W", help: helpKillWord, do: to(e.change(e.parameterLeft(), e.pos, "").text)},
		{keys: "Ctrl-U", help: helpKillStart, do: to("")},
	}
}

// What the same keys do on several pages.
const (
	helpEdit      = "edit its command line for one boot"
	helpLine      = "a line up or down"
	helpPgUp      = "a page up"
	helpPgDn      = "a page down"
	helpBackspace = "delete the character before the cursor"
	helpKillWord  = "delete the word before the cursor"
	helpKillStart = "delete all before the cursor"
)

// KeyHelp is a line of the documentation of keys.
type KeyHelp struct {
	Screen string // where they work
	Keys   string // as they are written, separated by spaces
	Help   string // what they do
}

// Keys returns every key that the menu knows, from the tables that the footer
// and the help page are made from.
func Keys() []KeyHelp {
	var ks []KeyHelp
	for _, s := range sections() {
		for _, b := range s.bindings {
			if b.help != "" {
				ks = append(ks, KeyHelp{s.name, b.keys, b.help})
			}
		}
	}
	return ks
}

// section is the keys of a page as help lists them.
type section struct {
	name     string
	bindings []binding
}

// sections are the pages that have keys of their own, on a machine that offers
// everything. A new page has its line here.
func sections() []section {
	m := Model{config: Config{Firmware: true, Relaunch: true, Enrolment: &Enrolment{}, Others: []Other{{Title: "what else the firmware starts, such as Windows (2 to 9: the others)"}}}}
	e := boot.Entry{ID: "any", Kernel: "any"}
	m.inventory.Entries = []boot.Entry{e}
	return []section{
		{"In the list", list{}.keys(m)},
		{"While filtering", list{filtering: true}.keys(m)},
		{"While editing the command line", newForm(e).keys(m)},
		{"In the list of common changes", additions{}.keys(m)},
		{"In help, details and notes", pager{doc: details{why: true}}.keys(m)},
		{"While a passphrase is asked for", unlock{}.keys(m)},
		{"While a password is asked for", password{}.keys(m)},
		{"In the log", logText{}.keys(m, pager{})},
		{"In a list of volumes or keyboard layouts", pick{}.keys(m)},
		{"When asked for a default", makeDefault{}.keys(m)},
		{"In the power menu", power{}.keys(m)},
		{"When asked whether to power off", powerOff{}.keys(m)},
		{"When asked whether to enrol keys", enrol{}.keys(m)},
		{"In the settings", settings{}.keys(m)},
		{"While a setting is typed", typed{}.keys(m)},
		{"Before settings are written", writeSettings{}.keys(m)},
		{"On every screen", []binding{{keys: "Ctrl-L", help: "redraw the screen", do: redraw}}},
	}
}
