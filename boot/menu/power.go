package menu

import (
	"fmt"
	"slices"
	"strconv"
)

// power is the page that restarts the machine or powers it off.
type power struct{}

// keys are those that make sense on the machine.
func (power) keys(m Model) []binding {
	bs := []binding{
		{keys: "r", foot: "restart", help: "restart the machine", do: asks(Reboot{})},
		{keys: "o", foot: "power off", help: "power the machine off", do: asks(PowerOff{})},
	}
	if m.config.Firmware {
		bs = append(bs, binding{keys: "f", foot: "firmware setup", help: "restart into the setup of the firmware", do: asks(FirmwareSetup{})})
	}
	if m.config.Relaunch {
		bs = append(bs, binding{keys: "a", foot: "restart alpboot", help: "restart alpboot, without the firmware", do: asks(Relaunch{})})
	}
	for i, o := range m.config.Others[:min(len(m.config.Others), 9)] {
		bs = append(bs, binding{keys: strconv.Itoa(i + 1), help: "restart into " + o.Title, do: asks(StartOther{o})})
	}
	return append(bs, back())
}

// asks is a handler that asks for something outside and changes nothing.
func asks(a Action) handler { return func(m Model, _ KeyMsg) (Model, Action) { return m, a } }

func (pw power) paint(m Model, p *painter) { paintKeys(p, "Restart or power off", nil, pw.keys(m)) }

// makeDefault is the page that makes the selected entry the default.
type makeDefault struct{}

func (makeDefault) keys(Model) []binding {
	return []binding{
		{keys: "d", foot: "always", help: "from now on", do: setDefault(false)},
		{keys: "o", foot: "once", help: "for the next boot only", do: setDefault(true)},
		{keys: "f", foot: "forget", help: "forget the remembered default", do: func(m Model, _ KeyMsg) (Model, Action) {
			return m.back().say("Forgetting the default ..."), SetDefault{}
		}},
		back(),
	}
}

func setDefault(once bool) handler {
	return func(m Model, _ KeyMsg) (Model, Action) {
		m = m.back()
		e, ok := m.selected()
		if !ok {
			return m, nil
		}
		return m.say("Making %s the default ...", title(e)), SetDefault{ID: e.ID, Once: once}
	}
}

// askDefault asks for how long the selected entry shall be the default.
func (m Model) askDefault() Model {
	if _, ok := m.selected(); !ok {
		return m
	}
	if m.memory == "" {
		return m.warn("A default cannot be remembered: no EFI variables, and no file for it: see kexec-reboot remember.")
	}
	return m.open(makeDefault{})
}

func (d makeDefault) paint(m Model, p *painter) {
	const head = "Make %s the default"
	it, _ := m.selectedItem()
	name := fit(clean(it.name(), p.charset), p.Size.W-2*margin-width(fmt.Sprintf(head, "")))
	paintKeys(p, fmt.Sprintf(head, name), paragraph(m.memory, p), d.keys(m))
}

// paintKeys paints a page that asks for one of a few keys.
func paintKeys(p *painter, head string, above []line, bindings []binding) {
	lines := append([]line{nil, heading(fit(head, p.Size.W-2*margin)), nil}, above...)
	for _, b := range bindings {
		lines = append(lines, helpKey(b.keys, b.help, p.Size.W-2*margin)...)
	}
	for i := 0; i < len(lines) && len(lines) > bodyHeight(p.Size); {
		if lines[i] == nil {
			lines = slices.Delete(lines, i, i+1)
			continue
		}
		i++
	}
	p.lines(lines)
}
