package menu

import (
	"fmt"
	"slices"
	"strings"
)

// Setting is one that the menu can have written to a file of settings.
type Setting struct {
	Name, Value string
	Takes, Help string   // what its value is, to follow "it takes"; what it does, in sentences
	Words       []string // all that it takes; nil where that is no list
	Source      string   // where Value comes from, such as a file and a line

	// Overridden is set when something counts more than the file, so that what is
	// written there has no effect.
	Overridden bool
}

// Change is a setting that is to be written.
type Change struct{ Name, Value string }

// String is a line for people: what is written may have quotes.
func (c Change) String() string { return c.Name + " = " + c.Value }

const textChanged = "changed, not written yet"

// settings is the page of the settings that can be written. What was changed there is
// kept in the model until it is written.
type settings struct{ picked int }

func (st settings) keys(m Model) []binding {
	return []binding{
		{keys: "Enter", foot: "change", help: "change the setting; nothing is written yet", do: updates(st.change)},
		{keys: "w", foot: "write", help: "write what was changed to the file, which is shown first", do: updates(Model.askWrite)},
		back(),
		{keys: "u", foot: "undo", help: "leave the setting as it is", do: updates(func(m Model) Model {
			if s, ok := st.setting(m); ok {
				m.changes = m.otherChanges(s)
			}
			return m
		})},
		{keys: "Up Down", also: "k j Ctrl-P Ctrl-N", help: helpLine, do: st.move(-1), second: st.move(1)},
	}
}

func (st settings) move(by int) handler {
	return updates(func(m Model) Model {
		return m.set(settings{max(0, min(st.picked+by, len(m.config.Settings)-1))})
	})
}

func (st settings) setting(m Model) (Setting, bool) {
	if st.picked >= len(m.config.Settings) {
		return Setting{}, false
	}
	return m.config.Settings[st.picked], true
}

// changed returns the value that a setting shall have, and whether that is another
// one than it has.
func (m Model) changed(s Setting) (string, bool) {
	if i := slices.IndexFunc(m.changes, func(c Change) bool { return c.Name == s.Name }); i >= 0 {
		return m.changes[i].Value, true
	}
	return s.Value, false
}

// otherChanges returns the changes of other settings than s.
func (m Model) otherChanges(s Setting) []Change {
	return slices.DeleteFunc(slices.Clone(m.changes), func(c Change) bool { return c.Name == s.Name })
}

// makeChange takes a value for a setting.
func (m Model) makeChange(s Setting, value string) Model {
	m.changes = m.otherChanges(s)
	if value != s.Value || s.Overridden {
		m.changes = append(m.changes, Change{s.Name, value})
	}
	return m
}

// change asks for another value of the picked setting.
func (st settings) change(m Model) Model {
	s, ok := st.setting(m)
	if !ok {
		return m
	}
	value, _ := m.changed(s)
	var values, names []string
	switch {
	case s.Words != nil:
		values, names = s.Words, s.Words
	case s.Name == "keymap" && len(m.config.Keymaps) > 0:
		values, names = m.config.Keymaps, m.config.Keymaps
	case s.Name == "default":
		values, names = []string{"", "@last"}, []string{"as configurations and what is remembered have it", "@last: what was booted last"}
		for _, e := range m.inventory.Entries {
			values, names = append(values, e.ID), append(names, title(e)+", "+e.ID)
		}
	default:
		return m.open(typed{s, value})
	}
	return m.open(pick{head: s.Name, hint: s.Help, searches: s.Words == nil, picked: max(0, slices.Index(values, value)), rows: func(Model) []choice {
		var all []choice
		for i, v := range values {
			all = append(all, choice{name: names[i], then: func(m Model) Model { return m.makeChange(s, v) }})
		}
		return all
	}})
}

func (st settings) paint(m Model, p *painter) {
	w := p.Size.W - 2*margin
	var rows []string
	names, values := 0, 0
	all, _ := m.Settings()
	for _, s := range all {
		names, values = max(names, width(s.Name)), max(values, width(clean(s.Value, p.charset)))
	}
	values = min(values, 24)
	for _, s := range all {
		rows = append(rows, pad(s.Name, names)+"  "+pad(clean(s.Value, p.charset), values)+"  "+clean(s.Source, p.charset))
	}
	var below []line
	if s, ok := st.setting(m); ok {
		text := s.Help + " It takes " + s.Takes + "."
		if s.Overridden {
			text = fmt.Sprintf("%s counts more than the file. %s", upper(s.Source), text)
		}
		for _, l := range wrap(clean(text, p.charset), w) {
			below = append(below, line{{l, Normal}})
		}
	}
	if len(rows) == 0 {
		p.lines([]line{heading("Settings"), nil, {{"They are not known yet.", Normal}}})
		return
	}
	paintList(p, "Settings", paragraph(m.aboutSettings(), p), rows, st.picked, below)
}

// aboutSettings is where settings are written to, as a sentence.
func (m Model) aboutSettings() string {
	if m.config.SettingsFile == "" {
		return m.config.NoSettingsFile
	}
	return "What is changed is written to " + m.config.SettingsFile + " when w asks for it."
}

// upper returns s with a capital.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// askWrite asks whether the changes are to be written.
func (m Model) askWrite() Model {
	switch {
	case m.config.SettingsFile == "":
		return m.warn("%s", m.config.NoSettingsFile)
	case len(m.changes) == 0:
		return m.say("Nothing was changed.")
	}
	return m.open(writeSettings{})
}

// writeSettings is the page that shows what will be written.
type writeSettings struct{}

func (writeSettings) keys(Model) []binding {
	return []binding{
		{keys: "Enter w", foot: "write", help: "write that", do: func(m Model, _ KeyMsg) (Model, Action) {
			m = m.back().say("Writing %s ...", m.config.SettingsFile)
			return m, SaveSettings{slices.Clone(m.changes)}
		}},
		{keys: "Esc q", also: "Ctrl-C", foot: "back", help: "back to the settings", do: updates(Model.back)},
	}
}

func (ws writeSettings) paint(m Model, p *painter) {
	var about []line
	say := func(text string, style Style) {
		for _, l := range wrap(clean(text, p.charset), p.Size.W-2*margin) {
			about = append(about, line{{l, style}})
		}
	}
	for _, c := range m.changes {
		say("  "+c.String(), Input)
	}
	for _, c := range m.changes {
		if i := slices.IndexFunc(m.config.Settings, func(s Setting) bool { return s.Name == c.Name && s.Overridden }); i >= 0 {
			say(fmt.Sprintf("%s has no effect for now: %s counts more.", c.Name, m.config.Settings[i].Source), Bad)
		}
	}
	about = append(about, nil)
	say("The other lines of the file stay.", Normal)
	about = append(about, nil)
	paintKeys(p, "Write to "+clean(m.config.SettingsFile, p.charset)+"?", about, ws.keys(m))
}

// settingsSaved takes the answer to a SaveSettings.
func (m Model) settingsSaved(msg SettingsSavedMsg) Model {
	if !msg.Bad {
		m.changes = nil
	}
	return m.show(message{text: msg.Text, bad: msg.Bad})
}

// typed is the page on which the value of a setting is typed.
type typed struct {
	setting Setting
	text    string
}

func (ty typed) keys(m Model) []binding {
	return append([]binding{
		{keys: "Enter", foot: "keep", help: "keep the value; nothing is written yet", do: updates(ty.keep)},
		{keys: "Esc", also: "Ctrl-C", foot: "back", help: "back without changing it", do: updates(Model.back)},
	}, queryKeys(ty.text, ty.to)...)
}

func (ty typed) keep(m Model) Model {
	value := strings.TrimSpace(ty.text)
	if why := m.config.refuses(ty.setting, value); why != "" {
		return m.warn("%s", why)
	}
	return m.back().makeChange(ty.setting, value)
}

// refuses returns why a setting cannot have a value, as a sentence; "" when it can.
func (c Config) refuses(s Setting, value string) string {
	if s.Name == "theme" {
		if _, err := ParseTheme(value); err != nil {
			return err.Error() + "."
		}
	}
	if c.Accepts != nil && !c.Accepts(s.Name, value) {
		return "That is not understood, or not taken from a file on a volume."
	}
	return ""
}

// change takes a value for the setting with that name.
func (m Model) change(c Change) Model {
	i := slices.IndexFunc(m.config.Settings, func(s Setting) bool { return s.Name == c.Name })
	if i < 0 {
		return m
	}
	if why := m.config.refuses(m.config.Settings[i], c.Value); why != "" {
		return m.warn("%s", why)
	}
	return m.makeChange(m.config.Settings[i], c.Value).say("%s, not written yet.", c)
}

func (ty typed) to(m Model, text string) Model { return m.set(typed{ty.setting, text}) }

func (ty typed) write(m Model, text string, _ bool) Model { return ty.to(m, query(ty.text, text)) }

func (ty typed) paint(m Model, p *painter) {
	w := p.Size.W - 2*margin
	lines := append([]line{heading(ty.setting.Name), nil}, paragraph(ty.setting.Help+" It takes "+ty.setting.Takes+".", p)...)
	y := 1 + min(len(lines), max(0, bodyHeight(p.Size)-1))
	p.lines(lines)
	p.put(0, y, p.Size.W, strings.Repeat(" ", p.Size.W), Normal)
	r := []rune(clean(ty.text, p.charset))
	x := p.put(margin, y, margin+w, string(r[max(0, len(r)-w+1):]), Input)
	p.Cursor = &Point{x, y}
}
