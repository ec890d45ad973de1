package menu

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// What [Config.Asks] can have: what the owner's password is asked for first.
const (
	AskEdit     = "edit"
	AskShell    = "shell"
	AskOther    = "other" // starting another entry than the default
	AskUnlock   = "unlock"
	AskPower    = "power"
	AskSettings = "settings" // and the default
)

// gate is what passwords have opened, and how often they were wrong.
type gate struct {
	owner  bool            // the owner's was right: all is open
	open   map[string]bool // what passwords of entries have opened, by password.key; never changed in place
	wrong  int             // how many were, in a row
	until  time.Time       // none is taken before
	busy   bool            // one is being checked
	key    string          // for this
	asked  int             // how often one was asked for
	unused time.Time       // since when no key was typed; zero until the next tick
}

// openFor is how long after the last key what a password has opened stays open.
const openFor = 5 * time.Minute

// tick closes what a password has opened long ago, with the pages that it led to.
func (m Model) tickGate(now time.Time) Model {
	g := &m.gate
	if !g.owner && g.open == nil {
		return m
	}
	if g.unused.IsZero() || now.Before(g.unused) {
		g.unused = now
	}
	if now.Sub(g.unused) < openFor {
		return m
	}
	g.owner, g.open = false, nil
	for _, p := range m.pages {
		if f, ok := p.(form); ok {
			m.draft = f
		}
	}
	m = m.leavePrompt()
	m.pages = nil
	return m
}

// password is the page that asks for one.
type password struct {
	secret  *secret
	about   string                        // what it is asked for
	key     string                        // of what it opens; "" for the owner's
	secrets []boot.Secret                 // each of which is right, besides the owner's
	console string                        // device of the console that it was asked for on
	then    func(m Model) (Model, Action) // what is done when it is right
}

// behind does do, once the passwords were typed that it takes: the owner's, where
// Config.Asks has what, and one that the menu of e asks for. About is what they are
// asked for.
func (m Model) behind(what, about string, e *boot.Entry, do func(Model) (Model, Action)) (Model, Action) {
	p := password{about: about, console: m.by, then: func(m Model) (Model, Action) { return m.behind(what, about, e, do) }}
	switch {
	case m.gate.owner:
		return do(m)
	case slices.Contains(m.config.Asks, what):
	case e != nil && e.Lock != nil && (what == AskEdit || e.Lock.Asks):
		if p.key, p.secrets = "start "+e.ID, e.Lock.Start; what == AskEdit {
			p.key, p.secrets = "edit "+e.ID, e.Lock.Edit
		}
		if m.gate.open[p.key] {
			return do(m)
		}
	default:
		return do(m)
	}
	switch wait := m.gate.until.Sub(m.countdown.now); {
	case m.gate.busy:
		return m.warn(textChecking), nil
	case !m.config.Password && len(p.secrets) == 0:
		return m.warn("This is locked, and no password opens it."), nil
	case wait > 0:
		return m.warn("Wrong passwords were typed: the next one can be typed in %d seconds.", (wait+time.Second-1)/time.Second), nil
	}
	m = m.leavePrompt()
	m.gate.asked++
	p.secret = newSecret()
	return m.open(p), nil
}

// updatesBehind is a handler that asks for nothing outside, but for the owner's
// password where Config.Asks has what.
func updatesBehind(what, about string, f func(Model) Model) handler {
	return func(m Model, _ KeyMsg) (Model, Action) {
		return m.behind(what, about, nil, func(m Model) (Model, Action) { return f(m), nil })
	}
}

const (
	aboutPower    = "restarting or powering off"
	aboutSettings = "changing settings"
	aboutDefault  = "changing the default"
	aboutShell    = "the shell"
	textChecking  = "A password is being checked ..."
)

func (p password) hidden() *secret { return p.secret }

func (p password) keys(m Model) []binding {
	b := back()
	b.keys, b.do = "Esc", updates(Model.leavePrompt)
	if m.gate.busy {
		return []binding{b}
	}
	return append([]binding{{keys: "Enter", foot: "go on", help: "go on, if the password is right", do: p.check}, b}, secretKeys(p.secret)...)
}

func (p password) check(m Model, _ KeyMsg) (Model, Action) {
	if len(p.secret.b) == 0 {
		return m.say("No password was typed yet."), nil
	}
	typed := p.secret.b // the only copy goes out: whoever gets it wipes it
	p.secret = newSecret()
	m = m.set(p)
	m.gate.busy, m.gate.key = true, p.key
	return m, Password{Secrets: p.secrets, Typed: typed}
}

func (p password) write(m Model, text string, _ bool) Model {
	if !m.gate.busy && !p.secret.add(strings.TrimRight(text, "\r\n")) {
		return m.warn("A password has at most %d bytes; this is not part of it any more.", maxSecret)
	}
	return m
}

// checked takes the answer to a Password.
func (m Model) checked(msg PasswordMsg) (Model, Action) {
	if !m.gate.busy {
		return m, nil
	}
	m.gate.busy = false
	p, shown := m.page().(password)
	switch {
	case !msg.Right:
		m.gate.wrong++
		m.gate.asked++
		left := maxTries - m.gate.wrong%maxTries
		if left < maxTries {
			return m.warn("This password is wrong. Tries left: %d.", left), nil
		}
		pause := wrongPause(m.gate.wrong / maxTries)
		m.gate.until = m.countdown.now.Add(pause)
		return m.leavePrompt().warn("%d passwords were wrong. The next one can be typed in %d seconds.", m.gate.wrong, pause/time.Second), nil
	case msg.Owner:
		m.gate.owner = true
	default:
		m.gate.open = with(m.gate.open, m.gate.key, true)
	}
	m.gate.wrong, m.gate.unused = 0, time.Time{}
	if !shown || p.key != m.gate.key {
		return m.say("The password was right."), nil
	}
	m = m.leavePrompt()
	m.message = message{}
	return p.then(m)
}

// wrongPause is how long nothing is taken after the nth three wrong passwords.
func wrongPause(n int) time.Duration {
	const first, most = 30 * time.Second, time.Hour
	return min(first<<min(n-1, 10), most)
}

// paint shows the prompt. Nothing of it depends on what is typed.
func (p password) paint(m Model, to *painter) {
	lines := []line{heading(fit(clean(p.head(), to.charset), to.Size.W-2*margin)), nil}
	text := "Type the password and press Enter. Nothing of it is shown."
	if m.gate.busy {
		text = textChecking
	}
	to.lines(append(lines, paragraph(text, to)...))
}

// head is what is asked for.
func (p password) head() string {
	if p.key == "" {
		return fmt.Sprintf("Password for %s", p.about)
	}
	return fmt.Sprintf("Password for %s, that of its own menu", p.about)
}
