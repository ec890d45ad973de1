package menu

import "strings"

// machine is the page of what is known of the machine.
type machine struct{}

func (machine) keys(Model, pager) []binding { return nil }

func (machine) lines(m Model, w int, cs Charset) []line {
	lines := []line{heading("This machine")}
	if len(m.system) == 0 {
		return append(lines, nil, line{{"Not known yet ...", Normal}})
	}
	for _, s := range m.system {
		if strings.HasSuffix(s, ":") {
			lines = append(lines, nil, heading(fit(clean(s, cs), w)))
			continue
		}
		for _, part := range wrap(clean(s, cs), w-2) {
			lines = append(lines, line{{"  " + part, Normal}})
		}
	}
	return lines
}

func (m Model) machine(KeyMsg) (Model, Action) { return m.open(pager{doc: machine{}}), System{} }
