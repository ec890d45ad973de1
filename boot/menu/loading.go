package menu

import (
	"fmt"
	"time"
)

// loading is how far the entry that is being booted has come.
type loading struct {
	since    time.Time // zero until the next tick
	slow     bool      // it takes so long that progress is shown
	progress ProgressMsg
	cancel   bool // asked to stop
}

// slowAfter is how long loading takes before its progress is shown: a bar that
// only flashes up tells nothing.
const slowAfter = 500 * time.Millisecond

// idle is the model once nothing is being booted any more.
func (m Model) idle() Model {
	m.booting, m.status = "", ""
	m.loading = loading{}
	return m
}

func (l *loading) tick(now time.Time) {
	if l.since.IsZero() || now.Before(l.since) {
		l.since = now
	}
	l.slow = l.slow || now.Sub(l.since) >= slowAfter
}

// cancel asks for what is being booted to be stopped, once.
func (m Model) cancel() (Model, Action) {
	if m.booting == "" || m.loading.cancel {
		return m, nil
	}
	m.loading.cancel = true
	m.status = wordCancelling
	return m, Cancel{}
}

func (m Model) cancelled() Model {
	if m.booting == "" {
		return m
	}
	m = m.idle()
	m.countdown.key()
	m.message = tell(wordCancelled)
	return m
}

// progressShown tells whether there is progress to be shown.
func (m Model) progressShown() bool {
	return m.loading.slow && !m.loading.cancel && m.loading.progress.Stage != ""
}

// paintProgress says what is being done and how far it is, in n rows from y.
func (m Model) paintProgress(p *painter, y, n int) {
	msg := m.loading.progress
	text := clean(msg.Stage, p.charset)
	if msg.Total <= 0 {
		if msg.Done > 0 {
			text += ": " + bytesText(msg.Done)
		}
		p.line(y, line{{fit(text, p.Size.W-2*margin), Normal}})
		return
	}
	amount := fmt.Sprintf(wordOf, bytesText(msg.Done), bytesText(msg.Total))
	end := p.Size.W - margin
	row, x := y, margin
	if n == 1 {
		const room = 30 // for the bar, at most
		x = max(end-room, margin+(end-margin)/2)
		text = fit(text, x-margin-width(amount)-4)
	} else {
		row++
		text = fit(text, end-margin-width(amount)-2)
	}
	p.line(y, line{{text + ": ", Normal}, {amount, Normal}})
	p.bar(row, x, end-x, msg.Done, msg.Total)
}

// bytesText gives a size as people read it.
func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf(wordB, n)
	case n < 10_000_000:
		return fmt.Sprintf(wordKB, n/1000)
	}
	return fmt.Sprintf(wordMB, n/1_000_000)
}
