package menu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot/cmdline"
)

// additions is the page of common changes of a command line, above its form.
type additions struct {
	console string // device of the console that asked for it
	picked  int
}

func (a additions) keys(Model) []binding {
	return []binding{
		{keys: "Enter Space 1-9", foot: "change", help: "make or undo that change", do: a.toggle},
		{keys: "Esc q", also: "Ctrl-C", foot: "back", help: "back to the editor", do: updates(Model.back)},
		{keys: "Up Down", also: "k j Ctrl-P Ctrl-N", help: helpLine, do: a.move(-1), second: a.move(1)},
	}
}

func (a additions) move(by int) handler {
	return updates(func(m Model) Model {
		a.picked = min(max(a.picked+by, 0), len(a.offered(m))-1)
		return m.set(a)
	})
}

// toggle makes or undoes the picked change, or the one with the number that was
// typed.
func (a additions) toggle(m Model, k KeyMsg) (Model, Action) {
	all := a.offered(m)
	if k.is("1-9") {
		n := int(k.Rune - '1')
		if n >= len(all) {
			return m, nil
		}
		a.picked = n
	}
	m = m.back()
	if f, ok := m.page().(form); ok {
		f.at = 0
		m = m.set(f.with(all[a.picked].toggle(f.line())))
	}
	return m.open(a), nil
}

func (a additions) paint(m Model, p *painter) {
	f, _ := m.back().page().(form)
	all := a.offered(m)
	widest := 0
	name := func(a addition) string {
		if a.take {
			return "without " + a.word
		}
		return clean(a.word, p.charset)
	}
	for _, x := range all {
		widest = max(widest, width(name(x)))
	}
	var rows []string
	for i, x := range all {
		text := name(x)
		if p.Size.W >= narrowWidth {
			text = pad(text, widest) + "  " + x.help
		}
		rows = append(rows, fmt.Sprintf("%d ", i+1)+checkbox(x.made(f.fields[0].editor.text), text))
	}
	paintPick(p, "Common changes to the command line", nil, rows, a.picked)
}

// addition is something that is often put on a command line, or taken off it.
type addition struct {
	word string
	take bool // taking word off is what is wanted
	help string
}

// offered are the additions for the console.
func (a additions) offered(m Model) []addition {
	as := []addition{
		{word: "single", help: "only root's shell, no services"},
		{word: "overlaytmpfs=yes", help: "try without writing: changes go to memory"},
		{word: "debug_init", help: "Alpine's initramfs logs what it does"},
		{word: "quiet", take: true, help: "show the kernel's messages"},
		{word: "nomodeset", help: "no graphics drivers: for a black screen"},
		{word: "kexec_load_disabled=0", help: "the started system may kexec, too"},
	}
	if a.console != "" {
		as = append(as, addition{word: "console=" + m.consoleName(a.console), help: "messages and login on this console"})
	}
	return as
}

// consoleName is what console= calls the console dev.
func (m Model) consoleName(dev string) string {
	if name := m.config.Consoles[dev]; name != "" {
		return name
	}
	name := strings.TrimPrefix(dev, "/dev/")
	if n, ok := strings.CutPrefix(name, "tty"); ok && n != "" && strings.Trim(n, "0123456789") == "" {
		return "tty0"
	}
	return name
}

// made reports whether the command line is as a wants it.
func (a addition) made(line string) bool {
	return slices.Contains(cmdline.Parse(line), a.word) != a.take
}

// toggle puts the word on the command line or takes it off.
func (a addition) toggle(e editor) editor {
	words := cmdline.Parse(e.text)
	if !slices.Contains(words, a.word) {
		return e.change(0, len(e.text), strings.TrimLeft(strings.TrimRight(e.text, " ")+" "+a.word, " "))
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == a.word })
	return e.change(0, len(e.text), words.String())
}
