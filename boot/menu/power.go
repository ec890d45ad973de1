package menu

import (
	"fmt"
	"slices"
	"strconv"
)

// power is the page that restarts the machine or powers it off.
type power struct{ picked int }

// offer is what the power page offers.
type offer struct {
	key, foot, help string
	action          Action
}

// offers are those that make sense on the machine.
func (power) offers(m Model) []offer {
	all := []offer{
		{"r", "restart", "restart the machine", Reboot{}},
		{"o", "power off", "power the machine off; that is asked once more", PowerOff{}},
	}
	if m.config.Firmware {
		all = append(all, offer{"f", "firmware setup", "restart into the setup of the firmware", FirmwareSetup{}})
	}
	if m.config.Enrolment != nil {
		all = append(all, offer{"s", "Secure Boot", "enrol the keys for Secure Boot that are on a disk; that is asked once more", Enrol{}})
	}
	if m.config.Relaunch {
		all = append(all, offer{"a", "restart alpboot", "restart alpboot, without the firmware", Relaunch{}})
	}
	for i, o := range m.config.Others[:min(len(m.config.Others), 9)] {
		all = append(all, offer{strconv.Itoa(i + 1), "", "restart into " + o.Title, StartOther{o}})
	}
	return all
}

func (pw power) keys(m Model) []binding {
	all := pw.offers(m)
	bs := []binding{{keys: "Enter", foot: "do it", help: "do what is picked", do: pw.do(all, pw.picked)}}
	for i, o := range all {
		bs = append(bs, binding{keys: o.key, foot: o.foot, help: o.help, do: pw.do(all, i)})
	}
	return append(bs, back(),
		binding{keys: "Up Down", also: "k j Ctrl-P Ctrl-N", help: helpLine, do: pw.move(all, -1), second: pw.move(all, 1)})
}

func (pw power) move(all []offer, by int) handler {
	return updates(func(m Model) Model { return m.set(power{min(max(pw.picked+by, 0), len(all)-1)}) })
}

// do asks for the offer at place i. A machine that is off may be far away: that has
// to be confirmed.
func (pw power) do(all []offer, i int) handler {
	return func(m Model, _ KeyMsg) (Model, Action) {
		m = m.set(power{i})
		switch all[i].action.(type) {
		case PowerOff:
			return m.open(powerOff{}), nil
		case Enrol:
			return m.open(enrol{}), nil
		}
		return m, all[i].action
	}
}

func (pw power) paint(m Model, p *painter) {
	var rows []string
	for _, o := range pw.offers(m) {
		rows = append(rows, o.key+"  "+clean(o.help, p.charset))
	}
	paintPick(p, "Restart or power off", nil, rows, pw.picked)
}

// powerOff is the page that confirms it.
type powerOff struct{}

func (powerOff) keys(Model) []binding {
	return []binding{
		{keys: "o Enter", foot: "power off", help: "power the machine off", do: asks(PowerOff{})},
		back(),
	}
}

func (o powerOff) paint(m Model, p *painter) {
	const text = "Somebody has to switch it on again, unless something else does."
	paintKeys(p, "Power the machine off?", paragraph(text, p), o.keys(m))
}

// asks is a handler that asks for something outside and changes nothing.
func asks(a Action) handler { return func(m Model, _ KeyMsg) (Model, Action) { return m, a } }

// makeDefault is the page that makes the selected entry the default.
type makeDefault struct {
	in MemoryPlace // where a file is made for that first; zero for none
}

func (d makeDefault) keys(Model) []binding {
	bs := []binding{
		{keys: "d", foot: "always", help: "from now on", do: d.set(false)},
		{keys: "o", foot: "once", help: "for the next boot only", do: d.set(true)},
	}
	if d.in == (MemoryPlace{}) {
		bs = append(bs, binding{keys: "f", foot: "forget", help: "forget the remembered default", do: func(m Model, _ KeyMsg) (Model, Action) {
			return m.back().say("Forgetting the default ..."), SetDefault{}
		}})
	}
	return append(bs, back())
}

func (d makeDefault) set(once bool) handler {
	return func(m Model, _ KeyMsg) (Model, Action) {
		m = m.back()
		e, ok := m.selected()
		if !ok {
			return m, nil
		}
		return m.say("Making %s the default ...", title(e)), SetDefault{ID: e.ID, Once: once, Make: d.in}
	}
}

// askDefault asks for how long the selected entry shall be the default, and before
// that for a place to remember it where there is none yet.
func (m Model) askDefault() Model {
	switch _, ok := m.selected(); {
	case !ok:
		return m
	case m.memory != "":
		return m.open(makeDefault{})
	case len(m.places) == 0:
		return m.warn("A default cannot be remembered: no EFI variables, and no file for it: see alpboot remember.")
	}
	return m.open(pick{head: "Where to remember it", hint: "There are no EFI variables to remember a default in. A small file on a volume can hold it.", rows: func(m Model) []choice {
		var all []choice
		for _, p := range m.places {
			all = append(all, choice{name: p.String(), then: func(m Model) Model { return m.open(makeDefault{p}) }})
		}
		return all
	}})
}

func (d makeDefault) paint(m Model, p *painter) {
	const head = "Make %s the default"
	it, _ := m.selectedItem()
	name := fit(clean(it.name(), p.charset), p.Size.W-2*margin-width(fmt.Sprintf(head, "")))
	about := m.memory
	if d.in != (MemoryPlace{}) {
		about = fmt.Sprintf("It will be remembered in two small files that are made now: /%s.0 and .1 on %s. Nothing else there is changed.", d.in.Path, d.in.Device)
	}
	paintKeys(p, fmt.Sprintf(head, name), paragraph(about, p), d.keys(m))
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
