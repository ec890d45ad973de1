package menu

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// unlock is the page that asks for the passphrase of the volume of the prompt.
type unlock struct{ secret *secret }

// maxTries is how many wrong passphrases the prompt takes before it goes away.
const maxTries = 3

// prompt is the volume that is being unlocked, also while another page is shown.
type prompt struct {
	volume boot.Volume
	wrong  int  // passphrases that did not unlock it
	busy   bool // one is being tried
}

// secret is a passphrase being typed. It is the one part of a Model that all
// copies of it share: it must be possible to wipe it, so it must be in one
// place. No View reads it, so consoles may paint meanwhile.
//
// Not even its length is shown: on a screen in a rack room, or on a serial line
// that somebody logs, stars would show its length.
type secret struct{ b []byte }

// maxSecret is the longest passphrase that cryptsetup reads from a terminal.
const maxSecret = 512

// newSecret makes room for all of it at once: what append moves stays behind in
// memory.
func newSecret() *secret { return &secret{make([]byte, 0, maxSecret)} }

// add reports whether there is room for text, and adds it then.
func (s *secret) add(text string) bool {
	if len(s.b)+len(text) > maxSecret {
		return false
	}
	s.b = append(s.b, text...)
	return true
}

// deleteLast takes the last letter away.
func (s *secret) deleteLast() {
	_, n := utf8.DecodeLastRune(s.b)
	clear(s.b[len(s.b)-n:])
	s.b = s.b[:len(s.b)-n]
}

func (s *secret) wipe() {
	clear(s.b[:cap(s.b)])
	s.b = s.b[:0]
}

// askPassphrase opens the prompt for a locked volume.
func (m Model) askPassphrase(v boot.Volume) Model {
	switch {
	case !m.prompt.busy:
		m = m.leavePrompt()
		m.prompt = prompt{volume: v}
	case m.prompt.volume.Device != v.Device:
		return m.warnUnlocking()
	}
	return m.open(unlock{newSecret()})
}

func (m Model) warnUnlocking() Model {
	return m.warn("%s is still being unlocked.", device(m.prompt.volume))
}

// hides is a page into which a secret is typed.
type hides interface{ hidden() *secret }

func (u unlock) hidden() *secret { return u.secret }

// leavePrompt closes a page that hides what is typed, if one is shown, and wipes that.
func (m Model) leavePrompt() Model {
	if p, ok := m.page().(hides); ok {
		p.hidden().wipe()
		m = m.back()
	}
	return m
}

// secretKeys edit what is typed without being shown.
func secretKeys(s *secret) []binding {
	return []binding{
		{keys: "Ctrl-U", foot: "clear", help: "clear what was typed", do: updates(func(m Model) Model { s.wipe(); return m })},
		{keys: "Backspace Ctrl-H", help: helpBackspace, do: updates(func(m Model) Model { s.deleteLast(); return m })},
	}
}

// While a passphrase is tried there is only the way back.
func (u unlock) keys(m Model) []binding {
	back := binding{keys: "Esc", also: "Ctrl-C", foot: "back", help: "back to the list", do: updates(Model.leavePrompt)}
	if m.prompt.busy {
		return []binding{back}
	}
	return append([]binding{
		{keys: "Enter", foot: "unlock", help: "unlock the volume with the passphrase", do: u.try},
		back,
		{keys: "Tab", foot: "pass on", help: "pass the passphrase on to the system that is booted, or not", do: updates(func(m Model) Model { m.handOn = !m.handOn; return m })},
	}, secretKeys(u.secret)...)
}

func (u unlock) try(m Model, _ KeyMsg) (Model, Action) {
	if len(u.secret.b) == 0 {
		return m.say("No passphrase was typed yet."), nil
	}
	// The only copy goes out: whoever gets it wipes it.
	m = m.set(unlock{newSecret()})
	m.prompt.busy = true
	return m, Unlock{Device: m.prompt.volume.Device, Passphrase: u.secret.b, HandOn: m.handOn}
}

func (u unlock) write(m Model, text string, _ bool) Model {
	if !m.prompt.busy && !u.secret.add(strings.TrimRight(text, "\r\n")) {
		return m.warn("A passphrase has at most %d bytes; this is not part of it any more.", maxSecret)
	}
	return m
}

// unlocked takes the answer to an Unlock.
func (m Model) unlocked(msg UnlockedMsg) Model {
	if !m.prompt.busy || m.prompt.volume.Device != msg.Device {
		return m
	}
	m.prompt.busy = false
	name := device(m.prompt.volume)
	switch {
	case msg.Wrong:
		m.prompt.wrong++
		left := maxTries - m.prompt.wrong
		if left <= 0 {
			return m.leavePrompt().warn("%d passphrases were wrong: %s stays locked. Enter asks again.", maxTries, name)
		}
		if _, shown := m.page().(unlock); !shown {
			m = m.warn(textWrong, name, left)
		}
		return m
	case msg.Error != "":
		return m.leavePrompt().show(message{text: msg.Error, bad: true})
	}
	m = m.leavePrompt()
	m.awaited = msg.Device
	return m.say("%s is unlocked. Looking for entries on it ...", name)
}

const (
	textUnlocking = "Unlocking %s ... This may take some seconds."
	textWrong     = "This passphrase does not unlock %s. Tries left: %d."
)

// paint shows the prompt. Nothing of it depends on what is typed.
func (unlock) paint(m Model, p *painter) {
	w := p.Size.W - 2*margin
	v := m.prompt.volume
	name := clean(device(v), p.charset)
	lines := []line{heading(fit("Passphrase of "+describe(boot.Volume{Device: v.Device, Label: v.Label}, p.charset), w)), nil}
	say := func(s string, style Style) {
		for _, l := range wrap(s, w) {
			lines = append(lines, line{{l, style}})
		}
	}
	if m.prompt.busy {
		say(fmt.Sprintf(textUnlocking, name), Normal)
		p.lines(lines)
		return
	}
	if m.prompt.wrong > 0 {
		say(fmt.Sprintf(textWrong, name, maxTries-m.prompt.wrong), Bad)
	}
	say("Type the passphrase and press Enter. Nothing of it is shown.", Normal)
	lines = append(lines, nil)
	say(checkbox(m.handOn, "Pass it on to the booted system, so that it does not ask again (Tab)"), Normal)
	p.lines(lines)
}

// checkbox shows a choice that is made or not.
func checkbox(on bool, text string) string {
	if on {
		return "[x] " + text
	}
	return "[ ] " + text
}
