package menu

// Enrolment is what the power page offers to enrol for Secure Boot.
type Enrolment struct {
	About   []string // what will hold, in paragraphs
	Refused string   // why it cannot be done, as a sentence; "" when it can
}

// Enrol asks for the keys of the [Enrolment] to be enrolled. The answer is a
// [ResultMsg].
type Enrol struct{}

func (Enrol) isAction() {}

// enrol is the page that shows what will hold, and asks.
type enrol struct{}

func (enrol) keys(m Model) []binding {
	if e := m.config.Enrolment; e == nil || e.Refused != "" {
		return []binding{back()}
	}
	return []binding{
		{keys: "e", foot: "enrol", help: "enrol these keys", do: func(m Model, _ KeyMsg) (Model, Action) {
			return m.back().say("Enrolling the keys ..."), Enrol{}
		}},
		back(),
	}
}

func (e enrol) paint(m Model, p *painter) {
	var above []line
	if x := m.config.Enrolment; x != nil {
		for _, text := range x.About {
			above = append(above, paragraph(text, p)...)
		}
		if x.Refused != "" {
			above = append(above, paragraph(x.Refused, p)...)
		}
	}
	paintKeys(p, "Enrol keys for Secure Boot?", above, e.keys(m))
}
