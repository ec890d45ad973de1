package menu

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alpboot/alpboot/boot"
)

// maxTries is how many wrong passphrases the prompt takes before it goes away.
const maxTries = 3

// prompt asks for the passphrase of a volume.
type prompt struct {
	volume boot.Volume
	typed  *secret
	wrong  int  // passphrases that did not open it
	busy   bool // one is being tried
}

// secret is a passphrase being typed. It is the one part of a Model that all
// copies of it share: it must be possible to wipe it, so it must be in one
// place. No View reads it, so consoles may paint meanwhile.
//
// Not even its length is shown: on a screen in a rack room, or on a serial line
// that somebody logs, stars would give it away.
type secret struct{ b []byte }

// maxSecret is the longest passphrase that cryptsetup reads from a terminal.
const maxSecret = 512

// newSecret makes room for all of it at once: what append moves stays behind in
// memory.
func newSecret() *secret { return &secret{make([]byte, 0, maxSecret)} }

// add tells whether there is room for s.
func (s *secret) add(text string) bool {
	if len(s.b)+len(text) > maxSecret {
		return false
	}
	s.b = append(s.b, text...)
	return true
}

// back takes the last letter away.
func (s *secret) back() {
	_, n := utf8.DecodeLastRune(s.b)
	clear(s.b[len(s.b)-n:])
	s.b = s.b[:len(s.b)-n]
}

func (s *secret) wipe() {
	if s != nil {
		clear(s.b[:cap(s.b)])
		s.b = s.b[:0]
	}
}

// ask opens the prompt for a locked volume.
func (m Model) ask(v boot.Volume) Model {
	m.at = unlockScreen
	if m.prompt.busy {
		m.prompt.typed = newSecret()
		if m.prompt.volume.Device != v.Device {
			m.at = listScreen
			m.message = warn(wordBusyOpening, device(m.prompt.volume))
		}
		return m
	}
	m.prompt.typed.wipe()
	m.prompt = prompt{volume: v, typed: newSecret()}
	return m
}

// leavePrompt forgets what was typed.
func (m Model) leavePrompt() Model {
	m.prompt.typed.wipe()
	m.prompt.typed = nil
	if m.at == unlockScreen {
		m.at = listScreen
	}
	return m
}

func (m Model) unlockKey(k KeyMsg) (Model, Action) {
	cmd := find(m.bindings(), k)
	if cmd == cmdBack {
		return m.leavePrompt(), nil
	}
	if m.prompt.busy {
		return m, nil
	}
	typed := m.prompt.typed
	switch cmd {
	case cmdBoot:
		if len(typed.b) == 0 {
			m.message = tell(wordNoPassphrase)
			return m, nil
		}
		// The only copy goes out: whoever gets it wipes it.
		a := Unlock{Device: m.prompt.volume.Device, Passphrase: typed.b, HandOn: m.handOn}
		m.prompt.typed, m.prompt.busy = newSecret(), true
		return m, a
	case cmdHandOn:
		m.handOn = !m.handOn
	case cmdKillStart:
		typed.wipe()
	case cmdBackspace:
		typed.back()
	default:
		if k.Key == KeyRune && k.Mod == 0 && k.Rune >= ' ' && utf8.ValidRune(k.Rune) {
			m = m.typeSecret(string(k.Rune))
		}
	}
	return m, nil
}

func (m Model) typeSecret(s string) Model {
	if m.prompt.busy {
		return m
	}
	if !m.prompt.typed.add(strings.TrimRight(s, "\r\n")) {
		m.message = warn(wordLongPassphrase, maxSecret)
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
		if left := maxTries - m.prompt.wrong; left > 0 {
			if m.at != unlockScreen {
				m.message = warn(wordWrong, name, left)
			}
			return m
		}
		m = m.leavePrompt()
		m.message = warn(wordNoMoreTries, maxTries, name)
	case msg.Error != "":
		m = m.leavePrompt()
		m.message = message{text: msg.Error, bad: true}
	default:
		m = m.leavePrompt()
		m.opened = msg.Device
		m.message = tell(wordOpened, name)
	}
	return m
}

// promptLines is what the prompt shows. Nothing of it depends on what is typed.
func (m Model) promptLines(w int, cs Charset) []line {
	name := clean(device(m.prompt.volume), cs)
	lines := []line{heading(fit(fmt.Sprintf(wordPrompt, describe(boot.Volume{Device: m.prompt.volume.Device, Label: m.prompt.volume.Label}, cs)), w)), nil}
	say := func(s string, style Style) {
		for _, l := range wrap(s, w) {
			lines = append(lines, line{{l, style}})
		}
	}
	switch {
	case m.prompt.busy:
		say(fmt.Sprintf(wordOpening, name), Normal)
		return lines
	case m.prompt.wrong > 0:
		say(fmt.Sprintf(wordWrong, name, maxTries-m.prompt.wrong), Bad)
	}
	say(wordTypeHidden, Normal)
	lines = append(lines, nil)
	say(ticked(m.handOn, wordHandOn), Normal)
	return lines
}

// ticked shows a choice that is made or not.
func ticked(on bool, text string) string {
	if on {
		return fmt.Sprintf(wordTicked, text)
	}
	return fmt.Sprintf(wordUnticked, text)
}
